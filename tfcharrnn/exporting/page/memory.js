// The section "Memory": which earlier characters a prediction depends on.

import {twoSided} from './colours.js';
import {byId, shape} from './dom.js';
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
  #nearest = [];
  #bits = 0;

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
    this.#lens.onCaret = (caret) => {
      if (caret !== this.#chosen) this.show(caret);
    };
    session.onChoice(() => this.show(this.#lens.caret));
    new ResizeObserver(() => drawChart(this.#nearest, this.#bits)).observe(
      byId('memory-chart'),
    );
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

  /** Measures what the piece at a position depends on. */
  async show(position) {
    this.#chosen = position;
    const {ids, pieces} = this.#lens;
    const info = byId('memory-info');
    this.#lens.paint(() => '');
    if (position >= ids.length || ids[position] < 0) {
      info.textContent = this.#lens.lackNote || 'Choose a character.';
      this.#chart([], 0);
      return;
    }
    const places = placesBefore(ids, position);
    const parts = [];
    const onPart = (part) => parts.push(part);
    info.textContent = 'Reading …';
    const question = {ids, position, reach: REACH};
    const options = {channel: 'memory', onPart};
    const nats = await this.#session.ask('influence', question, options);
    const bits = nats / Math.LN2;
    const change = new Map(
      parts.map((part) => [places[part.back - 1], part.leftOut / Math.LN2]),
    );
    this.#lens.paint((i) =>
      change.has(i) ? twoSided((change.get(i) - bits) / STRONGEST_CHANGE) : '',
    );
    const nearest = parts.map((part) => part.nearest / Math.LN2);
    this.#chart(nearest, bits);
    info.textContent = this.#summary(visible(pieces[position]), nearest, bits);
  }

  #chart(nearest, bits) {
    this.#nearest = nearest;
    this.#bits = bits;
    drawChart(nearest, bits);
  }

  #summary(name, nearest, bits) {
    const {noun} = this.#session;
    const own = `“${name}”: ${bits.toFixed(2)} bits after all that is before it.`;
    if (!nearest.length) return own;
    // From there on, all are near.
    let needed = nearest.length;
    while (needed > 0 && Math.abs(nearest[needed - 1] - bits) < NEAR) needed--;
    if (needed === nearest.length) {
      return `${own} More than the last ${needed} ${noun}s matter.`;
    }
    const count = needed + 1;
    const nouns = count === 1 ? noun : `${noun}s`;
    return `${own} The last ${count} ${nouns} are enough to come within ${NEAR} bits of that.`;
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
  const span = Math.max(10, nearest.length);
  const x = (count) =>
    CHART_LEFT + ((width - CHART_LEFT - 8) * (count - 1)) / (span - 1);
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
  const labels = [1, 20, 40, 60, 80]
    .filter((count) => count <= span)
    .map((count) => text(`${count}`, x(count), CHART_HEIGHT - 5, 'middle'));
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
