// What all parts of the page do with its document.

export const $ = (id) => document.getElementById(id);

export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Replaces the children of `parent` by `made`. What had the focus keeps it, by its data-key, else
// `otherwise` gets it.
export function fill(parent, made, otherwise = null) {
  const key = document.activeElement?.dataset?.key;
  const had = key && parent.contains(document.activeElement);
  parent.replaceChildren(...made);
  if (had) (parent.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? otherwise)?.focus({ preventScroll: true });
}
