"""Losses: pairs (sum, count) over the characters that are not masked.

`training.metrics` says why they are pairs.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcharrnn.data import Batch

Sum = tuple[tf.Tensor, tf.Tensor]


def cross_entropy(
    logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor
) -> Sum:
    """Sums the negative log-probability of the unmasked targets.

    Equal logits give each of V characters the probability 1 / V:

        >>> zeros, targets = tf.zeros([1, 3, 65]), tf.constant([[5, 7, 0]])
        >>> mask = tf.constant([[True, True, False]])
        >>> total, count = cross_entropy(zeros, targets, mask)
        >>> print(f'{total / count:.3f} nats each for {count:.0f} characters')
        4.174 nats each for 2 characters

    Args:
        logits: [B, T, V] float32.
        targets: [B, T] integers below V.
        mask: [B, T] booleans; False excludes a target from loss and gradient.

    Returns:
        The total in nats and the number of characters, float32 scalars.
    """
    return _masked_sum(_nats(logits, targets, mask), mask)


def by_row(logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> Sum:
    """Sums the cross entropy of each row; see `cross_entropy`.

        >>> zeros, targets = tf.zeros([2, 2, 65]), tf.constant([[5, 7], [0, 0]])
        >>> mask = tf.constant([[True, True], [True, False]])
        >>> totals, counts = by_row(zeros, targets, mask)
        >>> counts.numpy().tolist(), f'{totals[1]:.3f}'
        ([2.0, 1.0], '4.174')

    Args:
        logits: [B, T, V] float32.
        targets: [B, T] integers below V.
        mask: [B, T] booleans; False excludes a target.

    Returns:
        The totals in nats and the numbers of characters, [B] float32.
    """
    return _masked_sum(_nats(logits, targets, mask), mask, axis=-1)


def soft_cross_entropy(
    logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor
) -> Sum:
    """Sums the cross entropy with targets that are probabilities.

        >>> logits, mask = tf.constant([[[0.0, 2.0]]]), tf.constant([[True]])
        >>> total, _ = soft_cross_entropy(
        ...     logits, tf.constant([[[0.5, 0.5]]]), mask
        ... )
        >>> print(f'{total:.4f}')
        1.1269

    Args:
        logits: [B, T, V] float32.
        targets: [B, T, V] float32; the sum over V is 1.
        mask: [B, T] booleans; False excludes a target from loss and gradient.

    Returns:
        The total in nats and the number of characters, float32 scalars.
    """
    logits = tf.where(tf.expand_dims(mask, -1), logits, 0.0)
    nats = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return _masked_sum(nats, mask)


def accuracy(logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> Sum:
    """Counts the unmasked targets that are the most probable character.

        >>> logits = tf.constant([[[0.0, 1.0], [0.0, 1.0]]])
        >>> mask = tf.constant([[True, True]])
        >>> correct, count = accuracy(logits, tf.constant([[1, 0]]), mask)
        >>> print(f'{correct / count:.1f}')
        0.5

    Args:
        logits: [B, T, V] float32.
        targets: [B, T] integers below V.
        mask: [B, T] booleans.

    Returns:
        The number of correct predictions and of characters, float32 scalars.
    """
    predictions = tf.argmax(logits, -1, output_type=targets.dtype)
    return _masked_sum(predictions == targets, mask)


def _nats(logits, targets, mask):
    # So a masked logit that is NaN has the gradient 0, too.
    logits = tf.where(tf.expand_dims(mask, -1), logits, 0.0)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


def _masked_sum(values, mask, axis=None) -> Sum:
    # Selected, not multiplied: 0 times infinity would be NaN.
    values = tf.cast(values, tf.float32)
    total = tf.reduce_sum(tf.where(mask, values, 0.0), axis)
    return total, tf.reduce_sum(tf.cast(mask, tf.float32), axis)


def of_next_character(
    model: Any, batch: Batch, state: Any, *, training: Any
) -> tuple[dict[str, Sum], Any]:
    """Runs a model on a batch and measures its predictions.

    Args:
        model: Has `model(inputs, state, training=...)`, as `CharRNN` has.
        batch: The batch.
        state: The state before it.
        training: Passed on to the model.

    Returns:
        The pairs (sum, count) 'loss', in nats, and 'accuracy', and the state
        after the batch.
    """
    logits, state = model(batch.inputs, state, training=training)
    return of_logits(logits, batch), state


def of_logits(logits: tf.Tensor, batch: Batch) -> dict[str, Sum]:
    """Measures predictions.

    Args:
        logits: [B, T, V] float32.
        batch: The batch.

    Returns:
        The pairs (sum, count) 'loss', in nats, and 'accuracy'.
    """
    return {
        'loss': cross_entropy(logits, batch.targets, batch.mask),
        'accuracy': accuracy(logits, batch.targets, batch.mask),
    }
