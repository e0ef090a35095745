// The tree of a draft, as a list of buttons: each goes back to a version.

import {byId, element} from './dom.js';
import {visible} from './vocabulary.js';

const SNIPPET = 48; // Pieces of a version that its button shows.
const BEFORE = 6; // And so many of them before the change.
const MAX_DEPTH = 6;

/** The list of versions; hidden while there is only one. */
export class Tree {
  #draft;
  #vocabulary;
  #onChoose;

  constructor(draft, vocabulary, onChoose) {
    this.#draft = draft;
    this.#vocabulary = vocabulary;
    this.#onChoose = onChoose;
  }

  /** Shows the versions as they are now. */
  show() {
    const {inOrder} = this.#draft;
    byId('tree').hidden = inOrder.length < 2;
    byId('versions').replaceChildren(...inOrder.map((v) => this.#row(v)));
  }

  #row(version) {
    const depth = Math.min(MAX_DEPTH, this.#draft.depthOf(version));
    const button = element(
      'button',
      {type: 'button', className: `version depth-${depth}`},
      element('span', {className: 'version-change'}, this.#change(version)),
      element('span', {className: 'version-text'}, this.#snippet(version)),
    );
    if (version === this.#draft.current) {
      button.setAttribute('aria-current', 'true');
    }
    button.addEventListener('click', () => this.#onChoose(version));
    return element('li', {}, button);
  }

  #change(version) {
    if (!version.parent) return 'first';
    const {prompt, written, at, instead} = version;
    const {tokens} = this.#vocabulary;
    const id = [...prompt, ...written][at];
    const was = instead === null || instead < 0 ? '' : visible(tokens[instead]);
    return `${was}→${visible(tokens[id])}`;
  }

  #snippet(version) {
    const {tokens} = this.#vocabulary;
    const {pieces, written, at} = version;
    const all = [...pieces, ...written.map((id) => tokens[id])];
    const start = Math.max(0, (at ?? 0) - BEFORE);
    const text = all.slice(start, start + SNIPPET).join('');
    return text.replace(/\s/g, ' ');
  }
}
