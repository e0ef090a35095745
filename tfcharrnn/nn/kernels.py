"""The GRU and the LSTM of `tfcharrnn.cells`, unrolled at the machine's speed.

Same weights, same equations, same results; what differs is the order of the
work. One step of a recurrent layer is a product of the recurrent weights with
a small matrix of states, then element-wise gates. Four things make it fast:

  * Activations are columns: a state is [units, batch], a sequence
    [units, time, batch]. The weights are then the LEFT operand of each
    product, which the matrix library reads straight from memory; the right
    operand it repacks at every step.
  * The gates are one compiled (XLA) function forward and one backward.
    The products stay outside of it, where the matrix library is faster.
  * The gradient is written by hand. The backward loop only carries the
    gradient of the state from step to step; the gradient of the recurrent
    weights is one product over all steps, after the loop.

  * The inner size of a bfloat16 product that is a multiple of 1024 gets a
    margin of zeros where there are few columns. Else the rows of the weights
    lie a power of two apart, share the same few lines of the cache, and push
    each other out of it.

With `compute_dtype` bfloat16 the operands of products and the gradients of
the gates are bfloat16; weights, gates and states stay float32.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import tensorflow as tf

from tfcharrnn.nn import cells

# Characters of a vocabulary up to which it pays to multiply all of them.
MAX_TABLE = 1024


class Columns:
    """What a cell that unrolls in columns shares with the others."""

    def unroll(
        self, inputs: tf.Tensor, state: cells.State
    ) -> tuple[tf.Tensor, cells.State]:
        """Makes a step for each position; see `RNNCell.unroll`."""
        columns = tf.transpose(inputs, [2, 1, 0])
        outputs, state = self.unroll_columns(columns, state)
        return tf.transpose(tf.cast(outputs, tf.float32), [2, 1, 0]), state

    def unroll_columns(
        self, inputs: tf.Tensor, state: cells.State
    ) -> tuple[tf.Tensor, cells.State]:
        """Makes a step for each position; see `RNNCell.unroll_columns`."""
        return self._unroll(inputs, self.kernel, state)

    def unroll_ids(
        self,
        ids: tf.Tensor,
        embedding: tf.Tensor | None,
        state: cells.State,
    ) -> tuple[tf.Tensor, cells.State]:
        """Makes a step for each character; see `RNNCell.unroll_ids`.

        The embedding times the input weights is a table with a row for each
        character of the vocabulary, so a character costs V products instead
        of the embedding's size. Where there are more of them, as with words,
        each input is looked up instead.
        """
        if embedding is not None and embedding.shape[0] > MAX_TABLE:
            return self.unroll_columns(look_up(ids, embedding), state)
        table = tf.convert_to_tensor(self.kernel)
        if embedding is not None:
            table = tf.matmul(embedding, table)
        # A product with one-hot columns: its gradient is a product as well,
        # faster than the scattered sums of a gather's.
        dtype = self.compute_dtype
        one_hot = tf.one_hot(
            tf.transpose(ids), table.shape[0], axis=0, dtype=dtype
        )
        return self._unroll(one_hot, table, state)

    def step_weights(
        self, ids: bool, embedding: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, ...]:
        """Returns the weights as `step_columns` reads them fastest.

        Args:
            ids: Whether the inputs are ids, that is, in the first layer.
            embedding: As for `unroll_ids`.
        """
        kernel = tf.concat(self._input_order(self.kernel), 1)
        if not ids:
            kernel = tf.transpose(kernel)
        elif embedding is not None:
            kernel = tf.matmul(embedding, kernel)
        return kernel, self.bias[..., None], *self._recurrent_weights()

    def step_products(
        self, state: cells.State, weights: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, ...]:
        """Multiplies the state, in float32, with parts of the weights.

        Not to be compiled: they do not depend on each other, so they are
        worked on side by side.

        Args:
            state: As everywhere, in rows.
            weights: As `step_weights` returned them.

        Returns:
            Parts of the product, [., B] each; none where it is better made,
            as one, by the compiled `step_columns`.
        """
        del state, weights
        return ()

    def step_columns(
        self,
        inputs: tf.Tensor,
        state: cells.State,
        products: tuple[tf.Tensor, ...],
        weights: tuple[tf.Tensor, ...],
    ) -> tuple[tf.Tensor, cells.State]:
        """Makes one step, in float32, with weights made ready.

        Args:
            inputs: Ids [B], or columns [I, B].
            state: As everywhere, in rows.
            products: As `step_products` returned them.
            weights: As `step_weights` returned them.

        Returns:
            The outputs [U, B] and the next state.
        """
        kernel, bias, *recurrent = weights
        if inputs.dtype.is_integer:
            x = tf.transpose(tf.gather(kernel, inputs))
        else:
            x = tf.matmul(kernel, inputs)
        states = [tf.transpose(s) for s in tf.nest.flatten(state)]
        states = self._step(x, bias, states, products, *recurrent)
        rows = [tf.transpose(s) for s in states]
        return states[0], tf.nest.pack_sequence_as(state, rows)

    def _unroll(self, inputs, kernel, state):
        """Unrolls over inputs [I, T, B] with [I, G] weights of their own."""
        raise NotImplementedError

    def _step(self, x, bias, states, products, *recurrent):
        """Returns the next states [U, B] from the projected inputs [G, B]."""
        raise NotImplementedError

    def _input_order(self, kernel):
        """Returns the parts of `kernel` in the order of the products."""
        return [kernel]

    def _recurrent_weights(self):
        """Returns the weights of the state: as one, or in parts."""
        return ()


class _Gated(Columns):
    """A cell with a product of the state, and gates."""

    gates: _Gates

    def _unroll(self, inputs, kernel, state):
        kernel = tf.concat(self._input_order(kernel), 1)
        projected = product(kernel, inputs, self.compute_dtype)
        outputs, *states = _recur(
            self.gates,
            projected,
            tf.convert_to_tensor(self.recurrent_kernel),
            tf.convert_to_tensor(self.bias),
            tf.nest.flatten(state),
        )
        return outputs, tf.nest.pack_sequence_as(state, states)

    def step_products(
        self, state: cells.State, weights: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, ...]:
        """Multiplies the state with each part of the weights."""
        _, _, *recurrent = weights
        if len(recurrent) == 1:
            return ()
        rows = tf.nest.flatten(state)[0]
        return tuple(
            tf.matmul(part, rows, transpose_b=True) for part in recurrent
        )

    def _step(self, x, bias, states, products, *recurrent):
        if products:
            h = tf.concat(products, 0)
        else:
            (kernel,) = recurrent
            h = tf.matmul(kernel, states[0])
        return self.gates.forward(x, h, bias, states)[0]

    def _input_order(self, kernel):
        return self.gates.input_order(kernel)

    def _recurrent_weights(self):
        kernel = tf.transpose(self.recurrent_kernel)
        # Where a product has one thread, two of them have two.
        half = kernel.shape[0] // 2 if _num_threads() == 1 else 0
        parts = (kernel[:half], kernel[half:]) if half else (kernel,)
        # Snapshots, or else the optimizer of graphs would fold the
        # transposition and the slices into the products of each step.
        return tuple(tf.raw_ops.Snapshot(input=part) for part in parts)


def _num_threads() -> int:
    """Returns how many threads a product may have; 0: as TensorFlow likes."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return threads or int(os.environ.get('TF_NUM_INTRAOP_THREADS') or 0)


def product(
    kernel: tf.Tensor, columns: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Multiplies [I, O] weights with [I, T, B] columns: [O, T, B] of `dtype`.

    One product for all steps.
    """
    shape = tf.shape(columns)
    flat = tf.reshape(tf.cast(columns, dtype), [columns.shape[0], -1])
    result = tf.matmul(tf.cast(kernel, dtype), flat, transpose_a=True)
    result = tf.reshape(result, [kernel.shape[1], shape[1], shape[2]])
    return tf.ensure_shape(result, [kernel.shape[1], *columns.shape[1:]])


class _Gates:
    """The element-wise part of a cell, in columns, and its derivative.

    The gradients of all gates at one step are stacked as rows: those of the
    projected inputs first, in the order of `input_order`, those of the
    recurrent product last, in its own order; they may overlap.
    """

    saved: int  # How many tensors of a step the way back needs.

    @staticmethod
    def input_order(kernel):
        """Returns the parts of [I, G] in the order of the gate gradients."""
        raise NotImplementedError

    @staticmethod
    def forward(x, h, bias, states):
        """Returns the next states and what to save, from both products."""
        raise NotImplementedError

    @staticmethod
    def backward(saved, states, d_states):
        """Returns the gate gradients, and the states' past the product."""
        raise NotImplementedError

    @staticmethod
    def bias_gradient(sums):
        """Arranges the sums of the gate gradients as the bias is."""
        raise NotImplementedError


class _GRUGates(_Gates):
    saved = 4

    @staticmethod
    def input_order(kernel):
        z, r, candidate = tf.split(kernel, 3, 1)
        return [candidate, z, r]

    @staticmethod
    def forward(x, h, bias, states):
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
        z, r, candidate, h_c = saved
        (state,), (d_state,) = states, d_states
        d_c = d_state * (1.0 - z) * (1.0 - candidate * candidate)
        d_z = d_state * (state - candidate) * z * (1.0 - z)
        d_r = d_c * h_c * r * (1.0 - r)
        return [d_c, d_z, d_r, d_c * r], [d_state * z]

    @staticmethod
    def bias_gradient(sums):
        x_c, z, r, h_c = tf.split(sums, 4)
        return tf.reshape(tf.concat([z, r, x_c, z, r, h_c], 0), [2, -1])


class _LSTMGates(_Gates):
    saved = 5

    @staticmethod
    def input_order(kernel):
        return [kernel]

    @staticmethod
    def forward(x, h, bias, states):
        _, c = states
        i, f, g, o = tf.split(x + h + bias, 4)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        tanh_c = tf.tanh(c)
        return [o * tanh_c, c], [i, f, g, o, tanh_c]

    @staticmethod
    def backward(saved, states, d_states):
        i, f, g, o, tanh_c = saved
        _, c = states
        d_h, d_c = d_states
        d_c += d_h * o * (1.0 - tanh_c * tanh_c)
        d_i = d_c * g * i * (1.0 - i)
        d_f = d_c * c * f * (1.0 - f)
        d_g = d_c * i * (1.0 - g * g)
        d_o = d_h * tanh_c * o * (1.0 - o)
        return [d_i, d_f, d_g, d_o], [tf.zeros_like(d_h), d_c * f]

    @staticmethod
    def bias_gradient(sums):
        return sums


class GRU(_Gated, cells.GRU):
    """`cells.GRU` with a fast `unroll`; see there for the equations.

    >>> cell = GRU(input_size=3, units=4)
    >>> outputs, state = cell.unroll(tf.zeros([2, 5, 3]), cell.initial_state(2))
    >>> outputs.shape, state.shape
    (TensorShape([2, 5, 4]), TensorShape([2, 4]))
    """

    gates = _GRUGates


class LSTM(_Gated, cells.LSTM):
    """`cells.LSTM` with a fast `unroll`; see there for the equations.

    >>> cell = LSTM(input_size=3, units=4)
    >>> inputs = tf.zeros([2, 5, 3])
    >>> outputs, (h, c) = cell.unroll(inputs, cell.initial_state(2))
    >>> outputs.shape, h.shape, c.shape
    (TensorShape([2, 5, 4]), TensorShape([2, 4]), TensorShape([2, 4]))
    """

    gates = _LSTMGates


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
        outputs = _average(projected, bias, tf.transpose(state))
        operand = tf.cast(outputs, self.compute_dtype)
        return operand, tf.transpose(outputs[:, -1])

    def _step(self, x, bias, states, products, *recurrent):
        z, candidate = tf.split(x + bias, 2)
        return [states[0] + tf.sigmoid(z) * (candidate - states[0])]


@tf.custom_gradient
def look_up(ids: tf.Tensor, embedding: tf.Tensor) -> tf.Tensor:
    """Looks the embeddings of characters up.

    Args:
        ids: [B, T] integers below V.
        embedding: [V, I].

    Returns:
        Columns [I, T, B].
    """
    ids = tf.transpose(ids)
    size = embedding.shape[0]

    def gradient(d_columns):
        rows = tf.reshape(tf.transpose(d_columns, [1, 2, 0]), [-1, width])
        flat = tf.reshape(ids, [-1])
        # Dense, so that rows which occur twice are summed before all else.
        return None, tf.math.unsorted_segment_sum(rows, flat, size)

    embedding = tf.convert_to_tensor(embedding)
    width = embedding.shape[1]
    return tf.transpose(tf.gather(embedding, ids), [2, 0, 1]), gradient


@tf.custom_gradient
def _average(projected, bias, state):
    """Runs h += sigmoid(z) * (candidate - h) over [2U, T, B]: [U, T, B]."""
    forward, backward = _compiled_average(tuple(projected.shape))
    # The tape need not look inside; in eager mode it would.
    outputs = forward(*map(tf.stop_gradient, (projected, bias, state)))

    def gradient(d_outputs):
        return backward(projected, bias, state, outputs, d_outputs)

    return outputs, gradient


@functools.cache
def _compiled_average(shape) -> tuple[Callable, Callable]:
    """Compiles for one shape: XLA must know how long its loop is."""
    del shape  # One function each: a function for all would take any length.

    @tf.function(autograph=False, jit_compile=True)
    def forward(projected, bias, state):
        z, candidate = _gate_and_candidate(projected, bias)

        def body(t, h, outputs):
            h += z[:, t] * (candidate[:, t] - h)
            return t + 1, h, outputs.write(t, h)

        return _scan(body, state, z)

    @tf.function(autograph=False, jit_compile=True)
    def backward(projected, bias, state, outputs, d_outputs):
        z, candidate = _gate_and_candidate(projected, bias)
        last = _num_steps(z) - 1

        def body(i, carry, d_states):
            d_state = carry + d_outputs[:, last - i]
            d_states = d_states.write(last - i, d_state)
            return i + 1, d_state * (1.0 - z[:, last - i]), d_states

        d_states = _scan(body, tf.zeros_like(state), z)
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


def _scan(body, state, like):
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


def _recur(gates, projected, recurrent_kernel, bias, states):
    """Runs the recurrence, with a gradient of its own.

    Args:
        gates: The element-wise part of the cell.
        projected: [G, T, B], the input weights times the inputs.
        recurrent_kernel: [U, G] float32.
        bias: As the cell has it, float32.
        states: A list of [B, U] float32, the state before the first step.

    Returns:
        The outputs [U, T, B] in the type of `projected`, and the states after
        the last step.
    """
    # In rows for the compiled gates, which see states [U, B].
    column_bias = bias[..., None]

    @tf.custom_gradient
    def recur(projected, recurrent_kernel, bias, *states):
        kernel = tf.cast(recurrent_kernel, projected.dtype)
        states = [tf.transpose(state) for state in states]
        outputs, final, tape = _forward(
            gates, projected, kernel, column_bias, states
        )

        def gradient(d_outputs, *d_states):
            d_states = [tf.transpose(d_state) for d_state in d_states]
            d_gates, d_states = _backward(
                gates, kernel, tape, d_outputs, d_states
            )
            # The product of step t used the output of step t - 1.
            first = tf.cast(states[0], kernel.dtype)[:, None]
            before = tf.concat([first, outputs[:, :-1]], 1)
            inputs, units = projected.shape[0], kernel.shape[1]
            d_kernel = tf.matmul(
                _flat(before), _flat(d_gates[-units:]), transpose_b=True
            )
            sums = tf.reduce_sum(tf.cast(_flat(d_gates), tf.float32), 1)
            return (
                d_gates[:inputs],
                tf.cast(d_kernel, tf.float32),
                gates.bias_gradient(sums),
                *(tf.transpose(d_state) for d_state in d_states),
            )

        return (outputs, *(tf.transpose(s) for s in final)), gradient

    return recur(projected, recurrent_kernel, bias, *states)


def _flat(sequence):
    """[N, T, B] as a matrix [N, T * B]."""
    return tf.reshape(sequence, [sequence.shape[0], -1])


def _forward(gates, projected, kernel, bias, states):
    """Steps forward; returns outputs [U, T, B], states and the tape."""
    dtype = projected.dtype
    steps = tf.shape(projected)[1]
    shape = states[0].shape
    # The snapshot keeps the graph optimizer from folding the transposition
    # into the product, which would then transpose at every step.
    margin = _margin(kernel.shape[0], shape[1], dtype)
    kernel = _widen(tf.transpose(kernel), margin)
    kernel = tf.raw_ops.Snapshot(input=kernel)
    step = _compiled_forward(gates, dtype, margin)

    def body(t, operand, states, outputs, tape):
        h = tf.matmul(kernel, operand)
        after, operand, saved = step(projected[:, t], h, bias, states)
        values = zip(tape, saved + states, strict=True)
        tape = [array.write(t, value) for array, value in values]
        return t + 1, operand, after, outputs.write(t, operand), tape

    array = functools.partial(
        tf.TensorArray,
        size=steps,
        element_shape=shape,
        clear_after_read=False,  # An eager, persistent tape reads it twice.
    )
    operand = _lengthen(tf.cast(states[0], dtype), margin)
    outputs = array(dtype, element_shape=operand.shape)
    tape = [array(tf.float32) for _ in range(gates.saved + len(states))]
    _, _, states, outputs, tape = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (0, operand, states, outputs, tape),
        parallel_iterations=1,
    )
    outputs = tf.transpose(outputs.stack(), [1, 0, 2])[: shape[0]]
    outputs.set_shape([shape[0], *projected.shape[1:]])
    return outputs, states, tape


def _backward(gates, kernel, tape, d_outputs, d_states):
    """Steps back; returns gate gradients [N, T, B] and the first states'."""
    dtype = kernel.dtype
    margin = _margin(kernel.shape[1], d_outputs.shape[2], dtype)
    kernel = _widen(kernel, margin)
    # The last rows of a step: those of the recurrent product, and a margin.
    width = kernel.shape[1]
    steps = tf.shape(d_outputs)[1]
    step = _compiled_backward(gates, dtype, margin)

    def body(t, d_operand, d_states, d_gates):
        values = [array.read(t) for array in tape]
        saved, states = values[: gates.saved], values[gates.saved :]
        d_step, d_states = step(
            d_outputs[:, t], d_operand, d_states, saved, states
        )
        d_operand = tf.matmul(kernel, d_step[-width:])
        return t - 1, d_operand, d_states, d_gates.write(t, d_step)

    d_gates = tf.TensorArray(dtype, steps)
    _, d_operand, d_states, d_gates = tf.while_loop(
        lambda t, *_: t >= 0,
        body,
        (steps - 1, tf.zeros_like(d_states[0], dtype), d_states, d_gates),
        parallel_iterations=1,
    )
    d_states[0] += tf.cast(d_operand, tf.float32)
    d_gates = tf.transpose(d_gates.stack(), [1, 0, 2])
    return d_gates[: -margin or None], d_states


def _margin(size: int, num_columns: int | None, dtype: tf.DType) -> int:
    """Returns how many zeros to add to the inner size of a product."""
    if dtype != tf.bfloat16 or size % 1024 or num_columns is None:
        return 0
    return 8 if num_columns < 32 or size % 4096 == 0 else 0


def _widen(kernel, margin):
    """Adds the margin to the columns of a left operand."""
    return tf.pad(kernel, [[0, 0], [0, margin]]) if margin else kernel


def _lengthen(columns, margin):
    """Adds the margin to the rows of a right operand."""
    return tf.pad(columns, [[0, margin], [0, 0]]) if margin else columns


@functools.cache
def _compiled_forward(
    gates: type[_Gates], dtype: tf.DType, margin: int
) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def step(x, h, bias, states):
        x, h = tf.cast(x, tf.float32), tf.cast(h, tf.float32)
        states, saved = gates.forward(x, h, bias, states)
        return states, _lengthen(tf.cast(states[0], dtype), margin), saved

    return step


@functools.cache
def _compiled_backward(
    gates: type[_Gates], dtype: tf.DType, margin: int
) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def step(d_output, d_operand, d_states, saved, states):
        d_h, *others = d_states
        d_h += tf.cast(d_output, tf.float32) + tf.cast(d_operand, tf.float32)
        d_gates, d_states = gates.backward(saved, states, [d_h, *others])
        d_gates = tf.cast(tf.concat(d_gates, 0), dtype)
        return _lengthen(d_gates, margin), d_states

    return step
