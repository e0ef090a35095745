"""Rows: stretches of a text, cut out of it in the graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy import typing as npt

from tfcharrnn.text.idfile import release

# From (starts, counts, seq_length) to (inputs, targets, mask).
Cutter = Callable[[Any, Any, Any], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]

# Rows of a mapped file to read before it is released: a row can map 2 MB.
_MAX_ROWS_MAPPED = 1 << 8


def check_ids(ids: npt.ArrayLike) -> np.ndarray:
    """Returns the ids of a text as an array; a `np.memmap` stays one.

    >>> check_ids([3, 1, 2]).shape
    (3,)

    Raises:
        ValueError: They are not [N] integers.
    """
    ids = np.asanyarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in 'iu':
        raise ValueError(
            f'A text is ids of shape [N] and of an integer type, but got shape '
            f'{list(ids.shape)} and type {ids.dtype}. Ids are made by '
            f'`Vocabulary.encode`.'
        )
    return ids


def make_cutter(ids: np.ndarray) -> Cutter:
    """Makes a function that cuts rows out of a text, in the graph.

        >>> cut = make_cutter(np.arange(9))
        >>> inputs, targets, mask = cut(np.array([0, 4]), np.array([3, 1]), 3)
        >>> targets.numpy().tolist()
        [[1, 2, 3], [5, 0, 0]]

    Args:
        ids: The text, [N] integers.

    Returns:
        `cut(starts, counts, seq_length)`, which returns inputs, targets and
        mask [B, T] of the rows that begin at `starts` [B] and have `counts` [B]
        targets; the rest of a row is 0.
    """
    read = _make_reader(ids)

    def cut(starts, counts, seq_length):
        steps = tf.range(seq_length + 1, dtype=tf.int64)
        positions = starts[:, tf.newaxis] + steps
        chars = read(tf.minimum(positions, len(ids) - 1))
        mask = steps[:-1] < counts[:, tf.newaxis]
        inputs = tf.where(mask, chars[:, :-1], 0)
        return inputs, tf.where(mask, chars[:, 1:], 0), mask

    return cut


def _make_reader(ids):
    """Makes a function from positions in a text to int32 ids."""
    if not isinstance(ids, np.memmap):
        in_memory = to_tensor(ids)
        return lambda positions: tf.cast(
            tf.gather(in_memory, positions), tf.int32
        )
    # Plain NumPy view of the same file: indexing a memmap is slower.
    on_disk = np.asarray(ids)
    num_read = 0

    def read_from_disk(positions):
        nonlocal num_read
        chars = on_disk[positions].astype(np.int32)
        # What was read counts as memory of this process until it is released.
        num_read += len(positions)
        if num_read >= _MAX_ROWS_MAPPED:
            release(ids)
            num_read = 0
        return chars

    def read(positions):
        chars = tf.numpy_function(
            read_from_disk, [positions], tf.int32, stateful=False
        )
        chars.set_shape(positions.shape)
        return chars

    return read


def to_tensor(array: np.ndarray) -> tf.Tensor:
    """Returns an array as a tensor in the memory of the CPU.

    >>> to_tensor(np.arange(3)).numpy().tolist()
    [0, 1, 2]
    """
    # Pipelines run there; a tensor elsewhere would be copied back each time.
    with tf.device('/CPU:0'):
        return tf.constant(array)
