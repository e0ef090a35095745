// The strip: all units of a layer as small squares, in the colours of the text.

import {channelsOf} from './colours.js';

const GAP = 1;
const MAX_CELL = 24;
const MAX_HEIGHT = 240;

/** A canvas of units. */
export class Strip {
  #canvas;
  #values = new Float32Array(0);
  #scale = () => 0;
  #unit = 0;
  #columns = 1;
  #cell = 1;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {number} units
   * @param {function(number)} onChoose Called with a unit.
   */
  constructor(canvas, units, onChoose) {
    this.#canvas = canvas;
    this.units = units;
    canvas.addEventListener('click', (event) => {
      const {left, top} = canvas.getBoundingClientRect();
      const column = Math.floor((event.clientX - left) / this.#cell);
      const row = Math.floor((event.clientY - top) / this.#cell);
      const unit = row * this.#columns + column;
      if (column < this.#columns && unit < units) onChoose(unit);
    });
    new ResizeObserver(() => this.#fit()).observe(canvas.parentElement);
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    scheme.addEventListener('change', () => this.#draw());
    this.#fit();
  }

  /**
   * Shows values.
   *
   * @param {Float32Array} values One for each unit.
   * @param {number} unit The one that is outlined.
   * @param {function(number): number} scale From a value to -1 ... 1.
   */
  show(values, unit, scale) {
    this.#values = values;
    this.#unit = unit;
    this.#scale = scale;
    this.#draw();
  }

  /** Chooses columns, a power of two, so that the strip is not too high. */
  #fit() {
    const width = this.#canvas.parentElement.clientWidth;
    const heightOf = (columns) =>
      Math.ceil(this.units / columns) * Math.min(MAX_CELL, width / columns);
    let columns = 1;
    while (columns < this.units && heightOf(columns) > MAX_HEIGHT) columns *= 2;
    while (columns < this.units && width / columns > MAX_CELL) columns *= 2;
    this.#columns = columns;
    this.#cell = Math.min(MAX_CELL, width / columns);
    const rows = Math.ceil(this.units / this.#columns);
    const ratio = window.devicePixelRatio || 1;
    const {style} = this.#canvas;
    const size = [this.#columns * this.#cell, rows * this.#cell];
    [this.#canvas.width, this.#canvas.height] = size.map((x) =>
      Math.round(x * ratio),
    );
    [style.width, style.height] = size.map((x) => `${x}px`);
    this.#draw();
  }

  #draw() {
    const context = this.#canvas.getContext('2d');
    const ratio = this.#canvas.width / (this.#columns * this.#cell);
    const [paper, warmest, coolest, ink] = [
      '--cell',
      '--warm',
      '--cool',
      '--ink',
    ].map(channelsOf);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const side = this.#cell - GAP;
    for (let unit = 0; unit < this.units; unit++) {
      const [x, y] = this.#placeOf(unit);
      const amount = this.#scale(this.#values[unit] ?? 0);
      const target = amount < 0 ? coolest : warmest;
      const share = Math.min(1, Math.abs(amount));
      const mixed = paper.map((c, i) =>
        Math.round(c + share * (target[i] - c)),
      );
      context.fillStyle = `rgb(${mixed})`;
      context.fillRect(x, y, side, side);
    }
    const [x, y] = this.#placeOf(this.#unit);
    context.strokeStyle = `rgb(${ink})`;
    context.lineWidth = 2;
    context.strokeRect(x, y, side, side);
  }

  #placeOf(unit) {
    const column = unit % this.#columns;
    const row = Math.floor(unit / this.#columns);
    return [column * this.#cell, row * this.#cell];
  }
}
