import * as api from './api.js';
import {action, toast} from './dialogs.js';
import {field, h} from './dom.js';
import {content, toBase64, typed} from './format.js';
import {jobLink} from './jobs.js';
import {state} from './live.js';

const number = (min, max) => h('input', {type: 'number', min: String(min), max: String(max), step: '1', inputmode: 'numeric'});

export function enqueue(root, parameters) {
  const text = (more) => h('input', {type: 'text', autocomplete: 'off', spellcheck: 'false', ...more});
  const queue = text({list: 'queue-names', placeholder: 'default', 'data-search': ''});
  const type = text({placeholder: 'default'});
  const payload = h('textarea', {rows: '8', spellcheck: 'false', placeholder: '{"to": "user@example.com"}'});
  const priority = number(0, 255);
  const delay = number(0, 315360000);
  const retries = number(0, 1000);
  const id = text({placeholder: 'made by the node'});
  const unique = text();
  const made = h('p', {class: 'done', role: 'status'});
  const problem = h('p', {class: 'problem', role: 'alert', hidden: true});
  const payloadHint = h('span', {class: 'note'}, '');
  payload.addEventListener('input', () => {
    const {note} = content(typed(payload.value));
    payloadHint.textContent = payload.value ? note : '';
  });

  const send = action('Enqueue', async () => {
    problem.hidden = true;
    const spec = {
      id: id.value.trim(), queue: queue.value.trim(), type: type.value.trim(), payload_base64: toBase64(payload.value),
      priority: Number(priority.value || 0), idempotency_key: unique.value,
    };
    if (delay.value) spec.delay = delay.value + 's';
    if (retries.value) spec.retry = {max_retries: Number(retries.value)};
    try {
      const result = await api.post('/v1/jobs', spec);
      made.replaceChildren(result.created ? 'Enqueued ' : 'It was there already: ', jobLink(result.id));
      if (result.created) toast('Enqueued');
    } catch (error) {
      made.replaceChildren();
      problem.hidden = false;
      problem.textContent = error.message;
      if (error.status === 403) throw error;
    }
  }, {kind: '', needs: 'jobs:submit'});
  const form = h('form', {class: 'card', onsubmit: (event) => { event.preventDefault(); }},
    h('div', {class: 'form-grid'}, field('Queue', queue), field('Type', type), field('Priority', priority, '0 to 255; higher goes first'),
      field('Delay in seconds', delay), field('Retries', retries, 'after the first failure'), field('Id', id),
      field('Idempotency key', unique, 'one job a key and queue, for a day')),
    field('Payload', payload, 'JSON by convention; any text up to 1 MiB'), payloadHint, problem, made,
    h('div', {class: 'row-actions'}, send));
  payload.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) send.click();
  });
  root.append(h('h1', {}, 'Enqueue a job'),
              h('datalist', {id: 'queue-names'}, [...state.queues.keys()].map((name) => h('option', {value: name}))), form);

  const copy = parameters.get('copy');
  if (copy) {
    api.getJob(copy).then((job) => {
      queue.value = job.queue;
      type.value = job.type;
      priority.value = job.priority;
      retries.value = job.retry?.max_retries ?? '';
      payload.value = content(job.payload).text;
    }, (error) => toast(error.message, 'bad'));
  }
}
