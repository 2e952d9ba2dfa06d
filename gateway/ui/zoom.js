// How hands come closer to the picture and move it: the wheel, two fingers, the middle button, keys
// and buttons. What is under the pointer or between the fingers stays there.
import { $ } from './dom.js';

const STEP = 1.5;
// The layers are drawn anew when nothing has moved for so long; until then what is drawn is stretched.
const SETTLED_MS = 60;
const MIDDLE = [0.5, 0.5];
const LINE_PX = 16;

export class Zoom {
  // `redraw()` draws all layers; `at()` is the picture's pixel that keys and buttons keep in place, or
  // null.
  constructor(stage, view, { redraw, at }) {
    Object.assign(this, { stage, view, redraw, at });
    this.touches = new Map();
    this.pinch = null;    // {zoom, point, apart}: of the picture between two fingers as they came down
    this.fingers = false; // two of them have been down, and one still is
    this.grabbed = null;  // {id, point}: by the middle button
    this.pointer = null;  // part of the layers at which the pointer is
    stage.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    // Else it scrolls the page by itself.
    stage.addEventListener('mousedown', (event) => event.button === 1 && event.preventDefault());
    stage.addEventListener('pointerleave', () => { this.pointer = null; });
    $('zoom-in').addEventListener('click', () => this.step(1));
    $('zoom-out').addEventListener('click', () => this.step(-1));
    $('zoom-fit').addEventListener('click', () => this.fit());
    this.tell();
  }

  show(zoom, point, part) {
    this.view.showAt(zoom, point, part);
    this.tell();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.redraw(), SETTLED_MS);
  }

  tell() {
    const { zoom, image } = this.view;
    $('zoom-fit').textContent = `${Math.round(100 * zoom)} %`;
    $('zoom-fit').disabled = $('zoom-out').disabled = zoom === 1;
    $('zoom-in').disabled = !image;
    this.stage.classList.toggle('zoomed', zoom > 1);
  }

  step(by) {
    if (!this.view.image) return;
    const point = this.at();
    const part = point ? this.partOf(point) : this.pointer ?? MIDDLE;
    this.show(this.view.zoom * STEP ** by, point ?? this.view.under(part), part);
  }

  fit() {
    if (this.view.image) this.show(1, [0, 0], [0, 0]);
  }

  // Moves what is shown so that the pixel is seen.
  reveal(point) {
    if (!this.view.shows(point)) this.show(this.view.zoom, point, MIDDLE);
  }

  partOf([x, y]) {
    const { view } = this;
    return [((x - view.origin[0]) * view.zoom) / view.width, ((y - view.origin[1]) * view.zoom) / view.height];
  }

  wheel(event) {
    const { view } = this;
    if (!view.image) return;
    const part = view.part(event);
    if (part.some((one) => one < 0 || one > 1)) return;
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PX : 1;
    // Sideways, it moves the picture; two fingers on a touch pad that come apart say Ctrl.
    if (!event.ctrlKey && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
      if (view.zoom === 1) return;
      event.preventDefault();
      const along = ((event.deltaX || event.deltaY) * pixels) / view.layers.clientWidth;
      this.show(view.zoom, view.under(part), [part[0] - along, part[1]]);
      return;
    }
    // What can't become smaller leaves the wheel to the page.
    if (view.zoom === 1 && event.deltaY > 0 && !event.ctrlKey) return;
    event.preventDefault();
    const factor = Math.exp(-event.deltaY * pixels * (event.ctrlKey ? 0.01 : 0.002));
    this.show(view.zoom * factor, view.under(part), part);
  }

  // Each says whether the event is about the zoom, and nobody else's.

  down(event) {
    const { view } = this;
    if (!view.image) return false;
    if (event.pointerType === 'touch') {
      this.touches.set(event.pointerId, event);
      if (this.touches.size === 2) {
        const { part, apart } = this.between();
        this.pinch = { zoom: view.zoom, point: view.under(part), apart };
        this.fingers = true;
      }
      return this.fingers;
    }
    if (event.button !== 1) return false;
    event.preventDefault();
    this.stage.setPointerCapture(event.pointerId);
    this.grabbed = { id: event.pointerId, point: view.at(event) };
    return true;
  }

  move(event) {
    const { view } = this;
    if (!view.image) return false;
    if (event.pointerType !== 'touch') {
      this.pointer = view.part(event);
      if (this.pointer.some((one) => one < 0 || one > 1)) this.pointer = null;
    }
    if (this.grabbed?.id === event.pointerId) {
      this.show(view.zoom, this.grabbed.point, view.part(event));
      return true;
    }
    if (!this.touches.has(event.pointerId)) return false;
    this.touches.set(event.pointerId, event);
    if (this.pinch && this.touches.size === 2) {
      const { part, apart } = this.between();
      this.show((this.pinch.zoom * apart) / this.pinch.apart, this.pinch.point, part);
    }
    return this.fingers;
  }

  up(event) {
    if (this.grabbed?.id === event.pointerId) {
      this.grabbed = null;
      return true;
    }
    if (!this.touches.delete(event.pointerId)) return false;
    const its = this.fingers;
    this.pinch = null;
    if (!this.touches.size) this.fingers = false;
    return its;
  }

  between() {
    const [one, other] = [...this.touches.values()];
    const [a, b] = [this.view.part(one), this.view.part(other)];
    const apart = Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY));
    return { part: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], apart };
  }
}
