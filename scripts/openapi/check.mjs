// node check.mjs OPENAPI.json LINT.json NODE
//
// Compares docs/openapi.yaml with the answers of a node. OPENAPI.json: docs/openapi.yaml as one
// JSON document. LINT.json: the output of the linter. NODE: the address of a node without keys.
// Prints each difference. The exit status is 1 if there is a difference.
import { readFileSync } from 'node:fs';
import { load } from './document.mjs';

const [documentFile, lintFile, node] = process.argv.slice(2);
const { document, resolve } = load(documentFile);
const differences = [];
const differs = (what) => differences.push(what);

// Warnings of the linter count as differences too.
const lint = readFileSync(lintFile, 'utf8');
for (const problem of JSON.parse(lint.slice(lint.indexOf('{'))).problems) {
  differs(`${problem.location[0].pointer}: ${problem.message} (${problem.ruleId})`);
}

// A call under /v1 is named like its RPC. The parameters of a GET must be the fields of the request
// message, and the answer must be the response message.
const calls = [];
for (const [path, methods] of Object.entries(document.paths)) {
  for (const [method, call] of Object.entries(methods)) calls.push({ path, method, ...call });
}
for (const call of calls.filter(({ path }) => path.startsWith('/v1/'))) {
  const name = call.operationId;
  const request = document.components.schemas[`${name}Request`];
  if (!request) {
    differs(`${call.path}: there is no message ${name}Request`);
    continue;
  }
  if (call.method === 'get') {
    const fields = Object.keys(request.properties ?? {}).sort().join();
    const parameters = (call.parameters ?? []).map((one) => resolve(one).name).sort().join();
    if (fields !== parameters) differs(`GET ${call.path}: parameters ${parameters}, fields ${fields}`);
  }
  if (!JSON.stringify(call.responses).includes(`schemas/${name}Response`)) {
    differs(`${call.path}: the answer is not ${name}Response`);
  }
}

// Compares a JSON value with its schema.
const kind = (value) => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
};
let compared = 0;
const compare = (value, given, where) => {
  const schema = resolve(given);
  compared += 1;
  // A schema without a type is any JSON value.
  if (schema && !schema.type && !schema.anyOf && !schema.properties) return;
  if (schema.anyOf) {
    const fits = schema.anyOf.map(resolve).filter(({ type, nullable, properties }) => (value === null ? nullable : type === kind(value))
      && (!properties || Object.keys(value).every((name) => name in properties)));
    if (fits.length === 0) differs(`${where}: ${JSON.stringify(value)} matches no described schema`);
    else compare(value, fits[0], where);
    return;
  }
  if (value === null) {
    if (!schema.nullable) differs(`${where} is null`);
    return;
  }
  if (schema.type !== kind(value) && !(schema.type === 'number' && kind(value) === 'integer')) {
    differs(`${where}: ${JSON.stringify(value)} is not of type ${schema.type}`);
    return;
  }
  if (schema.enum && !schema.enum.includes(value)) differs(`${where}: ${value} is not in ${schema.enum}`);
  if (schema.format === 'date-time' && Number.isNaN(Date.parse(value))) differs(`${where}: ${value} is not a time`);
  if (schema.pattern && !new RegExp(schema.pattern).test(value)) differs(`${where}: ${value} does not match ${schema.pattern}`);
  for (const name of schema.required ?? []) if (!(name in value)) differs(`${where}.${name} is missing`);
  if (Array.isArray(value)) value.forEach((item, i) => compare(item, schema.items, `${where}[${i}]`));
  if (kind(value) !== 'object') return;
  for (const [name, member] of Object.entries(value)) {
    const described = schema.properties?.[name] ?? schema.additionalProperties;
    if (described && described !== true) compare(member, described, `${where}.${name}`);
    else if (schema.properties) differs(`${where}.${name} is not described`);
  }
};

const seen = new Set();
// ask(METHOD, PATH, STATUS, NAMES, BODY, QUERY) sends a request, requires the status, compares the
// answer with its schema and returns it. NAMES has the values of the {…} in PATH.
const ask = async (method, path, status, names = {}, body = undefined, query = '') => {
  const target = path.replace(/\{(\w+)\}/g, (_, name) => names[name]);
  const answer = await fetch(node + target + query, {
    method,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const where = `${method} ${path} ${answer.status}`;
  const text = await answer.text();
  if (answer.status !== status) throw new Error(`${where} instead of ${status}: ${text}`);
  seen.add(`${method} ${path}`);
  const { responses } = document.paths[path][method.toLowerCase()];
  const described = resolve(responses[status] ?? responses[`${String(status)[0]}XX`]);
  if (!described) return differs(`${where} is not described`);
  if (!described.content) return text === '' || status === 404 ? undefined : differs(`${where} has a body`);
  const [type, content] = Object.entries(described.content)[0];
  if (!answer.headers.get('content-type').startsWith(type)) differs(`${where}: ${answer.headers.get('content-type')}`);
  if (type !== 'application/json') return text;
  compare(JSON.parse(text), content.schema, where);
  return JSON.parse(text);
};

for (const family of ['/tasks', '/jobs']) {
  const job = { queue: family.slice(1), type: 'email', payload: { to: 'you' }, idempotency_key: 'k', max_retries: 0 };
  const { job_id: id } = await ask('POST', family, 201, {}, job);
  await ask('POST', family, 200, {}, job);
  await ask('POST', family, 400, {}, { priority: 'x' });
  await ask('POST', `${family}/lease`, 200, {}, { worker_id: 'w', queue: job.queue });
  await ask('GET', `${family}/{id}`, 200, { id });
  await ask('POST', `${family}/{id}/extend`, 200, { id }, { worker_id: 'w', lease_ms: 60000 });
  await ask('POST', `${family}/{id}/extend`, 409, { id }, { worker_id: 'another' });
  await ask('POST', `${family}/{id}/ack`, 200, { id }, { worker_id: 'w', result: { sent: true } });
  await ask('POST', family, 201, {}, { queue: job.queue, payload_base64: '/wA=', max_retries: 0 });
  await ask('POST', family, 400, {}, undefined);
  const { id: failing } = await ask('POST', `${family}/lease`, 200, {}, { worker_id: 'w', queue: job.queue });
  await ask('POST', `${family}/{id}/nack`, 200, { id: failing }, { worker_id: 'w', reason: 'no' });
  await ask('GET', `${family}/{id}`, 404, { id: 'none' });
  await ask('POST', `${family}/lease`, family === '/tasks' ? 204 : 404, {}, { worker_id: 'w', queue: 'none' });
}

const spec = { queue: 'v1', type: 't', payload: ['a', 1], labels: { a: 'b' }, retry: { max_retries: 0, jitter: 0.5 } };
await ask('POST', '/v1/jobs', 200, {}, { request_id: 'r', jobs: [spec, spec, { ...spec, payload: undefined, payload_base64: '/wA=' }, { queue: '_' }] });
await ask('POST', '/v1/jobs', 201, {}, { ...spec, id: 'one' });
await ask('POST', '/v1/jobs', 200, {}, { ...spec, id: 'one' });
const leased = await ask('POST', '/v1/leases', 200, {}, { worker_id: 'w', queues: ['v1'], max_jobs: 3 });
const text = ({ term, sequence, job }) => [term, sequence, job].map((part) => BigInt(part).toString(16).padStart(16, '0')).join('-');
const [first, second, third] = leased.jobs.map(({ id, lease }) => ({ id, token: lease.token }));
await ask('POST', '/v1/leases:extend', 200, {}, { items: [first, { id: 'none', token: first.token }] });
await ask('POST', '/v1/leases:complete', 200, {}, { items: [{ id: first.id, token: text(first.token), result: { sent: true } }] });
await ask('POST', '/v1/leases:fail', 200, {}, { items: [{ ...second, error: 'broken' }] });
await ask('POST', '/v1/leases:release', 200, {}, { items: [third] });
await ask('GET', '/v1/jobs/{id}', 200, second);
await ask('GET', '/v1/jobs', 200, {}, undefined, '?queue=v1&full=true');
await ask('GET', '/v1/dead-jobs', 200);
await ask('POST', '/v1/jobs:redrive', 200, {}, { queue: 'v1' });
await ask('POST', '/v1/jobs:cancel', 200, {}, { ids: [second.id, 'none'] });
await ask('POST', '/v1/jobs:retry', 200, {}, { ids: [second.id] });
await ask('POST', '/v1/jobs:delete', 200, {}, { ids: [second.id] });
await ask('POST', '/v1/queues/{queue}:pause', 200, { queue: 'v1' }, {});
await ask('POST', '/v1/queues/{queue}:resume', 200, { queue: 'v1' }, {});
await ask('POST', '/v1/queues/{queue}:purge', 200, { queue: 'v1' }, {});
await ask('GET', '/v1/stats', 200, {}, undefined, '?page_size=1');
await ask('GET', '/v1/cluster', 200);
await ask('GET', '/v1/workers', 200, {}, undefined, '?page_size=1');
await ask('POST', '/v1/cluster:transfer', 409, {}, { to: 'none' });

const made = await ask('POST', '/admin/keys', 201, {}, { name: 'a', owner_id: 'o', type: 'client' });
await ask('POST', '/admin/keys', 400, {}, { name: 'a', owner_id: 'o', type: 'x' });
await ask('GET', '/admin/keys', 200);
await ask('GET', '/keys', 200);
await ask('DELETE', '/keys/{key}', 200, { key: made.id });
const key = await ask('POST', '/v1/keys', 200, {}, { name: 'b', owner_id: 'o', type: 'KEY_TYPE_WORKER', queues: ['v1'] });
await ask('GET', '/v1/keys', 200, {}, undefined, '?revoked=true');
await ask('POST', '/v1/keys/{id}:revoke', 200, { id: key.key.id }, {});

for (const path of ['/', '/health', '/ready', '/metrics', '/stats', '/workers']) await ask('GET', path, 200);
await ask('GET', '/dashboard/{file}', 404, { file: 'none' });

// This answer does not end. The browser tests read it.
seen.add('GET /events');
for (const { path, method } of calls) {
  if (!seen.has(`${method.toUpperCase()} ${path}`)) differs(`${method} ${path} was not requested`);
}
for (const difference of new Set(differences)) console.log(difference);
console.log(`${calls.length} operations, ${compared} values compared, ${differences.length} differences`);
process.exit(differences.length === 0 ? 0 : 1);
