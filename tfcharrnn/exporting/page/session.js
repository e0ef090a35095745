// Session: what all sections of the page share.

import {Client} from './client.js';
import {Vocabulary} from './vocabulary.js';

/** The payload, the engine, and the checkpoint that is looked at. */
export class Session {
  #listeners = [];
  #sent = new Set();

  /**
   * @param payload As Python wrote it.
   * @param {string} script The text of the page's script.
   */
  constructor(payload, script) {
    this.payload = payload;
    this.config = payload.config;
    this.vocabulary = new Vocabulary(payload.vocabulary);
    this.noun = this.vocabulary.isWords ? 'word' : 'character';
    this.checkpoints = payload.checkpoints;
    this.checkpoint = payload.start ?? 0;
    this.client = new Client(script);
  }

  /** Makes the engine ready; returns what it says about itself. */
  async open() {
    const {config, vocabulary} = this;
    const begin = vocabulary.begin;
    const about = await this.client.ask('open', {config, begin});
    this.#send(this.checkpoint);
    return about;
  }

  /** Asks the engine about the current checkpoint, or about another. */
  ask(name, question, options) {
    const checkpoint = question.checkpoint ?? this.checkpoint;
    this.#send(checkpoint);
    return this.client.ask(name, {...question, checkpoint}, options);
  }

  /** Looks at another checkpoint; tells those who listen. */
  choose(checkpoint) {
    if (checkpoint === this.checkpoint) return;
    this.checkpoint = checkpoint;
    for (const listener of this.#listeners) listener();
  }

  /** Calls a function whenever another checkpoint is chosen. */
  onChoice(listener) {
    this.#listeners.push(listener);
  }

  #send(checkpoint) {
    if (this.#sent.has(checkpoint)) return;
    this.#sent.add(checkpoint);
    const {weights} = this.checkpoints[checkpoint];
    this.client.ask('add', {checkpoint, weights});
  }
}
