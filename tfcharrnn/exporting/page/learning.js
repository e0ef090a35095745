// The section "Watch it learn": the same text, as each checkpoint writes it.

import {labelOf} from './band.js';
import {byId, element, Refresher} from './dom.js';

const LENGTH = 160;

/** A row for each checkpoint. */
export class Learning {
  #session;
  #settings;
  #rows;
  #later;

  constructor(session, settings) {
    this.#session = session;
    this.#settings = settings;
    this.#rows = session.checkpoints.map((checkpoint, i) => {
      const text = element('span', {className: 'learning-text text'});
      const button = element(
        'button',
        {type: 'button'},
        element('span', {className: 'learning-step'}, labelOf(checkpoint)),
        text,
      );
      button.addEventListener('click', () => {
        const input = byId('checkpoint');
        input.value = i;
        input.dispatchEvent(new Event('input'));
      });
      byId('learning').append(element('li', {}, button));
      return {button, text};
    });
    session.onChoice(() => this.#mark());
    this.#mark();
    this.#later = new Refresher(byId('learning'), () => this.#write());
    this.refresh();
  }

  /** Writes anew. */
  refresh() {
    this.#later.request();
  }

  #mark() {
    this.#rows.forEach(({button}, i) => {
      button.setAttribute('aria-current', i === this.#session.checkpoint);
    });
  }

  async #write() {
    const {vocabulary} = this.#session;
    const {prompt, ...settings} = this.#settings.values;
    const ids = vocabulary.encode(vocabulary.cut(prompt)).filter((x) => x >= 0);
    const start = vocabulary.lines ? [vocabulary.begin] : [];
    for (const [checkpoint, {text}] of this.#rows.entries()) {
      const written = [];
      const question = {
        ...settings,
        checkpoint,
        prompt: [...start, ...ids],
        written: [],
        length: LENGTH,
        stop: null,
      };
      const onPart = (part) => written.push(...part);
      const options = {channel: 'learning', onPart};
      await this.#session.ask('write', question, options);
      const whole = vocabulary.decode([...ids, ...written]);
      text.textContent = whole.replace(/^\n+/, '');
    }
  }
}
