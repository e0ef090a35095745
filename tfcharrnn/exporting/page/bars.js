// Bars: the most probable next characters, as buttons.

import {element, percent} from './dom.js';
import {visible} from './vocabulary.js';

const NUM_BARS = 10;

/** A list of bars of a fixed number, so that nothing jumps. */
export class Bars {
  #rows = [];
  #rest;
  #tokens;

  /**
   * @param {HTMLElement} list Filled.
   * @param {string[]} tokens
   * @param {function(number)} onChoose Called with the id of a bar.
   */
  constructor(list, tokens, onChoose) {
    this.#tokens = tokens;
    const number = Math.min(NUM_BARS, tokens.length);
    for (let i = 0; i < number; i++) {
      const row = makeRow('button');
      row.node.type = 'button';
      row.node.addEventListener('click', () => onChoose(row.id));
      list.append(element('li', {}, row.node));
      this.#rows.push(row);
    }
    this.#rest = makeRow('div');
    this.#rest.glyph.textContent = 'others';
    list.append(element('li', {className: 'rest'}, this.#rest.node));
  }

  /**
   * Shows probabilities.
   *
   * @param {Float32Array} drawn As they are drawn.
   * @param {Float32Array} plain As the model has them.
   * @param {?number} taken The id that stands there now.
   */
  show(drawn, plain, taken = null) {
    const order = Array.from(drawn.keys());
    order.sort((a, b) => drawn[b] - drawn[a] || plain[b] - plain[a]);
    let rest = 1;
    let plainRest = 1;
    this.#rows.forEach((row, i) => {
      const id = order[i];
      row.id = id;
      rest -= drawn[id];
      plainRest -= plain[id];
      row.glyph.textContent = visible(this.#tokens[id]);
      row.node.classList.toggle('taken', id === taken);
      const name = `${visible(this.#tokens[id])}, ${percent(drawn[id])}`;
      row.node.setAttribute('aria-label', `Take ${name}`);
      fill(row, drawn[id], plain[id]);
    });
    fill(this.#rest, Math.max(0, rest), Math.max(0, plainRest));
  }
}

function makeRow(tag) {
  const glyph = element('span', {className: 'glyph', dir: 'auto'});
  const bar = element('span', {className: 'bar'});
  const tick = element('span', {className: 'tick'});
  const track = element('span', {className: 'bar-track'}, bar, tick);
  const share = element('span', {className: 'share'});
  const node = element(tag, {className: 'bar-row'}, glyph, track, share);
  return {node, glyph, bar, tick, share, id: -1};
}

function fill({node, bar, tick, share}, drawn, plain) {
  node.dataset.probability = drawn;
  bar.style.transform = `scaleX(${drawn})`;
  tick.style.left = `${100 * plain}%`;
  share.textContent = percent(drawn);
}
