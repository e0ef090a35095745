"""Layer normalization of activations in columns."""

from __future__ import annotations

import tensorflow as tf

# Keeps a variance of zero from being divided by.
EPSILON = 1e-5


class LayerNorm(tf.Module):
    """Brings each column to a mean and a deviation that are learned.

        y = (x - mean(x)) / deviation(x) * scale + shift

        >>> norm = LayerNorm(units=2)
        >>> norm(tf.constant([[1.0], [3.0]])).numpy().round(3).tolist()
        [[-1.0], [1.0]]

    Reference: Ba et al., arXiv 1607.06450.
    """

    def __init__(self, units: int):
        """Makes a scale of ones and a shift of zeros, [U] each."""
        super().__init__()
        self.scale = tf.Variable(tf.ones([units]), name='scale')
        self.shift = tf.Variable(tf.zeros([units]), name='bias')

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Normalizes columns [U, ...]; returns the same shape and type."""
        return self._normalize(
            x,
            tf.convert_to_tensor(self.scale),
            tf.convert_to_tensor(self.shift),
        )

    @tf.function(autograph=False, jit_compile=True)
    def _normalize(self, x, scale, shift):
        return normalize(x, scale, shift)


def normalize(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Normalizes columns, in operations that are not compiled.

        >>> columns = tf.constant([[1.0], [3.0]])
        >>> normalize(columns, tf.ones(2), tf.zeros(2)).numpy().round(
        ...     3
        ... ).tolist()
        [[-1.0], [1.0]]

    Args:
        x: [U, ...].
        scale: [U].
        shift: [U].

    Returns:
        The shape and type of `x`.
    """
    wide = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(wide, 0, keepdims=True)
    shape = [-1] + [1] * (len(x.shape) - 1)
    scale, shift = tf.reshape(scale, shape), tf.reshape(shift, shape)
    wide = (wide - mean) * tf.math.rsqrt(variance + EPSILON)
    return tf.cast(wide * scale + shift, x.dtype)
