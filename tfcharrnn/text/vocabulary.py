"""Vocabulary: the characters that a model knows, to ids and back."""

from __future__ import annotations

import collections
import copy
import functools
import os
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy import typing as npt

from tfcharrnn import files

_FORMAT = 'tfcharrnn.vocabulary'
_VERSION = 1
_WHAT = 'a vocabulary file'
# Every code point on a line of its own, escaped, is 19 MB.
_MAX_FILE_BYTES = 1 << 25
# Characters handled at a time: the scratch arrays then stay in the cache, and
# memory stays at one id per character however long the text is.
_PIECE = 1 << 18
_NUM_NAMED = 5

_Self = TypeVar('_Self', bound='Vocabulary')


class Vocabulary:
    r"""The characters that a model knows; a character's id is its position.

        tokens     ' ehlnorst'
        text       h  e  l  l  o
        ids        2  1  3  3  5

    A character is a Unicode code point. All of them are ordinary: there is no
    padding id, no unknown id and no end-of-text id. Encoding and decoding are
    one look-up in a table, indexed by code point (encode) or by id (decode).

        >>> vocabulary = Vocabulary.from_text('hello there')
        >>> vocabulary
        Vocabulary(' ehlort')
        >>> vocabulary.encode('hello').tolist()
        [2, 1, 3, 3, 4]
        >>> vocabulary.decode([2, 1, 3, 3, 4])
        'hello'
        >>> vocabulary.dtype
        dtype('uint8')

    Code that takes a vocabulary takes one of words as well
    (`WordVocabulary`): both have the attributes and methods below. A
    vocabulary does not change once it is made. Two vocabularies with the same
    tokens are equal, whatever their `lines`.

    Args:
        chars: The characters in the order of their ids, distinct: a string, or
            strings of one character each.
        lines: Whether each text is a line, which '\n' ends.

    Attributes:
        tokens: What the ids stand for: `tokens[i]` has id `i`.
        lines: Whether each text is a line, which '\n' ends.
        unit: What a token is, in a word, for messages.
        unknown: The token for all that the vocabulary lacks; None, if there is
            no such token.

    Raises:
        ValueError: There is no character, one occurs twice, an item is not a
            single character, or `lines` is set and the newline is missing.
    """

    unit: str = 'character'
    unknown: str | None = None
    _list_name = 'characters'  # In the file.

    def __init__(self, chars: Iterable[str], *, lines: bool = False):
        chars = tuple(chars)
        for char in chars:
            if not isinstance(char, str) or len(char) != 1:
                raise ValueError(
                    f'A vocabulary is made of single characters, but '
                    f'{files.shorten(char)} is not one.'
                )
        if not chars:
            raise ValueError(
                'A vocabulary needs at least one character, but got none. '
                'Is the text empty?'
            )
        if len(set(chars)) < len(chars):
            (char, count), *_ = collections.Counter(chars).most_common(1)
            raise ValueError(
                f'The characters of a vocabulary are distinct, but {char!r} '
                f'occurs {count} times. For the characters of a text use '
                f'Vocabulary.from_text.'
            )
        self._set(chars, lines)

    @classmethod
    def from_text(cls, text: str, *, lines: bool = False) -> Vocabulary:
        """Makes the vocabulary of a text: its distinct characters, sorted.

            >>> Vocabulary.from_text('to be or not to be')
            Vocabulary(' benort')

        Args:
            text: The text, not empty.
            lines: Whether the text is lines: see `Vocabulary`.

        Returns:
            A vocabulary, the same for any order of the same characters.

        Raises:
            ValueError: The text is empty.
        """
        check_text(text)
        return cls(sorted(set(text)), lines=lines)

    def with_lines(self: _Self, lines: bool) -> _Self:
        r"""Returns this vocabulary for texts that are lines, or that are not.

            >>> Vocabulary('\nab').with_lines(True).lines
            True

        Args:
            lines: The value of the attribute `lines`.

        Returns:
            This vocabulary if its `lines` has that value, else a copy.

        Raises:
            ValueError: `lines` is set, and the newline is missing.
        """
        if lines == self.lines:
            return self
        other = copy.copy(self)
        other._set(self.tokens, lines)
        return other

    def _set(self, tokens: tuple[str, ...], lines: bool) -> None:
        if lines and '\n' not in tokens:
            raise ValueError(
                'The vocabulary lacks the newline, which marks the end of a '
                'line. Make it from the lines joined by newlines.'
            )
        self.tokens = tokens
        self.lines = bool(lines)

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned integer type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def encode(self, text: str, unseen: str | None = None) -> np.ndarray:
        """Turns characters into ids.

            >>> vocabulary = Vocabulary(' abc')
            >>> vocabulary.encode('cab').tolist()
            [3, 1, 2]
            >>> vocabulary.encode('cXb', unseen='skip').tolist()
            [3, 2]
            >>> vocabulary.encode('cXb', unseen=' ').tolist()
            [3, 0, 2]

        Args:
            text: Any text; the empty one gives no ids.
            unseen: What becomes of a token that the vocabulary lacks: 'error',
                'skip' to leave it out, or a token of the vocabulary to put in
                its place. None: `unknown`, or an error without one.

        Returns:
            ids [N] of type `self.dtype`: one for each token of the text, or
            fewer with 'skip'.

        Raises:
            ValueError: The text has unseen tokens and they are an error, or
                `unseen` is another string.
        """
        check_text(text)
        replacement = self._replacement(unseen)
        ids = np.empty(len(text), self.dtype)
        end = 0
        for _, found in self._find(text):
            missing = found < 0
            if missing.any():
                if replacement is not None:
                    found[missing] = replacement
                elif unseen == 'skip':
                    found = found[~missing]
                else:
                    raise ValueError(self._describe_unseen(text))
            ids[end : end + len(found)] = found
            end += len(found)
        # A copy, so that a short result does not hold on to a long array.
        return ids if end == len(ids) else ids[:end].copy()

    def decode(self, ids: npt.ArrayLike) -> str:
        """Turns ids into text: the inverse of `encode`.

            >>> Vocabulary(' abc').decode(np.array([3, 1, 2]))
            'cab'

        Args:
            ids: ids [N] of any integer type: a list, a NumPy array (possibly
                memory-mapped) or a tensor.

        Returns:
            The text: N tokens, one after the other.

        Raises:
            TypeError: The ids are not integers.
            ValueError: The ids are not one-dimensional, or one of them is not
                an id of this vocabulary.
        """
        ids = check_ids(ids, len(self))
        pieces = []
        for start in range(0, len(ids), _PIECE):
            piece = ids[start : start + _PIECE]
            # NumPy takes no uint64 as an index.
            codes = self._codes.take(piece.astype(np.intp, copy=False))
            pieces.append(codes.tobytes().decode('utf-32-le', 'surrogatepass'))
        return ''.join(pieces)

    def cut(self, text: str) -> list[str]:
        """Cuts a text into tokens, known or not: together they are the text."""
        return list(text)

    def count_unseen(self, text: str) -> dict[str, int]:
        """Counts the tokens of a text that the vocabulary lacks.

            >>> Vocabulary('abc').count_unseen('abracadabra')
            {'d': 1, 'r': 2}

        Args:
            text: Any text.

        Returns:
            How often each unseen token occurs, sorted by token; empty if
            `encode(text, 'error')` raises nothing.
        """
        check_text(text)
        counts = collections.Counter()
        for codes, found in self._find(text):
            counts.update(codes[found < 0].tolist())
        return {chr(code): count for code, count in sorted(counts.items())}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the vocabulary to a JSON file: in full, or not at all.

        Args:
            path: Where to write; an existing file is replaced.
        """
        files.write_document(
            path, self.to_json(), format=_FORMAT, version=_VERSION, indent=0
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> Vocabulary:
        """Reads a vocabulary that `save` wrote.

        The file is data, checked before use; nothing in it is executed.

        Args:
            path: The JSON file.

        Returns:
            A vocabulary equal to the one that was saved, of the same class and
            with the same `lines`.

        Raises:
            FileNotFoundError: The file is missing.
            ValueError: The file holds no vocabulary, a damaged one, or one
                that a newer version of this library wrote.
        """
        document = files.read_document(
            path, _FORMAT, _VERSION, what=_WHAT, max_bytes=_MAX_FILE_BYTES
        )
        try:
            return from_json(document)
        except ValueError as error:
            raise files.damaged(path, error, what=_WHAT) from error

    def to_json(self) -> dict[str, Any]:
        """Returns what a file says of this vocabulary.

        >>> Vocabulary('abc').to_json()
        {'characters': ['a', 'b', 'c']}
        """
        # A list, not a string: JSON would read two lone surrogates that stand
        # side by side in a string as one character.
        document: dict[str, Any] = {'lines': True} if self.lines else {}
        return {**document, self._list_name: list(self.tokens)}

    @classmethod
    def _from_tokens(cls, tokens: list, lines: bool) -> Vocabulary:
        return cls(tokens, lines=lines)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return isinstance(token, str) and token in self._ids

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        lines = ', lines=True' if self.lines else ''
        return f'Vocabulary({"".join(self.tokens)!r}{lines})'

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {token: id_ for id_, token in enumerate(self.tokens)}

    @functools.cached_property
    def _codes(self) -> np.ndarray:
        """The code point of each id."""
        return _code_points(''.join(self.tokens))

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """Code point -> id, up to one past the largest; -1 where unseen."""
        table = np.full(int(self._codes.max()) + 2, -1, np.int32)
        table[self._codes] = np.arange(len(self))
        return table

    def _find(self, text: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the code points and the ids (-1: unseen) piece by piece."""
        for start in range(0, len(text), _PIECE):
            codes = _code_points(text[start : start + _PIECE])
            # Clipping sends what lies beyond the table to its last entry,
            # which is always unseen.
            yield codes, self._table.take(codes, mode='clip')

    def _replacement(self, unseen: str | None) -> int | None:
        """Returns the id for unseen tokens; None: they are skipped, or wrong.

        Raises:
            ValueError: `unseen` is not one of the values that `encode` takes.
        """
        if unseen is None:
            unseen = self.unknown or 'error'
        if unseen in ('error', 'skip'):
            return None
        if unseen not in self:
            raise ValueError(
                f'`unseen` is {files.shorten(unseen)}, but must be None, '
                f'"error", "skip" or one {self.unit} of the vocabulary.'
            )
        return self._ids[unseen]

    def _describe_unseen(self, text: str) -> str:
        start, total, first = 0, 0, {}
        for codes, found in self._find(text):
            positions = np.flatnonzero(found < 0)
            distinct, index = np.unique(codes[positions], return_index=True)
            for code, at in zip(distinct, positions[index], strict=True):
                first.setdefault(chr(code), start + int(at))
            start, total = start + len(codes), total + len(positions)
        return self._unseen_error(first, total)

    def _unseen_error(self, first: dict[str, int], total: int) -> str:
        """Says which tokens are unseen, by where each first occurs."""
        ordered = sorted(first.items(), key=lambda item: item[1])
        named = [f'{token!r} at {position}' for token, position in ordered]
        more = ', ...' if len(named) > _NUM_NAMED else ''
        return (
            f'The text has {total} {self.unit}s ({len(first)} distinct) that '
            f'are not in the vocabulary, first at position: '
            f'{", ".join(named[:_NUM_NAMED])}{more}. Leave them out with '
            f'unseen="skip", or replace them with '
            f'unseen="{self.unit.upper()}".'
        )


# The classes that `load` makes, by the name of their list in the file. That of
# words enters itself, whenever `tfcharrnn.text` is imported.
KINDS: dict[str, type[Vocabulary]] = {Vocabulary._list_name: Vocabulary}


def from_json(document: dict[str, Any]) -> Vocabulary:
    """Makes the vocabulary that `Vocabulary.to_json` described.

        >>> from_json({'characters': ['a', 'b']})
        Vocabulary('ab')

    Args:
        document: A JSON object, of any origin.

    Raises:
        ValueError: It describes no vocabulary.
    """
    kinds = (kind for name, kind in KINDS.items() if name in document)
    kind = next(kinds, Vocabulary)
    tokens = document.get(kind._list_name)
    if not isinstance(tokens, list):
        raise ValueError(f'its "{kind._list_name}" are missing or not a list.')
    lines = document.get('lines', False)
    if not isinstance(lines, bool):
        raise ValueError('its "lines" are neither true nor false.')
    return kind._from_tokens(tokens, lines)


def _code_points(text: str) -> np.ndarray:
    # A lone surrogate is not valid UTF-32, but a str may hold one.
    return np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4')


def check_text(text: str) -> None:
    """Raises TypeError if a text is not a str."""
    if not isinstance(text, str):
        raise TypeError(
            f'Expected a text (str), but got {type(text).__name__}.'
        )


def check_ids(ids: npt.ArrayLike, size: int) -> np.ndarray:
    """Returns ids [N] as an array, if each of them is below `size`."""
    ids = np.asarray(ids)
    if ids.ndim != 1:
        raise ValueError(
            f'decode takes ids of shape [N], but got shape '
            f'{list(ids.shape)}. Decode one row at a time.'
        )
    if not ids.size:  # An empty list has no integer type.
        return np.empty(0, np.uint8)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(
            f'decode takes integers, but got ids of type {ids.dtype}.'
        )
    for start in range(0, len(ids), _PIECE):
        piece = ids[start : start + _PIECE]
        wrong = (piece < 0) | (piece >= size)
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f'Id {piece[first]} at position {start + first} is not in '
                f'the vocabulary, whose ids are 0 to {size - 1}. '
                f'Were the ids made with another vocabulary?'
            )
    return ids
