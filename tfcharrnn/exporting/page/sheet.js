// Sheet: the text that the model writes, in which one can select a piece.

import {makeSpan} from './lens.js';

/** A text of spans, with one of them selected by pointer or keys. */
export class Sheet {
  #node;
  #vocabulary;

  /**
   * @param {HTMLElement} node
   * @param {Vocabulary} vocabulary
   * @param {{onSelect: function(?number), onEnter: function()}} options
   */
  constructor(node, vocabulary, {onSelect, onEnter}) {
    this.#node = node;
    this.#vocabulary = vocabulary;
    this.spans = [];
    this.selected = null;
    this.onSelect = onSelect;
    this.onEnter = onEnter;
    node.addEventListener('click', ({target}) => {
      const index = this.spans.indexOf(target);
      if (index >= 0 && document.getSelection().isCollapsed) this.select(index);
    });
    node.addEventListener('keydown', (event) => this.#press(event));
  }

  /** Shows pieces, of which so many are the beginning. */
  show(pieces, numGiven) {
    this.spans = [];
    this.selected = null;
    this.#node.replaceChildren();
    this.append(pieces);
    this.spans.slice(0, numGiven).forEach((s) => s.classList.add('given'));
  }

  /** Adds pieces at the end. */
  append(pieces) {
    const made = pieces.map((piece) => makeSpan(piece, this.#vocabulary));
    this.spans.push(...made);
    this.#node.append(...made);
  }

  /** Selects a piece; null for none. */
  select(index) {
    if (this.selected !== null) {
      this.spans[this.selected]?.classList.remove('current');
    }
    this.selected = index;
    if (index !== null) this.spans[index].classList.add('current');
    this.onSelect(index);
  }

  #press(event) {
    const target = this.#targetOf(event.key);
    if (event.key === 'Enter' && this.selected !== null) this.onEnter();
    else if (event.key === 'Escape') this.select(null);
    else if (target === null || event.ctrlKey || event.metaKey) return;
    else {
      const last = this.spans.length - 1;
      if (last >= 0) this.select(Math.min(last, Math.max(0, target)));
    }
    event.preventDefault();
  }

  #targetOf(key) {
    const last = this.spans.length - 1;
    const now = this.selected ?? -1;
    switch (key) {
      case 'ArrowRight':
        return now + 1;
      case 'ArrowLeft':
        return now - 1;
      case 'Home':
        return 0;
      case 'End':
        return last;
      case 'ArrowUp':
        return this.#inOtherLine(now, -1);
      case 'ArrowDown':
        return this.#inOtherLine(now, 1);
      default:
        return null;
    }
  }

  /** Returns the piece above or below another. */
  #inOtherLine(index, direction) {
    if (index < 0) return 0;
    const {offsetLeft, offsetTop} = this.spans[index];
    let best = index;
    let line = null;
    let nearest = Infinity;
    for (let i = index; i >= 0 && i < this.spans.length; i += direction) {
      const span = this.spans[i];
      if (span.offsetTop === offsetTop) continue;
      line ??= span.offsetTop;
      if (span.offsetTop !== line) break;
      const distance = Math.abs(span.offsetLeft - offsetLeft);
      if (distance < nearest) {
        nearest = distance;
        best = i;
      }
    }
    return best;
  }
}
