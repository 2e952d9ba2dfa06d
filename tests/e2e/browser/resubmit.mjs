// Submits what a task was opened with, its prediction, as the editor writes it back.
//
//   node resubmit.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, regions: how many there are}. Prints {shown: labels of
// each region as the editor finds them in its label config, annotation: its id in Label Studio}.
import { readFileSync } from 'node:fs';
import { WAIT, onTask, submit } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));

await onTask(specification, async (page) => {
  await page.waitForFunction((count) => window.Htx.annotationStore.selected.regions.length === count,
    specification.regions, WAIT);
  await page.waitForLoadState('networkidle');
  const shown = await page.evaluate(() => [...window.Htx.annotationStore.selected.regions.values()].map((region) =>
    region.results.flatMap((result) => result.from_name.findLabel ? result.selectedLabels.map((label) => label.value) : [])));
  console.log(JSON.stringify({ shown, annotation: await submit(page) }));
});
