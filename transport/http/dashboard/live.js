// The state of the node from /events. Uses fetch(), because EventSource cannot send a key.

import {ApiError, errorOf, headers} from './api.js';

const HISTORY = 180;  // seconds
const SILENCE_MS = 25_000;  // the node sends a heartbeat every 15 s
// A browser has six connections to a node for all its tabs: a hidden tab closes its stream.
const UNSEEN_MS = 30_000;
const BACKOFF_MS = [250, 500, 1000, 2000, 4000, 8000];

export const state = {
  link: 'connecting',  // live, lost, refused, paused (hidden)
  linkError: '',
  total: null,
  rates: null,
  queues: new Map(),
  more: '',  // the token of the queues that are not in the events; empty: all are
  atMs: 0,  // the time of the last stats, by this machine's clock
  cluster: null,
  problem: null,
  auth: '',
  nodeReadOnly: false,
  disk: null,
  appliedIndex: 0,
  history: [],  // {enqueued, completed, failed, ready} for each second
};

const pageReadOnly = new URLSearchParams(location.search).has('readonly');
export const readOnly = () => pageReadOnly || state.nodeReadOnly;

const listeners = new Set();
// Calls `f()` after each change and every second. Returns a function that ends this.
export function watch(f) {
  listeners.add(f);
  return () => listeners.delete(f);
}
function changed() {
  for (const f of listeners) {
    try {
      f();
    } catch (error) {
      // An error of one screen must not stop the others and the stream.
      reportError(error);
    }
  }
}

export function readyAge(stats) {
  if (!stats?.ready) return 0;
  return stats.oldest_ready_age_ms + (Date.now() - (stats.atMs ?? state.atMs));
}

function onStats(data) {
  const now = Date.now();
  const seconds = state.timeMs ? Math.max(0.5, (data.time_ms - state.timeMs) / 1000) : 0;
  const before = state.queues;
  if (data.whole) state.queues = new Map();
  else for (const queue of state.queues.values()) queue.rates = {enqueued: 0, completed: 0};
  for (const [name, stats] of Object.entries(data.queues)) {
    const old = before.get(name);
    const rate = (counter) =>
        old && seconds ? Math.max(0, stats[counter] - old[counter]) / seconds : 0;
    stats.name = name;
    stats.atMs = now;
    stats.rates = {enqueued: rate('enqueued'), completed: rate('completions')};
    state.queues.set(name, stats);
  }
  for (const name of data.gone) state.queues.delete(name);
  Object.assign(state, {
    total: {...data.total, atMs: now}, rates: data.rates, more: data.next_page_token, atMs: now,
    timeMs: data.time_ms, appliedIndex: data.applied_index,
  });
}

function onCluster(data) {
  Object.assign(state, {
    cluster: data.cluster, problem: data.problem, auth: data.auth,
    nodeReadOnly: data.read_only, disk: data.disk_free_bytes,
  });
}

let lastId = '';

// Reads one stream to its end.
async function read(response, alive) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    alive();
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const event = {data: ''};
      for (const line of text.slice(0, end).split('\n')) {
        const colon = line.indexOf(': ');
        if (colon > 0) event[line.slice(0, colon)] = line.slice(colon + 2);
      }
      if (event.id) lastId = event.id;
      if (event.event === 'stats') onStats(JSON.parse(event.data));
      if (event.event === 'cluster') onCluster(JSON.parse(event.data));
      if (event.event) changed();
    }
  }
}

let abort = new AbortController();

async function connect() {
  abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), SILENCE_MS);
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(), SILENCE_MS);
  };
  try {
    const response = await fetch('/events', {
      headers: headers(lastId ? {'Last-Event-ID': lastId} : {}), signal: abort.signal,
      cache: 'no-store',
    });
    if (!response.ok) throw await errorOf(response);
    state.link = 'live';
    state.linkError = '';
    changed();
    await read(response, alive);
  } finally {
    clearTimeout(timer);
  }
}

let wake = () => {};
// Reconnects now, with a new key.
export const reconnect = () => wake();

// Runs for ever.
export async function run() {
  setInterval(() => {
    if (state.total && state.link === 'live') {
      const {enqueued = 0, completed = 0, failed = 0} = state.rates ?? {};
      state.history.push({enqueued, completed, failed, ready: state.total.ready});
      if (state.history.length > HISTORY) state.history.shift();
    }
    changed();
  }, 1000);
  let unseen = 0;
  document.addEventListener('visibilitychange', () => {
    clearTimeout(unseen);
    if (!document.hidden) return wake();
    unseen = setTimeout(() => {
      state.link = 'paused';
      abort.abort();
    }, UNSEEN_MS);
  });
  for (let tries = 0;; ++tries) {
    let refused = false;
    try {
      await connect();
      tries = 0;
    } catch (error) {
      if (state.link === 'live') tries = 0;
      refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
      state.linkError = error instanceof ApiError ? error.message : '';
    }
    const paused = state.link === 'paused' && document.hidden;
    if (!paused) state.link = refused ? 'refused' : 'lost';
    changed();
    const wait = BACKOFF_MS[Math.min(tries, BACKOFF_MS.length - 1)] * (0.75 + Math.random() / 2);
    await new Promise((resolve) => {
      wake = resolve;
      if (!refused && !paused) setTimeout(resolve, wait);
    });
  }
}
