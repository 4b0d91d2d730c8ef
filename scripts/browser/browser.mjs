// Shared by the browser tests and the screenshots: a browser, pages that record errors, and
// functions that make jobs.
//
// Environment: BROWSER_MODULES, the directory that has node_modules; CHROMIUM, the browser; NODES,
// the base URLs of the nodes' HTTP ports, separated by commas; KEY, an admin key, if the nodes
// require keys.

import {createRequire} from 'node:module';
import {readFileSync} from 'node:fs';

const require = createRequire(process.env.BROWSER_MODULES + '/');
const {chromium} = require('playwright-core');
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export const nodes = process.env.NODES.split(',');

const key = process.env.KEY ?? '';

export const launch = () => chromium.launch({executablePath: process.env.CHROMIUM, args: ['--disable-gpu']});

// Opens a page. `complaints` collects console errors, exceptions, violations of the content
// security policy and requests to other hosts. The browser also logs HTTP errors to the console;
// expected(message) returns whether the test caused such a message on purpose.
export async function open(browser, {width = 1440, height = 900, scheme = 'light', expected = () => false, signIn = key} = {}) {
  const context = await browser.newContext({
    viewport: {width, height}, colorScheme: scheme, reducedMotion: 'reduce', locale: 'en-GB', timezoneId: 'UTC',
  });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !expected(message)) complaints.push(message.text() + ' ' + message.location().url);
  });
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  page.on('request', (request) => {
    if (!nodes.some((node) => request.url().startsWith(node)) && !request.url().startsWith('data:')) {
      complaints.push('a request to elsewhere: ' + request.url());
    }
  });
  if (signIn) await page.addInitScript((text) => localStorage.setItem('dqueue.key', text), signIn);
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return {context, page, complaints};
}

// The accessibility violations that axe finds, one line each.
export async function accessibility(page) {
  await page.evaluate(axeSource);
  const {violations} = await page.evaluate(() => globalThis.axe.run());
  return violations.flatMap((violation) => violation.nodes.map(
      (node) => `${violation.id}: ${violation.help}: ${node.html.slice(0, 160)} ${node.failureSummary?.split('\n')[1] ?? ''}`));
}

// Whether the page is wider than the window.
export const overflows = (page) =>
    page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth > 1);

export async function call(node, method, path, body) {
  const response = await fetch(node + path, {
    method, headers: {'Content-Type': 'application/json', ...(key && {Authorization: 'Bearer ' + key})}, body: body && JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.status === 204 ? null : response.json();
}

// Enqueues `count` jobs; each(i) changes the spec.
export const enqueue = (node, queue, count, each = () => ({})) => call(node, 'POST', '/v1/jobs', {
  jobs: Array.from({length: count}, (_, i) => ({queue, type: 'task', payload: {n: i}, ...each(i)})),
});

// Leases up to `count` jobs. Completes a job if end(job) returns null, fails it with the text that
// end(job) returns, and keeps it leased if end(job) returns undefined. Returns the number of jobs.
export async function work(node, queues, count, end = () => null, worker = 'worker-1') {
  const {jobs} = await call(node, 'POST', '/v1/leases', {worker_id: worker, queues, max_jobs: count});
  const done = {complete: [], fail: []};
  for (const job of jobs) {
    const error = end(job);
    const item = {id: job.id, token: job.lease.token};
    if (error === null) done.complete.push({...item, result: {ok: true}});
    else if (error !== undefined) done.fail.push({...item, error});
  }
  for (const verb of ['complete', 'fail']) {
    if (done[verb].length) await call(node, 'POST', '/v1/leases:' + verb, {items: done[verb], worker_id: worker});
  }
  return jobs.length;
}
