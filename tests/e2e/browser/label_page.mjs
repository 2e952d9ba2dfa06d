// Opens a task in Label Studio's labelling page as an annotator does, clicks with the smart keypoint tool, and
// leaves pictures of the image area behind, for the test to look at.
//
//   node label_page.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, click: {x, y (percent of the image), label}}.
// Pictures, in `folder`: regions.png (predictions shown), hidden.png (the same, hidden), click.png (after the click),
// page.png (the whole window). Prints {regions: types shown at first, suggestions: types after the click}.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const specification = JSON.parse(readFileSync(process.argv[2]));
const WAIT = { timeout: 60_000 };

async function logIn(page) {
  await page.goto(`${specification.url}/user/login/`);
  await page.fill('input[name=email]', specification.email);
  await page.fill('input[name=password]', specification.password);
  await page.click('button[type=submit]');
  await page.waitForURL((url) => !url.pathname.startsWith('/user/login'), WAIT);
}

// Types of what the annotation holds: its regions, or the model's suggestions.
function types(page, collection) {
  return page.evaluate((name) => {
    const annotation = window.Htx?.annotationStore?.selected;
    return annotation ? [...annotation[name].values()].map((region) => region.type) : [];
  }, collection);
}

// The image area, as the browser shows it. Konva draws in the next animation frame.
async function picture(page, name) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.locator('.konvajs-content').first().screenshot({ path: `${specification.folder}/${name}.png` });
}

// One button stands for all smart tools and unfolds under the mouse.
async function chooseSmartKeypoint(page) {
  await page.locator('button.lsf-tool_smart').first().hover();
  await page.locator('button.lsf-tool_smart[aria-label=key-point-tool]').click();
}

async function clickWithSmartKeypoint(page, { x, y, label }) {
  await page.getByText('Auto-Annotation').click();
  await chooseSmartKeypoint(page);
  // The label list of the last control, which is the smart one.
  await page.locator('.lsf-labels').last().getByText(label, { exact: true }).click();
  // Choosing a label may have scrolled the picture out of sight.
  await page.locator('.konvajs-content').first().scrollIntoViewIfNeeded();
  const area = await page.locator('.konvajs-content').first().boundingBox();
  await page.mouse.click(area.x + (area.width * x) / 100, area.y + (area.height * y) / 100);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ viewport: { width: 1400, height: 1500 } });
page.setDefaultTimeout(WAIT.timeout);
try {
  await logIn(page);
  await page.goto(`${specification.url}/projects/${specification.project}/data?task=${specification.task}`);
  await page.waitForSelector('.konvajs-content canvas', WAIT);
  await page.waitForFunction(() => window.Htx?.annotationStore?.selected?.regions.length > 0, null, WAIT);
  const regions = await types(page, 'regions');
  await page.waitForLoadState('networkidle');
  await picture(page, 'regions');
  await page.getByLabel('Hide all regions').click();
  await picture(page, 'hidden');

  await clickWithSmartKeypoint(page, specification.click);
  await page.waitForFunction(() => window.Htx.annotationStore.selected.suggestions.size > 0, null, WAIT);
  const suggestions = await types(page, 'suggestions');
  await picture(page, 'click');
  await page.screenshot({ path: `${specification.folder}/page.png` });
  console.log(JSON.stringify({ regions, suggestions }));
} catch (error) {
  await page.screenshot({ path: `${specification.folder}/failure.png` });
  throw error;
} finally {
  await browser.close();
}
