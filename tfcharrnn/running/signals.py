"""Signals: Ctrl-C and SIGTERM, noted instead of obeyed at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def noted() -> Iterator[list[int]]:
    """Notes the first SIGINT or SIGTERM; a second one acts as usual.

    >>> import os
    >>> with noted() as numbers:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    >>> [signal.Signals(number).name for number in numbers]
    ['SIGTERM']

    Yields:
        A list to which the number of the signal is added. Outside of the main
        thread, where Python handles no signals, it stays empty.
    """
    numbers: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield numbers
        return
    usual = {number: signal.getsignal(number) for number in _NUMBERS}

    def restore():
        for number, handler in usual.items():
            signal.signal(number, handler)

    def note(number, _):
        numbers.append(number)
        restore()

    for number in _NUMBERS:
        signal.signal(number, note)
    try:
        yield numbers
    finally:
        restore()
