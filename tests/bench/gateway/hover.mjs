// How long it takes from a pointer that moves over a picture on the page at /ui until the mask of what is below it is drawn.
//
//   node tests/bench/gateway/hover.mjs http://127.0.0.1:8003 [moves, 300] [masks that are there already, 0]
//
// Needs the packages of tests/e2e/browser (npm ci). The pointer moves every 50 ms along an ellipse over the page's first
// sample. Prints, for the masks that were drawn, the milliseconds from the event to the frame after which they are seen; of these
// what the requests took (asked), and what the last hundred waited in the segmenter's queue; and which part of the processor was idle
// or stolen by other virtual machines meanwhile. Where a run is slow and its requests aren't, the browser is.
import { readFileSync } from 'node:fs';
import { chromium } from '../../e2e/browser/node_modules/playwright-core/index.mjs';

const [url, moves = '300', objects = '0'] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.addInitScript(() => {
    performance.setResourceTimingBufferSize(100_000);
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
  // User, nice, system, idle, waiting, interrupts, soft interrupts and stolen, in ticks.
  const ticks = () => readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/ +/).slice(1, 9).map(Number);
  const before = ticks();
  for (let i = 0; i < Number(moves); ++i) {
    await page.mouse.move(...at((2 * Math.PI * i) / 97, 0.35));
    await new Promise((done) => setTimeout(done, 50));
  }
  const spent = ticks().map((now, i) => now - before[i]);
  const part = (...which) => Number((which.reduce((sum, i) => sum + spent[i], 0) / spent.reduce((a, b) => a + b)).toFixed(2));
  const shares = (times) => {
    const sorted = [...times].sort((a, b) => a - b);
    const share = (part) => Number(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))].toFixed(1));
    return { p50_ms: share(0.5), p95_ms: share(0.95), most_ms: share(1) };
  };
  const { took, asked } = await page.evaluate(() => ({
    took: window.took.hover, asked: performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/ui/hover')).map((one) => one.duration) }));
  const { services } = await (await fetch(`${url}/ui/requests`)).json();
  console.log(JSON.stringify({
    moves: Number(moves), objects: Number(objects), drawn: took.length, ...shares(took), asked: shares(asked), queued: shares(services.segmenter.queue_ms),
    idle: part(3, 4), stolen: part(7) }));
} finally {
  await browser.close();
}
