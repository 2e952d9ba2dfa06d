// The pictures that were opened: what is marked in one stays while another one is looked at.
import { $, element, fill } from './dom.js';
import { SentPicture } from './gateway.js';
import { Session } from './session.js';

export class Picture {
  // `sample`: whether it is one of the page's own. `changed()` is called when something is marked.
  constructor(blob, name, sample, changed) {
    const url = URL.createObjectURL(blob);
    Object.assign(this, { name, sample, url, sent: new SentPicture(blob), session: new Session(changed) });
    this.thumbnail = element('img', { src: url, alt: '', width: 92, height: 69 });
    this.begun = false;    // whether the models were asked
    this.uploaded = null;  // a promise, from then on
    this.detected = false;
    this.ready = false;    // whether it is encoded
    this.filling = false;  // whether masks are made of what was found
  }

  // Once it is decoded it has an image, a width and a height.
  async decode() {
    if (this.image) return;
    const image = new Image();
    await new Promise((done, failed) => {
      image.onload = done;
      image.onerror = failed;
      image.src = this.url;
    });
    Object.assign(this, { image, width: image.naturalWidth, height: image.naturalHeight });
  }
}

let drawn = '';

// The row of those that aren't samples, which have buttons of their own; `shown` is the one on the stage.
export function renderPictures(pictures, shown, show, otherwise) {
  const rows = pictures.filter((one) => !one.sample)
    .map((one) => ({ one, here: one === shown, marked: one.session.objects.filter((object) => !object.found).length }));
  const says = rows.map(({ one, here, marked }) => `${one.url} ${here} ${marked}`).join();
  if (says !== drawn) {
    drawn = says;
    fill($('pictures'), rows.map(({ one, here, marked }) => {
      const button = element('button', {
        type: 'button', class: 'sample', title: one.name, 'data-key': `picture ${one.url}`, 'aria-current': here,
        'aria-label': `${one.name}${marked ? `, ${marked} marked` : ''}`,
      }, one.thumbnail, ...(marked ? [element('span', { class: 'badge' }, marked)] : []));
      button.addEventListener('click', () => show(one));
      return button;
    }), otherwise);
  }
  for (const one of document.querySelectorAll('[data-sample]')) one.ariaCurrent = String(Boolean(shown?.sample) && one.dataset.sample === shown.name);
}
