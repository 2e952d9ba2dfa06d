// The page's parts, one shown at a time: its address says which.
import { $ } from './dom.js';

const VIEWS = { try: 'Duet: try it', written: 'Duet: what would be written?', well: 'Duet: is it well?' };

function show() {
  const wanted = location.hash.slice(1);
  const name = wanted in VIEWS ? wanted : 'try';
  document.title = VIEWS[name];
  for (const one of Object.keys(VIEWS)) $(`view-${one}`).hidden = one !== name;
  for (const link of document.querySelectorAll('.views a')) {
    if (link.hash === `#${name}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.dispatchEvent(new CustomEvent('duet-view'));
}

addEventListener('hashchange', show);
show();
