// Worker: answers the questions that `client.js` asks, with an engine.

import {Engine} from './engine.js';
import {Cancelled, Job} from './jobs.js';

/**
 * Returns a function that takes messages.
 *
 *     {id, name, question}   ->   {id, part}, ..., {id, answer} or {id, error}
 *     {cancel: id}           ->   nothing
 *
 * @param {function(object)} post Sends a message back.
 */
export function makeReceiver(post) {
  const engine = new Engine();
  const jobs = new Map();
  return async ({id, name, question, cancel}) => {
    if (cancel !== undefined) {
      if (jobs.has(cancel)) jobs.get(cancel).isCancelled = true;
      return;
    }
    const job = new Job();
    jobs.set(id, job);
    const report = (part) => post({id, part});
    try {
      post({id, answer: await engine[name](question, job, report)});
    } catch (error) {
      if (error instanceof Cancelled) post({id, isCancelled: true});
      else post({id, error: String(error)});
    }
    jobs.delete(id);
  };
}
