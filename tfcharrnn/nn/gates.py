"""The fast cells: those of `cells`, with gates on columns.

`recurrence.Gated` states the contract between the functions here and the loop
that calls them.
"""

from __future__ import annotations

import tensorflow as tf

from tfcharrnn.nn import cells
from tfcharrnn.nn.columns import Columns, product
from tfcharrnn.nn.recurrence import Gated
from tfcharrnn.nn.scan import average


class GRU(Gated, cells.GRU):
    """`cells.GRU` with a fast `unroll`; see there for the equations.

    >>> cell = GRU(input_size=3, units=4)
    >>> outputs, state = cell.unroll(tf.zeros([2, 5, 3]), cell.initial_state(2))
    >>> outputs.shape, state.shape
    (TensorShape([2, 5, 4]), TensorShape([2, 4]))
    """

    saved = 4
    keras_layer = 'GRU'

    @staticmethod
    def input_order(kernel):
        """Puts the candidate first: its two products are not just added."""
        z, r, candidate = tf.split(kernel, 3, 1)
        return [candidate, z, r]

    @staticmethod
    def forward(x, h, bias, states):
        """Makes one step; see `Gated`."""
        (state,) = states
        b_z, b_r, b_c = tf.split(bias[0], 3)
        x_c, x_z, x_r = tf.split(x, 3)
        h_z, h_r, h_c = tf.split(h + bias[1], 3)
        z = tf.sigmoid(x_z + b_z + h_z)
        r = tf.sigmoid(x_r + b_r + h_r)
        candidate = tf.tanh(x_c + b_c + r * h_c)
        state = candidate + z * (state - candidate)
        return [state], [z, r, candidate, h_c]

    @staticmethod
    def backward(saved, states, d_states):
        """Differentiates one step: rows x_c, z, r, h_c; see `Gated`."""
        z, r, candidate, h_c = saved
        (state,), (d_state,) = states, d_states
        d_c = d_state * (1.0 - z) * (1.0 - candidate * candidate)
        d_z = d_state * (state - candidate) * z * (1.0 - z)
        d_r = d_c * h_c * r * (1.0 - r)
        return [d_c, d_z, d_r, d_c * r], [d_state * z]

    @staticmethod
    def bias_gradient(sums):
        """Arranges sums [4U] as [2, 3U]."""
        x_c, z, r, h_c = tf.split(sums, 4)
        return tf.reshape(tf.concat([z, r, x_c, z, r, h_c], 0), [2, -1])


class LSTM(Gated, cells.LSTM):
    """`cells.LSTM` with a fast `unroll`; see there for the equations.

    >>> cell = LSTM(input_size=3, units=4)
    >>> inputs = tf.zeros([2, 5, 3])
    >>> outputs, (h, c) = cell.unroll(inputs, cell.initial_state(2))
    >>> outputs.shape, h.shape, c.shape
    (TensorShape([2, 5, 4]), TensorShape([2, 4]), TensorShape([2, 4]))
    """

    saved = 5
    keras_layer = 'LSTM'

    @staticmethod
    def forward(x, h, bias, states):
        """Makes one step; see `Gated`."""
        _, c = states
        i, f, g, o = tf.split(x + h + bias, 4)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return [o * tanh_c, c], [i, f, g, o, tanh_c]

    @staticmethod
    def backward(saved, states, d_states):
        """Differentiates one step: rows i, f, g, o; see `Gated`."""
        i, f, g, o, tanh_c = saved
        _, c = states
        d_h, d_c = d_states
        d_c += d_h * o * (1.0 - tanh_c * tanh_c)
        d_i = d_c * g * i * (1.0 - i)
        d_f = d_c * c * f * (1.0 - f)
        d_g = d_c * i * (1.0 - g * g)
        d_o = d_h * tanh_c * o * (1.0 - o)
        return [d_i, d_f, d_g, d_o], [tf.zeros_like(d_h), d_c * f]


class MinGRU(Columns, cells.MinGRU):
    """`cells.MinGRU`, whose loop has no product and is compiled as a whole.

    >>> cell = MinGRU(input_size=3, units=4)
    >>> outputs, state = cell.unroll(tf.zeros([2, 5, 3]), cell.initial_state(2))
    >>> outputs.shape, state.shape
    (TensorShape([2, 5, 4]), TensorShape([2, 4]))
    """

    def _unroll(self, inputs, kernel, state):
        projected = product(kernel, inputs, self.compute_dtype)
        bias = tf.convert_to_tensor(self.bias)
        outputs = average(projected, bias, tf.transpose(state))
        operand = tf.cast(outputs, self.compute_dtype)
        return operand, tf.transpose(outputs[:, -1])

    def _step(self, x, bias, states, products, *recurrent):
        z, candidate = tf.split(x + bias, 2)
        return [states[0] + tf.sigmoid(z) * (candidate - states[0])]
