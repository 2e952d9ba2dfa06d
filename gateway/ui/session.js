// What has been marked in one picture, with undo. States are never changed, only replaced, so that
// going back is choosing an earlier one.
//
// An object: {id, label, score, box: [x0, y0, x1, y1] or null, rotated_box, mask: Mask or null,
// found: whether the detector has found it and nobody has touched it, points: [[x, y, 1 or 0]],
// drawn: a box that somebody has drawn, or null}. `active` is the object that clicks change; one
// that isn't among `objects` yet is new.

// Of all pictures, so that an answer that comes late finds its own.
let nextId = 1;

export class Session {
  constructor(changed) {
    this.changed = changed;
    this.state = { objects: [], active: null };
    this.past = [];
    this.future = [];
    this.saved = true;
  }

  // Whether work of a hand would be lost.
  get unsaved() {
    return !this.saved && (this.objects.some((object) => !object.found) || this.active?.points.length > 0);
  }

  get objects() {
    return this.state.objects;
  }

  get active() {
    return this.state.active;
  }

  get canUndo() {
    return this.past.length > 0;
  }

  get canRedo() {
    return this.future.length > 0;
  }

  // A step that can be undone.
  step(state) {
    this.past.push(this.state);
    if (this.past.length > 500) this.past.shift();
    this.future = [];
    this.state = { ...this.state, ...state };
    this.saved = false;
    this.changed();
  }

  undo() {
    if (!this.canUndo) return;
    this.future.push(this.state);
    this.state = this.past.pop();
    this.changed();
  }

  redo() {
    if (!this.canRedo) return;
    this.past.push(this.state);
    this.state = this.future.pop();
    this.changed();
  }

  // What the models have found out about an object, now and in every state that can come back.
  learn(id, facts, fits = () => true) {
    const apply = (object) => (object && object.id === id && fits(object) ? { ...object, ...facts } : object);
    const inState = (state) => ({ objects: state.objects.map(apply), active: apply(state.active) });
    this.state = inState(this.state);
    this.past = this.past.map(inState);
    this.future = this.future.map(inState);
    this.changed();
  }

  // What the detector has found. Nothing that somebody did: it isn't undone.
  found(objects) {
    const made = objects.map((object) => ({ points: [], drawn: null, mask: null, ...object, found: true, id: nextId++ }));
    const add = (state) => ({ ...state, objects: [...made, ...state.objects] });
    this.state = add(this.state);
    this.past = this.past.map(add);
    this.future = this.future.map(add);
    this.changed();
  }

  make(label) {
    return { id: nextId++, label, score: null, box: null, rotated_box: null, mask: null, found: false, points: [], drawn: null };
  }

  find(id) {
    return this.objects.find((object) => object.id === id);
  }

  isNew(object) {
    return !this.find(object.id);
  }

  // The object at hand takes its place among the others.
  accept() {
    const done = { ...this.active, found: false };
    const objects = this.isNew(done)
      ? [...this.objects, done]
      : this.objects.map((object) => (object.id === done.id ? done : object));
    this.step({ objects, active: null });
  }

  remove(id) {
    const active = this.active?.id === id ? null : this.active;
    this.step({ objects: this.objects.filter((object) => object.id !== id), active });
  }

  relabel(id, label) {
    this.step({
      objects: this.objects.map((object) => (object.id === id ? { ...object, label, found: false } : object)),
      active: this.active?.id === id ? { ...this.active, label } : this.active,
    });
  }
}
