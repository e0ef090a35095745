"""Before TensorFlow: its threads, and an import that prints nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TextIO


def set_threads() -> None:
    """Lets two independent products run at once; call it before the import.

    The model works on the rows of a batch in two chains, and writes a single
    text with two halves of the weights. One of two cores each is faster than
    two cores for one product after the other. Many texts at once are written
    faster with TensorFlow's own settings. Existing values of the two
    environment variables are kept.
    """
    cores = os.cpu_count() or 1
    os.environ.setdefault('TF_NUM_INTRAOP_THREADS', str(max(1, cores // 2)))
    os.environ.setdefault('TF_NUM_INTEROP_THREADS', '2')


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow without its messages about the machine.

    C++ writes them straight to the file descriptor: during the import whatever
    the settings, afterwards as TF_CPP_MIN_LOG_LEVEL says. Where this variable
    is set to less than 3, which it becomes here, nothing is hidden.

        >>> tf = import_tensorflow()
        >>> tf.constant(1).shape
        TensorShape([])

    Returns:
        The module.
    """
    if is_quiet() and 'tensorflow' not in sys.modules:
        os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
        with _silenced(sys.__stderr__):
            import tensorflow
    import tensorflow

    return tensorflow


def is_quiet() -> bool:
    """Returns whether the messages of C++ are hidden, as they are by default.

    They are shown where TF_CPP_MIN_LOG_LEVEL asks for less than fatal ones.
    """
    return os.environ.get('TF_CPP_MIN_LOG_LEVEL', '3') >= '3'


def quietly() -> contextlib.AbstractContextManager[None]:
    """Discards what C++ writes on standard error, where that is hidden.

    >>> with quietly():
    ...     _ = os.write(2, b'a message of C++')
    """
    return _silenced(sys.__stderr__ if is_quiet() else None)


@contextlib.contextmanager
def _silenced(stream: TextIO | None) -> Iterator[None]:
    """Discards what is written to the stream's file descriptor."""
    if stream is None:
        yield
        return
    try:
        number = stream.fileno()
        saved = os.dup(number)
    except OSError:  # It is closed, or no file.
        yield
        return
    stream.flush()
    with open(os.devnull, 'wb') as nowhere:
        os.dup2(nowhere.fileno(), number)
    try:
        yield
    finally:
        os.dup2(saved, number)
        os.close(saved)
