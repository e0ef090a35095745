r"""Surprise: a text, and how unexpected a model found each of its characters.

    bits   0    1    2    3    4    5    6    7 and more
    ANSI   text on ever darker orange, in a terminal
    HTML   the same, in a notebook

A character of b bits is as surprising as b tosses of a coin: its probability
was 2 ** -b.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tfcharrnn.text.vocabulary import Vocabulary

# Backgrounds from 1 bit on, by whole bits: of the 256 colors of terminals, and
# the same in HTML. The text on them is black.
_COLORS = (
    (230, '#ffffd7'),
    (229, '#ffffaf'),
    (222, '#ffd787'),
    (215, '#ffaf5f'),
    (209, '#ff875f'),
    (203, '#ff5f5f'),
    (197, '#ff005f'),
)
_UNSEEN = 141, '#af87ff'  # What the vocabulary lacks.
# What would not be seen on a colored background.
_VISIBLE = {'\n': '↵\n', '\t': '⇥\t', '\r': '␍'}


class Token(NamedTuple):
    """A character or word of a text.

    Attributes:
        text: As it stands in the text.
        bits: How surprising it was; NaN, if the model did not read it.
        is_known: Whether the vocabulary has it.
    """

    text: str
    bits: float
    is_known: bool


class Surprise(Sequence[Token]):
    r"""A text with the surprise of each character.

        >>> surprise = Surprise(['a', 'b'], np.log([0.5, 0.25]), [True, True])
        >>> surprise
        <Surprise: 2 tokens, 1.500 bits per token>
        >>> surprise[1]
        Token(text='b', bits=2.0, is_known=True)
        >>> surprise.to_ansi()
        '\x1b[30;48;5;230ma\x1b[0m\x1b[30;48;5;229mb\x1b[0m'

    In a notebook, it shows itself.

    Attributes:
        text: The text.
        bits: [N] float, NaN for what the model did not read.
        bits_per_token: Their mean; NaN for an empty text.
        num_unseen: Tokens that the vocabulary lacks.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        log_probabilities: np.ndarray,
        is_known: Sequence[bool],
    ):
        """Puts a text and its scores together.

        Args:
            tokens: N pieces; together they are the text.
            log_probabilities: [N] in nats, NaN for what was not read.
            is_known: N times whether the vocabulary has it.
        """
        self._tokens = list(tokens)
        self._is_known = list(is_known)
        # No negative zero.
        self.bits = np.abs(np.asarray(log_probabilities, float) / math.log(2))

    @classmethod
    def of(
        cls,
        text: str,
        vocabulary: Vocabulary,
        score: Callable[[str], np.ndarray],
    ) -> Surprise:
        """Scores a text, what the vocabulary lacks left out.

        Args:
            text: Any text.
            vocabulary: If it has an `unknown`, all is read.
            score: As `Generator.score`.
        """
        tokens = vocabulary.cut(text)
        is_known = [token in vocabulary for token in tokens]
        is_read = np.array(is_known, bool) | (vocabulary.unknown is not None)
        scores = np.full([len(tokens)], np.nan)
        scores[is_read] = score(
            ''.join(t for t, read in zip(tokens, is_read, strict=True) if read)
        )
        return cls(tokens, scores, is_known)

    @property
    def text(self) -> str:
        """The text."""
        return ''.join(self._tokens)

    @property
    def bits_per_token(self) -> float:
        """The mean of the bits that are not NaN."""
        read = self.bits[~np.isnan(self.bits)]
        return float(read.mean()) if len(read) else math.nan

    @property
    def num_unseen(self) -> int:
        """Tokens that the vocabulary lacks."""
        return len(self) - sum(self._is_known)

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, index):
        """Returns a `Token`, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Token(
            self._tokens[index],
            float(self.bits[index]),
            self._is_known[index],
        )

    def to_ansi(self) -> str:
        """Returns the text with colors for a terminal.

        A character that a terminal would obey is shown as its number.
        """
        pieces = []
        for token in self:
            color, text = _color_of(token), _visible(token)
            if color is None:
                pieces.append(text)
                continue
            # A color must end before the line, or it fills the line.
            first, newline, rest = text.partition('\n')
            pieces.append(f'\x1b[30;48;5;{color[0]}m{first}\x1b[0m')
            pieces.append(newline + rest)
        return ''.join(pieces)

    def to_table(self) -> str:
        r"""Returns a line for each token: its bits, a tab, the token as JSON.

        >>> Surprise(['a', '\n'], np.array([-1.0, np.nan]), [1, 0]).to_table()
        '1.44\t"a"\n-\t"\\n"\tnot known'
        """
        return '\n'.join(map(_row, self))

    def to_html(self) -> str:
        """Returns an element of HTML; nothing in the text is read as markup."""
        return (
            '<pre style="white-space: pre-wrap; unicode-bidi: plaintext">'
            f'{"".join(map(_span, self))}</pre>'
        )

    def _repr_html_(self) -> str:
        return f'{self.to_html()}<p>{html.escape(self._summary())}</p>'

    def _summary(self) -> str:
        unseen = f', {self.num_unseen} not known' if self.num_unseen else ''
        return (
            f'{len(self)} tokens{unseen}, '
            f'{self.bits_per_token:.3f} bits per token'
        )

    def __repr__(self) -> str:
        return f'<Surprise: {self._summary()}>'


def _color_of(token: Token) -> tuple[int, str] | None:
    if not token.is_known:
        return _UNSEEN
    if math.isnan(token.bits) or token.bits < 1.0:
        return None
    return _COLORS[int(min(token.bits, len(_COLORS))) - 1]


def _visible(token: Token) -> str:
    """Returns what is shown; a character that would act as its number."""
    text = token.text
    if _color_of(token) is not None:
        text = ''.join(_VISIBLE.get(char, char) for char in text)
    return ''.join(
        char if char.isprintable() or char in '\n\t' else f'<{ord(char):04X}>'
        for char in text
    )


def _row(token: Token) -> str:
    bits = '-' if math.isnan(token.bits) else f'{token.bits:.2f}'
    escapes = not token.text.isprintable()
    text = json.dumps(token.text, ensure_ascii=escapes)
    return f'{bits}\t{text}' + '\tnot known' * (not token.is_known)


def _span(token: Token) -> str:
    color, text = _color_of(token), html.escape(_visible(token))
    bits = '' if math.isnan(token.bits) else f'{token.bits:.2f} bits'
    title = bits if token.is_known else f'not known {bits}'.strip()
    style = f' style="background: {color[1]}; color: black"' if color else ''
    return f'<span title="{title}"{style}>{text}</span>'
