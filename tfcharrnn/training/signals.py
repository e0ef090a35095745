"""Signals: Ctrl-C and SIGTERM, noted instead of obeyed at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence

NUMBERS = signal.SIGINT, signal.SIGTERM


@contextlib.contextmanager
def noted(numbers: Sequence[int] = NUMBERS) -> Iterator[list[int]]:
    """Notes the first SIGINT or SIGTERM; a second one acts as usual.

    >>> import os
    >>> with noted() as caught:
    ...     os.kill(os.getpid(), signal.SIGTERM)
    >>> [signal.Signals(number).name for number in caught]
    ['SIGTERM']

    Args:
        numbers: The signals that are noted.

    Yields:
        A list to which the number of the signal is added. Outside of the main
        thread, where Python handles no signals, it stays empty.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    usual = {number: signal.getsignal(number) for number in numbers}

    def restore():
        for number, handler in usual.items():
            signal.signal(number, handler)

    def note(number, _):
        caught.append(number)
        restore()

    for number in numbers:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        restore()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Holds Ctrl-C back until the end of a block, which is then whole.

    A second Ctrl-C acts at once, and so does the first where something else
    handles it.

        >>> import os
        >>> _ = signal.signal(signal.SIGINT, signal.default_int_handler)
        >>> try:
        ...     with deferred():
        ...         os.kill(os.getpid(), signal.SIGINT)
        ...         print('The block ends.')
        ... except KeyboardInterrupt:
        ...     print('Then it is interrupted.')
        The block ends.
        Then it is interrupted.

    Raises:
        KeyboardInterrupt: After the block.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    with noted([signal.SIGINT]) as caught:
        yield
    if caught:
        raise KeyboardInterrupt
