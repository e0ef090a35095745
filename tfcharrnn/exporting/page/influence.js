// Influence: which earlier characters a prediction depends on.
//
//   left out    the text is read without one character: how large is the
//               surprise at the target then?
//   nearest     only the last k characters are read: how large is it then?

import {copyState} from './reader.js';
import {logProbOf} from './sampling.js';

/**
 * Measures the influence of each of the last characters, the nearest first.
 *
 * @param {Model} model
 * @param {{ids: Int32Array, target: number, reach: number}} text What is read
 *   (at least one character), the id that comes next, and how far to go back.
 * @param {{job: Job, report: function({back, leftOut, nearest})}} to `report`
 *   is called with nats: `back` counts the characters from 1; before that, 0
 *   stands for nothing left out.
 */
export async function measureInfluence(model, text, {job, report}) {
  const {ids, target, reach} = text;
  const last = ids.length - 1;
  const first = Math.max(0, ids.length - reach);

  /** Reads from a position on; returns the surprise at the target. */
  async function surprise(start, state) {
    for (let t = start; t <= last; t++) {
      if (job.isDue) await job.pause();
      model.step(ids[t], state);
    }
    return -logProbOf(model.logits(), target);
  }

  const states = [];
  const state = model.zeroState();
  let withoutLast = Math.log(model.config.vocabSize);
  for (let t = 0; t < last; t++) {
    if (job.isDue) await job.pause();
    if (t >= first) states.push(copyState(state));
    model.step(ids[t], state);
    if (t === last - 1) withoutLast = -logProbOf(model.logits(), target);
  }
  states.push(copyState(state));
  const all = await surprise(last, state);
  report({back: 0, leftOut: all, nearest: all});
  for (let t = last; t >= first; t--) {
    const leftOut =
      t === last ? withoutLast : await surprise(t + 1, states[t - first]);
    const nearest = await surprise(t, model.zeroState());
    report({back: last + 1 - t, leftOut, nearest});
  }
}
