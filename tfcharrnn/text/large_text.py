"""Texts that may be larger than memory, read piece by piece."""

import codecs
import functools
import hashlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from tfcharrnn.text import sources

# Files that together are larger are read piece by piece, and their ids mapped.
LARGE = 1 << 26  # bytes
_PIECE = 1 << 20  # bytes
_LONGEST_WORD = 1 << 16  # characters


class LargeText:
    """Files that together may be larger than memory, read piece by piece.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'cat.txt')
        >>> _ = path.write_text('The Cat')
        >>> text = LargeText([path], 'utf-8', lowercase=True)
        >>> ''.join(text.read(1))
        'the cat'

    Attributes:
        key: A JSON document: the files, and how they are read.
    """

    def __init__(
        self,
        paths: Sequence[pathlib.Path],
        encoding: str,
        *,
        lowercase: bool = False,
        normalize_newlines: bool = False,
        report: Callable[[float], None] | None = None,
    ):
        """Takes the files, and arguments of `Corpus.load`."""
        self._paths = paths
        self._encoding = encoding
        self._normalize = functools.partial(
            sources.normalize, lowercase=lowercase, newlines=normalize_newlines
        )
        self._report = report or (lambda share: None)
        self._sizes = [os.path.getsize(path) for path in paths]
        names = [os.path.realpath(path) for path in paths]
        self.key = [names, encoding, lowercase, normalize_newlines]

    def digest(self) -> str:
        """Returns the SHA-256 of the files and of where each ends."""
        digest = hashlib.sha256(repr(self._sizes).encode())
        for path in self._paths:
            for data in _read_pieces(path):
                digest.update(data)
        return digest.hexdigest()

    def read_same(self, digest: str) -> Iterator[str]:
        """Yields the text once more; raises ValueError if it has changed."""
        yield from self.read(2)
        if self.digest() != digest:
            raise ValueError(
                f"A file of '{sources.describe(self._paths)}' changed while it "
                f'was read. Start again once nothing writes to it.'
            )

    def read(self, number: int) -> Iterator[str]:
        """Yields the text, normalized.

        Args:
            number: Which reading this is, 1 or 2, for the progress report.
        """
        done = 0
        for path, size in zip(self._paths, self._sizes, strict=True):
            for text, share in _decode_pieces(path, self._encoding):
                if text:
                    yield self._normalize(text)
                share = (done + share * size) / sum(self._sizes)
                self._report((number - 1 + share) / 2)
            done += size


def large_files(texts: Sequence[str | pathlib.Path]) -> list[pathlib.Path]:
    """Returns the files of a source if they exceed `LARGE` bytes, else []."""
    paths = [
        text
        for text in texts
        if isinstance(text, pathlib.Path) and text.is_file()
    ]
    if len(paths) < len(texts):
        return []
    size = sum(path.stat().st_size for path in paths)
    return paths if size > LARGE else []


def _read_pieces(path: pathlib.Path) -> Iterator[bytes]:
    with sources.opened(path) as file:
        while data := file.read(_PIECE):
            yield data


def _decode_pieces(
    path: pathlib.Path, encoding: str
) -> Iterator[tuple[str, float]]:
    """Yields (piece of a text, share of the file read so far)."""
    offset, rest, is_first = 0, '', True
    with sources.opened(path) as file:
        decoder = _make_decoder(file, encoding)
        while True:
            data = file.read(_PIECE)
            pending = len(decoder.getstate()[0])
            try:
                text = rest + decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                start = offset - pending
                raise sources.wrong_encoding(
                    error, start, path, encoding
                ) from error
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
    sources.check_encoding(encoding)
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
    """Returns the share of a file on disk that has been read."""
    raw = getattr(file, 'fileobj', file)  # of a `gzip.GzipFile`
    return min(1.0, raw.tell() / max(1, os.path.getsize(path)))


def _find_cut(text: str) -> int:
    """Returns where a piece can end: not inside a word or a line end.

    The lower case of a character may depend on the word: that of the Greek
    sigma does.
    """
    start = max(0, len(text) - _LONGEST_WORD)
    end = max(text.rfind(' ', start), text.rfind('\n', start)) + 1
    return end or start
