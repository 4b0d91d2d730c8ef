// Polls lists that the event stream does not carry, while a screen is shown.

import {h, setText} from './dom.js';

const EVERY_MS = 3000;

// `ask()` requests an answer, and `show(answer)` shows it. Returns {element, now(), stop()}; the
// element shows an error, if there is one.
export function poll(ask, show) {
  const problem = h('p', {class: 'problem', hidden: true});
  let timer = 0;
  let stopped = false;
  let turn = 0;
  async function now() {
    clearTimeout(timer);
    const mine = ++turn;
    let again = true;
    try {
      const answer = document.hidden ? null : await ask();
      if (stopped || mine !== turn) return;
      if (answer) show(answer);
      problem.hidden = true;
    } catch (error) {
      if (stopped || mine !== turn) return;
      problem.hidden = false;
      again = !error.notAvailable && error.status !== 401 && error.status !== 403;
      setText(problem, error.notAvailable ? 'Not available: this node does not offer it.'
                                          : error.status === 403 ? 'This key may not see it: ' + error.message
                                                                 : error.message);
    }
    if (again) timer = setTimeout(now, EVERY_MS);
  }
  now();
  return {
    element: problem,
    now,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
