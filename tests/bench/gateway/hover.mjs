// How long it takes from a pointer that moves over a picture on the page at /ui until the mask of what is below it is drawn.
//
//   node tests/bench/gateway/hover.mjs http://127.0.0.1:8003 [moves, 300] [masks that are there already, 0]
//
// Needs the packages of tests/e2e/browser (npm ci). The pointer moves every 50 ms along an ellipse over the page's first
// sample. Prints, for the masks that were drawn, the milliseconds from the event to the frame after which they are seen.
import { chromium } from '../../e2e/browser/node_modules/playwright-core/index.mjs';

const [url, moves = '300', objects = '0'] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.addInitScript(() => {
    window.took = { hover: [], click: [] };
    document.addEventListener('duet-drawn', ({ detail }) => window.took[detail.kind].push(detail.ms));
    window.ready = new Promise((done) => document.addEventListener('duet-ready', done, { once: true }));
  });
  await page.goto(`${url}/ui/`);
  await page.click('[data-sample="sample_1.webp"]');
  await page.evaluate(() => window.ready);
  const area = await page.locator('#layers').boundingBox();
  const at = (angle, radius) => [area.x + area.width * (0.5 + radius * Math.cos(angle)), area.y + area.height * (0.5 + radius * Math.sin(angle))];
  for (let i = 0; i < Number(objects); ++i) {
    const [x, y] = at(i, 0.1 + (0.3 * (i % 7)) / 7);
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + 50, y + 50, { steps: 3 });
    await page.mouse.up();
    await page.keyboard.press('Enter');
  }
  await page.waitForFunction((wanted) => window.took.click.length >= wanted, Number(objects));
  for (let i = 0; i < Number(moves); ++i) {
    await page.mouse.move(...at((2 * Math.PI * i) / 97, 0.35));
    await new Promise((done) => setTimeout(done, 50));
  }
  const took = (await page.evaluate(() => window.took.hover)).sort((a, b) => a - b);
  const share = (part) => Number(took[Math.min(took.length - 1, Math.floor(part * took.length))].toFixed(1));
  console.log(JSON.stringify({ moves: Number(moves), objects: Number(objects), drawn: took.length, p50_ms: share(0.5), p95_ms: share(0.95), most_ms: share(1) }));
} finally {
  await browser.close();
}
