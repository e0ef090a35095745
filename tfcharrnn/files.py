"""Files that are there in full or not at all, and are noticed if changed."""

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, BinaryIO

_LOCK = '.lock'
_CHECKSUM = 'sha256'


def write(path: str | os.PathLike, text: str) -> None:
    r"""Writes a text file under another name and then renames it.

    A reader, or a crash at any moment, finds the old text or the new one.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'notes.txt')
        >>> write(path, 'to be\n')
        >>> path.read_text()
        'to be\n'

    Args:
        path: Where to write; a file that is there is replaced.
        text: The text, written as UTF-8.

    Raises:
        OSError: If it cannot be written, naming the file.
    """
    with replacing(path) as file:
        file.write(text.encode('utf-8'))


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a file that takes the name `path` when it is written in full.

    Args:
        path: Where to write; a file that is there is replaced.

    Raises:
        OSError: If it cannot be written, naming the file.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        with _naming(path), open(partial, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def append(path: str | os.PathLike, text: str) -> None:
    """Adds a text to the end of a file: all of it, or nothing.

    Args:
        path: The file; made if it is not there.
        text: The text, written as UTF-8.

    Raises:
        OSError: If it cannot be written, naming the file.
    """
    with _naming(path), open(path, 'ab') as file:
        size = os.fstat(file.fileno()).st_size
        try:
            file.write(text.encode('utf-8', 'replace'))
            file.flush()
        except OSError:
            os.truncate(path, size)
            raise


def reason(error: Exception) -> str:
    """Returns the line of an error, such as TensorFlow's, that says what it is.

    TensorFlow names the operation before it, and where that is after it; from
    within a graph, how the operation came there stands before that.

        >>> reason(ValueError('{{node x}} disk full [Op:SaveV2] name: y'))
        'disk full'
    """
    lines = [
        line
        for line in str(error).splitlines()
        if line.strip()
        and not line.startswith(('Graph execution', 'Detected at', '  File'))
    ]
    line = (lines or [''])[0].split('}} ')[-1]
    return line.partition(' [Op:')[0].strip()


def checksum(document: Any) -> str:
    """Returns the SHA-256 of a JSON document, whatever its layout.

    >>> checksum({'a': 1, 'b': [2, 3]}) == checksum({'b': (2, 3), 'a': 1})
    True
    """
    # The indent asks for Python's own writer, which takes what only behaves
    # like a dict, such as those that a `tf.Module` holds.
    text = json.dumps(document, sort_keys=True, indent=0)
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(
    path: str | os.PathLike, document: dict[str, Any], indent: int = 2
) -> None:
    """Writes a JSON document that carries its checksum, as `write` does."""
    document = {**document, _CHECKSUM: checksum(document)}
    write(path, json.dumps(document, indent=indent) + '\n')


def check_json(document: dict[str, Any]) -> None:
    """Raises ValueError if a document is not what `write_json` wrote.

    One without a checksum, of an older version, is taken as it is.

        >>> check_json({'units': 3, 'sha256': checksum({'units': 2})})
        Traceback (most recent call last):
        ValueError: its sha256 does not fit, so it was changed since.
    """
    rest = {k: v for k, v in document.items() if k != _CHECKSUM}
    if document.get(_CHECKSUM, checksum(rest)) != checksum(rest):
        raise ValueError('its sha256 does not fit, so it was changed since.')


@contextlib.contextmanager
def locked(directory: str | os.PathLike) -> Iterator[None]:
    """Keeps a directory for this process alone, inside of `with`.

    The lock is the operating system's, on a file `.lock` in the directory: it
    ends with the process, however that ends. The directory is made if it is
    not there, and goes again if nothing was written to it.

    Args:
        directory: What to lock.

    Raises:
        BlockingIOError: If another process has it.
    """
    directory = pathlib.Path(directory)
    path = directory / _LOCK
    is_new = not path.exists()
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with _naming(path), open(path, 'ab') as file:
            _lock(file, directory)
            yield
    finally:
        if is_new and os.listdir(directory) == [_LOCK]:
            path.unlink()
            for parent in missing:
                parent.rmdir()


def _lock(file, directory):
    try:
        import fcntl
    except ImportError:  # Windows: nobody is refused there.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"Another process is training in '{directory}'. Wait until it has "
            'ended, or give another --model_dir.'
        ) from error


@contextlib.contextmanager
def _naming(path):
    """Lets an error of the operating system name the file."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = os.fspath(path)
        raise
