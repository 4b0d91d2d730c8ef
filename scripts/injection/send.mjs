// node send.mjs OPENAPI.json NODE
//
// Sends hostile values in every text field of every call: line breaks, terminal escapes, HTML and
// quotes. Every answer must have a status below 500, and JSON without control characters. Accepted
// values remain in the node for further checks. Prints the ids of jobs that have hostile values in
// every field, one per line. Environment: KEY, an admin key.
import assert from 'node:assert/strict';
import { load } from '../openapi/document.mjs';

const [documentFile, node] = process.argv.slice(2);
const { document, resolve } = load(documentFile);
const authorization = `Bearer ${process.env.KEY}`;

const tag = '"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>';
const printable = `'${tag}{{7*7}}\${7*7}%s%n\\`;
const hostile = [
  printable,
  `a\n2001-01-01T00:00:00.000Z fatal forged\r\ndqueue_forged 1\n\u001b[31m\u001b]0;x\u0007\u009b\u2028\u202e\u0000${printable}`,
];
// A field of bytes also gets the values in Base64.
const variants = (schema) => (schema.format === 'byte'
  ? [...hostile, ...hostile.map((text) => Buffer.from(text).toString('base64'))] : hostile);

// Yields each text field of a schema: its name, its schema, and put(body, value), which returns the
// body with the field set to the value.
function* texts(given, name = '') {
  const schema = resolve(given);
  if (schema.anyOf) {
    for (const one of schema.anyOf) yield* texts(one, name);
  } else if (schema.type === 'string' || !schema.type) {
    // Without a type: any JSON value.
    yield { name, schema, put: (_, value) => value };
  } else if (schema.type === 'array' && (schema.items.type || schema.items.$ref)) {
    for (const text of texts(schema.items, `${name}[]`)) {
      yield { ...text, put: (array, value) => [text.put(array?.[0], value), ...(array ?? []).slice(1)] };
    }
  } else if (schema.type === 'object') {
    for (const [member, inner] of Object.entries(schema.properties ?? {})) {
      for (const text of texts(inner, `${name}.${member}`)) {
        yield { ...text, put: (object, value) => ({ ...object, [member]: text.put(object?.[member], value) }) };
      }
    }
    if (schema.additionalProperties || !schema.properties) {
      yield { name: `${name}{name}`, schema: {}, put: (object, value) => ({ ...object, [value]: 'x' }) };
      yield { name: `${name}{value}`, schema: {}, put: (object, value) => ({ ...object, named: value }) };
    }
  }
}

const sent = { fields: new Set(), requests: 0, accepted: 0 };

// eslint-disable-next-line no-control-regex
const control = /[\u0000-\u0009\u000b-\u001f\u007f]/;

async function send(method, target, body, headers = {}) {
  const answer = await fetch(node + target, {
    method,
    headers: { authorization, ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  const where = `${method} ${target} ${JSON.stringify(body)}: ${answer.status} ${text}`;
  sent.requests += 1;
  sent.accepted += answer.status < 300;
  assert.ok(answer.status < 500, where);
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', where);
  if (answer.status === 204) return { status: 204 };
  if (answer.headers.get('content-type') !== 'application/json') return { status: answer.status };
  assert.ok(!control.test(text), where);
  return { status: answer.status, ...JSON.parse(text) };
}

let count = 0;
const fresh = async (queue) => {
  count += 1;
  const id = `job-${count}`;
  await send('POST', '/v1/jobs', { id, queue, retry: { max_retries: 0 } });
  const { jobs } = await send('POST', '/v1/leases', { worker_id: 'w', queues: [queue], max_jobs: 1 });
  return { id, token: jobs[0].lease.token };
};
const held = async () => ({ items: [await fresh('held')] });
// A valid request body for each call, by operationId.
const bases = {
  EnqueueJobs: () => ({ jobs: [{ queue: 'all', type: 't' }] }),
  LeaseJobs: () => ({ worker_id: 'w', queues: ['none'], max_jobs: 1 }),
  CompleteJobs: held,
  FailJobs: held,
  ExtendLeases: held,
  ReleaseJobs: held,
  CreateKey: () => ({ name: 'n', owner_id: 'o', type: 'KEY_TYPE_CLIENT' }),
  createKey: () => ({ name: 'n', owner_id: 'o', type: 'client' }),
  leaseTask: () => ({ worker_id: 'w', queue: 'none' }),
  submitTask: () => ({ queue: 'all' }),
  submitJob: () => ({ queue: 'all' }),
  ackTask: () => ({ worker_id: 'w' }),
  nackTask: () => ({ worker_id: 'w' }),
  ackJob: () => ({ worker_id: 'w' }),
  nackJob: () => ({ worker_id: 'w' }),
};
const names = async (path) => (/^\/(tasks|jobs)\/\{id\}\//.test(path)
  ? (await fresh('held')).id : { '{queue}': 'other', '{key}': 'none' }[path.match(/\{\w+\}/)?.[0]] ?? 'none');

for (const [path, methods] of Object.entries(document.paths)) {
  if (path === '/events' || path === '/') continue;
  for (const [lower, call] of Object.entries(methods)) {
    const method = lower.toUpperCase();
    const target = async () => path.replace(/\{\w+\}/, await names(path));
    const base = async () => (await bases[call.operationId]?.()) ?? (method === 'POST' ? {} : undefined);
    for (const parameter of (call.parameters ?? []).map(resolve)) {
      sent.fields.add(`${method} ${path} ${parameter.name}`);
      for (const value of hostile) {
        const escaped = encodeURIComponent(value);
        if (parameter.in === 'path') await send(method, path.replace(/\{\w+\}/, escaped), await base());
        if (parameter.in === 'query') await send(method, `${await target()}?${parameter.name}=${escaped}`);
        // fetch() refuses header values that HTTP does not allow.
        if (parameter.in === 'header') await send(method, await target(), await base(), { [parameter.name]: printable });
      }
    }
    if (method === 'GET') {
      await send(method, `${await target()}?${encodeURIComponent(hostile[1])}=${encodeURIComponent(hostile[1])}`);
    }
    const schema = call.requestBody && resolve(call.requestBody).content['application/json'].schema;
    for (const text of schema ? texts(schema) : []) {
      sent.fields.add(`${method} ${path} ${text.name}`);
      for (const value of variants(text.schema)) await send(method, await target(), text.put(await base(), value));
    }
  }
}
for (const name of ['authorization', 'user-agent', 'accept', 'content-type', 'x-request-id', 'cookie', 'if-none-match', 'traceparent']) {
  sent.fields.add(name);
  await send('POST', '/tasks', { queue: 'all' }, { [name]: printable });
  await send('GET', `/${encodeURIComponent(hostile[1])}`, undefined, { [name]: printable });
}

// Jobs and a key with hostile values in every field, for the dashboard and the command line.
const text = hostile[1].replace('\u0000', '');
const everywhere = {
  payload_base64: Buffer.from(text).toString('base64'), idempotency_key: text, ordering_key: printable,
  headers: { [printable]: text }, labels: { [printable]: text }, retry: { max_retries: 0 },
};
const shown = [];
for (const [queue, end] of [['done', 'complete'], ['dead', 'fail'], ['running', null]]) {
  shown.push(`shown-${queue}`);
  const made = await send('POST', '/v1/jobs', { ...everywhere, id: `shown-${queue}`, queue, idempotency_key: text + queue });
  assert.equal(made.status, 201, JSON.stringify(made));
  const { jobs } = await send('POST', '/v1/leases', { worker_id: printable, host: printable, queues: [queue], max_jobs: 1 });
  const item = { id: jobs[0].id, token: jobs[0].lease.token };
  if (end === 'complete') await send('POST', '/v1/leases:complete', { items: [{ ...item, result_base64: everywhere.payload_base64 }], worker_id: printable });
  if (end === 'fail') await send('POST', '/v1/leases:fail', { items: [{ ...item, error: text }], worker_id: printable });
}
const key = await send('POST', '/v1/keys', { name: printable, owner_id: printable, type: 'KEY_TYPE_CLIENT' });
assert.equal(key.status, 200, JSON.stringify(key));
await send('POST', `/v1/keys/${key.key.id}:revoke`, {});

console.error(`${sent.fields.size} fields, ${sent.requests} requests, ${sent.accepted} accepted`);
assert.ok(sent.fields.size > 100 && sent.accepted > 50);
console.log(shown.join('\n'));
