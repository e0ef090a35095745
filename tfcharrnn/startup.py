"""Before TensorFlow: its threads, and an import that prints nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, TextIO


def set_threads() -> None:
    """Lets two independent products run at once: the fastest way to train.

    The model works on the rows of a batch in two chains, and writes a single
    text with two halves of the weights. One of two cores each is faster than
    two cores for one product after the other, which is how TensorFlow's own
    settings use them. (Those write many texts at once faster.)

        cores      products at once x threads of a product
        1          2 x 1
        2          2 x 1
        64         2 x 32

    The commands call it. In Python, it is the first line after the imports:

        >>> set_threads()

    Values that were set before, by `tf.config.threading` or the environment
    variables TF_NUM_INTRAOP_THREADS and TF_NUM_INTEROP_THREADS, are kept.

    Raises:
        RuntimeError: TensorFlow has computed something, with other settings.
    """
    threads = {'intra': max(1, _num_cores() // 2), 'inter': 2}
    tensorflow = sys.modules.get('tensorflow')
    for kind, number in threads.items():
        variable = f'TF_NUM_{kind.upper()}OP_THREADS'
        if tensorflow is None:
            os.environ.setdefault(variable, str(number))
        elif variable not in os.environ:
            _set_parallelism(tensorflow.config.threading, kind, number)


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
        tensorflow.get_logger().setLevel('WARNING')  # In a notebook, INFO.
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


def _num_cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _set_parallelism(threading: Any, kind: str, number: int) -> None:
    """Sets a number of threads, unless one is set."""
    if getattr(threading, f'get_{kind}_op_parallelism_threads')():
        return
    try:
        getattr(threading, f'set_{kind}_op_parallelism_threads')(number)
    except RuntimeError:
        raise RuntimeError(
            'TensorFlow has already started its threads, so they cannot be set '
            'any more. Call `tfcharrnn.set_threads()` right after the imports.'
        ) from None


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
