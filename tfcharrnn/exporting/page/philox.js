// Philox4x32-10: random numbers that are a function of a seed and a position.
//
// A counter is encrypted (Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3", 2011). They are the numbers of `generation/noise.py`, bit for bit:
// the same seed writes the same text here and in Python.

const ROUNDS = 10;
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57];
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85];
// The key with which TensorFlow scrambles a seed.
const SCRAMBLE = [0x3ec8f720, 0x02461e29];
const TINY = 2 ** -126; // The smallest float32 that is not denormal.

/** Encrypts four words with two; returns four words. */
export function philox(counter, key) {
  let [a, b, c, d] = counter;
  let [first, second] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const left = highWord(a, MULTIPLIERS[0]);
    const right = highWord(c, MULTIPLIERS[1]);
    const leftLow = Math.imul(a, MULTIPLIERS[0]) >>> 0;
    const rightLow = Math.imul(c, MULTIPLIERS[1]) >>> 0;
    a = (right ^ b ^ first) >>> 0;
    b = rightLow;
    c = (left ^ d ^ second) >>> 0;
    d = leftLow;
    first = (first + KEY_STEPS[0]) >>> 0;
    second = (second + KEY_STEPS[1]) >>> 0;
  }
  return [a, b, c, d];
}

/** Returns the upper 32 of the 64 bits of a product. */
function highWord(a, b) {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const other = aLow * bHigh + (middle & 0xffff);
  const carry = Math.floor(middle / 65536) + Math.floor(other / 65536);
  return (aHigh * bHigh + carry) >>> 0;
}

/**
 * Returns uniform numbers in (0, 1) of 23 bits.
 *
 * @param {number|bigint|string} seed A whole number of up to 64 bits.
 * @param {number} position
 * @param {Float32Array} numbers Filled and returned.
 */
export function uniform(seed, position, numbers) {
  const bits = BigInt.asUintN(64, BigInt(seed));
  const low = Number(bits & 0xffffffffn);
  const high = Number(bits >> 32n);
  const mixed = philox([low, high, position, 0], SCRAMBLE);
  const key = [mixed[0], mixed[1]];
  for (let i = 0; i < numbers.length; i += 4) {
    const words = philox([i / 4, 0, mixed[2], mixed[3]], key);
    for (let j = 0; j < 4 && i + j < numbers.length; j++) {
      numbers[i + j] = (words[j] & 0x7fffff) / 0x800000 || TINY;
    }
  }
  return numbers;
}
