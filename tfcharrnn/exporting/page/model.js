// The model: embedding -> cells -> logits, one character at a time.

import {CELLS} from './cells.js';
import {floatsOf} from './payload.js';
import {Matrices} from './product.js';

// Bytes for what the first layer makes of each character.
const MAX_TABLE = 1 << 26;

/** A `CharRNN` with int8 weights. It holds no state: the caller does. */
export class Model {
  /**
   * @param config As in the payload.
   * @param weights Of one checkpoint.
   * @param {?WebAssembly.Module} module As `compileProduct` returns it.
   */
  constructor(config, weights, module) {
    this.config = config;
    this.units = config.units;
    this.cell = CELLS[config.cell];
    const {embedding, letters, layers, output} = weights;
    const memory = new Matrices(tensorsIn(weights), module);
    this.embedding = embedding ? memory.add(embedding) : null;
    this.letters = letters ? memory.add(letters) : this.embedding;
    this.layers = layers.map((layer) => new Layer(this, memory, layer));
    this.kernel = output.kernel ? memory.add(output.kernel) : this.embedding;
    this.bias = floatsOf(output.bias);
    this.outputs = new Float32Array(this.units);
    this.inputs = new Float32Array(this.units);
    this.scores = new Float32Array(config.vocabSize);
    this.table = new Map();
  }

  /** Returns the state before a text: an array for each layer. */
  zeroState() {
    const size = this.cell.numStates * this.units;
    return this.layers.map(() => new Float32Array(size));
  }

  /**
   * Reads a character.
   *
   * @param {number} id
   * @param {Float32Array[]} state Moved in place.
   * @param {?Float32Array[]} values For each layer, room for its values.
   */
  step(id, state, values = null) {
    const {layers, outputs, inputs} = this;
    for (let i = 0; i < layers.length; i++) {
      const x = i ? layers[i].project(inputs) : this.#firstInputs(id);
      layers[i].step(x, state[i], values && values[i], outputs);
      if (i && this.config.residual) {
        for (let u = 0; u < outputs.length; u++) outputs[u] += inputs[u];
      }
      inputs.set(outputs);
    }
  }

  /** Returns the logits after the last step; valid until the next call. */
  logits() {
    const {scores, bias} = this;
    const products = this.kernel.times(this.outputs);
    for (let i = 0; i < scores.length; i++) scores[i] = products[i] + bias[i];
    return scores;
  }

  /** Returns what stands for a character: its embedding, or its weights. */
  vectorOf(id) {
    return this.letters
      ? this.letters.row(id)
      : this.layers[0].kernel.column(id);
  }

  #firstInputs(id) {
    let x = this.table.get(id);
    if (!x) {
      x = this.layers[0].projectId(id, this.embedding);
      if (this.table.size * x.byteLength < MAX_TABLE) this.table.set(id, x);
    }
    return x;
  }
}

/** A cell with its weights. */
class Layer {
  constructor(model, memory, weights) {
    this.units = model.units;
    this.move = model.cell.step;
    this.kernel = memory.add(weights.kernel);
    this.recurrent = weights.recurrentKernel
      ? memory.add(weights.recurrentKernel)
      : null;
    const size = this.kernel.rows;
    const bias = floatsOf(weights.bias);
    this.bias = bias.subarray(0, size);
    // Only the GRU has another for the products with its state.
    this.stateBias = bias.length > size ? bias.subarray(size) : null;
    this.x = new Float32Array(size);
    this.normScale = weights.normScale && floatsOf(weights.normScale);
    this.normShift = weights.normShift && floatsOf(weights.normShift);
  }

  /** Multiplies the inputs with the kernel. */
  project(inputs) {
    const products = this.kernel.times(inputs);
    const {x, bias} = this;
    for (let i = 0; i < x.length; i++) x[i] = products[i] + bias[i];
    return x;
  }

  /** Does the same for a character; returns a new array. */
  projectId(id, embedding) {
    const products = embedding
      ? this.kernel.times(embedding.row(id))
      : this.kernel.column(id);
    return this.bias.map((b, i) => b + products[i]);
  }

  step(x, state, values, outputs) {
    const {units, recurrent, stateBias} = this;
    let h = null;
    if (recurrent) {
      h = recurrent.times(state);
      if (stateBias) for (let i = 0; i < h.length; i++) h[i] += stateBias[i];
    }
    this.move(x, h, state, units, values);
    for (let u = 0; u < units; u++) outputs[u] = state[u];
    if (this.normScale) normalize(outputs, this.normScale, this.normShift);
  }
}

/** Brings a vector to a mean and a deviation that were learned. */
function normalize(x, scale, shift) {
  let mean = 0;
  for (const value of x) mean += value;
  mean /= x.length;
  let variance = 0;
  for (const value of x) variance += (value - mean) ** 2;
  const factor = 1 / Math.sqrt(variance / x.length + 1e-5);
  for (let u = 0; u < x.length; u++) {
    x[u] = (x[u] - mean) * factor * scale[u] + shift[u];
  }
}

function tensorsIn({embedding, letters, layers, output}) {
  const all = [embedding, letters, output.kernel];
  for (const layer of layers) all.push(layer.kernel, layer.recurrentKernel);
  return all.filter(Boolean);
}
