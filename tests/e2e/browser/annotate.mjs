// Draws a prompt with a smart tool, accepts what the model suggests and submits the annotation.
//
//   node annotate.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, prompt: as labelling_page.mjs takes it, turns: by how
// many quarters the view is turned clockwise before that}. Screenshots of the image area, in `folder`: bare.png (before the
// prompt), drawn.png (after it). Prints {suggestions: types before accepting, regions: types after, annotation: its id
// in Label Studio}.
import { readFileSync } from 'node:fs';
import { accept, onTask, prompt, screenshot, submit, turn, types } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));

await onTask(specification, async (page) => {
  await turn(page, specification.turns ?? 0);
  await screenshot(page, `${specification.folder}/bare.png`);
  await prompt(page, specification.prompt);
  await screenshot(page, `${specification.folder}/drawn.png`);
  const suggestions = await types(page, 'suggestions');
  await accept(page);
  const regions = await types(page, 'regions');
  console.log(JSON.stringify({ suggestions, regions, annotation: await submit(page) }));
});
