"""Batches of characters, pass after pass.

A batch is a pure function of (seed, pass, index in the pass), computed inside
the tf.data graph. There is no shuffle buffer and no iterator to save: the
position of a run in its data is one integer, and starting in the middle costs
nothing.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow as tf

from tfcharrnn.checks import whole_number

_PREFETCH = 2  # One batch is ready, one is being made.


class Batch(NamedTuple):
    """What the model reads in one step: B rows of T characters.

        text       h e l l o
        inputs     h e l l      the model reads inputs[b, t]
        targets    e l l o      and predicts targets[b, t]
        mask       1 1 1 1      which counts where mask[b, t]
        reset      1            row b starts from the zero state

    If `reset[b]` is False, row `b` goes on from the state in which row `b` of
    the batch before ended.

        >>> batch = next(iter(tfcharrnn.data.sequences(np.arange(7), 3, 2)))
        >>> batch.targets.numpy().tolist()
        [[1, 2, 3], [4, 5, 6]]

    Attributes:
        inputs: Ids [B, T] int32; 0 past the end of a text.
        targets: Ids [B, T] int32 of the characters that follow the inputs.
        mask: [B, T] bool; False: the target is not scored.
        reset: [B] bool; True: the row starts from the zero state.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    mask: tf.Tensor
    reset: tf.Tensor


class Batches:
    """All batches of a pass over the data, pass after pass.

        position      0  1  2 | 3  4  5 | 6  ...   from the very first
        pass_number   0       | 1       | 2
        index         0  1  2 | 0  1  2 | 0        in its pass

    `sequences`, `windows` and `lines` return one. For data of another kind,
    pass a function that makes the dataset of a single pass. It must draw random
    numbers from `(seed, pass_number, index)` alone, so that the batch at a
    position is the same in every run. Here, noise:

        >>> def one_pass(pass_number, start):
        ...     def make_batch(index):
        ...         ids = tf.random.stateless_uniform(
        ...             [2, 5], [pass_number, index], maxval=9, dtype=tf.int32
        ...         )
        ...         mask, reset = tf.fill([2, 4], True), tf.fill([2], True)
        ...         return Batch(ids[:, :-1], ids[:, 1:], mask, reset)
        ...
        ...     return tf.data.Dataset.range(start, 50).map(make_batch)
        >>> batches = Batches(
        ...     one_pass, 50, batch_size=2, seq_length=4, num_chars=50 * 8
        ... )
        >>> len(list(batches))
        50

    Attributes:
        batch_size: Rows of every batch (B), masked ones included.
        seq_length: Characters of a row (T); of the longest where T varies.
        num_chars: Targets scored in one pass; masked ones do not count.
    """

    def __init__(
        self,
        one_pass: Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset],
        length: int,
        *,
        batch_size: int,
        seq_length: int,
        num_chars: int,
    ):
        """Makes batches from a function.

        Args:
            one_pass: `one_pass(pass_number, start)` is a dataset of `Batch`es,
                those of a pass from index `start` on. Both are scalar int64
                tensors; batches past the end of the pass are ignored.
            length: Batches in a pass.
            batch_size: Rows of every batch.
            seq_length: Characters of the longest row.
            num_chars: Targets scored in one pass.

        Raises:
            ValueError: A number is not a whole number from 1 up.
        """
        self._one_pass = one_pass
        self._length = whole_number('length', length)
        self.batch_size = whole_number('batch_size', batch_size)
        self.seq_length = whole_number('seq_length', seq_length)
        self.num_chars = num_chars

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return self._length

    def __repr__(self) -> str:
        return (
            f'<{type(self).__name__}: {len(self):,} of {self.batch_size} rows '
            f'of {self.seq_length}, {self.num_chars:,} targets in a pass>'
        )

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the first pass."""
        start = tf.constant(0, tf.int64)
        return iter(self._finish(self._rest_of_pass(start, start)))

    def starting_at(self, position: int | tf.Tensor) -> tf.data.Dataset:
        """Makes the endless dataset of all batches from one of them on.

            >>> batches = tfcharrnn.data.sequences(np.arange(9), 2, 2)
            >>> len(batches)
            2
            >>> for batch in batches.starting_at(3).take(2):
            ...     print(batch.inputs.numpy().tolist(), batch.reset.numpy())
            [[2, 3], [6, 7]] [False False]
            [[0, 1], [4, 5]] [ True  True]

        Args:
            position: Number of the first batch, counted from the very first.

        Returns:
            A `tf.data.Dataset` of `Batch`.

        Raises:
            ValueError: `position` is negative.
        """
        if not tf.is_tensor(position):
            position = whole_number('position', position, low=0)
            position = tf.constant(position, tf.int64)
        position = tf.cast(position, tf.int64)
        first = position // self._length
        index = tf.math.floormod(position, self._length)

        def make_pass(pass_number):
            start = tf.where(pass_number == first, index, tf.zeros_like(index))
            return self._rest_of_pass(pass_number, start)

        pass_numbers = tf.data.Dataset.range(first, tf.int64.max)
        return self._finish(pass_numbers.flat_map(make_pass))

    def _rest_of_pass(self, pass_number, start):
        return self._one_pass(pass_number, start).take(self._length - start)

    @staticmethod
    def _finish(dataset):
        """Prepares some batches ahead."""
        options = tf.data.Options()
        # Nothing is left to tune. And deleting an iterator waits for the thread
        # that tunes, which sleeps for up to a minute.
        options.autotune.enabled = False
        return dataset.prefetch(_PREFETCH).with_options(options)
