"""Id files: a text that is larger than memory, as ids on disk.

Such a text is read piece by piece, twice: once to find its length and its
characters (`survey`), once to write its ids (`write`). The ids are then mapped
into memory and read from the disk as they are needed (`load`).

    FOLDER/NAME.ids     the ids of the parts, one part after the other
    FOLDER/NAME.json    which text they are the ids of, with checksums

The folder is $XDG_CACHE_HOME/tfcharrnn, or else ~/.cache/tfcharrnn.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import itertools
import mmap
import os
import pathlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfcharrnn import files

_FORMAT = 'tfcharrnn.ids'
_VERSION = 1
_MAX_JSON_BYTES = 1 << 26
_PIECE = 1 << 22  # ids
_NUM_CODES = 0x110000
_ABANDONED_SECONDS = 3600.0


class IdFile(NamedTuple):
    """A text on disk.

    Attributes:
        chars: The characters, in the order of their ids.
        parts: The ids of each part, mapped into memory.
        unseen: For each part, how often a character without an id occurred.
    """

    chars: list[str]
    parts: list[np.ndarray]
    unseen: list[dict[str, int]]


def path_of(key: Any) -> pathlib.Path:
    """Returns the path of an id file, without its ending.

    Args:
        key: A JSON document: the files of the text, and how they are read.
    """
    home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    folder = pathlib.Path(home).expanduser().absolute() / 'tfcharrnn'
    return folder / files.checksum(key)[:32]


def survey(texts: Iterable[str]) -> tuple[int, dict[str, int]]:
    """Reads a text once.

    >>> survey(['to be', ' or not'])
    (12, {'t': 0, 'o': 1, ' ': 2, 'b': 3, 'e': 4, 'r': 7, 'n': 9})

    Args:
        texts: The text in pieces.

    Returns:
        The length of the text, and where each character first occurs.
    """
    is_known = np.zeros(_NUM_CODES, bool)
    length, first = 0, {}
    for text in texts:
        codes = np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4')
        positions = np.flatnonzero(~is_known[codes])
        distinct, index = np.unique(codes[positions], return_index=True)
        for position in np.sort(positions[index]):
            first[text[position]] = length + int(position)
        is_known[distinct] = True
        length += len(text)
    return length, first


def write(
    path: pathlib.Path,
    digest: str,
    texts: Iterable[str],
    vocabulary: Any,
    ends: Sequence[int],
) -> None:
    """Writes the ids of a text; characters without an id are left out.

    Args:
        path: From `path_of`.
        digest: A hash of the text, by which `load` recognizes it.
        texts: The text in pieces.
        vocabulary: A `Vocabulary` of characters.
        ends: Where each part ends, in characters of the text.

    Raises:
        OSError: The disk is full, or the folder cannot be written.
    """
    lengths = [0] * len(ends)
    unseen = [collections.Counter() for _ in ends]
    written = hashlib.sha256()
    try:
        # What a user reads or trains is not for others.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # First, so that a process killed below leaves no .json behind that
        # describes another .ids.
        path.with_suffix('.json').unlink(missing_ok=True)
        _delete_abandoned(path)
        with files.replacing(path.with_suffix('.ids')) as file:
            for part, text in _cut(texts, ends):
                ids = vocabulary.encode(text, unseen='skip')
                if len(ids) < len(text):
                    unseen[part].update(vocabulary.count_unseen(text))
                lengths[part] += len(ids)
                file.write(ids)
                written.update(ids)
        document = {
            'digest': digest,
            'characters': list(vocabulary.tokens),
            'lengths': lengths,
            'ids_sha256': written.hexdigest(),
            'unseen': [dict(sorted(counts.items())) for counts in unseen],
        }
        files.write_document(
            path.with_suffix('.json'),
            document,
            format=_FORMAT,
            version=_VERSION,
            indent=0,
        )
    except OSError as error:
        size = ends[-1] * vocabulary.dtype.itemsize
        if error.filename and not str(error.filename).startswith(
            str(path.parent)
        ):
            raise  # The text itself cannot be read.
        raise OSError(
            f"The ids of this text cannot be written to '{path.parent}': "
            f'{error.strerror or error}. Make room there, or set '
            f'XDG_CACHE_HOME to a folder with {size:,} bytes or more.'
        ) from error


def load(path: pathlib.Path, digest: str) -> IdFile | None:
    """Maps the ids of a text into memory.

    Args:
        path: From `path_of`.
        digest: The hash of the text that was given to `write`.

    Returns:
        The ids; None, so that the caller writes them, if the file is missing,
        damaged, or of another text.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        json_path, ids_path = (path.with_suffix(x) for x in ('.json', '.ids'))
        document = files.read_document(
            json_path,
            _FORMAT,
            _VERSION,
            what='an id file',
            max_bytes=_MAX_JSON_BYTES,
        )
        chars, lengths = document['characters'], document['lengths']
        dtype = np.min_scalar_type(len(chars) - 1)
        size = ids_path.stat().st_size
        whole = size == sum(lengths) * dtype.itemsize
        if document['digest'] == digest and whole:
            parts = _map(ids_path, dtype, lengths)
            found = hashlib.sha256()
            for piece in itertools.chain(*map(pieces, parts)):
                found.update(piece.data)
            if found.hexdigest() == document['ids_sha256']:
                return IdFile(chars, parts, document['unseen'])
    return None


def pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yields ids piece by piece; those of a mapped file do not stay in memory.

    >>> [len(piece) for piece in pieces(np.arange(5))]
    [5]
    """
    for start in range(0, len(ids), _PIECE):
        yield ids[start : start + _PIECE]
        release(ids)


def release(ids: np.ndarray) -> None:
    """Frees the memory of a mapped file; it is read again when needed.

    Args:
        ids: An array; one that is not mapped is left alone.
    """
    owner: Any = ids
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(owner, 'madvise'):
        owner.madvise(mmap.MADV_DONTNEED)


def _cut(texts, ends):
    """Yields (number of the part, text), cut where a part ends."""
    part = position = 0
    for text in texts:
        while text:
            while part < len(ends) - 1 and position >= ends[part]:
                part += 1
            size = ends[part] - position if part < len(ends) - 1 else len(text)
            some, text = text[:size], text[size:]
            position += len(some)
            yield part, some


def _delete_abandoned(path):
    """Deletes what killed processes had written of this file."""
    for partial in path.parent.glob(f'.{path.name}.*.partial'):
        if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
            partial.unlink(missing_ok=True)


def _map(path, dtype, lengths):
    """Maps each part; an empty one cannot be mapped."""
    parts, offset = [], 0
    for length in lengths:
        parts.append(
            np.memmap(path, dtype, 'r', offset, length)
            if length
            else np.empty(0, dtype)
        )
        offset += length * dtype.itemsize
    return parts
