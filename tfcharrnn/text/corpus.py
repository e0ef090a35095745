"""Corpus: a text as ids, split."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING

import numpy as np

from tfcharrnn import checks
from tfcharrnn.text import idfile, sources
from tfcharrnn.text.large_text import LargeText, large_files
from tfcharrnn.text.parts import AnyVocabulary, encode_parts, map_parts
from tfcharrnn.text.splitting import DEFAULT_SPLIT, PARTS, check_split, cut
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import WordVocabulary

if TYPE_CHECKING:
    from tfcharrnn.config import TextConfig


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """A text as ids, cut into a training, a validation and a test part.

        characters   0                          1,003,854       1,115,394
                     |---------- train ----------|---- valid ----|

    The parts are contiguous and in this order; every character is in exactly
    one of them. The vocabulary is made from the training part alone, as nothing
    else is known when a model is trained. A character that occurs only in
    another part has no id, and a model could not predict it (its loss would be
    infinite). So it is left out, and the loss of a part is that of the
    remaining characters. How many were left out is logged as a warning and kept
    in `unseen`. The same holds, in all parts, for a vocabulary that you pass.

        >>> corpus = Corpus.from_text('to be, or not to be', (0.7, 0.3, 0.0))
        >>> corpus
        <Corpus text: 8 distinct characters; 13 train, 6 valid, 0 test>
        >>> corpus.vocabulary.decode(corpus.valid)
        ' to be'

    Attributes:
        vocabulary: The `Vocabulary` of the training part, or the one passed;
            its `lines` say whether the corpus is lines.
        train: ids [N] of type `vocabulary.dtype`, possibly memory-mapped.
        valid: ids of the validation part; may be empty.
        test: ids of the test part; may be empty.
        source: Where the text came from, in words.
        unseen: How often each character that the vocabulary lacks occurs in
            the text, all parts together.
    """

    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    source: str = 'text'
    unseen: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(
        cls,
        source: sources.Source | Mapping[str, sources.Source],
        split: Sequence[float] = DEFAULT_SPLIT,
        *,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
        encoding: str = 'utf-8',
        normalize_newlines: bool = False,
        report: Callable[[float], None] | None = None,
    ) -> Corpus:
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

        A name takes precedence over a file of that name, so that a command
        means the same in every folder; `./shakespeare` or
        `pathlib.Path('shakespeare')` is the file. The files of a glob are read
        in sorted order. Texts are joined with nothing in between; a byte order
        mark before a text is dropped. A file that occurs twice is an error, as
        the same text could then be trained on and validated on.

        Files of more than 64 MiB together (on disk) do not have to fit in
        memory: their ids are written to a cache file, see `idfile`, and mapped.
        They are written again only if the files or the arguments change. (A
        mapping, and words, are always read into memory.)

        Args:
            source: A source, or a mapping from 'train', 'valid' and 'test' to
                one source each ('train' is required).
            split: The fractions of the characters in the training, validation
                and test part; they add up to 1. Not with a mapping.
            vocabulary: The vocabulary to use instead of the characters of the
                training part; or a function that makes one from the training
                part, such as `WordVocabulary.from_text`.
            lowercase: Whether to turn the text into lower case.
            encoding: How the bytes of files and standard input are read.
            normalize_newlines: Whether to turn `\r\n` and `\r` into `\n`.
            report: Called with the share of the work done, from 0 to 1, while
                the ids of large files are written.

        Returns:
            The corpus.

        Raises:
            OSError: A file is missing or cannot be read, a download failed, or
                the disk has no room for the ids of a large text.
            ValueError: The bytes are not in this encoding, `split` is invalid,
                or a part is empty.
        """
        fractions = check_split(source, split)
        named = isinstance(source, Mapping)
        given = source if named else {'text': source}
        files = {part: sources.expand(given[part]) for part in given}
        sources.check_distinct(
            [file for part in files.values() for file in part]
        )
        name = sources.describe(source)
        known = vocabulary if isinstance(vocabulary, Vocabulary) else None
        by_words = vocabulary is not None and (
            known is None or known.unknown is not None
        )
        if not (named or by_words) and (large := large_files(files['text'])):
            text = LargeText(
                large,
                encoding,
                lowercase=lowercase,
                normalize_newlines=normalize_newlines,
                report=report,
            )
            mapped = map_parts(text, fractions, known, name)
            return cls(**mapped._asdict(), source=name)
        texts = {
            part: sources.read_all(files[part], encoding, given[part])
            for part in files
        }
        corpus = cls.from_text(
            texts if named else texts['text'],
            split,
            vocabulary=vocabulary,
            lowercase=lowercase,
            normalize_newlines=normalize_newlines,
        )
        return dataclasses.replace(corpus, source=name)

    @classmethod
    def from_text(
        cls,
        text: str | Mapping[str, str],
        split: Sequence[float] = DEFAULT_SPLIT,
        *,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
        normalize_newlines: bool = False,
    ) -> Corpus:
        """Splits a text that is in memory and turns it into ids.

            >>> corpus = Corpus.from_text({'train': 'banana', 'valid': 'anna'})
            >>> corpus.train.tolist(), corpus.valid.tolist()
            ([1, 0, 2, 0, 2, 0], [0, 2, 2, 0])

        Args:
            text: The text, or a mapping from 'train', 'valid' and 'test' to
                one text each ('train' is required).
            split: As in `load`.
            vocabulary: As in `load`.
            lowercase: As in `load`.
            normalize_newlines: As in `load`.

        Returns:
            The corpus.

        Raises:
            ValueError: `split` is invalid, or a part is empty.
            TypeError: The text is not a str, or the vocabulary is not a
                Vocabulary.
        """
        fractions = check_split(text, split)
        named = isinstance(text, Mapping)
        texts = {
            part: sources.normalize(raw, lowercase, normalize_newlines)
            for part, raw in (text if named else {'text': text}).items()
        }
        parts = texts if named else cut(texts['text'], fractions)
        encoded = encode_parts(parts, vocabulary, lines=False)
        return cls(**encoded._asdict())

    @classmethod
    def load_lines(
        cls,
        source: sources.Source,
        split: Sequence[float] = DEFAULT_SPLIT,
        *,
        csv_column: int | None = None,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
        encoding: str = 'utf-8',
    ) -> Corpus:
        """Reads many short texts: the lines of files, or a column of CSV files.

            corpus = Corpus.load_lines('headlines.txt')
            corpus = Corpus.load_lines('ag_news.csv', csv_column=2)
            train = data.lines(corpus.lines('train'), corpus.vocabulary, 64)

        A line ends with a newline, which also is a character of the text. No
        line is split between two parts; empty lines are left out. A field of a
        CSV file (RFC 4180: quoted if it holds a comma, a quote or a line end)
        is put on one line; a header is a line as well. All of it is held in
        memory.

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
            ValueError: As in `load`, or a CSV file has no such column.
        """
        corpus = cls.from_lines(
            sources.read_lines(source, encoding, csv_column),
            split,
            vocabulary=vocabulary,
            lowercase=lowercase,
        )
        return dataclasses.replace(corpus, source=sources.describe(source))

    @classmethod
    def from_lines(
        cls,
        lines: Iterable[str],
        split: Sequence[float] = DEFAULT_SPLIT,
        *,
        vocabulary: AnyVocabulary = None,
        lowercase: bool = False,
    ) -> Corpus:
        """Splits short texts that are in memory and turns them into ids.

            >>> corpus = Corpus.from_lines(['ab', 'ba', 'b'], (0.7, 0.3, 0.0))
            >>> corpus.lines('train'), corpus.lines('valid')
            (['ab', 'ba'], ['b'])

        Args:
            lines: The texts, without newlines.
            split: As in `load_lines`.
            vocabulary: As in `load`.
            lowercase: As in `load`.

        Returns:
            The corpus.

        Raises:
            ValueError: A line contains a newline, `split` is invalid, a part is
                empty, or the vocabulary lacks the newline.
            TypeError: A line is not a str, or the vocabulary is not a
                Vocabulary.
        """
        fractions = check_split(lines, split)
        lines = [line for line in sources.check_lines(lines) if line]
        parts = {
            part: sources.normalize(
                ''.join(f'{line}\n' for line in some), lowercase
            )
            for part, some in cut(lines, fractions).items()
            if some
        }
        encoded = encode_parts(parts, vocabulary, lines=True)
        return cls(**encoded._asdict())

    @classmethod
    def from_config(
        cls,
        config: TextConfig,
        *,
        vocabulary: Vocabulary | None = None,
        characters: Collection[str] = (),
        report: Callable[[float], None] | None = None,
    ) -> Corpus:
        """Reads the text that a config names, split as it says.

        Args:
            config: Which text, and how it is read.
            vocabulary: As in `load`. None: the characters of the training part,
                or its words, as the config says.
            characters: More characters for a vocabulary that is made here.
            report: As in `load`.

        Raises:
            OSError, ValueError: As in `load`.
        """
        train = 1.0 - config.valid_fraction - config.test_fraction
        split = train, config.valid_fraction, config.test_fraction
        make = vocabulary or _vocabulary_maker(config, characters)
        if vocabulary.lines if vocabulary else config.has_lines:
            return cls.load_lines(
                config.corpus,
                split,
                csv_column=config.csv_column,
                vocabulary=make,
                lowercase=config.lowercase,
                encoding=config.encoding,
            )
        return cls.load(
            config.corpus,
            split,
            vocabulary=make,
            lowercase=config.lowercase,
            encoding=config.encoding,
            normalize_newlines=config.normalize_newlines,
            report=report,
        )

    @property
    def has_lines(self) -> bool:
        r"""Whether the texts are lines, which '\n' ends; else one stream."""
        return self.vocabulary.lines

    def digest(self) -> str:
        """Returns the SHA-256 of the text, its vocabulary and its split."""
        tokens = ''.join(self.vocabulary.tokens)
        digest = hashlib.sha256(tokens.encode('utf-8', 'surrogatepass'))
        parts = [self.train, self.valid]
        if len(self.test):  # The digests of the first runs were without it.
            parts.append(self.test)
        for ids in parts:
            digest.update(len(ids).to_bytes(8, 'big'))
            for piece in idfile.pieces(ids):
                digest.update(piece.data)
        return digest.hexdigest()

    def lines(self, part: str) -> list[str]:
        """Returns the lines of a part, without the newlines.

        Args:
            part: 'train', 'valid' or 'test'.

        Returns:
            The lines that are not empty.

        Raises:
            ValueError: There is no such part.
        """
        checks.choice('part', part, PARTS)
        text = self.vocabulary.decode(getattr(self, part))
        return [line for line in text.split('\n') if line]

    def __repr__(self) -> str:
        sizes = ', '.join(
            f'{len(getattr(self, part))} {part}' for part in PARTS
        )
        return (
            f'<Corpus {self.source}: {len(self.vocabulary)} distinct '
            f'{self.vocabulary.unit}s; {sizes}>'
        )


def _vocabulary_maker(
    config: TextConfig, characters: Collection[str]
) -> AnyVocabulary:
    """Returns what makes the vocabulary of a config; None: the characters."""
    if config.level == 'word':
        return functools.partial(
            WordVocabulary.from_text, num_words=config.num_words
        )
    if not characters:
        return None
    return lambda text: Vocabulary(sorted({*text, *characters}))
