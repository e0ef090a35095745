"""Vocabulary of words: the frequent ones of a text, and one id for the rest."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable

import numpy as np
from numpy import typing as npt

from tfcharrnn import checks, files
from tfcharrnn.text.vocabulary import KINDS, Vocabulary, check_ids, check_text

_UNKNOWN = ' <unk>'
# A word with the space before it, a mark with it, or white space: each
# character of a text is in exactly one of them.
_TOKEN = re.compile(rf"{_UNKNOWN}| ?\w+(?:['\u2019]\w+)*| ?[^\w\s]|\s")
# The same for a RegExp of JavaScript with the flags g and u, where \w knows
# ASCII only and \s is another set.
_LETTER = r'\p{L}\p{N}_'
_SPACE = (
    r'\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000'
)
TOKEN_IN_JAVASCRIPT = (
    rf"{_UNKNOWN}| ?[{_LETTER}]+(?:['\u2019][{_LETTER}]+)*"
    rf'| ?[^{_LETTER}{_SPACE}]|[{_SPACE}]'
)


class WordVocabulary(Vocabulary):
    """The words that a model knows, and one id for all others.

    A token is a word or a mark with the space before it, or white space:

        text      The cat, as I said, sat.
        tokens    The| cat|,| as| I| said|,| sat|.

    So the tokens of a text, one after the other, are the text, and decoding
    gives it back, except for words that are not known: each of them is
    ' <unk>', id 0. A model then predicts tokens instead of characters, and
    everything counted in characters (losses, lengths, speeds) is counted in
    tokens.

        >>> vocabulary = WordVocabulary.from_text('the cat and the dog', 3)
        >>> vocabulary.tokens
        (' <unk>', 'the', ' cat', ' and')
        >>> vocabulary.encode('the dog and the cat').tolist()
        [1, 0, 3, 0, 2]
        >>> vocabulary.decode([1, 0, 3, 0, 2])
        'the <unk> and <unk> cat'

    Args:
        words: The tokens in the order of their ids from 1 on, distinct.
        lines: Whether each text is a line, as for `Vocabulary`.

    Attributes:
        tokens: As for `Vocabulary`; ' <unk>' comes first.
        lines: As for `Vocabulary`.
        unit: As for `Vocabulary`.
        unknown: ' <unk>'.

    Raises:
        ValueError: There is no word, one occurs twice, an item is not a token,
            or `lines` is set and the newline is missing.
    """

    unit = 'token'
    unknown = _UNKNOWN
    _list_name = 'tokens'

    def __init__(self, words: Iterable[str], *, lines: bool = False):
        words = list(words)
        for word in words:
            if not isinstance(word, str) or not _TOKEN.fullmatch(word):
                raise ValueError(
                    f'A vocabulary of words is made of single tokens, but '
                    f'{files.shorten(word)} is not one. For the words of a '
                    f'text use WordVocabulary.from_text.'
                )
        if not words:
            raise ValueError(
                'A vocabulary needs at least one word, but got none. '
                'Is the text empty?'
            )
        counts = collections.Counter([_UNKNOWN, *words])
        if len(counts) <= len(words):
            (word, count), *_ = counts.most_common(1)
            raise ValueError(
                f'The words of a vocabulary are distinct, but {word!r} occurs '
                f'{count} times.'
            )
        self._set((_UNKNOWN, *words), lines)

    @classmethod
    def from_text(
        cls, text: str, num_words: int = 10_000, *, lines: bool = False
    ) -> WordVocabulary:
        """Makes the vocabulary of the most frequent words of a text.

        Args:
            text: The text, not empty.
            num_words: Tokens to know, at most; ' <unk>' comes on top. If the
                text has a newline, that is always one of them.
            lines: Whether the text is lines: see `Vocabulary`.

        Returns:
            A vocabulary in the order of frequency; ties are in the order of
            the first occurrence.

        Raises:
            ValueError: The text is empty, or `num_words` is below 1.
        """
        check_text(text)
        num_words = checks.whole_number('num_words', num_words)
        counts = collections.Counter(_TOKEN.findall(text))
        del counts[_UNKNOWN]
        words = [word for word, _ in counts.most_common(num_words)]
        if '\n' in counts and '\n' not in words:
            words[-1] = '\n'
        return cls(words, lines=lines)

    def encode(self, text: str, unseen: str | None = None) -> np.ndarray:
        """Turns a text into the ids of its tokens.

            >>> vocabulary = WordVocabulary(['The', ' cat'])
            >>> vocabulary.encode('The dog').tolist()
            [1, 0]
            >>> vocabulary.encode('The dog', unseen='skip').tolist()
            [1]

        Args:
            text: Any text; the empty one gives no ids.
            unseen: What becomes of a token that the vocabulary lacks, as for
                `Vocabulary.encode`. None: it is ' <unk>'. (The words 'error'
                and 'skip' mean what they mean there, even if the vocabulary
                has them.)

        Returns:
            ids [N] of type `self.dtype`: one for each token of the text, or
            fewer with 'skip'.

        Raises:
            ValueError: The text has unseen tokens and they are an error, or
                `unseen` is another string.
        """
        replacement = self._replacement(unseen)
        tokens = self.cut(text)
        if replacement is None:
            known = [token for token in tokens if token in self._ids]
            if unseen == 'error' and len(known) < len(tokens):
                raise ValueError(self._describe_unseen(text))
            tokens = known
        ids = (self._ids.get(token, replacement) for token in tokens)
        return np.fromiter(ids, self.dtype, len(tokens))

    def decode(self, ids: npt.ArrayLike) -> str:
        """Turns ids into text: the tokens, one after the other.

        Args:
            ids: As for `Vocabulary.decode`.

        Returns:
            The text.

        Raises:
            TypeError: The ids are not integers.
            ValueError: The ids are not one-dimensional, or one of them is not
                an id of this vocabulary.
        """
        ids = check_ids(ids, len(self))
        return ''.join([self.tokens[id_] for id_ in ids.tolist()])

    def cut(self, text: str) -> list[str]:
        """Cuts a text into tokens, known or not: together they are the text.

        >>> WordVocabulary(['The']).cut('The cat, I said')
        ['The', ' cat', ',', ' I', ' said']

        Args:
            text: Any text.
        """
        check_text(text)
        return _TOKEN.findall(text)

    def count_unseen(self, text: str) -> dict[str, int]:
        """Counts the tokens of a text that are not known.

            >>> WordVocabulary(['The', ' cat']).count_unseen('The dog, The dog')
            {' The': 1, ' dog': 2, ',': 1}

        Args:
            text: Any text.

        Returns:
            How often each of them occurs, sorted.
        """
        counts = collections.Counter(
            token for token in self.cut(text) if token not in self._ids
        )
        return dict(sorted(counts.items()))

    @classmethod
    def _from_tokens(cls, tokens: list, lines: bool) -> WordVocabulary:
        unknown, *words = tokens or [None]
        if unknown != _UNKNOWN:
            raise ValueError(f'its "tokens" do not begin with {_UNKNOWN!r}.')
        return cls(words, lines=lines)

    def __repr__(self) -> str:
        return f'<WordVocabulary of {len(self)} tokens>'

    def _describe_unseen(self, text: str) -> str:
        unseen = [
            (match.group(), match.start())
            for match in _TOKEN.finditer(text)
            if match.group() not in self._ids
        ]
        # The first occurrence is the last one to be entered.
        return self._unseen_error(dict(reversed(unseen)), len(unseen))


KINDS[WordVocabulary._list_name] = WordVocabulary
