// Recorder: what all units do while a text is read.

import {Reader} from './reader.js';
import {rankUnits} from './units.js';

/** Records one kind of value (the state, or a gate) of all units. */
export class Recorder {
  /**
   * @param {Model} model
   * @param {string} name One of the names of the model's cell.
   */
  constructor(model, name) {
    this.units = model.units;
    this.steps = 0;
    const {names} = model.cell;
    const row = names.indexOf(name) * this.units;
    const values = model.layers.map(
      () => new Float32Array(names.length * this.units),
    );
    this.layers = model.layers.map(() => new Float32Array(0));
    const visit = (t) => {
      this.layers.forEach((layer, i) => {
        const now = values[i].subarray(row, row + this.units);
        layer.set(now, t * this.units);
      });
    };
    this.reader = new Reader(model, visit, values);
  }

  /** Reads ids and records their values. */
  async read(ids, job) {
    const size = ids.length * this.units;
    if (this.layers[0].length < size) {
      this.layers = this.layers.map((layer) => {
        const larger = new Float32Array(2 * size);
        larger.set(layer);
        return larger;
      });
    }
    this.steps = ids.length;
    await this.reader.read(ids, job);
  }

  /** Returns the values of all units of a layer at a position, [U]. */
  at(layer, position) {
    const start = position * this.units;
    return this.layers[layer].slice(start, start + this.units);
  }

  /** Returns the values of a unit at all positions, [T]. */
  of(layer, unit) {
    const values = this.layers[layer];
    return Float32Array.from(
      {length: this.steps},
      (_, t) => values[t * this.units + unit],
    );
  }

  /** Returns the units that best tell selected positions from the others. */
  find(selected, count) {
    return rankUnits(this.layers, selected, {units: this.units, count});
  }
}
