// Trainings with their curves and verdicts, which versions of projects' models serve, and the way
// back to the version before.
import { $, bar, element, shape } from './dom.js';
import { post } from './gateway.js';

const RUNS = ['queued', 'freezing', 'training', 'comparing'];
const OUTCOMES = { better: 'better than the one before', not_better: 'not better than the one before', undecided: 'too few images to tell' };
const called = (version) => (version === 0 ? 'the model for all projects' : `version ${version}`);
const share = (number) => number.toFixed(3);

// Of points [[step, loss, score], …]: the loss falls, the score rises, each in its own measure.
function curve(points, name) {
  const [width, height] = [600, 110];
  const steps = [points[0][0], Math.max(points[0][0] + 1, points.at(-1)[0])];
  const plot = shape('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', preserveAspectRatio: 'none', class: 'curve' });
  const says = [];
  for (const [column, kind] of [[1, 'loss'], [2, 'score']]) {
    const known = points.filter((point) => point[column] !== null);
    if (!known.length) continue;
    const values = known.map((point) => point[column]);
    const [low, high] = [kind === 'score' ? 0 : Math.min(...values), kind === 'score' ? 1 : Math.max(...values)];
    const at = known.map((point) => [
      (width * (point[0] - steps[0])) / (steps[1] - steps[0]),
      4 + ((height - 8) * (high - point[column])) / (high - low || 1),
    ]);
    if (at.length === 1) at.splice(0, 1, [0, at[0][1]], [width, at[0][1]]);
    plot.append(shape('polyline', { class: kind, points: at.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ') }));
    says.push(`${kind} ${share(values[0])}${values.length > 1 ? ` to ${share(values.at(-1))}` : ''}`);
  }
  const sentence = `Steps ${points[0][0]} to ${points.at(-1)[0]}: ${says.join(', ')}.`;
  plot.setAttribute('aria-label', `${name}. ${sentence}`);
  return [plot, element('p', { class: 'fine legend' },
    ...says.map((text) => element('span', { class: text.split(' ')[0] }, text)), `over steps ${points[0][0]} to ${points.at(-1)[0]}`)];
}

function training(one) {
  const name = `Project ${one.project}, ${one.kind}`;
  const { step, steps, remaining_s: left } = one.progress ?? {};
  const runs = RUNS.includes(one.state);
  const said = one.verdict ? OUTCOMES[one.verdict.outcome] ?? one.state : one.state;
  const details = element('details', { 'data-key': one.job, ...(runs ? { open: '' } : {}) },
    element('summary', { 'data-key': `${one.job} summary` }, `${name}: ${said}`));
  if (runs && steps) {
    details.append(element('p', { class: 'done' }, bar(name, step, steps), `step ${step} of ${steps}${left ? `, about ${Math.ceil(left)} s left` : ''}`));
  }
  if (one.curve.length) details.append(...curve(one.curve, name));
  if (one.verdict && one.verdict.outcome !== 'unspecified') {
    const { old_score: before, new_score: after, version, parent, images_needed: needed } = one.verdict;
    details.append(element('p', {}, `Version ${version}: ${share(after)}; ${called(parent)}: ${share(before)}, on the images for comparison.`));
    if (needed) details.append(element('p', { class: 'fine' }, `Some ${needed} annotated images would probably decide it.`));
  }
  details.append(element('p', { class: one.state === 'failed' ? 'bad' : 'fine' }, one.message));
  if (one.decision) details.append(element('p', { class: 'fine' }, `${one.decision}.`));
  const by = `${one.images} images, ${one.annotations} annotations; asked for by ${one.requested_by}`;
  details.append(element('p', { class: 'fine' }, one.queued_at ? `${by}, ${new Date(one.queued_at).toLocaleString()}.` : `${by}.`));
  return details;
}

function say(text, bad) {
  $('trainings-said').textContent = text;
  $('trainings-said').className = bad ? 'bad' : 'good';
  $('trainings-said').hidden = false;
}

function confirmed(title, text) {
  const dialog = $('confirm');
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), { once: true }));
}

async function rollBack(one, changed) {
  const whose = `${one.project ? `project ${one.project}` : one.name}'s ${one.kind}`;
  const sure = await confirmed(`Roll back ${whose}?`,
    `Now ${called(one.version)} answers; from then on ${called(one.previous)} does. Nothing is deleted, and the way back is the same.`);
  if (!sure) return;
  try {
    const { version } = await post('rollback', { kind: one.kind, name: one.name, from: one.version, to: one.previous });
    say(`From now on ${called(version)} answers for ${whose}.`);
  } catch (error) {
    say(error.message, true);
  }
  changed();
}

function serving(one, changed) {
  const name = `${one.project ? `Project ${one.project}` : one.name}, ${one.kind}`;
  if (one.error) return element('p', { class: 'bad' }, `${name}: ${one.error}`);
  const about = element('div', {}, element('b', {}, `${name}: ${called(one.version)} serves`),
    element('p', { class: 'fine' }, `by ${one.by || 'nobody known'}${one.changed ? `, ${new Date(one.changed).toLocaleString()}` : ''}${one.reason ? `: ${one.reason}` : ''}`));
  if (one.previous === one.version) return element('div', { class: 'service' }, about);
  const back = element('button', { type: 'button', 'data-key': `back ${one.kind} ${one.name}`, 'aria-label': `${name}: back to ${called(one.previous)}` }, `Back to ${called(one.previous)}`);
  back.addEventListener('click', () => rollBack(one, changed));
  return element('div', { class: 'service serves' }, about, back);
}

// `changed()` is called when something was rolled back.
export function trainingsAndServing(answer, changed) {
  const made = [...answer.serving.map((one) => serving(one, changed)), ...answer.trainings.map(training)];
  if (answer.error) made.unshift(element('p', { class: 'bad' }, answer.error));
  if (!made.length) made.push(element('p', { class: 'fine' }, answer.trainer ? 'Nothing was trained yet.' : 'Nothing is trained here: the gateway has no --trainer.'));
  return made;
}
