// Gives all regions within a rectangle another label and submits the annotation.
//
//   node correct.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, within: {x, y, to: {x, y}} (percent of the image), label}.
// Prints {before: labels of all regions, after: the same, annotation: its id in Label Studio}.
import { readFileSync } from 'node:fs';
import { WAIT, chooseLabel, drag, onTask, submit } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));

const labels = (page) => page.evaluate(() =>
  [...window.Htx.annotationStore.selected.regions.values()].map((region) => region.labels.join()));

await onTask(specification, async (page) => {
  await page.waitForFunction(() => window.Htx.annotationStore.selected.regions.length > 0, null, WAIT);
  await page.waitForLoadState('networkidle');
  const before = await labels(page);
  await page.locator('button[aria-label=move-tool]').click();
  await drag(page, specification.within);
  await page.waitForFunction(() => window.Htx.annotationStore.selected.selectedRegions.length > 0, null, WAIT);
  await chooseLabel(page, specification.label);
  console.log(JSON.stringify({ before, after: await labels(page), annotation: await submit(page) }));
});
