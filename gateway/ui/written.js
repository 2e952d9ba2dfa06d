// What Duet would write into a project: a label config is pasted, and where each class goes is told.
import { $, element } from './dom.js';
import { copy } from './export.js';
import { NewestFirst, post } from './gateway.js';

const questions = new NewestFirst((body, signal) => post('config', body, signal), (_, answer) => show(answer), (error) => refuse(error.message));

function ask() {
  const config = $('config').value.trim();
  $('copy-config').disabled = !config;
  if (!config) {
    questions.cancel();
    $('verdict').replaceChildren(element('p', { class: 'fine' }, 'Nothing is pasted yet.'));
    $('goes').replaceChildren();
    return;
  }
  const body = { label_config: config };
  for (const [field, id, what] of [['extra_params', 'params', 'The extra parameters are'], ['task_data', 'task', "The task's data is"]]) {
    const text = $(id).value.trim();
    try {
      if (text) body[field] = JSON.parse(text);
    } catch {
      refuse(`${what} not JSON.`);
      return;
    }
  }
  questions.want(body);
}

function refuse(sentence) {
  $('verdict').replaceChildren(element('p', { class: 'bad' }, sentence));
  $('goes').replaceChildren();
}

function show({ images, unmatched, problems, depends_on_task: dependsOnTask }) {
  const written = new Set(images.flatMap((image) => image.classes.map((one) => one.class)));
  const verdict = problems.map((sentence) => element('p', { class: 'bad' }, sentence));
  if (written.size) {
    const all = written.size + unmatched.length;
    verdict.unshift(element('p', { class: 'good' }, unmatched.length
      ? `${written.size} of the model's ${all} classes are written.` : `All of the model's ${all} classes are written.`));
  }
  if (dependsOnTask) verdict.push(element('p', { class: 'fine' }, "This config takes images or labels from each task: give a task's data below it."));
  $('verdict').replaceChildren(...verdict);
  const made = images.map((image) => {
    const rows = image.classes.map((one) => element('tr', {},
      element('th', { scope: 'row' }, one.class),
      element('td', {}, element('ul', {}, ...one.targets.map((target) => element('li', { class: 'target' },
        element('b', {}, target.label ?? 'no label'), ` in ${target.control} (${target.tag})`))))));
    const smart = image.smart.map((one) => `${one.control} (${one.tag})`).join(', ');
    const caption = `Image "${image.name}"${smart ? `: clicks by ${smart}` : ': no smart tool, so no clicks'}`;
    return element('table', {}, element('caption', {}, caption), element('tbody', {}, ...rows));
  });
  if (unmatched.length) {
    made.push(element('table', {}, element('caption', {}, 'Dropped: no label has their name'),
      element('tbody', {}, element('tr', {}, element('td', { class: 'dropped' }, unmatched.join(', '))))));
  }
  $('goes').replaceChildren(...made);
}

for (const id of ['config', 'params', 'task']) $(id).addEventListener('input', ask);
$('ready-config').addEventListener('click', async () => {
  try {
    const answer = await fetch('../label-config');
    if (!answer.ok) throw new Error((await answer.json()).error);
    $('config').value = await answer.text();
    ask();
  } catch (error) {
    refuse(error.message);
  }
});
$('copy-config').addEventListener('click', async () => {
  try {
    await copy($('config').value);
    $('copy-config').textContent = 'Copied';
    setTimeout(() => { $('copy-config').textContent = 'Copy the config'; }, 2000);
  } catch (error) {
    refuse(error.message);
  }
});
