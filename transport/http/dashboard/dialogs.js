// Overlays: questions, messages, the list of shortcuts.

import {field, h} from './dom.js';
import {readOnly} from './live.js';

export function toast(text, kind = 'ok') {
  const element = h('p', {class: 'toast ' + kind}, text);
  document.getElementById('toasts').append(element);
  setTimeout(() => element.remove(), kind === 'bad' ? 9000 : 5000);
}

function open(title, body, buttons) {
  const dialog = h('dialog', {'aria-labelledby': 'dialog-title'},
                   h('h2', {id: 'dialog-title'}, title), body, h('div', {class: 'buttons'}, buttons));
  const before = document.activeElement;
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Resolves to true if the user agrees. With `word`, the user must type it first.
export function confirm(title, text, yes, word) {
  return new Promise((resolve) => {
    let agreed = false;
    const input = h('input', {type: 'text', autocomplete: 'off', spellcheck: 'false'});
    const go = h('button', {
      type: 'button', class: 'danger', disabled: Boolean(word),
      onclick: () => { agreed = true; dialog.close(); },
    }, yes);
    input.addEventListener('input', () => { go.disabled = input.value !== word; });
    const dialog = open(title, h('div', {}, h('p', {}, text),
                                 word ? field(`Type ${word} to go on`, input) : null), [
      h('button', {type: 'button', class: 'quiet', onclick: () => dialog.close()}, 'Cancel'), go,
    ]);
    dialog.addEventListener('close', () => resolve(agreed));
    if (!word) dialog.querySelector('button').focus();
  });
}

export function showOnce(title, text, secret) {
  const shown = h('output', {class: 'secret'}, secret);
  const dialog = open(title, h('div', {}, h('p', {}, text), shown), [
    h('button', {
      type: 'button', class: 'quiet',
      onclick: async () => {
        await navigator.clipboard?.writeText(secret);
        toast('Copied');
      },
    }, 'Copy'),
    h('button', {type: 'button', onclick: () => dialog.close()}, 'I have kept it'),
  ]);
}

export function help(shortcuts) {
  const dialog = open('Keyboard shortcuts', h('dl', {class: 'shortcuts'}, shortcuts.map(
      ([keys, what]) => h('div', {}, h('dt', {}, keys.split(' ').map((one) => h('kbd', {}, one))),
                          h('dd', {}, what)))), [
    h('button', {type: 'button', onclick: () => dialog.close()}, 'Close'),
  ]);
}

// A button that changes something on the node. Disabled in read-only mode. Without the right, it
// shows that and becomes disabled.
export function action(text, run, {kind = 'quiet', label, needs} = {}) {
  const button = h('button', {type: 'button', class: kind, 'aria-label': label}, text);
  let off = '';
  const setOff = (why) => {
    off = why;
    button.disabled = Boolean(why);
    if (why) button.title = why;
    else button.removeAttribute('title');
  };
  if (readOnly()) setOff('Read-only: nothing can be changed here');
  button.addEventListener('click', async () => {
    if (off || button.ariaBusy === 'true') return;
    button.ariaBusy = 'true';
    try {
      await run();
    } catch (error) {
      toast(error.message, 'bad');
      if (error.status === 403) {
        setOff(needs ? `${error.message} (needs ${needs})` : error.message);
      } else if (error.notAvailable) {
        setOff('This node does not offer it');
      }
    } finally {
      button.ariaBusy = null;
    }
  });
  return button;
}
