// Draws prompts with smart tools, accepts what the model suggests after each, and submits the annotation.
//
//   node annotate.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, prompts: a list of what labelling_page.mjs takes as a
// prompt, turns: by how many quarters the view is turned clockwise before that}. Screenshots of the image area, in `folder`:
// bare.png (before the prompts), drawn.png (after the last). Prints {suggestions: for each prompt the types before accepting,
// regions: all types after, annotation: its id in Label Studio}.
import { readFileSync } from 'node:fs';
import { accept, onTask, prompt, screenshot, submit, turn, types } from './labelling_page.mjs';

const specification = JSON.parse(readFileSync(process.argv[2]));

await onTask(specification, async (page) => {
  await turn(page, specification.turns ?? 0);
  await screenshot(page, `${specification.folder}/bare.png`);
  const suggestions = [];
  for (const each of specification.prompts) {
    await prompt(page, each);
    await screenshot(page, `${specification.folder}/drawn.png`);
    suggestions.push(await types(page, 'suggestions'));
    await accept(page);
  }
  const regions = await types(page, 'regions');
  console.log(JSON.stringify({ suggestions, regions, annotation: await submit(page) }));
});
