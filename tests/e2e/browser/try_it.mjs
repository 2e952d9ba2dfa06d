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
    // What somebody selects stays selected while the page looks again.
    await page.evaluate(() => getSelection().selectAllChildren(document.querySelector('#failures td:last-child')));
    for (let looks = 0; looks < 2; ++looks) await page.waitForResponse('**/ui/trainings');
    const selected = await page.evaluate(() => String(getSelection()));
    await judge(page, `well, ${name}`);
    await page.screenshot({ path: `${folder}/ui_well_${name}.png`, fullPage: true });
    seen.parts[name] = {
      all, one, bad, selected, width: await page.evaluate(() => document.documentElement.scrollWidth),
      services: await page.textContent('#services'), failures: await page.textContent('#failures'),
      requests: await page.textContent('#requests'), projects: await page.textContent('#projects'),
    };
    await page.close();
  }

  // From elsewhere it is said once why there is no more.
  const page = await newPage({ viewport: { width: 1280, height: 800 }, extraHTTPHeaders: { 'X-Forwarded-For': '10.0.0.7' } });
  await page.goto(`${url}/ui/#well`);
  await page.waitForSelector('#not-told', { state: 'visible' });
  await judge(page, 'not told');
  seen.parts.elsewhere = await page.$$eval('#view-well h2', (all) => all.filter((one) => one.checkVisibility()).map((one) => one.textContent));
  await page.close();
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
  const next = page.waitForRequest('**/ui/segment', { timeout: 20_000 });
  await openFile(page);
  seen.races.masks = JSON.parse((await next).postData()).prompts.length;
  segmented();
  await page.close();
}

// The score, the ring, and the ways of a hand that the others don't go.
async function hands() {
  const page = await newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
  seen.hands = {};
  const { hands } = seen;
  const [thing, other] = things;
  const ask = page.waitForSelector('#alert', { state: 'visible' });
  // The page is there before the models.
  await page.route('**/ui/models', (route) => route.fulfill({ json: {
    detector: { reachable: false, error: 'it starts' }, segmenter: null, classes: [], score_threshold: 0.5, least_score: 0.05 } }), { times: 1 });
  await page.goto(`${url}/ui/`);
  await ask;
  hands.away = await page.textContent('#alert');
  await page.waitForSelector('#alert', { state: 'hidden' });
  hands.back = await page.textContent('#models');

  const hovers = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/ui/hover')) hovers.push(JSON.parse(request.postData()).prompts[0].points[0]);
  });
  await page.route('**/ui/images', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...await response.json(), encoder_seconds: 60 } });
  });
  const encoded = await hold(page, '**/ui/embed');
  await chooseFile(page);
  await page.waitForFunction(() => / s$/.test(document.getElementById('ring-text').textContent));
  hands.ring = await page.getAttribute('#ring', 'aria-valuetext');
  seen.axe['reading, dark'] = await violations(page);
  await page.screenshot({ path: `${folder}/ui_reading.png` });
  // A click isn't lost meanwhile.
  const at = await placeOf(page);
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  seen.segments = [];
  await drawing(page, 'click', () => page.mouse.click(...at(thing)));
  hands.early = seen.segments.length + await page.locator('#list [aria-pressed=true]').count();
  await page.keyboard.press('Escape');
  encoded();
  await isReady(page);
  await page.waitForSelector('#ring', { state: 'hidden' });

  hands.scores = [];
  await page.locator('#score').focus();
  for (const key of ['Home', 'End']) {
    await page.keyboard.press(key);
    const least = await page.inputValue('#score');
    await page.waitForFunction((score) => document.getElementById('score-text').textContent === `${score} %`, least);
    const shares = await page.$$eval('#list .share', (all) => all.map((one) => parseInt(one.textContent, 10)));
    hands.scores.push([Number(least), shares]);
  }
  // What is marked already is chosen by a click, and nothing is asked for.
  for (let left = await page.locator('#list li').count(); left > 0; --left) {
    await page.keyboard.press(']');
    await page.keyboard.press('Delete');
    await count(page, left - 1);
  }

  // Of what the pointer has passed while one answer was awaited, only the last is asked for.
  const answered = await hold(page, '**/ui/hover');
  const first = page.waitForRequest('**/ui/hover');
  await page.mouse.move(...at({ x: thing.x + 3, y: thing.y }));
  await first;
  hovers.length = 0;
  for (const by of [2, 1, -1, -2]) await page.mouse.move(...at({ x: thing.x + by, y: thing.y }));
  const last = page.waitForRequest('**/ui/hover');
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  answered();
  await last;
  await drawing(page, 'hover', () => page.mouse.move(...at(thing)));
  hands.hovered = [hovers[0][0] - thing.x, hovers.length];

  // Alt, and the button for those who have but one.
  seen.segments = [];
  await drawing(page, 'click', () => page.mouse.click(...at(thing)));
  await page.keyboard.down('Alt');
  await drawing(page, 'click', () => page.mouse.click(...at({ x: 2, y: 2 })));
  await page.keyboard.up('Alt');
  await page.click('#minus');
  await drawing(page, 'click', () => page.mouse.click(...at({ x: 4, y: 2 })));
  hands.kinds = seen.segments.at(-1)[0].points.map((point) => point[2]);
  await page.keyboard.press('Escape');

  // A box and what isn't in it, by keys alone.
  await page.locator('#stage').focus();
  seen.segments = [];
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('b');
  for (const key of ['ArrowRight', 'ArrowDown']) await page.keyboard.press(`Shift+${key}`);
  await drawing(page, 'click', () => page.keyboard.press('b'));
  await drawing(page, 'click', () => page.keyboard.press('n'));
  hands.keys = seen.segments.map(([prompt]) => [Boolean(prompt.box), prompt.points.map((point) => point[2])]);
  await page.close();
}

// Several pictures at once: each keeps what is marked in it.
async function severalPictures() {
  const page = await newPage({ viewport: { width: 390, height: 844 }, colorScheme: 'light', deviceScaleFactor: 2 });
  await page.goto(`${url}/ui/`);
  await page.waitForFunction(() => document.getElementById('models').textContent.includes(' + '));
  const buffer = readFileSync(picture);
  await page.setInputFiles('#file', ['a.jpg', 'b.jpg'].map((name) => ({ name, mimeType: 'image/jpeg', buffer })));
  await page.evaluate((data) => { window.pictureUrl = data; }, `data:image/jpeg;base64,${buffer.toString('base64')}`);
  await isReady(page);
  await page.waitForFunction(() => document.querySelectorAll('#list li').length > 0);
  const found = (await objects(page)).length;
  // No answer has come when the next one is opened.
  const answered = await hold(page, '**/ui/segment');
  const asked = page.waitForRequest((request) => request.url().endsWith('/ui/segment') && request.postData().includes('"points":[['));
  const at = await placeOf(page);
  await page.mouse.click(...at({ x: 3, y: 3 }));
  await page.keyboard.press('Enter');
  await asked;
  const shown = (name) => page.waitForFunction((wanted) => document.querySelector('#pictures [aria-current=true]')?.title === wanted, name);
  await page.keyboard.press('PageDown');
  await shown('b.jpg');
  await isReady(page);
  await count(page, found);
  answered();
  const other = await objects(page);
  await page.setInputFiles('#file', { name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('no picture') });
  await page.waitForSelector('#alert', { state: 'visible' });
  const kept = await objects(page);
  await page.click('#pictures [title="a.jpg"]');
  await shown('a.jpg');
  await count(page, found + 1);
  await page.click('#list li:last-child .pick');
  await page.waitForFunction(() => !document.getElementById('discard').disabled);
  seen.axe['several, narrow'] = await violations(page);
  await page.screenshot({ path: `${folder}/ui_several.png`, fullPage: true });
  seen.several = { found, other, kept, names: await page.$$eval('#pictures button', (all) => all.map((one) => one.getAttribute('aria-label'))),
    width: await page.evaluate(() => document.documentElement.scrollWidth), left: [] };

  // Who leaves with work that isn't saved is asked.
  const note = (dialog) => {
    seen.several.left.push(dialog.type());
    dialog.dismiss().catch(() => {});
  };
  page.on('dialog', note);
  await page.evaluate(() => { location.href = 'about:blank'; });
  await page.waitForFunction(() => document.getElementById('list') !== null);
  await page.click('#copy');
  await page.waitForFunction(() => document.getElementById('exported').textContent.startsWith('Copied'));
  await page.goto(`${url}/ui/`);
  await page.close();
}

try {
  await byMouse();
  await byKeyboard();
  await otherWays();
  await races();
  await hands();
  await severalPictures();
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
