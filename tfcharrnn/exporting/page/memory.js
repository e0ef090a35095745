// The section "Memory": which earlier characters a prediction depends on.

import {twoSided} from './colours.js';
import {byId, onceAFrame, Refresher, shape} from './dom.js';
import {Lens} from './lens.js';
import {swatch} from './surprise.js';
import {visible} from './vocabulary.js';

const MEMORY_LIMIT = 3000;
const REACH = 80; // Pieces before the chosen one.
const STRONGEST_CHANGE = 4; // The strongest colour.
const NEAR = 0.1; // Bits that count as the same surprise.
const CHART_HEIGHT = 150;
const CHART_LEFT = 34;
const CHART_BOTTOM = 22;

/** A text in which one character is explained by those before it. */
export class Memory {
  #session;
  #lens;
  #chosen = -1;
  #parts = [];

  constructor(session) {
    this.#session = session;
    this.#lens = new Lens(byId('memory-lens'), {
      id: 'memory-text',
      label: 'Text in which to choose a character',
      vocabulary: session.vocabulary,
      limit: MEMORY_LIMIT,
    });
    this.#lens.onText = () => {
      this.#chosen = -1;
    };
    const later = new Refresher(byId('memory-lens'), () => this.#show());
    this.#lens.onCaret = (caret) => {
      if (caret !== this.#chosen) later.request();
    };
    session.onChoice(() => later.request());
    new ResizeObserver(() => this.#chart()).observe(byId('memory-chart'));
    byId('memory-legend').append(
      ...[-4, -2, 0, 2, 4].map((bits) =>
        swatch(
          bits > 0 ? `+${bits}` : String(bits),
          twoSided(bits / STRONGEST_CHANGE),
        ),
      ),
    );
  }

  /** Shows a text, with a piece chosen. */
  open(text, index) {
    this.#lens.text = text;
    if (this.#lens.pieces.length > index) this.#lens.placeCaret(index);
  }

  /** Measures what the piece at the cursor depends on. */
  async #show() {
    const position = this.#lens.caret;
    this.#chosen = position;
    const {ids} = this.#lens;
    if (position >= ids.length || ids[position] < 0) {
      this.#session.client.cancel('memory');
      this.#parts = [];
      this.#draw(position);
      byId('memory-info').textContent =
        this.#lens.lackNote || `Choose a ${this.#session.noun}.`;
      return;
    }
    const parts = [];
    const draw = onceAFrame(() => {
      if (this.#parts === parts) this.#draw(position);
    });
    const onPart = (part) => {
      this.#parts = parts;
      parts.push(part);
      draw();
    };
    const question = {ids, position, reach: REACH};
    await this.#session.ask('influence', question, {channel: 'memory', onPart});
    byId('memory-info').textContent = this.#summary(position);
  }

  /** Draws what is known so far. */
  #draw(position) {
    const places = placesBefore(this.#lens.ids, position);
    const [all, ...others] = this.#parts;
    const change = new Map(
      others.map(({back, leftOut}) => [
        places[back - 1],
        (leftOut - all.leftOut) / Math.LN2,
      ]),
    );
    this.#lens.paint((i) =>
      change.has(i) ? twoSided(change.get(i) / STRONGEST_CHANGE) : '',
    );
    this.#chart();
  }

  /** The surprise in bits, after all and after the nearest characters. */
  get #bits() {
    const [all, ...others] = this.#parts.map((p) => p.nearest / Math.LN2);
    return {all: all ?? 0, nearest: others};
  }

  #chart() {
    const {all, nearest} = this.#bits;
    drawChart(nearest, all);
  }

  #summary(position) {
    const {noun} = this.#session;
    const {all, nearest} = this.#bits;
    const name = visible(this.#lens.pieces[position]);
    const own = `“${name}”: ${all.toFixed(2)} bits after all that is before it.`;
    if (!nearest.length) return own;
    // From there on, all are near.
    let needed = nearest.length;
    while (needed > 0 && Math.abs(nearest[needed - 1] - all) < NEAR) needed--;
    if (needed === nearest.length) {
      return `${own} More than the last ${needed} ${noun}s matter.`;
    }
    const count = needed + 1;
    const which =
      count === 1 ? `The last ${noun} is` : `The last ${count} ${noun}s are`;
    return `${own} ${which} enough to come within ${NEAR} bits of that.`;
  }
}

/** Returns the positions of the known pieces before one, the nearest first. */
function placesBefore(ids, position) {
  const places = [];
  for (let i = position - 1; i >= 0; i--) if (ids[i] >= 0) places.push(i);
  return places;
}

/** Draws bits against the number of nearest characters that are read. */
function drawChart(nearest, bits) {
  const chart = byId('memory-chart');
  const width = chart.clientWidth || 320;
  const most = Math.max(1, bits, ...nearest) * 1.1;
  const x = (count) =>
    CHART_LEFT + ((width - CHART_LEFT - 8) * (count - 1)) / (REACH - 1);
  const y = (value) =>
    8 + (CHART_HEIGHT - CHART_BOTTOM - 8) * (1 - value / most);
  const text = (label, left, top, anchor) =>
    shape('text', {x: left, y: top, 'text-anchor': anchor}, label);
  const points = nearest.map((value, i) => `${x(i + 1)},${y(value)}`);
  const step = most > 6 ? 2 : 1;
  const ticks = [];
  for (let value = 0; value < most; value += step) {
    ticks.push(
      shape('line', {
        class: 'grid',
        x1: CHART_LEFT,
        x2: width,
        y1: y(value),
        y2: y(value),
      }),
      text(`${value}`, CHART_LEFT - 8, y(value) + 4, 'end'),
    );
  }
  const labels = [1, 20, 40, 60, 80].map((count) =>
    text(`${count}`, x(count), CHART_HEIGHT - 5, 'middle'),
  );
  const parts = [...ticks, ...labels];
  if (nearest.length) {
    parts.push(
      shape('line', {
        class: 'whole',
        x1: CHART_LEFT,
        x2: width,
        y1: y(bits),
        y2: y(bits),
      }),
      shape('polyline', {class: 'line', points: points.join(' ')}),
    );
  }
  chart.replaceChildren(...parts);
  const first = nearest[0]?.toFixed(1);
  chart.setAttribute(
    'aria-label',
    nearest.length
      ? `${first} bits after the nearest one, ${bits.toFixed(1)} after all`
      : 'No character is chosen.',
  );
}
