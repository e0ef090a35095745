// Client: asks the engine, in a worker where the browser allows one.

import {makeReceiver} from './worker.js';

/** Sends questions to the engine and hands out its answers. */
export class Client {
  #send;
  #open = new Map();
  #latest = new Map();
  #number = 0;

  /** @param {string} script The text of the page's script. */
  constructor(script) {
    const receive = (message) => this.#receive(message);
    const fail = (error) => this.#fail(error);
    this.#send = makeWorker(script, receive, fail) ?? makeLocal(receive);
  }

  /**
   * Asks a question.
   *
   * @param {string} name A method of `Engine`.
   * @param {object} question Its arguments.
   * @param {{channel?: string, onPart?: function}} options A new question on a
   *   channel cancels the one before, whose promise then never settles.
   */
  ask(name, question, {channel = null, onPart = null} = {}) {
    const id = this.#number++;
    if (channel !== null) {
      this.cancel(channel);
      this.#latest.set(channel, id);
    }
    this.#send({id, name, question});
    return new Promise((resolve, reject) => {
      this.#open.set(id, {resolve, reject, onPart});
    });
  }

  /** Cancels what was asked last on a channel. */
  cancel(channel) {
    const id = this.#latest.get(channel);
    if (id === undefined || !this.#open.has(id)) return;
    this.#open.delete(id);
    this.#send({cancel: id});
  }

  #receive({id, part, answer, error}) {
    const waiting = this.#open.get(id);
    if (!waiting) return; // It was cancelled.
    if (part !== undefined) {
      if (waiting.onPart) waiting.onPart(part);
      return;
    }
    this.#open.delete(id);
    if (error !== undefined) waiting.reject(new Error(error));
    else waiting.resolve(answer);
  }

  #fail(error) {
    for (const {reject} of this.#open.values()) reject(error);
    this.#open.clear();
  }
}

/** Returns a function that sends to a new worker; null if there can be none. */
function makeWorker(script, receive, fail) {
  try {
    const blob = new Blob([script], {type: 'text/javascript'});
    const worker = new Worker(URL.createObjectURL(blob));
    worker.onmessage = ({data}) => receive(data);
    worker.onerror = ({message}) => {
      fail(new Error(message || 'The model could not be started.'));
    };
    return (message) => worker.postMessage(message);
  } catch {
    return null;
  }
}

/** Returns a function that sends to an engine in this thread, in slices. */
function makeLocal(receive) {
  const take = makeReceiver((message) => setTimeout(receive, 0, message));
  return (message) => setTimeout(take, 0, message);
}
