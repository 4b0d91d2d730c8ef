import * as api from './api.js';
import {action, confirm, toast} from './dialogs.js';
import {badge, field, h, liveTable, setText} from './dom.js';
import {count, duration, many, percent, rate} from './format.js';
import {readyAge, state, watch} from './live.js';

const path = (queue, verb) => `/v1/queues/${encodeURIComponent(queue)}:${verb}`;

// Repeats a call that does a part of the work until no work is left. Returns the sum.
export async function untilDone(call, counter) {
  let sum = 0;
  for (;;) {
    const answer = await call();
    sum += Number(answer[counter]);
    if (!answer.more) return sum;
  }
}

async function purge(queue) {
  if (!await confirm(`Purge ${queue}?`, 'Every scheduled and ready job of this queue is deleted, for good. ' +
                         'Running jobs go on.', 'Purge', queue)) return;
  const purged = await untilDone(() => api.post(path(queue, 'purge'), {max_jobs: 10000}), 'purged');
  toast(`Purged ${many(purged, 'job')} of ${queue}`);
}

function actions(queue) {
  const needs = 'queues:manage';
  const pause = action('Pause', async () => {
    await api.post(path(queue.name, 'pause'));
    toast(`Paused ${queue.name}`);
  }, {label: `Pause ${queue.name}`, needs});
  const resume = action('Resume', async () => {
    await api.post(path(queue.name, 'resume'));
    toast(`Resumed ${queue.name}`);
  }, {label: `Resume ${queue.name}`, needs});
  return [pause, resume, action('Purge', () => purge(queue.name),
                                {kind: 'quiet danger-text', label: `Purge ${queue.name}`, needs})];
}

const errorRate = (queue) => {
  const failed = queue.failures + queue.expirations;
  const attempts = queue.completions + failed;
  return attempts ? percent(failed / attempts) : '–';
};

export function queues(root) {
  const search = h('input', {type: 'search', placeholder: 'part of a name', 'data-search': ''});
  const table = liveTable('Queues', [
    {name: 'Queue', kind: 'wide', make: (queue) => h('a', {href: '#/jobs?queue=' + encodeURIComponent(queue.name)}, queue.name)},
    {
      name: 'State',
      set(cell, queue) {
        const text = !queue.paused ? 'OPEN' : queue.refuses_enqueues ? 'CLOSED' : 'PAUSED';
        if (cell.textContent !== text) cell.replaceChildren(badge(text));
      },
    },
    {name: 'Ready', kind: 'number', set: (cell, queue) => setText(cell, count(queue.ready))},
    {name: 'Scheduled', kind: 'number', set: (cell, queue) => setText(cell, count(queue.scheduled))},
    {name: 'Leased', kind: 'number', set: (cell, queue) => setText(cell, count(queue.leased))},
    {name: 'Dead', kind: 'number', set: (cell, queue) => setText(cell, count(queue.dead))},
    {name: 'Oldest', kind: 'number', set: (cell, queue) => setText(cell, queue.ready ? duration(readyAge(queue)) : '–')},
    {name: 'In', kind: 'number', set: (cell, queue) => setText(cell, rate(queue.rates.enqueued))},
    {name: 'Done', kind: 'number', set: (cell, queue) => setText(cell, rate(queue.rates.completed))},
    {name: 'Errors', kind: 'number', set: (cell, queue) => setText(cell, errorRate(queue))},
    {
      name: 'Actions', kind: 'actions', make: (queue) => h('div', {class: 'row-actions'}, actions(queue)),
      set(cell, queue) {
        const [pause, resume] = cell.firstChild.children;
        pause.hidden = queue.paused;
        resume.hidden = !queue.paused;
      },
    },
  ], (queue) => queue.name, 'No queue here.');
  // Queues behind the first 1,000 are fetched page by page, and do not change by themselves.
  let later = null;  // a page of them; null: the first queues are shown
  let token = '';    // of the page behind it
  const turn = async (to) => {
    const answer = to ? await api.get('/stats', {page_token: to}) : null;
    later = answer && Object.entries(answer.queues).map(
        ([name, stats]) => ({...stats, name, atMs: Date.now(), rates: {enqueued: null, completed: null}}));
    token = answer ? answer.next_page_token : '';
    update();
  };
  // Not an action(): paging is possible on a read-only node, too.
  const pager = (text, to) => {
    const button = h('button', {type: 'button', class: 'quiet'}, text);
    button.addEventListener('click', () => turn(to()).catch((error) => toast(error.message, 'bad')));
    return button;
  };
  const first = pager('First queues', () => '');
  const next = pager('Next queues', () => later ? token : state.more);
  const more = h('p', {class: 'note', hidden: true}, 'A page has 1,000 queues by name; only the first is live. ',
                 first, next);
  root.append(h('h1', {}, 'Queues'), h('div', {class: 'filters'}, field('Search', search)),
              h('section', {class: 'card'}, table.element, more));
  function update() {
    const part = search.value.trim().toLowerCase();
    table.update((later ?? [...state.queues.values()]).filter((queue) => queue.name.toLowerCase().includes(part))
                     .sort((a, b) => a.name.localeCompare(b.name)));
    more.hidden = !state.more && !later;
    first.hidden = !later;
    next.hidden = later ? !token : !state.more;
  }
  search.addEventListener('input', update);
  update();
  return watch(update);
}
