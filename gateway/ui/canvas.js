// The picture and what is drawn over it, in three layers: the picture, the objects that are there,
// and what the pointer is about. Only the last is drawn anew as the pointer moves, so that many
// objects slow nobody down.

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
    this.painted = new WeakMap();
  }

  show(image, width, height) {
    Object.assign(this, { image, width, height });
    this.layers.hidden = false;
    this.layout();
  }

  // Fits the picture into the stage. Returns whether the size has changed.
  layout() {
    if (!this.image) return false;
    const dots = Math.min(2, window.devicePixelRatio || 1);
    const most = { width: this.stage.clientWidth, height: Math.max(280, window.innerHeight - 260) };
    const fit = Math.min(most.width / this.width, most.height / this.height, 4);
    const size = { width: Math.max(1, Math.round(this.width * fit)), height: Math.max(1, Math.round(this.height * fit)) };
    const scale = (size.width * dots) / this.width;
    if (scale === this.scale && this.shown === this.image) return false;
    Object.assign(this, { scale, dots, shown: this.image });
    this.layers.style.width = `${size.width}px`;
    this.layers.style.height = `${size.height}px`;
    for (const canvas of [this.picture, this.objects, this.draft]) {
      canvas.width = Math.round(size.width * dots);
      canvas.height = Math.round(size.height * dots);
    }
    const context = this.picture.getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(this.image, 0, 0, this.picture.width, this.picture.height);
    return true;
  }

  // Pixels of the picture, which may lie outside of it.
  at(event) {
    const area = this.layers.getBoundingClientRect();
    return [((event.clientX - area.left) * this.width) / area.width, ((event.clientY - area.top) * this.height) / area.height];
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
    const key = `${this.scale} ${color} ${fill}`;
    let painted = this.painted.get(mask);
    if (painted?.key !== key) {
      painted = { key, part: mask.paint(this.scale, color, fill, Math.round(this.dots)) };
      this.painted.set(mask, painted);
    }
    if (painted.part) context.drawImage(painted.part.canvas, painted.part.x, painted.part.y);
  }

  drawBox(context, object, color) {
    const corners = object.rotated_box ? cornersOf(object.rotated_box) : object.box && rectangle(object.box);
    if (!corners) return;
    const path = new Path2D();
    corners.forEach(([x, y], i) => path[i ? 'lineTo' : 'moveTo'](x * this.scale, y * this.scale));
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
    const x = Math.max(0, Math.min(box[0] * this.scale, this.objects.width - width));
    const y = Math.max(0, box[1] * this.scale - height - 2 * this.dots);
    context.fillStyle = css(color);
    context.beginPath();
    context.roundRect(x, y, width, height, 5 * this.dots);
    context.fill();
    context.fillStyle = 'white';
    context.textBaseline = 'middle';
    context.fillText(text, x + 5 * this.dots, y + height / 2 + this.dots / 2);
  }

  drawPoints(context, points) {
    for (const [x, y, kind] of points) {
      const radius = 7 * this.dots;
      context.beginPath();
      context.arc(x * this.scale, y * this.scale, radius, 0, 2 * Math.PI);
      context.fillStyle = kind ? 'rgb(5 122 85)' : 'rgb(185 28 28)';
      context.fill();
      context.lineWidth = 2 * this.dots;
      context.strokeStyle = 'white';
      context.stroke();
      context.beginPath();
      context.moveTo(x * this.scale - radius / 2, y * this.scale);
      context.lineTo(x * this.scale + radius / 2, y * this.scale);
      if (kind) {
        context.moveTo(x * this.scale, y * this.scale - radius / 2);
        context.lineTo(x * this.scale, y * this.scale + radius / 2);
      }
      context.stroke();
    }
  }

  drawCursor(context, [x, y]) {
    const arm = 14 * this.dots;
    for (const [width, style] of [[5, 'rgb(0 0 0 / 0.7)'], [2, 'white']]) {
      context.lineWidth = width * this.dots;
      context.strokeStyle = style;
      context.beginPath();
      context.moveTo(x * this.scale - arm, y * this.scale);
      context.lineTo(x * this.scale + arm, y * this.scale);
      context.moveTo(x * this.scale, y * this.scale - arm);
      context.lineTo(x * this.scale, y * this.scale + arm);
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
