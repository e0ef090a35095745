// The vocabulary: text -> ids and back, as in `text/vocabulary.py`, `words.py`.

const UNSEEN = -1;
const NAMES = {
  '\n': '\u21b5',
  '\t': '\u21e5',
  '\r': '\u240d',
  ' ': '\u2423',
  '\u00a0': 'nbsp',
};

/** The tokens that a model knows: characters or words. */
export class Vocabulary {
  constructor({tokens, level, lines, unknown, begin, end, pattern}) {
    this.tokens = tokens;
    this.isWords = level === 'word';
    this.lines = Boolean(lines);
    this.unknown = unknown ?? UNSEEN;
    this.begin = begin ?? 0;
    this.end = end ?? null;
    this.ids = new Map(tokens.map((token, id) => [token, id]));
    // What Python cuts words with, in JavaScript's words.
    this.pattern = pattern ? new RegExp(pattern, 'gu') : null;
  }

  get size() {
    return this.tokens.length;
  }

  /** Cuts a text into pieces: together they are the text. */
  cut(text) {
    if (this.isWords) return text.match(this.pattern) ?? [];
    return Array.from(text);
  }

  /** Returns the id of each piece; -1 for a character that is not known. */
  encode(pieces) {
    return Int32Array.from(
      pieces,
      (piece) => this.ids.get(piece) ?? this.unknown,
    );
  }

  /** Whether the vocabulary lacks a piece. */
  lacks(piece) {
    return !this.ids.has(piece);
  }

  /** Returns the text of ids. */
  decode(ids) {
    return Array.from(ids, (id) => this.tokens[id]).join('');
  }
}

/** Returns how a token is shown where a space or a control would not be. */
export function visible(token) {
  return Array.from(token, (char) => NAMES[char] ?? codeOrSelf(char)).join('');
}

function codeOrSelf(char) {
  if (!/[\p{C}\p{Z}\p{M}]/u.test(char)) return char;
  const code = char.codePointAt(0).toString(16).toUpperCase();
  return `U+${code.padStart(4, '0')}`;
}
