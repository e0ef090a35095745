// Engine: the models of the page, and what can be asked of them.
//
// It runs in a worker, so that typing never waits for a model. A method is
// called with its arguments by name, a job that may be cancelled, and a
// function that reports parts of the answer. Ids of -1 are characters that the
// vocabulary lacks: they are not read.

import {measureInfluence} from './influence.js';
import {Model} from './model.js';
import {compileProduct} from './product.js';
import {neighboursOf, normalized, project} from './projection.js';
import {Reader} from './reader.js';
import {Recorder} from './recorder.js';
import {distribution, softmax} from './sampling.js';
import {Scorer} from './scorer.js';
import {write} from './writing.js';

const NUM_FOUND = 12;
const NUM_NEIGHBOURS = 5;

/** The models, one for each checkpoint. */
export class Engine {
  #config = null;
  #begin = 0;
  #module = null;
  #weights = new Map();
  #models = new Map();
  #kept = new Map();
  #turns = new Map();

  /** Takes what all models have in common; `isPlain`: no WebAssembly. */
  open({config, begin, isPlain}) {
    this.#config = config;
    this.#begin = begin;
    this.#module = isPlain ? null : compileProduct();
    return {isCompiled: Boolean(this.#module)};
  }

  /** Takes the weights of a checkpoint, as the payload has them. */
  add({checkpoint, weights}) {
    this.#weights.set(checkpoint, weights);
  }

  /** Makes a checkpoint ready, before it is asked. */
  prepare({checkpoint}) {
    this.#model(checkpoint);
  }

  /** Returns the probabilities of what may come after ids. */
  next(question, job) {
    return this.#inTurn('next', () => this.#next(question, job));
  }

  async #next({checkpoint, ids, ...settings}, job) {
    const {logits, reader} = this.#keep('next', checkpoint, (model) => {
      const last = new Float32Array(this.#config.vocabSize);
      const visit = () => last.set(model.logits());
      return {logits: last, reader: new Reader(model, visit)};
    });
    await reader.read(ids.length ? ids : [this.#begin], job);
    return {drawn: distribution(logits, settings), plain: softmax(logits)};
  }

  /** Writes on after a prompt; reports ids. */
  async write({checkpoint, ...request}, job, report) {
    const prompt = request.prompt.length ? request.prompt : [this.#begin];
    await write(this.#model(checkpoint), {...request, prompt}, {job, report});
  }

  /** Returns the surprise in nats and the rank of each id; NaN for -1. */
  score(question, job) {
    return this.#inTurn('score', () => this.#score(question, job));
  }

  async #score({checkpoint, ids}, job) {
    const scorer = this.#keep(
      'score',
      checkpoint,
      (model) => new Scorer(model, this.#begin),
    );
    const {known, places} = knownOf(ids);
    const {nats, ranks} = await scorer.score(known, job);
    const pick = (values) =>
      Float32Array.from(ids, (id, t) => (id < 0 ? NaN : values[places[t]]));
    return {nats: pick(nats), ranks: pick(ranks)};
  }

  /** Returns all that the cells of a layer compute while they read ids. */
  async states({checkpoint, ids, layer}, job) {
    const model = this.#model(checkpoint);
    const {names} = model.cell;
    const units = model.units;
    const values = model.layers.map(
      () => new Float32Array(names.length * units),
    );
    const all = names.map(() => new Float32Array(ids.length * units));
    const visit = (t) => {
      all.forEach((array, i) => {
        const row = values[layer].subarray(i * units, (i + 1) * units);
        array.set(row, t * units);
      });
    };
    await new Reader(model, visit, values).read(ids, job);
    const entries = names.map((name, i) => [name, all[i]]);
    return {
      names,
      steps: ids.length,
      units,
      values: Object.fromEntries(entries),
    };
  }

  /**
   * Records units while ids are read, and answers questions about them.
   *
   * @returns {Promise<{unitValues, stripValues, found}>} Values of a unit at
   *   each id; of all units at a position; and, if `selected` is given, the
   *   units that tell the selected ids from the others.
   */
  units(question, job) {
    const purpose = `units ${question.name}`;
    return this.#inTurn(purpose, () => this.#units(question, job));
  }

  async #units(question, job) {
    const {checkpoint, ids, name, layer, unit, position, selected} = question;
    const recorder = this.#keep(
      `units ${name}`,
      checkpoint,
      (model) => new Recorder(model, name),
    );
    const {known, places} = knownOf(ids);
    await recorder.read(known, job);
    const values = recorder.of(layer, unit);
    const answer = {
      unitValues: Float32Array.from(places, (at) => values[at] ?? 0),
      stripValues: recorder.at(layer, places[position] ?? 0),
      found: null,
    };
    if (selected) {
      const chosen = new Uint8Array(known.length);
      ids.forEach((id, t) => {
        if (id >= 0) chosen[places[t]] = selected[t];
      });
      answer.found = recorder.find(chosen, NUM_FOUND);
    }
    return answer;
  }

  /** Measures which ids the one at a position depends on. */
  async influence({checkpoint, ids, position, reach}, job, report) {
    const {known} = knownOf(ids.slice(0, position));
    const text = {
      ids: known.length ? known : [this.#begin],
      target: ids[position],
      reach,
    };
    await measureInfluence(this.#model(checkpoint), text, {job, report});
  }

  /** Places the first `count` tokens in the plane, with their neighbours. */
  letters({checkpoint, count}) {
    const model = this.#model(checkpoint);
    const number = Math.min(count, this.#config.vocabSize);
    // Of equal length: how often a token occurs would decide otherwise.
    const vectors = normalized(
      Array.from({length: number}, (_, id) => model.vectorOf(id)),
    );
    return {
      ...project(vectors),
      neighbours: neighboursOf(vectors, NUM_NEIGHBOURS),
    };
  }

  #model(checkpoint) {
    if (!this.#models.has(checkpoint)) {
      const weights = this.#weights.get(checkpoint);
      const model = new Model(this.#config, weights, this.#module);
      this.#models.set(checkpoint, model);
      this.#weights.delete(checkpoint);
    }
    return this.#models.get(checkpoint);
  }

  /** Does work when all that was asked for the same purpose is done. */
  #inTurn(purpose, work) {
    const before = this.#turns.get(purpose) ?? Promise.resolve();
    // Whether it was cancelled or not: what is kept is free then.
    const turn = before.then(work, work);
    this.#turns.set(purpose, turn);
    return turn;
  }

  /** Returns what was made for a purpose, or makes it: one at a time. */
  #keep(purpose, checkpoint, make) {
    const kept = this.#kept.get(purpose);
    if (kept?.checkpoint === checkpoint) return kept.thing;
    const thing = make(this.#model(checkpoint));
    this.#kept.set(purpose, {checkpoint, thing});
    return thing;
  }
}

/** Returns the ids that are known, and for each id the last known until it. */
function knownOf(ids) {
  const known = [];
  const places = [];
  for (const id of ids) {
    if (id >= 0) known.push(id);
    places.push(known.length - 1);
  }
  return {known, places};
}
