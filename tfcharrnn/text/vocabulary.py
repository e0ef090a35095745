"""Vocabulary: characters, or words, to ids and back."""

import collections
import functools
import json
import os
import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy import typing as npt

from tfcharrnn import files

_FORMAT = 'tfcharrnn.vocabulary'
_VERSION = 1
# Every code point on a line of its own, escaped, is 19 MB.
_MAX_FILE_BYTES = 1 << 25
# Characters handled at a time: the scratch arrays then stay in the cache, and
# memory stays at one id per character however long the text is.
_PIECE = 1 << 18
_NUM_NAMED = 5
# A word with the space before it, a mark with it, or white space: each
# character of a text is in exactly one of them.
_UNKNOWN = ' <unk>'
_TOKEN = re.compile(rf"{_UNKNOWN}| ?\w+(?:['\u2019]\w+)*| ?[^\w\s]|\s")


class Vocabulary:
    """The characters that a model knows; a character's id is its position.

        chars      ' ehlnorst'
        text       h  e  l  l  o
        ids        2  1  3  3  5

    A character is a Unicode code point, and all of them are ordinary: there is
    no padding id, no unknown id and no end-of-text id. Encoding and decoding
    are one look-up in a table indexed by code point (encode) or by id (decode).

        >>> vocabulary = Vocabulary.from_text('hello there')
        >>> vocabulary
        Vocabulary(' ehlort')
        >>> vocabulary.encode('hello').tolist()
        [2, 1, 3, 3, 4]
        >>> vocabulary.decode([2, 1, 3, 3, 4])
        'hello'
        >>> vocabulary.dtype
        dtype('uint8')

    A vocabulary does not change once it is made.

    Args:
        chars: The characters in the order of their ids, distinct: a string, or
            strings of one character each.

    Attributes:
        chars: All characters as one string; `chars[i]` has id `i`.

    Raises:
        ValueError: There is no character, one occurs twice, or an item is not
            a single character.
    """

    unit = 'character'  # What an id stands for, in words.
    _list_name = 'characters'  # In the file.

    def __init__(self, chars: Iterable[str]):
        chars = list(chars)
        for char in chars:
            if not isinstance(char, str) or len(char) != 1:
                raise ValueError(
                    f'A vocabulary is made of single characters, but '
                    f'{_shorten(char)} is not one.'
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
        self.chars = ''.join(chars)

    @classmethod
    def from_text(cls, text: str) -> 'Vocabulary':
        """Makes the vocabulary of a text: its distinct characters, sorted.

            >>> Vocabulary.from_text('to be or not to be').chars
            ' benort'

        Args:
            text: The text, not empty.

        Returns:
            A vocabulary, the same for any order of the same characters.

        Raises:
            ValueError: The text is empty.
        """
        _check_text(text)
        return cls(sorted(set(text)))

    @property
    def tokens(self) -> tuple[str, ...]:
        """What the ids stand for, in the order of the ids."""
        return tuple(self.chars)

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned integer type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def encode(self, text: str, unseen: str = 'error') -> np.ndarray:
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
            unseen: What becomes of a character that the vocabulary lacks:
                `'error'`, `'skip'` to leave it out, or one character of the
                vocabulary to put in its place.

        Returns:
            ids [N] of type `self.dtype`: one for each character of the text,
            or fewer with `unseen='skip'`.

        Raises:
            ValueError: The text has unseen characters and `unseen` is
                `'error'`, or `unseen` is none of the above.
        """
        _check_text(text)
        if unseen not in ('error', 'skip') and unseen not in self:
            raise ValueError(
                f'unseen is {_shorten(unseen)}, but it should be "error", '
                f'"skip", or one character of the vocabulary.'
            )
        ids = np.empty(len(text), self.dtype)
        end = 0
        for _, found in self._look_up(text):
            missing = found < 0
            if missing.any():
                if unseen == 'error':
                    raise ValueError(self._describe_unseen(text))
                if unseen == 'skip':
                    found = found[~missing]
                else:
                    found[missing] = self.chars.index(unseen)
            ids[end : end + len(found)] = found
            end += len(found)
        # A copy, so that a short result does not hold on to a long array.
        return ids if end == len(ids) else ids[:end].copy()

    def decode(self, ids: npt.ArrayLike) -> str:
        """Turns ids into characters: the inverse of `encode`.

            >>> Vocabulary(' abc').decode(np.array([3, 1, 2]))
            'cab'

        Args:
            ids: ids [N] of any integer type: a list, a NumPy array (possibly
                memory-mapped) or a tensor.

        Returns:
            The text: N characters.

        Raises:
            TypeError: The ids are not integers.
            ValueError: The ids are not one-dimensional, or one of them is not
                an id of this vocabulary.
        """
        ids = _check_ids(ids, len(self))
        codes = _code_points(self.chars)
        pieces = []
        for start in range(0, len(ids), _PIECE):
            piece = ids[start : start + _PIECE]
            # NumPy takes no uint64 as an index.
            data = codes.take(piece.astype(np.intp, copy=False)).tobytes()
            pieces.append(data.decode('utf-32-le', 'surrogatepass'))
        return ''.join(pieces)

    def count_unseen(self, text: str) -> dict[str, int]:
        """Counts the characters of a text that the vocabulary lacks.

            >>> Vocabulary('abc').count_unseen('abracadabra')
            {'d': 1, 'r': 2}

        Args:
            text: Any text.

        Returns:
            How often each unseen character occurs, sorted by character; empty
            where `encode` has no character to complain of.
        """
        _check_text(text)
        counts = collections.Counter()
        for codes, found in self._look_up(text):
            counts.update(codes[found < 0].tolist())
        return {chr(code): count for code, count in sorted(counts.items())}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the vocabulary to a JSON file.

        The file is there in full or not at all: it is written under another
        name and then renamed.

        Args:
            path: Where to write; a file that is there is replaced.
        """
        # A list, not a string: JSON would read two lone surrogates that stand
        # side by side in a string as one character.
        document = {'format': _FORMAT, 'version': _VERSION}
        document[self._list_name] = list(self.tokens)
        files.write_json(path, document, indent=0)

    @classmethod
    def load(cls, path: str | os.PathLike) -> 'Vocabulary':
        """Reads a vocabulary that `save` wrote.

        The file is data, checked before use, by its SHA-256 too, where it has
        one; nothing in it is executed.

        Args:
            path: The JSON file.

        Returns:
            A vocabulary equal to the one that was saved, and of its class.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file holds no vocabulary, a damaged one, or one
                that a newer version of this library wrote.
        """
        try:
            document = _read_document(path)
            kind = WordVocabulary if 'tokens' in document else Vocabulary
            return kind._from_document(document)
        # RecursionError: JSON that is nested thousands of levels deep.
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"'{os.fspath(path)}' is not a vocabulary file: {error}"
            ) from error

    @classmethod
    def _from_document(cls, document):
        return cls(_read_list(document, cls._list_name))

    def __len__(self) -> int:
        return len(self.chars)

    def __contains__(self, char: object) -> bool:
        return isinstance(char, str) and len(char) == 1 and char in self.chars

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self.tokens == other.tokens

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __repr__(self) -> str:
        return f'Vocabulary({self.chars!r})'

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """Code point -> id, up to one past the largest; -1 where unseen."""
        codes = _code_points(self.chars)
        table = np.full(int(codes.max()) + 2, -1, np.int32)
        table[codes] = np.arange(len(codes))
        return table

    def _look_up(self, text: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the code points and the ids (-1: unseen) piece by piece."""
        for start in range(0, len(text), _PIECE):
            codes = _code_points(text[start : start + _PIECE])
            # Clipping sends what lies beyond the table to its last entry,
            # which is always unseen.
            yield codes, self._table.take(codes, mode='clip')

    def _describe_unseen(self, text: str) -> str:
        start, total, first = 0, 0, {}
        for codes, found in self._look_up(text):
            places = np.flatnonzero(found < 0)
            distinct, index = np.unique(codes[places], return_index=True)
            for code, place in zip(distinct, places[index], strict=True):
                first.setdefault(chr(code), start + int(place))
            start, total = start + len(codes), total + len(places)
        ordered = sorted(first.items(), key=lambda item: item[1])
        named = [f'{char!r} at {place}' for char, place in ordered]
        more = ', ...' if len(named) > _NUM_NAMED else ''
        return (
            f'The text has {total} characters ({len(first)} distinct) that are '
            f'not in the vocabulary, first at position: '
            f'{", ".join(named[:_NUM_NAMED])}{more}. Leave them out with '
            f'unseen="skip", or replace them with unseen="CHARACTER".'
        )


class WordVocabulary(Vocabulary):
    r"""The words that a model knows, and one id for all others.

    A token is a word or a mark with the space before it, or white space:

        text      The cat, as I said, sat.
        tokens    The| cat|,| as| I| said|,| sat|.

    So a text is its tokens, one after the other, and comes back as it was, but
    for the words that are not known: each of them is ' <unk>', id 0. A model
    predicts tokens instead of characters then, and everything that is counted
    in characters (losses, lengths, speeds) is counted in tokens.

        >>> vocabulary = WordVocabulary.from_text('the cat and the dog', 3)
        >>> vocabulary.tokens
        (' <unk>', 'the', ' cat', ' and')
        >>> vocabulary.encode('the dog and the cat').tolist()
        [1, 0, 3, 0, 2]
        >>> vocabulary.decode([1, 0, 3, 0, 2])
        'the <unk> and <unk> cat'

    Args:
        words: The tokens in the order of their ids from 1 on, distinct.

    Raises:
        ValueError: There is no word, one occurs twice, or an item is no token.
    """

    unit = 'token'
    unknown = _UNKNOWN
    _list_name = 'tokens'

    def __init__(self, words: Iterable[str]):
        words = list(words)
        for word in words:
            if not isinstance(word, str) or not _TOKEN.fullmatch(word):
                raise ValueError(
                    f'A vocabulary of words is made of single tokens, but '
                    f'{_shorten(word)} is not one. For the words of a text '
                    f'use WordVocabulary.from_text.'
                )
        if not words:
            raise ValueError(
                'A vocabulary needs at least one word, but got none. '
                'Is the text empty?'
            )
        self._tokens = (self.unknown, *words)
        self._ids = {token: id_ for id_, token in enumerate(self._tokens)}
        if len(self._ids) < len(self._tokens):
            (word, count), *_ = collections.Counter(words).most_common(1)
            raise ValueError(
                f'The words of a vocabulary are distinct, but {word!r} occurs '
                f'{count} times.'
            )

    @classmethod
    def from_text(cls, text: str, num_words: int = 10_000) -> 'WordVocabulary':
        """Makes the vocabulary of the most frequent words of a text.

        Args:
            text: The text, not empty.
            num_words: Tokens to know, at most; with ' <unk>' there is one more.
                The newline is always among them, if there is one.

        Returns:
            A vocabulary in the order of frequency, and where that is the same,
            of the first occurrence.

        Raises:
            ValueError: The text is empty, or `num_words` is not positive.
        """
        _check_text(text)
        if num_words < 1:
            raise ValueError(
                f'`num_words` is {num_words}, but must be 1 or more.'
            )
        counts = collections.Counter(_TOKEN.findall(text))
        del counts[cls.unknown]
        words = [word for word, _ in counts.most_common(num_words)]
        if '\n' in counts and '\n' not in words:
            words[-1] = '\n'
        return cls(words)

    @property
    def tokens(self) -> tuple[str, ...]:
        """What the ids stand for, in the order of the ids."""
        return self._tokens

    def encode(self, text: str, unseen: str = 'error') -> np.ndarray:
        """Turns a text into the ids of its tokens.

        Args:
            text: Any text; the empty one gives no ids.
            unseen: It makes no difference here, where there is an id for all
                words that are not known.

        Returns:
            ids [N] of type `self.dtype`: one for each token.
        """
        del unseen
        _check_text(text)
        tokens = _TOKEN.findall(text)
        ids = (self._ids.get(token, 0) for token in tokens)
        return np.fromiter(ids, self.dtype, len(tokens))

    def decode(self, ids: npt.ArrayLike) -> str:
        """Turns ids into text: the tokens, one after the other.

        Args:
            ids: ids [N] of any integer type.

        Returns:
            The text.

        Raises:
            TypeError: The ids are not integers.
            ValueError: They are not one-dimensional, or one of them is not an
                id of this vocabulary.
        """
        ids = _check_ids(ids, len(self))
        return ''.join([self._tokens[id_] for id_ in ids.tolist()])

    def count_unseen(self, text: str) -> dict[str, int]:
        """Counts the words of a text that are not known.

        Args:
            text: Any text.

        Returns:
            How often each of them occurs, sorted.
        """
        _check_text(text)
        counts = collections.Counter(
            token for token in _TOKEN.findall(text) if token not in self._ids
        )
        return dict(sorted(counts.items()))

    @classmethod
    def _from_document(cls, document):
        unknown, *words = _read_list(document, 'tokens') or [None]
        if unknown != cls.unknown:
            raise ValueError(f'its "tokens" do not begin with {cls.unknown!r}.')
        return cls(words)

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __repr__(self) -> str:
        return f'<WordVocabulary of {len(self)} tokens>'


def _code_points(text: str) -> np.ndarray:
    # A lone surrogate is no valid UTF-32, but it is a character of a str.
    return np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4')


def _check_text(text: str) -> None:
    if not isinstance(text, str):
        raise TypeError(
            f'Expected a text (str), but got {type(text).__name__}.'
        )


def _check_ids(ids: npt.ArrayLike, size: int) -> np.ndarray:
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
            place = int(wrong.argmax())
            raise ValueError(
                f'Id {piece[place]} at position {start + place} is not in '
                f'the vocabulary, whose ids are 0 to {size - 1}. '
                f'Were the ids made with another vocabulary?'
            )
    return ids


def _read_document(path: str | os.PathLike) -> dict:
    """Reads the JSON file of a vocabulary; ValueError if damaged."""
    with open(path, 'rb') as file:
        data = file.read(_MAX_FILE_BYTES + 1)
    if len(data) > _MAX_FILE_BYTES:
        raise ValueError(f'it is larger than {_MAX_FILE_BYTES} bytes.')
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ValueError(f'it does not parse as JSON ({error}).') from error
    if not isinstance(document, dict) or document.get('format') != _FORMAT:
        raise ValueError(f'it has no "format": "{_FORMAT}".')
    version = document.get('version')
    if version != _VERSION:
        raise ValueError(
            f'its version is {_shorten(version)}, but this tfcharrnn reads '
            f'version {_VERSION}. A newer tfcharrnn may read it.'
        )
    files.check_json(document)
    return document


def _read_list(document: dict, name: str) -> list:
    if not isinstance(document.get(name), list):
        raise ValueError(f'its "{name}" are missing or not a list.')
    return document[name]


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f'{text[:40]}...'
