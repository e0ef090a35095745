"""Updates: a loss becomes a gradient, and a gradient changes the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.training import averages
from tfcharrnn.training.metrics import Pairs
from tfcharrnn.training.objectives import OBJECTIVE
from tfcharrnn.training.replicas import Replicas, sum_over_replicas
from tfcharrnn.training.schedules import Schedule

Gradients = list[tf.Tensor | None]


def differentiate(
    compute: Callable[[], tuple[Pairs, Any]], variables: list[tf.Variable]
) -> tuple[Pairs, Gradients, Any]:
    """Computes the gradient of the mean loss over the rows of all replicas.

    Args:
        compute: Returns the pairs (sum, count) of this replica, and the state
            after the batch. The 'objective' is differentiated, or else the
            'loss'.
        variables: What to differentiate by.

    Returns:
        The pairs, summed over the replicas; this replica's share of the
        gradient for each variable, not finite if the loss is not; the state.
    """
    with tf.GradientTape() as tape:
        pairs, state = compute()
        pairs_of_all = sum_over_replicas(pairs)
        name = OBJECTIVE if OBJECTIVE in pairs else 'loss'
        total, count = pairs_of_all[name]
        loss = pairs[name][0] / tf.maximum(count, 1.0)
    gradients = _dense(tape.gradient(loss, variables))
    gradients = _spoil_unless(tf.math.is_finite(total), gradients)
    return pairs_of_all, gradients, state


class Updates:
    """Changes the weights by clipped gradients, unless they are not finite.

    norm = |sum of the replicas' gradients|
    if norm is finite:
        optimizer(weights, gradients * min(1, clip_norm / norm))
        averages(weights)
    """

    def __init__(
        self,
        model: Any,
        optimizer: tf.keras.optimizers.Optimizer,
        *,
        clip_norm: float | None,
        average: Schedule | float | None,
    ):
        """Builds the optimizer.

        Args:
            model: Has `trainable_variables`.
            optimizer: Any Keras optimizer, without clipping of its own.
            clip_norm: The largest norm of an update's gradient; None for any.
            average: The decay of the averages, or a function as
                `averages.tail` returns it; None for no average.

        Raises:
            ValueError: If `clip_norm` is not positive, or `average` not below
                1.
        """
        if average is not None and not callable(average):
            average = averages.exponential(average)
        if clip_norm is not None:
            clip_norm = checks.number('clip_norm', clip_norm, above=0.0)
        self._model = model
        self._optimizer = optimizer
        self.averages = averages.Averages(model, average)
        self._replicas = Replicas()
        self._clip_norm = clip_norm
        optimizer.build(model.trainable_variables)
        # Compiled, an optimizer passes over the weights once, not ten times.
        # A compiled function cannot wait for other replicas.
        if not tf.distribute.has_strategy():
            self._update = tf.function(
                self._update, autograph=False, jit_compile=True
            )

    def apply(self, gradients: Gradients, step: tf.Variable) -> tf.Tensor:
        """Updates the weights, in a step; see `Trainer.apply_gradients`.

        Args:
            gradients: This replica's, one for each trainable variable.
            step: How many updates there were before this one.

        Returns:
            The norm of the sum over the replicas before clipping.
        """
        gradients = sum_over_replicas(_dense(gradients))
        norm = tf.linalg.global_norm(gradients)
        # Keras adds up over the replicas once more.
        scale = 1.0 / self._replicas.count
        if self._clip_norm:
            scale *= self._clip_norm / tf.maximum(norm, self._clip_norm)
        self._replicas.update_if(
            tf.math.is_finite(norm), self._update, gradients, scale, step
        )
        return norm

    def _update(self, gradients, scale, step):
        gradients = [g if g is None else g * scale for g in gradients]
        variables = self._model.trainable_variables
        self._optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.averages.update(step)


def _dense(gradients):
    """Adds up the rows of a sparse gradient that belong to one character.

    Keras' optimizers would square them one by one.
    """
    return [g if g is None else tf.convert_to_tensor(g) for g in gradients]


def _spoil_unless(finite, gradients):
    """Makes one gradient NaN, the smallest, so that none is applied."""
    numbers = [i for i, g in enumerate(gradients) if g is not None]
    if numbers:
        i = min(numbers, key=lambda i: gradients[i].shape.num_elements() or 0)
        gradients[i] = tf.where(finite, gradients[i], math.nan)
    return gradients
