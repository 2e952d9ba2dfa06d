// Masks as the gateway sends them, row runs, and how they are drawn and compared. What is done here
// takes time by what a mask covers on the screen, not by the picture's pixels.

// `runs`: lengths of background and foreground in turn, row by row. Spans are [x begin, x end) of a
// row; `first[y]` is where row y begins among them.
export class Mask {
  constructor(runs, width, height) {
    Object.assign(this, { runs, width, height });
    const spans = [];
    this.first = new Uint32Array(height + 1);
    let at = 0;
    let row = 0;
    for (let i = 0; i < runs.length; ++i) {
      if (i % 2 === 0) {
        at += runs[i];
        continue;
      }
      for (let left = runs[i]; left > 0;) {
        const y = Math.floor(at / width);
        while (row < y) this.first[++row] = spans.length / 2;
        const x = at - y * width;
        const length = Math.min(left, width - x);
        spans.push(x, x + length);
        at += length;
        left -= length;
      }
    }
    while (row < height) this.first[++row] = spans.length / 2;
    this.spans = Int32Array.from(spans);
  }

  get empty() {
    return this.spans.length === 0;
  }

  area() {
    let area = 0;
    for (let i = 0; i < this.spans.length; i += 2) area += this.spans[i + 1] - this.spans[i];
    return area;
  }

  contains(x, y) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return false;
    const row = Math.floor(y);
    for (let i = this.first[row]; i < this.first[row + 1]; ++i) {
      if (x >= this.spans[2 * i] && x < this.spans[2 * i + 1]) return true;
    }
    return false;
  }

  // Intersection over union.
  overlap(other) {
    let both = 0;
    for (let y = 0; y < this.height; ++y) {
      let j = other.first[y];
      for (let i = this.first[y]; i < this.first[y + 1]; ++i) {
        const [begin, end] = [this.spans[2 * i], this.spans[2 * i + 1]];
        while (j < other.first[y + 1] && other.spans[2 * j + 1] <= begin) ++j;
        for (let k = j; k < other.first[y + 1] && other.spans[2 * k] < end; ++k) {
          both += Math.min(end, other.spans[2 * k + 1]) - Math.max(begin, other.spans[2 * k]);
        }
      }
    }
    const either = this.area() + other.area() - both;
    return either === 0 ? 0 : both / either;
  }

  // Draws it on a canvas of its own, as large as its part of a view that shows `scale` screen pixels
  // for one of the picture. Returns {canvas, x, y}, in screen pixels, or null if it is empty.
  // `color`: [r, g, b]; around it run a white line and one of the colour, `edge` and twice `edge`
  // pixels wide, so that it is seen on any picture. Of what lies beyond `seen`, [x0, y0, x1, y1] in
  // screen pixels, nothing is drawn but what keeps the lines off its edges.
  paint(scale, color, fill, edge, seen) {
    const box = this.box();
    if (!box) return null;
    // A border of background on all sides, so that edges need no special cases.
    const border = 3 * edge;
    const [x0, y0] = [Math.max(seen[0] - border, Math.floor(box[0] * scale)), Math.max(seen[1] - border, Math.floor(box[1] * scale))];
    const w = Math.min(seen[2] + border, Math.max(Math.floor(box[0] * scale) + 1, Math.ceil(box[2] * scale))) - x0;
    const h = Math.min(seen[3] + border, Math.max(Math.floor(box[1] * scale) + 1, Math.ceil(box[3] * scale))) - y0;
    if (w <= 0 || h <= 0) return null;
    const stride = w + 2 * border;
    const inside = new Uint8Array(stride * (h + 2 * border));
    for (let y = 0; y < h; ++y) {
      const row = Math.min(this.height - 1, Math.floor((y0 + y + 0.5) / scale));
      const line = (y + border) * stride + border - x0;
      for (let i = this.first[row]; i < this.first[row + 1]; ++i) {
        const begin = Math.max(x0, Math.round(this.spans[2 * i] * scale));
        const end = Math.min(x0 + w, Math.round(this.spans[2 * i + 1] * scale));
        inside.fill(1, line + begin, line + Math.max(begin, end));
      }
    }
    const canvas = document.createElement('canvas');
    canvas.width = w;
    canvas.height = h;
    const context = canvas.getContext('2d');
    const image = context.createImageData(w, h);
    const pixels = new Uint32Array(image.data.buffer);
    const rgb = color[0] | (color[1] << 8) | (color[2] << 16);
    const area = (rgb | (Math.round(255 * fill) << 24)) >>> 0;
    const line = (rgb | (255 << 24)) >>> 0;
    const white = 0xe6ffffff;
    const deep = (at, by) => inside[at - by] && inside[at + by] && inside[at - by * stride] && inside[at + by * stride];
    for (let y = 0; y < h; ++y) {
      for (let x = 0; x < w; ++x) {
        const at = (y + border) * stride + x + border;
        if (!inside[at]) continue;
        pixels[y * w + x] = !deep(at, edge) ? white : deep(at, border) ? area : line;
      }
    }
    context.putImageData(image, 0, 0);
    return { canvas, x: x0, y: y0 };
  }

  // [x0, y0, x1, y1] around it, or null if it is empty.
  box() {
    let box = null;
    for (let y = 0; y < this.height; ++y) {
      if (this.first[y] === this.first[y + 1]) continue;
      const [x0, x1] = [this.spans[2 * this.first[y]], this.spans[2 * this.first[y + 1] - 1]];
      box = box ? [Math.min(box[0], x0), box[1], Math.max(box[2], x1), y + 1] : [x0, y, x1, y + 1];
    }
    return box;
  }
}
