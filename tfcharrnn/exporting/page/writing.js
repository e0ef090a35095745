// Writing: a model writes on after a prompt.

import {sample} from './sampling.js';

/**
 * Writes until the length is reached or a stop has been written.
 *
 * @param {Model} model
 * @param {{prompt: number[], written: number[], length: number, seed,
 *   temperature: number, topK: ?number, topP: ?number, stop: ?number[]}}
 *   request `written` stands behind the prompt already; `length` counts it.
 * @param {{job: Job, report: function(number[])}} to `report` is called with
 *   what is certain to stay, as long as it goes on.
 */
export async function write(model, request, {job, report}) {
  const {length, stop, seed} = request;
  const read = [...request.prompt, ...request.written];
  const state = model.zeroState();
  for (const id of read.slice(0, -1)) {
    if (job.isDue) await job.pause();
    model.step(id, state);
  }
  const noise = new Float32Array(model.config.vocabSize);
  let last = read.at(-1);
  let held = [];
  for (let position = request.written.length; position < length; position++) {
    if (job.isDue) {
      held = settle(held, stop, report);
      await job.pause();
    }
    model.step(last, state);
    last = sample(model.logits(), request, {seed, position, noise});
    held.push(last);
    if (stop && endsWith(held, stop, stop.length)) {
      held.length -= stop.length;
      break;
    }
  }
  report(held);
}

/** Reports all but what may be the beginning of a stop; returns that. */
function settle(held, stop, report) {
  let size = stop ? Math.min(stop.length - 1, held.length) : 0;
  while (size && !endsWith(held, stop, size)) size -= 1;
  const settled = held.length - size;
  report(held.slice(0, settled));
  return held.slice(settled);
}

/** Whether ids end with the first `size` of others. */
function endsWith(ids, others, size) {
  const start = ids.length - size;
  if (start < 0) return false;
  for (let i = 0; i < size; i++) if (ids[start + i] !== others[i]) return false;
  return true;
}
