"""Who runs when: a process for each contender, turn by turn, in rounds."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pathlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from tfcharrnn import startup
from tfcharrnn.benchmarking.contenders import CONTENDERS, OURS
from tfcharrnn.benchmarking.settings import Settings, Task

_TITLES = {
    'train': '{cell} {num_layers} x {rnn_units}, training {batch_size} x '
    '{seq_length}',
    'generate': '{cell} {num_layers} x {rnn_units}, generating {batch_size}',
    'peak': '{peak_size} x {peak_size} matrices, in the rounds of {cell}',
    'input': 'batches of {batch_size} x {seq_length}',
    'corpus': 'corpus of {corpus_size:,}',
}
# Threads that wait for more work spin for up to 0.2 seconds, then sleep.
_PAUSE = 0.25


class Contender:
    """A contender that works in its own process, one turn at a time.

        contender = Contender('corpus', 'tfcharrnn', Task())
        contender.start()
        contender.advance()      # imports, then the first step, then turns
        contender.stop()

    Attributes:
        what: What is measured.
        name: The framework, and the way if it has several.
        framework: The framework.
        task: The settings, with this contender's cell, precision and way.
        title: What is measured, in words.
        replies: [(what its generator yielded, seconds, bytes of memory)].
        error: Why it dropped out, or None.
    """

    def __init__(self, what: str, name: str, task: Task):
        """Takes its place in the table `CONTENDERS`, and its task."""
        self.what = what
        self.name = name
        self.framework = name.partition(' ')[0]
        self.task = task
        self.replies: list[tuple[Any, float, int | None]] = []
        self.error: str | None = None
        self.title = _TITLES[what].format_map(vars(task))

    def __str__(self):
        if self.task.way == 'int8':  # Whatever the precision.
            return self.name
        return f'{self.name} {self.task.precision}'.rstrip()

    @property
    def speeds(self) -> list[float]:
        """Work per second, in each round."""
        return [value for value, _, _ in self.replies[2:]]

    def start(self) -> None:
        """Starts the process, and with it the imports."""
        context = multiprocessing.get_context('spawn')
        self._pipe, end = context.Pipe()
        self._messages = _make_file()
        arguments = (end, self.what, self.name, self.task, self._messages)
        self._process = context.Process(
            target=_serve, args=arguments, daemon=True
        )
        # Ctrl-C is for this process, which then stops the others.
        usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, usual)
            end.close()  # Or no end of the other process would be noticed.

    def advance(self) -> None:
        """Waits for the imports, then the first step, then turn after turn.

        If the process fails or ends, `error` says why; further calls return at
        once.
        """
        if self.error is not None:
            return
        try:
            if self.replies:
                time.sleep(_PAUSE)
                self._pipe.send('next')
            reply = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            reply = f'its process ended with {self._process.exitcode}'
            if last := self._last_message():
                reply += f' and the message: {last}'
        if isinstance(reply, str):
            self.error = reply
        else:
            self.replies.append(reply)

    def stop(self) -> None:
        """Stops the process, whatever it is doing."""
        self._process.kill()
        self._process.join()
        self._messages.unlink(missing_ok=True)

    def _last_message(self):
        """Returns the last line that the process wrote on standard error."""
        try:
            text = self._messages.read_text('utf-8', errors='replace')
        except FileNotFoundError:  # It was stopped.
            return ''
        return text.rstrip().rpartition('\n')[2]


def groups(settings: Settings, peers: Sequence[str]) -> list[list[Contender]]:
    """Returns the contenders, in groups that run in the same rounds.

    >>> settings = Settings(what=('input', 'corpus'))
    >>> [[each.title for each in group] for group in groups(settings, [])]
    [['batches of 64 x 100'], ['corpus of 4,194,304']]

    Args:
        settings: What to measure.
        peers: Those of `settings.peers` that are installed.

    Returns:
        Groups of contenders that are not started yet.
    """

    def find(what, precisions=settings.precisions, **changes):
        contenders = [
            Contender(what, name, _task(settings, name, precision, changes))
            for name in CONTENDERS[what]
            for precision in precisions
        ]
        wanted = [c for c in contenders if _is_wanted(c, peers)]
        return wanted if what in settings.what else []

    found = []
    for cell in settings.cells:
        # A share of the peak is a share of that of the same round.
        found.append(find('train', cell=cell) + find('peak', cell=cell))
        for batch_size in settings.generate_batch_sizes:
            found.append(find('generate', cell=cell, batch_size=batch_size))
    found += [find('input', ('',)), find('corpus', ('',))]
    return [group for group in found if group]


def measure(
    groups: Sequence[Sequence[Contender]],
    rounds: int,
    show: Callable[[str], Any] | None = None,
) -> None:
    """Lets the contenders of each group take turns.

    Args:
        groups: As `groups` returns them. Afterwards their contenders have
            `speeds` and `replies`, or an `error`.
        rounds: Turns of each contender.
        show: Called with a line of progress after each round.
    """
    rounds += 2  # With the imports and the first steps.
    done, total = 0, rounds * sum(map(len, groups))
    begin = time.monotonic()
    for group in groups:
        with contextlib.ExitStack() as stack:
            for contender in group:
                contender.start()
                stack.callback(contender.stop)
            for number in range(rounds):
                for contender in group:
                    contender.advance()
                done += len(group)
                left = (time.monotonic() - begin) * (total - done) / done
                if show:
                    show(
                        f'{group[0].title}: {number + 1} of {rounds}, '
                        f'about {left:.0f} s left\n'
                    )


def _task(settings, name, precision, changes):
    way = name.partition(' ')[2]
    values = {**vars(settings), **changes}
    return Task(**values, precision=precision, way=way)


def _is_wanted(contender, peers):
    s, framework = contender.task, contender.framework
    if framework not in [OURS, 'product', *peers]:
        return False
    if contender.what == 'generate' and (s.way or framework == 'keras'):
        # int8 is the same whatever the precision. Keras' tutorials generate
        # one text at a time, in float32.
        best = s.precision == 'float32' or 'float32' not in s.precisions
        return best and (s.way in ('', 'int8') or s.batch_size == 1)
    return s.default_threads or not s.way


def _make_file():
    number, name = tempfile.mkstemp(prefix='tfcharrnn-')
    os.close(number)
    return pathlib.Path(name)


def _serve(pipe, what, name, task, messages):
    """Advances a generator on request: the main function of its process."""
    if startup.is_quiet():
        # C++ reports its start-up there, which is not for the terminal.
        with open(messages, 'wb') as file:
            os.dup2(file.fileno(), 2)
    os.environ.setdefault('TF_FORCE_GPU_ALLOW_GROWTH', 'true')
    start = time.perf_counter()
    try:
        for value in CONTENDERS[what][name](task):
            seconds = time.perf_counter() - start
            pipe.send((value, seconds, _peak_memory()))
            pipe.recv()
            start = time.perf_counter()
    except (EOFError, ConnectionError):
        pass  # Nobody asks any more.
    except Exception as error:
        pipe.send(f'{type(error).__name__}: {error}')


def _peak_memory():
    try:
        import resource
    except ImportError:  # Windows.
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak
