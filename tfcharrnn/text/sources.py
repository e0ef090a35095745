"""Sources: where texts come from, and how their bytes are read.

A source is a file, a glob, a name, standard input, or several of them: see
`Corpus.load`.
"""

import collections
import contextlib
import csv
import glob
import gzip
import hashlib
import http.client
import io
import os
import pathlib
import sys
import urllib.request
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

from absl import logging

from tfcharrnn import checks, files

Source = str | os.PathLike | Sequence[str | os.PathLike]

_TIMEOUT_SECONDS = 30
# What a compressed file may become in memory: this, or so many times its size.
_SMALL = 1 << 26  # bytes
_MAX_EXPANSION = 32


class NamedText(NamedTuple):
    """A text that is downloaded when its name is first used.

    Attributes:
        url: Where it is.
        sha256: Its SHA-256, in hexadecimal.
        num_bytes: Its size.
    """

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


def expand(source: Source) -> list[str | pathlib.Path]:
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
        return [*_find_files(os.path.expanduser(os.fspath(source)))]
    if isinstance(source, (list, tuple)):
        return [file for item in source for file in expand(item)]
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
    paths = [pathlib.Path(file) for file in found if not os.path.isdir(file)]
    if not paths:
        names = ', '.join(['python', *NAMED_TEXTS])
        raise FileNotFoundError(
            f"There is no file '{path}'. Pass a path, a glob, '-' for standard "
            f'input, or one of the names {names}.'
        )
    return paths


def check_distinct(texts: Sequence[str | pathlib.Path]) -> None:
    """Raises ValueError if a name or a file occurs twice."""
    counts = collections.Counter(
        text if isinstance(text, str) else os.path.realpath(text)
        for text in texts
    )
    for file, count in counts.items():
        if count > 1:
            raise ValueError(
                f"'{file}' occurs {count} times in the source, so it could be "
                f'trained on and validated on at once. Name it once.'
            )


def describe(source: Source | Mapping[str, Source]) -> str:
    """Returns where a text came from, in words.

    >>> describe({'train': ['a.txt', 'b.txt'], 'valid': '-'})
    'train: a.txt, b.txt, valid: -'
    """
    if isinstance(source, Mapping):
        return ', '.join(f'{part}: {describe(source[part])}' for part in source)
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return ', '.join(describe(item) for item in source)


def read(file: str | pathlib.Path, encoding: str) -> str:
    """Reads one text: a name, or a file."""
    if file == 'python':
        return _python_text()
    if file == '-':
        return _decode(sys.stdin.buffer.read(), 'standard input', encoding)
    if isinstance(file, str):
        return _decode(_named_text(file), file, 'utf-8')
    return _decode(_read_bytes(file), str(file), encoding)


def read_all(
    texts: Sequence[str | pathlib.Path], encoding: str, source: Source
) -> str:
    """Reads texts, one after the other.

    Args:
        texts: Names and files, from `expand`.
        encoding: How the bytes of files are read.
        source: The source that the texts are from, for the error.

    Raises:
        OSError: A text cannot be read.
        ValueError: The bytes are not in this encoding, or the texts are empty.
    """
    joined = ''.join(read(text, encoding) for text in texts)
    if not joined:
        raise ValueError(f"There is no text in '{describe(source)}'.")
    return joined


def read_lines(
    source: Source, encoding: str, csv_column: int | None = None
) -> list[str]:
    """Reads the lines of a source, or the fields of a column.

    Args:
        source: The source.
        encoding: How the bytes of files are read.
        csv_column: The number of a column of CSV files, from 1 on; None: the
            files are plain text.

    Returns:
        The lines, including empty ones.

    Raises:
        OSError: A text cannot be read.
        ValueError: The bytes are not in this encoding, all lines are empty, or
            a CSV file has no such column.
    """
    texts = expand(source)
    check_distinct(texts)
    lines = []
    for text in texts:
        content = read(text, encoding)
        if csv_column is None:
            lines += normalize_newlines(content).split('\n')
        else:
            lines += read_column(content, csv_column, str(text))
    if not any(lines):
        raise ValueError(f"There is no line in '{describe(source)}'.")
    return lines


def _read_bytes(path: pathlib.Path) -> bytes:
    if path.is_fifo():  # Without a writer, a blocking read would hang.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 'rb') as file:
            os.set_blocking(file.fileno(), True)
            return file.read()
    if path.is_char_device() or path.is_block_device():
        raise ValueError(
            f"'{path}' is a device, whose text may never end. Pass a file, or "
            "'-' for standard input."
        )
    with opened(path) as file:
        if not isinstance(file, gzip.GzipFile):
            return file.read()
        limit = max(_SMALL, _MAX_EXPANSION * path.stat().st_size)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(
            f"'{path}' becomes more than {limit:,} bytes when it is "
            'decompressed, which is much for its size. Decompress it first.'
        )
    return data


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """Opens a file; one whose name ends in `.gz` is decompressed.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a gzip file, or is damaged.
    """
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
    check_encoding(encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # Some codecs hand on only what follows the byte order mark.
        start = len(data) - len(error.object)
        raise wrong_encoding(error, start, name, encoding) from error
    return text.removeprefix('\ufeff')  # the byte order mark


def check_encoding(encoding: str) -> None:
    """Raises ValueError if Python knows no text encoding of this name."""
    try:
        ''.encode(encoding)
    except LookupError as error:
        raise ValueError(
            f"There is no text encoding '{encoding}'. Pass one that Python "
            f'knows, for instance utf-8, utf-16 or latin-1.'
        ) from error


def wrong_encoding(
    error: UnicodeDecodeError,
    start: int,
    name: str | pathlib.Path,
    encoding: str,
) -> ValueError:
    """Returns the error that names the first byte that does not decode.

    Args:
        error: What the decoder raised.
        start: Where in the file the bytes begin that it was given.
        name: The file.
        encoding: The encoding that was tried.
    """
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
    """Returns a named text, downloaded unless the cache has it."""
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
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise OSError(
            f"Cannot download the text '{name}' ({error}). Fetch {text.url} by "
            f'hand ({text.num_bytes} bytes, sha256 {text.sha256}) and put it '
            f"at '{path}', or pass the path of your copy."
        ) from error


def _download(text: NamedText, path: pathlib.Path) -> bytes:
    """Downloads a text to a path; on failure leaves the path as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(text.url, timeout=_TIMEOUT_SECONDS) as response:
        data = response.read(text.num_bytes + 1)
    if hashlib.sha256(data).hexdigest() != text.sha256:
        raise ValueError('the bytes received are not those of the text')
    with files.replacing(path) as file:
        file.write(data)
    return data


def normalize(text: str, lowercase: bool, newlines: bool = False) -> str:
    r"""Returns a text in lower case, with `\n` as line ends, or both.

    >>> normalize('To be\r\n', lowercase=True, newlines=True)
    'to be\n'

    Args:
        text: The text, not empty.
        lowercase: Whether to turn it into lower case.
        newlines: Whether to apply `normalize_newlines`.

    Raises:
        TypeError: The text is not a str.
        ValueError: The text is empty.
    """
    if not isinstance(text, str):
        raise TypeError(
            f'Expected a text (str), but got {type(text).__name__}.'
        )
    if not text:
        raise ValueError('The text is empty. A model needs text to learn from.')
    if newlines:
        text = normalize_newlines(text)
    return text.lower() if lowercase else text


def normalize_newlines(text: str) -> str:
    r"""Turns `\r\n` and `\r` into `\n`.

    >>> normalize_newlines('one\r\ntwo\r')
    'one\ntwo\n'
    """
    return text.replace('\r\n', '\n').replace('\r', '\n')


def check_lines(lines: Iterable[str]) -> list[str]:
    """Returns lines as a list.

    >>> check_lines(('to be', 'or not'))
    ['to be', 'or not']

    Raises:
        TypeError: The lines are a single string, or one of them is not a str.
        ValueError: A line contains a newline.
    """
    if isinstance(lines, str):
        raise TypeError(
            'The lines are a single string, but should be many: pass '
            r"text.split('\n')."
        )
    lines = list(lines)
    for number, line in enumerate(lines):
        if not isinstance(line, str):
            raise TypeError(
                f'Lines are strings, but line {number} is a '
                f'{type(line).__name__}.'
            )
        if '\n' in line:
            raise ValueError(
                f'A line cannot contain a newline, but line {number} does: '
                f"{line[:40]!r}. Split it with text.split('\\n')."
            )
    return lines


def read_column(text: str, column: int, name: str) -> list[str]:
    """Returns a column of a CSV file, each field on a single line.

    >>> read_column('1,"to be",a', 2, 'play.csv')
    ['to be']

    Args:
        text: The contents of the file.
        column: The number of the column, from 1 on.
        name: The name of the file, for errors.

    Raises:
        ValueError: A record has no such column, or the file is not CSV.
    """
    column = checks.whole_number('csv_column', column)
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
            f"'{name}' is not a CSV file: {error}, in line {records.line_num}. "
            f'Quote fields that hold commas, quotes or line ends (RFC 4180).'
        ) from error
    finally:
        csv.field_size_limit(limit)
    return lines
