// The section "Write": a text is begun, written, and led another way.

import {Bars} from './bars.js';
import {byId, grouped, onceAFrame} from './dom.js';
import {Draft} from './draft.js';
import {Sheet} from './sheet.js';
import {Tree} from './tree.js';
import {visible} from './vocabulary.js';

const CONTEXT = 18; // Pieces of what comes before, in the title of the bars.

/** Writing, and the probabilities of what comes next. */
export class WriteView {
  #session;
  #settings;
  #draft = new Draft();
  #sheet;
  #bars;
  #tree;
  #isWriting = false;
  #begun = 0;

  constructor(session, settings) {
    this.#session = session;
    this.#settings = settings;
    const {vocabulary} = session;
    this.#sheet = new Sheet(byId('output'), vocabulary, {
      onSelect: () => this.#showNext(),
      onEnter: () => byId('bars').querySelector('button').focus(),
    });
    this.#bars = new Bars(byId('bars'), vocabulary.tokens, (id) =>
      this.#choose(id),
    );
    this.#tree = new Tree(this.#draft, vocabulary, (version) => {
      this.#draft.choose(version);
      this.#showVersion();
    });
    this.showNext = onceAFrame(() => this.#showNext());
    this.#listen();
  }

  /** Writes a new text after the prompt; resolves when it is finished. */
  write() {
    const {pieces, ids} = this.#prompt;
    this.#draft.begin(pieces, ids);
    return this.#go(this.#settings.values.length);
  }

  /** All of the current version. */
  get text() {
    return byId('output').textContent;
  }

  /** Writes the current version anew, with the same choices. */
  rewrite() {
    const {current} = this.#draft;
    if (!current) return;
    if (!current.parent) {
      this.write();
      return;
    }
    const length = Math.max(this.#settings.values.length, 1);
    current.written.length = Math.max(
      0,
      current.at + 1 - current.prompt.length,
    );
    this.#go(length);
  }

  #listen() {
    const prompt = byId('prompt');
    byId('write').addEventListener('click', () => this.write());
    byId('stop').addEventListener('click', () => this.#stop());
    byId('more').addEventListener('click', () => {
      const {current} = this.#draft;
      const {length} = this.#settings.values;
      this.#go(current.written.length + length);
    });
    prompt.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
        this.write();
      }
    });
    prompt.addEventListener('focus', () => this.#sheet.select(null));
    document.addEventListener('selectionchange', () => {
      if (document.activeElement === prompt) this.showNext();
    });
    byId('bars').addEventListener('keydown', ({key}) => {
      if (key === 'Escape') byId('output').focus();
    });
  }

  get #prompt() {
    const {vocabulary} = this.#session;
    const pieces = vocabulary.cut(byId('prompt').value);
    return {pieces, ids: vocabulary.encode(pieces)};
  }

  /** Writes the current version until it has a length. */
  async #go(length) {
    const {vocabulary} = this.#session;
    const {current} = this.#draft;
    const {stop, ...settings} = this.#settings.values;
    const question = {
      ...settings,
      prompt: this.#read(current.prompt),
      written: [...current.written],
      length,
      stop: stopIds(stop, vocabulary),
    };
    this.#showVersion();
    this.#setWriting(true);
    this.#begun = performance.now();
    const before = current.written.length;
    const onPart = (ids) => {
      current.written.push(...ids);
      this.#sheet.append(ids.map((id) => vocabulary.tokens[id]));
      this.#tell(current.written.length - before);
    };
    await this.#session.ask('write', question, {channel: 'write', onPart});
    this.#setWriting(false);
    this.#tree.show();
  }

  #stop() {
    this.#session.client.cancel('write');
    this.#setWriting(false);
    this.#tree.show();
  }

  #setWriting(isWriting) {
    this.#isWriting = isWriting;
    byId('stop').disabled = !isWriting;
    byId('more').disabled = isWriting;
    byId('output').setAttribute('aria-busy', isWriting);
  }

  #tell(count) {
    const seconds = (performance.now() - this.#begun) / 1000;
    const {noun} = this.#session;
    byId('write-note').textContent =
      `${grouped(count)} ${noun}s in ${seconds.toFixed(2)} s`;
  }

  #showVersion() {
    if (this.#isWriting) this.#stop();
    const {current} = this.#draft;
    const {tokens} = this.#session.vocabulary;
    const written = current.written.map((id) => tokens[id]);
    this.#sheet.show([...current.pieces, ...written], current.pieces.length);
    for (let v = current; v.parent; v = v.parent) {
      this.#sheet.spans[v.at]?.classList.add('chosen');
    }
    byId('more').disabled = false;
    this.#tree.show();
    this.showNext();
  }

  /** Takes another id: in the text, or at the cursor of the prompt. */
  #choose(id) {
    const token = this.#session.vocabulary.tokens[id];
    const {selected} = this.#sheet;
    if (selected === null) {
      const prompt = byId('prompt');
      const {selectionStart: start, selectionEnd: end} = prompt;
      prompt.setRangeText(token, start, end, 'end');
      prompt.dispatchEvent(new Event('input', {bubbles: true}));
      return;
    }
    const {current} = this.#draft;
    const length = Math.max(
      current.written.length,
      this.#settings.values.length,
    );
    this.#draft.branch(selected, id, token);
    this.#go(length);
    this.#sheet.select(selected);
  }

  /** Returns the ids that the model reads: what it knows of a text. */
  #read(ids) {
    const {lines, begin} = this.#session.vocabulary;
    const known = ids.filter((id) => id >= 0);
    return lines ? [begin, ...known] : known;
  }

  async #showNext() {
    const {vocabulary} = this.#session;
    const {selected} = this.#sheet;
    let before;
    let taken = null;
    let lacking = [];
    if (selected === null) {
      const prompt = byId('prompt');
      const pieces = vocabulary.cut(
        prompt.value.slice(0, prompt.selectionStart),
      );
      lacking = vocabulary
        .cut(prompt.value)
        .filter((piece) => vocabulary.lacks(piece));
      before = Array.from(vocabulary.encode(pieces));
    } else {
      const {ids} = this.#draft;
      before = ids.slice(0, selected);
      taken = ids[selected];
    }
    this.#tellContext(before, taken);
    byId('prompt-note').textContent = lacking.length
      ? `Not in the vocabulary: \u2068${[...new Set(lacking)].join(' ')}\u2069`
      : '';
    const {temperature, topK, topP} = this.#settings.values;
    const question = {ids: this.#read(before), temperature, topK, topP};
    const answer = await this.#session.ask('next', question, {
      channel: 'next',
    });
    this.#bars.show(answer.drawn, answer.plain, taken);
  }

  #tellContext(before, taken) {
    const {tokens, lines} = this.#session.vocabulary;
    const known = before.filter((id) => id >= 0);
    const end = known.slice(-CONTEXT).map((id) => tokens[id]);
    const start = known.length > CONTEXT ? '…' : '';
    const text = start + end.map(visibleBreak).join('');
    const place = text
      ? `after “${text}”`
      : `at the start of a ${lines ? 'line' : 'text'}`;
    const context = byId('next-context');
    // Read aloud where one has moved to, but not while one types.
    context.setAttribute('aria-live', taken === null ? 'off' : 'polite');
    context.textContent =
      taken === null || taken === undefined || taken < 0
        ? place
        : `instead of “${visible(tokens[taken])}”, ${place}`;
  }
}

function visibleBreak(token) {
  return token === ' ' ? token : token.replace(/\n/g, visible('\n'));
}

/** Returns the ids before which the text ends; null for none. */
function stopIds(stop, vocabulary) {
  const text = stop || (vocabulary.end === null ? '' : '\n');
  const ids = vocabulary.encode(vocabulary.cut(text));
  const isWritten = ids.length && !ids.includes(-1);
  return isWritten ? Array.from(ids) : null;
}
