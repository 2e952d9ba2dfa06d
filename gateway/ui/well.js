// How the gateway and its services are, and what became of what they were asked; asked anew every two
// seconds while it is looked at.
import { $, bar, element, fill, shape, table } from './dom.js';
import { get } from './gateway.js';
import { trainingsAndServing } from './trainings.js';

const EVERY_MS = 2000;

// What each part was drawn from. It is drawn anew only if it says something else, so that what
// somebody has selected in it stays selected.
const drawn = new Map();

function draw(id, facts, make) {
  const text = JSON.stringify(facts);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  fill($(id), make(facts));
}

function time(text) {
  const made = element('time', { datetime: text }, new Date(text).toLocaleTimeString());
  made.title = new Date(text).toLocaleString();
  return made;
}

// ---- services

// What the gateway's own calls have met: how many are under way, and how long the last ones waited.
function queue(calls) {
  const waits = [...calls.queue_ms].sort((a, b) => a - b);
  const under = calls.under_way === 1 ? '1 call waits or is worked at' : `${calls.under_way} calls wait or are worked at`;
  const waited = waits.length
    ? ` Half of the last ${waits.length} waited up to ${ms(waits[Math.floor(waits.length / 2)])}, the longest ${ms(waits.at(-1))}.` : '';
  return `${under}.${waited} ${calls.answered} answered, ${calls.failed} failed.`;
}

const ms = (number) => `${number < 10 ? number.toFixed(1) : Math.round(number)} ms`;

function service(name, one) {
  if (!one) return [];
  const versions = Object.entries(one.versions ?? {});
  const facts = [`${one.replicas} ${one.replicas === 1 ? 'replica' : 'replicas'}`];
  if (versions.length > 1) facts.push(`${versions.length} versions: they are being rolled`);
  const parts = [
    element('span', { class: one.reachable ? 'lamp on' : 'lamp off' }),
    element('div', {}, element('b', {}, `${name}: ${one.name ?? 'not heard of yet'}`),
      element('p', { class: 'fine' }, `${one.reachable ? 'answers' : 'is away'}, ${facts.join(', ')}`),
      ...versions.map(([version, replicas]) => element('p', { class: 'fine version' }, versions.length > 1 ? `${version} (${replicas})` : version)),
      ...(one.error ? [element('p', { class: 'bad' }, one.error)] : [])),
  ];
  const names = (one.names ?? []).map((model) => {
    const loaded = Object.keys(model.loaded);
    const state = model.error ?? (loaded.length ? `version ${loaded.join(', ')} is loaded` : 'is loaded when it is asked for');
    return element('p', { class: 'fine' }, `${model.name}: version ${model.stored_version}; ${state}`);
  });
  parts[1].append(...names);
  return [element('div', { class: 'service' }, ...parts)];
}

function upFor(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return minutes ? `${minutes} min` : 'less than a minute';
  return `${Math.floor(minutes / 60)} h`;
}

function services({ root, calls, up, connectedOnes }) {
  const profiles = root.profiles ? { '': root, ...root.profiles } : { '': root };
  const made = Object.entries(profiles).flatMap(([name, profile]) => {
    const its = [...service('Detector', profile.detector), ...service('Segmenter', profile.segmenter)];
    return name && its.length ? [element('h3', {}, `Profile ${name}`), ...its] : its;
  });
  for (const [name, key] of [['Detector', 'detector'], ['Segmenter', 'segmenter']]) {
    if (root[key] || calls[key].answered + calls[key].failed) made.push(element('p', { class: 'fine', id: `queue-${key}` }, `Queue of the ${name.toLowerCase()}: ${queue(calls[key])}`));
  }
  made.push(element('p', { class: 'fine' }, `Gateway ${root.version}, up for ${up}.`));
  // A project that has connected says below itself what is wrong with its label config.
  for (const warning of root.warnings ?? []) {
    if (warning.about === 'label_config' && connectedOnes.includes(`${warning.profile}/${warning.project}`)) continue;
    made.push(element('p', { class: 'bad' }, `Project ${warning.project}: ${warning.warning}`));
  }
  return made;
}

// ---- the last requests

// Who goes away before the answer (499) has lost interest, and nothing has failed.
const hasFailed = (one) => one.status >= 400 && one.status !== 499;

// A bar a request, the newest on the right; its height is the logarithm of the time.
function lastRequests({ requests, images, projects, services: { segmenter } }) {
  const [width, height] = [600, 120];
  const most = Math.max(100, ...requests.map((one) => one.elapsed_ms));
  const plot = shape('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', preserveAspectRatio: 'none' });
  const failed = requests.filter(hasFailed);
  const sorted = requests.map((one) => one.elapsed_ms).sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  const says = requests.length === 1 ? `One request so far, within ${Math.round(median)} ms; ${failed.length} failed.` : requests.length
    ? `The last ${requests.length} requests: half of them within ${Math.round(median)} ms, the slowest ${Math.round(sorted.at(-1))} ms, ${failed.length} failed.`
    : 'No requests yet.';
  plot.setAttribute('aria-label', says);
  requests.forEach((one, i) => {
    const tall = 6 + ((height - 8) * Math.log(1 + one.elapsed_ms)) / Math.log(1 + most);
    const bar = shape('rect', { x: width - 6 * (i + 1) + 1, y: height - tall, width: 4, height: tall, rx: 1, class: hasFailed(one) ? 'failed' : 'fine' });
    const title = shape('title', {});
    title.textContent = `${one.route}: ${one.status}, ${Math.round(one.elapsed_ms)} ms`;
    bar.append(title);
    plot.append(bar);
  });
  const byRoute = new Map();
  for (const one of requests) byRoute.set(one.route, [...(byRoute.get(one.route) ?? []), one]);
  const rows = [...byRoute].map(([route, all]) => {
    const times = all.map((one) => one.elapsed_ms).sort((a, b) => a - b);
    return [route, all.length, all.filter(hasFailed).length, `${Math.round(times[Math.floor(times.length / 2)])} ms`, `${Math.round(times.at(-1))} ms`];
  });
  const seen = images.from_cache + images.fetched;
  const { embeddings, embeddings_there: there } = segmenter;
  return [plot, element('p', { class: 'fine' }, says),
    ...(rows.length ? [table('By route', ['route', 'requests', 'failed', 'half within', 'slowest'], rows)] : []),
    element('p', { class: 'fine' }, `Images: ${images.from_cache} of ${seen} came from the cache, which takes ${(images.cache_bytes / 2 ** 20).toFixed(1)} MiB.`),
    element('p', { class: 'fine' }, `Encoded images: ${there} of ${embeddings} were there. Label configs: ${projects.found} of ${projects.lookups} were parsed before.`)];
}

// ---- what is for this machine alone

function lastFailures(failures) {
  const rows = failures.map((one) => [time(one.at), one.project ? `${one.project}${one.profile ? ` (${one.profile})` : ''}` : '', one.task ?? '', one.kind, one.sentence]);
  return [rows.length
    ? table('The last ones, which Label Studio shows nobody', ['when', 'project', 'task', 'what', 'why'], rows)
    : element('p', { class: 'fine' }, 'None since the gateway has started.')];
}

function connected({ projects, token }) {
  const state = !token.named ? 'No --label_studio_url is given: images come with the token that each /setup brings.'
    : !token.present ? 'There is no token for --label_studio_url: its images can\'t be fetched.'
      : token.expired ? `The token has expired on ${new Date(token.valid_until).toLocaleDateString()}: make another one in Label Studio.`
        : `There is a token${token.valid_until ? `, valid until ${new Date(token.valid_until).toLocaleDateString()}` : ''}.`;
  const made = [element('p', { class: token.named && (!token.present || token.expired) ? 'bad' : 'fine' }, state)];
  for (const one of projects) {
    const name = `Project ${one.project}${one.profile ? ` (profile ${one.profile})` : ''}`;
    const writes = one.writes;
    if (!writes) {
      made.push(element('p', {}, `${name}: its models have not been heard of.`));
      continue;
    }
    const goes = writes.images.flatMap((image) => image.classes.map((each) => `${each.class} → ${each.targets.map((target) => `${target.label ?? 'no label'} in ${target.control}`).join(', ')}`));
    const problems = writes.problems.map((sentence) => element('p', { class: 'bad' }, sentence));
    if (writes.depends_on_task && !goes.length) {
      made.push(element('p', {}, `${name}: its images or labels come from each task.`), ...problems);
      continue;
    }
    const details = element('details', { 'data-key': name }, element('summary', { 'data-key': `${name} summary` }, `${name}: ${goes.length} of ${goes.length + writes.unmatched.length} classes written`),
      element('ul', { class: 'plain' }, ...goes.map((line) => element('li', {}, line))));
    if (writes.unmatched.length) details.append(element('p', { class: 'fine' }, `Dropped: ${writes.unmatched.join(', ')}`));
    made.push(details, ...problems);
  }
  if (!projects.length) made.push(element('p', { class: 'fine' }, 'No project has connected since the gateway has started.'));
  return made;
}

function done(name, so_far, all) {
  return element('span', { class: 'done' }, bar(name, so_far, all), `${so_far} of ${all}`);
}

function background({ jobs, embeddings }) {
  const made = [];
  if (jobs.length) {
    made.push(table('Tasks that are finished in the background', ['job', 'project', 'state', 'done', 'failed'], jobs.map((one) => {
      const so_far = one.stored + one.already_there;
      return [one.id, one.project ?? '', one.state, done(`Job ${one.id}`, so_far, one.tasks), one.failed];
    })));
  }
  if (embeddings.length) {
    made.push(table('Projects whose images are encoded ahead', ['project', 'state', 'done', 'were there', 'failed', 'left'], embeddings.map((one) => [
      one.project, one.state, done(`Project ${one.project}`, one.tasks_done, one.tasks), one.already_there, one.failed,
      one.seconds_left === null ? '' : `${one.seconds_left} s`])));
    const why = embeddings.filter((one) => one.error);
    made.push(...why.map((one) => element('p', { class: 'bad' }, `Project ${one.project}: ${one.error}`)));
  }
  return made.length ? made : [element('p', { class: 'fine' }, 'No background job, and no project that is encoded ahead.')];
}

// What becomes of projects, until it is refused: who may not see it need not ask every time.
let asksOfProjects = () => Promise.all([get('projects'), get('trainings')]).catch((error) => {
  if (error.status === 403) asksOfProjects = () => Promise.reject(error);
  throw error;
});

async function look() {
  const [seen, told] = await Promise.allSettled([Promise.all([get('../'), get('requests')]), asksOfProjects()]);
  $('well-alert').hidden = seen.status === 'fulfilled';
  if (seen.status === 'rejected') {
    $('well-alert').textContent = seen.reason.message;
    return;
  }
  const [root, requests] = seen.value;
  const connectedOnes = told.status === 'fulfilled' ? told.value[0].projects.map((one) => `${one.profile}/${one.project}`) : [];
  draw('services', { root: { ...root, uptime_s: 0 }, calls: requests.services, up: upFor(root.uptime_s), connectedOnes }, services);
  draw('requests', requests, lastRequests);
  // Who may not see what becomes of projects is told so once.
  const mayNot = told.status === 'rejected';
  $('not-told').hidden = !mayNot;
  for (const one of document.querySelectorAll('.told')) one.hidden = mayNot;
  if (mayNot) {
    $('not-told').textContent = told.reason.message;
    return;
  }
  const [{ failures, projects, jobs, token }, trainings] = told.value;
  draw('failures', failures, lastFailures);
  draw('projects', { projects, token }, connected);
  draw('jobs', { jobs, embeddings: trainings.embeddings }, background);
  draw('trainings', trainings, (answer) => trainingsAndServing(answer, () => lookNow()));
}

let looking = false;
let lookNow = () => {};
async function lookAgain() {
  if (looking) return;
  looking = true;
  while (!$('view-well').hidden && !document.hidden) {
    await look();
    await new Promise((next) => {
      lookNow = next;
      setTimeout(next, EVERY_MS);
    });
  }
  looking = false;
}

document.addEventListener('duet-view', lookAgain);
document.addEventListener('visibilitychange', lookAgain);
lookAgain();
