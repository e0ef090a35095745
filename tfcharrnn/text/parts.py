"""Parts of a text as ids, and the vocabulary of these ids."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from tfcharrnn.text import idfile
from tfcharrnn.text.large_text import LargeText
from tfcharrnn.text.splitting import PARTS, find_ends
from tfcharrnn.text.vocabulary import Vocabulary

# A vocabulary, or what makes one of the training part; None for its characters.
AnyVocabulary = Vocabulary | Callable[[str], Vocabulary] | None

_NUM_NAMED = 10


class Parts(NamedTuple):
    """The fields of a `Corpus`, but for its source."""

    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    unseen: dict[str, int]


def encode_parts(
    texts: Mapping[str, str], vocabulary: AnyVocabulary, *, lines: bool
) -> Parts:
    """Turns the parts of a text into ids.

    >>> parts = encode_parts({'train': 'banana'}, None, lines=False)
    >>> parts.train.tolist()
    [1, 0, 2, 0, 2, 0]

    Args:
        texts: The text of each part; a part that is left out is empty.
        vocabulary: As in `Corpus.load`.
        lines: Whether the text is lines.

    Returns:
        The parts; tokens without an id are left out of them.

    Raises:
        ValueError: Nothing is left of a part, or the training part has a single
            distinct character.
        TypeError: The vocabulary is not a Vocabulary.
    """
    is_given = isinstance(vocabulary, Vocabulary)
    if vocabulary is None:
        vocabulary = _from_characters(texts['train'], lines=lines)
    elif callable(vocabulary):
        vocabulary = vocabulary(texts['train'])
    if not isinstance(vocabulary, Vocabulary):
        raise TypeError(
            f'`vocabulary` is of type {type(vocabulary).__name__}, but must be '
            f'a Vocabulary. Vocabulary.load reads a file.'
        )
    vocabulary = vocabulary.with_lines(lines)
    ids, unseen = {}, collections.Counter()
    for part in PARTS:
        text = texts.get(part, '')
        ids[part], counts = _encode(text, vocabulary, part, is_given)
        unseen.update(counts)
    return Parts(vocabulary, **ids, unseen=dict(unseen))


def map_parts(
    text: LargeText,
    fractions: Sequence[float],
    vocabulary: Vocabulary | None,
    source: str,
) -> Parts:
    """Maps the parts of a large text into memory, as characters.

    The ids are written to an id file, unless it is there.

    Args:
        text: The text.
        fractions: The fractions of the parts.
        vocabulary: A vocabulary of characters; None for those of the training
            part.
        source: Where the text came from, for the error.

    Returns:
        The parts.

    Raises:
        OSError: A file cannot be read, or the disk is full.
        ValueError: A part is empty, or the text changes meanwhile.
    """
    digest = text.digest()
    path = idfile.path_of([*text.key, fractions, None])
    ids = idfile.load(path, digest)
    if vocabulary is not None:
        vocabulary = vocabulary.with_lines(False)
        if ids is None or ids.chars != list(vocabulary.tokens):
            known = ''.join(vocabulary.tokens)
            path = idfile.path_of([*text.key, fractions, known])
            ids = idfile.load(path, digest)
    if ids is None:
        length, first = idfile.survey(text.read(1))
        if not length:
            raise ValueError(f"There is no text in '{source}'.")
        ends = find_ends(length, fractions)
        if vocabulary is None:
            chars = [char for char in first if first[char] < ends[0]]
            vocabulary = _from_characters(''.join(chars), lines=False)
        idfile.write(path, digest, text.read_same(digest), vocabulary, ends)
        ids = idfile.load(path, digest)
        if ids is None:
            raise OSError(
                f"'{path}.ids' was damaged while it was written. Check the "
                f'disk, and start again.'
            )
    if vocabulary is None:
        vocabulary = Vocabulary(ids.chars)
    unseen = collections.Counter()
    for part, some, counts in zip(PARTS, ids.parts, ids.unseen, strict=True):
        _check_unseen(part, len(some), counts)
        unseen.update(counts)
    train, valid, test = ids.parts
    return Parts(vocabulary, train, valid, test, dict(unseen))


def _from_characters(text: str, *, lines: bool) -> Vocabulary:
    vocabulary = Vocabulary.from_text(text, lines=lines)
    if len(vocabulary) == 1:
        raise ValueError(
            f'The training part has only one distinct character, '
            f'{vocabulary.tokens[0]!r}, so there is nothing to predict. Use a '
            f'longer text.'
        )
    return vocabulary


def _encode(
    text: str,
    vocabulary: Vocabulary,
    part: str,
    is_given: bool,
) -> tuple[np.ndarray, dict[str, int]]:
    """Returns the ids of a part and the counts of what was left out of it."""
    unseen = vocabulary.count_unseen(text)
    if vocabulary.unknown is None:
        ids = vocabulary.encode(text, unseen='skip')
        _check_unseen(part, len(ids), unseen)
        return ids, unseen
    ids = vocabulary.encode(text)
    if unseen:
        logging.log(
            logging.WARNING if is_given else logging.INFO,
            '%d of the %d %ss of the %s part are not known, and read as%s.',
            sum(unseen.values()),
            len(ids),
            vocabulary.unit,
            part,
            vocabulary.unknown,
        )
    return ids, unseen


def _check_unseen(part: str, num_seen: int, unseen: dict[str, int]) -> None:
    """Warns of characters that are left out of a part; refuses to lose all."""
    if unseen and not num_seen:
        raise ValueError(
            f'No character of the {part} part is in the vocabulary, so nothing '
            f'is left of it. Use a longer text, another split, or the '
            f'vocabulary that belongs to the text.'
        )
    if unseen:
        frequent = sorted(unseen, key=unseen.__getitem__, reverse=True)[
            :_NUM_NAMED
        ]
        logging.warning(
            'The vocabulary lacks %d of the %d characters of the %s part (%d '
            'distinct); they are left out: %s%s',
            sum(unseen.values()),
            num_seen + sum(unseen.values()),
            part,
            len(unseen),
            ', '.join(f'{char!r} {unseen[char]} times' for char in frequent),
            ', ...' if len(unseen) > len(frequent) else '',
        )
