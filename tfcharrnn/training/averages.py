"""Averages: a moving average of the weights, for evaluation and samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.training.replicas import same_on_all


class Averages:
    """The exponential moving average of a model's weights.

        average += max(1 - decay, 1 / (step + 1)) * (weights - average)

    At first it is the mean of all weights so far; later it forgets the oldest
    (Polyak and Juditsky 1992, https://doi.org/10.1137/0330046).

        >>> model = tf.Module()
        >>> model.weight = tf.Variable(0.0)
        >>> averages = Averages(model, decay=0.9)
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
            a `decay`.
    """

    def __init__(self, model: Any, decay: float | None):
        """Creates the variables, equal to the weights.

        Args:
            model: Has `trainable_variables`.
            decay: Above 0, below 1, such as 0.999; None for no average.

        Raises:
            ValueError: If `decay` is out of range.
        """
        if decay is not None:
            decay = checks.number('average', decay, above=0.0, below=1.0)
        self._model = model
        self._decay = decay
        self.variables = [
            same_on_all(variable, variable.dtype, 'average')
            for variable in (model.trainable_variables if decay else ())
        ]

    def update(self, step: int | tf.Tensor | tf.Variable) -> None:
        """Moves the averages towards the weights.

        Args:
            step: The number of updates before this one.
        """
        if self._decay is None:
            return
        weight = tf.maximum(
            1.0 - self._decay, 1.0 / (tf.cast(step, tf.float32) + 1.0)
        )
        weights = self._model.trainable_variables
        for average, variable in zip(self.variables, weights, strict=True):
            average.assign_add(weight * (variable - average))

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
