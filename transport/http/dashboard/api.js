// The node's own HTTP API, as every program uses it.

const KEY = 'dqueue.key';

export const key = () => localStorage.getItem(KEY) ?? '';
export const setKey = (text) =>
    text ? localStorage.setItem(KEY, text) : localStorage.removeItem(KEY);

// What the node answered instead of doing it.
export class ApiError extends Error {
  constructor(status, reason, message, details) {
    super(message);
    Object.assign(this, {status, reason, details: details ?? {}});
  }
  get notAvailable() { return this.status === 501; }
}

let whenRefused = () => {};
// `f(error)` is called whenever the node does not know the key.
export const onRefused = (f) => { whenRefused = f; };

export function headers(more) {
  return {...(key() ? {Authorization: 'Bearer ' + key()} : {}), ...more};
}

// The error that an answer is.
export async function errorOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // From something on the way, then.
  }
  const error = new ApiError(response.status, body.reason ?? 'HTTP_' + response.status,
                             body.error ?? response.statusText, body.details);
  if (error.status === 401) whenRefused(error);
  return error;
}

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: headers(body === undefined ? {} : {'Content-Type': 'application/json'}),
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
    });
  } catch {
    throw new ApiError(0, 'UNREACHABLE', 'the node does not answer');
  }
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

// Parameters that are empty are left out.
export function get(path, parameters = {}) {
  const set = Object.entries(parameters).filter(([, value]) => value !== '' && value !== undefined);
  const query = new URLSearchParams(set).toString();
  return call('GET', path + (query ? '?' + query : ''));
}

export const post = (path, body = {}) => call('POST', path, body);

// Of a call with many items: how many went well, and the first thing that did not.
export function outcome(results) {
  const bad = results.filter((status) => status.code);
  return {done: results.length - bad.length, failed: bad.length, first: bad[0]?.message ?? ''};
}
