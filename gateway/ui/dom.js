// What all parts of the page do with its document.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

export function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function table(caption, head, rows) {
  return element('table', {}, element('caption', {}, caption),
    element('thead', {}, element('tr', {}, ...head.map((name) => element('th', { scope: 'col' }, name)))),
    element('tbody', {}, ...rows.map((cells) => element('tr', {}, ...cells.map((cell) => element('td', {}, cell))))));
}

// `name` says what is done, for those who don't see it.
export function bar(name, done, all) {
  return element('progress', { value: Math.min(done, all), max: Math.max(1, all), 'aria-label': name });
}

// Replaces the children of `parent` by `made`. What had the focus keeps it, by its data-key, else
// `otherwise` gets it; details that were unfolded or folded by hand stay so.
export function fill(parent, made, otherwise = null) {
  const key = document.activeElement?.dataset?.key;
  const had = key && parent.contains(document.activeElement);
  const folded = new Map([...parent.querySelectorAll('details[data-key]')].map((one) => [one.dataset.key, one.open]));
  parent.replaceChildren(...made);
  for (const one of parent.querySelectorAll('details[data-key]')) one.open = folded.get(one.dataset.key) ?? one.open;
  if (had) (parent.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? otherwise)?.focus({ preventScroll: true });
}
