// Marks: characters of a kind, to look for units that know them.

/** What can be marked: a name, and a function from pieces to booleans. */
export const KINDS = {
  'upper case': (pieces) => pieces.map((p) => /\p{Lu}/u.test(p)),
  vowels: (pieces) => pieces.map((p) => /^[aeiouy]$/iu.test(p)),
  'spaces and newlines': (pieces) => pieces.map((p) => /^\s+$/u.test(p)),
  digits: (pieces) => pieces.map((p) => /\p{N}/u.test(p)),
  punctuation: (pieces) => pieces.map((p) => /\p{P}/u.test(p)),
  'first letters of words': (pieces) =>
    pieces.map(
      (p, i) =>
        /^\p{L}/u.test(p) && (i === 0 || !/\p{L}$/u.test(pieces[i - 1])),
    ),
  'inside quotation marks': insideQuotes,
  'first ten of a line': (pieces) => {
    let column = -1;
    return pieces.map((p) => {
      column = p === '\n' ? -1 : column + 1;
      return column >= 0 && column < 10;
    });
  },
};

function insideQuotes(pieces) {
  let isInside = false;
  return pieces.map((piece) => {
    if (/["“”]/u.test(piece)) isInside = !isInside;
    if (piece === '\n') isInside = false;
    return isInside;
  });
}
