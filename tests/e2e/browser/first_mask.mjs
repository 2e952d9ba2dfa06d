// README's way to the first mask, with the mouse: make a project, connect Duet, import an image, open it.
//
//   node first_mask.mjs SPECIFICATION.json
//
// The specification: {url, email, password, folder, name, config: the label config, backend: its URL, image: a file}. What is
// clicked are the words that README has. Leaves a screenshot, page.png, in `folder`. Prints {project: its id, regions:
// types shown, seconds: since the login}.
import { readFileSync } from 'node:fs';
import { loggedIn, ready, types, WAIT } from './labelling_page.mjs';

const { name, config, backend, image, ...session } = JSON.parse(readFileSync(process.argv[2]));

// What is visible and says just this.
const button = (page, word) => page.locator('button:visible', { hasText: new RegExp(`^${word}$`) });

await loggedIn(session, async (page) => {
  const began = Date.now();
  await page.goto(`${session.url}/projects`);
  await page.locator('button:visible', { hasText: /^Create( Project)?$/ }).first().click();
  await page.locator('#project_name').fill(name);
  await page.getByText('Labeling Setup', { exact: true }).click();
  await button(page, 'Custom template').click();
  await page.getByText('Code', { exact: true }).click();
  await page.locator('.CodeMirror').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText(config);
  await button(page, 'Save').click();
  await page.waitForURL(/\/projects\/\d+\/data/, WAIT);
  const project = Number(/projects\/(\d+)/.exec(page.url())[1]);

  await page.getByText('Settings', { exact: true }).first().click();
  await page.getByText('Model', { exact: true }).click();
  await button(page, 'Connect Model').click();
  await page.locator('input[name=title]').fill('Duet');
  await page.locator('input[name=url]').fill(backend);
  await page.getByText('Interactive preannotations').click();
  await button(page, 'Validate and Save').click();
  await page.getByText('Connected', { exact: true }).waitFor(WAIT);

  await page.goto(`${session.url}/projects/${project}/data`);
  await button(page, 'Import').first().click();
  await page.locator('input[type=file]').setInputFiles(image);
  await button(page, 'Import').last().click();
  await page.getByTestId('table-row').first().click();
  await ready(page);
  await page.waitForFunction(() => window.Htx.annotationStore.selected.regions.length > 0, null, WAIT);
  const seconds = (Date.now() - began) / 1000;
  await page.screenshot({ path: `${session.folder}/page.png` });
  console.log(JSON.stringify({ project, regions: await types(page, 'regions'), seconds }));
});
