"""Id files: a text that is larger than memory, as ids on disk.

Such a text is read piece by piece, twice: to learn how long it is and which
characters it has (`survey`), then to write its ids (`write`). What is written
is mapped into memory and read where it is needed (`load`).

    FOLDER/NAME.ids     the ids of the parts, one part after the other
    FOLDER/NAME.json    what they are the ids of, with a checksum

The folder is $XDG_CACHE_HOME/tfcharrnn, or else ~/.cache/tfcharrnn.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import itertools
import json
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
    """Returns where the ids of a text are kept, without an ending.

    Args:
        key: A JSON document: which files, and how they are read.
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
        Its length, and where each distinct character first occurs.
    """
    is_known = np.zeros(_NUM_CODES, bool)
    length, first = 0, {}
    for text in texts:
        codes = np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4')
        places = np.flatnonzero(~is_known[codes])
        distinct, index = np.unique(codes[places], return_index=True)
        for place in np.sort(places[index]):
            first[text[place]] = length + int(place)
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
        path: As `path_of` returned it.
        digest: What the text is recognised by.
        texts: The text in pieces.
        vocabulary: A `Vocabulary`.
        ends: Where each part ends, in characters of the text.

    Raises:
        OSError: There is no room for it.
    """
    lengths = [0] * len(ends)
    unseen = [collections.Counter() for _ in ends]
    written = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Or who is killed now leaves one that is described by another.
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
            'format': _FORMAT,
            'version': _VERSION,
            'digest': digest,
            'characters': list(vocabulary.tokens),
            'lengths': lengths,
            'ids_sha256': written.hexdigest(),
            'unseen': [dict(sorted(counts.items())) for counts in unseen],
        }
        files.write_json(path.with_suffix('.json'), document, indent=0)
    except OSError as error:
        size = ends[-1] * vocabulary.dtype.itemsize
        if error.filename and not str(error.filename).startswith(
            str(path.parent)
        ):
            raise  # It is the text that cannot be read.
        raise OSError(
            f"The ids of this text cannot be written to '{path.parent}': "
            f'{error.strerror or error}. Make room there, or set '
            f'XDG_CACHE_HOME to a folder with {size:,} bytes or more.'
        ) from error


def load(path: pathlib.Path, digest: str) -> IdFile | None:
    """Maps the ids of a text into memory.

    Args:
        path: As `path_of` returned it.
        digest: What the text is recognised by.

    Returns:
        The ids; None if there are none, if they are those of another text, or
        if they are damaged: they are to be written then.
    """
    wrong = OSError, ValueError, TypeError, KeyError, RecursionError
    with contextlib.suppress(*wrong):
        json_path, ids_path = (path.with_suffix(x) for x in ('.json', '.ids'))
        if json_path.stat().st_size > _MAX_JSON_BYTES:
            return None
        document = dict(json.loads(json_path.read_bytes()))
        files.check_json(document)
        kind = [document[name] for name in ('format', 'version', 'digest')]
        chars, lengths = document['characters'], document['lengths']
        dtype = np.min_scalar_type(len(chars) - 1)
        size = ids_path.stat().st_size
        whole = size == sum(lengths) * dtype.itemsize
        if kind == [_FORMAT, _VERSION, digest] and whole:
            parts = _map(ids_path, dtype, lengths)
            found = hashlib.sha256()
            for piece in itertools.chain(*map(pieces, parts)):
                found.update(piece)
            if found.hexdigest() == document['ids_sha256']:
                return IdFile(chars, parts, document['unseen'])
    return None


def pieces(ids: np.ndarray) -> Iterator[np.ndarray]:
    """Yields ids piece by piece; of a mapped file, none stays in memory.

    >>> [len(piece) for piece in pieces(np.arange(5))]
    [5]
    """
    for start in range(0, len(ids), _PIECE):
        yield ids[start : start + _PIECE]
        release(ids)


def release(ids: np.ndarray) -> None:
    """Lets go of what was read of a mapped file: it is read anew if need be.

    Args:
        ids: An array; nothing happens if it is in memory.
    """
    while isinstance(ids, np.ndarray):
        ids = ids.base
    if isinstance(ids, mmap.mmap) and hasattr(ids, 'madvise'):
        ids.madvise(mmap.MADV_DONTNEED)


def _cut(texts, ends):
    """Yields (number of the part, text), cut where a part ends."""
    part = place = 0
    for text in texts:
        while text:
            while part < len(ends) - 1 and place >= ends[part]:
                part += 1
            size = ends[part] - place if part < len(ends) - 1 else len(text)
            some, text = text[:size], text[size:]
            place += len(some)
            yield part, some


def _delete_abandoned(path):
    """Deletes what a process that was killed had written of this file."""
    for partial in path.parent.glob(f'.{path.name}.*.partial'):
        if time.time() - partial.stat().st_mtime > _ABANDONED_SECONDS:
            partial.unlink(missing_ok=True)


def _map(path, dtype, lengths):
    """Maps each part; an empty one cannot be."""
    parts, offset = [], 0
    for length in lengths:
        parts.append(
            np.memmap(path, dtype, 'r', offset, length)
            if length
            else np.empty(0, dtype)
        )
        offset += length * dtype.itemsize
    return parts
