// Tests the dashboard in a browser, on a cluster of three that browser_test.sh starts. The first
// part that fails ends the test.
//
// Environment: as in browser.mjs, and PIDS, the process ids of NODES in the same order.

import assert from 'node:assert/strict';
import {accessibility, call, enqueue, launch, nodes, open, overflows, work} from './browser.mjs';

const [one, other] = nodes;
const pids = process.env.PIDS.split(',').map(Number);
const browser = await launch();

async function part(name, run) {
  const begin = Date.now();
  await run();
  console.log(`ok  ${name} (${Date.now() - begin} ms)`);
}

const row = (page, text) => page.getByRole('row').filter({hasText: text});
const isLive = (page) => page.locator('#link-state.good').waitFor({timeout: 20_000});
const clean = (complaints) => assert.deepEqual(complaints, []);

// Fills the text field of a dialog, if `word` is given, and clicks its button.
async function agree(page, button, word) {
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  if (word) await dialog.getByRole('textbox').fill(word);
  await dialog.getByRole('button', {name: button, exact: true}).click();
  await dialog.waitFor({state: 'detached'});
}

await part('a job enqueued by the form appears on other pages without a reload', async () => {
  const watcher = await open(browser);
  await watcher.page.goto(other + '/#/queues');
  await isLive(watcher.page);
  const {page, complaints, context} = await open(browser);
  await page.goto(one + '/#/enqueue');
  await isLive(page);
  await page.evaluate(() => { window.marked = true; });
  await page.getByLabel('Queue').fill('by-form');
  await page.getByLabel('Type').fill('letter');
  await page.getByLabel('Priority').fill('7');
  await page.getByLabel('Retries').fill('0');
  await page.getByLabel('Id', {exact: true}).fill('form-1');
  await page.getByLabel('Payload').fill('{"text": "<img src=x onerror=alert(1)>"}');
  await page.getByRole('button', {name: 'Enqueue', exact: true}).click();
  await page.getByRole('link', {name: 'form-1'}).click();
  await page.getByRole('heading', {name: 'form-1'}).waitFor();
  await page.getByText('<img src=x onerror=alert(1)>').waitFor();
  await row(watcher.page, 'by-form').waitFor({timeout: 5000});
  // The form shows an error of the node.
  await page.goto(one + '/#/enqueue');
  await page.getByLabel('Queue').fill('not a name');
  await page.getByRole('button', {name: 'Enqueue', exact: true}).click();
  await page.getByRole('alert').filter({hasText: 'queue'}).waitFor();
  assert.equal(await page.evaluate(() => window.marked), true, 'the page was loaded again');
  assert.equal(complaints.filter((text) => !text.includes('400')).length, 0, complaints.join('\n'));
  clean(watcher.complaints);
  await context.close();
  await watcher.context.close();
});

await part('a failure makes a dead letter, and a redrive brings it back', async () => {
  const {page, complaints, context} = await open(browser);
  await page.goto(other + '/#/overview');
  await isLive(page);
  const dead = page.locator('.tile').filter({hasText: 'Dead'}).locator('strong');
  await page.waitForFunction(() => document.querySelector('.tile strong')?.textContent !== '–');
  assert.equal(await dead.textContent(), '0');
  await work(one, ['by-form'], 1, () => 'no such street');
  await page.locator('.tile').filter({hasText: 'Dead'}).getByText('1', {exact: true}).waitFor({timeout: 5000});
  await page.goto(other + '/#/jobs?state=DEAD');
  await row(page, 'form-1').getByText('no such street').waitFor();
  await page.goto(other + '/#/dead');
  await page.getByText('1 job failed for good').waitFor();
  await page.getByLabel('In queue').fill('by-form');
  await page.getByLabel('Whose error has').fill('no such');
  await page.getByRole('button', {name: 'Redrive these'}).click();
  await agree(page, 'Redrive');
  await page.getByText('Redriven 1 job').waitFor();
  await page.getByText('Nothing has failed for good').waitFor({timeout: 5000});
  assert.equal((await call(one, 'GET', '/v1/jobs/form-1')).job.state, 'JOB_STATE_READY');
  clean(complaints);
  await context.close();
});

await part('queues are paused, resumed and purged', async () => {
  await enqueue(one, 'stopped', 3);
  const {page, complaints, context} = await open(browser);
  await page.goto(other + '/#/queues');
  const line = row(page, 'stopped');
  await line.getByRole('button', {name: 'Pause'}).click();
  await line.getByText('PAUSED').waitFor({timeout: 5000});
  assert.equal(await work(one, ['stopped'], 5), 0, 'no job of a paused queue is leased');
  await line.getByRole('button', {name: 'Resume'}).click();
  await line.getByText('OPEN').waitFor({timeout: 5000});
  await line.getByRole('button', {name: 'Purge'}).click();
  await page.getByRole('dialog').getByRole('button', {name: 'Cancel'}).click();
  assert.equal((await call(one, 'GET', '/v1/stats?queue=stopped')).total.ready, '3');
  await line.getByRole('button', {name: 'Purge'}).click();
  assert.equal(await page.getByRole('dialog').getByRole('button', {name: 'Purge'}).isDisabled(), true, 'before the name is typed');
  await agree(page, 'Purge', 'stopped');
  await page.getByText('Purged 3 jobs of stopped').waitFor();
  assert.equal((await call(one, 'GET', '/v1/stats?queue=stopped')).total.ready, '0');
  clean(complaints);
  await context.close();
});

await part('selected jobs are cancelled, retried and deleted together', async () => {
  await enqueue(one, 'bulk', 5, (i) => ({id: 'bulk-' + i}));
  const {page, complaints, context} = await open(browser);
  await page.goto(one + '/#/jobs?queue=bulk');
  await page.getByLabel('Select job bulk-0').check();
  await page.getByLabel('Select job bulk-3').check();
  await page.getByRole('button', {name: 'Cancel', exact: true}).click();
  await page.getByText('Cancelled 2 jobs').waitFor();
  await row(page, 'bulk-3').getByText('CANCELLED', {exact: true}).waitFor();
  await page.getByLabel('Select job bulk-3').check();
  await page.getByRole('button', {name: 'Retry', exact: true}).click();
  await row(page, 'bulk-3').getByText('READY', {exact: true}).waitFor();
  await page.getByLabel('Select all jobs').check();
  await page.getByRole('button', {name: 'Delete', exact: true}).click();
  await agree(page, 'Delete');
  await page.getByText('Deleted 5 jobs').waitFor();
  await page.getByText('No job here.').waitFor();
  clean(complaints);
  await context.close();
});

await part('the dashboard works with the keyboard alone', async () => {
  const {page, complaints, context} = await open(browser);
  await page.goto(one + '/#/overview');
  await isLive(page);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.keyboard.press('g');
  await page.keyboard.press('q');
  // The overview also has a heading "Queues", of another level.
  await page.getByRole('heading', {name: 'Queues', level: 1}).waitFor();
  // The key "/" works only after the list is shown.
  await row(page, 'bulk').waitFor();
  await page.keyboard.press('/');
  await page.waitForFunction(() => document.activeElement.tagName === 'INPUT');
  await page.keyboard.type('by-f');
  await row(page, 'bulk').waitFor({state: 'detached'});
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('dialog', {name: 'Keyboard shortcuts'}).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({state: 'detached'});
  await page.keyboard.press('t');
  await page.keyboard.press('t');
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await page.keyboard.press('n');
  await page.getByRole('heading', {name: 'Enqueue a job'}).waitFor();
  clean(complaints);
  await context.close();
});

await part('read-only: nothing can be changed', async () => {
  const {page, complaints, context} = await open(browser);
  await page.goto(one + '/?readonly#/queues');
  await isLive(page);
  await page.getByText('Read-only: nothing can be changed here.').waitFor();
  const line = row(page, 'by-form');
  await line.waitFor();
  assert.equal(await line.getByRole('button', {name: 'Pause'}).isDisabled(), true);
  assert.equal(await line.getByRole('button', {name: 'Purge'}).isDisabled(), true);
  clean(complaints);
  await context.close();
});

await part('sign-in: the key is requested, stored and sent; forbidden actions are disabled; a revoked key is requested again', async () => {
  const {secret, key} = await call(one, 'POST', '/v1/keys', {
    name: 'reader', owner_id: 'browser', type: 'KEY_TYPE_CLIENT', scopes: ['jobs:read', 'cluster:read'],
  });
  const {page, complaints, context} = await open(browser, {signIn: '', expected: (message) => /40[13]/.test(message.text())});
  await page.goto(one + '/#/queues');
  await page.getByRole('heading', {name: 'asks for a key'}).waitFor();
  await page.getByRole('alert').filter({hasText: 'this node wants an API key'}).waitFor();
  await page.getByLabel('API key').fill('client_wrong');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').filter({hasText: 'That key was refused: there is no such API key'}).waitFor();
  await page.getByLabel('API key').fill(secret);
  await page.keyboard.press('Enter');
  await isLive(page);
  const pause = row(page, 'by-form').getByRole('button', {name: 'Pause'});
  await pause.click();
  await page.locator('.toast').filter({hasText: 'the key has no right to queues:manage'}).waitFor();
  assert.equal(await pause.isDisabled(), true);
  assert.match(await pause.getAttribute('title'), /needs queues:manage/);
  await page.reload();
  await isLive(page);
  // The running event stream ends, and the page requests a key.
  await call(other, 'POST', `/v1/keys/${key.id}:revoke`, {});
  await page.getByRole('heading', {name: 'asks for a key'}).waitFor({timeout: 10_000});
  await page.getByRole('alert').filter({hasText: 'is revoked'}).waitFor();
  clean(complaints);
  await context.close();
});

// The following parts fake the node's answers, in the format of service.proto.
await part('dead letters by error: a group is redriven', async () => {
  const {page, complaints, context} = await open(browser);
  const asked = [];
  await page.route('**/v1/dead-jobs', (route) => route.fulfill({json: {more: true, groups: [{
    queue: 'mail', type: 'welcome', reason: 'DEAD_REASON_LEASE_EXPIRED', error_fingerprint: '00000000000000ff', error: 'boom <b>',
    jobs: '3', first_time: new Date(0).toISOString(), last_time: new Date().toISOString(), sample_ids: ['mail-1', 'mail-2'],
  }]}}));
  await page.route('**/v1/jobs:redrive', (route) => {
    asked.push(route.request().postDataJSON());
    return route.fulfill({json: {redriven: '2', more: asked.length === 1}});
  });
  await page.goto(one + '/#/dead');
  const group = row(page, 'boom <b>');
  await group.getByText('lease expired').waitFor();
  await group.getByRole('link', {name: 'mail-2'}).waitFor();
  await page.getByText('There are more groups').waitFor();
  await group.getByRole('button', {name: 'Redrive'}).click();
  await agree(page, 'Redrive');
  await page.getByText('Redriven 4 jobs').waitFor();
  const filter = {queue: 'mail', type: 'welcome', error_fingerprint: '00000000000000ff', max_jobs: 10000};
  assert.deepEqual(asked, [filter, filter], 'again while there are more');
  clean(complaints);
  await context.close();
});

await part('keys are created, shown once, and revoked', async () => {
  const {page, complaints, context} = await open(browser);
  const keys = [];
  await page.route((url) => url.pathname.startsWith('/v1/keys'), (route) => {
    const request = route.request();
    if (request.url().endsWith(':revoke')) keys[0].revoke_time = new Date().toISOString();
    else if (request.method() === 'POST') {
      keys.push({...request.postDataJSON(), id: 'worker_1', scopes: ['jobs:lease'], create_time: new Date().toISOString()});
      return route.fulfill({json: {key: keys[0], secret: 'worker_1SECRET'}});
    }
    const all = request.url().includes('revoked=true');
    return route.fulfill({json: {keys: keys.filter((key) => all || !key.revoke_time)}});
  });
  await page.goto(one + '/#/keys');
  await page.getByText('There is no key.').waitFor();
  await page.getByLabel('Name').fill('mailer');
  await page.getByLabel('Owner').fill('team');
  await page.getByLabel('Type').selectOption('KEY_TYPE_WORKER');
  await page.getByLabel('Queues').fill('mail-*, news');
  await page.getByRole('button', {name: 'Create'}).click();
  await page.getByRole('dialog').getByText('worker_1SECRET').waitFor();
  await page.getByRole('button', {name: 'I have kept it'}).click();
  await page.getByText('worker_1SECRET').waitFor({state: 'detached'});
  assert.deepEqual(keys[0].queues, ['mail-*', 'news']);
  const key = row(page, 'worker_1');
  await key.getByText('VALID').waitFor();
  await key.getByRole('button', {name: 'Revoke'}).click();
  await agree(page, 'Revoke');
  await page.getByText('There is no key.').waitFor();
  await page.getByLabel('Show revoked keys').check();
  await key.getByText('REVOKED').waitFor();
  clean(complaints);
  await context.close();
});

await part('leadership is transferred, and an unsupported call is reported', async () => {
  const {page, complaints, context} = await open(browser, {expected: (message) => /501/.test(message.text())});
  const missing = {status: 501, json: {error: 'no such call', reason: 'UNIMPLEMENTED', details: {}}};
  await page.route('**/v1/workers', (route) => route.fulfill(missing));
  let to = null;
  await page.route('**/v1/cluster:transfer', (route) => {
    ({to} = route.request().postDataJSON());
    return route.fulfill({json: {leader_id: to}});
  });
  await page.goto(one + '/#/cluster');
  await page.getByRole('button', {name: /^Make leader/}).first().click();
  await page.getByRole('dialog').getByRole('button', {name: 'Cancel'}).click();
  assert.equal(to, null);
  await page.getByRole('button', {name: /^Make leader/}).first().click();
  await agree(page, 'Move');
  await page.getByText(/^n[123] leads$/).waitFor();
  assert.match(to, /^n[123]$/);
  await page.goto(one + '/#/workers');
  await page.getByText('Not available: this node does not offer it.').waitFor();
  clean(complaints);
  await context.close();
});

const SCREENS = ['overview', 'queues', 'jobs', 'job/form-1', 'dead', 'workers', 'cluster', 'keys', 'enqueue'];
for (const [width, scheme] of [[1440, 'light'], [1440, 'dark'], [360, 'light'], [360, 'dark']]) {
  await part(`every screen at ${width} px, ${scheme}: fits the window, and axe finds no violation`, async () => {
    const {page, complaints, context} = await open(browser, {width, height: 800, scheme});
    await page.goto(one + '/#/overview');
    await isLive(page);
    for (const screen of SCREENS) {
      await page.goto(one + '/#/' + screen);
      await page.getByRole('heading', {level: 1}).waitFor();
      await page.locator('main :is(td, pre, form, p):visible').first().waitFor();
      assert.equal(await overflows(page), false, screen + ' is wider than the window');
      const {x, width: wide} = await page.locator('nav [aria-current]').boundingBox();
      assert.ok(x > -1 && x + wide < width + 1, `the menu entry of ${screen} is outside the window, at ${x} to ${x + wide}`);
      assert.deepEqual(await accessibility(page), [], screen);
    }
    await page.goto(one + '/#/queues');
    await page.getByRole('button', {name: 'Purge by-form'}).click();
    await page.getByRole('dialog').waitFor();
    assert.deepEqual(await accessibility(page), [], 'a dialog');
    clean(complaints);
    await context.close();
  });
}

await part('the page keeps working after the leader is killed', async () => {
  const {page, complaints, context} = await open(browser, {expected: (message) => /50[34]/.test(message.text())});
  const roles = await Promise.all(nodes.map(async (node) => (await call(node, 'GET', '/v1/cluster')).role));
  const leads = roles.indexOf('leader');
  const follower = nodes[(leads + 1) % nodes.length];
  await page.goto(follower + '/#/overview');
  await isLive(page);
  await page.evaluate(() => { window.marked = true; });
  const before = await page.locator('.strip .leader strong').textContent();
  process.kill(pids[leads], 'SIGKILL');
  await page.waitForFunction((old) => {
    const now = document.querySelector('.strip .leader strong')?.textContent;
    return now && now !== old;
  }, before, {timeout: 20_000});
  await enqueue(follower, 'after', 2);
  await page.getByRole('link', {name: 'after', exact: true}).waitFor({timeout: 10_000});
  await isLive(page);
  assert.equal(await page.evaluate(() => window.marked), true, 'the page was loaded again');
  clean(complaints);
  await context.close();
});

await browser.close();
