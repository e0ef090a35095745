"""Dropout and penalties: what keeps a model from learning its text by heart.

The rates, by location, are in `tfcharrnn.rates`. All randomness is a function
of seeds, two integers each, so that an interrupted run continues bit for bit.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from tfcharrnn.nn.cells import RNNCell

_Cell = TypeVar('_Cell', bound=RNNCell)

# What tells whether a class of cells can drop elements of its state.
_MASKED = {'state_mask', '__call__'}


class Noise(NamedTuple):
    """The randomness of one training step: `model(..., training=noise)`.

    >>> from tfcharrnn.nn.char_rnn import CharRNN
    >>> model = CharRNN(5, embedding_dim=3, rnn_units=4, dropout=0.5)
    >>> ids, state = tf.zeros([1, 2], tf.int32), model.initial_state(1)
    >>> logits, _ = model(ids, state, training=Noise([1, 2]))
    >>> again, _ = model(ids, state, training=Noise([1, 2]))
    >>> bool(tf.reduce_all(logits == again))
    True

    Attributes:
        seed: [2] integers. The same seed drops the same elements.
        share: A scalar that multiplies every dropout rate, clipped to 0..1.
            None: the rates as they are.
    """

    seed: tf.Tensor | Sequence[int]
    share: tf.Tensor | float | None = None

    def fold_in(self, number: int) -> Noise:
        """Returns other noise, a function of this one and a number."""
        fold_in = tf.random.experimental.stateless_fold_in  # pyright: ignore
        return self._replace(seed=fold_in(self.seed, number))

    def split(self, count: int) -> list[Noise]:
        """Returns so many kinds of noise that are independent of each other."""
        return [self.fold_in(i) for i in range(count)]


def drop(
    x: tf.Tensor,
    rate: float,
    seed: tf.Tensor | Sequence[int],
    *,
    share: tf.Tensor | float | None = None,
    locked: bool = False,
) -> tf.Tensor:
    """Sets elements to zero at random, and scales the others up.

    The expectation of each element stays the same.

        >>> x = drop(tf.ones([2, 50, 3]), 0.5, [1, 2], locked=True)
        >>> sorted(set(x.numpy().ravel().tolist()))
        [0.0, 2.0]
        >>> bool(tf.reduce_all(x == x[:, :1]))
        True

    Args:
        x: Columns [N, T, B]; any shape where not `locked`.
        rate: The probability of an element to be dropped, from 0 up to but not
            including 1; taken to the nearest 65536th.
        seed: Two integers.
        share: Multiplies the rate; see `Noise`.
        locked: Whether all T positions drop the same.

    Returns:
        A tensor like `x`.

    Reference: Srivastava et al., JMLR 15, 2014.
    """
    if not rate:
        return x
    shape = tf.shape(x)
    if locked:
        shape = tf.stack([shape[0], 1, shape[2]])
    threshold = _threshold(rate, share)
    kept = _keep(shape, threshold, seed)
    scale = 65536 / (65536 - threshold)
    return x * (tf.cast(kept, x.dtype) * tf.cast(scale, x.dtype))


def _keep(shape, threshold, seed):
    """Draws a bool for each element: whether it stays."""
    # Sixteen random bits an element, half as many as a uniform number takes.
    size = tf.reduce_prod(shape)
    draw: Any = tf.random.stateless_uniform  # Stubs demand bounds for integers.
    half = [(size + 1) // 2]
    bits = draw(half, seed, None, None, tf.uint32, alg='philox')
    bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
    return tf.reshape(bits, shape) >= tf.cast(threshold, tf.uint16)


def _threshold(rate, share):
    """Returns how many of 65536 elements to drop, less than all."""
    if share is None:
        return min(round(rate * 65536), 65535)
    share = tf.clip_by_value(tf.cast(share, tf.float32), 0.0, 1.0)
    return tf.clip_by_value(tf.round(rate * share * 65536), 0, 65535)


def drop_rows(
    embedding: tf.Tensor | None, rate: float, noise: Noise
) -> tf.Tensor | None:
    """Drops whole rows of an embedding [V, E], that is, characters.

    Reference: Gal and Ghahramani, arXiv 1512.05287.
    """
    if embedding is None or not rate:
        return embedding
    ones = tf.ones([embedding.shape[0], 1])
    return embedding * drop(ones, rate, noise.seed, share=noise.share)


def drop_inputs(
    ids: tf.Tensor, rate: float, noise: Noise, *, blank: int
) -> tf.Tensor:
    """Replaces single characters by a blank, at random.

        >>> ids = drop_inputs(
        ...     tf.ones([9, 9], tf.int32), 0.5, Noise([1, 2]), blank=7
        ... )
        >>> sorted(set(ids.numpy().ravel().tolist()))
        [1, 7]

    Args:
        ids: [B, T] integers.
        rate: The probability of a character to be replaced, as for `drop`.
        noise: The randomness.
        blank: What replaces it.

    Returns:
        [B, T] integers.

    References: word dropout: Iyyer et al., ACL 2015; blank noising: Xie et
    al., arXiv 1703.02573.
    """
    if not rate:
        return ids
    threshold = _threshold(rate, noise.share)
    return tf.where(_keep(tf.shape(ids), threshold, noise.seed), ids, blank)


def with_blank(embedding: tf.Tensor | None) -> tf.Tensor | None:
    """Appends a row of zeros to an embedding [V, E]: the vector of id V.

    One-hot inputs, None, need none: the one-hot vector of V is zero.
    """
    if embedding is None:
        return None
    return tf.pad(embedding, [[0, 1], [0, 0]])


def replace(
    cell: _Cell,
    *,
    recurrent_kernel: tf.Tensor | None = None,
    state_mask: tf.Tensor | None = None,
) -> _Cell:
    """Returns a copy of a cell, with other recurrent weights or a mask.

    The given cell stays as it is. Gradients reach the weights of both.

        >>> from tfcharrnn.nn.cells import GRU
        >>> cell = GRU(input_size=3, units=4)
        >>> twin = replace(cell, recurrent_kernel=tf.zeros([4, 12]))
        >>> twin.kernel is cell.kernel
        True

    Args:
        cell: Any cell with what is replaced.
        recurrent_kernel: A tensor of the same shape; None: the cell's own.
        state_mask: [B, U], multiplies what they multiply; None likewise.
    """
    twin = copy.copy(cell)
    # `tf.Module` notes what is assigned for checkpoints, in a dict that the
    # copy shares with the cell.
    if recurrent_kernel is not None:
        object.__setattr__(twin, 'recurrent_kernel', recurrent_kernel)
    if state_mask is not None:
        object.__setattr__(twin, 'state_mask', state_mask)
    return twin


def drop_weights(cells: Sequence[Any], rate: float, noise: Noise) -> list[Any]:
    """Returns cells without some of their recurrent weights.

    The given cells stay as they are. The weights are dropped once, before the
    loop over the positions, which is as fast as ever.

    Args:
        cells: Cells that have a `recurrent_kernel` each.
        rate: As for `drop`.
        noise: Each cell draws its own from it.

    Returns:
        The same cells where the rate is 0, and otherwise copies that share
        all other weights; see `replace`.

    Raises:
        ValueError: If a cell has no recurrent weights.

    References: Wan et al., ICML 2013; Merity et al., arXiv 1708.02182.
    """
    if not rate:
        return list(cells)
    check_weights(cells, rate)
    dropped = []
    for i, cell in enumerate(cells):
        seed, share = noise.fold_in(i)
        weights = tf.convert_to_tensor(cell.recurrent_kernel)
        weights = drop(weights, rate, seed, share=share)
        dropped.append(replace(cell, recurrent_kernel=weights))
    return dropped


def check_weights(cells: Sequence[Any], rate: float) -> None:
    """Refuses a rate of weights where a cell has no recurrent weights.

    Raises:
        ValueError: If the rate is above 0 and a cell has no
            `recurrent_kernel`.
    """
    for cell in cells:
        if rate and not hasattr(cell, 'recurrent_kernel'):
            raise ValueError(
                f'A {type(cell).__name__} has no `recurrent_kernel` to drop '
                f'weights of, but `dropout.weights` is {rate:g}: leave this '
                'rate out.'
            )


def drop_states(
    cells: Sequence[Any],
    rate: float,
    noise: Noise,
    *,
    batch_size: int | tf.Tensor,
) -> list[Any]:
    """Returns cells that do not see some elements of their state.

        h' = step(x, h), with  h U  replaced by  (mask * h) U

    Each row of the batch has a mask, the same at all positions. The given
    cells stay as they are.

    Args:
        cells: Cells that have a `state_mask` each.
        rate: As for `drop`.
        noise: Each cell draws its own from it.
        batch_size: Number of rows, B.

    Returns:
        The same cells where the rate is 0, and otherwise copies that share all
        weights; see `replace`.

    References: a mask for all positions: Gal and Ghahramani, arXiv 1512.05287;
    only what enters the gates, so that nothing is forgotten: Semeniuta et al.,
    arXiv 1603.05118.
    """
    if not rate:
        return list(cells)
    dropped = []
    for i, cell in enumerate(cells):
        seed, share = noise.fold_in(i)
        ones = tf.ones([batch_size, cell.units])
        mask = drop(ones, rate, seed, share=share)
        dropped.append(replace(cell, state_mask=mask))
    return dropped


def check_states(cells: Sequence[Any], rate: float) -> None:
    """Refuses a rate of the state where a cell cannot drop it.

    A class that overrides the step says that it heeds `state_mask` by declaring
    it anew.

    Raises:
        ValueError: If the rate is above 0 and a cell has no `state_mask`.
    """
    for cell in cells:
        # The first class that has either.
        owner = next(
            (c for c in type(cell).__mro__ if _MASKED & {*vars(c)}), object
        )
        if rate and 'state_mask' not in vars(owner):
            raise ValueError(
                f'A {type(cell).__name__} has no `state_mask`, so no elements '
                f'of its state can be dropped, but `dropout.state` is '
                f'{rate:g}: leave this rate out.'
            )


def penalize(
    outputs: tf.Tensor,
    dropped: tf.Tensor,
    *,
    activation: float,
    slowness: float,
) -> tf.Tensor:
    """Draws the outputs of a layer towards zero and towards their neighbours.

        penalty = activation * mean(dropped[t] ** 2)
                + slowness * mean((outputs[t] - outputs[t - 1]) ** 2)

    Only the gradient of the penalty is added to that of the loss. The loss
    itself remains the nats per character. The means are over all positions,
    also those that a mask excludes from the loss.

    Args:
        outputs: Columns [U, T, B], before dropout.
        dropped: The same after dropout.
        activation: The weight of the first term.
        slowness: The weight of the second.

    Returns:
        `dropped`, whose gradient includes the penalty's.

    Reference: Merity et al., arXiv 1708.01009 (there alpha and beta).
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync

    @tf.custom_gradient
    def identity(outputs, dropped) -> Any:
        def gradient(upstream):
            # The mean is over all replicas' rows, the gradients are summed.
            size = tf.cast(tf.size(outputs), tf.float32)
            scale = tf.cast(2.0 / (size * replicas), outputs.dtype)
            steps = slowness * scale * (outputs[:, 1:] - outputs[:, :-1])
            zeros = tf.zeros_like(outputs[:, :1])
            d_outputs = tf.concat([zeros, steps], 1)
            d_outputs -= tf.concat([steps, zeros], 1)
            return d_outputs, upstream + activation * scale * dropped

        return tf.identity(dropped), gradient

    return identity(outputs, dropped)
