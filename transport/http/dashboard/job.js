import * as api from './api.js';
import {badge, h} from './dom.js';
import {ago, clock, content, durationText, plain, stateName} from './format.js';
import {attempts, jobActions, situation} from './jobs.js';
import {poll} from './poll.js';

const facts = (pairs) => h('dl', {class: 'facts'}, pairs.filter(([, value]) => value).map(
    ([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));

function block(title, value) {
  const {text, note} = content(value);
  if (!text) return null;
  return h('section', {class: 'card'}, h('div', {class: 'card-head'}, h('h2', {}, title), h('span', {class: 'note'}, note)),
           h('pre', {tabindex: '0', role: 'region', 'aria-label': title}, text));
}

function map(title, entries) {
  const pairs = Object.entries(entries ?? {});
  return pairs.length ? h('section', {class: 'card'}, h('h2', {}, title), facts(pairs)) : null;
}

// [time, what, kind], in order.
function timeline(job) {
  const events = [[job.create_time, 'Enqueued', 'ready']];
  for (const attempt of job.attempts ?? []) {
    const end = plain(attempt.end, 'END_');
    events.push([attempt.end_time, `Attempt ${attempt.number} ${end === 'expired' ? 'ran out of time' : end}` +
        (attempt.worker_id ? ` at ${attempt.worker_id}` : '') + (attempt.error ? `: ${attempt.error}` : ''), 'dead']);
  }
  const state = stateName(job.state);
  if (job.finish_time) events.push([job.finish_time, state.charAt(0) + state.slice(1).toLowerCase(), state.toLowerCase()]);
  else if (state === 'SCHEDULED') events.push([job.run_time, 'Runs', 'scheduled']);
  else if (state === 'LEASED') events.push([null, `Running, ${situation(job)}`, 'leased']);
  else events.push([null, 'Waits for a worker', 'ready']);
  return h('ol', {class: 'timeline'}, events.map(([time, what, kind]) => h('li', {class: 'state-' + kind},
      h('span', {class: 'when', title: clock(time)}, time ? ago(time) : 'now'), h('span', {}, what))));
}

function attemptsTable(list) {
  if (!list?.length) return null;
  const names = ['Attempt', 'End', 'Worker', 'Held', 'When', 'Error'];
  return h('section', {class: 'card'}, h('h2', {}, 'Failed attempts'),
    h('div', {class: 'table', role: 'region', 'aria-label': 'Failed attempts', tabindex: '0'},
      h('table', {role: 'table'}, h('thead', {role: 'rowgroup'}, h('tr', {role: 'row'}, names.map(
          (name) => h('th', {scope: 'col', role: 'columnheader'}, name)))),
        h('tbody', {role: 'rowgroup'}, list.map((attempt) => h('tr', {role: 'row'}, [
          String(attempt.number), plain(attempt.end, 'END_'), attempt.worker_id || '–',
          durationText(attempt.held), ago(attempt.end_time), attempt.error || '–',
        ].map((text, i) => h('td', {role: 'cell', 'data-label': names[i]}, text))))))));
}

function retries(policy) {
  if (!policy) return '';
  return `${policy.max_retries} retries, ${plain(policy.backoff, 'BACKOFF_') || 'exponential'} backoff from ` +
      durationText(policy.base);
}

function view(job, again) {
  const state = stateName(job.state);
  const buttons = jobActions(() => [job.id], again);
  const [retry, cancel] = buttons;
  retry.hidden = !['DEAD', 'CANCELLED'].includes(state);
  cancel.hidden = !['SCHEDULED', 'READY', 'LEASED'].includes(state);
  return [
    h('div', {class: 'title-line'}, h('h1', {class: 'id'}, job.id), badge(state)),
    h('p', {class: 'lead'}, situation(job)),
    h('div', {class: 'row-actions'}, buttons,
      h('a', {class: 'button quiet', href: '#/enqueue?copy=' + encodeURIComponent(job.id)}, 'Enqueue a copy')),
    h('div', {class: 'pair'},
      h('section', {class: 'card'}, h('h2', {}, 'Facts'), facts([
        ['Queue', h('a', {href: '#/jobs?queue=' + encodeURIComponent(job.queue)}, job.queue)],
        ['Type', job.type], ['Priority', String(job.priority)], ['Created', clock(job.create_time)],
        ['Runs from', job.run_time ? clock(job.run_time) : ''],
        ['Expires', job.expire_time ? clock(job.expire_time) : ''],
        ['Attempts', String(attempts(job))],
        ['Failed / expired', `${job.counters?.failed ?? 0} / ${job.counters?.expired ?? 0}`],
        ['Retry', retries(job.retry)],
        ['Worker', job.lease?.worker_id], ['Lease ends in', job.lease ? durationText(job.lease.remaining) : ''],
        ['Idempotency key', job.idempotency_key], ['Ordering key', job.ordering_key],
        ['Kept for', job.retention ? durationText(job.retention) : ''],
      ])),
      h('section', {class: 'card'}, h('h2', {}, 'Timeline'), timeline(job))),
    job.last_error ? h('section', {class: 'card'}, h('h2', {}, 'Last error'),
                       h('pre', {tabindex: '0', role: 'region', 'aria-label': 'Last error'}, job.last_error)) : null,
    attemptsTable(job.attempts), block('Payload', job.payload), block('Result', job.result),
    map('Headers', job.headers), map('Labels', job.labels),
  ].filter(Boolean);
}

export function job(root, parameters, id) {
  const body = h('div', {});
  let told = '';
  const loop = poll(() => api.getJob(id), (answer) => {
    // Only after a change, so that selection and focus stay.
    const now = JSON.stringify({...answer, lease: answer.lease?.worker_id});
    if (told === now) return;
    told = now;
    body.replaceChildren(...view(answer, () => loop.now()));
  });
  root.append(h('p', {class: 'crumbs'}, h('a', {href: '#/jobs'}, 'Jobs'), ' / ', id), loop.element, body);
  return loop.stop;
}
