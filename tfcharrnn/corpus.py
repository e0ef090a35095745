"""Corpus: text from files, standard input or the network, as ids, split."""

import codecs
import collections
import contextlib
import csv
import dataclasses
import glob
import gzip
import hashlib
import io
import math
import os
import pathlib
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from absl import logging

from tfcharrnn import idfile
from tfcharrnn import vocabulary as vocabulary_lib

# What a text is read from; `Corpus.load` says what the strings mean.
Source = str | os.PathLike | Sequence[str | os.PathLike]
# A vocabulary, or what makes one of the training part; None for its characters.
AnyVocabulary = (
    vocabulary_lib.Vocabulary
    | Callable[[str], vocabulary_lib.Vocabulary]
    | None
)

_PARTS = ('train', 'valid', 'test')
_DEFAULT_SPLIT = (0.9, 0.1, 0.0)
_NUM_NAMED = 10
_TIMEOUT_SECONDS = 30
# Files that together are larger are read piece by piece, and their ids mapped.
LARGE = 1 << 26  # bytes
_PIECE = 1 << 20  # bytes
_LONGEST_WORD = 1 << 16  # characters


class NamedText(NamedTuple):
    """A text on the network that goes by a name."""

    url: str
    sha256: str
    num_bytes: int


NAMED_TEXTS = {
    'shakespeare': NamedText(
        'https://storage.googleapis.com/download.tensorflow.org/data/'
        'shakespeare.txt',
        '86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed',
        1_115_394,
    ),
    'nietzsche': NamedText(
        'https://s3.amazonaws.com/text-datasets/nietzsche.txt',
        '9cb94a5f1f8d1359e2e018fa67306eba4ae03942b8c44643eececded39e096df',
        600_901,
    ),
}


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
        source: Source | Mapping[str, Source],
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
        sources = source if named else {'text': source}
        files = {part: _expand(sources[part]) for part in sources}
        _check_distinct([file for part in files.values() for file in part])
        by_characters = getattr(vocabulary, 'unit', '') == 'character'
        by_characters |= vocabulary is None
        if not named and by_characters and _are_large(files['text']):
            text = _LargeText(
                files['text'], encoding, lowercase, normalize_newlines, report
            )
            return cls._map(text, split, vocabulary, _describe(source))
        texts = {}
        for part in files:
            texts[part] = ''.join(_read(file, encoding) for file in files[part])
            if not texts[part]:
                raise ValueError(
                    f"There is no text in '{_describe(sources[part])}'."
                )
        corpus = cls.from_text(
            texts if named else texts['text'],
            split,
            vocabulary=vocabulary,
            lowercase=lowercase,
            normalize_newlines=normalize_newlines,
        )
        return dataclasses.replace(corpus, source=_describe(source))

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
            part: _normalize(raw, lowercase, normalize_newlines)
            for part, raw in (text if named else {'text': text}).items()
        }
        parts = texts if named else _cut(texts['text'], fractions)
        return cls._from_parts(parts, vocabulary)

    @classmethod
    def load_lines(
        cls,
        source: Source,
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
        files = _expand(source)
        _check_distinct(files)
        for file in files:
            text = _read(file, encoding)
            if csv_column is None:
                text = _normalize_newlines(text)
                lines += text.split('\n')
            else:
                lines += _read_column(text, csv_column, str(file))
        if not any(lines):
            raise ValueError(f"There is no line in '{_describe(source)}'.")
        corpus = cls.from_lines(
            lines, split, vocabulary=vocabulary, lowercase=lowercase
        )
        return dataclasses.replace(corpus, source=_describe(source))

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
        if isinstance(lines, str):
            raise TypeError(
                'The lines are a single string, but should be many: pass '
                "text.split('\\n')."
            )
        lines = [line for line in lines if line]
        for line in lines:
            if not isinstance(line, str):
                raise TypeError(
                    f'Lines are strings, but one is a {type(line).__name__}.'
                )
            if '\n' in line:
                raise ValueError(
                    f'A line has no newline in it, but one has: {line[:40]!r}. '
                    f"Split it with text.split('\\n')."
                )
        parts = {
            part: _normalize(''.join(f'{line}\n' for line in some), lowercase)
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


def _normalize(
    text: str, lowercase: bool, normalize_newlines: bool = False
) -> str:
    if not isinstance(text, str):
        raise TypeError(
            f'Expected a text (str), but got {type(text).__name__}.'
        )
    if not text:
        raise ValueError('The text is empty. A model needs text to learn from.')
    if normalize_newlines:
        text = _normalize_newlines(text)
    return text.lower() if lowercase else text


def _normalize_newlines(text: str) -> str:
    return text.replace('\r\n', '\n').replace('\r', '\n')


def _read_column(text: str, column: int, name: str) -> list[str]:
    """Returns a column of a CSV file, each field on a single line."""
    if column < 1:
        raise ValueError(
            f'csv_column is {column}, but the columns are numbered from 1 on.'
        )
    lines = []
    records = csv.reader(io.StringIO(text, newline=''), strict=True)
    limit = csv.field_size_limit(len(text) + 1)
    try:
        for number, record in enumerate(records, 1):
            if record and column > len(record):
                raise ValueError(
                    f"Record {number} of '{name}' has {len(record)} columns, "
                    f'so it has no column {column}. Give a smaller csv_column.'
                )
            lines += [' '.join(record[column - 1].split())] if record else []
    except csv.Error as error:
        raise ValueError(
            f"'{name}' is no CSV file: {error}, in line {records.line_num}. "
            f'Quote fields that hold commas, quotes or line ends (RFC 4180).'
        ) from error
    finally:
        csv.field_size_limit(limit)
    return lines


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


class _LargeText:
    """Files that are read piece by piece, once for each thing to know."""

    def __init__(self, paths, encoding, lowercase, normalize_newlines, report):
        self._paths = paths
        self._encoding = encoding
        self._options = lowercase, normalize_newlines
        self._report = report or (lambda share: None)
        self._sizes = [os.path.getsize(path) for path in paths]
        names = [os.path.realpath(path) for path in paths]
        self.key = [names, encoding, lowercase, normalize_newlines]

    def digest(self):
        """Hashes the files, and their sizes: where one ends matters."""
        digest = hashlib.sha256(repr(self._sizes).encode())
        for path in self._paths:
            for data in _read_pieces(path):
                digest.update(data)
        return digest.hexdigest()

    def read_same(self, digest):
        """Yields the text the second time, and raises if it has changed."""
        yield from self.read(2)
        if self.digest() != digest:
            raise ValueError(
                f"A file of '{_describe(self._paths)}' changed while it was "
                f'read. Start again when nothing writes to it any more.'
            )

    def read(self, number):
        """Yields the text, normalised, the first or the second time."""
        done = 0
        for path, size in zip(self._paths, self._sizes, strict=True):
            for text, share in _decode_pieces(path, self._encoding):
                if text:
                    yield _normalize(text, *self._options)
                share = (done + share * size) / sum(self._sizes)
                self._report((number - 1 + share) / 2)
            done += size


def _are_large(files: Sequence[str | pathlib.Path]) -> bool:
    """Whether all are files, and together larger than `LARGE`."""
    if not all(isinstance(x, pathlib.Path) and x.is_file() for x in files):
        return False
    return sum(file.stat().st_size for file in files) > LARGE


def _read_pieces(path: pathlib.Path) -> Iterator[bytes]:
    with _opened(path) as file:
        while data := file.read(_PIECE):
            yield data


def _decode_pieces(
    path: pathlib.Path, encoding: str
) -> Iterator[tuple[str, float]]:
    """Yields a text in pieces, and what share of the file was read."""
    offset, rest, is_first = 0, '', True
    with _opened(path) as file:
        decoder = _make_decoder(file, encoding)
        while True:
            data = file.read(_PIECE)
            pending = len(decoder.getstate()[0])
            try:
                text = rest + decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                start = offset - pending
                raise _wrong_encoding(error, start, path, encoding) from error
            offset += len(data)
            if is_first and text:
                text, is_first = text.removeprefix('\ufeff'), False
            end = _find_cut(text) if data else len(text)
            yield text[:end], 1.0 if not data else _share(file, path)
            rest = text[end:]
            if not data:
                return


def _make_decoder(file, encoding):
    """Makes a decoder for a file that decodes as `bytes.decode` does."""
    _check_encoding(encoding)
    name = codecs.lookup(encoding).name
    start = file.read(4)
    file.seek(0)
    for unicode, mark in (
        ('utf-16', (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
        ('utf-32', (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    ):
        if name == unicode and not start.startswith(mark):
            name += '-le' if sys.byteorder == 'little' else '-be'
    return codecs.getincrementaldecoder(name)()


def _share(file, path):
    """Returns what share of a file, as it lies on the disk, was read."""
    raw = getattr(file, 'fileobj', file)  # of a `gzip.GzipFile`
    return min(1.0, raw.tell() / max(1, os.path.getsize(path)))


def _find_cut(text: str) -> int:
    """Returns where a piece can end: not in a word, nor in a line end.

    What a character becomes in lower case may depend on the word (the Greek
    sigma does).
    """
    start = max(0, len(text) - _LONGEST_WORD)
    end = max(text.rfind(' ', start), text.rfind('\n', start)) + 1
    return end or start


def _expand(source: Source) -> list[str | pathlib.Path]:
    """Lists what a source reads, in order: names (str) and files (Path)."""
    if isinstance(source, str) and (
        source in ('-', 'python') or source in NAMED_TEXTS
    ):
        if source != '-' and os.path.isfile(source):
            logging.warning(
                "'%s' is a text that comes with the library; for the file of "
                "that name write './%s'.",
                source,
                source,
            )
        return [source]
    if isinstance(source, (str, os.PathLike)):
        return _find_files(os.path.expanduser(os.fspath(source)))
    if isinstance(source, (list, tuple)):
        return [file for item in source for file in _expand(item)]
    raise TypeError(
        f'A source is a path, a name, or a list or tuple of them, but got '
        f'{type(source).__name__}.'
    )


def _find_files(path: str) -> list[pathlib.Path]:
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"'{path}' is a folder. Pass a file, or a glob such as "
            f"'{os.path.join(path, '*.txt')}'."
        )
    # First, so that a file named `a[1].txt` is found.
    if os.path.exists(path):
        return [pathlib.Path(path)]
    found = sorted(glob.glob(path, recursive=True))
    files = [pathlib.Path(file) for file in found if not os.path.isdir(file)]
    if not files:
        names = ', '.join(['python', *NAMED_TEXTS])
        raise FileNotFoundError(
            f"There is no file '{path}'. Pass a path, a glob, '-' for standard "
            f'input, or one of the names {names}.'
        )
    return files


def _check_distinct(files: Sequence[str | pathlib.Path]) -> None:
    counts = collections.Counter(
        file if isinstance(file, str) else os.path.realpath(file)
        for file in files
    )
    for file, count in counts.items():
        if count > 1:
            raise ValueError(
                f"'{file}' occurs {count} times in the source, so it could be "
                f'trained on and validated on at once. Name it once.'
            )


def _describe(source: Source | Mapping[str, Source]) -> str:
    if isinstance(source, Mapping):
        return ', '.join(
            f'{part}: {_describe(source[part])}' for part in source
        )
    if isinstance(source, (list, tuple)):
        return ', '.join(_describe(item) for item in source)
    return os.fspath(source)


def _read(file: str | pathlib.Path, encoding: str) -> str:
    """Reads one text: a name, or a file."""
    if file == 'python':
        return _python_text()
    if file == '-':
        return _decode(sys.stdin.buffer.read(), 'standard input', encoding)
    if isinstance(file, str):
        return _decode(_named_text(file), file, 'utf-8')
    return _decode(_read_bytes(file), str(file), encoding)


def _read_bytes(path: pathlib.Path) -> bytes:
    if path.is_fifo():  # It is empty where nobody writes; or we would hang.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 'rb') as file:
            os.set_blocking(file.fileno(), True)
            return file.read()
    with _opened(path) as file:
        return file.read()


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a file, which is decompressed if its name ends in `.gz`."""
    if path.suffix.lower() != '.gz':
        with open(path, 'rb') as file:
            yield file
        return
    try:
        with gzip.open(path) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"'{path}' is not a complete gzip file: {error}"
        ) from error


def _decode(data: bytes, name: str, encoding: str) -> str:
    _check_encoding(encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # Some codecs hand on only what follows the byte order mark.
        start = len(data) - len(error.object)
        raise _wrong_encoding(error, start, name, encoding) from error
    return text.removeprefix('\ufeff')  # the byte order mark


def _check_encoding(encoding):
    try:
        ''.encode(encoding)
    except LookupError as error:
        raise ValueError(
            f"There is no text encoding '{encoding}'. Pass one that Python "
            f'knows, for instance utf-8, utf-16 or latin-1.'
        ) from error


def _wrong_encoding(error, start, name, encoding):
    """Says which byte, of an object that begins at `start`, is wrong."""
    return ValueError(
        f"'{name}' is not {encoding}: byte 0x{error.object[error.start]:02x} "
        f'at offset {start + error.start}. Say how it is encoded with '
        f'--encoding (in Python: encoding=...), for instance utf-16 or '
        f'latin-1.'
    )


def _python_text() -> str:
    """The language reference that CPython ships for `help()`."""
    try:
        from pydoc_data import topics
    except ImportError as error:
        raise FileNotFoundError(
            "This Python came without the module 'pydoc_data', which is the "
            "text 'python'. Pass a text file instead."
        ) from error
    return '\n'.join(topics.topics[topic] for topic in sorted(topics.topics))


def _named_text(name: str) -> bytes:
    """Returns a named text from the cache, where it is put if need be."""
    text = NAMED_TEXTS[name]
    home = os.environ.get('KERAS_HOME') or '~/.keras'
    folder = pathlib.Path(home).expanduser().absolute() / 'datasets'
    path = folder / f'{name}.txt'
    if path.is_file():
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == text.sha256:
            return data
        logging.warning(
            "'%s' is not the text '%s'; downloading it again.", path, name
        )
    try:
        return _download(text, path)
    except Exception as error:  # `get_file` raises plain Exceptions.
        raise OSError(
            f"Cannot download the text '{name}' ({error}). Fetch {text.url} by "
            f'hand ({text.num_bytes} bytes, sha256 {text.sha256}) and put it '
            f"at '{path}', or pass the path of your copy."
        ) from error


def _download(text: NamedText, path: pathlib.Path) -> bytes:
    """Downloads a text to a path; on failure leaves the path as it was."""
    import tensorflow as tf  # late, as it takes seconds

    path.parent.mkdir(parents=True, exist_ok=True)
    timeout = socket.getdefaulttimeout()
    with contextlib.ExitStack() as stack:
        # `get_file` leaves a wrong file where it is, so let that be elsewhere.
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(dir=path.parent, prefix='.')
        )
        # It prints a progress bar, and without a timeout it may wait for ever.
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.callback(socket.setdefaulttimeout, timeout)
        socket.setdefaulttimeout(_TIMEOUT_SECONDS)
        partial = tf.keras.utils.get_file(
            path.name,
            text.url,
            file_hash=text.sha256,
            hash_algorithm='sha256',
            cache_subdir=folder,
        )
        data = pathlib.Path(partial).read_bytes()
        os.replace(partial, path)
    return data
