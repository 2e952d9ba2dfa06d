// Clicks with the smart keypoint into an object that has regions already: plainly and with Alt, which takes hold of them; then
// with Control, and with Control and Alt.
//
//   node click_through.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, label, at: {x, y}, but_not: {x, y}} (points of the object,
// in percent of the image). Prints {selected: how many regions each of the first two clicks selected, suggestions: their types
// after the last}.
import { readFileSync } from 'node:fs';
import { WAIT, chooseLabel, chooseSmartTool, click, onTask, types } from './labelling_page.mjs';

const { at, but_not: butNot, label, ...task } = JSON.parse(readFileSync(process.argv[2]));

const selectedRegions = (page) => page.evaluate(() => window.Htx.annotationStore.selected.selectedRegions.length);

const answered = (page) => page.waitForResponse((response) => /interactive-annotating/.test(response.url()), WAIT);

await onTask(task, async (page) => {
  await page.waitForFunction(() => window.Htx.annotationStore.selected.regions.length > 0, null, WAIT);
  await page.waitForLoadState('networkidle');
  await chooseSmartTool(page, 'key-point');
  const selected = [];
  for (const held of [[], ['Alt']]) {
    await chooseLabel(page, label);
    await click(page, { ...at, held });
    await page.waitForFunction(() => window.Htx.annotationStore.selected.selectedRegions.length > 0, null, WAIT);
    selected.push(await selectedRegions(page));
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => window.Htx.annotationStore.selected.selectedRegions.length === 0, null, WAIT);
  }
  await chooseLabel(page, label);
  for (const [point, held] of [[at, ['Control']], [butNot, ['Control', 'Alt']]]) {
    const answer = answered(page);
    await click(page, { ...point, held });
    await answer;
    await page.waitForFunction(() => window.Htx.annotationStore.selected.suggestions.size > 0, null, WAIT);
  }
  console.log(JSON.stringify({ selected, suggestions: await types(page, 'suggestions') }));
});
