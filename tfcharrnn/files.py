"""Files: written in full or not at all, and checked when they are read."""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from absl import logging

_LOCK = '.lock'
_CHECKSUM = 'sha256'
_MAX_BYTES = 1 << 25
# What a file system says that has no locks, such as some on a network.
_NO_LOCKS = errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP


def write(path: str | os.PathLike, text: str) -> None:
    r"""Writes a text file under a temporary name, then renames it.

    So a reader, even after a crash, finds the old text or the new one.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'notes.txt')
        >>> write(path, 'to be\n')
        >>> path.read_text()
        'to be\n'

    Args:
        path: Where to write; an existing file is replaced.
        text: The text, written as UTF-8.

    Raises:
        OSError: The file cannot be written; the error names it.
    """
    with replacing(path) as file:
        file.write(text.encode('utf-8'))


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a temporary file that becomes `path` at the end of the block.

    If the block raises, `path` stays as it was.

    Args:
        path: Where to write; an existing file is replaced.

    Raises:
        OSError: The file cannot be written; the error names it.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        partial.unlink(missing_ok=True)
        # Created anew: a link that someone put there is not followed.
        with _naming(path), open(partial, 'xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Makes a temporary folder that becomes `path` at the end of the block.

    If the block raises, `path` stays as it was.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'animals')
        >>> with replacing_folder(path) as folder:
        ...     write(folder / 'cat.txt', 'four legs')
        >>> [file.name for file in path.iterdir()]
        ['cat.txt']

    Args:
        path: The folder to write; an existing one is replaced.

    Raises:
        OSError: The folder cannot be written; the error names it.
    """
    path = pathlib.Path(path)
    if path.is_symlink():
        path = path.resolve()  # The folder is replaced, the link stays.
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    before = partial.with_suffix('.before')
    try:
        with _naming(path):
            partial.mkdir()
            yield partial
            if path.exists():
                os.rename(path, before)
            os.rename(partial, path)
    finally:
        if before.exists() and not path.exists():
            os.rename(before, path)
        for folder in (partial, before):
            shutil.rmtree(folder, ignore_errors=True)


def append(path: str | os.PathLike, text: str) -> None:
    """Appends a text to a file: all of it, or nothing.

    Args:
        path: The file; created if missing.
        text: The text, written as UTF-8.

    Raises:
        OSError: The file cannot be written; the error names it.
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
    """Returns the one line of an error message that says what went wrong.

    TensorFlow puts the operation's name before it and its location after it;
    an error inside a graph begins with a stack trace.

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
    # With an indent, json uses its Python writer, which also accepts
    # like a dict, such as those that a `tf.Module` holds.
    text = json.dumps(document, sort_keys=True, indent=0)
    return hashlib.sha256(text.encode()).hexdigest()


def write_document(
    path: str | os.PathLike,
    document: Mapping[str, Any],
    *,
    format: str,
    version: int,
    indent: int = 2,
) -> None:
    """Writes a JSON file that names its format and carries its checksum.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'cat.json')
        >>> write_document(path, {'legs': 4}, format='animal', version=1)
        >>> read_document(path, 'animal', 1, what='an animal file')['legs']
        4

    Args:
        path: Where to write, as for `write`.
        document: What the file says, besides format, version and checksum.
        format: The name of the format.
        version: The version of the format.
        indent: Spaces per level.

    Raises:
        OSError: The file cannot be written; the error names it.
    """
    document = {'format': format, 'version': version, **document}
    write_json(path, document, indent)


def read_document(
    path: str | os.PathLike,
    format: str,
    version: int,
    *,
    what: str,
    mend: str = 'Restore it from a copy.',
    max_bytes: int = _MAX_BYTES,
) -> dict[str, Any]:
    """Reads a JSON file that `write_document` wrote.

    Nothing in the file is executed. A file without a checksum, from an older
    version of this library, is taken as it is.

    Args:
        path: The file.
        format: The name of the format.
        version: The version that the caller understands.
        what: What the file should be, for the error: 'a vocabulary file'.
        mend: What the user can do about a damaged file, for the error.
        max_bytes: A larger file is refused before it is parsed.

    Returns:
        The document, with its format, version and checksum.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: The file is damaged, too large, or of another format or
            version.
    """
    try:
        document = _parse(path, format, max_bytes)
        found = document.get('version')
        if found == version:
            _check(document)
            return document
    except RecursionError as error:
        deep = ValueError('its JSON is nested too deeply.')
        raise damaged(path, deep, what=what, mend=mend) from error
    except ValueError as error:
        raise damaged(path, error, what=what, mend=mend) from error
    raise ValueError(
        f"'{os.fspath(path)}' is {what} of version {shorten(found)}, but this "
        f'tfcharrnn reads version {version}. Install the tfcharrnn that wrote '
        f'it, or a newer one.'
    )


def damaged(
    path: str | os.PathLike,
    error: Exception,
    *,
    what: str,
    mend: str = 'Restore it from a copy.',
) -> ValueError:
    """Returns the error that says that a file does not hold what it should.

        >>> damaged('a.json', ValueError('it is empty.'), what='a model file')
        ValueError("'a.json' is not a model file: it is empty. Restore it ...")

    Args:
        path: The file.
        error: What is wrong with its contents.
        what: What the file should be.
        mend: What the user can do about it.
    """
    return ValueError(f"'{os.fspath(path)}' is not {what}: {error} {mend}")


def shorten(value: object) -> str:
    """Returns the `repr` of a value for an error message, 40 characters of it.

    >>> shorten('to be')
    "'to be'"
    """
    text = repr(value)
    return text if len(text) <= 40 else f'{text[:40]}...'


def leads_out(path: pathlib.Path, folder: str | os.PathLike) -> bool:
    """Whether a path is a link to what lies outside of a folder.

    >>> leads_out(pathlib.Path('runs/bard'), 'runs')
    False
    """
    if not path.is_symlink():
        return False
    try:
        root = pathlib.Path(folder).resolve()
        target = path.resolve()
        # From Python 3.13 on, a link that leads to itself stays a link.
        return target.is_symlink() or not target.is_relative_to(root)
    except (OSError, RuntimeError):  # It leads to itself, before 3.13.
        return True


def check_inside(folder: str | os.PathLike) -> None:
    """Refuses a folder with links that lead out of it, pipes or devices.

    Args:
        folder: The folder; it may be missing.

    Raises:
        ValueError: If there is one of these; the error names it.
    """
    root = pathlib.Path(folder).resolve()
    for path in root.rglob('*') if root.is_dir() else ():
        if leads_out(path, root):
            raise ValueError(
                f"'{path}' is a link that leads out of '{folder}'. Replace it "
                'by a copy of its target.'
            )
        try:
            mode = path.stat().st_mode
        except OSError:  # Gone by now, or a link to nothing.
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(
                f"'{path}' is neither a file nor a folder, so reading it may "
                'never end. Delete it.'
            )


def write_json(
    path: str | os.PathLike, document: Mapping[str, Any], indent: int = 2
) -> None:
    """Writes a JSON document and its checksum: see `write_document`."""
    document = {**document, _CHECKSUM: checksum(document)}
    write(path, json.dumps(document, indent=indent) + '\n')


@contextlib.contextmanager
def locked(directory: str | os.PathLike) -> Iterator[None]:
    """Reserves a directory for this process inside the `with` block.

    The operating system holds the lock, on a file `.lock` in the directory, and
    releases it when the process ends in whatever way. A missing directory is
    created, and removed again if nothing was written to it. Where the file
    system has no locks, a warning says so, and nothing is reserved.

    Args:
        directory: The directory to lock.

    Raises:
        BlockingIOError: Another process holds the lock.
    """
    directory = pathlib.Path(directory)
    path = directory / _LOCK
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    with _naming(path), _open_locked(path, directory) as (file, is_new):
        try:
            yield
        finally:
            if is_new and os.listdir(directory) == [_LOCK]:
                path.unlink()  # While it is ours.
                file.close()
                with contextlib.suppress(OSError):  # Others wrote there.
                    for parent in missing:
                        parent.rmdir()


@contextlib.contextmanager
def _open_locked(path, directory):
    """Opens the lock file and locks it; yields it, and whether it is new."""
    while True:
        is_new = not path.exists()
        with open(path, 'ab') as file:
            _lock(file, directory)
            # Its last owner may have deleted it before we had the lock.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    yield file, is_new
                    return
        directory.mkdir(parents=True, exist_ok=True)


def _lock(file, directory):
    try:
        import fcntl
    except ImportError:  # Windows, where nothing is locked.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"Another process is training in '{directory}'. Wait until it has "
            'ended, or use another `model_dir`.'
        ) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        logging.warning(
            "The file system of '%s' has no locks, so nothing keeps a second "
            'process from training there: see to it yourself.',
            directory,
        )


def _parse(path, format, max_bytes):
    """Reads a JSON object of a format; ValueError if the file has none."""
    with open(path, 'rb') as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f'it is larger than {max_bytes} bytes.')
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ValueError(f'it does not parse as JSON ({error}).') from error
    if not isinstance(document, dict) or document.get('format') != format:
        raise ValueError(f'it has no "format": "{format}".')
    return document


def _check(document):
    """Raises ValueError if a document does not fit its checksum."""
    rest = {k: v for k, v in document.items() if k != _CHECKSUM}
    if document.get(_CHECKSUM, checksum(rest)) != checksum(rest):
        raise ValueError('its sha256 does not fit, so it was changed since.')


@contextlib.contextmanager
def _naming(path):
    """Adds the name of the file to an error of the operating system."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = os.fspath(path)
        raise
