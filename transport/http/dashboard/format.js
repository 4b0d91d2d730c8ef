// Numbers and times for people.

const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', {notation: 'compact', maximumFractionDigits: 1});

export const count = (value) => {
  const number = Number(value ?? 0);
  return number < 1e6 ? whole.format(number) : short.format(number);
};
// "1 job", "2 jobs".
export const many = (value, noun) => `${count(value)} ${noun}${Number(value) === 1 ? '' : 's'}`;
export const rate = (value) =>
    value === null || value === undefined ? '–' : (value < 100 ? value.toFixed(1) : count(Math.round(value))) + '/s';
export const percent = (part) => (part * 100).toFixed(part > 0 && part < 0.1 ? 1 : 0) + ' %';

export function duration(ms) {
  if (ms < 1000) return Math.round(ms) + ' ms';
  const seconds = ms / 1000;
  if (seconds < 10) return seconds.toFixed(1) + ' s';
  if (seconds < 120) return Math.round(seconds) + ' s';
  if (seconds < 7200) return Math.round(seconds / 60) + ' min';
  if (seconds < 172800) return Math.round(seconds / 3600) + ' h';
  return Math.round(seconds / 86400) + ' days';
}

// Parses a duration of Protobuf's JSON: "1.500s".
export const durationText = (text) => (text ? duration(parseFloat(text) * 1000) : '–');

export function bytes(value) {
  if (value === null || value === undefined) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let number = Number(value);
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    ++unit;
  }
  return (number < 10 && unit > 0 ? number.toFixed(1) : Math.round(number)) + ' ' + units[unit];
}

export function ago(time) {
  if (!time) return '–';
  const ms = Date.now() - Date.parse(time);
  return ms >= 0 ? duration(ms) + ' ago' : 'in ' + duration(-ms);
}

export const clock = (time) => (time ? new Date(time).toLocaleString() : '–');

// JOB_STATE_READY: READY.
export const stateName = (state) => (state ?? '').replace('JOB_STATE_', '') || 'UNKNOWN';
export const plain = (name, prefix) =>
    (name ?? '').replace(prefix, '').replaceAll('_', ' ').toLowerCase();

const decoder = new TextDecoder('utf-8', {fatal: true});

// The members of the JSON object `text`, each as it is written.
export function members(text) {
  const found = {};
  const skip = (pattern) => {
    pattern.lastIndex = at;
    at = pattern.exec(text) ? pattern.lastIndex : at;
  };
  const string = /"(?:[^"\\]|\\.)*"/ys;
  const space = /[\s,:{]*/y;
  let at = 0;
  for (skip(space); text[at] === '"'; skip(space)) {
    const nameAt = at;
    skip(string);
    const name = JSON.parse(text.slice(nameAt, at));
    skip(/[\s:]*/y);
    const valueAt = at;
    let depth = 0;
    for (; depth > 0 || !',}'.includes(text[at]); ++at) {
      if (text[at] === '"') {
        skip(string);
        --at;
      } else if ('{['.includes(text[at])) {
        ++depth;
      } else if ('}]'.includes(text[at])) {
        --depth;
      }
    }
    found[name] = text.slice(valueAt, at).trim();
  }
  return found;
}

// JSON for people. As it is written, if it would change: numbers can have more digits than
// JavaScript keeps.
function pretty(source) {
  const text = JSON.stringify(JSON.parse(source), null, 2);
  const bare = (json) => json.replace(/\s/g, '');
  return bare(text) === bare(source) ? text : source;
}

// A payload or result, JSON or bytes: {text, note}.
export function content({source, base64}) {
  if (source !== undefined) return {text: pretty(source), note: `${bytes(new Blob([source]).size)} of JSON`};
  if (!base64) return {text: '', note: 'empty'};
  const raw = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  try {
    return {text: decoder.decode(raw), note: `${bytes(raw.length)} of text`};
  } catch {
    return {text: base64, note: `${bytes(raw.length)}, not text; shown as base64`};
  }
}

// What a user typed, as members of a JobSpec would have it: JSON, or bytes.
export function typed(text) {
  try {
    JSON.parse(text);
    return {source: text};
  } catch {
    return {base64: toBase64(text)};
  }
}

export function toBase64(text) {
  let raw = '';
  for (const byte of new TextEncoder().encode(text)) raw += String.fromCharCode(byte);
  return btoa(raw);
}
