// The gateway's page as somebody uses it, by mouse and by keyboard.
//
//   node try_it.mjs SPECIFICATION.json
//
// The specification: {url, folder, picture: a file, things: [{x, y, key}] (places inside of things, in pixels of the picture,
// and the key of the label)}. Leaves screenshots and what was saved in `folder`; prints what was seen, as JSON.
import { readFileSync } from 'node:fs';
import { launch, newPage as pageOf, violations } from './pages.mjs';

const { url, folder, picture, things } = JSON.parse(readFileSync(process.argv[2]));
const seen = { errors: [], axe: {}, segments: [] };

const browser = await launch();

async function newPage(options) {
  const page = await pageOf(browser, options, seen.errors);
  page.on('request', (request) => {
    if (request.url().endsWith('/ui/segment')) {
      const { prompts } = JSON.parse(request.postData());
      // Those of a hand; the masks of what was found have boxes alone.
      if (prompts[0].points) seen.segments.push(prompts);
    }
  });
  // Masks that were drawn, by what they were asked for.
  await page.addInitScript(() => {
    window.drawn = { hover: 0, click: 0 };
    document.addEventListener('duet-drawn', ({ detail }) => { window.drawn[detail.kind] += 1; });
  });
  return page;
}

async function judge(page, name) {
  seen.axe[name] = await violations(page);
}

const objects = (page) => page.$$eval('#list .name', (all) => all.map((one) => one.textContent));
const count = (page, number) => page.waitForFunction((wanted) => document.querySelectorAll('#list li').length === wanted, number);
const isReady = (page) => page.waitForFunction(() => /^(Point|Tap|The detector is sure)/.test(document.getElementById('hint').textContent));

// Where a pixel of the picture is on the screen.
async function placeOf(page) {
  const area = await page.locator('#layers').boundingBox();
  const [width, height] = await page.evaluate(() => new Promise((done) => {
    const image = new Image();
    image.onload = () => done([image.naturalWidth, image.naturalHeight]);
    image.src = window.pictureUrl;
  }));
  return ({ x, y }) => [area.x + (area.width * (x + 0.5)) / width, area.y + (area.height * (y + 0.5)) / height];
}

async function chooseFile(page) {
  await page.setInputFiles('#file', picture);
  await page.evaluate((data) => { window.pictureUrl = data; }, `data:image/jpeg;base64,${readFileSync(picture).toString('base64')}`);
}

async function openFile(page) {
  await chooseFile(page);
  await isReady(page);
}

// Does something that has a mask drawn, and waits for it.
async function drawing(page, kind, work) {
  const before = await page.evaluate((name) => window.drawn[name], kind);
  await work();
  await page.waitForFunction(([name, last]) => window.drawn[name] > last, [kind, before]);
}

// Lets the next request wait until the function that this resolves to is called.
function hold(page, path) {
  let release;
  const open = new Promise((done) => { release = done; });
  return page.route(path, async (route) => {
    await open;
    await route.continue();
  }, { times: 1 }).then(() => release);
}

const layer = (page, name) => page.evaluate((id) => document.getElementById(id).toDataURL(), name);

async function byMouse() {
  const page = await newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'light' });
  await page.goto(`${url}/`);
  await page.waitForFunction(() => document.getElementById('models').textContent.includes(' + '));
  await page.waitForLoadState('load');
  seen.address = page.url();
  seen.load = await page.evaluate(() => {
    const [page] = performance.getEntriesByType('navigation');
    const all = [page, ...performance.getEntriesByType('resource')];
    return { bytes: all.reduce((sum, one) => sum + one.transferSize, 0), ms: page.loadEventEnd - page.startTime, hosts: [...new Set(all.map((one) => new URL(one.name).host))] };
  });
  await judge(page, 'welcome');
  await page.screenshot({ path: `${folder}/ui_welcome.png` });

  await openFile(page);
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  seen.found = await objects(page);
  await page.waitForFunction((wanted) => window.drawn !== undefined && document.querySelectorAll('#list li').length >= wanted, 1);
  await judge(page, 'found');
  await page.screenshot({ path: `${folder}/ui_found.png` });

  const at = await placeOf(page);
  const [thing, other] = things;
  await drawing(page, 'hover', async () => {
    await page.mouse.move(...at({ x: thing.x + 3, y: thing.y }));
    await page.mouse.move(...at(thing));
  });
  await page.waitForFunction(() => document.getElementById('draft').getContext('2d').getImageData(0, 0, 4000, 4000).data.some((value) => value));
  seen.preview = await layer(page, 'draft');
  await page.screenshot({ path: `${folder}/ui_preview.png` });

  // Everything that was found goes, by keyboard.
  for (let left = seen.found.length; left > 0; --left) {
    await page.keyboard.press(']');
    await page.keyboard.press('Delete');
    await count(page, left - 1);
  }
  seen.segments = [];
  await drawing(page, 'click', () => page.mouse.click(...at(thing)));
  await drawing(page, 'click', () => page.mouse.click(...at({ x: thing.x + 2, y: thing.y + 2 })));
  await drawing(page, 'click', () => page.mouse.click(...at({ x: 2, y: 2 }), { button: 'right' }));
  await page.screenshot({ path: `${folder}/ui_marking.png` });
  await judge(page, 'marking');
  await page.keyboard.press(thing.key);
  await page.keyboard.press('Enter');
  await count(page, 1);
  seen.clicked = await objects(page);

  const [x, y] = at({ x: other.x - other.r, y: other.y - other.r });
  await drawing(page, 'click', async () => {
    await page.mouse.move(x, y);
    await page.mouse.down();
    const [toX, toY] = at({ x: other.x + other.r, y: other.y + other.r });
    await page.mouse.move((x + toX) / 2, (y + toY) / 2);
    await page.mouse.move(toX, toY);
    await page.mouse.up();
  });
  await page.keyboard.press(other.key);
  await page.keyboard.press('Enter');
  await count(page, 2);
  seen.asked = [...seen.segments];
  seen.dragged = await objects(page);
  await page.keyboard.press('Control+z');
  await count(page, 1);
  await page.keyboard.press('Control+y');
  await count(page, 2);

  seen.saved = {};
  for (const format of ['coco', 'label_studio', 'yolo']) {
    await page.check(`input[value=${format}]`, { force: true });
    const files = [];
    const collect = (download) => files.push(download);
    page.on('download', collect);
    await page.click('#save');
    await page.waitForFunction(() => document.getElementById('exported').textContent.startsWith('Saved'));
    await page.evaluate(() => { document.getElementById('exported').textContent = ''; });
    const wanted = { coco: 1, label_studio: 2, yolo: 2 }[format];
    while (files.length < wanted) await page.waitForEvent('download');
    page.off('download', collect);
    seen.saved[format] = {};
    for (const file of files) seen.saved[format][file.suggestedFilename()] = readFileSync(await file.path(), 'utf8');
  }
  await page.check('input[value=coco]', { force: true });
  await page.click('#copy');
  await page.waitForFunction(() => document.getElementById('exported').textContent.startsWith('Copied'));
  seen.copied = await page.evaluate(() => navigator.clipboard.readText());

  // Twenty objects, faster than any mask comes, and no tool bar.
  const answered = await hold(page, '**/ui/segment');
  const area = await page.locator('#layers').boundingBox();
  for (let i = 0; i < 20; ++i) {
    const [left, top] = [area.x + (area.width * (i % 5)) / 5 + 6, area.y + (area.height * Math.floor(i / 5)) / 4 + 6];
    await page.mouse.move(left, top);
    await page.mouse.down();
    await page.mouse.move(left + area.width / 7, top + area.height / 6, { steps: 2 });
    await page.mouse.up();
    await page.keyboard.press('Enter');
  }
  await count(page, 22);
  answered();
  await page.screenshot({ path: `${folder}/ui_many.png` });
  await page.close();
}

async function byKeyboard() {
  const page = await newPage({ viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2 });
  await page.goto(`${url}/ui/`);
  await page.waitForFunction(() => document.getElementById('models').textContent.includes(' + '));
  await judge(page, 'welcome, dark and narrow');
  await page.screenshot({ path: `${folder}/ui_welcome_narrow.png`, fullPage: true });
  await openFile(page);
  await page.keyboard.press('?');
  await judge(page, 'keys');
  await page.keyboard.press('Escape');
  await page.locator('#stage').focus();
  const found = (await objects(page)).length;
  // From the middle to the thing.
  const [thing] = things;
  const [width, height] = thing.size;
  const step = Math.max(1, Math.round(Math.max(width, height) / 100));
  const go = async (key, by) => {
    for (let i = 0; i < Math.round(Math.abs(by) / step); ++i) await page.keyboard.press(key);
  };
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowLeft');
  await drawing(page, 'hover', async () => {
    await go(thing.x < width / 2 ? 'ArrowLeft' : 'ArrowRight', thing.x - width / 2);
    await go(thing.y < height / 2 ? 'ArrowUp' : 'ArrowDown', thing.y - height / 2);
  });
  for (let left = found; left > 0; --left) {
    await page.keyboard.press(']');
    await page.keyboard.press('Delete');
    await count(page, left - 1);
  }
  seen.segments = [];
  await drawing(page, 'click', () => page.keyboard.press(' '));
  await page.keyboard.press(thing.key);
  await page.screenshot({ path: `${folder}/ui_keyboard_narrow.png`, fullPage: true });
  await page.keyboard.press('Enter');
  await count(page, 1);
  seen.byKeyboard = { objects: await objects(page), asked: [...seen.segments] };
  await judge(page, 'marked, dark and narrow');
  seen.narrow = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.close();
}

// What would be written, and is it well? In both widths.
async function otherParts() {
  seen.parts = {};
  for (const [name, options] of [['wide', { viewport: { width: 1280, height: 800 } }],
    ['narrow', { viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2 }]]) {
    const page = await newPage(options);
    await page.goto(`${url}/ui/#written`);
    await page.click('#ready-config');
    await page.waitForSelector('#goes table');
    const all = await page.textContent('#verdict');
    await page.fill('#config', '<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image"><Label value="Star"/><Label value="cow"/></RectangleLabels></View>');
    await page.waitForFunction(() => document.getElementById('verdict').textContent.startsWith('1 of'));
    const one = await page.textContent('#goes');
    await judge(page, `written, ${name}`);
    await page.screenshot({ path: `${folder}/ui_written_${name}.png`, fullPage: true });
    await page.fill('#config', '<View>');
    await page.waitForSelector('#verdict .bad');
    const bad = await page.textContent('#verdict');
    await page.click('a[href="#well"]');
    await page.waitForSelector('#services .lamp');
    await page.waitForSelector('#failures td');
    await page.waitForSelector('#projects summary');
    await page.click('#projects summary');
    await judge(page, `well, ${name}`);
    await page.screenshot({ path: `${folder}/ui_well_${name}.png`, fullPage: true });
    seen.parts[name] = {
      all, one, bad, width: await page.evaluate(() => document.documentElement.scrollWidth),
      services: await page.textContent('#services'), failures: await page.textContent('#failures'),
      requests: await page.textContent('#requests'), projects: await page.textContent('#projects'),
    };
    await page.close();
  }
}

// Pictures that are dropped and pasted, and a sample.
async function otherWays() {
  const page = await newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(`${url}/ui/`);
  const bytes = readFileSync(picture).toString('base64');
  seen.ways = {};
  for (const way of ['drop', 'paste']) {
    await page.evaluate(([kind, base64]) => {
      const file = new File([Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))], 'scene.jpg', { type: 'image/jpeg' });
      const data = new DataTransfer();
      data.items.add(file);
      document.getElementById('stage').dispatchEvent(kind === 'drop'
        ? new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })
        : new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
    }, [way, bytes]);
    await isReady(page);
    await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
    seen.ways[way] = await objects(page);
    await page.reload();
  }
  await page.click('[data-sample="sample_1.webp"]');
  await isReady(page);
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  seen.ways.sample = await objects(page);
  await page.setInputFiles('#file', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
  await page.waitForFunction(() => !document.getElementById('alert').hidden);
  seen.ways.text = await page.textContent('#alert');
  await page.close();
}

// What comes late, or at another picture's time.
async function races() {
  const page = await newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(`${url}/ui/`);
  await page.waitForFunction(() => document.getElementById('models').textContent.includes(' + '));
  const held = (path) => hold(page, path);
  seen.races = {};

  // The detector answers when something was marked and taken back.
  const detected = await held('**/ui/detect');
  const embedded = page.waitForResponse('**/ui/embed');
  await chooseFile(page);
  await embedded;
  const at = await placeOf(page);
  await drawing(page, 'click', () => page.mouse.click(...at(things[0])));
  await page.keyboard.press('Enter');
  await count(page, 1);
  await page.keyboard.press('Control+z');
  await count(page, 0);
  detected();
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  seen.races.found = (await objects(page)).length;
  await page.keyboard.press('Control+y');
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  seen.races.redone = (await objects(page)).length;

  // Gateways behind a load balancer, which don't have the picture yet.
  await page.reload();
  await page.route('**/ui/detect', (route) => route.fulfill({ status: 404, json: { error: 'It is not here.' } }), { times: 2 });
  await openFile(page);
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  seen.races.elsewhere = (await objects(page)).length;

  // Another picture is opened while masks of the one before are made.
  await page.reload();
  const segmented = await held('**/ui/segment');
  const first = page.waitForRequest('**/ui/segment');
  await page.click('[data-sample="sample_1.webp"]');
  await first;
  await openFile(page);
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  const next = page.waitForRequest('**/ui/segment', { timeout: 20_000 });
  segmented();
  seen.races.masks = JSON.parse((await next).postData()).prompts.length;
  await page.close();
}

try {
  await byMouse();
  await byKeyboard();
  await otherWays();
  await races();
  await otherParts();
  console.log(JSON.stringify(seen));
} catch (error) {
  const page = browser.contexts().flatMap((context) => context.pages()).at(-1);
  await page?.screenshot({ path: `${folder}/failure.png` });
  console.error(JSON.stringify({ ...seen, preview: undefined }));
  throw error;
} finally {
  await browser.close();
}
