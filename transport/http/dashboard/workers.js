import * as api from './api.js';
import {badge, field, h, liveTable, setText} from './dom.js';
import {ago, count, many} from './format.js';
import {poll} from './poll.js';

const doing = (worker) => worker.leased > 0 ? 'BUSY' : worker.waiting ? 'IDLE' : 'SILENT';

export function workers(root) {
  const search = h('input', {type: 'search', placeholder: 'worker, host or queue', 'data-search': '', spellcheck: 'false'});
  const lead = h('p', {class: 'lead'});
  let shown = [];
  const table = liveTable('Workers', [
    {name: 'Worker', kind: 'wide', set: (cell, worker) => setText(cell, worker.id)},
    {name: 'Host', set: (cell, worker) => setText(cell, worker.host || '–')},
    {
      name: 'State',
      set(cell, worker) {
        if (cell.textContent !== doing(worker)) cell.replaceChildren(badge(doing(worker)));
      },
    },
    {name: 'Jobs held', kind: 'number', set: (cell, worker) => setText(cell, count(worker.leased))},
    {name: 'Completed', kind: 'number', set: (cell, worker) => setText(cell, count(worker.completed))},
    {name: 'Failed', kind: 'number', set: (cell, worker) => setText(cell, count(worker.failed))},
    {name: 'Expired', kind: 'number', set: (cell, worker) => setText(cell, count(worker.expired))},
    {name: 'Queues', set: (cell, worker) => setText(cell, worker.queues.join(', ') || 'default')},
    {name: 'Since', kind: 'time', set: (cell, worker) => setText(cell, ago(worker.first_time))},
    {name: 'Last seen', kind: 'time', set: (cell, worker) => setText(cell, ago(worker.last_time))},
  ], (worker) => worker.id, 'Nobody has asked for jobs in the last five minutes.');
  function show() {
    const part = search.value.trim().toLowerCase();
    table.update(shown.filter((worker) => [worker.id, worker.host, ...worker.queues].some(
        (text) => text.toLowerCase().includes(part))));
    const hosts = new Set(shown.map((worker) => worker.host)).size;
    const busy = shown.filter((worker) => worker.leased > 0).length;
    setText(lead, shown.length ? `${many(shown.length, 'worker')} on ${many(hosts, 'machine')}, ${count(busy)} busy.` : '');
  }
  const list = poll(() => api.getAll('/v1/workers', 'workers'), (workers) => {
    shown = workers;
    show();
  });
  search.addEventListener('input', show);
  root.append(h('h1', {}, 'Workers'), lead, list.element, h('div', {class: 'filters'}, field('Search', search)),
              h('section', {class: 'card'}, table.element));
  return list.stop;
}
