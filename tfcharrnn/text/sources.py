"""Sources: where texts come from, and how their bytes are read.

A source is a file, a glob, a name, standard input, or several of them;
`Corpus.load` says what the strings mean.
"""

import codecs
import collections
import contextlib
import csv
import glob
import gzip
import hashlib
import io
import os
import pathlib
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple

from absl import logging

Source = str | os.PathLike | Sequence[str | os.PathLike]

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


class LargeText:
    """Files that are read piece by piece, once for each thing to know.

    Attributes:
        key: Which files, and how they are read: a JSON document.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        encoding: str,
        lowercase: bool,
        normalize_newlines: bool,
        report: Callable[[float], None] | None,
    ):
        """Takes the files, and what `Corpus.load` was told of them."""
        self._paths = paths
        self._encoding = encoding
        self._options = lowercase, normalize_newlines
        self._report = report or (lambda share: None)
        self._sizes = [os.path.getsize(path) for path in paths]
        names = [os.path.realpath(path) for path in paths]
        self.key = [names, encoding, lowercase, normalize_newlines]

    def digest(self) -> str:
        """Hashes the files, and their sizes: where one ends matters."""
        digest = hashlib.sha256(repr(self._sizes).encode())
        for path in self._paths:
            for data in _read_pieces(path):
                digest.update(data)
        return digest.hexdigest()

    def read_same(self, digest: str) -> Iterator[str]:
        """Yields the text the second time; ValueError if it has changed."""
        yield from self.read(2)
        if self.digest() != digest:
            raise ValueError(
                f"A file of '{describe(self._paths)}' changed while it was "
                f'read. Start again when nothing writes to it any more.'
            )

    def read(self, number: int) -> Iterator[str]:
        """Yields the text, normalised, the first or the second time."""
        done = 0
        for path, size in zip(self._paths, self._sizes, strict=True):
            for text, share in _decode_pieces(path, self._encoding):
                if text:
                    yield normalize(text, *self._options)
                share = (done + share * size) / sum(self._sizes)
                self._report((number - 1 + share) / 2)
            done += size


def are_large(files: Sequence[str | pathlib.Path]) -> bool:
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
        return _find_files(os.path.expanduser(os.fspath(source)))
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
    files = [pathlib.Path(file) for file in found if not os.path.isdir(file)]
    if not files:
        names = ', '.join(['python', *NAMED_TEXTS])
        raise FileNotFoundError(
            f"There is no file '{path}'. Pass a path, a glob, '-' for standard "
            f'input, or one of the names {names}.'
        )
    return files


def check_distinct(files: Sequence[str | pathlib.Path]) -> None:
    """Raises ValueError if a file occurs twice."""
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


def describe(source: Source | Mapping[str, Source]) -> str:
    """Returns what a text came from, in words.

    >>> describe({'train': ['a.txt', 'b.txt'], 'valid': '-'})
    'train: a.txt, b.txt, valid: -'
    """
    if isinstance(source, Mapping):
        return ', '.join(f'{part}: {describe(source[part])}' for part in source)
    if isinstance(source, (list, tuple)):
        return ', '.join(describe(item) for item in source)
    return os.fspath(source)


def read(file: str | pathlib.Path, encoding: str) -> str:
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


def normalize(text: str, lowercase: bool, newlines: bool = False) -> str:
    """Returns a text in lower case, with newlines alone as line ends, or both.

    Raises:
        TypeError: It is no str.
        ValueError: It is empty.
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
    """Returns the lines as a list.

    Raises:
        TypeError: They are one string, or one of them is no str.
        ValueError: One has a newline in it.
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
                f'A line has no newline in it, but line {number} has: '
                f"{line[:40]!r}. Split it with text.split('\\n')."
            )
    return lines


def read_column(text: str, column: int, name: str) -> list[str]:
    """Returns a column of a CSV file, each field on a single line.

    Args:
        text: What is in the file.
        column: The number of the column, from 1 on.
        name: Of the file, for errors.

    Raises:
        ValueError: There is no such column, or it is no CSV.
    """
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
