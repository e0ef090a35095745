// Products: matrices of int8 times a vector, in WebAssembly or JavaScript.
//
//   y[row] = scale[row] * (data[row] . x)
//
// The vector is rounded to 15 bits, so that each row is an exact sum of
// integers: both ways of adding give the same float32, bit for bit.

import {bytesOf, floatsOf} from './payload.js';
import {PRODUCT} from './wasm.js';

const PAGE_BYTES = 65536;
const MAX_INT16 = 32767;
const MAX_INT32 = 2147483647;

/** Compiles the product; returns null where the browser has no SIMD. */
export function compileProduct() {
  try {
    const bytes = bytesOf(PRODUCT);
    return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : null;
  } catch {
    return null; // No WebAssembly at all, or the page does not allow it.
  }
}

/** The matrices of a model, in one block of memory. */
export class Matrices {
  /**
   * Reserves memory for tensors of the payload.
   *
   * @param {Array<{shape: number[]}>} tensors
   * @param {?WebAssembly.Module} module As `compileProduct` returns it.
   */
  constructor(tensors, module) {
    const columns = Math.max(...tensors.map((t) => roundUp(t.shape[1], 8)));
    let size = 2 * columns + 16;
    const halves = tensors.flatMap((t) => (t.fine ? [t, t] : [t]));
    for (const {shape} of halves) {
      const rows = roundUp(shape[0], 4);
      size += rows * (roundUp(shape[1], 8) + 8) + 64;
    }
    const initial = Math.ceil(size / PAGE_BYTES);
    if (module) {
      const memory = new WebAssembly.Memory({initial});
      const instance = new WebAssembly.Instance(module, {page: {memory}});
      this.buffer = memory.buffer;
      this.product = instance.exports.product;
    } else {
      this.buffer = new ArrayBuffer(initial * PAGE_BYTES);
      this.product = plainProduct(this.buffer);
    }
    this.end = 0;
    this.x = this.reserve(2 * columns);
  }

  /** Returns the address of so many new bytes. */
  reserve(size) {
    const start = this.end;
    this.end = roundUp(start + size, 16);
    return start;
  }

  /** Takes a tensor of the payload into the memory. */
  add(tensor) {
    return new Matrix(this, tensor);
  }
}

/**
 * A matrix of int8 with a scale for each row.
 *
 * A small one has a second one, `fine`: what rounding the first has left.
 */
class Matrix {
  constructor(memory, tensor) {
    const [rows, columns] = tensor.shape;
    this.memory = memory;
    this.rows = rows;
    this.columns = columns;
    this.paddedRows = roundUp(rows, 4);
    this.paddedColumns = roundUp(columns, 8);
    const {buffer} = memory;
    this.weightsAt = memory.reserve(this.paddedRows * this.paddedColumns);
    this.scaleAt = memory.reserve(4 * this.paddedRows);
    this.yAt = memory.reserve(4 * this.paddedRows);
    this.y = new Float32Array(buffer, this.yAt, rows);
    this.x = new Int16Array(buffer, memory.x, this.paddedColumns);
    this.scale = new Float32Array(buffer, this.scaleAt, rows);
    this.scale.set(floatsOf({data: tensor.scale}));
    this.weights = new Int8Array(
      buffer,
      this.weightsAt,
      rows * this.paddedColumns,
    );
    this.#setWeights(new Int8Array(bytesOf(tensor.data).buffer));
    // No sum of a fourth of the columns may leave int32.
    const limit = MAX_INT32 / (127 * (this.paddedColumns / 4));
    this.limit = Math.min(MAX_INT16, Math.floor(limit));
    const {fine, shape} = tensor;
    this.fine = fine ? new Matrix(memory, {shape, ...fine}) : null;
  }

  #setWeights(data) {
    const {rows, columns, paddedColumns} = this;
    if (columns === paddedColumns) {
      this.weights.set(data);
      return;
    }
    for (let row = 0; row < rows; row++) {
      const part = data.subarray(row * columns, (row + 1) * columns);
      this.weights.set(part, row * paddedColumns);
    }
  }

  /** Multiplies with a vector; the result is valid until the next product. */
  times(vector) {
    const {x, columns, limit} = this;
    let largest = 0;
    for (let i = 0; i < columns; i++) {
      const size = Math.abs(vector[i]);
      if (size > largest) largest = size;
    }
    const toInteger = largest > 0 ? limit / largest : 0;
    for (let i = 0; i < columns; i++) {
      x[i] = Math.round(vector[i] * toInteger);
    }
    return this.#multiply(largest / limit);
  }

  #multiply(factor) {
    this.x.fill(0, this.columns);
    this.memory.product(
      this.weightsAt,
      this.scaleAt,
      this.memory.x,
      this.yAt,
      this.paddedRows,
      this.paddedColumns,
      factor,
    );
    if (this.fine) {
      const rest = this.fine.#multiply(factor);
      for (let row = 0; row < this.rows; row++) this.y[row] += rest[row];
    }
    return this.y;
  }

  /** Returns a column, [rows]. */
  column(index) {
    const {weights, paddedColumns, scale} = this;
    const rest = this.fine?.column(index);
    return scale.map((s, row) => {
      const value = s * weights[row * paddedColumns + index];
      return rest ? value + rest[row] : value;
    });
  }

  /** Returns a row, [columns]. */
  row(index) {
    const start = index * this.paddedColumns;
    const part = this.weights.subarray(start, start + this.columns);
    const rest = this.fine?.row(index);
    return Float32Array.from(part, (w, column) => {
      const value = w * this.scale[index];
      return rest ? value + rest[column] : value;
    });
  }
}

/** Returns the function of `product.wat`, in JavaScript. */
export function plainProduct(buffer) {
  const w = new Int8Array(buffer);
  const shorts = new Int16Array(buffer);
  const floats = new Float32Array(buffer);
  const {fround} = Math;
  return (weightsAt, scaleAt, xAt, yAt, rows, columns, factor) => {
    const x = shorts.subarray(xAt / 2, xAt / 2 + columns);
    const small = fround(factor);
    for (let row = 0; row < rows; row++) {
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      let at = weightsAt + row * columns;
      for (let i = 0; i < columns; i += 8, at += 8) {
        a = (a + w[at] * x[i] + w[at + 1] * x[i + 1]) | 0;
        b = (b + w[at + 2] * x[i + 2] + w[at + 3] * x[i + 3]) | 0;
        c = (c + w[at + 4] * x[i + 4] + w[at + 5] * x[i + 5]) | 0;
        d = (d + w[at + 6] * x[i + 6] + w[at + 7] * x[i + 7]) | 0;
      }
      const ab = fround(fround(a) + fround(b));
      const sum = fround(ab + fround(fround(c) + fround(d)));
      const scaled = fround(sum * floats[scaleAt / 4 + row]);
      floats[yAt / 4 + row] = scaled * small;
    }
  };
}

function roundUp(number, multiple) {
  return Math.ceil(number / multiple) * multiple;
}
