import {chart} from './chart.js';
import {badge, h, liveTable, setText} from './dom.js';
import {bytes, count, duration, percent, rate} from './format.js';
import {readyAge, state, watch} from './live.js';

const STATES = ['scheduled', 'ready', 'leased', 'succeeded', 'dead', 'cancelled'];
const BUSIEST = 8;

function tile(name, href) {
  const value = h('strong', {}, '–');
  const note = h('span', {class: 'note'});
  return {
    element: h('a', {class: 'tile', href}, h('span', {class: 'tile-name'}, name), value, note),
    set(text, more = '', alarm = false) {
      setText(value, text);
      setText(note, more);
      value.classList.toggle('alarm', alarm);
    },
  };
}

// The lag of a member behind the leader, in entries; null: unknown to this node.
export function lag(member, cluster) {
  if (cluster.role === 'leader') return Math.max(0, cluster.last_index - member.match_index);
  if (member.id === cluster.node_id) {
    return Math.max(0, state.appliedIndex - Number(cluster.applied_index));
  }
  return null;
}

export function reach(member, cluster) {
  if (member.leader) return 'leader';
  if (cluster.role !== 'leader' && member.id !== cluster.node_id) return 'member';
  return member.reachable ? 'follower' : 'not reached';
}

function strip() {
  const list = h('ul', {class: 'strip'});
  const facts = h('p', {class: 'note'});
  let told = '';
  return {
    element: h('section', {class: 'card', 'aria-label': 'Cluster'},
               h('div', {class: 'card-head'}, h('h2', {}, 'Cluster'),
                 h('a', {href: '#/cluster'}, 'Details')), list, facts),
    update() {
      const cluster = state.cluster;
      if (!cluster) return setText(facts, state.auth ? 'Not told to this key.' : 'Not known yet.');
      const rows = [...cluster.members].sort((a, b) => a.id.localeCompare(b.id)).map((member) => {
        const behind = lag(member, cluster);
        return {
          id: member.id, reach: reach(member, cluster), here: member.id === cluster.node_id,
          lag: behind === null ? '' : behind === 0 ? 'in step' : `${count(behind)} behind`,
        };
      });
      setText(facts, `Term ${cluster.term} · applied ${count(state.appliedIndex)} · ` +
                         (state.disk === null ? 'disk not known' : `${bytes(state.disk)} of disk free here`));
      const now = JSON.stringify(rows);
      if (told === now) return;
      told = now;
      list.replaceChildren(...rows.map((row) => h('li', {
        class: 'member ' + row.reach.replace(' ', '-'),
      }, h('span', {class: 'dot', 'aria-hidden': 'true'}), h('strong', {}, row.id),
         h('span', {}, row.reach + (row.here ? ', this node' : '')),
         row.lag ? h('span', {class: 'note'}, row.lag) : null)));
    },
  };
}

function parts() {
  const bar = h('div', {class: 'parts', 'aria-hidden': 'true'},
                STATES.map((name) => h('span', {class: 'state-' + name})));
  const list = h('ul', {class: 'parts-list'});
  const rows = STATES.map((name) => {
    const value = h('strong', {}, '–');
    list.append(h('li', {}, h('a', {href: '#/jobs?state=' + name.toUpperCase()},
                              badge(name.toUpperCase()), value)));
    return value;
  });
  return {
    element: h('section', {class: 'card', 'aria-label': 'Jobs by state'}, h('h2', {}, 'Jobs by state'), bar, list),
    update(total) {
      const all = STATES.reduce((sum, name) => sum + total[name], 0);
      STATES.forEach((name, i) => {
        bar.children[i].style.flexGrow = all ? total[name] / all : 0;
        bar.children[i].hidden = !total[name];
        setText(rows[i], count(total[name]));
      });
    },
  };
}

export function overview(root) {
  const tiles = {
    ready: tile('Ready', '#/jobs?state=READY'),
    scheduled: tile('Scheduled', '#/jobs?state=SCHEDULED'),
    leased: tile('Leased', '#/jobs?state=LEASED'),
    oldest: tile('Oldest ready', '#/queues'),
    enqueued: tile('Enqueued', '#/queues'),
    completed: tile('Completed', '#/jobs?state=SUCCEEDED'),
    errors: tile('Error rate', '#/dead'),
    dead: tile('Dead', '#/dead'),
  };
  const rates = chart('Throughput', [
    {name: 'Enqueued', style: 'one', value: (point) => point.enqueued},
    {name: 'Completed', style: 'two', value: (point) => point.completed},
    {name: 'Failed', style: 'three', value: (point) => point.failed},
  ], rate);
  const backlog = chart('Backlog', [{name: 'Ready', style: 'one', value: (point) => point.ready}], count);
  const cluster = strip();
  const byState = parts();
  const busiest = liveTable('Longest queues', [
    {
      name: 'Queue', kind: 'wide', make: (queue) => h('a', {href: '#/jobs?queue=' + encodeURIComponent(queue.name)}, queue.name),
    },
    {name: 'Ready', kind: 'number', set: (cell, queue) => setText(cell, count(queue.ready))},
    {name: 'Leased', kind: 'number', set: (cell, queue) => setText(cell, count(queue.leased))},
    {name: 'Oldest', kind: 'number', set: (cell, queue) => setText(cell, queue.ready ? duration(readyAge(queue)) : '–')},
    {name: 'Enqueued', kind: 'number', set: (cell, queue) => setText(cell, rate(queue.rates.enqueued))},
    {name: 'Completed', kind: 'number', set: (cell, queue) => setText(cell, rate(queue.rates.completed))},
  ], (queue) => queue.name, 'No queue yet. The first job makes one.');

  root.append(
      h('h1', {}, 'Overview'), h('div', {class: 'tiles'}, Object.values(tiles).map((one) => one.element)),
      h('div', {class: 'pair'}, rates.element, backlog.element),
      h('div', {class: 'pair'}, cluster.element, byState.element),
      h('section', {class: 'card'}, h('div', {class: 'card-head'}, h('h2', {}, 'Longest queues'),
                                      h('a', {href: '#/queues'}, 'All queues')), busiest.element));

  function update() {
    cluster.update();
    const total = state.total;
    if (!total) return;
    const {enqueued = null, completed = null, failed = null} = state.rates ?? {};
    const age = readyAge(total);
    tiles.ready.set(count(total.ready), 'can be taken now');
    tiles.scheduled.set(count(total.scheduled), 'delayed, or to retry');
    tiles.leased.set(count(total.leased), 'held by workers');
    tiles.oldest.set(total.ready ? duration(age) : '–', total.ready ? 'waits for a worker' : 'nothing waits',
                     age > 60_000);
    tiles.enqueued.set(rate(enqueued), `${count(total.enqueued)} ever`);
    tiles.completed.set(rate(completed), `${count(total.completions)} ever`);
    const ends = (completed ?? 0) + (failed ?? 0);
    const attempts = total.completions + total.failures + total.expirations;
    const ever = attempts ? (total.failures + total.expirations) / attempts : 0;
    tiles.errors.set(percent(ends ? failed / ends : 0), `${percent(ever)} ever`, ends > 0 && failed / ends > 0.1);
    tiles.dead.set(count(total.dead), total.dead ? 'need a look' : 'none', total.dead > 0);
    rates.update(state.history);
    backlog.update(state.history);
    byState.update(total);
    busiest.update([...state.queues.values()].sort(
        (a, b) => b.ready - a.ready || b.leased - a.leased || a.name.localeCompare(b.name)).slice(0, BUSIEST));
  }
  update();
  return watch(update);
}
