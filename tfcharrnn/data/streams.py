"""Streams: strips of a text whose rows carry their state on."""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from numpy import typing as npt

from tfcharrnn.checks import whole_number
from tfcharrnn.data.batches import Batch, Batches
from tfcharrnn.data.chunks import chunks
from tfcharrnn.data.dataset import Dataset
from tfcharrnn.data.order import check_seed
from tfcharrnn.data.rows import check_ids, make_cutter


class Streams(Batches):
    """A text cut into strips: batches whose rows go on. See `sequences`.

    Another `seq_length` may take over in the middle of a pass. The strips stay
    the same, so each row, and its state, goes on at the character where it
    stopped: no character is read twice, none is left out.

        seq_length=2     t o|_ b|
        seq_length=3             e _ o|r t o|

        >>> short = sequences(np.arange(13), seq_length=2, batch_size=1)
        >>> long = sequences(np.arange(13), seq_length=3, batch_size=1)
        >>> num_read = long.num_read_after(short, position=2)
        >>> num_read
        4
        >>> for batch in long.starting_at(0, num_read).take(3):
        ...     print(batch.inputs.numpy(), batch.reset.numpy())
        [[4 5 6]] [False]
        [[7 8 9]] [False]
        [[10 11  0]] [False]
    """

    def __init__(
        self,
        ids: np.ndarray,
        seq_length: int,
        batch_size: int,
        *,
        warmup: int = 0,
        shift_seed: int | None = None,
    ):
        """Cuts checked ids into strips: use `sequences`."""
        self._ids = ids
        self._warmup = warmup
        self._shift_seed = shift_seed
        per_row, num_longer = divmod(len(ids) - 1, batch_size)
        # The first rows are one longer, as in np.array_split.
        rows = np.arange(batch_size)
        self._starts = rows * per_row + np.minimum(rows, num_longer)
        self._counts = per_row + (rows < num_longer)
        self._cut = make_cutter(ids)
        # How many characters earlier each strip but the first begins, at most.
        most = warmup + (seq_length - 1 if shift_seed is not None else 0)
        self._most_early = np.minimum(most, self._starts)
        super().__init__(
            self._strips,
            math.ceil(max(self._counts + self._most_early) / seq_length),
            batch_size=batch_size,
            seq_length=seq_length,
            num_chars=len(ids) - 1,
        )

    def starting_at(
        self, position: int | tf.Tensor, num_read: int = 0
    ) -> tf.data.Dataset:
        """Makes the endless dataset of all batches from one of them on.

        Args:
            position: Number of the first batch, counted from the very first.
            num_read: Characters of each row read before the very first batch,
                which begins there: see `num_read_after`.

        Returns:
            A `tf.data.Dataset` of `Batch`.

        Raises:
            ValueError: `position` is negative.
        """
        if not num_read:
            return super().starting_at(position)
        left = self._num_left(num_read)
        if position >= left:  # That pass is over.
            return super().starting_at(position - left)
        rest = self._strips(0, position, num_read).take(left - position)
        return self._finish(rest.concatenate(super().starting_at(0)))

    def num_read_after(
        self, other: Dataset, position: int, num_read: int = 0
    ) -> int:
        """Returns how many characters of each row were read with `other`.

        Args:
            other: The dataset before this one.
            position: The position of its next batch.
            num_read: The `num_read` with which `other` itself began.

        Returns:
            Characters of each row. 0 if the rows do not go on: at the end of a
            pass, if `other` has another text or number of rows, or if one of
            the two has a `warmup` or `shift`.
        """
        if (
            not isinstance(other, Streams)
            or other.batch_size != self.batch_size
            or other._most_early.any()
            or self._most_early.any()
            or not _same_text(other._ids, self._ids)
        ):
            return 0
        left = other._num_left(num_read)
        if position < left:
            return num_read + position * other.seq_length
        return (position - left) % len(other) * other.seq_length

    def _num_left(self, num_read):
        """Returns the number of batches from a character of the rows on."""
        return math.ceil((self._counts[0] - num_read) / self.seq_length)

    @tf.autograph.experimental.do_not_convert
    def _strips(self, pass_number, start, num_read=0):
        """Makes the batches of a pass from an index on, without an end."""
        early = self._early(pass_number)

        def make_batch(index):
            done = num_read + index * self.seq_length
            inputs, targets, mask = self._cut(
                self._starts - early + done,
                self._counts + early - done,
                self.seq_length,
            )
            if self._most_early.any():
                steps = done + tf.range(self.seq_length, dtype=tf.int64)
                mask &= steps >= early[:, tf.newaxis]
            reset = tf.fill([self.batch_size], done == 0)
            return Batch(inputs, targets, mask, reset)

        return tf.data.Dataset.range(start, tf.int64.max).map(make_batch)

    def _early(self, pass_number):
        """Returns how many characters earlier each strip begins in a pass."""
        if self._shift_seed is None:
            return self._most_early
        pair: Any = [self._shift_seed, pass_number]
        shift = tf.random.stateless_uniform(
            [], pair, 0, self.seq_length, tf.int64, alg='philox'
        )
        return tf.minimum(self._warmup + shift, self._starts)


def sequences(
    ids: npt.ArrayLike,
    seq_length: int,
    batch_size: int,
    *,
    shuffle: bool = False,
    shift: bool = False,
    warmup: int = 0,
    seed: int = 0,
) -> Batches:
    """Cuts a text into sequences for truncated backpropagation through time.

    The text is cut into `batch_size` strips of equal length, give or take one
    character. Strip `b` is row `b` of every batch, so each row goes on where
    it stopped in the batch before, and `reset` is True at the start of a pass
    only. Neighbours share one character, and what is left over is masked: each
    character but the first is a target exactly once in a pass.

        row 0:   t o _ b | e _ o r | _
        row 1:   n o t _ | t o _ b |
                 batch 0   batch 1   batch 2

        >>> for batch in sequences(np.arange(10), seq_length=2, batch_size=2):
        ...     print(
        ...         batch.inputs.numpy().tolist(),
        ...         batch.targets.numpy().tolist(),
        ...         batch.mask.numpy().astype(int).tolist(),
        ...     )
        [[0, 1], [5, 6]] [[1, 2], [6, 7]] [[1, 1], [1, 1]]
        [[2, 3], [7, 8]] [[3, 4], [8, 9]] [[1, 1], [1, 1]]
        [[4, 0], [0, 0]] [[5, 0], [0, 0]] [[1, 0], [0, 0]]

    With `shuffle` the text is cut into chunks of `seq_length`, which come in
    another random order in every pass, each from the zero state (`reset` is
    True). Chunks in random order cannot carry a state on: it would be that of
    an unrelated text.

    The strips depend on the text and on `batch_size` alone: with another
    `seq_length` every row reads the same characters in the same order, and
    training may change from one length to another anywhere (see `Streams`).

    Every strip but the first can begin earlier, in the strip before it, with
    characters that are read but not scored. `warmup` characters give the model
    a context in an evaluation. With `shift`, a random number of characters,
    another in each pass, cuts the gradient at other places (to this end, Merity
    et al., arXiv 1708.02182, vary the length of each batch).

    Args:
        ids: The text, [N] integers. A `np.memmap` is read piece by piece, so
            it may be larger than memory; other arrays are copied once.
        seq_length: Characters of a row (T): how many steps the gradient flows
            back.
        batch_size: Rows (B).
        shuffle: Independent chunks in random order instead of streams.
        shift: Streams that begin up to `seq_length - 1` characters earlier.
        warmup: Characters that a stream reads before those that are scored.
        seed: Seed of the random order and shifts.

    Returns:
        Batches of static shape [B, T] in which N - 1 targets are scored. A
        pass has `ceil(ceil((N - 1) / B) / T)` of them, more with `warmup` or
        `shift`, and `ceil(ceil((N - 1) / T) / B)` with `shuffle`.

    Raises:
        ValueError: The text is too short: a stream needs at least
            `seq_length` targets in every row, shuffled chunks need as many in
            all. Or an argument is invalid.
    """
    ids = check_ids(ids)
    seed = check_seed(seed)
    seq_length = whole_number('seq_length', seq_length)
    batch_size = whole_number('batch_size', batch_size)
    warmup = whole_number('warmup', warmup, low=0)
    if shuffle:
        if shift or warmup:
            raise ValueError(
                '`shift` and `warmup` are for streams, but `shuffle` is set. '
                'Leave out either `shuffle` or these.'
            )
        return chunks(ids, seq_length, batch_size, seed=seed)
    if (len(ids) - 1) // batch_size < seq_length:
        raise ValueError(
            f'The text is too short: {len(ids)} characters in `batch_size` '
            f'({batch_size}) rows make {len(ids) // batch_size} per row, but '
            f'each row needs `seq_length + 1` ({seq_length + 1}). Use a longer '
            f'text, or a smaller `batch_size` or `seq_length`.'
        )
    shift_seed = seed if shift else None
    return Streams(
        ids, seq_length, batch_size, warmup=warmup, shift_seed=shift_seed
    )


def _same_text(ids, other):
    # Two views of the same array are different objects.
    same_memory = ids.ctypes.data == other.ctypes.data
    if len(ids) != len(other) or ids.dtype != other.dtype:
        return False
    return same_memory or np.array_equal(ids, other)
