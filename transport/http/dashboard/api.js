// Calls of the node's HTTP API.
import {members} from './format.js';

const KEY = 'dqueue.key';

export const key = () => localStorage.getItem(KEY) ?? '';
export const setKey = (text) =>
    text ? localStorage.setItem(KEY, text) : localStorage.removeItem(KEY);

// An error answer of the node.
export class ApiError extends Error {
  constructor(status, reason, message, details) {
    super(message);
    Object.assign(this, {status, reason, details: details ?? {}});
  }
  get notAvailable() { return this.status === 501; }
}

let whenRefused = () => {};
// `f(error)` is called whenever the node refuses the key.
export const onRefused = (f) => { whenRefused = f; };

export function headers(more) {
  return {...(key() ? {Authorization: 'Bearer ' + key()} : {}), ...more};
}

// Converts an answer to an error.
export async function errorOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // The answer is from a proxy.
  }
  const error = new ApiError(response.status, body.reason ?? 'HTTP_' + response.status,
                             body.error ?? response.statusText, body.details);
  if (error.status === 401) whenRefused(error);
  return error;
}

async function send(method, path, body) {
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
  return response;
}

const call = async (method, path, body) => (await send(method, path, body)).json();

// Omits empty parameters.
export function get(path, parameters = {}) {
  const set = Object.entries(parameters).filter(([, value]) => value !== '' && value !== undefined);
  const query = new URLSearchParams(set).toString();
  return call('GET', path + (query ? '?' + query : ''));
}

// All pages of a listing, as one list: the field `name` of the answers.
export async function getAll(path, name, parameters = {}) {
  const list = [];
  for (let token = '';;) {
    const answer = await get(path, {...parameters, page_token: token});
    list.push(...answer[name]);
    token = answer.next_page_token;
    if (!token) return list;
  }
}

// A job. Its payload and result are {source} or {base64}: parsed, a number could lose digits.
export async function getJob(id) {
  const text = await (await send('GET', '/v1/jobs/' + encodeURIComponent(id))).text();
  const {job} = JSON.parse(text);
  const sources = members(members(text).job);
  for (const name of ['payload', 'result']) {
    job[name] = name in sources ? {source: sources[name]} : {base64: job[name + '_base64']};
  }
  return job;
}

export const post = (path, body = {}) => call('POST', path, body);

// For a call with many items: the number of successes, and the first error.
export function outcome(results) {
  const bad = results.filter((status) => status.code);
  return {done: results.length - bad.length, failed: bad.length, first: bad[0]?.message ?? ''};
}
