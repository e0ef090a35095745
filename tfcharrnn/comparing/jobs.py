"""Jobs: commands side by side, each in its own process with its own cores."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfcharrnn.training import signals

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_BETWEEN_REPORTS = 1.0
_TAIL = 4096


@dataclasses.dataclass(frozen=True)
class Job:
    """A command, and the file that its output goes to.

    Attributes:
        name: What it is called in reports.
        command: The program and its arguments.
        log: Its standard output and error; replaced when it begins.
    """

    name: str
    command: Sequence[str]
    log: pathlib.Path

    def share(self) -> float:
        """Returns how much is done, by the last line `step 20/80 | ...`."""
        steps = re.findall(r'^step ([\d,]+)/([\d,]+) ', self.tail(), re.M)
        if not steps:
            return 0.0
        step, last = (int(text.replace(',', '')) for text in steps[-1])
        return min(1.0, step / max(1, last))

    def error(self) -> str:
        """Returns the last line that it wrote, which says what went wrong."""
        lines = [line for line in self.tail().splitlines() if line.strip()]
        return lines[-1].removeprefix('Error: ') if lines else ''

    def tail(self) -> str:
        """Returns the end of the log; empty before it is begun."""
        with contextlib.suppress(OSError), open(self.log, 'rb') as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            return file.read().decode('utf-8', 'replace')
        return ''


@dataclasses.dataclass(frozen=True)
class Ended:
    """How jobs ended.

    Attributes:
        statuses: The exit status of each job that has ended, by its name;
            negative: by a signal.
        signal: The number of the signal that stopped all of them, or None.
    """

    statuses: dict[str, int]
    signal: int | None


def count_cores() -> int:
    """Returns how many cores this process may use.

    >>> count_cores() >= 1
    True
    """
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(num_cores: int) -> dict[str, str]:
    """Returns the variables that keep TensorFlow to a number of cores.

    Two chains of the model run at once where there are two cores; see
    `startup.set_threads`. Existing values are kept. A GPU is shared by all.

    >>> 'OMP_NUM_THREADS' in environment(num_cores=1)
    True
    """
    return {
        'TF_NUM_INTRAOP_THREADS': str(max(1, num_cores // 2)),
        'TF_NUM_INTEROP_THREADS': str(min(2, num_cores)),
        'OMP_NUM_THREADS': str(num_cores),
        'TF_FORCE_GPU_ALLOW_GROWTH': 'true',
        **os.environ,
    }


def run(
    jobs: Sequence[Job],
    num_at_once: int,
    *,
    variables: Mapping[str, str] | None = None,
    on_end: Callable[[Job, int], Any] | None = None,
    report: Callable[[float], Any] | None = None,
) -> Ended:
    """Runs all jobs, a few at a time; one that fails leaves the others.

    The first Ctrl-C, SIGTERM or hang-up is passed on to the jobs that run, and
    no other is started. `tfcharrnn.train` then saves. A second one kills them.

    Args:
        jobs: In the order in which they are started.
        num_at_once: How many run at a time.
        variables: The environment of each; None: that of this process.
        on_end: Called with each job that has ended, and its status.
        report: Called about once a second with the share of all work that is
            done, if all jobs take as long.
    """
    waiting, running = list(jobs)[::-1], {}
    ended, reported = Ended({}, None), 0.0
    numbers = list(signals.NUMBERS)
    hang_up = getattr(signal, 'SIGHUP', None)  # Windows has none.
    if hang_up and signal.getsignal(hang_up) is not signal.SIG_IGN:
        numbers.append(hang_up)
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(signals.noted(numbers))
        stack.callback(_kill, running)
        told = False
        while running or (waiting and not caught):
            while waiting and not caught and len(running) < num_at_once:
                job = waiting.pop()
                running[job.name] = job, _start(job, variables)
            if caught and not told:
                told = True
                for _, process in running.values():
                    process.send_signal(_to_pass_on(caught[0]))
            for name, (job, process) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                ended.statuses[name] = process.returncode
                if on_end is not None and not caught:
                    on_end(job, process.returncode)
            if (
                report
                and time.monotonic() - reported > _SECONDS_BETWEEN_REPORTS
            ):
                reported = time.monotonic()
                done = sum(job.share() for job, _ in running.values())
                report((len(ended.statuses) + done) / len(jobs))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    return dataclasses.replace(ended, signal=caught[0] if caught else None)


def _start(job, variables):
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, 'wb') as log:
        # Not of the terminal's group: a Ctrl-C there comes once, from us.
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
            start_new_session=True,
        )


def _to_pass_on(number):
    # What trains knows these two.
    return signal.SIGINT if number == signal.SIGINT else signal.SIGTERM


def _kill(running):
    for _, process in running.values():
        process.kill()
        process.wait()
