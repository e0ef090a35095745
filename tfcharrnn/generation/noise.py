"""Noise: the random numbers of `sampling.sample`, for many positions at once.

`sample` makes its noise in the loop of a graph, with a dozen operations for
each position. Outside of graphs, the same numbers are made here for a block of
positions.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfcharrnn.generation.request import Request

_TINY = float(np.finfo(np.float32).tiny)
# A block has at most so many positions, and numbers in all.
_MAX_POSITIONS = 256
_MAX_NUMBERS = 1 << 18
# Where a position has more numbers, TensorFlow is faster than NumPy.
_MAX_IN_NUMPY = 1024
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
# The key with which TensorFlow scrambles a seed.
_SCRAMBLE = np.uint64(0x3EC8F720), np.uint64(0x02461E29)


class Noise:
    """The noise of some texts, times their temperature, block by block.

        >>> noise = Noise(Request('', 9), seed=7, num_texts=3, vocab_size=4)
        >>> first, block = noise.block(position=1000)
        >>> first, block.shape
        (768, (256, 3, 4))

    Attributes:
        block_size: Positions in a block.
    """

    def __init__(
        self, request: Request, *, seed: int, num_texts: int, vocab_size: int
    ):
        """Takes what decides the noise.

        Args:
            request: Its `temperature` counts.
            seed: A 64-bit integer.
            num_texts: N.
            vocab_size: V.
        """
        self._temperature = np.float32(request.temperature)
        self._seed = seed
        self._shape = num_texts, vocab_size
        fitting = _MAX_NUMBERS // (num_texts * vocab_size)
        self.block_size = max(1, min(_MAX_POSITIONS, fitting))
        self._block = -1, np.zeros([self.block_size, *self._shape], np.float32)

    def block(self, position: int) -> tuple[int, np.ndarray]:
        """Returns the block with a position.

        Args:
            position: The number of characters that each text has.

        Returns:
            The first position of the block, and its noise [T, N, V] float32.
        """
        first, numbers = self._block
        if position // self.block_size * self.block_size != first:
            first = position // self.block_size * self.block_size
            if self._temperature:  # It stays zero otherwise.
                positions = np.arange(first, first + self.block_size)
                numbers = gumbel(self._seed, positions, self._shape)
                numbers *= self._temperature
            self._block = first, numbers
        return self._block


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
    numbers = uniform(seed, positions, shape)
    for _ in range(2):
        np.log(numbers, out=numbers)
        np.negative(numbers, out=numbers)
    return numbers


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
    positions = np.asarray(positions, np.int64)
    if size > _MAX_IN_NUMPY:
        return _uniform(positions, tf.constant(seed, tf.int64), shape).numpy()
    # The seed has 64 bits and the position has 64: four words for the mix.
    low, high = np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32 & 0xFFFFFFFF)
    words = positions.astype(np.uint64)[:, None]
    mixed = _philox((low, high, words & _LOW, words >> _WORD), _SCRAMBLE)
    blocks = np.arange(-(-size // 4), dtype=np.uint64)
    zero = np.uint64(0)
    counter = (blocks, zero, mixed[2], mixed[3])
    bits = np.stack(_philox(counter, (mixed[0], mixed[1])), axis=-1)
    bits = bits.reshape(len(words), -1)[:, :size].astype(np.uint32)
    # 23 random bits behind the point of a number in [1, 2).
    ones = np.uint32(127 << 23)
    numbers = (bits & np.uint32(0x7FFFFF) | ones).view(np.float32)
    numbers = numbers - np.float32(1) + np.float32(_TINY)
    return numbers.reshape(len(words), *shape)


@tf.function(
    input_signature=[
        tf.TensorSpec([None], tf.int64),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([2], tf.int32),
    ],
    autograph=False,
)
def _uniform(positions, seed, shape):
    return tf.map_fn(
        lambda position: tf.random.stateless_uniform(
            shape, tf.stack([seed, position]), minval=_TINY, alg='philox'
        ),
        positions,
        fn_output_signature=tf.float32,
    )


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
