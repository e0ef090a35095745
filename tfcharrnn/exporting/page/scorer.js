// Scorer: how surprising each character of a text is.

import {Reader} from './reader.js';
import {logProbOf, rankOf} from './sampling.js';

/** Scores texts; after a small change, quickly. */
export class Scorer {
  /**
   * @param {Model} model
   * @param {number} begin The id that the first character follows.
   */
  constructor(model, begin) {
    this.model = model;
    this.begin = begin;
    this.nats = [];
    this.ranks = [];
    this.ids = [];
    this.reader = new Reader(model, (t) => this.#note(t + 1));
  }

  /**
   * Scores ids.
   *
   * @param {number[]} ids
   * @param {Job} job
   * @returns {Promise<{nats: number[], ranks: number[]}>} The negated
   *   log-probability of each id and its rank, from 1.
   */
  async score(ids, job) {
    this.ids = ids;
    if (ids.length) {
      this.model.step(this.begin, this.model.zeroState());
      this.#note(0);
    }
    await this.reader.read(ids.slice(0, -1), job);
    return this;
  }

  /** Notes what the model thinks of the id at a position. */
  #note(position) {
    const logits = this.model.logits();
    const id = this.ids[position];
    this.nats[position] = -logProbOf(logits, id);
    this.ranks[position] = rankOf(logits, id);
  }
}
