// The section "Surprise": any text, coloured by how unexpected it is.

import {warm} from './colours.js';
import {byId, element, grouped, percent, Refresher} from './dom.js';
import {Lens} from './lens.js';
import {visible} from './vocabulary.js';

const SURPRISE_LIMIT = 10000;
const STRONGEST_BITS = 8;
// Ranks up to these are one step of the colour.
const RANKS = [1, 3, 10];
const NUM_OTHERS = 4;

/** A text in the colours of its surprise. */
export class Surprise {
  #session;
  #lens;
  #scores = null;

  constructor(session) {
    this.#session = session;
    this.#lens = new Lens(byId('surprise-lens'), {
      id: 'surprise-text',
      label: 'Text to be coloured by surprise',
      vocabulary: session.vocabulary,
      limit: SURPRISE_LIMIT,
    });
    const later = new Refresher(byId('surprise-lens'), () => this.score());
    this.#lens.onText = () => later.request();
    this.#lens.onCaret = (caret) => this.#tellPiece(caret);
    byId('by-bits').addEventListener('change', () => this.#paint());
    byId('by-rank').addEventListener('change', () => this.#paint());
    session.onChoice(() => later.request());
  }

  set text(text) {
    this.#lens.text = text;
  }

  /** Scores the text and colours it. */
  async score() {
    const {ids} = this.#lens;
    this.#scores = await this.#session.ask(
      'score',
      {ids},
      {channel: 'surprise'},
    );
    this.#paint();
    this.#tellTotal();
    this.#tellPiece(this.#lens.caret);
  }

  get #isByRank() {
    return byId('by-rank').checked;
  }

  #paint() {
    this.#showLegend();
    if (!this.#scores) return;
    const {nats, ranks} = this.#scores;
    if (this.#isByRank) this.#lens.paint((i) => warm(ofRank(ranks[i])));
    else this.#lens.paint((i) => warm(bitsOf(nats[i]) / STRONGEST_BITS));
  }

  #tellTotal() {
    const {noun} = this.#session;
    const nats = this.#scores.nats.filter((x) => !Number.isNaN(x));
    let sum = 0;
    for (const value of nats) sum += value;
    const parts = [];
    if (nats.length) {
      const bits = bitsOf(sum / nats.length).toFixed(2);
      const count = `${grouped(nats.length)} ${noun}s`;
      parts.push(`${bits} bits per ${noun} over ${count}.`);
    } else parts.push('Type or paste a text.');
    parts.push(this.#lens.lackNote);
    byId('surprise-total').textContent = parts.join(' ');
  }

  async #tellPiece(at) {
    const {pieces, ids} = this.#lens;
    const info = byId('surprise-info');
    if (!this.#scores || at >= ids.length || at >= this.#scores.nats.length) {
      info.textContent = '';
      return;
    }
    const name = `“${visible(pieces[at])}”`;
    if (ids[at] < 0) {
      info.textContent = `${name} is not in the vocabulary: it is not read.`;
      return;
    }
    const bits = bitsOf(this.#scores.nats[at]).toFixed(2);
    const own = `${name}: ${bits} bits, rank ${this.#scores.ranks[at]}.`;
    const before = ids.slice(0, at).filter((id) => id >= 0);
    const {plain} = await this.#session.ask(
      'next',
      {ids: before, temperature: 1},
      {channel: 'surprise next'},
    );
    info.textContent = `${own} Most likely here: ${this.#likeliest(plain)}.`;
  }

  #likeliest(probabilities) {
    const {tokens} = this.#session.vocabulary;
    const order = Array.from(probabilities.keys());
    order.sort((a, b) => probabilities[b] - probabilities[a]);
    return order
      .slice(0, NUM_OTHERS)
      .map((id) => `“${visible(tokens[id])}” ${percent(probabilities[id])}`)
      .join(', ');
  }

  #showLegend() {
    const items = this.#isByRank
      ? [
          ['1st', 1],
          ['2nd, 3rd', 2],
          ['to 10th', 4],
          ['beyond', 11],
        ].map(([label, rank]) => swatch(label, warm(ofRank(rank))))
      : [0, 2, 4, 6, 8].map((bits) =>
          swatch(bits === 8 ? '8+' : String(bits), warm(bits / STRONGEST_BITS)),
        );
    byId('surprise-legend').replaceChildren(...items);
  }
}

/** Returns a patch of colour with a label. */
export function swatch(label, colour) {
  const node = element('span', {className: 'swatch'}, label);
  node.style.backgroundColor = colour;
  return node;
}

function ofRank(rank) {
  if (Number.isNaN(rank)) return 0;
  const step = RANKS.findIndex((limit) => rank <= limit);
  return (step < 0 ? RANKS.length : step) / RANKS.length;
}

function bitsOf(nats) {
  return nats / Math.LN2;
}
