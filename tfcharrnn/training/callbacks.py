"""Callbacks: what happens between steps.

    trainer.train(train, steps=10_000, callbacks=[
        every(500, Evaluate(valid)),          # adds 'valid_loss' to metrics
        every(500, EarlyStopping(patience=3)),
        every(500, checkpointer),             # so this knows which is best
        lambda trainer, metrics: ...,         # after each loop of steps
    ])

A callback is any function of (trainer, metrics). Callbacks are called in order
and share the metrics of a step, so one can use what an earlier one added. A
callback keeps what must survive a restart in `trainer.record.notes`; put it
before the checkpointer. An object may also have `begin(trainer, config)` and
`close()`, which `Run` calls once each; around `Trainer.train`, `begun` does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from tfcharrnn import checks, files
from tfcharrnn.data import Dataset
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.progress import Progress as Progress
from tfcharrnn.training.record import Waiting
from tfcharrnn.training.trackers import MLflow as MLflow
from tfcharrnn.training.trackers import Tracker as Tracker
from tfcharrnn.training.trainer import Callback, Trainer


class every:
    """Calls `callback` at each step that is a multiple of `steps`.

    The metrics are those since the last multiple. For a call once a pass over
    the data, use `every(len(train), callback)`.

        >>> every(500, print).call_every
        500

    Attributes:
        call_every: The period; a `Trainer` looks for this attribute.
        callback: What is called.
    """

    def __init__(self, steps: int, callback: Callback):
        """Sets the period of a callback.

        Args:
            steps: The period.
            callback: Any function of (trainer, metrics).

        Raises:
            ValueError: If `steps` is not a whole number above 0.
        """
        self.call_every = checks.whole_number('steps', steps)
        self.callback = callback

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Calls the callback; the trainer decides when."""
        self.callback(trainer, metrics)


@contextlib.contextmanager
def begun(
    callbacks: Iterable[Callback], trainer: Trainer, config: Mapping[str, Any]
) -> Iterator[None]:
    """Begins callbacks, and closes them at the end of a `with` block.

        with begun(callbacks, trainer, config):
            trainer.train(train, steps, callbacks)

    `begin(trainer, config)` and `close()` are optional. Each is called once,
    `close` also after an exception, the last one first.

    Args:
        callbacks: Those that have these methods, and others.
        trainer: The trainer.
        config: The settings of the run, by name.
    """
    parts = (getattr(each, 'callback', each) for each in callbacks)
    with contextlib.ExitStack() as stack:
        # The same one may be called at several periods.
        for part in {id(part): part for part in parts}.values():
            if hasattr(part, 'begin'):
                part.begin(trainer, config)
            if hasattr(part, 'close'):
                stack.callback(part.close)
        yield


class Evaluate:
    """Evaluates the model on a dataset, and adds the metrics with a prefix.

    `Evaluate(valid)` adds 'valid_loss' (nats per character),
    'valid_bits_per_char', 'valid_perplexity' and 'valid_accuracy'.
    """

    def __init__(self, dataset: Dataset, name: str = 'valid'):
        """Takes the dataset, of which it evaluates one pass, and the prefix."""
        self._dataset = dataset
        self._name = name

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Adds the metrics of one pass over the dataset."""
        for name, value in trainer.evaluate(self._dataset).items():
            metrics[f'{self._name}_{name}'] = value


class EarlyStopping:
    """Stops training when a metric has not fallen for `patience` calls.

    The record of the run, and so each checkpoint, keeps the best value and the
    number of calls since: a restart continues the wait. A finished run that is
    restarted would train until the next evaluation. Check first:

        if not stopping.has_waited(trainer):
            trainer.train(train, steps, [..., every(500, stopping)])

    Attributes:
        patience: The number of calls in a row without a new minimum.
    """

    def __init__(
        self,
        patience: int,
        *,
        metric: str = 'valid_loss',
        min_delta: float = 0.0,
    ):
        """Sets how long to wait.

        Args:
            patience: Stop after this many calls in a row without a new minimum.
            metric: The metric that should fall.
            min_delta: A new minimum must be lower by more than this.

        Raises:
            ValueError: If `patience` is not positive.
        """
        self.patience = checks.whole_number('patience', patience)
        self._metric = metric
        self._min_delta = min_delta

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Stops the trainer if it has waited long enough."""
        if self._metric not in metrics:
            raise ValueError(
                f'Early stopping watches {self._metric!r}, but the metrics are '
                f'{", ".join(sorted(metrics))}. Put `Evaluate` before it, with '
                'the same period.'
            )
        waiting = self._waiting(trainer)
        if metrics[self._metric] < waiting.best - self._min_delta:
            waiting.best, waiting.waited = metrics[self._metric], 0
        else:
            waiting.waited += 1
        if self.has_waited(trainer):
            trainer.stop_training = True

    def has_waited(self, trainer: Trainer) -> bool:
        """Whether it is time to stop; ask before training after a restart."""
        return self._waiting(trainer).waited >= self.patience

    def _waiting(self, trainer):
        return trainer.record.waiting.setdefault(self._metric, Waiting())


class JsonLines:
    """Appends the metrics to a file, one JSON object a line.

    After a restart from an earlier step, later lines are dropped, so the file
    has one line for each step. A number that is not finite becomes null.
    """

    def __init__(self, path: str | os.PathLike):
        """Takes the path of the file, such as `model_dir/metrics.jsonl`."""
        self._path = os.fspath(path)
        self._last = math.inf

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Appends a line: the step and all metrics."""
        step = trainer.step
        if step <= self._last:
            keep_before(self._path, step, r'{"step": (\d{1,18})\b')
        self._last = step
        # JSON has no infinity, such as the perplexity of a bad start.
        numbers = {
            k: v if math.isfinite(v) else None for k, v in metrics.items()
        }
        files.append(self._path, json.dumps({'step': step, **numbers}) + '\n')


class TensorBoard:
    """Writes the metrics as TensorBoard events, and the settings as HParams.

    The metric 'valid_loss' becomes 'loss' in `log_dir/valid`, and 'loss' stays
    'loss' in `log_dir/train`: one chart, two curves.
    """

    def __init__(self, log_dir: str | os.PathLike):
        """Takes the directory, such as the `model_dir`.

        Raises:
            ImportError: If the package `tensorboard` is not installed.
        """
        if importlib.util.find_spec('tensorboard') is None:
            raise ImportError(
                'Events for TensorBoard need the package `tensorboard`: '
                "pip install 'tfcharrnn[tensorboard]'."
            )
        self._log_dir = os.fspath(log_dir)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def begin(self, trainer: Trainer, config: Mapping[str, Any]) -> None:
        """Writes the settings, for the tab HParams."""
        del trainer
        from tensorboard.plugins.hparams import api

        plain = bool, int, float, str
        values = {
            name: value if isinstance(value, plain) else str(value)
            for name, value in config.items()
        }
        with self._writer('train').as_default():
            api.hparams(values)

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Writes an event for each metric."""
        for name, value in metrics.items():
            is_valid = name.startswith('valid_')
            with self._writer('valid' if is_valid else 'train').as_default():
                tf.summary.scalar(
                    name.removeprefix('valid_'), value, trainer.step
                )
        for writer in self._writers.values():
            writer.flush()

    def text(self, trainer: Trainer, name: str, text: str) -> None:
        """Writes a text verbatim, not as Markdown."""
        with self._writer('train').as_default():
            indented = ''.join(f'    {line}\n' for line in text.split('\n'))
            tf.summary.text(name, indented, trainer.step)
        self._writer('train').flush()

    def close(self) -> None:
        """Closes the files; what is written next goes to new ones."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, name):
        if name not in self._writers:
            path = os.path.join(self._log_dir, name)
            self._writers[name] = tf.summary.create_file_writer(path)
        return self._writers[name]


def keep_before(path: str | os.PathLike, step: int, pattern: str) -> None:
    """Cuts a file off at the first line about `step` or a later step.

    It also drops a last line that a crash cut off. So the file of a run that
    went back to a checkpoint has no step twice.

    Args:
        path: A text file; if it is missing, nothing happens.
        step: The first step to drop.
        pattern: A regular expression for the beginning of a line; its first
            group is the step.
    """
    if not os.path.exists(path):
        return
    with open(path, encoding='utf-8', errors='replace', newline='\n') as file:
        lines = file.readlines()
    kept = []
    for line in lines:
        match = re.match(pattern, line)
        if match and int(match.group(1)) >= step or not line.endswith('\n'):
            break
        kept.append(line)
    if len(kept) < len(lines):
        files.write(path, ''.join(kept))
