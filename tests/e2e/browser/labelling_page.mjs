// Label Studio's labelling page as an annotator uses it: what the scripts beside this one have in common.
import { chromium } from 'playwright-core';

export const WAIT = { timeout: 60_000 };

// Opens a task in a browser of its own, hands the page to `work`, and closes the browser. A screenshot of the page is left
// in `folder` if anything fails. `pixels`: of a screenshot, for each one of the viewport's in a row; 1 if it is not given.
export async function onTask({ project, task, ...session }, work) {
  return loggedIn(session, async (page) => {
    await page.goto(`${session.url}/projects/${project}/data?task=${task}`);
    await ready(page);
    return work(page);
  });
}

// The editor shows a task.
export async function ready(page) {
  await page.waitForSelector('.konvajs-content canvas', WAIT);
  await page.waitForFunction(() => window.Htx?.annotationStore?.selected, null, WAIT);
}

// The same without a task: the page after the login.
export async function loggedIn({ url, email, password, folder, viewport, pixels }, work) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  const page = await browser.newPage({ viewport: viewport ?? { width: 1400, height: 1500 }, deviceScaleFactor: pixels ?? 1 });
  page.setDefaultTimeout(WAIT.timeout);
  try {
    await logIn(page, { url, email, password });
    return await work(page);
  } catch (error) {
    await page.screenshot({ path: `${folder}/failure.png` });
    throw error;
  } finally {
    await browser.close();
  }
}

async function logIn(page, { url, email, password }) {
  await page.goto(`${url}/user/login/`);
  await page.fill('input[name=email]', email);
  await page.fill('input[name=password]', password);
  await page.click('button[type=submit]');
  await page.waitForURL((address) => !address.pathname.startsWith('/user/login'), WAIT);
}

// Types of what the annotation holds: its regions, or the model's suggestions.
export function types(page, collection) {
  return page.evaluate((name) => {
    const annotation = window.Htx?.annotationStore?.selected;
    return annotation ? [...annotation[name].values()].map((region) => region.type) : [];
  }, collection);
}

// The image area, as the browser shows it. Konva draws in the next animation frame.
export async function screenshot(page, path) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.locator('.konvajs-content').first().screenshot({ path });
}

// Turns the view clockwise by so many quarters, with the tool bar's button.
export async function turn(page, quarters) {
  for (let i = 0; i < quarters; ++i) await page.locator('button[aria-label=rotate-right]').click();
  await page.waitForFunction((angle) => [...window.Htx.annotationStore.selected.names.values()]
    .some((tag) => tag.type === 'image' && tag.rotation === angle), 90 * quarters, WAIT);
}

// Draws a prompt with the mouse: {x, y, label} clicks with the smart keypoint, {x, y, to: {x, y}, label} drags with the
// smart rectangle. `held`: keys that are held meanwhile. Coordinates are percent of the image as it is shown.
export async function prompt(page, { x, y, to, label, held }) {
  await chooseSmartTool(page, to ? 'rectangle' : 'key-point');
  // The smart control, whose name says what it is.
  await chooseLabel(page, label, to ? 'smart_rectanglelabels' : 'smart_keypointlabels');
  if (to) await drag(page, { x, y, to });
  else await click(page, { x, y, held });
  await suggested(page);
}

export async function suggested(page) {
  await page.waitForFunction(() => window.Htx.annotationStore.selected.suggestions.size > 0, null, WAIT);
}

export async function accept(page) {
  await page.getByTestId('bottombar-accept-suggestions-button').click();
  await page.waitForFunction(() => window.Htx.annotationStore.selected.suggestions.size === 0, null, WAIT);
}

// Submits the annotation. Returns its id in Label Studio.
export async function submit(page) {
  const saved = page.waitForResponse((response) => response.request().method() === 'POST' &&
    /\/api\/tasks\/\d+\/annotations/.test(response.url()) && response.ok(), WAIT);
  await page.getByTestId('bottombar-submit-button').click();
  return (await (await saved).json()).id;
}

// Clicks at a point of the image, in percent, while the `held` keys are down.
export async function click(page, { x, y, held = [] }) {
  const at = await imagePoints(page);
  for (const key of held) await page.keyboard.down(key);
  await page.mouse.click(...at({ x, y }));
  for (const key of held) await page.keyboard.up(key);
}

export async function drag(page, { x, y, to }) {
  const at = await imagePoints(page);
  await page.mouse.move(...at({ x, y }));
  await page.mouse.down();
  await page.mouse.move(...at({ x: (x + to.x) / 2, y: (y + to.y) / 2 }), { steps: 5 });
  await page.mouse.move(...at(to), { steps: 5 });
  await page.mouse.up();
}

// Where a point of the image lies on the screen. Choosing a label may have scrolled the image out of sight.
async function imagePoints(page) {
  const image = page.locator('.konvajs-content').first();
  await image.scrollIntoViewIfNeeded();
  const area = await image.boundingBox();
  return (point) => [area.x + (area.width * point.x) / 100, area.y + (area.height * point.y) / 100];
}

// One button stands for all smart tools and unfolds under the mouse.
export async function chooseSmartTool(page, name) {
  if (!(await page.evaluate(() => window.Htx.autoAnnotation))) await page.getByText('Auto-Annotation').click();
  await page.locator('button.lsf-tool_smart').first().hover();
  await page.locator(`button.lsf-tool_smart[aria-label=${name}-tool]`).last().click();
}

// Each control with labels shows a list of them; they come in the config's order. If none is called `control`, there is one
// list for all tools, in which a label stays chosen; a click would end that.
export async function chooseLabel(page, label, control = '') {
  const { index, chosen } = await page.evaluate((name) => {
    const controls = [...window.Htx.annotationStore.selected.names.values()].filter((tag) => tag.type.endsWith('labels'));
    const index = Math.max(0, controls.findIndex((tag) => tag.name === name));
    return { index, chosen: controls[index].selectedLabels.map((each) => each.value) };
  }, control);
  if (!chosen.includes(label)) await page.locator('.lsf-labels').nth(index).getByText(label, { exact: true }).click();
}
