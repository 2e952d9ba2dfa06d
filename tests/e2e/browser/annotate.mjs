// Draws a prompt with a smart tool, accepts what the model suggests and submits the annotation.
//
//   node annotate.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, prompt: as labelling_page.mjs takes it, turns: by how
// many quarters the view is turned clockwise before that}. Screenshots of the image area, in `folder`: bare.png (before the
// prompt), drawn.png (after it). Prints {suggestions: types before accepting, regions: types after, annotation: its id
// in Label Studio}.
import { readFileSync } from 'node:fs';
import { WAIT, onTask, prompt, screenshot, turn, types } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));

await onTask(specification, async (page) => {
  await turn(page, specification.turns ?? 0);
  await screenshot(page, `${specification.folder}/bare.png`);
  await prompt(page, specification.prompt);
  await screenshot(page, `${specification.folder}/drawn.png`);
  const suggestions = await types(page, 'suggestions');
  await page.getByTestId('bottombar-accept-suggestions-button').click();
  await page.waitForFunction(() => window.Htx.annotationStore.selected.suggestions.size === 0, null, WAIT);
  const regions = await types(page, 'regions');
  const saved = page.waitForResponse((response) => response.request().method() === 'POST' &&
    /\/api\/tasks\/\d+\/annotations/.test(response.url()) && response.ok(), WAIT);
  await page.getByTestId('bottombar-submit-button').click();
  const { id } = await (await saved).json();
  console.log(JSON.stringify({ suggestions, regions, annotation: id }));
});
