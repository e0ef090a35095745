// Sampling: logits -> the next character, as in `generation/sampling.py`.
//
//   logits --topK--> --topP--> + temperature * noise --argmax--> id

import {uniform} from './philox.js';

const TINY_TEMPERATURE = 2 ** -126;

/**
 * Draws an id from softmax(logits / temperature).
 *
 * @param {Float32Array} logits
 * @param {{temperature: number, topK: ?number, topP: ?number}} settings
 * @param {{seed, position: number, noise: Float32Array}} draw
 */
export function sample(logits, settings, draw) {
  const {temperature} = settings;
  const kept = keep(logits, settings);
  if (!temperature) return argmax(kept);
  const noise = uniform(draw.seed, draw.position, draw.noise);
  let best = -1;
  let highest = -Infinity;
  for (let i = 0; i < kept.length; i++) {
    if (kept[i] === -Infinity) continue;
    const gumbel = -Math.log(-Math.fround(Math.log(noise[i])));
    const value = Math.fround(
      kept[i] + Math.fround(temperature * Math.fround(gumbel)),
    );
    if (value > highest) {
      highest = value;
      best = i;
    }
  }
  return best;
}

/** Returns the probabilities that `sample` draws with. */
export function distribution(logits, settings) {
  const kept = keep(logits, settings);
  if (settings.temperature) return softmax(kept, settings.temperature);
  const probabilities = new Float32Array(kept.length);
  probabilities[argmax(kept)] = 1;
  return probabilities;
}

/** Returns the logits, with -Infinity for what is not drawn from. */
function keep(logits, {temperature, topK, topP}) {
  if (!topK && !topP) return logits;
  // Falling; the first of equals first.
  const order = Array.from(logits.keys());
  order.sort((a, b) => logits[b] - logits[a] || a - b);
  order.length = Math.min(topK || order.length, order.length);
  const kept = new Float32Array(logits.length).fill(-Infinity);
  const probabilities = softmax(
    Float32Array.from(order, (id) => logits[id]),
    temperature,
  );
  let before = 0;
  order.forEach((id, rank) => {
    // Needed while those before it do not reach `topP`; the first always.
    if (!topP || topP >= 1 || before < topP || !before) kept[id] = logits[id];
    before += probabilities[rank];
  });
  return kept;
}

/** Returns softmax(logits / temperature), however low the temperature. */
export function softmax(logits, temperature = 1) {
  const highest = logits[argmax(logits)];
  const divisor = Math.max(temperature, TINY_TEMPERATURE);
  const weights = new Float64Array(logits.length);
  let sum = 0;
  for (let i = 0; i < logits.length; i++) {
    weights[i] = Math.exp((logits[i] - highest) / divisor);
    sum += weights[i];
  }
  return Float32Array.from(weights, (weight) => weight / sum);
}

/** Returns the log-probability of one id, in nats. */
export function logProbOf(logits, id) {
  let highest = -Infinity;
  for (const logit of logits) if (logit > highest) highest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  return logits[id] - highest - Math.log(sum);
}

/** Returns how many ids are more probable than one: its rank, from 1. */
export function rankOf(logits, id) {
  let rank = 1;
  for (const logit of logits) if (logit > logits[id]) rank += 1;
  return rank;
}

function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}
