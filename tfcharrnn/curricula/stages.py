"""Stages: the datasets of a curriculum, in order.

A curriculum is an iterable of `Stage`s. The loop over it is

    for stage in remaining(trainer, stages):
        trainer.train(stage.dataset, stage.steps, callbacks)

`train` is this loop, with stages that end by a condition, a budget in
characters, and a control: as many characters without the curriculum.

When a stage begins, the state is kept if the rows go on, and is zero otherwise.
Rows go on if both datasets are `data.sequences` of the same text with the same
`batch_size`, whatever their `seq_length`: no character comes twice, none is
left out. The record of the run (`training.record.Place`), and so each
checkpoint, says which stage it is, where it began, and where in its dataset
training stands.

What changes from batch to batch needs no stages. It is a dataset whose batches
are a function of their number (`easiest_first`, `growing_vocabulary`, `mix`),
or a probability that is a function of the step (`ScheduledSampling`).
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from absl import logging

from tfcharrnn import checks
from tfcharrnn.data import Dataset
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.record import Place
from tfcharrnn.training.trainer import Callback, Trainer


@dataclasses.dataclass(frozen=True)
class Stage:
    """A dataset, and how long it is trained on.

        Stage(short, steps=1000)               up to GLOBAL step 1000
        Stage(short, until=good, every=500)    until good(metrics) holds
        Stage(long)                            for the rest of the training

    >>> from tfcharrnn import data
    >>> easy = data.sequences(np.arange(99), seq_length=5, batch_size=2)
    >>> stage = Stage(
    ...     easy, until=lambda metrics: metrics['accuracy'] > 0.9, every=100
    ... )
    >>> stage.until({'accuracy': 0.95})
    True

    Attributes:
        dataset: `data.Batches`, or any dataset for a `Trainer` that also has
            `num_chars`, the number of targets in a pass.
        steps: The GLOBAL step at which the stage ends; None: at no fixed step.
        until: Ends the stage when it returns True. Its argument has the
            metrics of the last `every` steps (without 'chars_per_second'), and
            those that callbacks with this period have added, such as
            'valid_loss'. It should depend on nothing else.
        every: The period of `until`, which is called at the multiples.

    Raises:
        ValueError: If `steps` or `every` is not a whole number above 0, or one
            of `until` and `every` is given alone.
    """

    dataset: Dataset
    steps: int | None = None
    until: Callable[[Metrics], bool] | None = None
    every: int | None = None

    def __post_init__(self):
        for name in ('steps', 'every'):
            value = getattr(self, name)
            if value is not None:
                whole = checks.whole_number(name, value)
                object.__setattr__(self, name, whole)
        if (self.until is None) != (self.every is None):
            raise ValueError(
                '`until` is called at each multiple of `every` steps: give '
                'both, or neither.'
            )


def remaining(trainer: Trainer, stages: Iterable[Stage]) -> Iterator[Stage]:
    """Yields the stages that are left, from wherever a checkpoint stands.

        for stage in remaining(trainer, stages):
            trainer.train(stage.dataset, stage.steps, callbacks)

    The next stage comes when one is over: at its `steps`, or when its `until`
    holds (in `train`). If training stops before that, so does the loop.

    Args:
        trainer: Its `record.place` says which stage it is on.
        stages: A list or generator of stages, the same at each restart.

    Yields:
        The stage that the trainer is on, and those after it. The trainer is
        ready for the dataset of the stage.
    """
    place = trainer.record.place
    begins = place.began is None
    if begins:
        place.began = trainer.step
    previous = trainer.dataset
    for number, stage in enumerate(stages):
        if number > place.stage:
            _turn(trainer, number, stage.dataset, previous)
        elif number == place.stage:
            trained = trainer.dataset
            if begins and trained is not None and trained is not stage.dataset:
                trainer.begin(stage.dataset)
            trainer.dataset = stage.dataset
        previous = stage.dataset
        if number < place.stage:
            continue
        yield stage
        place = trainer.record.place  # A callback may have restored another.
        if trainer.stop_training or not _is_over(stage, place, trainer.step):
            return
        logging.info('Stage %d ended at step %d', number, trainer.step)


def train(
    trainer: Trainer,
    stages: Iterable[Stage],
    steps: int | None = None,
    *,
    callbacks: Iterable[Callback] = (),
    num_chars: int | None = None,
    control: bool = False,
) -> Metrics:
    """Trains through the stages, from wherever a checkpoint left off.

        for stage in remaining(trainer, stages):
            trainer.train(stage.dataset, ...)   # until the stage ends

    Restarted after a crash in any stage, it continues bit for bit, if the
    stages are the same. It does not repeat stages that are over.

        >>> from tfcharrnn import CharRNN, data
        >>> rnn = CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> trainer = Trainer(rnn, tf.keras.optimizers.Adam(0.1))
        >>> text = np.tile([0, 1, 2], 200)
        >>> short = data.sequences(text, seq_length=5, batch_size=4)
        >>> long = data.sequences(text, seq_length=20, batch_size=4)
        >>> good = lambda metrics: metrics['accuracy'] > 0.9
        >>> stages = [Stage(short, until=good, every=10), Stage(long)]
        >>> metrics = train(trainer, stages, steps=100)
        >>> trainer.record.place.stage, trainer.step
        (1, 100)

    Args:
        trainer: The trainer; its `record.place` says where it stands.
        stages: A list or generator of stages. Each but the last needs `steps`
            or `until`.
        steps: The GLOBAL step at which all training ends.
        callbacks: As for `Trainer.train`.
        num_chars: A budget, instead of `steps` or in addition: training ends
            after this many targets, counted by the mean of the batches of each
            dataset.
        control: Trains on the dataset of the last stage only, for as many
            characters: a baseline for the curriculum.

    Returns:
        The metrics of the last stage that was trained; empty if there was
        nothing to do.

    Raises:
        ValueError: If a stage has no end, an `until` needs a missing metric, or
            a control has no stages.
    """
    if control:
        stages = list(stages)
        if not stages:
            raise ValueError('There are no stages: give at least one.')
        if num_chars is None:
            num_chars, steps = count_chars(stages, steps), None
        stages = [Stage(stages[-1].dataset)]
    callbacks = list(callbacks)
    metrics = {}
    for stage in remaining(trainer, stages):
        last = _last_step(stage, trainer.record.place, steps, num_chars)
        metrics = _train_stage(trainer, stage, last, callbacks)
    return metrics


def count_chars(stages: Iterable[Stage], steps: int | None = None) -> int:
    """Counts the targets up to a GLOBAL step.

    >>> from tfcharrnn import data
    >>> text = np.arange(1001)
    >>> short = data.sequences(text, seq_length=5, batch_size=2)
    >>> long = data.sequences(text, seq_length=50, batch_size=2)
    >>> count_chars([Stage(short, steps=70), Stage(long)], steps=73)
    1000

    Args:
        stages: Stages without `until`, whose end cannot be foreseen.
        steps: Where training ends; None: at the end of the last stage.

    Returns:
        The number of targets, by the mean of the batches of each dataset.

    Raises:
        ValueError: If a stage does not end at a fixed step.
    """
    begin, total = 0, 0.0
    for stage in stages:
        ends = [x for x in (stage.steps, steps) if x is not None]
        if stage.until is not None or not ends:
            raise ValueError(
                'The characters of a curriculum can only be counted if each '
                'stage ends at a fixed step. Give the budget as `num_chars`.'
            )
        total += _chars(stage.dataset, max(0, min(ends) - begin))
        begin = max(begin, min(ends))
    return round(total)


def count_steps(stages: Iterable[Stage], num_chars: int) -> int:
    """Counts the steps up to a number of targets.

    >>> from tfcharrnn import data
    >>> text = np.arange(1001)
    >>> short = data.sequences(text, seq_length=5, batch_size=2)
    >>> long = data.sequences(text, seq_length=50, batch_size=2)
    >>> count_steps([Stage(short, steps=70), Stage(long)], num_chars=1000)
    73

    Args:
        stages: Stages without `until`.
        num_chars: The number of characters, as `train` counts them.

    Returns:
        The GLOBAL step.

    Raises:
        ValueError: If a stage does not end at a fixed step.
    """
    began, spent = 0, 0.0
    for number, stage in enumerate(stages):
        if stage.until is not None:
            raise ValueError(
                'The steps of a curriculum can only be counted if each stage '
                'ends at a fixed step, not by `until`.'
            )
        place = Place(stage=number, began=began, num_chars=spent)
        last = _last_step(stage, place, None, num_chars)
        if stage.steps is None or last < stage.steps:
            return last
        spent += _chars(stage.dataset, max(0, last - began))
        began = max(last, began)
    return began


def _turn(trainer, number, dataset, previous):
    """Begins the next stage; nothing else begins one."""
    place = trainer.record.place
    spent = _chars(previous, trainer.step - place.began)
    place.num_chars += spent
    place.stage, place.began = number, trainer.step
    place.metrics, place.ended = None, False
    trainer.begin(dataset, after=previous)


def _train_stage(trainer, stage, last, callbacks):
    """Trains up to a step, until `until` holds, or until a callback stops."""
    place = trainer.record.place
    if place.metrics is not None:
        _ask(stage, place)

    def ask(trainer, metrics):
        place = trainer.record.place
        _note(place, metrics)
        _ask(stage, place)

    if stage.until is not None:
        ask.call_every = stage.every
        callbacks = [_noting(each, stage) for each in callbacks]
        callbacks.append(ask)
    return trainer.train(
        stage.dataset,
        0 if place.ended else last,
        callbacks,
        until=lambda: trainer.record.place.ended,
    )


def _noting(callback, stage):
    """Notes the metrics before a callback, which may save a checkpoint."""
    if getattr(callback, 'call_every', None) != stage.every:
        return callback

    def call(trainer, metrics):
        _note(trainer.record.place, metrics)
        callback(trainer, metrics)

    call.call_every = stage.every
    return call


def _note(place, metrics):
    # A repeated run would have other timings.
    place.metrics = {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, numbers.Real) and name != 'chars_per_second'
    }


def _ask(stage, place):
    """Asks `until` whether the stage is over, once for each multiple."""
    metrics = place.metrics
    try:
        place.ended = bool(stage.until(metrics))
    except KeyError as error:
        raise ValueError(
            f'A stage waits for the metric {error}, but there are '
            f'{", ".join(sorted(metrics))}. Give a callback that adds it, such '
            f'as `every({stage.every}, Evaluate(valid))`, with the period of '
            'the stage.'
        ) from error
    place.metrics = None


def _is_over(stage, place, step):
    return place.ended or (stage.steps is not None and step >= stage.steps)


def _last_step(stage, place, steps, num_chars):
    """Returns the step at which a stage ends, unless `until` ends it."""
    ends = [stage.steps, steps]
    if num_chars is not None:
        left = max(0.0, num_chars - place.num_chars)
        batches = left * len(stage.dataset) / stage.dataset.num_chars
        # Rounding must not cause an extra step.
        ends.append(place.began + math.ceil(round(batches, 6)))
    ends = [end for end in ends if end is not None]
    if not ends and stage.until is None:
        raise ValueError(
            f'Stage {place.stage} has no end: give its `steps` or `until`, or '
            'the `steps` or `num_chars` of all training.'
        )
    return min(ends, default=np.iinfo(np.int64).max)


def _chars(dataset, steps):
    """Returns the mean number of targets in a number of steps."""
    return steps * dataset.num_chars / len(dataset)
