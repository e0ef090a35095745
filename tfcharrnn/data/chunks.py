"""Chunks and windows: pieces of a text, each read from the zero state."""

import math

import numpy as np
import tensorflow as tf
from numpy import typing as npt

from tfcharrnn.checks import whole_number
from tfcharrnn.data.batches import Batch, Batches
from tfcharrnn.data.order import check_seed, make_order
from tfcharrnn.data.rows import check_ids, make_cutter


def chunks(
    ids: np.ndarray, seq_length: int, batch_size: int, *, seed: int
) -> Batches:
    """Cuts a text into chunks in random order: `sequences` with `shuffle`.

    Args:
        ids: The text, [N] checked ids.
        seq_length: Characters of a chunk (T).
        batch_size: Chunks of a batch (B).
        seed: Seed of the random order.

    Returns:
        Batches of static shape [B, T], each chunk once in a pass.

    Raises:
        ValueError: The text is shorter than `seq_length + 1`.
    """
    _check_length(len(ids), seq_length)
    starts = range(0, len(ids) - 1, seq_length)
    return _pieces(ids, starts, seq_length, batch_size, seed)


def windows(
    ids: npt.ArrayLike,
    seq_length: int,
    batch_size: int,
    *,
    stride: int = 1,
    shuffle: bool = True,
    seed: int = 0,
) -> Batches:
    """Cuts a text into overlapping windows, each to predict one character.

    A window is `seq_length` characters; the next one begins `stride` characters
    later. Only the character after the window is scored. As in Chollet, Deep
    Learning with Python, 8.1.

        text       a b c d e f g      seq_length=3, stride=2
        window 0   a b c>d
        window 1       c d e>f

        >>> batches = windows(np.arange(7), 3, 2, stride=2, shuffle=False)
        >>> for batch in batches:
        ...     print(
        ...         batch.inputs.numpy().tolist(), batch.targets[:, -1].numpy()
        ...     )
        ...     print(batch.mask[0].numpy())
        [[0, 1, 2], [2, 3, 4]] [3 5]
        [False False  True]

    Args:
        ids: The text, [N] integers, as in `sequences`.
        seq_length: Characters of a window (T).
        batch_size: Windows of a batch (B).
        stride: Characters from the start of a window to that of the next.
        shuffle: Another random order in every pass; False: that of the text.
        seed: Seed of the random order.

    Returns:
        Batches of static shape [B, T] with `ceil((N - T) / stride)` windows:
        every one that has a next character. `mask` is True at the last
        position only; the targets before it are the shifted text as usual.
        `reset` is True. Rows that the last batch lacks are masked.

    Raises:
        ValueError: The text is shorter than `seq_length + 1`, or an argument
            is invalid.
    """
    ids = check_ids(ids)
    seed = check_seed(seed)
    seq_length = whole_number('seq_length', seq_length)
    batch_size = whole_number('batch_size', batch_size)
    stride = whole_number('stride', stride)
    _check_length(len(ids), seq_length)
    starts = range(0, len(ids) - seq_length, stride)
    return _pieces(
        ids,
        starts,
        seq_length,
        batch_size,
        seed if shuffle else None,
        last_only=True,
    )


def _pieces(ids, starts, seq_length, batch_size, seed, last_only=False):
    """Makes batches of independent rows that begin at `starts`, a range."""
    cut = make_cutter(ids)
    size, length = len(starts), math.ceil(len(starts) / batch_size)
    scored = np.full(seq_length, not last_only)
    scored[-1] = True

    @tf.autograph.experimental.do_not_convert
    def one_pass(pass_number, start):
        order = make_order(size, seed, pass_number)

        def make_batch(index):
            piece = index * batch_size + tf.range(batch_size, dtype=tf.int64)
            row_starts = order(tf.minimum(piece, size - 1)) * starts.step
            counts = tf.where(piece < size, len(ids) - 1 - row_starts, 0)
            inputs, targets, mask = cut(row_starts, counts, seq_length)
            reset = tf.fill([batch_size], True)
            return Batch(inputs, targets, mask & scored, reset)

        return tf.data.Dataset.range(start, length).map(make_batch)

    num_chars = size if last_only else len(ids) - 1
    return Batches(
        one_pass,
        length,
        batch_size=batch_size,
        seq_length=seq_length,
        num_chars=num_chars,
    )


def _check_length(num_chars, seq_length):
    if num_chars <= seq_length:
        raise ValueError(
            f'The text is too short: {num_chars} characters, but `seq_length` '
            f'({seq_length}) and the character after it need at least '
            f'{seq_length + 1}. Use a longer text or a smaller `seq_length`.'
        )
