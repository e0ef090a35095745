// Settings: how the model writes, in controls and in the address.
//
// The fragment of the address holds them, so a link writes the same text:
//
//   bard.html#prompt=ROMEO%3A&seed=7&temperature=0.8

import {byId} from './dom.js';

const DEFAULTS = {
  prompt: '',
  seed: 1,
  temperature: 0.7,
  topK: null,
  topP: null,
  length: 400,
  stop: '',
};
const MAX_TOP_K = 40; // The right end of the slider, which stands for all.

/** The controls of writing. */
export class Settings {
  #inputs;
  #tokens;

  /**
   * @param {string} prompt The default one.
   * @param {number} tokens The size of the vocabulary.
   */
  constructor(prompt, tokens) {
    this.defaults = {...DEFAULTS, prompt};
    this.onChange = () => {};
    this.#inputs = {
      prompt: byId('prompt'),
      seed: byId('seed'),
      temperature: byId('temperature'),
      topK: byId('top-k'),
      topP: byId('top-p'),
      length: byId('length'),
      stop: byId('until'),
    };
    this.#tokens = tokens;
    this.#inputs.topK.max = Math.min(MAX_TOP_K, tokens);
    for (const [name, input] of Object.entries(this.#inputs)) {
      input.addEventListener('input', () => {
        this.#tell();
        this.onChange(name);
      });
    }
  }

  /** The values; of a number that is not one, the default. */
  get values() {
    const inputs = this.#inputs;
    const number = (name) => {
      const value = inputs[name].valueAsNumber;
      return Number.isFinite(value) ? value : this.defaults[name];
    };
    const topK = number('topK');
    const topP = number('topP');
    return {
      prompt: inputs.prompt.value,
      seed: Math.max(0, Math.floor(number('seed'))),
      temperature: number('temperature'),
      topK: topK < Number(inputs.topK.max) ? topK : null,
      topP: topP < 1 ? topP : null,
      length: Math.min(20000, Math.max(1, Math.floor(number('length')))),
      stop: inputs.stop.value,
    };
  }

  /** Puts values into the controls. */
  set(values) {
    const all = {...this.values, ...values};
    const inputs = this.#inputs;
    inputs.prompt.value = all.prompt;
    inputs.seed.value = all.seed;
    inputs.temperature.value = all.temperature;
    inputs.topK.value = all.topK ?? inputs.topK.max;
    inputs.topP.value = all.topP ?? 1;
    inputs.length.value = all.length;
    inputs.stop.value = all.stop;
    this.#tell();
  }

  /** Returns the fragment that stands for the values, with its #. */
  get fragment() {
    const parts = new URLSearchParams();
    for (const [name, value] of Object.entries(this.values)) {
      const isShown = ['prompt', 'seed', 'temperature'].includes(name);
      if (isShown || value !== this.defaults[name]) {
        parts.set(name, value ?? '');
      }
    }
    return `#${parts}`;
  }

  /** Takes values from a fragment; returns whether it had any. */
  read(fragment) {
    const parts = new URLSearchParams(fragment.replace(/^#/, ''));
    const values = {...this.defaults};
    let isGiven = false;
    for (const name of Object.keys(DEFAULTS)) {
      if (!parts.has(name)) continue;
      isGiven = true;
      const text = parts.get(name);
      const isText = typeof DEFAULTS[name] === 'string';
      const number = Number(text);
      if (isText) values[name] = text;
      else if (text && Number.isFinite(number)) values[name] = number;
    }
    this.set(values);
    return isGiven;
  }

  #tell() {
    const {temperature, topK, topP} = this.values;
    byId('temperature-value').textContent = temperature.toFixed(2);
    byId('top-k-value').textContent = topK ?? `all ${this.#tokens}`;
    byId('top-p-value').textContent = topP === null ? 'all' : topP.toFixed(2);
  }
}
