"""Averages: a mean of past weights, for evaluation and samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.training.replicas import same_on_all
from tfcharrnn.training.schedules import Schedule


def exponential(decay: float) -> Schedule:
    """Returns the share of new weights in an exponential moving average.

        share = max(1 - decay, 1 / (step + 1))

    At first the average is the mean of all weights so far; later it forgets
    the oldest (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046).

        >>> [float(exponential(0.75)(step)) for step in (0, 1, 3, 9)]
        [1.0, 0.5, 0.25, 0.25]

    Args:
        decay: Above 0, below 1, such as 0.999.

    Raises:
        ValueError: If `decay` is out of range.
    """
    decay = checks.number('average', decay, above=0.0, below=1.0)
    return lambda step: tf.maximum(
        1.0 - decay, 1.0 / (tf.cast(step, tf.float32) + 1.0)
    )


def tail(begin: int) -> Schedule:
    """Returns the share of new weights in the mean of all from a step on.

        step     1  2  3  4  5  6
        begin 3           [-----]    the mean of the last three

    Before, the average is the weights themselves. Unlike an exponential
    average, it forgets none of its steps (tail averaging: Jain et al., arXiv
    1610.03774; of the latest checkpoints: Kaddour, arXiv 2209.14981; Melis,
    arXiv 2209.12581, finds the beginning by evaluations).

        >>> [float(tail(3)(step)) for step in range(6)]
        [1.0, 1.0, 1.0, 1.0, 0.5, 0.3333333432674408]

    Args:
        begin: The number of steps before the first that counts.
    """
    begin = checks.whole_number('begin', begin, low=0)
    return lambda step: (
        1.0
        / (
            tf.cast(tf.maximum(tf.cast(step, tf.int64) - begin, 0), tf.float32)
            + 1.0
        )
    )


class Averages:
    """A running mean of a model's weights.

        average += share(step) * (weights - average)

        >>> model = tf.Module()
        >>> model.weight = tf.Variable(0.0)
        >>> averages = Averages(model, exponential(0.9))
        >>> for step in range(2):
        ...     _ = model.weight.assign_add(1.0)
        ...     averages.update(step)
        >>> with averages.applied():
        ...     print(float(model.weight))
        1.5
        >>> float(model.weight)
        2.0

    Attributes:
        variables: One for each trainable variable of the model; empty without
            a `share`.
    """

    def __init__(self, model: Any, share: Schedule | None):
        """Creates the variables, equal to the weights.

        Args:
            model: Has `trainable_variables`.
            share: The share of the new weights, of the number of updates
                before: `exponential` or `tail`; None for no average.
        """
        self._model = model
        self._share = share
        self.variables = [
            same_on_all(variable, variable.dtype, 'average')
            for variable in (model.trainable_variables if share else ())
        ]

    def update(self, step: int | tf.Tensor | tf.Variable) -> None:
        """Moves the averages towards the weights.

        Args:
            step: The number of updates before this one.
        """
        if self._share is None:
            return
        share = self._share(step)
        weights = self._model.trainable_variables
        for average, variable in zip(self.variables, weights, strict=True):
            moved = average + share * (variable - average)
            # Where nothing is averaged yet, not even rounding may differ.
            average.assign(tf.where(share < 1.0, moved, variable))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Replaces the weights by their averages inside a `with` block."""
        weights = self._model.trainable_variables if self.variables else ()
        saved = [tf.identity(variable) for variable in weights]
        for variable, average in zip(weights, self.variables, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(weights, saved, strict=True):
                variable.assign(value)
