"""Gains: what a batch has taught the model, as a reward.

    prediction   L(x) before the update - L(x) after it      one more forward
    self         the same, for another batch of the source   two more
    target       the same, for a batch of the last source    two more
    gradient     |gradient of L(x)| ** 2                     nothing more
    accuracy     the accuracy on x: the score of a teacher   nothing more

From Graves et al. (2017, https://arxiv.org/abs/1704.03003), where each is
divided by the time that a batch takes; here, by the number of its characters.
L is a sum over characters, in nats. Losses before and after an update have the
same dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcharrnn.data import Batch
from tfcharrnn.training.metrics import Pairs
from tfcharrnn.training.trainer import Trainer

# Which batch is measured besides the one that is trained on.
PROBES = {'self': 'source', 'target': 'last'}


def prediction(
    trainer: Trainer, batch: Batch, state: Any, *, step: Callable[[], Pairs]
) -> tf.Tensor:
    """Measures how much a step lowers the loss of its own batch.

    Args:
        trainer: What makes the step.
        batch: What it trains on.
        state: The state before it.
        step: Makes the step, and returns its pairs.

    Returns:
        The gain in nats per character, a scalar.
    """
    total, count = step()['loss']
    after, _ = _loss(trainer, batch, state)
    return (total - after['loss'][0]) / tf.maximum(count, 1.0)


def probe(
    trainer: Trainer, batch: Batch, *, step: Callable[[], Pairs]
) -> tf.Tensor:
    """Measures how much a step lowers the loss of another batch.

    Args:
        trainer: What makes the step.
        batch: The other batch; its rows are read from the zero state.
        step: Makes the step, and returns its pairs.

    Returns:
        The gain in nats per character, a scalar.
    """
    zero = trainer.objective.initial_state(tf.shape(batch.reset)[0])
    before, _ = _loss(trainer, batch, zero)
    total, count = before['loss']
    # Read before the step changes the weights.
    with tf.control_dependencies([total]):
        step()
    after, _ = _loss(trainer, batch, zero)
    return (total - after['loss'][0]) / tf.maximum(count, 1.0)


def gradient(pairs: Pairs) -> tf.Tensor:
    """Returns the square of the norm of the gradient, per character.

    The gradient of a sum of n characters is n times that of their mean.

    >>> pairs = {'loss': (9.0, 6.0), 'gradient_norm': (0.5, 1.0)}
    >>> float(gradient(pairs))
    1.5
    """
    _, count = pairs['loss']
    norm, _ = pairs['gradient_norm']
    return tf.cast(norm, tf.float32) ** 2 * count


def accuracy(pairs: Pairs) -> tf.Tensor:
    """Returns the accuracy on the batch.

    >>> float(accuracy({'accuracy': (3.0, 4.0)}))
    0.75
    """
    correct, count = pairs['accuracy']
    return correct / tf.maximum(count, 1.0)


def _loss(trainer, batch, state):
    """Computes the loss of a batch as the step does, with its dropout."""
    batch, noise = trainer.augments(batch, state, step=trainer.step_variable)
    return trainer.compute_loss(batch, state, noise)
