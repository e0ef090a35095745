r"""Features: what can be told about each character of a text by counting.

    text      " H i ! "     T h e n
    quoted    1 1 1 1 0   0 0 0 0 0
    start     0 1 0 0 0   0 1 0 0 0     of a word

A feature looks at a character and at those before it, never ahead, so a model
that reads the text could know it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

_PAIRS = {'(': ')', '[': ']', '{': '}'}
_QUOTES = '"'
_OPENING, _CLOSING = '\u201c', '\u201d'


class Feature(NamedTuple):
    """A feature of a text.

    Attributes:
        name: What it says, in words.
        values: [T] float32: 0 or 1, or a number.
        is_binary: Whether it is 0 or 1.
    """

    name: str
    values: np.ndarray
    is_binary: bool

    @property
    def labels(self) -> np.ndarray:
        """[T] bool: where it is 1, or above its median."""
        threshold = 0.5 if self.is_binary else np.median(self.values)
        return self.values > threshold


def features_of(text: str) -> list[Feature]:
    r"""Computes all features of a text.

        >>> features = features_of('He said:\n"Hi (you)!"')
        >>> for feature in features[:4]:
        ...     print(feature.name, feature.values[-8:].astype(int).tolist())
        position in the line [4, 5, 6, 7, 8, 9, 10, 11]
        time since the newline [2, 2, 2, 3, 3, 3, 3, 3]
        inside quotation marks [1, 1, 1, 1, 1, 1, 1, 0]
        inside brackets [0, 1, 1, 1, 1, 0, 0, 0]

    Args:
        text: T characters.

    Returns:
        'position in the line': characters since the newline, 0 for the
        newline itself. 'time since the newline': its logarithm to base 2, of
        one more, so that what fades quickly is seen, too. 'inside quotation
        marks' and 'inside brackets': from the opening mark on, up to the
        closing one; a blank line ends what was left open. 'upper case': the
        character is. 'word start': a letter or digit after something else.
        'end of sentence': from a . ! or ? up to the next letter or digit.
    """
    position = _position(text)
    binary = {
        'inside quotation marks': _quoted(text),
        'inside brackets': _bracketed(text),
        'upper case': [char.isupper() for char in text],
        'word start': _word_starts(text),
        'end of sentence': _sentence_ends(text),
    }
    return [
        Feature('position in the line', position, False),
        Feature('time since the newline', np.log2(1 + position), False),
        *(
            Feature(name, np.array(values, np.float32), True)
            for name, values in binary.items()
        ),
    ]


def _position(text):
    is_newline = np.array([char == '\n' for char in text], bool)
    index = np.arange(len(text))
    # Before the first newline: from the beginning of the text, counted from 1.
    last = np.maximum.accumulate(np.where(is_newline, index, -1))
    return (index - last).astype(np.float32)


def _quoted(text):
    inside, values, before = False, [], ''
    for char in text:
        if char == before == '\n':
            inside = False
        if char in _QUOTES:
            inside = not inside
        elif char in (_OPENING, _CLOSING):
            inside = char == _OPENING
        values.append(inside)
        before = char
    return values


def _bracketed(text):
    closers, values, before = [], [], ''
    for char in text:
        if char == before == '\n':
            closers = []
        if char in _PAIRS:
            closers.append(_PAIRS[char])
        elif char in closers:  # What it does not close was left open.
            del closers[closers.index(char) :]
        values.append(bool(closers))
        before = char
    return values


def _word_starts(text):
    is_word = [char.isalnum() for char in text]
    before = [False, *is_word]
    return [x and not y for x, y in zip(is_word, before, strict=False)]


def _sentence_ends(text):
    values = np.zeros(len(text), bool)
    for match in re.finditer(r'[.!?][\W_]*', text):
        values[match.start() : match.end()] = True
    return values
