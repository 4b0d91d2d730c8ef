import * as api from './api.js';
import {action, confirm, toast} from './dialogs.js';
import {field, h, liveTable, setText} from './dom.js';
import {ago, clock, count, many, plain} from './format.js';
import {jobLink} from './jobs.js';
import {state, watch} from './live.js';
import {poll} from './poll.js';
import {untilDone} from './queues.js';

async function redrive(what, filter, then) {
  if (!await confirm('Redrive?', `${what} can be leased again, with fresh counters.`, 'Redrive')) return;
  const sum = await untilDone(() => api.post('/v1/jobs:redrive', {...filter, max_jobs: 10000}), 'redriven');
  toast(`Redriven ${many(sum, 'job')}`);
  then();
}

export function dead(root) {
  const needs = 'queues:manage';
  const total = h('p', {class: 'lead'});
  const groups = liveTable('Dead jobs by error', [
    {name: 'Error', kind: 'wide', make: (group) => h('span', {class: 'error-text'}, group.error || 'no error told')},
    {name: 'Why', set: (cell, group) => setText(cell, plain(group.reason, 'DEAD_REASON_'))},
    {name: 'Queue', set: (cell, group) => setText(cell, group.queue)},
    {name: 'Type', set: (cell, group) => setText(cell, group.type)},
    {name: 'Jobs', kind: 'number', set: (cell, group) => setText(cell, count(group.jobs))},
    {name: 'First', kind: 'time', set: (cell, group) => { setText(cell, ago(group.first_time)); cell.title = clock(group.first_time); }},
    {name: 'Last', kind: 'time', set: (cell, group) => { setText(cell, ago(group.last_time)); cell.title = clock(group.last_time); }},
    {
      name: 'Examples', kind: 'wide',
      make: () => h('span', {class: 'samples'}),
      set(cell, group) {
        const ids = group.sample_ids.slice(0, 2);
        if (cell.firstChild.dataset.ids === ids.join()) return;
        cell.firstChild.dataset.ids = ids.join();
        cell.firstChild.replaceChildren(...ids.map(jobLink));
      },
    },
    {
      name: 'Actions', kind: 'actions',
      make: (group) => action('Redrive', () => redrive(`${many(group.jobs, 'job')} of this group`, {
        queue: group.queue, type: group.type, error_fingerprint: group.error_fingerprint,
      }, list.now), {needs, label: `Redrive ${group.queue}, ${group.type}: ${group.error}`}),
    },
  ], (group) => [group.queue, group.type, group.reason, group.error_fingerprint].join('\n'), 'No job is dead.');
  const more = h('p', {class: 'note', hidden: true}, 'There are more groups than are shown.');
  const list = poll(() => api.get('/v1/dead-jobs'), (answer) => {
    groups.update(answer.groups);
    more.hidden = !answer.more;
  });

  const queue = h('input', {type: 'text', placeholder: 'all', spellcheck: 'false'});
  const part = h('input', {type: 'text', placeholder: 'any', spellcheck: 'false', 'data-search': ''});
  const all = action('Redrive these', () => {
    const filter = {queue: queue.value.trim(), error_contains: part.value};
    return redrive(filter.queue || filter.error_contains ? 'Dead jobs that match' : 'All dead jobs', filter, list.now);
  }, {needs, kind: ''});
  root.append(h('h1', {}, 'Dead letters'), total, list.element,
              h('section', {class: 'card'}, h('h2', {}, 'By error'), groups.element, more),
              h('section', {class: 'card'}, h('h2', {}, 'Redrive by queue or text'),
                h('div', {class: 'filters'}, field('In queue', queue), field('Whose error has', part), all),
                h('p', {}, h('a', {href: '#/jobs?state=DEAD'}, 'See every dead job'))));
  const update = () => state.total && setText(total, state.total.dead
      ? `${many(state.total.dead, 'job')} failed for good and wait for a decision.` : 'Nothing has failed for good.');
  update();
  const unwatch = watch(update);
  return () => {
    unwatch();
    list.stop();
  };
}
