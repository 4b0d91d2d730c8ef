// node pages.mjs JOB…
//
// Opens every screen of the dashboard, and the pages of these jobs, on a node that has the texts of
// send.mjs. No text may be interpreted as HTML or script. Environment: as in browser.mjs.
import assert from 'node:assert/strict';
import {launch, nodes, open} from '../browser/browser.mjs';

const jobs = process.argv.slice(2);
assert.ok(jobs.length > 0);
const screens = ['overview', 'queues', 'jobs', ...['READY', 'LEASED', 'DEAD', 'SUCCEEDED'].map((state) => 'jobs?state=' + state),
  'dead', 'workers', 'cluster', 'keys', 'enqueue', ...jobs.flatMap((id) => ['job/' + id, 'enqueue?copy=' + id])];
const browser = await launch();
const {page, complaints} = await open(browser);
let shown = 0;
page.on('dialog', (dialog) => complaints.push('a dialog: ' + dialog.message()));
await page.goto(nodes[0] + '/#/overview');
await page.locator('#link-state.good').waitFor({timeout: 20_000});
for (const screen of screens) {
  await page.goto(nodes[0] + '/#/' + screen);
  if (screen === 'keys') await page.getByLabel(/revoked/i).check();
  await page.waitForTimeout(700);
  const found = await page.evaluate(() => ({
    hacked: globalThis.hacked, foreign: document.querySelectorAll('img:not([src^="/dashboard/"]), script:not([src^="/dashboard/"]), iframe, object, [onerror]').length,
    text: document.body.innerText + [...document.querySelectorAll('input, textarea')].map((field) => field.value).join('\n'),
  }));
  assert.deepEqual([found.hacked, found.foreign], [undefined, 0], screen);
  shown += found.text.includes('<img src=x onerror=');
}
assert.deepEqual(complaints, []);
// The test has no value if the screens do not show the texts.
assert.ok(shown >= 2 * jobs.length + 2, `only ${shown} screens show the texts`);
console.log(`${screens.length} screens, ${shown} of them show the texts`);
await browser.close();
