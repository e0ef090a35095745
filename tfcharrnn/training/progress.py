"""Progress: how training goes, on a terminal, in a notebook or in a log."""

from __future__ import annotations

import contextlib
import datetime
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

_SECONDS_BETWEEN_LINES = 30.0
_LEAST_BAR = 8  # Columns; a shorter bar shows nothing.
_MOST_BAR = 30
_EIGHTHS = ' ▏▎▍▌▋▊▉'


class Progress:
    r"""Shows step, loss, speed and the time left.

    A terminal and a notebook have one live line, with a bar where there is
    room; a log file gets a line every half minute. A validation gets a line
    that stays:

        step 340/6,600 ▕██▋       ▏ loss 1.634 | 9,120 chars/s | 0:11:03 left

    As a callback, it is called with the trainer and the metrics after each loop
    of steps.
    """

    def __init__(
        self,
        steps: int,
        stream: TextIO | None = None,
        *,
        unit: str = 'character',
    ):
        """Takes the last step, and where to write.

        Args:
            steps: The last step.
            stream: A text file; None for the notebook, or else for standard
                output.
            unit: What an id stands for; see `Vocabulary.unit`.
        """
        self._steps = steps
        self._unit = unit
        self._screen = _screen(stream)
        self._seconds_per_step: float | None = None
        self._last: tuple[int, float] | None = None

    def __call__(self, trainer: Any, metrics: dict[str, float]) -> None:
        """Redraws the line, or writes one that stays."""
        step = trainer.step
        self._measure(step, time.monotonic())
        head, rest = f'step {step:,}/{self._steps:,}', self._rest(step, metrics)
        if 'valid_loss' in metrics:
            self._screen.keep(f'{head} | {rest}')
        else:
            self._screen.show(head, step / max(1, self._steps), rest)

    def close(self) -> None:
        """Ends the live line, if there is one."""
        self._screen.close()

    def _measure(self, step, now):
        """Averages the time of a step, including evaluation and saving."""
        if self._last is not None and step > self._last[0]:
            seconds = (now - self._last[1]) / (step - self._last[0])
            old = self._seconds_per_step or seconds
            self._seconds_per_step = 0.9 * old + 0.1 * seconds
        if self._last is None or step > self._last[0]:
            self._last = step, now

    def _rest(self, step, metrics):
        parts = [f'loss {metrics["loss"]:.3f}']
        if 'valid_loss' in metrics:
            nats = metrics['valid_loss']
            parts.append(
                f'validation {nats:.3f} nats, {nats / math.log(2):.3f} bits '
                f'per {self._unit}'
            )
        units = 'chars' if self._unit == 'character' else f'{self._unit}s'
        parts.append(f'{metrics["chars_per_second"]:,.0f} {units}/s')
        if self._seconds_per_step is not None:
            left = round((self._steps - step) * self._seconds_per_step)
            parts.append(f'{datetime.timedelta(seconds=left)} left')
        return ' | '.join(parts)


@contextlib.contextmanager
def shown(
    callbacks: Iterable[Any], steps: int, wanted: bool | None
) -> Iterator[list[Any]]:
    """Adds a `Progress` to callbacks, where it is wanted.

    Args:
        callbacks: The others.
        steps: The last step.
        wanted: None: where a person watches and there are no callbacks, which
            may have a line of their own.

    Yields:
        The callbacks, with or without another one.
    """
    callbacks = list(callbacks)
    if wanted is None:
        wanted = not callbacks and is_live()
    if not wanted:
        yield callbacks
        return
    with contextlib.closing(Progress(steps)) as progress:
        yield [*callbacks, progress]


def is_live(stream: TextIO | None = None) -> bool:
    """Returns whether a person watches: on a terminal or in a notebook.

    Args:
        stream: Where the lines go; None for standard output.
    """
    return stream is None and _in_notebook() or (stream or sys.stdout).isatty()


class _Log:
    """A file: a line from time to time."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._last_line = time.monotonic()

    def show(self, head: str, share: float, rest: str) -> None:
        if time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self.keep(f'{head} | {rest}')

    def keep(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._stream.write(line + '\n')
        self._stream.flush()

    def close(self) -> None:
        """Has no live line to end."""


class _Terminal:
    """A terminal: a line that is written over, as wide as the window."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._width = 0  # Of the line that may be written over.

    def show(self, head: str, share: float, rest: str) -> None:
        # The last column would wrap the line on some terminals.
        columns = shutil.get_terminal_size().columns - 1
        self._write(with_bar(head, share, rest, columns)[:columns], '')

    def keep(self, line: str) -> None:
        self._write(line, '\n')

    def close(self) -> None:
        if self._width:
            self._stream.write('\n')
            self._width = 0

    def _write(self, line, ending):
        # Padded, to cover the line before.
        self._stream.write('\r' + line.ljust(self._width) + ending)
        self._stream.flush()
        self._width = 0 if ending else len(line)


class _Notebook:
    """A notebook: a live line below the lines that stay."""

    def __init__(self):
        self._handle: Any = None
        self._kept: list[str] = []
        self._live = ''

    def show(self, head: str, share: float, rest: str) -> None:
        self._live = with_bar(head, share, rest, 100)
        self._update()

    def keep(self, line: str) -> None:
        self._kept.append(line)
        self._live = ''
        self._update()

    def close(self) -> None:
        """Leaves the last line as it is."""

    def _update(self):
        from IPython import display  # pyright: ignore[reportMissingImports]

        lines = [*self._kept, *filter(None, [self._live])]
        text = display.Pretty('\n'.join(lines))
        if self._handle is None:
            self._handle = display.display(text, display_id=True)
        else:
            self._handle.update(text)


def with_bar(head: str, share: float, rest: str, columns: int) -> str:
    """Puts a bar between two texts, if it fits.

    >>> with_bar('step 3/4', 0.75, '0:00:01 left', 40)
    'step 3/4 ▕████████████    ▏ 0:00:01 left'
    >>> with_bar('step 3/4', 0.75, '0:00:01 left', 25)
    'step 3/4 | 0:00:01 left'

    Args:
        head: What stands before it.
        share: The share that is done, from 0 to 1.
        rest: What stands after it.
        columns: The width of all together.
    """
    width = min(_MOST_BAR, columns - len(head) - len(rest) - 4)
    if width < _LEAST_BAR:
        return f'{head} | {rest}'
    whole, eighths = divmod(round(8 * width * min(1.0, share)), 8)
    bar = '█' * whole + _EIGHTHS[eighths] * (whole < width)
    return f'{head} ▕{bar.ljust(width)}▏ {rest}'


def _screen(stream):
    if stream is None and _in_notebook():
        return _Notebook()
    stream = stream or sys.stdout
    return (_Terminal if stream.isatty() else _Log)(stream)


def _in_notebook():
    """Returns whether a Jupyter kernel runs this process."""
    ipython = sys.modules.get('IPython')
    shell = ipython and ipython.get_ipython()
    return bool(shell) and hasattr(shell, 'kernel')
