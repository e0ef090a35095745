"""Losses and metrics as pairs (sum, count), divided once, at the end.

A mean of means is wrong as soon as batches differ in size. So every loss here
is a sum over the characters that the mask lets through, next to their number:
pairs add up over batches, passes and replicas, and one division at the end is
exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

Sum = tuple[tf.Tensor, tf.Tensor]


def cross_entropy(
    logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor
) -> Sum:
    """Sums the negative log-probability of the targets that count.

    Logits that are all equal give each of V characters the probability 1 / V:

        >>> zeros, targets = tf.zeros([1, 3, 65]), tf.constant([[5, 7, 0]])
        >>> mask = tf.constant([[True, True, False]])
        >>> total, count = cross_entropy(zeros, targets, mask)
        >>> print(f'{total / count:.3f} nats each for {count:.0f} characters')
        4.174 nats each for 2 characters

    Args:
        logits: [B, T, V] float32.
        targets: [B, T] integers below V.
        mask: [B, T] booleans; where False, neither loss nor gradient.

    Returns:
        The total in nats and the number of characters, float32 scalars.
    """
    # Also where the mask hides a logit that is no number, its gradient is 0.
    logits = tf.where(mask[..., None], logits, 0.0)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    return _masked_sum(nats, mask)


def accuracy(logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> Sum:
    """Counts the targets that are the most probable character.

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


def _masked_sum(values: tf.Tensor, mask: tf.Tensor) -> Sum:
    # Selected, not multiplied: 0 times infinity would be no number.
    values = tf.cast(values, tf.float32)
    total = tf.reduce_sum(tf.where(mask, values, 0.0))
    return total, tf.reduce_sum(tf.cast(mask, tf.float32))


class Sums:
    """Adds up pairs (sum, count) by name, and divides at the end.

    >>> sums = Sums()
    >>> sums.add({'loss': (30.0, 10), 'accuracy': (4, 10)})
    >>> sums.add({'loss': (0.0, 30), 'accuracy': (30, 30)})
    >>> sums.means()['loss'], sums.means()['accuracy']
    (0.75, 0.85)
    """

    def __init__(self, pairs: Mapping[str, tuple[float, float]] | None = None):
        """Starts from nothing, or from the `pairs` of another one."""
        self.pairs: dict[str, tuple[float, float]] = {}
        self.add(pairs or {})

    def add(self, pairs: Mapping[str, tuple[float, float]]) -> None:
        """Adds a pair (sum, count) for each name, in double precision."""
        for name, (total, count) in pairs.items():
            old_total, old_count = self.pairs.get(name, (0.0, 0.0))
            new = old_total + float(total), old_count + float(count)
            self.pairs[name] = new

    def means(self) -> dict[str, float]:
        """Divides, and adds what follows from the loss.

        Returns:
            The mean for each name (NaN where nothing was counted); with a
            'loss' in nats per character also 'bits_per_char', 'perplexity'
            and 'num_chars'.
        """
        means = {
            name: total / count if count else math.nan
            for name, (total, count) in self.pairs.items()
        }
        if 'loss' in means:
            means['bits_per_char'] = means['loss'] / math.log(2.0)
            means['perplexity'] = _exp(means['loss'])
            means['num_chars'] = int(self.pairs['loss'][1])
        return means


def _exp(nats: float) -> float:
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf
