// Elements and text. Data from the server becomes text only; innerHTML is not used.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value === 'boolean') element[name] = value;
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// h('button', {class: 'quiet', onclick: f}, 'Text', anotherElement)
export const h = (name, attributes, ...children) =>
    fill(document.createElement(name), attributes, children);
export const svg = (name, attributes, ...children) =>
    fill(document.createElementNS(SVG, name), attributes, children);

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const hidden = (text) => h('span', {class: 'visually-hidden'}, text);

const shown = new WeakMap();  // parent -> rows by key

// Updates the children of `parent` to show `items`. Elements of remaining items stay, with their
// focus. `create(item)` returns {element, update(item)}.
export function keyed(parent, items, key, create) {
  if (!shown.has(parent)) shown.set(parent, new Map());
  const rows = shown.get(parent);
  const seen = new Set();
  let before = null;
  for (const item of items) {
    const id = key(item);
    seen.add(id);
    let row = rows.get(id);
    if (!row) rows.set(id, row = create(item));
    row.update?.(item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (row.element !== place) parent.insertBefore(row.element, place);
    before = row.element;
  }
  for (const [id, row] of rows) {
    if (seen.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
}

// A table whose rows become cards in a narrow window. `columns`: {name, make(item), set(cell, item),
// kind}: a cell is created once and set whenever its item changes. `kind`: number, time, wide (a
// separate line in a card), actions, select (a corner of a card).
export function liveTable(caption, columns, key, empty) {
  const body = h('tbody', {role: 'rowgroup'});
  const head = h('tr', {role: 'row'}, columns.map((column) => h('th', {
    scope: 'col', role: 'columnheader', class: column.kind,
  }, column.head ?? column.name)));
  const table = h('table', {role: 'table'}, h('caption', {class: 'visually-hidden'}, caption),
                  h('thead', {role: 'rowgroup'}, head), body);
  const nothing = h('p', {class: 'empty', hidden: true}, empty);
  const element = h('div', {class: 'table', role: 'region', 'aria-label': caption, tabindex: '0'},
                    table, nothing);
  const create = (first) => {
    const cells = columns.map((column) => h('td', {
      role: 'cell', class: column.kind, 'data-label': column.name,
    }, column.make?.(first)));
    return {
      element: h('tr', {role: 'row'}, cells),
      update: (item) => columns.forEach((column, i) => column.set?.(cells[i], item)),
    };
  };
  return {
    element,
    update(items) {
      keyed(body, items, key, create);
      table.hidden = items.length === 0;
      nothing.hidden = items.length > 0;
    },
    say(text) { setText(nothing, text); },
  };
}

export function field(label, input, hint) {
  const id = 'f' + (field.count = (field.count ?? 0) + 1);
  input.id = id;
  if (hint) input.setAttribute('aria-describedby', id + 'h');
  return h('div', {class: 'field'}, h('label', {for: id}, label), input,
           hint ? h('p', {class: 'hint', id: id + 'h'}, hint) : null);
}

export const badge = (state) => h('span', {class: 'badge state-' + state.toLowerCase()}, state);
