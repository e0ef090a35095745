"""The path of a GPU: layers of Keras unroll the cells, since they call cuDNN.

The loop of `recurrence` is made for a CPU. On a GPU, starting its many small
operations would take longer than computing them. cuDNN makes all steps in one
operation, and Keras calls it where it can. Weights, equations and results are
the same.

Not yet run on a GPU. The tests compare both paths on a CPU, where the layers
of Keras run a loop, and count the operations of cuDNN in a graph for a GPU.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcharrnn.nn.cells import State


def uses_keras(cell: Any) -> bool:
    """Returns whether a layer of Keras unrolls a cell.

    It does if the weights are on a GPU and the class of the cell sets
    `keras_layer`. Subclasses do not inherit it: their equations may differ.
    To keep a model off this path, build it under `tf.device('/CPU:0')`.

    The choice is made when a function is traced.

        >>> from tfcharrnn.nn.cells import MinGRU
        >>> uses_keras(MinGRU(input_size=3, units=4))
        False

    Args:
        cell: Any `RNNCell`.
    """
    named = vars(type(cell)).get('keras_layer') is not None
    return named and on_gpu(cell.kernel)


def on_gpu(variable: tf.Variable) -> bool:
    """Returns whether a variable is on a GPU."""
    return ':GPU:' in variable.device


def unroll(
    cell: Any, inputs: tf.Tensor, kernel: tf.Tensor, state: State
) -> tuple[tf.Tensor, State]:
    """Unrolls a cell with its layer of Keras.

    The operands are float32, whatever the `compute_dtype`: cuDNN has a single
    type for operands and states, and states stay float32.

        >>> from tfcharrnn.nn.gates import GRU
        >>> cell = GRU(input_size=3, units=4)
        >>> outputs, state = unroll(
        ...     cell, tf.zeros([3, 5, 2]), cell.kernel, cell.initial_state(2)
        ... )
        >>> outputs.shape, state.shape
        (TensorShape([4, 5, 2]), TensorShape([2, 4]))

    Args:
        cell: A cell whose class sets `keras_layer`.
        inputs: Columns [I, T, B] of any floating-point type.
        kernel: [I, K] float32: the cell's own, or a row for each character.
        state: The state before the first position, in rows.

    Returns:
        The outputs [U, T, B] of `compute_dtype`, and the state after the last
        position.
    """
    rows = tf.cast(tf.transpose(inputs, [2, 1, 0]), tf.float32)
    # A layer keeps a seed in a variable. Graphs and replicas cannot make one;
    # in this scope, Keras does not.
    with tf.keras.StatelessScope(initialize_variables=False):
        layer = getattr(tf.keras.layers, cell.keras_layer)(
            cell.units,
            return_sequences=True,
            return_state=True,
            dtype='float32',
            # Without these, Keras draws seeds from Python's generator.
            kernel_initializer='zeros',
            recurrent_initializer='zeros',
            seed=0,
        )
        # Tensors take the place of the variables that `build` would make.
        layer.cell.kernel = tf.convert_to_tensor(kernel)
        layer.cell.recurrent_kernel = tf.convert_to_tensor(
            cell.recurrent_kernel
        )
        layer.cell.bias = tf.convert_to_tensor(cell.bias)
        layer.built = layer.cell.built = True
        before = tf.nest.flatten(state)
        outputs, *after = layer(rows, initial_state=before)
    outputs = tf.transpose(tf.cast(outputs, cell.compute_dtype), [2, 1, 0])
    outputs.set_shape([cell.units, *inputs.shape[1:]])
    for old, new in zip(before, after, strict=True):
        new.set_shape(old.shape)
    return outputs, tf.nest.pack_sequence_as(state, after)
