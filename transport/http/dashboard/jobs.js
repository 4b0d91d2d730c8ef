import * as api from './api.js';
import {action, confirm, toast} from './dialogs.js';
import {badge, field, h, hidden, liveTable, setText} from './dom.js';
import {ago, clock, count, many, plain, stateName} from './format.js';
import {state as live} from './live.js';
import {poll} from './poll.js';

const STATES = ['SCHEDULED', 'READY', 'LEASED', 'SUCCEEDED', 'DEAD', 'CANCELLED'];
const PAGE = 50;

export const jobLink = (id) => h('a', {href: '#/job/' + encodeURIComponent(id), class: 'id'}, id);

export const attempts = (job) => job.counters ? job.counters.delivered + (job.state === 'JOB_STATE_LEASED' ? 1 : 0) : 0;

// The detail that matters in a job's state.
export function situation(job) {
  switch (stateName(job.state)) {
    case 'SCHEDULED': return 'runs ' + ago(job.run_time);
    case 'LEASED': return 'with ' + (job.lease?.worker_id ?? 'a worker');
    case 'DEAD': return `${plain(job.dead_reason, 'DEAD_REASON_')}: ${job.last_error || 'no error told'}`;
    case 'SUCCEEDED': return 'finished ' + ago(job.finish_time);
    case 'CANCELLED': return 'cancelled ' + ago(job.finish_time);
    default: return job.last_error ? 'last failed: ' + job.last_error : 'waits for a worker';
  }
}

async function each(verb, done, ids) {
  const {done: ok, failed, first} = api.outcome((await api.post('/v1/jobs:' + verb, {ids})).results);
  if (ok) toast(`${done} ${many(ok, 'job')}`);
  if (failed) toast(`${count(failed)} not ${done.toLowerCase()}: ${first}`, 'bad');
}

// Buttons for the jobs `ids()`. `then()` is called after a change.
export function jobActions(ids, then) {
  return [
    action('Retry', async () => {
      await each('retry', 'Retried', ids());
      then();
    }, {needs: 'jobs:submit'}),
    action('Cancel', async () => {
      await each('cancel', 'Cancelled', ids());
      then();
    }, {needs: 'jobs:submit'}),
    action('Delete', async () => {
      const chosen = ids();
      const what = chosen.length === 1 ? `job ${chosen[0]}` : many(chosen.length, 'job');
      if (!await confirm(`Delete ${what}?`, 'They are gone at once, whatever their state; running ones stay.',
                         'Delete')) return;
      await each('delete', 'Deleted', chosen);
      then();
    }, {kind: 'quiet danger-text', needs: 'queues:manage'}),
  ];
}

export function jobs(root, parameters) {
  const filter = {
    state: parameters.get('state') ?? '', queue: parameters.get('queue') ?? '', type: parameters.get('type') ?? '',
  };
  const chosen = new Set();
  const pages = [''];  // tokens of the pages up to this one
  let shown = [];
  let next = '';

  const tabs = h('div', {class: 'tabs', role: 'group', 'aria-label': 'State'}, ['', ...STATES].map((name) => h('a', {
    href: link({state: name}), 'aria-current': filter.state === name ? 'true' : null,
  }, name ? name.charAt(0) + name.slice(1).toLowerCase() : 'All')));
  const queue = h('input', {type: 'text', list: 'queue-names', value: filter.queue, placeholder: 'all', spellcheck: 'false'});
  const type = h('input', {type: 'text', value: filter.type, placeholder: 'all', spellcheck: 'false'});
  const search = h('input', {type: 'search', placeholder: 'id, type, error', 'data-search': '', spellcheck: 'false'});
  const names = h('datalist', {id: 'queue-names'}, [...live.queues.keys()].map((name) => h('option', {value: name})));

  function link(change) {
    const all = {...filter, ...change};
    return '#/jobs?' + new URLSearchParams(Object.entries(all).filter(([, value]) => value)).toString();
  }
  const go = () => { location.hash = link({queue: queue.value.trim(), type: type.value.trim()}); };
  queue.addEventListener('change', go);
  type.addEventListener('change', go);

  const all = h('input', {type: 'checkbox', 'aria-label': 'Select all jobs of this page'});
  all.addEventListener('change', () => {
    visible().forEach((job) => all.checked ? chosen.add(job.id) : chosen.delete(job.id));
    show();
  });
  const table = liveTable('Jobs', [
    {
      name: 'Select', kind: 'select', head: h('span', {}, all, hidden('Select')),
      make(job) {
        const box = h('input', {type: 'checkbox', 'aria-label': 'Select job ' + job.id});
        box.addEventListener('change', () => {
          if (box.checked) chosen.add(job.id);
          else chosen.delete(job.id);
          show();
        });
        return box;
      },
      set: (cell, job) => { cell.firstChild.checked = chosen.has(job.id); },
    },
    {name: 'Job', kind: 'wide', make: (job) => jobLink(job.id)},
    {name: 'Queue', set: (cell, job) => setText(cell, job.queue)},
    {name: 'Type', set: (cell, job) => setText(cell, job.type)},
    {
      name: 'State',
      set(cell, job) {
        if (cell.textContent !== stateName(job.state)) cell.replaceChildren(badge(stateName(job.state)));
      },
    },
    {name: 'Priority', kind: 'number', set: (cell, job) => setText(cell, String(job.priority))},
    {name: 'Attempts', kind: 'number', set: (cell, job) => setText(cell, String(attempts(job)))},
    {
      name: 'Created', kind: 'time',
      set(cell, job) {
        setText(cell, ago(job.create_time));
        cell.title = clock(job.create_time);
      },
    },
    {
      name: 'Now', kind: 'wide',
      make: () => h('span', {class: 'clip'}),
      set(cell, job) {
        setText(cell.firstChild, situation(job));
        cell.firstChild.title = cell.firstChild.textContent;
      },
    },
  ], (job) => job.id, 'No job here.');

  const bulkCount = h('strong', {});
  const bulk = h('div', {class: 'bulk', role: 'group', 'aria-label': 'With the selected jobs', hidden: true}, bulkCount,
                 jobActions(() => [...chosen], () => {
                   chosen.clear();
                   list.now();
                 }));
  const back = h('button', {type: 'button', class: 'quiet', onclick: () => turn(-1)}, 'Previous');
  const forth = h('button', {type: 'button', class: 'quiet', onclick: () => turn(1)}, 'Next');
  const where = h('span', {class: 'note'});

  function turn(by) {
    if (by > 0) pages.push(next);
    else pages.pop();
    chosen.clear();
    list.now();
  }
  const visible = () => {
    const part = search.value.trim().toLowerCase();
    return shown.filter((job) => [job.id, job.type, job.last_error].some((text) => text?.toLowerCase().includes(part)));
  };
  function show() {
    const rows = visible();
    table.update(rows);
    bulk.hidden = chosen.size === 0;
    setText(bulkCount, `${count(chosen.size)} selected`);
    all.checked = rows.length > 0 && rows.every((job) => chosen.has(job.id));
    back.disabled = pages.length === 1;
    forth.disabled = !next;
    setText(where, `Page ${pages.length}`);
  }
  const list = poll(() => api.get('/v1/jobs', {...filter, page_size: PAGE, page_token: pages.at(-1)}), (answer) => {
    shown = answer.jobs;
    next = answer.next_page_token;
    show();
  });
  search.addEventListener('input', show);
  search.addEventListener('keydown', (event) => {
    // Any id, even one that no page here shows.
    if (event.key === 'Enter' && search.value.trim() && visible().length !== 1) {
      location.hash = '#/job/' + encodeURIComponent(search.value.trim());
    } else if (event.key === 'Enter' && visible().length === 1) {
      location.hash = '#/job/' + encodeURIComponent(visible()[0].id);
    }
  });

  root.append(h('h1', {}, 'Jobs'), tabs,
              h('div', {class: 'filters'}, field('Queue', queue), field('Type', type),
                field('Search this page', search, 'Enter opens the job with this id')), names,
              list.element, h('section', {class: 'card'}, bulk, table.element,
                              h('div', {class: 'pager'}, back, where, forth)));
  show();
  return list.stop;
}
