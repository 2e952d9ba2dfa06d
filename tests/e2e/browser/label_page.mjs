// Opens a task in Label Studio's labelling page as an annotator does, clicks with the smart keypoint tool, and
// leaves screenshots of the image area behind, for the test to look at.
//
//   node label_page.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, click: {x, y (percent of the image), label}}.
// Screenshots, in `folder`: regions.png (predictions shown), hidden.png (the same, hidden), click.png (after the click),
// page.png (the whole window). Prints {regions: types shown at first, suggestions: types after the click}.
import { readFileSync } from 'node:fs';
import { WAIT, onTask, prompt, screenshot, types } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));
const { folder } = specification;

await onTask(specification, async (page) => {
  await page.waitForFunction(() => window.Htx.annotationStore.selected.regions.length > 0, null, WAIT);
  const regions = await types(page, 'regions');
  await page.waitForLoadState('networkidle');
  await screenshot(page, `${folder}/regions.png`);
  await page.getByLabel('Hide all regions').click();
  await screenshot(page, `${folder}/hidden.png`);

  await prompt(page, specification.click);
  const suggestions = await types(page, 'suggestions');
  await screenshot(page, `${folder}/click.png`);
  await page.screenshot({ path: `${folder}/page.png` });
  console.log(JSON.stringify({ regions, suggestions }));
});
