import * as api from './api.js';
import {action, confirm, toast} from './dialogs.js';
import {badge, h, liveTable, setText} from './dom.js';
import {bytes, count} from './format.js';
import {state, watch} from './live.js';
import {lag, reach} from './overview.js';

async function transfer(to) {
  const where = to || 'the most up-to-date member';
  if (!await confirm('Move the leadership?', `The leader hands over to ${where}. Calls wait a moment; none fails.`,
                     'Move')) return;
  const {leader_id: leader} = await api.post('/v1/cluster:transfer', {to});
  toast(`${leader} leads`);
}

const LABELS = [
  ['Node', (cluster) => `${cluster.node_id} (this one)`], ['Role', (cluster) => cluster.role],
  ['Leader', (cluster) => cluster.leader_id ? `${cluster.leader_id} at ${cluster.leader_address}` : 'none known'],
  ['Term', (cluster) => cluster.term], ['Last index', (cluster) => count(cluster.last_index)],
  ['Committed', (cluster) => count(cluster.commit_index)], ['Applied', (cluster) => count(cluster.applied_index)],
  ['Snapshot at', (cluster) => count(cluster.snapshot_index)],
  ['State digest', (cluster) => BigInt(cluster.state_digest).toString(16).padStart(16, '0')],
  ['Free disk here', () => bytes(state.disk)], ['Version', (cluster) => cluster.version],
  ['Cluster', (cluster) => cluster.cluster_id],
];

export function cluster(root) {
  const needs = 'cluster:manage';
  const problem = h('p', {class: 'problem', hidden: true});
  const members = liveTable('Members', [
    {name: 'Member', kind: 'wide', set: (cell, member) => setText(cell, member.id)},
    {name: 'Address', kind: 'wide', set: (cell, member) => setText(cell, member.address)},
    {
      name: 'Role',
      set(cell, member) {
        const text = reach(member, state.cluster).toUpperCase();
        if (cell.textContent !== text) cell.replaceChildren(badge(text));
      },
    },
    {name: 'Votes', set: (cell, member) => setText(cell, member.voter ? 'yes' : 'no, learns')},
    {
      name: 'Has up to', kind: 'number',
      set: (cell, member) => setText(cell, Number(member.match_index) ? count(member.match_index) : '–'),
    },
    {
      name: 'Behind', kind: 'number',
      set(cell, member) {
        const behind = lag(member, state.cluster);
        setText(cell, behind === null ? '–' : behind === 0 ? 'in step' : count(behind));
      },
    },
    {
      name: 'Actions', kind: 'actions',
      make: (member) => action('Make leader', () => transfer(member.id), {needs, label: `Make leader: ${member.id}`}),
      set: (cell, member) => { cell.firstChild.hidden = member.leader || !member.voter; },
    },
  ], (member) => member.id, 'No member is known.');
  const values = LABELS.map(() => h('dd', {}));
  const facts = h('dl', {class: 'facts'}, LABELS.map(([name], i) => h('div', {}, h('dt', {}, name), values[i])));
  const note = h('p', {class: 'note'});
  root.append(h('h1', {}, 'Cluster'), problem,
              h('section', {class: 'card'}, h('h2', {}, 'Members'), members.element, note,
                h('div', {class: 'row-actions'}, action('Move the leadership', () => transfer(''), {needs}))),
              h('section', {class: 'card'}, h('h2', {}, 'This node'), facts));
  function update() {
    problem.hidden = !state.problem;
    setText(problem, state.problem?.error ?? '');
    const now = state.cluster;
    if (!now) {
      setText(note, 'This key may not see the cluster, or the node has not answered yet.');
      return;
    }
    members.update([...now.members].sort((a, b) => a.id.localeCompare(b.id)));
    setText(note, now.role === 'leader' ? '' : `Only the leader knows how far each member is: open ${now.leader_id || 'it'}.`);
    LABELS.forEach(([, show], i) => setText(values[i], String(show(now))));
  }
  update();
  return watch(update);
}
