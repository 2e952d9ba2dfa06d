// The picture and what is drawn over it, in three layers: the picture, the objects that are there,
// and what the pointer is about. Only the last is drawn anew as the pointer moves, so that many
// objects slow nobody down.
//
// The layers are as large as the whole picture fitted into the stage. When it is zoomed they show a
// part of it, so whatever is drawn costs what is seen.

// How much larger than fitted.
const MOST_ZOOM = 16;

const HUES = [[79, 70, 229], [217, 70, 0], [5, 122, 85], [190, 24, 93], [2, 102, 178], [147, 51, 234], [161, 98, 7], [15, 118, 110],
  [185, 28, 28], [77, 124, 15], [112, 26, 117], [51, 65, 130]];

// Of a label: dark enough for white text on it.
export function colorOf(index) {
  return HUES[((index % HUES.length) + HUES.length) % HUES.length];
}

export function css(color) {
  return `rgb(${color.join(' ')})`;
}

export class View {
  // `layers` holds the canvases `picture`, `objects` and `draft`, and lies in `stage`.
  constructor(stage, layers, { picture, objects, draft }) {
    Object.assign(this, { stage, layers, picture, objects, draft });
    this.image = null;
    this.unzoom();
  }

  show(image, width, height) {
    Object.assign(this, { image, width, height, shown: null, painted: new WeakMap() });
    this.unzoom();
    this.layers.hidden = false;
    this.layout();
  }

  unzoom() {
    Object.assign(this, { zoom: 1, origin: [0, 0] });
  }

  // Shows the picture `zoom` times as large as fitted, with its pixel `point` at the part `at` of the
  // layers, [0, 0] to [1, 1]. Nothing beyond the picture's edges is shown. What is drawn is moved at
  // once, and has to be drawn anew (redraw) before anything else is.
  showAt(zoom, point, at) {
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, zoom));
    const size = [this.width, this.height];
    this.origin = size.map((side, i) => Math.min(side - side / this.zoom, Math.max(0, point[i] - (at[i] * side) / this.zoom)));
    const grown = (this.zoom * this.fitted) / this.scale;
    const [x, y] = this.origin.map((place, i) => (this.corner[i] / this.scale - place) * this.zoom * (this.fitted / this.dots));
    for (const canvas of this.canvases) canvas.style.transform = `translate(${x}px, ${y}px) scale(${grown})`;
  }

  get canvases() {
    return [this.picture, this.objects, this.draft];
  }

  // Draws the picture's part; the other layers are to be drawn after it.
  redraw() {
    this.scale = this.fitted * this.zoom;
    // Device pixels of the zoomed picture.
    this.corner = this.origin.map((place) => Math.round(place * this.scale));
    for (const canvas of this.canvases) canvas.style.transform = '';
    const { picture, image } = this;
    const context = picture.getContext('2d');
    const natural = image.naturalWidth / this.width;
    context.imageSmoothingQuality = 'high';
    // Far in, pixels are seen as what they are.
    context.imageSmoothingEnabled = this.scale < 4 * this.dots;
    context.clearRect(0, 0, picture.width, picture.height);
    context.drawImage(image, (this.corner[0] / this.scale) * natural, (this.corner[1] / this.scale) * natural,
      (picture.width / this.scale) * natural, (picture.height / this.scale) * natural, 0, 0, picture.width, picture.height);
  }

  // Where the picture's pixels are on the canvases.
  x(place) {
    return place * this.scale - this.corner[0];
  }

  y(place) {
    return place * this.scale - this.corner[1];
  }

  // Fits the picture into the stage. Returns whether the size has changed.
  layout() {
    if (!this.image) return false;
    const dots = Math.min(2, window.devicePixelRatio || 1);
    const most = { width: this.stage.clientWidth, height: Math.max(280, window.innerHeight - 260) };
    const fit = Math.min(most.width / this.width, most.height / this.height, 4);
    const size = { width: Math.max(1, Math.round(this.width * fit)), height: Math.max(1, Math.round(this.height * fit)) };
    const fitted = (size.width * dots) / this.width;
    if (fitted === this.fitted && this.shown === this.image) return false;
    Object.assign(this, { fitted, dots, shown: this.image });
    this.layers.style.width = `${size.width}px`;
    this.layers.style.height = `${size.height}px`;
    for (const canvas of this.canvases) {
      canvas.width = Math.round(size.width * dots);
      canvas.height = Math.round(size.height * dots);
    }
    this.redraw();
    return true;
  }

  // The part of the layers at which an event is, [0, 0] to [1, 1] within them.
  part(event) {
    const area = this.layers.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  }

  // Pixels of the picture, which may lie outside of it.
  at(event) {
    return this.under(this.part(event));
  }

  // The picture's pixel at that part of the layers.
  under([x, y]) {
    return [this.origin[0] + (x * this.width) / this.zoom, this.origin[1] + (y * this.height) / this.zoom];
  }

  shows([x, y]) {
    const [left, top] = this.origin;
    return x >= left && y >= top && x < left + this.width / this.zoom && y < top + this.height / this.zoom;
  }

  holds([x, y]) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height;
  }

  // Screen pixels by which an object's name stands above its box.
  drawObjects(objects, { color, highlighted, activeId }) {
    const context = this.objects.getContext('2d');
    context.clearRect(0, 0, this.objects.width, this.objects.height);
    const visible = objects.filter((object) => object.id !== activeId);
    for (const object of visible) {
      const strong = object.id === highlighted;
      if (object.mask) this.drawMask(context, object.mask, color(object.label), strong ? 0.62 : 0.38);
      if (!object.mask || strong) this.drawBox(context, object, color(object.label));
      if (!object.mask && !object.box) this.drawPoints(context, object.points);
    }
    for (const object of visible) this.drawName(context, object, color(object.label));
  }

  drawDraft({ preview, active, color, cursor, rubber }) {
    const context = this.draft.getContext('2d');
    context.clearRect(0, 0, this.draft.width, this.draft.height);
    if (preview) this.drawMask(context, preview, color, 0.42);
    if (active) {
      if (active.mask) this.drawMask(context, active.mask, color, 0.55);
      const box = active.drawn ?? (active.mask ? null : active.box);
      if (box) this.drawBox(context, { box }, color);
      this.drawPoints(context, active.points);
    }
    if (rubber) this.drawBox(context, { box: rubber }, color);
    if (cursor) this.drawCursor(context, cursor);
  }

  drawMask(context, mask, color, fill) {
    const key = `${this.scale} ${this.corner} ${color} ${fill}`;
    let painted = this.painted.get(mask);
    if (painted?.key !== key) {
      const [left, top] = this.corner;
      const seen = [left, top, left + context.canvas.width, top + context.canvas.height];
      painted = { key, part: mask.paint(this.scale, color, fill, Math.round(this.dots), seen) };
      this.painted.set(mask, painted);
    }
    const { part } = painted;
    if (part) context.drawImage(part.canvas, part.x - this.corner[0], part.y - this.corner[1]);
  }

  drawBox(context, object, color) {
    const corners = object.rotated_box ? cornersOf(object.rotated_box) : object.box && rectangle(object.box);
    if (!corners) return;
    const path = new Path2D();
    corners.forEach(([x, y], i) => path[i ? 'lineTo' : 'moveTo'](this.x(x), this.y(y)));
    path.closePath();
    context.lineWidth = 4 * this.dots;
    context.strokeStyle = 'rgb(255 255 255 / 0.75)';
    context.stroke(path);
    context.lineWidth = 2 * this.dots;
    context.strokeStyle = css(color);
    context.stroke(path);
  }

  drawName(context, object, color) {
    const box = object.box;
    if (!box) return;
    const text = object.score === null ? object.label : `${object.label} ${Math.round(100 * object.score)} %`;
    const size = 12 * this.dots;
    context.font = `600 ${size}px system-ui, sans-serif`;
    const width = context.measureText(text).width + 10 * this.dots;
    const height = 18 * this.dots;
    if (this.x(box[2]) < 0 || this.y(box[3]) < 0 || this.x(box[0]) > this.objects.width || this.y(box[1]) > this.objects.height) return;
    const x = Math.max(0, Math.min(this.x(box[0]), this.objects.width - width));
    const y = Math.max(0, this.y(box[1]) - height - 2 * this.dots);
    context.fillStyle = css(color);
    context.beginPath();
    context.roundRect(x, y, width, height, 5 * this.dots);
    context.fill();
    context.fillStyle = 'white';
    context.textBaseline = 'middle';
    context.fillText(text, x + 5 * this.dots, y + height / 2 + this.dots / 2);
  }

  drawPoints(context, points) {
    for (const [column, row, kind] of points) {
      const [x, y] = [this.x(column), this.y(row)];
      const radius = 7 * this.dots;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fillStyle = kind ? 'rgb(5 122 85)' : 'rgb(185 28 28)';
      context.fill();
      context.lineWidth = 2 * this.dots;
      context.strokeStyle = 'white';
      context.stroke();
      context.beginPath();
      context.moveTo(x - radius / 2, y);
      context.lineTo(x + radius / 2, y);
      if (kind) {
        context.moveTo(x, y - radius / 2);
        context.lineTo(x, y + radius / 2);
      }
      context.stroke();
    }
  }

  drawCursor(context, [column, row]) {
    const [x, y] = [this.x(column), this.y(row)];
    const arm = 14 * this.dots;
    for (const [width, style] of [[5, 'rgb(0 0 0 / 0.7)'], [2, 'white']]) {
      context.lineWidth = width * this.dots;
      context.strokeStyle = style;
      context.beginPath();
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
      context.stroke();
    }
  }
}

function rectangle([x0, y0, x1, y1]) {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}

// [center x, center y, width, height, radians clockwise].
function cornersOf([cx, cy, width, height, angle]) {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return rectangle([-width / 2, -height / 2, width / 2, height / 2]).map(([x, y]) => [cx + x * cos - y * sin, cy + x * sin + y * cos]);
}
