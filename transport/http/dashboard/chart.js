// A line chart of the last three minutes, as SVG.

import {h, setText, svg} from './dom.js';

const WIDTH = 600;
const HEIGHT = 120;
const POINTS = 180;

// `series`: {name, style, value(point)}; `show(value)` formats a value.
export function chart(title, series, show) {
  const areas = series.map(({style}) => svg('path', {class: 'area ' + style}));
  const lines = series.map(({style}) => svg('path', {class: 'line ' + style}));
  const grid = [0.25, 0.5, 0.75].map((part) => svg('line', {
    class: 'grid', x1: 0, x2: WIDTH, y1: HEIGHT * part, y2: HEIGHT * part,
  }));
  const picture = svg('svg', {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
    'aria-label': title + ': nothing yet',
  }, grid, areas, lines);
  const values = series.map(() => h('strong', {}, '–'));
  const top = h('span', {class: 'chart-top'});
  const legend = h('ul', {class: 'legend'}, series.map(({name, style}, i) => h('li', {},
      h('span', {class: 'swatch ' + style, 'aria-hidden': 'true'}), name + ' ', values[i])));
  const element = h('section', {class: 'card chart'}, h('h2', {}, title), legend,
                    h('div', {class: 'plot'}, picture, top),
                    h('p', {class: 'axis', 'aria-hidden': 'true'}, h('span', {}, '3 min ago'),
                      h('span', {}, 'now')));
  return {
    element,
    update(history) {
      const most = Math.max(1, ...history.flatMap((point) => series.map((one) => one.value(point))));
      const x = (i) => (WIDTH * (POINTS - history.length + i)) / (POINTS - 1);
      const y = (value) => HEIGHT - 2 - ((HEIGHT - 8) * value) / most;
      series.forEach((one, n) => {
        const points = history.map((point, i) => `${x(i).toFixed(1)} ${y(one.value(point)).toFixed(1)}`);
        const line = points.length > 1 ? 'M' + points.join('L') : '';
        lines[n].setAttribute('d', line);
        areas[n].setAttribute('d', line && `${line}L${WIDTH} ${HEIGHT}L${x(0).toFixed(1)} ${HEIGHT}Z`);
        setText(values[n], history.length ? show(one.value(history.at(-1))) : '–');
      });
      setText(top, history.length > 1 ? show(most) : '');
      picture.setAttribute('aria-label', `${title}: ` + series.map(
          (one, n) => `${one.name} ${values[n].textContent}`).join(', '));
    },
  };
}
