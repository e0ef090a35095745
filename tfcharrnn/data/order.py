"""Random orders that are computed: a pure function of seed and number."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcharrnn.checks import whole_number

Order = Callable[[tf.Tensor], tf.Tensor]

# Up to here an order is a true permutation: 8 MB, made in 12 ms once a pass.
_MAX_PERMUTATION = 1 << 20


def check_seed(seed: int) -> int:
    """Returns a seed that is a whole number of 64 bits.

    >>> check_seed(-1)
    -1

    Raises:
        ValueError: It is anything else.
    """
    return whole_number('seed', seed, -(1 << 63), (1 << 63) - 1)


def make_order(size: int, seed: int | None, number: tf.Tensor) -> Order:
    """Makes a random order, a permutation that is computed.

        >>> order = make_order(5, seed=0, number=tf.constant(0, tf.int64))
        >>> sorted(order(tf.range(5, dtype=tf.int64)).numpy().tolist())
        [0, 1, 2, 3, 4]

    Args:
        size: How many items there are.
        seed: Seed of the order; None: the order is 0, 1, 2, ...
        number: Another number gives another order, a scalar int64 tensor.

    Returns:
        A function from int64 ranks in the order to the items there.
    """
    if seed is None:
        return lambda rank: rank
    pair: Any = [seed, number]
    if size <= _MAX_PERMUTATION:
        shuffle = tf.random.experimental.stateless_shuffle  # pyright: ignore
        order = shuffle(tf.range(size, dtype=tf.int64), seed=pair)
        return lambda rank: tf.gather(order, rank)
    # The cipher behind tf.random.experimental.index_shuffle looks at the low
    # bits of its key only, and similar keys give similar orders, so the key is
    # drawn from the seed.
    full: Any = None  # All values of the type.
    key = tf.random.stateless_uniform(
        [3], seed=pair, minval=full, maxval=full, dtype=tf.int32
    )
    # If the last index is a power of 4, the cipher does not give a permutation
    # (it cuts off the top bit). So the last one stays where it is if its index
    # is a power of 2.
    last = size - 1
    last -= last.bit_count() == 1

    def shuffled_index(rank):
        shuffled = tf.raw_ops.RandomIndexShuffle(
            index=tf.minimum(rank, last),
            seed=key,
            max_index=tf.constant(last, tf.int64),
            rounds=8,
        )
        return tf.where(rank > last, rank, shuffled)

    return shuffled_index


def make_bucket_order(
    buckets: tf.Tensor, seed: int | None, number: tf.Tensor
) -> Order:
    """Makes a random order in which every item stays within its bucket.

        >>> buckets = tf.constant([0.0, 0.0, 2.0], tf.float64)
        >>> order = make_bucket_order(buckets, 0, tf.constant(0, tf.int64))
        >>> int(order(2))
        2

    Args:
        buckets: [N] float64, ascending whole numbers: the bucket of each item.
        seed: As for `make_order`.
        number: As for `make_order`.

    Returns:
        As for `make_order`.
    """
    if seed is None:
        return lambda rank: rank
    pair: Any = [seed, number]
    shape: Any = buckets.shape
    noise = tf.random.stateless_uniform(shape, seed=pair, dtype=tf.float64)
    order = tf.argsort(buckets + noise)
    return lambda rank: tf.gather(order, rank)
