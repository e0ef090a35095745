"""Noise: the random numbers of `sampling.sample`, for many positions at once.

`sample` makes its noise in a graph, position by position. Outside of a graph
that would take longer than a step of the model, so here NumPy computes the same
numbers, for a block of positions in one go.
"""

from __future__ import annotations

import numpy as np

_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
# The key with which TensorFlow scrambles a seed.
_SCRAMBLE = np.uint64(0x3EC8F720), np.uint64(0x02461E29)


def gumbel(
    seed: int, positions: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns the noise with which `sampling.sample` draws.

        noise = -log(-log(uniform))

    A number depends on the seed, its position, and its place in the row-major
    order of `shape`, so that more rows change no earlier one.

        >>> gumbel(7, np.arange(2), (3, 4)).shape
        (2, 3, 4)

    Args:
        seed: A 64-bit integer.
        positions: [T] integers.
        shape: Of the noise at each position, [N, V].

    Returns:
        [T, N, V] float32.
    """
    return -np.log(-np.log(uniform(seed, positions, shape)))


def uniform(
    seed: int, positions: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Returns uniform numbers in (0, 1): those of TensorFlow, bit for bit.

    At each position they are those of

        tf.random.stateless_uniform(
            shape, [seed, position], minval=np.finfo(np.float32).tiny,
            alg='philox')

    They come from Philox4x32-10, a counter that is encrypted (Salmon et al.,
    "Parallel random numbers: as easy as 1, 2, 3", 2011,
    https://doi.org/10.1145/2063384.2063405).

        >>> uniform(1, np.array([0]), (2,)).tolist()
        [[0.8784881830215454, 0.4599802494049072]]

    Args:
        seed: As for `gumbel`.
        positions: As for `gumbel`.
        shape: As for `gumbel`.

    Returns:
        [T, N, V] float32.
    """
    size = int(np.prod(shape))
    # The seed has 64 bits and the position has 64: four words for the mix.
    low, high = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32 & 0xFFFFFFFF)
    words = np.asarray(positions, np.int64).astype(np.uint64)[:, None]
    mixed = _philox((low, high, words & _LOW, words >> _WORD), _SCRAMBLE)
    blocks = np.arange(-(-size // 4), dtype=np.uint64)
    zero = np.uint64(0)
    counter = (blocks, zero, mixed[2], mixed[3])
    bits = np.stack(_philox(counter, (mixed[0], mixed[1])), axis=-1)
    bits = bits.reshape(len(words), -1)[:, :size].astype(np.uint32)
    # 23 random bits behind the point of a number in [1, 2).
    ones = np.uint32(127 << 23)
    numbers = (bits & np.uint32(0x7FFFFF) | ones).view(np.float32)
    numbers = numbers - np.float32(1) + np.finfo(np.float32).tiny
    return numbers.reshape(len(words), *shape)


def _philox(counter, key):
    """Encrypts four words with two; arrays of words broadcast."""
    a, b, c, d = counter
    first, second = key
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (
            right >> _WORD ^ b ^ first,
            right & _LOW,
            left >> _WORD ^ d ^ second,
            left & _LOW,
        )
        first = first + _KEY_STEPS[0] & _LOW
        second = second + _KEY_STEPS[1] & _LOW
    return np.broadcast_arrays(a, b, c, d)
