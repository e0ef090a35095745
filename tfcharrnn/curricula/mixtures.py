"""Mixtures: each batch comes from one of several sources."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.data import Batches
from tfcharrnn.training.schedules import Schedule

# Batches whose sources are drawn at once: about a millisecond.
_BLOCK = 1 << 14


def mix(
    sources: Sequence[Batches],
    weights: Sequence[Schedule | float],
    *,
    seed: int = 0,
) -> Mixture:
    """Takes each batch from one of several sources, by weights that may move.

        p(source i at batch t)  =  weights[i](t) / sum of all weights

    Each source is read on where it stopped, pass after pass. Where the source
    changes, all rows begin from the zero state, since their states are of
    another text. So streams come in chunks of a few batches; windows and lines
    lose nothing.

    >>> from tfcharrnn import data
    >>> from tfcharrnn.training import schedules
    >>> a, b = (
    ...     data.windows(np.full(99, i), seq_length=3, batch_size=2)
    ...     for i in (0, 1)
    ... )
    >>> both = mix([a, b], [schedules.linear(1, 0, steps=8), 0.5])
    >>> [int(batch.inputs[0, 0]) for batch in both.starting_at(0).take(9)]
    [0, 1, 1, 1, 0, 1, 1, 0, 1]

    Args:
        sources: Batches of one `batch_size`.
        weights: For each source a number, or a schedule of the number of the
            batch, counted from when training on this dataset began.
        seed: Seed of the choice.

    Returns:
        Batches whose passes are, in name only, as long as one pass of all
        sources together.

    Raises:
        ValueError: If there is not one weight for each source, or the sources
            differ in `batch_size`.
    """
    sources, weights = list(sources), list(weights)
    if len(sources) != len(weights) or not sources:
        raise ValueError(
            'Each source needs one weight, but got '
            f'{len(sources)} sources and {len(weights)} weights.'
        )
    sizes = [source.batch_size for source in sources]
    if len(set(sizes)) > 1:
        raise ValueError(
            'Sources are mixed batch by batch, so they must have one '
            f'`batch_size`, but got {sizes}.'
        )
    return Mixture(sources, weights, seed)


class Mixture(Batches):
    """What `mix` makes of its sources.

    The source at a position is a function of (seed, position) and of the
    weights there. To start at a position, it counts how often each source came
    before; this makes no batch, and no pass costs anything again.

        position        0  1  2 | 3  4  5 | 6        blocks of 3
        source          0  1  1 | 0  1  0 | 1
        starting_at(5)                  ^    source 0 at 2, source 1 at 3
    """

    def __init__(
        self,
        sources: Sequence[Batches],
        weights: Sequence[Schedule | float],
        seed: int,
    ):
        """Takes checked arguments: use `mix`."""
        self._sources = sources
        self._weights = weights
        self._seed = seed
        length = sum(map(len, sources))
        super().__init__(
            lambda number, start: self._batches_from(number * length + start),
            length,
            batch_size=sources[0].batch_size,
            seq_length=max(source.seq_length for source in sources),
            num_chars=sum(source.num_chars for source in sources),
        )

    def starting_at(self, position: int | tf.Tensor) -> tf.data.Dataset:
        """Makes the endless dataset of all batches from one of them on.

        Args:
            position: Number of the first batch, counted from the very first.

        Returns:
            A `tf.data.Dataset` of `Batch`.

        Raises:
            ValueError: `position` is negative.
        """
        if not tf.is_tensor(position):
            position = checks.whole_number('position', position, low=0)
        return self._finish(self._batches_from(tf.cast(position, tf.int64)))

    def _batches_from(self, position):
        """Goes on in each source where it stopped before a position."""
        taken = self._count_before(position)
        choices = self._choices_from(position)
        batches = tf.data.Dataset.choose_from_datasets(
            [s.starting_at(taken[i]) for i, s in enumerate(self._sources)],
            choices.map(lambda source, changes: source),
        )
        changes = choices.map(lambda source, changes: changes)
        return tf.data.Dataset.zip(batches, changes).map(
            lambda batch, change: batch._replace(reset=batch.reset | change)
        )

    def _count_before(self, position):
        """Counts the batches of each source before a position."""
        block, place = position // _BLOCK, position % _BLOCK
        counts = self._count(self._choose(block)[:place])
        return tf.data.Dataset.range(block).reduce(
            counts,
            lambda counts, number: counts + self._count(self._choose(number)),
        )

    def _choices_from(self, position):
        """Makes a dataset of (source, whether it differs from the last one)."""
        first, place = position // _BLOCK, position % _BLOCK

        def make_block(number):
            choices = self._choose(number)
            # The very first batch changes from no source, -1.
            before = self._choose(tf.maximum(number - 1, 0))[-1:]
            before = tf.where(number > 0, before, -1)
            changes = choices != tf.concat([before, choices[:-1]], 0)
            start = tf.where(number == first, place, 0)
            return tf.data.Dataset.from_tensor_slices(
                (choices[start:], changes[start:])
            )

        blocks = tf.data.Dataset.range(first, tf.int64.max)
        return blocks.flat_map(make_block)

    def _choose(self, block):
        """Draws the source of each batch of a block."""
        positions = block * _BLOCK + tf.range(_BLOCK, dtype=tf.int64)
        weights = [
            tf.cast(w(positions) if callable(w) else w, tf.float32)
            for w in self._weights
        ]
        weights = [tf.broadcast_to(w, [_BLOCK]) for w in weights]
        bounds = tf.cumsum(tf.stack(weights, axis=1), axis=1)
        seed = tf.stack([self._seed, block])
        draws = tf.random.stateless_uniform([_BLOCK, 1], seed, alg='philox')
        below = bounds[:, :-1] <= draws * bounds[:, -1:]
        return tf.reduce_sum(tf.cast(below, tf.int64), axis=1)

    def _count(self, choices):
        size = len(self._sources)
        return tf.reduce_sum(tf.one_hot(choices, size, dtype=tf.int64), axis=0)
