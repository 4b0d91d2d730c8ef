// The current screen, the frame around it, and the keyboard.

import * as api from './api.js';
import {cluster} from './cluster.js';
import {dead} from './dead.js';
import {help, toast} from './dialogs.js';
import {field, h, setText} from './dom.js';
import {enqueue} from './enqueue.js';
import {count} from './format.js';
import {job} from './job.js';
import {jobs} from './jobs.js';
import {keys} from './keys.js';
import {readOnly, reconnect, run, state, watch} from './live.js';
import {overview} from './overview.js';
import {queues} from './queues.js';
import {workers} from './workers.js';

// [path, name, screen, letter after g]
const SCREENS = [
  ['overview', 'Overview', overview, 'o'], ['queues', 'Queues', queues, 'q'], ['jobs', 'Jobs', jobs, 'j'],
  ['dead', 'Dead letters', dead, 'd'], ['workers', 'Workers', workers, 'w'], ['cluster', 'Cluster', cluster, 'c'],
  ['keys', 'Keys', keys, 'k'], ['enqueue', 'Enqueue', enqueue, 'n'],
];
const SHORTCUTS = [
  ...SCREENS.map(([, name,, letter]) => ['g ' + letter, name]), ['n', 'Enqueue a job'], ['/', 'Search on this screen'],
  ['t', 'Light, dark, or as the system'], ['?', 'This list'],
];
const THEMES = ['system', 'light', 'dark'];

const $ = (id) => document.getElementById(id);
const main = $('main');
let leave = () => {};
let signingIn = false;

function parse() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  const [screen, ...rest] = path.split('/');
  return {screen: screen || 'overview', id: decodeURIComponent(rest.join('/')), parameters: new URLSearchParams(query)};
}

// In a narrow window the names of the screens are a strip. Not scrollIntoView(): in some browsers it moves the start
// of Tab navigation.
function reveal(link) {
  const strip = $('nav').parentElement;
  const {left, right} = link.getBoundingClientRect();
  const shown = strip.getBoundingClientRect();
  strip.scrollLeft += Math.max(0, right - shown.right) - Math.max(0, shown.left - left);
}

function go() {
  if (signingIn) return;
  const {screen, id, parameters} = parse();
  leave();
  leave = () => {};
  main.replaceChildren();
  const current = screen === 'job' ? 'jobs' : screen;
  const known = SCREENS.find(([path]) => path === current);
  for (const link of $('nav').querySelectorAll('a')) {
    if (link.hash !== '#/' + current) {
      link.removeAttribute('aria-current');
      continue;
    }
    link.setAttribute('aria-current', 'page');
    reveal(link);
  }
  if (!known) {
    main.append(h('h1', {}, 'Nothing here'), h('p', {}, h('a', {href: '#/overview'}, 'To the overview')));
    return;
  }
  document.title = `${screen === 'job' ? id : known[1]} · dqueue`;
  leave = (screen === 'job' ? job : known[2])(main, parameters, id) ?? (() => {});
}

function signIn(error) {
  if (signingIn) return;
  signingIn = true;
  leave();
  leave = () => {};
  const input = h('input', {type: 'password', autocomplete: 'current-password', required: true, spellcheck: 'false'});
  const form = h('form', {
    class: 'card sign-in',
    onsubmit(event) {
      event.preventDefault();
      api.setKey(input.value.trim());
      signingIn = false;
      showTools();
      reconnect();
      go();
    },
  }, h('h1', {}, 'This node asks for a key'),
     h('p', {}, 'Paste an API key. It is kept in this browser and sent to this node only.'),
     h('p', {class: 'problem', role: 'alert'}, api.key() ? `That key was refused: ${error.message}` : error.message),
     field('API key', input), h('div', {class: 'row-actions'}, h('button', {type: 'submit'}, 'Sign in')));
  main.replaceChildren(form);
  document.title = 'Sign in · dqueue';
  input.focus();
}

function showTools() {
  $('sign-out').hidden = !api.key();
}

const banner = (kind, text) => h('p', {class: 'banner ' + kind}, text);
let bannersTold = '';
function around() {
  const words = {live: 'live', connecting: 'connecting', refused: 'not allowed', paused: 'paused'};
  const link = $('link-state');
  const text = state.link === 'live' && state.problem ? 'no answer' : words[state.link] ?? 'reconnecting';
  setText(link, text);
  link.className = 'link-state ' + (text === 'live' ? 'good' : 'bad');
  const banners = [];
  if (state.link === 'lost') {
    banners.push(['bad', 'This node does not answer. What is shown is from before; trying again.']);
  } else if (state.link === 'refused' && !signingIn) {
    banners.push(['bad', `No live view: ${state.linkError}`]);
  } else if (state.problem) {
    banners.push(['bad', `The cluster does not answer: ${state.problem.error}`]);
  }
  if (state.auth === 'off') {
    banners.push(['warn', 'Keys are off: anyone who reaches this port can do anything here.']);
  }
  if (readOnly()) banners.push(['info', 'Read-only: nothing can be changed here.']);
  const now = JSON.stringify(banners);
  if (now !== bannersTold) {
    bannersTold = now;
    $('banners').replaceChildren(...banners.map(([kind, message]) => banner(kind, message)));
  }
  const dead = document.querySelector('#nav .count');
  const number = state.total?.dead ?? 0;
  setText(dead, number ? count(number) : '');
  dead.hidden = !number;
}

function theme(name) {
  if (name === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  localStorage.setItem('dqueue.theme', name);
  $('theme').dataset.now = name;
  const shown = {system: 'Auto', light: 'Light', dark: 'Dark'}[name];
  setText($('theme'), shown);
  $('theme').setAttribute('aria-label', 'Theme: ' + shown);
}
const nextTheme = () => theme(THEMES[(THEMES.indexOf($('theme').dataset.now) + 1) % THEMES.length]);

let prefix = 0;  // the time when g was pressed
function onKey(event) {
  const typing = event.target.matches?.('input, textarea, select');
  if (event.key === 'Escape' && typing) return event.target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (Date.now() - prefix < 1500) {
    prefix = 0;
    const screen = SCREENS.find(([,,, letter]) => letter === event.key);
    if (screen) {
      event.preventDefault();
      location.hash = '#/' + screen[0];
      return;
    }
  }
  if (event.key === 'g') prefix = Date.now();
  else if (event.key === '?') help(SHORTCUTS);
  else if (event.key === 't') nextTheme();
  else if (event.key === 'n') location.hash = '#/enqueue';
  else if (event.key === '/') main.querySelector('[data-search]')?.focus();
  else return;
  event.preventDefault();
}

$('nav').append(...SCREENS.map(([path, name]) => h('li', {}, h('a', {href: '#/' + path}, name,
    path === 'dead' ? h('span', {class: 'count', hidden: true}) : null))));
theme(THEMES.includes(localStorage.getItem('dqueue.theme')) ? localStorage.getItem('dqueue.theme') : 'system');
$('theme').addEventListener('click', nextTheme);
$('help').addEventListener('click', () => help(SHORTCUTS));
$('sign-out').addEventListener('click', () => {
  api.setKey('');
  toast('Signed out');
  location.reload();
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  main.focus();
});
document.addEventListener('keydown', onKey);
window.addEventListener('hashchange', () => {
  go();
  window.scrollTo(0, 0);
});
api.onRefused(signIn);
watch(around);
showTools();

// A screen is built with or without buttons; the first cluster event tells which.
let wasReadOnly = readOnly();
watch(() => {
  if (wasReadOnly === readOnly()) return;
  wasReadOnly = readOnly();
  go();
});
go();
run();
