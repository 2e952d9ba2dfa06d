// What the tests of the gateway's page have in common: a browser, and axe's rules.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

export const WIDE = { viewport: { width: 1280, height: 800 }, colorScheme: 'light' };
export const NARROW = { viewport: { width: 390, height: 844 }, colorScheme: 'dark', deviceScaleFactor: 2 };

export const launch = () => chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});

// A page in a context of its own. What goes wrong in it is appended to `errors`; a refusal doesn't: it is an answer, which the
// page shows.
export async function newPage(browser, options, errors) {
  const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'], ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of 40[034]/.test(message.text())) errors.push(message.text());
  });
  return page;
}

// Which of axe's rules are broken. They run in a world of their own: the page's policy lets no other script run in it.
export async function violations(page) {
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id, worldName: 'axe' });
  const run = (expression) => session.send('Runtime.evaluate', { contextId: executionContextId, expression, awaitPromise: true, returnByValue: true });
  await run(readFileSync(AXE, 'utf8'));
  const { result } = await run('axe.run(document, { resultTypes: ["violations"] }).then((all) => all.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html).join(" ")}`))');
  return result.value;
}
