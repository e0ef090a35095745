// Lens: a text that one edits, coloured while one types.
//
// A transparent text area lies over spans, one for each piece of its text. So
// the browser's own cursor, selection and keys work on a text in colours.

import {element, onceAFrame} from './dom.js';

const END = '\u200b'; // Gives a last, empty line its height.

/** An editable text whose pieces can be coloured. */
export class Lens {
  #vocabulary;
  #limit;
  #ink;
  #current;
  #starts = [];
  #colours = [];

  /**
   * @param {HTMLElement} host Filled.
   * @param {{id: string, label: string, vocabulary: Vocabulary,
   *   limit: number}} options `limit`: pieces that are read.
   */
  constructor(host, {id, label, vocabulary, limit}) {
    this.#vocabulary = vocabulary;
    this.#limit = limit;
    this.pieces = [];
    this.ids = new Int32Array(0);
    this.spans = [];
    this.onText = () => {};
    this.onCaret = () => {};
    this.#ink = element('div', {className: 'ink', 'aria-hidden': 'true'}, END);
    this.area = element('textarea', {
      id,
      spellcheck: false,
      autocomplete: 'off',
      autocapitalize: 'off',
      'aria-label': label,
    });
    host.classList.add('lens', 'text', 'sheet');
    host.append(this.#ink, this.area);
    this.area.addEventListener('input', () => this.#update());
    const caret = onceAFrame(() => this.#moveCaret());
    for (const event of ['keyup', 'click', 'focus', 'select']) {
      this.area.addEventListener(event, caret);
    }
    document.addEventListener('selectionchange', () => {
      if (document.activeElement === this.area) caret();
    });
    this.area.addEventListener('click', (event) => this.#snap(event));
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.#update();
  }

  /** The index of the piece before the cursor; 0 at the beginning. */
  get caret() {
    return Math.max(0, this.#pieceAt(this.area.selectionEnd - 1));
  }

  /** The first selected piece and the one after the last. */
  get selection() {
    const {selectionStart, selectionEnd} = this.area;
    if (selectionStart === selectionEnd) return [0, 0];
    const end = this.#pieceAt(selectionEnd - 1) + 1;
    return [this.#pieceAt(selectionStart), end];
  }

  /** Puts the cursor behind a piece. */
  placeCaret(index) {
    const end = this.#starts[index] + this.pieces[index].length;
    this.area.setSelectionRange(end, end);
    this.#moveCaret();
  }

  /** Gives each piece a background. */
  paint(colourOf) {
    this.spans.forEach((span, i) => {
      const colour = i < this.ids.length ? colourOf(i) : '';
      if (colour === this.#colours[i]) return; // Styles are slow to set.
      this.#colours[i] = colour;
      span.style.backgroundColor = colour;
    });
  }

  /** Adds a class to those pieces for which a function says so. */
  mark(name, isMarked) {
    this.spans.forEach((span, i) => span.classList.toggle(name, isMarked(i)));
  }

  /** Says which pieces are not in the vocabulary; empty if all are. */
  get lackNote() {
    const lacking = new Set(
      this.pieces.filter((piece) => this.#vocabulary.lacks(piece)),
    );
    const notes = [];
    if (lacking.size) {
      const shown = [...lacking].slice(0, 8).join(' ');
      const more = lacking.size > 8 ? ' …' : '';
      notes.push(
        `Not in the vocabulary, and hatched: \u2068${shown}\u2069${more}.`,
      );
    }
    if (this.pieces.length > this.ids.length) {
      notes.push(`Only the first ${this.ids.length} are read.`);
    }
    return notes.join(' ');
  }

  #update() {
    const pieces = this.#vocabulary.cut(this.area.value);
    this.#replace(pieces);
    this.pieces = pieces;
    this.ids = this.#vocabulary.encode(pieces.slice(0, this.#limit));
    let start = 0;
    this.#starts = pieces.map(
      (piece) => (start += piece.length) - piece.length,
    );
    this.onText();
    this.#moveCaret();
  }

  /** Makes new spans where the text has changed, and leaves the others. */
  #replace(pieces) {
    const old = this.pieces;
    const most = Math.min(old.length, pieces.length);
    let head = 0;
    while (head < most && old[head] === pieces[head]) head += 1;
    let tail = 0;
    while (
      tail < most - head &&
      old[old.length - 1 - tail] === pieces[pieces.length - 1 - tail]
    ) {
      tail += 1;
    }
    const made = pieces
      .slice(head, pieces.length - tail)
      .map((piece) => makeSpan(piece, this.#vocabulary));
    const gone = this.spans.splice(head, old.length - tail - head, ...made);
    this.#colours.splice(head, gone.length, ...made.map(() => ''));
    for (const span of gone) span.remove();
    const next = this.spans[head + made.length] ?? this.#ink.lastChild;
    const fragment = document.createDocumentFragment();
    fragment.append(...made);
    this.#ink.insertBefore(fragment, next);
  }

  #moveCaret() {
    const caret = this.caret;
    const span = this.spans[caret];
    if (span !== this.#current) {
      this.#current?.classList.remove('current');
      span?.classList.add('current');
      this.#current = span;
    }
    this.onCaret(caret);
  }

  /** Selects the piece under the pointer, rather than the nearer gap. */
  #snap({clientX, clientY}) {
    const {selectionStart, selectionEnd} = this.area;
    if (selectionStart !== selectionEnd) return;
    const under = document.elementsFromPoint(clientX, clientY);
    const index = this.spans.findIndex((span) => under.includes(span));
    if (index >= 0) this.placeCaret(index);
  }

  /** Returns the index of the piece that a position of the text is in. */
  #pieceAt(position) {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.#starts[middle] <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Makes the span of a piece; shared with the text that the model writes. */
export function makeSpan(piece, vocabulary) {
  const span = element('span', {}, piece);
  if (piece === '\n') span.className = 'newline';
  if (vocabulary.lacks(piece)) span.className = 'unseen';
  return span;
}
