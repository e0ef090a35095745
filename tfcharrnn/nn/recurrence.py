"""Cells with gates and a product of the state, at the machine's speed.

Same weights, same equations, same results as the plain loop of `RNNCell`; what
differs is the order of the work. One step of a recurrent layer is a product of
the recurrent weights with a small matrix of states, then element-wise gates.
Four things make it fast:

  * Activations are columns; see `columns`.
  * The gates are one compiled (XLA) function forward and one backward.
    The products stay outside of it, where the matrix library is faster.
  * The gradient is written by hand. The backward loop only carries the
    gradient of the state from step to step; the gradient of the recurrent
    weights is one product over all steps, after the loop.
  * The inner size of a bfloat16 product that is a multiple of 1024 gets a
    margin of zeros where there are few columns. Otherwise the rows of the
    weights lie a power of two apart, share the same few lines of the cache,
    and push each other out of it.

With `compute_dtype` bfloat16 the operands of products and the gradients of
the gates are bfloat16; weights, gates and states stay float32.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcharrnn.nn import cudnn
from tfcharrnn.nn.cells import State
from tfcharrnn.nn.columns import Columns, product

# So many rows of gradients are added up at a time.
_SUMMED_ROWS = 512


class Gated(Columns):
    """A cell whose `unroll` is fast: the contract of its gates.

    A fast cell is two classes: one in `cells` with the weights and the
    readable step, and one in `gates` that adds the same step as a pair of
    functions on columns. This one is the fast form of `cells.VanillaRNN`:

        >>> from tfcharrnn.nn import cells
        >>> class VanillaRNN(Gated, cells.VanillaRNN):
        ...     saved = 1
        ...
        ...     @staticmethod
        ...     def forward(x, h, bias, states):
        ...         state = tf.tanh(x + h + bias)
        ...         return [state], [state]
        ...
        ...     @staticmethod
        ...     def backward(saved, states, d_states):
        ...         (state,), (d_state,) = saved, d_states
        ...         d_sum = d_state * (1.0 - state * state)
        ...         return [d_sum], [tf.zeros_like(d_sum)]
        >>> cell = VanillaRNN(input_size=3, units=4)
        >>> outputs, _ = cell.unroll(tf.ones([1, 5, 3]), cell.initial_state(1))
        >>> outputs.shape
        TensorShape([1, 5, 4])

    Where rows come in another order than in the weights, `input_order` and
    `bias_gradient` say so. The loops of this module are:

        x = kernel.T @ inputs                       # for all t: [K, T, B]
        for t forwards:
            h = recurrent_kernel.T @ (mask * states[t][0])    # [R, B]
            states[t + 1], saved[t] = forward(x[t], h, bias, states[t])
        for t backwards:
            d_states[0] += d_outputs[t]
            d_states[0] += mask * (recurrent_kernel @ d_h[t + 1])
            d_gates[t], d_states = backward(saved[t], states[t], d_states)
            d_x[t], d_h[t] = d_gates[t][:K], d_gates[t][-R:]

    Weights: `kernel` is [I, K] and `recurrent_kernel` [U, R]; K and R may
    differ. `bias` may have any shape that `bias_gradient` returns.

    States: the cell's state as a flat list (`tf.nest.flatten`) of [U, B]. The
    first one is the output of the cell, and the one that is multiplied.

    Rows: those of `x` come in the order of `input_order`, those of `h` in the
    order of `recurrent_kernel`. `backward` returns gradients that are stacked
    as rows to [N, B]. The first K are the gradient of `x`, the last R that of
    `h`. Where a gate adds its two products, their gradients are the same, and
    the rows may overlap, so N is from max(K, R) to K + R. `input_order` makes
    this possible: it moves to the front what does not overlap.

    Types: all that the functions take and return is float32, whatever the
    `compute_dtype`.

    Compilation: XLA compiles both functions, so they are static, consist of
    TensorFlow's element-wise operations, and read no variables. B may be
    unknown when they are traced. No tape looks inside: nothing but a test
    notices a wrong `backward` (see `tests/nn/gates_test.py`).

    Attributes:
        recurrent_kernel: [U, R], the weights of the state.
        state_mask: [B, U], multiplies the state that they multiply; None: 1.
        saved: Number of tensors that `backward` needs of each step.
        keras_layer: The name in `tf.keras.layers` of a layer with the same
            weights and equations, for a GPU; see `cudnn`. Optional.
    """

    recurrent_kernel: tf.Variable
    state_mask: tf.Tensor | None = None
    saved: int
    keras_layer: str | None = None

    @staticmethod
    def forward(
        x: tf.Tensor, h: tf.Tensor, bias: tf.Tensor, states: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Makes one step from both products.

        Args:
            x: [K, B], the product of the inputs.
            h: [R, B], the product of the first state.
            bias: The cell's, with a last dimension of size 1 added.
            states: The states before the step, each [U, B].

        Returns:
            The states after the step, and `saved` tensors for `backward`, each
            [U, B].
        """
        raise NotImplementedError

    @staticmethod
    def backward(
        saved: list[tf.Tensor],
        states: list[tf.Tensor],
        d_states: list[tf.Tensor],
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Differentiates one step.

        Args:
            saved: What `forward` saved.
            states: The states before the step, as `forward` took them.
            d_states: The gradients of the states after the step.

        Returns:
            The gradients of the gates, in parts that stack to [N, B]; and
            those of the states before the step, without what flows through
            the product `h`, which the loop adds.
        """
        raise NotImplementedError

    @staticmethod
    def bias_gradient(sums: tf.Tensor) -> tf.Tensor:
        """Returns the gradient of the bias: by default, the sums.

        Args:
            sums: [N], the gradients of the gates, summed over [T, B].
        """
        return sums

    @staticmethod
    def input_order(kernel: tf.Tensor) -> list[tf.Tensor]:
        """Cuts [I, K] into the parts of `x`, in order: by default, one part."""
        return [kernel]

    def step_products(
        self, state: State, weights: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, ...]:
        """Multiplies the state with each part of the weights."""
        _, _, *recurrent = weights
        if len(recurrent) == 1:
            return ()
        rows = tf.nest.flatten(state)[0]
        return tuple(
            tf.matmul(part, rows, transpose_b=True) for part in recurrent
        )

    def _unroll(self, inputs, kernel, state):
        # cuDNN knows no mask: a GPU then runs this loop, which is slower there.
        if self.state_mask is None and cudnn.uses_keras(self):
            return cudnn.unroll(self, inputs, kernel, state)
        kernel = tf.concat(self.input_order(kernel), 1)
        projected = product(kernel, inputs, self.compute_dtype)
        outputs, *states = _recur(
            type(self),
            projected,
            tf.convert_to_tensor(self.recurrent_kernel),
            tf.convert_to_tensor(self.bias),
            tf.nest.flatten(state),
            mask=self.state_mask,
        )
        return outputs, tf.nest.pack_sequence_as(state, states)

    def _step(self, x, bias, states, products, *recurrent):
        if products:
            h = tf.concat(products, 0)
        else:
            (kernel,) = recurrent
            h = tf.matmul(kernel, states[0])
        return self.forward(x, h, bias, states)[0]

    def _recurrent_weights(self):
        kernel = tf.transpose(self.recurrent_kernel)
        # Where a product has one thread, two of them have two.
        size: Any = kernel.shape[0]
        half = size // 2 if _num_threads() == 1 else 0
        parts = (kernel[:half], kernel[half:]) if half else (kernel,)
        # Snapshots keep the graph optimizer from folding the transposition
        # and the slices into the products of each step.
        return tuple(tf.raw_ops.Snapshot(input=part) for part in parts)


def _num_threads() -> int:
    """Returns how many threads a product may have; 0: TensorFlow decides."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return threads or int(os.environ.get('TF_NUM_INTRAOP_THREADS') or 0)


def _recur(cell, projected, recurrent_kernel, bias, states, *, mask):
    """Runs the recurrence; its gradient is written by hand.

    Args:
        cell: The class, a `Gated`.
        projected: [K, T, B], the input weights times the inputs.
        recurrent_kernel: [U, R] float32.
        bias: As the cell has it, float32.
        states: A list of [B, U] float32, the state before the first step.
        mask: [B, U] float32, without a gradient; or None.

    Returns:
        The outputs [U, T, B] in the type of `projected`, and the states after
        the last step.
    """
    # One more dimension, for the compiled gates, which see states [U, B].
    column_bias = bias[..., None]
    mask = None if mask is None else tf.transpose(mask)

    @tf.custom_gradient
    def recur(projected, recurrent_kernel, bias, *states):
        kernel = tf.cast(recurrent_kernel, projected.dtype)
        states = [tf.transpose(state) for state in states]
        outputs, final, tape = _forward(
            cell, projected, kernel, column_bias, states, mask
        )

        def gradient(d_outputs, *d_states):
            d_states = [tf.transpose(d_state) for d_state in d_states]
            d_gates, d_states = _backward(
                cell, kernel, tape, d_outputs, d_states, mask
            )
            # The product of step t used the output of step t - 1.
            first = tf.cast(states[0], kernel.dtype)[:, None]
            before = tf.concat([first, outputs[:, :-1]], 1)
            if mask is not None:
                before = _masked(before, mask[:, None], kernel.dtype)
            num_inputs, num_recurrent = projected.shape[0], kernel.shape[1]
            d_kernel = tf.matmul(
                _flat(before), _flat(d_gates[-num_recurrent:]), transpose_b=True
            )
            sums = _row_sums(_flat(d_gates))
            return (
                d_gates[:num_inputs],
                tf.cast(d_kernel, tf.float32),
                cell.bias_gradient(sums),
                *(tf.transpose(d_state) for d_state in d_states),
            )

        return (outputs, *(tf.transpose(s) for s in final)), gradient

    return recur(projected, recurrent_kernel, bias, *states)


def _flat(sequence):
    """[N, T, B] as a matrix [N, T * B]."""
    return tf.reshape(sequence, [sequence.shape[0], -1])


def _masked(states, mask, dtype):
    """Returns what the recurrent weights multiply, rounded once."""
    return tf.cast(tf.cast(states, tf.float32) * mask, dtype)


def _row_sums(matrix):
    """Adds up the columns of a matrix, in float32: [N, C] to [N]."""
    if matrix.dtype == tf.float32:
        return tf.reduce_sum(matrix, 1)
    sums = []
    for first in range(0, matrix.shape[0], _SUMMED_ROWS):
        rows = matrix[first : first + _SUMMED_ROWS]
        # One block after the other: the rows of a block, in float32, stay in
        # the cache, and their memory serves the next one.
        with tf.control_dependencies(sums[-1:]):
            sums.append(tf.reduce_sum(tf.cast(rows, tf.float32), 1))
    return tf.concat(sums, 0)


def _forward(cell, projected, kernel, bias, states, mask):
    """Steps forward; returns outputs [U, T, B], states and the tape."""
    dtype = projected.dtype
    steps = tf.shape(projected)[1]
    shape = states[0].shape
    # The snapshot keeps the graph optimizer from folding the transposition
    # into the product, which would then transpose at every step.
    margin = _margin(kernel.shape[0], shape[1], dtype)
    kernel = _widen(tf.transpose(kernel), margin)
    kernel = tf.raw_ops.Snapshot(input=kernel)
    step = _compiled_forward(cell, dtype, margin)

    def body(t, operand, states, outputs, tape):
        h = tf.matmul(kernel, operand)
        after, outcomes, saved = step(projected[:, t], h, bias, states, mask)
        values = zip(tape, saved + states, strict=True)
        tape = [array.write(t, value) for array, value in values]
        return t + 1, outcomes[-1], after, outputs.write(t, outcomes[0]), tape

    array = functools.partial(
        tf.TensorArray,
        size=steps,
        element_shape=shape,
        clear_after_read=False,  # An eager, persistent tape reads it twice.
    )
    operand = states[0] if mask is None else states[0] * mask
    operand = _lengthen(tf.cast(operand, dtype), margin)
    outputs = array(dtype, element_shape=operand.shape)
    tape = [array(tf.float32) for _ in range(cell.saved + len(states))]
    _, _, states, outputs, tape = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (0, operand, states, outputs, tape),
        parallel_iterations=1,
    )
    outputs = tf.transpose(outputs.stack(), [1, 0, 2])[: shape[0]]
    outputs.set_shape([shape[0], *projected.shape[1:]])
    return outputs, states, tape


def _backward(cell, kernel, tape, d_outputs, d_states, mask):
    """Steps back; returns gate gradients [N, T, B] and the first states'."""
    dtype = kernel.dtype
    margin = _margin(kernel.shape[1], d_outputs.shape[2], dtype)
    kernel = _widen(kernel, margin)
    # The last rows of a step: those of the recurrent product, and a margin.
    width: Any = kernel.shape[1]
    steps = tf.shape(d_outputs)[1]
    step = _compiled_backward(cell, dtype, margin)

    def body(t, d_operand, d_states, d_gates):
        values = [array.read(t) for array in tape]
        saved, states = values[: cell.saved], values[cell.saved :]
        d_step, d_states = step(
            d_outputs[:, t], d_operand, d_states, saved, states, mask
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
    d_operand = tf.cast(d_operand, tf.float32)
    d_states[0] += d_operand if mask is None else d_operand * mask
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
    cell: type[Gated], dtype: tf.DType, margin: int
) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def step(x, h, bias, states, mask):
        x, h = tf.cast(x, tf.float32), tf.cast(h, tf.float32)
        states, saved = cell.forward(x, h, bias, states)
        outcomes = [tf.cast(states[0], dtype)]  # The output, the next operand.
        if mask is not None:
            outcomes.append(_masked(states[0], mask, dtype))
        return states, [_lengthen(x, margin) for x in outcomes], saved

    return step


@functools.cache
def _compiled_backward(
    cell: type[Gated], dtype: tf.DType, margin: int
) -> Callable:
    @tf.function(jit_compile=True, autograph=False)
    def step(d_output, d_operand, d_states, saved, states, mask):
        d_h, *others = d_states
        d_operand = tf.cast(d_operand, tf.float32)
        if mask is not None:
            d_operand *= mask
        d_h += tf.cast(d_output, tf.float32) + d_operand
        d_gates, d_states = cell.backward(saved, states, [d_h, *others])
        d_gates = tf.cast(tf.concat(d_gates, 0), dtype)
        return _lengthen(d_gates, margin), d_states

    return step
