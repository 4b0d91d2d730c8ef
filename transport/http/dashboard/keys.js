import * as api from './api.js';
import {action, confirm, showOnce, toast} from './dialogs.js';
import {badge, field, h, liveTable, setText} from './dom.js';
import {ago} from './format.js';
import {poll} from './poll.js';

const TYPES = [
  ['KEY_TYPE_CLIENT', 'Client: submit and read jobs'], ['KEY_TYPE_WORKER', 'Worker: lease and finish jobs'],
  ['KEY_TYPE_ADMIN', 'Admin: everything'],
];

export function keys(root) {
  const old = h('input', {type: 'checkbox'});
  const table = liveTable('Keys', [
    {name: 'Key', kind: 'wide', make: (key) => h('span', {class: 'id'}, key.id)},
    {name: 'Name', set: (cell, key) => setText(cell, key.name)},
    {name: 'Owner', set: (cell, key) => setText(cell, key.owner_id)},
    {name: 'Type', set: (cell, key) => setText(cell, key.type.replace('KEY_TYPE_', '').toLowerCase())},
    {name: 'Rights', set: (cell, key) => setText(cell, key.scopes.join(' '))},
    {name: 'Queues', set: (cell, key) => setText(cell, key.queues.join(', ') || 'all')},
    {name: 'Created', kind: 'time', set: (cell, key) => setText(cell, ago(key.create_time))},
    {name: 'Last used', kind: 'time', set: (cell, key) => setText(cell, key.last_use_time ? ago(key.last_use_time) : 'never')},
    {
      name: 'State',
      set(cell, key) {
        const text = key.revoke_time ? 'REVOKED' : 'VALID';
        if (cell.textContent !== text) cell.replaceChildren(badge(text));
      },
    },
    {
      name: 'Actions', kind: 'actions',
      make: (key) => action('Revoke', async () => {
        if (!await confirm(`Revoke ${key.id}?`, `Whoever uses ${key.name || 'it'} is shut out at once. This cannot be undone.`,
                           'Revoke')) return;
        await api.post(`/v1/keys/${encodeURIComponent(key.id)}:revoke`);
        toast(`Revoked ${key.id}`);
        list.now();
      }, {kind: 'quiet danger-text', label: `Revoke ${key.id}`, needs: 'keys:revoke'}),
      set: (cell, key) => { cell.firstChild.hidden = Boolean(key.revoke_time); },
    },
  ], (key) => key.id, 'There is no key.');
  const list = poll(() => api.getAll('/v1/keys', 'keys', {revoked: old.checked}), (keys) => table.update(keys));
  old.addEventListener('change', () => list.now());

  const name = h('input', {type: 'text', required: true, maxlength: '128', autocomplete: 'off'});
  const owner = h('input', {type: 'text', required: true, maxlength: '128', autocomplete: 'off'});
  const type = h('select', {}, TYPES.map(([value, text]) => h('option', {value}, text)));
  const queues = h('input', {type: 'text', placeholder: 'all', autocomplete: 'off', spellcheck: 'false'});
  const create = action('Create', async () => {
    const answer = await api.post('/v1/keys', {
      name: name.value.trim(), owner_id: owner.value.trim(), type: type.value,
      queues: queues.value.split(/[\s,]+/).filter(Boolean),
    });
    showOnce('The new key', 'Keep it now: it is shown this once and stored nowhere.', answer.secret);
    list.now();
  }, {kind: '', needs: 'keys:create'});
  root.append(h('h1', {}, 'Keys'), list.element,
              h('section', {class: 'card'}, h('div', {class: 'filters'}, h('label', {class: 'check'}, old, 'Show revoked keys')),
                table.element),
              h('section', {class: 'card'}, h('h2', {}, 'New key'), h('div', {class: 'form-grid'},
                field('Name', name), field('Owner', owner), field('Type', type),
                field('Queues', queues, 'Names, or beginnings like mail-*')), h('div', {class: 'row-actions'}, create)));
  return list.stop;
}
