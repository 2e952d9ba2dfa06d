// Coming closer to a picture on the gateway's page: what is clicked and drawn there, by mouse, keyboard and touch.
//
//   node zoom.mjs SPECIFICATION.json
//
// The specification: {url, folder, picture: a file, things: [{x, y, r, size: [width, height]}]}. Prints what was seen, as JSON:
// of each click the pixel that was clicked at and the one that was asked for.
import { readFileSync } from 'node:fs';
import { NARROW, WIDE, launch, newPage, violations } from './pages.mjs';

const { url, folder, picture, things } = JSON.parse(readFileSync(process.argv[2]));
const [thing] = things;
const [width, height] = thing.size;
const seen = { errors: [], axe: {}, clicks: {} };
const browser = await launch();

async function open(options) {
  const page = await newPage(browser, options, seen.errors);
  page.asked = [];
  page.on('request', (request) => {
    const prompts = request.url().endsWith('/ui/segment') ? JSON.parse(request.postData()).prompts : [];
    if (prompts[0]?.points) page.asked.push(prompts[0].points.at(-1).slice(0, 2));
  });
  await page.addInitScript(() => {
    window.drawn = { hover: 0, click: 0 };
    document.addEventListener('duet-drawn', ({ detail }) => { window.drawn[detail.kind] += 1; });
  });
  await page.goto(`${url}/ui/`);
  await page.waitForFunction(() => document.getElementById('models').textContent.includes(' + '));
  await page.setInputFiles('#file', picture);
  await page.waitForFunction(() => /^(Point|Tap|The detector is sure)/.test(document.getElementById('hint').textContent));
  page.area = await page.locator('#layers').boundingBox();
  // What is marked already is chosen by a click, and nothing is asked for.
  for (let left = await page.locator('#list li').count(); left > 0; --left) {
    await page.keyboard.press(']');
    await page.keyboard.press('Delete');
    await page.waitForFunction((wanted) => document.querySelectorAll('#list li').length === wanted, left - 1);
  }
  return page;
}

async function drawing(page, kind, work) {
  const before = await page.evaluate((name) => window.drawn[name], kind);
  await work();
  await page.waitForFunction(([name, last]) => window.drawn[name] > last, [kind, before]);
}

// What is drawn is no longer stretched.
const settled = (page) => page.waitForFunction(() => document.getElementById('picture').style.transform === '');
const percent = (page) => page.textContent('#zoom-fit');

// Where a pixel is on the screen when the picture is `zoom` times as large, with `origin` in the corner.
const placeOf = ({ area }, [x, y], zoom = 1, origin = [0, 0]) => [
  area.x + ((x - origin[0]) * zoom * area.width) / width, area.y + ((y - origin[1]) * zoom * area.height) / height];
const pixelAt = ({ area }, [left, top], zoom = 1, origin = [0, 0]) => [
  origin[0] + ((left - area.x) * width) / (zoom * area.width), origin[1] + ((top - area.y) * height) / (zoom * area.height)];
// The pixel in the corner when `point` is there.
const originFor = ({ area }, point, [left, top], zoom) => [
  Math.min(width - width / zoom, Math.max(0, point[0] - ((left - area.x) / area.width) * (width / zoom))),
  Math.min(height - height / zoom, Math.max(0, point[1] - ((top - area.y) / area.height) * (height / zoom)))];

// Clicks as near to a pixel as a mouse can, and takes it back.
async function click(page, name, pixel, zoom, origin) {
  page.asked = [];
  const place = placeOf(page, pixel, zoom, origin).map(Math.round);
  await drawing(page, 'click', () => page.mouse.click(...place));
  seen.clicks[name] = { at: pixelAt(page, place, zoom, origin), asked: page.asked.at(-1) };
  await page.keyboard.press('Escape');
}

async function byMouse() {
  const page = await open(WIDE);
  const place = placeOf(page, [thing.x, thing.y]).map(Math.round);
  const center = pixelAt(page, place);
  await page.mouse.move(...place);
  for (let i = 0; i < 3; ++i) await page.mouse.wheel(0, -200);
  await settled(page);
  const zoom = Math.exp(1.2);
  let origin = originFor(page, center, place, zoom);
  seen.wheel = await percent(page);

  await drawing(page, 'hover', () => page.mouse.move(place[0] + 2, place[1]));
  seen.preview = await page.evaluate(() => document.getElementById('draft').toDataURL());
  seen.window = [...origin, origin[0] + width / zoom, origin[1] + height / zoom];
  await page.screenshot({ path: `${folder}/ui_zoomed.png` });
  seen.axe.wide = await violations(page);
  await click(page, 'below the pointer', center, zoom, origin);
  await click(page, 'elsewhere', [center[0] + thing.r / 2, center[1] - thing.r / 4], zoom, origin);

  // The middle button moves it.
  await page.mouse.move(...place);
  await page.mouse.down({ button: 'middle' });
  await page.mouse.move(place[0] + 30, place[1] + 20, { steps: 3 });
  await page.mouse.up({ button: 'middle' });
  await settled(page);
  origin = originFor(page, center, [place[0] + 30, place[1] + 20], zoom);
  await click(page, 'after it was moved', center, zoom, origin);

  // The wheel leads back to the whole picture, and no further.
  for (let i = 0; i < 4; ++i) await page.mouse.wheel(0, 200);
  await settled(page);
  seen.back = await percent(page);
  await click(page, 'as a whole again', center, 1, [0, 0]);
  await page.close();
}

async function byKeyboard() {
  const page = await open(WIDE);
  await page.locator('#stage').focus();
  for (const key of ['+', '+', '-', '+']) await page.keyboard.press(key);
  await settled(page);
  seen.keys = await percent(page);
  // From the middle to beyond the part that is seen.
  const step = Math.max(1, Math.round(Math.max(width, height) / 1.5 ** 2 / 16));
  const steps = Math.floor((width / 2 - 1) / step);
  for (let i = 0; i < steps; ++i) await page.keyboard.press('Shift+ArrowRight');
  await settled(page);
  seen.cursor = await page.evaluate(() => {
    const { width: across, height: down } = document.getElementById('draft');
    const { data } = document.getElementById('draft').getContext('2d').getImageData(0, 0, across, down);
    let white = 0;
    for (let i = 0; i < data.length; i += 4) white += data[i] === 255 && data[i + 1] === 255 && data[i + 2] === 255 && data[i + 3] === 255;
    return white;
  });
  await drawing(page, 'click', () => page.keyboard.press(' '));
  seen.clicks['the cursor'] = { at: [width / 2 + steps * step, height / 2], asked: page.asked.at(-1) };
  await page.keyboard.press('Escape');
  await page.keyboard.press('Home');
  await settled(page);
  seen.home = await percent(page);
  await page.close();
}

async function byTouch() {
  const page = await open({ ...NARROW, hasTouch: true, isMobile: true });
  await page.locator('#layers').scrollIntoViewIfNeeded();
  page.area = await page.locator('#layers').boundingBox();
  const session = await page.context().newCDPSession(page);
  const touch = (type, points) => session.send('Input.dispatchTouchEvent', { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  const { area } = page;
  const [x, y] = [area.x + area.width / 2, area.y + area.height / 2];
  await touch('touchStart', [[x - 15, y]]);
  await touch('touchStart', [[x - 15, y], [x + 15, y]]);
  for (const apart of [25, 35, 45]) await touch('touchMove', [[x - apart, y], [x + apart, y]]);
  await touch('touchEnd', []);
  await settled(page);
  seen.pinch = await percent(page);
  seen.pinched = [...page.asked];
  seen.width = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.screenshot({ path: `${folder}/ui_zoomed_narrow.png`, fullPage: true });
  seen.axe.narrow = await violations(page);

  const origin = originFor(page, [width / 2, height / 2], [x, y], 3);
  const pixel = [width / 2 + 12.5, height / 2 - 8.5];
  await drawing(page, 'click', () => page.touchscreen.tap(...placeOf(page, pixel, 3, origin)));
  seen.clicks['a finger'] = { at: pixel, asked: page.asked.at(-1) };
  await page.close();
}

try {
  await byMouse();
  await byKeyboard();
  await byTouch();
  console.log(JSON.stringify(seen));
} catch (error) {
  const page = browser.contexts().flatMap((context) => context.pages()).at(-1);
  await page?.screenshot({ path: `${folder}/failure.png` });
  console.error(JSON.stringify({ ...seen, preview: undefined }));
  throw error;
} finally {
  await browser.close();
}
