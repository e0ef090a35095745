// Reader: reads a text, and after a change only what has changed.

// Positions from one state that is kept to the next.
const STRIDE = 32;

/**
 * Reads ids with a model and remembers states on the way.
 *
 *     t h e _ c a t _ s a t        read before
 *     t h e _ c a r                read now: goes on near the change
 */
export class Reader {
  /**
   * @param {Model} model
   * @param {function(number)} visit Called after each position that is read.
   *   The one before a change is read again, since what follows it is new.
   * @param {?Float32Array[]} values For each layer: what its cell computes at
   *   the position.
   */
  constructor(model, visit, values = null) {
    this.model = model;
    this.visit = visit;
    this.values = values;
    this.ids = [];
    this.kept = [model.zeroState()];
    this.state = model.zeroState();
  }

  /**
   * Reads all of `ids`.
   *
   * @param {ArrayLike<number>} ids
   * @param {Job} job
   */
  async read(ids, job) {
    this.#rewind(ids);
    for (let t = this.ids.length; t < ids.length; t++) {
      // Never between a step and its visit: the outputs are the model's.
      if (job.isDue) await job.pause();
      this.model.step(ids[t], this.state, this.values);
      this.ids.push(ids[t]);
      if (this.ids.length % STRIDE === 0) {
        this.kept[this.ids.length / STRIDE] = copyState(this.state);
      }
      this.visit(t);
    }
  }

  /** Goes back to the last kept state before the change. */
  #rewind(ids) {
    let same = 0;
    while (same < this.ids.length && this.ids[same] === ids[same]) same += 1;
    const index = Math.floor(Math.max(0, same - 1) / STRIDE);
    this.ids.length = Math.min(this.ids.length, index * STRIDE);
    this.kept.length = index + 1;
    this.state = copyState(this.kept[index]);
  }
}

/** Returns a copy of a state. */
export function copyState(state) {
  return state.map((array) => array.slice());
}
