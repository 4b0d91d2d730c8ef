// Takes screenshots of every screen, at several sizes and in both colour schemes, into the
// directory OUT.

import {mkdirSync} from 'node:fs';
import {call, enqueue, launch, nodes, open, work} from './browser.mjs';

const out = process.env.OUT;
mkdirSync(out, {recursive: true});
const node = nodes[0];
let stop = false;

// Makes jobs in every state.
async function prepare() {
  await enqueue(node, 'reports', 40, (i) => ({type: 'monthly', delay: `${600 + i}s`}));
  await enqueue(node, 'email', 60, (i) => ({type: i % 2 ? 'welcome' : 'invoice', priority: i % 5, retry: {max_retries: 0}}));
  await work(node, ['email'], 24, (job) => job.type === 'welcome' ? 'SMTP 550: mailbox of user 4711 is not available' : null, 'east-1:worker-3');
  await enqueue(node, 'payments', 12, () => ({type: 'capture'}));
  await work(node, ['payments'], 3, () => undefined, 'west-2:worker-9');
  await enqueue(node, 'thumbnails', 5);
  await call(node, 'POST', '/v1/queues/thumbnails:pause', {});
  await enqueue(node, 'flaky', 1, () => ({
    id: 'flaky-1', type: 'sync', retry: {max_retries: 3, base: '0.001s'}, payload: {account: 77, tags: ['a', 'b']},
    headers: {trace: '4bf92f3577b34da6'}, labels: {team: 'billing'},
  }));
  for (const error of ['connection refused by 10.0.0.7:5432', 'timeout after 30 s']) {
    for (let got = 0; !got;) got = await work(node, ['flaky'], 1, () => error, 'west-1:worker-2');
  }
}

// Enqueues and completes jobs until `stop` is set.
async function load() {
  for (let round = 0; !stop; ++round) {
    await enqueue(node, 'email', 20 + Math.round(15 * Math.sin(round / 4)), (i) => ({
      type: i % 2 ? 'welcome' : 'invoice', retry: {max_retries: 0},
    }));
    await work(node, ['email'], 22, (job) => job.type === 'welcome' && round % 5 === 0 ? 'SMTP 421: try again later' : null);
    await new Promise((resolve) => setTimeout(resolve, 180));
  }
}

const SCREENS = ['overview', 'queues', 'jobs', 'jobs?state=DEAD', 'job/flaky-1', 'dead', 'workers', 'cluster', 'keys', 'enqueue'];
const SIZES = [[1440, 900, 'light'], [1440, 900, 'dark'], [768, 1024, 'light'], [360, 740, 'light'], [360, 740, 'dark']];

const TALLEST = 2200;

const browser = await launch();
await prepare();
const loading = load();
const only = process.env.ONLY?.split(',');
await Promise.all(SIZES.map(async ([width, height, scheme]) => {
  const {page, context} = await open(browser, {width, height, scheme});
  await page.goto(node + '/#/overview');
  await page.waitForTimeout(Number(process.env.WARM_MS ?? 25000));
  for (const screen of SCREENS) {
    if (only && !only.includes(screen)) continue;
    await page.goto(node + '/#/' + screen);
    await page.waitForTimeout(1200);
    const tall = Math.min(TALLEST, await page.evaluate(() => document.documentElement.scrollHeight));
    await page.screenshot({
      path: `${out}/${screen.replace(/\W+/g, '-')}-${width}-${scheme}.png`, fullPage: true,
      clip: {x: 0, y: 0, width, height: Math.max(height, tall)},
    });
  }
  await context.close();
}));
stop = true;
await loading;
await browser.close();
