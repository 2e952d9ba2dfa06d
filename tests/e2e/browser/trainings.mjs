// A project's training on the gateway's page, and the way back to the model before, by keyboard.
//
//   node trainings.mjs SPECIFICATION.json
//
// The specification: {url, folder, project: its number}. Leaves screenshots in `folder`; prints what was seen, as JSON.
import { readFileSync } from 'node:fs';
import { NARROW, WIDE, launch, newPage, violations } from './pages.mjs';

const { url, folder, project } = JSON.parse(readFileSync(process.argv[2]));
const seen = { errors: [], axe: {} };
const browser = await launch();

const back = `[data-key="back detector project-${project}"]`;
const asked = [];

async function open(options) {
  const page = await newPage(browser, options, seen.errors);
  page.on('request', (request) => {
    if (request.url().endsWith('/ui/rollback')) asked.push(JSON.parse(request.postData()));
  });
  await page.goto(`${url}/ui/#well`);
  await page.waitForSelector(back);
  return page;
}

// Moves the focus by the Tab key alone.
async function tabTo(page, selector) {
  for (let i = 0; i < 200; ++i) {
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the Tab key doesn't lead to ${selector}`);
}

try {
  const narrow = await open(NARROW);
  await narrow.click('#trainings summary');
  seen.axe.narrow = await violations(narrow);
  // Words that stand one letter a line are not read.
  seen.narrowest = await narrow.$$eval('#jobs td', (cells) => Math.min(...cells.map((cell) => cell.clientWidth)));
  seen.width = await narrow.evaluate(() => document.documentElement.scrollWidth);
  await narrow.screenshot({ path: `${folder}/ui_trainings_narrow.png`, fullPage: true });
  await narrow.close();

  const page = await open(WIDE);
  await tabTo(page, '#trainings summary');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#trainings details[open] .curve');
  seen.training = await page.textContent('#trainings details');
  seen.loss = await page.$eval('.curve .loss', (line) => line.points.numberOfItems);
  seen.label = await page.getAttribute('.curve', 'aria-label');
  seen.serves = await page.textContent('.serves');
  seen.queue = await page.textContent('#queue-detector');
  seen.axe.wide = await violations(page);
  await page.screenshot({ path: `${folder}/ui_trainings_wide.png`, fullPage: true });

  // Escape leaves it; what had the focus gets it back.
  await page.keyboard.press('Shift+Tab');
  await tabTo(page, back);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#confirm[open]');
  seen.axe.confirm = await violations(page);
  seen.confirm = await page.textContent('#confirm-text');
  await page.screenshot({ path: `${folder}/ui_rollback.png` });
  await page.keyboard.press('Escape');
  await page.waitForSelector('#confirm', { state: 'hidden' });
  seen.left = [...asked];
  seen.focus = await page.evaluate((wanted) => document.activeElement.matches(wanted), back);
  await page.keyboard.press('Enter');
  await tabTo(page, '#confirm [value=yes]');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#trainings-said', { state: 'visible' });
  seen.said = await page.textContent('#trainings-said');
  await page.waitForFunction(() => document.querySelector('.serves').textContent.includes('the model for all projects serves'));
  seen.asked = asked;
  console.log(JSON.stringify(seen));
} catch (error) {
  const page = browser.contexts().flatMap((context) => context.pages()).at(-1);
  await page?.screenshot({ path: `${folder}/failure.png`, fullPage: true });
  console.error(JSON.stringify(seen));
  throw error;
} finally {
  await browser.close();
}
