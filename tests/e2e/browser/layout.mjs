// Where the labels of a config with one list of them lie, and how one of many is found.
//
//   node layout.mjs SPECIFICATION.json
//
// The specification: {url, email, password, project, task, folder, viewport: {width, height}, find: a label, or none}. Leaves a
// screenshot of the window, page.png, in `folder`. Prints
// {column, image: {x, y, width, height} of what scrolls the labels and of the image; lists: how many lists of labels there are;
// hotkey: the label that the key 1 chooses; found: the label that is chosen after its name was typed into the search field}.
import { readFileSync } from 'node:fs';
import { WAIT, onTask } from './labelling_page.mjs';

const { find, ...task } = JSON.parse(readFileSync(process.argv[2]));

// The label that is chosen, once there is one.
async function chosen(page) {
  const labels = () => page.evaluate(() => [...window.Htx.annotationStore.selected.names.values()]
    .filter((tag) => tag.type.endsWith('labels')).flatMap((tag) => tag.selectedLabels.map((label) => label.value)));
  await page.waitForFunction(() => [...window.Htx.annotationStore.selected.names.values()]
    .some((tag) => tag.type.endsWith('labels') && tag.selectedLabels.length > 0), null, WAIT);
  return (await labels()).join();
}

await onTask(task, async (page) => {
  await page.waitForLoadState('networkidle');
  const lists = page.locator('.lsf-labels');
  const seen = { lists: await lists.count() };
  seen.column = await lists.first().locator('xpath=..').boundingBox();
  seen.image = await page.locator('.konvajs-content').first().boundingBox();
  await page.screenshot({ path: `${task.folder}/page.png` });
  await page.keyboard.press('1');
  seen.hotkey = await chosen(page);
  if (find) {
    await page.keyboard.press('Escape');
    await page.keyboard.press('Shift+F');
    await page.keyboard.type(find);
    await page.keyboard.press('Enter');
    await page.waitForFunction((name) => [...window.Htx.annotationStore.selected.names.values()]
      .some((tag) => tag.type.endsWith('labels') && tag.selectedLabels.some((label) => label.value === name)), find, WAIT);
    seen.found = await chosen(page);
  }
  console.log(JSON.stringify(seen));
});
