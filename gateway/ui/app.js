// The page: from what hands do to what the models say and what is drawn.
import { View, colorOf, css } from './canvas.js';
import { $, element, fill } from './dom.js';
import { copy, exported, save } from './export.js';
import { NewestFirst, get } from './gateway.js';
import { Mask } from './masks.js';
import { Picture, renderPictures } from './pictures.js';
import { Session } from './session.js';
import { Zoom } from './zoom.js';

// A press that moves less is a click, CSS pixels.
const CLICK_PX = 5;
// Two masks that overlap more are of one thing.
const SAME = 0.8;
const MASKS_AT_ONCE = 16;
// Until models that are away are asked for again.
const AGAIN_MS = 2000;
const TOUCHED = matchMedia('(hover: none)').matches;

const stage = $('stage');
const view = new View(stage, $('layers'), { picture: $('picture'), objects: $('objects'), draft: $('draft') });
let session = new Session(renderSoon);  // of the picture that is shown
let models = { detector: null, segmenter: null, classes: [] };
let labels = [];      // classes of the model, and those that were added
const pinned = [];    // labels that were used, which stand first in a long list
let label = null;     // of the next object
const pictures = [];  // that were opened, in this order
let picture = null;   // which is shown
let wanted = null;    // which was asked for last, and may still be decoded
let preview = null;   // {mask, point}: what a click would mark
let cursor = null;    // of the keyboard; null while the pointer is used
let pressed = null;   // {at: [x, y], screen: [x, y], takesAway, rubber: box or null}
let corner = null;    // the first of a box, set by B
let highlighted = null;

const zoom = new Zoom(stage, view, {
  redraw: () => {
    if (!picture) return;
    view.redraw();
    drawObjects(visible());
    drawDraft();
  },
  at: () => cursor,
});

// ---- labels

function colorOfLabel(name) {
  return colorOf(labels.indexOf(name));
}

function shownLabels() {
  const text = $('label-search').value.trim().toLowerCase();
  const ordered = labels.length > 10 ? [...pinned, ...labels.filter((name) => !pinned.includes(name))] : labels;
  return text ? ordered.filter((name) => name.toLowerCase().includes(text)) : ordered;
}

function choose(name) {
  if (!labels.includes(name)) labels.push(name);
  if (!pinned.includes(name)) pinned.push(name);
  label = name;
  const { active } = session;
  if (active && active.label !== name) session.step({ active: { ...active, label: name } });
  renderSoon();
}

// ---- the models

// Asks until all of them answer: the page may be there before they are.
async function askForModels() {
  for (;;) {
    let fault = null;
    try {
      takeModels(await get('models'));
      if (picture) begin(picture);
      const [name, one] = Object.entries({ detector: models.detector, segmenter: models.segmenter }).find(([, each]) => each && !each.reachable) ?? [];
      if (name) fault = new Error(`The ${name} is away: ${one.error}`);
    } catch (error) {
      fault = error;
    }
    if (!fault) break;
    complain(fault, 'models');
    await new Promise((next) => { setTimeout(next, AGAIN_MS); });
  }
  calm('models');
}

let tellModels;
const modelsKnown = new Promise((done) => { tellModels = done; });

function takeModels(answer) {
  models = answer;
  labels = [...models.classes, ...pinned.filter((name) => !models.classes.includes(name))];
  if (!labels.length) labels.push('thing');
  if (!labels.includes(label)) [label] = labels;
  if (tellModels) $('score').value = Math.round(100 * models.score_threshold);
  tellModels?.();
  tellModels = null;
  const names = [models.detector, models.segmenter].filter(Boolean).map((one) => one.name ?? 'a model that is away');
  $('models').textContent = names.length ? names.join(' + ') : 'no models';
  renderSoon();
}

// ---- pictures

// Opens files, and shows the first of them.
function open(files) {
  const made = [...files].map((file) => new Picture(file, file.name || 'pasted.png', false, renderSoon));
  pictures.push(...made);
  return made.length ? show(made[0]) : undefined;
}

// What is marked in the picture before stays, and its answers find it.
async function show(opened) {
  wanted = opened;
  try {
    await opened.decode();
  } catch {
    pictures.splice(pictures.indexOf(opened), 1);
    complain(new Error(`The browser can't show ${opened.name}: needed is a JPEG, PNG, WebP, GIF or BMP.`));
    return;
  }
  if (wanted !== opened) return;
  calm();
  $('exported').textContent = $('speed').textContent = '';
  previews.cancel();
  preview = cursor = pressed = corner = highlighted = null;
  picture = opened;
  session = opened.session;
  $('welcome').hidden = true;
  $('ring').hidden = true;
  stage.classList.remove('empty');
  view.show(opened.image, opened.width, opened.height);
  zoom.tell();
  renderSoon();
  await begin(opened);
}

function turnTo(by) {
  const at = pictures.indexOf(picture);
  if (at >= 0) show(pictures[(at + by + pictures.length) % pictures.length]);
}

// Sends it and asks the models about it; once, or again if it failed.
async function begin(opened) {
  if (opened.begun) {
    fillMasks();
    return;
  }
  opened.begun = true;
  const ring = new Ring(() => opened === picture);
  try {
    opened.uploaded = modelsKnown.then(() => opened.sent.send());
    const answer = await opened.uploaded;
    if (opened.width !== answer.width || opened.height !== answer.height) {
      Object.assign(opened, { width: answer.width, height: answer.height });
      if (opened === picture) view.show(opened.image, opened.width, opened.height);
      zoom.tell();
    }
    ring.expect(answer.encoder_seconds);
    await Promise.all([
      models.detector && !opened.detected && find(opened),
      models.segmenter && opened.sent.ask('embed').then(() => { opened.ready = true; }),
    ]);
    if (opened === picture) document.dispatchEvent(new CustomEvent('duet-ready'));
    fillMasks();
  } catch (error) {
    opened.begun = false;
    if (opened === picture) complain(error);
  } finally {
    ring.end();
    if (opened === picture) renderSoon();
  }
}

async function find(opened) {
  const { objects } = await opened.sent.ask('detect');
  opened.detected = true;
  opened.session.found(objects.map((object) => ({
    rotated_box: null, ...object, mask: object.mask ? new Mask(object.mask, opened.width, opened.height) : null,
  })));
}

// Masks of what the detector has found without any, the visible ones, best first.
async function fillMasks() {
  const opened = picture;
  if (!models.segmenter || !opened?.ready || opened.filling) return;
  opened.filling = true;
  let some = [];
  try {
    while (opened === picture) {
      some = visible().filter((object) => object.found && !object.mask && !object.asked).slice(0, MASKS_AT_ONCE);
      if (!some.length) break;
      for (const object of some) opened.session.learn(object.id, { asked: true });
      const { masks } = await opened.sent.ask('segment', { prompts: some.map((object) => ({ box: object.box })) });
      some.forEach((object, i) => opened.session.learn(object.id, { mask: maskOf(masks[i], opened) }, (now) => !now.mask));
    }
  } catch (error) {
    for (const object of some) opened.session.learn(object.id, { asked: false });
    if (opened === picture) complain(error);
  } finally {
    opened.filling = false;
  }
}

function maskOf(answer, opened) {
  return new Mask(answer.mask, opened.width, opened.height);
}

// Counts down the seconds that the encoder took last time.
class Ring {
  // `isShown()`: whether its picture is.
  constructor(isShown) {
    this.isShown = isShown;
    this.begin = performance.now();
    this.seconds = null;
    this.timer = setInterval(() => this.draw(), 100);
  }

  expect(seconds) {
    this.seconds = seconds;
  }

  draw() {
    const elapsed = (performance.now() - this.begin) / 1000;
    if (elapsed < 0.2 || !this.isShown()) return;
    const ring = $('ring');
    ring.hidden = false;
    const known = this.seconds && elapsed < this.seconds;
    ring.classList.toggle('turning', !known);
    const left = known ? Math.ceil(this.seconds - elapsed) : null;
    $('ring-text').textContent = known ? `${left} s` : '';
    $('ring-arc').style.strokeDashoffset = known ? 100 * (1 - elapsed / this.seconds) : 70;
    if (known) ring.setAttribute('aria-valuetext', `about ${left} seconds left`);
    else ring.removeAttribute('aria-valuetext');
  }

  end() {
    clearInterval(this.timer);
    if (this.isShown()) $('ring').hidden = true;
  }
}

// ---- asking for masks

// What a click would mark: the newest pointer wins, and a click needs no preview any more.
const previews = new NewestFirst(
  ({ point }, signal) => picture.sent.ask('hover', { prompts: [{ points: [[...point, 1]] }] }, signal),
  ({ point, at }, { masks }) => {
    if (!picture || session.active) return;
    preview = { mask: maskOf(masks[0], picture), point };
    drawDraft();
    told('hover', at);
  },
  // A preview that a busy gateway has no room for is no loss.
  (error) => error.status === 503 || complain(error, 'hover'),
);

function hover(point, at) {
  if (!picture?.ready || session.active || pressed || !view.holds(point)) return;
  previews.want({ point, at });
}

// Objects whose clicks wait for their masks, by id, the oldest first: no click is lost, and of one
// object only the newest prompt is asked for.
const clicks = new Map();
let clicking = false;

async function askForMasks() {
  if (clicking) return;
  clicking = true;
  while (clicks.size) {
    const [id, { opened, asked, at }] = clicks.entries().next().value;
    clicks.delete(id);
    try {
      await opened.uploaded;
      const prompt = { points: asked.points, ...(asked.drawn ? { box: asked.drawn } : {}) };
      const { masks } = await opened.sent.ask('segment', { prompts: [prompt] });
      opened.session.learn(id, { mask: maskOf(masks[0], opened), box: masks[0].box ?? asked.drawn, score: null },
        (now) => now.points === asked.points && now.drawn === asked.drawn);
      if (opened !== picture) continue;
      joinWithSame(id);
      told('click', at);
    } catch (error) {
      if (opened === picture) complain(error);
    }
  }
  clicking = false;
}

function told(kind, at) {
  calm(kind);
  // After the frame that shows it.
  requestAnimationFrame(() => setTimeout(() => {
    const ms = performance.now() - at;
    $('speed').textContent = `mask in ${Math.max(1, Math.round(ms))} ms`;
    document.dispatchEvent(new CustomEvent('duet-drawn', { detail: { kind, ms } }));
  }));
}

// The visible object that has nearly this mask.
function sameAs(mask, but) {
  return visible().find((object) => object.id !== but && object.mask && mask.overlap(object.mask) > SAME);
}

// A first click on what is marked already is about that object, instead of a second one over it.
function joinWithSame(id) {
  const { active } = session;
  if (active?.id !== id || !session.isNew(active) || active.points.length + (active.drawn ? 1 : 0) !== 1 || !active.mask) return;
  const same = sameAs(active.mask, id);
  if (!same) return;
  session.state = { ...session.state, active: same };
  renderSoon();
}

// ---- hands

function addPoint(point, takesAway, at) {
  if (!picture || !models.segmenter || !view.holds(point)) return;
  let { active } = session;
  previews.cancel();
  if (!active && takesAway) {
    active = under(point);
    if (!active) {
      say('Nothing is marked there. Click without Alt, or with the left button, to mark it first.');
      return;
    }
  }
  if (!active) {
    const same = preview && sameAs(preview.mask);
    if (same) {
      preview = null;
      session.step({ active: same });
      told('click', at);
      return;
    }
    active = { ...session.make(label), mask: preview?.mask ?? null };
    preview = null;
  }
  const drawn = active.drawn ?? (active.points.length ? null : active.box);
  change({ ...active, drawn, points: [...active.points, [...point, takesAway ? 0 : 1]] }, at);
}

function addBox(box, at) {
  if (!picture || !models.segmenter) return;
  previews.cancel();
  preview = null;
  const active = session.active ?? session.make(label);
  change({ ...active, drawn: box, box: active.mask ? active.box : box }, at);
}

// One step: the prompt of the object that is worked at.
function change(active, at) {
  session.step({ active });
  clicks.delete(active.id);
  clicks.set(active.id, { opened: picture, asked: active, at });
  askForMasks();
}

function accept() {
  if (session.active) {
    const { active } = session;
    // Its mask may still be on its way: it finds it among the objects then.
    if (!active.mask && !active.box && !active.points.length) return;
    if (active.mask?.empty) {
      say('Nothing is marked: click on the thing, or discard it with Escape.');
      return;
    }
    session.accept();
    if (!pinned.includes(active.label)) pinned.push(active.label);
  } else if (preview && !preview.mask.empty) {
    const done = { ...session.make(label), mask: preview.mask, box: preview.mask.box(), points: [[...preview.point, 1]] };
    preview = null;
    session.step({ objects: [...session.objects, done] });
  }
  $('minus').setAttribute('aria-pressed', 'false');
}

function discard() {
  previews.cancel();
  preview = pressed = null;
  if (session.active) session.step({ active: null });
  $('minus').setAttribute('aria-pressed', 'false');
  renderSoon();
}

function visible() {
  const least = Number($('score').value) / 100;
  return session.objects.filter((object) => !object.found || object.score >= least);
}

// The smallest visible object there.
function under([x, y]) {
  return visible().filter((object) => object.mask?.contains(x, y)).sort((a, b) => a.mask.area() - b.mask.area())[0] ?? null;
}

stage.addEventListener('pointermove', (event) => {
  if (!picture || zoom.move(event)) return;
  if (cursor && event.movementX === 0 && event.movementY === 0) return;
  cursor = null;
  const point = view.at(event);
  if (!pressed) {
    if (!view.shows(point)) leave();
    else if (event.pointerType !== 'touch') hover(point, event.timeStamp);
    return;
  }
  if (pressed.takesAway) return;
  const [x, y] = pressed.screen;
  if (pressed.rubber || Math.hypot(event.clientX - x, event.clientY - y) >= CLICK_PX) {
    const inside = [Math.min(view.width, Math.max(0, point[0])), Math.min(view.height, Math.max(0, point[1]))];
    pressed.rubber = boxBetween(pressed.at, inside);
    preview = null;
    drawDraft();
  }
});

function boxBetween(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[0], b[0]), Math.max(a[1], b[1])];
}

function leave() {
  previews.cancel();
  if (preview) {
    preview = null;
    drawDraft();
  }
}

stage.addEventListener('pointerleave', () => {
  if (!pressed && !cursor) leave();
});
stage.addEventListener('pointerdown', (event) => {
  if (!picture) return;
  if (zoom.down(event)) {
    // The first of two fingers was no click.
    pressed = null;
    drawDraft();
    return;
  }
  const at = view.at(event);
  if (!view.shows(at)) return;
  stage.setPointerCapture(event.pointerId);
  const takesAway = event.button === 2 || event.altKey || $('minus').getAttribute('aria-pressed') === 'true';
  pressed = { at, screen: [event.clientX, event.clientY], takesAway, rubber: null };
});
stage.addEventListener('pointerup', (event) => {
  if (zoom.up(event) || !pressed) return;
  const { at, takesAway, rubber } = pressed;
  pressed = null;
  if (!rubber) addPoint(at, takesAway, event.timeStamp);
  else if (rubber[2] - rubber[0] >= 1 && rubber[3] - rubber[1] >= 1) addBox(rubber, event.timeStamp);
  drawDraft();
});
stage.addEventListener('pointercancel', (event) => {
  zoom.up(event);
  pressed = null;
  drawDraft();
});
stage.addEventListener('contextmenu', (event) => {
  if (picture) event.preventDefault();
});

// ---- keys

function moveCursor(dx, dy, far) {
  const step = Math.max(1, Math.round(Math.max(view.width, view.height) / view.zoom / (far ? 16 : 100)));
  const [x, y] = cursor ?? [view.width / 2, view.height / 2];
  cursor = [Math.min(view.width - 1, Math.max(0, x + dx * step)), Math.min(view.height - 1, Math.max(0, y + dy * step))];
  zoom.reveal(cursor);
  hover(cursor, performance.now());
  drawDraft();
}

const IN_PICTURE = {
  ArrowLeft: (event) => moveCursor(-1, 0, event.shiftKey),
  ArrowRight: (event) => moveCursor(1, 0, event.shiftKey),
  ArrowUp: (event) => moveCursor(0, -1, event.shiftKey),
  ArrowDown: (event) => moveCursor(0, 1, event.shiftKey),
  ' ': (event) => cursor && addPoint(cursor, false, event.timeStamp),
  n: (event) => cursor && addPoint(cursor, true, event.timeStamp),
  b: (event) => {
    if (!cursor) return;
    if (corner) addBox(boxBetween(corner, cursor), event.timeStamp);
    corner = corner ? null : cursor;
    drawDraft();
  },
};

const ANYWHERE = {
  Enter: accept,
  Escape: () => {
    corner = null;
    discard();
  },
  Delete: () => removeActive(),
  Backspace: () => removeActive(),
  '[': () => selectNext(-1),
  ']': () => selectNext(1),
  '?': () => $('keys').showModal(),
  '/': () => $('label-search').focus(),
  o: () => $('file').click(),
  '+': () => zoom.step(1),
  '=': () => zoom.step(1),
  '-': () => zoom.step(-1),
  Home: () => zoom.fit(),
  PageUp: () => turnTo(-1),
  PageDown: () => turnTo(1),
};

function removeActive() {
  const focused = document.activeElement.closest('#list li');
  if (session.active) {
    if (session.isNew(session.active)) discard();
    else session.remove(session.active.id);
  } else if (focused) {
    session.remove(Number(focused.dataset.id));
  }
}

function selectNext(by) {
  const all = visible();
  if (!all.length) return;
  const at = all.findIndex((object) => object.id === session.active?.id);
  session.step({ active: all[at < 0 ? (by > 0 ? 0 : all.length - 1) : (at + by + all.length) % all.length] });
}

document.addEventListener('keydown', (event) => {
  if ($('keys').open || $('view-try').hidden) return;
  const control = event.target.closest('button, a, input, summary, textarea');
  const typing = control?.matches('input[type=text], textarea');
  if (event.ctrlKey || event.metaKey) {
    const key = event.key.toLowerCase();
    if (typing || !['z', 'y'].includes(key)) return;
    event.preventDefault();
    if (key === 'y' || event.shiftKey) session.redo();
    else session.undo();
    return;
  }
  if (typing || event.altKey) return;
  // The slider's own.
  if (control?.type === 'range' && ['Home', 'PageUp', 'PageDown'].includes(event.key)) return;
  if (control && ['Enter', ' ', 'ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown'].includes(event.key)) return;
  if (/^[0-9]$/.test(event.key)) {
    const name = shownLabels()[(Number(event.key) + 9) % 10];
    const focused = document.activeElement.closest('#list li');
    if (name && focused && !session.active) session.relabel(Number(focused.dataset.id), name);
    else if (name) choose(name);
    // Where there is a tenth label, the key is its.
    else if (event.key === '0') zoom.fit();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const run = (picture && document.activeElement === stage && IN_PICTURE[key]) || ANYWHERE[key];
  if (!run) return;
  event.preventDefault();
  run(event);
});

// ---- controls

$('accept').addEventListener('click', accept);
$('discard').addEventListener('click', discard);
$('minus').addEventListener('click', () => {
  const on = $('minus').getAttribute('aria-pressed') !== 'true';
  $('minus').setAttribute('aria-pressed', String(on));
});
$('undo').addEventListener('click', () => session.undo());
$('redo').addEventListener('click', () => session.redo());
$('help').addEventListener('click', () => $('keys').showModal());
$('score').addEventListener('input', () => {
  renderSoon();
  fillMasks();
});
$('label-search').addEventListener('input', renderLabels);
$('label-search').addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' && event.key !== 'Escape') return;
  event.preventDefault();
  const text = $('label-search').value.trim();
  if (event.key === 'Enter' && text) {
    choose(labels.find((name) => name.toLowerCase() === text.toLowerCase()) ?? shownLabels()[0] ?? text);
  }
  $('label-search').value = '';
  renderLabels();
  stage.focus({ preventScroll: true });
});

$('labels').addEventListener('keydown', (event) => {
  const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const shown = shownLabels();
  const at = shown.findIndex((name) => `label ${name}` === document.activeElement.dataset.key);
  choose(shown[(at + by + shown.length) % shown.length]);
  renderLabels();
  $('labels').querySelector('[aria-checked=true]')?.focus();
});

for (const id of ['choose', 'open']) $(id).addEventListener('click', () => $('file').click());
$('file').addEventListener('change', () => {
  open($('file').files);
  $('file').value = '';
  stage.focus({ preventScroll: true });
});
document.querySelector('.samples').addEventListener('click', async (event) => {
  const name = event.target.closest('[data-sample]')?.dataset.sample;
  if (!name) return;
  try {
    let sample = pictures.find((one) => one.sample && one.name === name);
    if (!sample) {
      sample = new Picture(await (await fetch(name)).blob(), name, true, renderSoon);
      pictures.push(sample);
    }
    await show(sample);
  } catch (error) {
    complain(error);
  }
});
document.addEventListener('paste', (event) => {
  if ($('view-try').hidden) return;
  open(event.clipboardData?.files ?? []);
});
for (const kind of ['dragenter', 'dragover']) {
  document.addEventListener(kind, (event) => {
    if (![...event.dataTransfer.types].includes('Files')) return;
    event.preventDefault();
    $('drop-here').hidden = false;
  });
}
document.addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) $('drop-here').hidden = true;
});
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('drop-here').hidden = true;
  open(event.dataTransfer.files);
});
addEventListener('beforeunload', (event) => {
  if (pictures.some((one) => one.session.unsaved)) event.preventDefault();
});
new ResizeObserver(() => {
  if (view.layout()) renderSoon();
}).observe(stage);

// ---- result

async function result() {
  const format = document.querySelector('input[name=format]:checked').value;
  const objects = visible().filter((object) => object.box);
  const answer = await exported(format, picture, labels, objects);
  const notes = answer.notes.length ? ` ${answer.notes.join('. ')}.` : '';
  return { ...answer, says: `${objects.length} object${objects.length === 1 ? '' : 's'}.${notes}` };
}

$('copy').addEventListener('click', async () => {
  const its = session;
  try {
    const { files, says } = await result();
    await copy(files[0].text);
    its.saved = true;
    $('exported').textContent = `Copied ${files[0].name}: ${says}`;
  } catch (error) {
    complain(error);
  }
});
$('save').addEventListener('click', async () => {
  const its = session;
  try {
    const { files, says } = await result();
    save(files);
    its.saved = true;
    $('exported').textContent = `Saved ${files.map((file) => file.name).join(' and ')}: ${says}`;
  } catch (error) {
    complain(error);
  }
});

// ---- drawing

function say(text) {
  $('hint').textContent = text;
}

// `about`: what puts it right once it succeeds; else only a click's mask or another picture does.
function complain(error, about = '') {
  const alert = $('alert');
  alert.dataset.about = about;
  if (alert.textContent !== error.message) alert.textContent = error.message;
  alert.hidden = false;
}

function calm(about = 'click') {
  const alert = $('alert');
  if (about === 'click' || alert.dataset.about === about) alert.hidden = true;
}

let rendering = false;
function renderSoon() {
  if (rendering) return;
  rendering = true;
  requestAnimationFrame(() => {
    rendering = false;
    render();
  });
}

function render() {
  const objects = visible();
  $('score-text').textContent = `${$('score').value} %`;
  $('count').textContent = objects.length;
  $('undo').disabled = !session.canUndo;
  $('redo').disabled = !session.canRedo;
  $('copy').disabled = $('save').disabled = !picture;
  for (const id of ['accept', 'minus', 'discard']) $(id).disabled = !session.active;
  renderLabels();
  renderList(objects);
  renderPictures(pictures, picture, show, stage);
  renderHint(objects);
  if (!picture) return;
  drawObjects(objects);
  drawDraft();
}

function renderHint(objects) {
  if (!picture) say('');
  else if (!models.segmenter) say('There is no segmenter: boxes only.');
  else if (!picture.ready) say('The picture is being read. Clicks made now are kept.');
  else if (session.active) say(TOUCHED ? 'A tap adds. What does not belong: Take away, then tap it.' : 'Click adds, right click takes away, drag a box. Enter accepts.');
  else if (!objects.length) say('The detector is sure of nothing here. Lower the slider, or click on a thing: that needs no class.');
  else say(TOUCHED ? 'Tap a thing to mark it.' : 'Point at a thing to see what a click marks. Right click corrects what is there.');
}

function drawObjects(objects) {
  view.drawObjects(objects, { color: colorOfLabel, highlighted, activeId: session.active?.id });
}

function drawDraft() {
  const { active } = session;
  const rubber = pressed?.rubber ?? (corner && cursor ? boxBetween(corner, cursor) : null);
  view.drawDraft({ preview: active || rubber ? null : preview?.mask, active, color: colorOfLabel(active?.label ?? label), cursor, rubber });
}

function dot(name) {
  const made = element('span', { class: 'dot' });
  made.style.background = css(colorOfLabel(name));
  return made;
}

function renderLabels() {
  const current = session.active?.label ?? label;
  const shown = shownLabels();
  // One stop of the Tab key, within which the arrows lead on.
  const stop = shown.includes(current) ? current : shown[0];
  const made = shown.map((name, i) => {
    const key = i < 10 ? [element('kbd', { 'aria-hidden': 'true' }, String((i + 1) % 10))] : [];
    const chip = element('button', {
      type: 'button', class: 'chip', role: 'radio', 'aria-checked': name === current, tabindex: name === stop ? 0 : -1, 'data-key': `label ${name}`,
    }, dot(name), name, ...key);
    chip.addEventListener('click', () => choose(name));
    return chip;
  });
  $('no-label').hidden = made.length > 0;
  fill($('labels'), made, stage);
}

function renderList(objects) {
  const counts = new Map();
  fill($('list'), objects.map((object) => {
    const number = (counts.get(object.label) ?? 0) + 1;
    counts.set(object.label, number);
    const name = `${object.label} ${number}`;
    const pick = element('button', {
      type: 'button', class: 'pick', 'aria-pressed': object.id === session.active?.id, 'data-key': `pick ${object.id}`,
    }, dot(object.label), element('span', { class: 'name' }, name),
      element('span', { class: 'share' }, object.score === null ? 'by hand' : `${Math.round(100 * object.score)} %`));
    pick.addEventListener('click', () => session.step({ active: session.active?.id === object.id ? null : session.find(object.id) }));
    const remove = element('button', { type: 'button', class: 'remove', 'aria-label': `Remove ${name}`, title: 'Remove', 'data-key': `remove ${object.id}` }, '×');
    remove.addEventListener('click', () => session.remove(object.id));
    const item = element('li', { 'data-id': object.id }, pick, remove);
    const mark = (id) => () => {
      highlighted = id;
      drawObjects(visible());
    };
    item.addEventListener('pointerenter', mark(object.id));
    item.addEventListener('pointerleave', mark(null));
    item.addEventListener('focusin', mark(object.id));
    item.addEventListener('focusout', mark(null));
    return item;
  }), stage);
}

askForModels();
render();
