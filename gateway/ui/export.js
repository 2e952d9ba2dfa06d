// The result as files of other programs, made by the gateway.
import { post } from './gateway.js';

// The files: [{name, text}], the annotations first; and notes on what the format can't hold.
export function exported(format, picture, labels, objects) {
  const used = [...new Set([...labels, ...objects.map((object) => object.label)])];
  return post('export', {
    format,
    image: { name: picture.name, width: picture.width, height: picture.height },
    labels: used,
    objects: objects.map((object) => ({
      label: object.label,
      ...(object.score === null ? {} : { score: object.score }),
      ...(object.box ? { box: object.box } : {}),
      ...(object.rotated_box ? { rotated_box: object.rotated_box } : {}),
      ...(object.mask && !object.mask.empty ? { mask: object.mask.runs } : {}),
    })),
  });
}

// Pages over plain HTTP from elsewhere than localhost have no clipboard of their own.
export async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  if (!done) throw new Error('The browser does not let pages copy here; Save works.');
  return undefined;
}

export function save(files) {
  for (const { name, text } of files) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([text]));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}
