"""Corpus: a text as ids, split."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from tfcharrnn.text import idfile, sources
from tfcharrnn.text import vocabulary as vocabulary_lib

# A vocabulary, or what makes one of the training part; None for its characters.
AnyVocabulary = (
    vocabulary_lib.Vocabulary
    | Callable[[str], vocabulary_lib.Vocabulary]
    | None
)

_PARTS = ('train', 'valid', 'test')
_DEFAULT_SPLIT = (0.9, 0.1, 0.0)
_NUM_NAMED = 10


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """A text as ids, cut into a training, a validation and a test part.

        characters   0                          1,003,854       1,115,394
                     |---------- train ----------|---- valid ----|

    The parts are contiguous and in this order; every character is in exactly
    one of them. The vocabulary is made from the training part alone, as nothing
    else is known when a model is trained. A character that occurs only in
    another part has no id and no model could predict it (its loss would be
    infinite), so it is left out, as if the text did not have it: the loss of a
    part is that of the characters that are left. How many were left out is
    logged as a warning and kept in `unseen`. A vocabulary that is passed in is
    held to in the same way, in all parts.

        >>> corpus = Corpus.from_text('to be, or not to be', (0.7, 0.3, 0.0))
        >>> corpus
        <Corpus text: 8 distinct characters; 13 train, 6 valid, 0 test>
        >>> corpus.vocabulary.decode(corpus.valid)
        ' to be'

    Attributes:
        vocabulary: The `Vocabulary` of the training part, or the one passed.
        train: ids [N] of type `vocabulary.dtype`, possibly memory-mapped.
        valid: ids of the validation part; may be empty.
        test: ids of the test part; may be empty.
        source: Where the text came from, in words.
        unseen: How often each character that the vocabulary lacks occurs in
            the text, all parts together.
    """

    vocabulary: vocabulary_lib.Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    source: str = 'text'
    unseen: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(
        cls,
        source: sources.Source | Mapping[str, sources.Source],
        split: Sequence[float] = _DEFAULT_SPLIT,
        *,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
        encoding: str = 'utf-8',
        normalize_newlines: bool = False,
        report: Callable[[float], None] | None = None,
    ) -> 'Corpus':
        r"""Reads a text from where it is, splits it and turns it into ids.

            corpus = Corpus.load('book.txt')  # 90 % train, 10 % valid
            corpus = Corpus.load(['a.txt', 'b/*.txt.gz'], (0.8, 0.1, 0.1))
            corpus = Corpus.load({'train': 'a.txt', 'valid': 'b.txt'})
            corpus = Corpus.load('shakespeare')

        A source is one of:

            'python'                    the language reference inside CPython
            'shakespeare', 'nietzsche'  downloaded once, verified, then cached
            '-'                         standard input
            a path or a glob            `.gz` is decompressed; `**` goes deeper
            a list or tuple             of the above, one after the other

        A name wins over a file of that name, so that a command means the same
        in every folder; `./shakespeare` or `pathlib.Path('shakespeare')` is the
        file. The files of a glob are read in sorted order. Texts follow each
        other with nothing in between; a byte order mark before a text is
        dropped. A file that occurs twice is an error, as the same text could
        then be trained on and validated on.

        Files of more than 64 MiB together (as they lie on the disk) do not have
        to fit in memory: their ids are written to a file in a cache, see
        `idfile`, and mapped. That is done once, as long as neither the files
        nor the arguments change. (Not so for a mapping, nor for words.)

        Args:
            source: A source, or a mapping that gives each of 'train', 'valid'
                and 'test' a source of its own ('train' must be there).
            split: The fractions of the characters in the training, validation
                and test part; they add up to 1. Not with a mapping.
            vocabulary: Use this one instead of the characters of the training
                part; or a function that makes one of the training part, such
                as `WordVocabulary.from_text`.
            lowercase: Whether to turn the text into lower case.
            encoding: How the bytes of files and standard input are read.
            normalize_newlines: Whether to turn `\r\n` and `\r` into `\n`.
            report: Called now and then, while the ids of large files are
                written, with the share of the work that is done.

        Returns:
            The corpus.

        Raises:
            OSError: A file is missing or cannot be read, a download failed, or
                there is no room for the ids of a large one.
            ValueError: The bytes are not in this encoding, the split is none,
                or a part is empty.
        """
        _check_split(source, split)
        named = isinstance(source, Mapping)
        given = source if named else {'text': source}
        files = {part: sources.expand(given[part]) for part in given}
        sources.check_distinct(
            [file for part in files.values() for file in part]
        )
        by_characters = getattr(vocabulary, 'unit', '') == 'character'
        by_characters |= vocabulary is None
        if not named and by_characters and sources.are_large(files['text']):
            text = sources.LargeText(
                files['text'], encoding, lowercase, normalize_newlines, report
            )
            return cls._map(text, split, vocabulary, sources.describe(source))
        texts = {}
        for part in files:
            texts[part] = ''.join(
                sources.read(file, encoding) for file in files[part]
            )
            if not texts[part]:
                raise ValueError(
                    f"There is no text in '{sources.describe(given[part])}'."
                )
        corpus = cls.from_text(
            texts if named else texts['text'],
            split,
            vocabulary=vocabulary,
            lowercase=lowercase,
            normalize_newlines=normalize_newlines,
        )
        return dataclasses.replace(corpus, source=sources.describe(source))

    @classmethod
    def from_text(
        cls,
        text: str | Mapping[str, str],
        split: Sequence[float] = _DEFAULT_SPLIT,
        *,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
        normalize_newlines: bool = False,
    ) -> 'Corpus':
        """Splits a text that is in memory and turns it into ids.

            >>> corpus = Corpus.from_text({'train': 'banana', 'valid': 'anna'})
            >>> corpus.train.tolist(), corpus.valid.tolist()
            ([1, 0, 2, 0, 2, 0], [0, 2, 2, 0])

        Args:
            text: The text, or a mapping that gives each of 'train', 'valid' and
                'test' a text of its own.
            split: As in `load`.
            vocabulary: As in `load`.
            lowercase: As in `load`.
            normalize_newlines: As in `load`.

        Returns:
            The corpus.

        Raises:
            ValueError: The split is none, or a part is empty.
            TypeError: The text is no str, or the vocabulary no Vocabulary.
        """
        fractions = _check_split(text, split)
        named = isinstance(text, Mapping)
        texts = {
            part: sources.normalize(raw, lowercase, normalize_newlines)
            for part, raw in (text if named else {'text': text}).items()
        }
        parts = texts if named else _cut(texts['text'], fractions)
        return cls._from_parts(parts, vocabulary)

    @classmethod
    def load_lines(
        cls,
        source: sources.Source,
        split: Sequence[float] = _DEFAULT_SPLIT,
        *,
        csv_column: int | None = None,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
        encoding: str = 'utf-8',
    ) -> 'Corpus':
        """Reads many short texts: one a line, or one a record of a CSV file.

            corpus = Corpus.load_lines('headlines.txt')
            corpus = Corpus.load_lines('ag_news.csv', csv_column=2)
            train = data.lines(corpus.lines('train'), corpus.vocabulary, 64)

        A line ends with a newline, which also is a character of the text. It is
        in one part as a whole. Lines that are empty are left out. A field of a
        CSV file (RFC 4180: quoted where it holds a comma, a quote or a line
        end) is put on one line; a first record of names is a line as well.
        All of it is held in memory.

        Args:
            source: As in `load`.
            split: The fractions of the lines in each part; they add up to 1.
            csv_column: The number of a column, from 1 on; None for text.
            vocabulary: As in `load`.
            lowercase: As in `load`.
            encoding: As in `load`.

        Returns:
            The corpus.

        Raises:
            OSError: As in `load`.
            ValueError: As in `load`, or the CSV has no such column.
        """
        lines = []
        files = sources.expand(source)
        sources.check_distinct(files)
        for file in files:
            text = sources.read(file, encoding)
            if csv_column is None:
                text = sources.normalize_newlines(text)
                lines += text.split('\n')
            else:
                lines += sources.read_column(text, csv_column, str(file))
        if not any(lines):
            raise ValueError(
                f"There is no line in '{sources.describe(source)}'."
            )
        corpus = cls.from_lines(
            lines, split, vocabulary=vocabulary, lowercase=lowercase
        )
        return dataclasses.replace(corpus, source=sources.describe(source))

    @classmethod
    def from_lines(
        cls,
        lines: Iterable[str],
        split: Sequence[float] = _DEFAULT_SPLIT,
        *,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
    ) -> 'Corpus':
        """Splits short texts that are in memory and turns them into ids.

            >>> corpus = Corpus.from_lines(['ab', 'ba', 'b'], (0.7, 0.3, 0.0))
            >>> corpus.lines('train'), corpus.lines('valid')
            (['ab', 'ba'], ['b'])

        Args:
            lines: The texts; none has a newline in it.
            split: As in `load_lines`.
            vocabulary: As in `load`.
            lowercase: As in `load`.

        Returns:
            The corpus.

        Raises:
            ValueError: A line has a newline in it, the split is none, or a
                part is empty.
            TypeError: A line is no str, or the vocabulary no Vocabulary.
        """
        fractions = _check_split(lines, split)
        lines = [line for line in sources.check_lines(lines) if line]
        parts = {
            part: sources.normalize(
                ''.join(f'{line}\n' for line in some), lowercase
            )
            for part, some in _cut(lines, fractions).items()
            if some
        }
        return cls._from_parts(parts, vocabulary)

    def lines(self, part: str) -> list[str]:
        """Returns the lines of a part, without their ends.

        Args:
            part: 'train', 'valid' or 'test'.

        Returns:
            The lines that are not empty.
        """
        text = self.vocabulary.decode(getattr(self, part))
        return [line for line in text.split('\n') if line]

    @classmethod
    def _map(cls, text, split, vocabulary, source):
        """Makes the corpus of a text that need not fit in memory."""
        fractions = _check_split(source, split)
        digest = text.digest()
        path = idfile.path_of([*text.key, fractions, None])
        ids = idfile.load(path, digest)
        if vocabulary is not None and (
            ids is None or ids.chars != list(vocabulary.chars)
        ):
            path = idfile.path_of([*text.key, fractions, vocabulary.chars])
            ids = idfile.load(path, digest)
        if ids is None:
            length, first = idfile.survey(text.read(1))
            if not length:
                raise ValueError(f"There is no text in '{source}'.")
            ends = _find_ends(length, fractions)
            if vocabulary is None:
                chars = [char for char in first if first[char] < ends[0]]
                vocabulary = _make_vocabulary(''.join(chars))
            idfile.write(path, digest, text.read_same(digest), vocabulary, ends)
            ids = idfile.load(path, digest)
        if vocabulary is None:
            vocabulary = vocabulary_lib.Vocabulary(ids.chars)
        unseen = collections.Counter()
        for part, some, counts in zip(
            _PARTS, ids.parts, ids.unseen, strict=True
        ):
            _check_unseen(part, len(some), counts)
            unseen.update(counts)
        return cls(vocabulary, *ids.parts, source, dict(unseen))

    @classmethod
    def _from_parts(cls, parts, vocabulary):
        is_given = isinstance(vocabulary, vocabulary_lib.Vocabulary)
        if vocabulary is None:
            vocabulary = _make_vocabulary(parts['train'])
        elif callable(vocabulary):
            vocabulary = vocabulary(parts['train'])
        if not isinstance(vocabulary, vocabulary_lib.Vocabulary):
            raise TypeError(
                f'vocabulary should be a Vocabulary, but got '
                f'{type(vocabulary).__name__}. Vocabulary.load reads a file.'
            )
        ids, unseen = {}, collections.Counter()
        for part in _PARTS:
            text = parts.get(part, '')
            ids[part], counts = _encode(text, vocabulary, part, is_given)
            unseen.update(counts)
        return cls(vocabulary, **ids, unseen=dict(unseen))

    def __repr__(self) -> str:
        sizes = ', '.join(
            f'{len(getattr(self, part))} {part}' for part in _PARTS
        )
        return (
            f'<Corpus {self.source}: {len(self.vocabulary)} distinct '
            f'{self.vocabulary.unit}s; {sizes}>'
        )


def _check_split(source: object, split: Sequence[float]) -> list[float]:
    """Checks that the parts are given by fractions or by a mapping."""
    try:
        fractions = [float(fraction) for fraction in split]
    except (TypeError, ValueError):
        fractions = []
    if (
        len(fractions) != len(_PARTS)
        or not all(0 <= fraction <= 1 for fraction in fractions)
        or not math.isclose(sum(fractions), 1, abs_tol=1e-6)
        or not fractions[0]
    ):
        raise ValueError(
            f'split is {split!r}, but it should be the three fractions (train, '
            f'valid, test) of the text, which add up to 1, with train above 0: '
            f'for instance (0.9, 0.1, 0.0).'
        )
    if not isinstance(source, Mapping):
        return fractions
    if 'train' not in source or not set(source) <= set(_PARTS):
        raise ValueError(
            f'The parts are {list(source)}, but they should be "train" and '
            f'possibly "valid" and "test".'
        )
    if fractions != list(_DEFAULT_SPLIT):
        raise ValueError(
            'Each part is given a text of its own, so there is nothing to '
            'split. Leave out `split`, or pass a single text.'
        )
    return fractions


def _cut(text: Sequence, fractions: Sequence[float]) -> dict[str, Sequence]:
    """Cuts a text, or lines, into parts; nothing is lost or used twice."""
    what = 'characters' if isinstance(text, str) else 'lines'
    ends = _find_ends(len(text), fractions, what)
    starts = [0, *ends]
    return {
        part: text[start:end]
        for part, start, end in zip(_PARTS, starts, ends, strict=False)
    }


def _find_ends(
    length: int, fractions: Sequence[float], what: str = 'characters'
) -> list[int]:
    """Returns where each part of a text ends."""
    ends, total = [0], 0.0
    for part, fraction in zip(_PARTS, fractions, strict=True):
        total += fraction
        # Rounded down, though 0.7 + 0.1 is 0.7999...; divided by the sum, so
        # that the last part ends where the text ends.
        ends.append(int(length * (total / sum(fractions)) + 1e-6))
        if fraction and ends[-1] == ends[-2]:
            raise ValueError(
                f'The text is too short: {fraction:g} of its {length} '
                f'{what} leaves nothing for the {part} part. Use a longer '
                f'text or another `split`.'
            )
    return ends[1:]


def _make_vocabulary(text: str) -> vocabulary_lib.Vocabulary:
    vocabulary = vocabulary_lib.Vocabulary.from_text(text)
    if len(vocabulary) == 1:
        raise ValueError(
            f'The training part has only one distinct character, '
            f'{vocabulary.chars!r}, so there is nothing to predict. Use a '
            f'longer text.'
        )
    return vocabulary


def _encode(
    text: str,
    vocabulary: vocabulary_lib.Vocabulary,
    part: str,
    is_given: bool,
) -> tuple[np.ndarray, dict[str, int]]:
    """Returns the ids of a part and the counts of what was left out of it."""
    unseen = vocabulary.count_unseen(text)
    ids = vocabulary.encode(text, unseen='skip')
    if vocabulary.unit == 'character':
        _check_unseen(part, len(ids), unseen)
    elif unseen:
        logging.log(
            logging.WARNING if is_given else logging.INFO,
            '%d of the %d tokens of the %s part are not known, and read as%s.',
            sum(unseen.values()),
            len(ids),
            part,
            vocabulary.decode([0]),
        )
    return ids, unseen


def _check_unseen(part: str, num_seen: int, unseen: dict[str, int]) -> None:
    """Warns of characters that are left out of a part; not of all of them."""
    if unseen and not num_seen:
        raise ValueError(
            f'No character of the {part} part is in the vocabulary, so nothing '
            f'is left of it. Use a longer text, another split, or the '
            f'vocabulary that belongs to the text.'
        )
    if unseen:
        frequent = sorted(unseen, key=unseen.get, reverse=True)[:_NUM_NAMED]
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
