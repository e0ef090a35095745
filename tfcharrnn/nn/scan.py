"""The loop of MinGRU, h += z * (candidate - h), compiled as a whole."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def average(
    projected: tf.Tensor, bias: tf.Tensor, state: tf.Tensor
) -> tf.Tensor:
    """Runs h += sigmoid(z) * (candidate - h) over all steps.

    The gradient is written by hand, as in `recurrence`.

        >>> bias = tf.constant([0.0, 8.0])  # A gate of 0.5, a candidate of 8.
        >>> average(tf.zeros([2, 3, 1]), bias, tf.zeros([1, 1])).numpy().ravel()
        array([4., 6., 7.], dtype=float32)

    Args:
        projected: [2U, T, B], z and candidate before their bias.
        bias: [2U] float32.
        state: [U, B] float32, h before the first step.

    Returns:
        Each h, [U, T, B] float32.
    """
    return _average(projected, bias, state)


@tf.custom_gradient
def _average(projected, bias, state) -> Any:
    forward, backward = _compiled(tuple(projected.shape))
    # The tape need not look inside; in eager mode it would.
    outputs = forward(*map(tf.stop_gradient, (projected, bias, state)))

    def gradient(d_outputs):
        return backward(projected, bias, state, outputs, d_outputs)

    return outputs, gradient


@functools.cache
def _compiled(shape) -> tuple[Callable, Callable]:
    """Compiles for one shape: XLA must know how long its loop is."""
    del shape  # One function for all shapes would take any length.

    @tf.function(autograph=False, jit_compile=True)
    def forward(projected, bias, state):
        z, candidate = _gate_and_candidate(projected, bias)

        def body(t, h, outputs):
            h += z[:, t] * (candidate[:, t] - h)
            return t + 1, h, outputs.write(t, h)

        return _loop(body, state, z)

    @tf.function(autograph=False, jit_compile=True)
    def backward(projected, bias, state, outputs, d_outputs):
        z, candidate = _gate_and_candidate(projected, bias)
        last = _num_steps(z) - 1

        def body(i, carry, d_states):
            d_state = carry + d_outputs[:, last - i]
            d_states = d_states.write(last - i, d_state)
            return i + 1, d_state * (1.0 - z[:, last - i]), d_states

        d_states = _loop(body, tf.zeros_like(state), z)
        before = tf.concat([state[:, None], outputs[:, :-1]], 1)
        d_z = d_states * (candidate - before) * z * (1.0 - z)
        d_projected = tf.concat([d_z, d_states * z], 0)
        d_bias = tf.reduce_sum(d_projected, [1, 2])
        d_state = d_states[:, 0] * (1.0 - z[:, 0])
        return tf.cast(d_projected, projected.dtype), d_bias, d_state

    return forward, backward


def _gate_and_candidate(projected, bias):
    x = tf.cast(projected, tf.float32) + bias[:, None, None]
    z, candidate = tf.split(x, 2)
    return tf.sigmoid(z), candidate


def _num_steps(sequence):
    """Returns T of [U, T, B], as a number where it is known."""
    return sequence.shape[1] or tf.shape(sequence)[1]


def _loop(body, state, like):
    """Loops `body` over (t, state, array); returns the array [U, T, B]."""
    steps = _num_steps(like)
    array = tf.TensorArray(tf.float32, steps, element_shape=state.shape)
    *_, array = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (0, state, array),
        maximum_iterations=steps,
    )
    return tf.ensure_shape(tf.transpose(array.stack(), [1, 0, 2]), like.shape)
