// Takes a screenshot of a task's image area with the regions that Label Studio shows on it.
//
//   node show.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, prompt (optional: as labelling_page.mjs takes it)}.
// Screenshots, in `folder`: drawn.png (the prediction's regions, or the suggestion after the prompt), bare.png (without).
// Prints {regions: types shown}.
import { readFileSync } from 'node:fs';
import { WAIT, onTask, prompt, screenshot, types } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));
const { folder } = specification;

await onTask(specification, async (page) => {
  await page.waitForLoadState('networkidle');
  if (specification.prompt) {
    await screenshot(page, `${folder}/bare.png`);
    await prompt(page, specification.prompt);
    await screenshot(page, `${folder}/drawn.png`);
    console.log(JSON.stringify({ regions: await types(page, 'suggestions') }));
    return;
  }
  await page.waitForFunction(() => window.Htx.annotationStore.selected.regions.length > 0, null, WAIT);
  await screenshot(page, `${folder}/drawn.png`);
  console.log(JSON.stringify({ regions: await types(page, 'regions') }));
  await page.getByLabel('Hide all regions').click();
  await screenshot(page, `${folder}/bare.png`);
});
