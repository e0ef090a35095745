"""Activations as columns, the layout that fast cells compute in.

A state is [units, batch] and a sequence [units, time, batch]: the transpose of
what `RNNCell` takes. The weights are then the LEFT operand of each product,
which the matrix library reads straight from memory. It repacks the right
operand, here the small one, at every step.

With `compute_dtype` bfloat16 the operands of products are bfloat16; weights,
gates and states stay float32.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcharrnn.nn.cells import RNNCell, State

# The largest vocabulary for which multiplying all characters pays.
MAX_TABLE = 1024


class Columns(RNNCell):
    """A cell that unrolls in columns, and makes single steps in them too.

    A subclass has weights, as below, and `_unroll` and `_step`. Those of a cell
    that multiplies its state with weights are in `recurrence.Gated`.

    Attributes:
        kernel: [I, K], what multiplies the inputs.
        bias: Any shape that ends in a number of gates times U.
    """

    kernel: tf.Variable
    bias: tf.Variable

    def unroll(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes a step for each position; see `RNNCell.unroll`."""
        columns = tf.transpose(inputs, [2, 1, 0])
        outputs, state = self.unroll_columns(columns, state)
        return tf.transpose(tf.cast(outputs, tf.float32), [2, 1, 0]), state

    def unroll_columns(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes a step for each position; see `RNNCell.unroll_columns`."""
        return self._unroll(inputs, self.kernel, state)

    def unroll_ids(
        self, ids: tf.Tensor, embedding: tf.Tensor | None, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes a step for each character; see `RNNCell.unroll_ids`.

        The embedding times the input weights is a table with a row for each
        character of the vocabulary, so a character costs V products instead
        of the embedding's size. A vocabulary of words is too large for that:
        each input is embedded instead.
        """
        if embedding is not None and _is_large(embedding):
            columns = embed_columns(ids, embedding, self.compute_dtype)
            return self.unroll_columns(columns, state)
        table = tf.convert_to_tensor(self.kernel)
        if embedding is not None:
            table = tf.matmul(embedding, table)
        one_hot = _one_hot(ids, table.shape[0], self.compute_dtype)
        return self._unroll(one_hot, table, state)

    def step_weights(
        self, ids: bool, embedding: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, ...]:
        """Returns the weights as `step_columns` reads them fastest.

        Args:
            ids: Whether the inputs are ids, as in the first layer.
            embedding: As for `unroll_ids`.
        """
        kernel = tf.concat(self.input_order(self.kernel), 1)
        if not ids:
            kernel = tf.transpose(kernel)
        elif embedding is not None:
            kernel = tf.matmul(embedding, kernel)
        return kernel, tf.expand_dims(self.bias, -1), *self._recurrent_weights()

    def step_products(
        self, state: State, weights: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, ...]:
        """Multiplies the state, in float32, with parts of the weights.

        Call it outside of compiled functions. The parts do not depend on each
        other, so TensorFlow works on them side by side.

        Args:
            state: In rows, as everywhere.
            weights: As `step_weights` returned them.

        Returns:
            Parts of the product, each [., B]. Empty where one product, made by
            the compiled `step_columns`, is faster.
        """
        del state, weights
        return ()

    def step_columns(
        self,
        inputs: tf.Tensor,
        state: State,
        products: tuple[tf.Tensor, ...],
        weights: tuple[tf.Tensor, ...],
    ) -> tuple[tf.Tensor, State]:
        """Makes one step, in float32, with weights made ready.

        Args:
            inputs: Ids [B], or columns [I, B].
            state: In rows, as everywhere.
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

    @staticmethod
    def input_order(kernel: tf.Tensor) -> list[tf.Tensor]:
        """Cuts [I, K] into the parts whose products `_step` takes, in order."""
        return [kernel]

    def _unroll(self, inputs, kernel, state) -> tuple[tf.Tensor, State]:
        """Unrolls over [I, T, B], to be multiplied with a kernel [I, K]."""
        raise NotImplementedError

    def _step(self, x, bias, states, products, *recurrent) -> list[tf.Tensor]:
        """Returns the next states [U, B] from the projected inputs [K, B]."""
        raise NotImplementedError

    def _recurrent_weights(self) -> tuple[tf.Tensor, ...]:
        """Returns the weights of the state: whole, or in parts."""
        return ()


def product(
    kernel: tf.Tensor, columns: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Multiplies weights with the columns of all steps, in one product.

        >>> product(tf.ones([3, 2]), tf.ones([3, 4, 5]), tf.float32).shape
        TensorShape([2, 4, 5])

    Args:
        kernel: [I, O].
        columns: [I, T, B].
        dtype: The type of both operands.

    Returns:
        [O, T, B] of `dtype`.
    """
    shape = tf.shape(columns)
    flat = tf.reshape(tf.cast(columns, dtype), [columns.shape[0], -1])
    result = tf.matmul(tf.cast(kernel, dtype), flat, transpose_a=True)
    result = tf.reshape(result, [kernel.shape[1], shape[1], shape[2]])
    return tf.ensure_shape(result, [kernel.shape[1], *columns.shape[1:]])


def embed_columns(
    ids: tf.Tensor, embedding: tf.Tensor, dtype: tf.DType
) -> tf.Tensor:
    """Returns the embeddings of characters, as columns.

        >>> embedding = tf.constant([[1.0, 2.0], [3.0, 4.0]])
        >>> columns = embed_columns(
        ...     tf.constant([[0, 1]]), embedding, tf.float32
        ... )
        >>> columns[:, :, 0].numpy().tolist()
        [[1.0, 3.0], [2.0, 4.0]]

    Args:
        ids: [B, T] integers below V.
        embedding: [V, E].
        dtype: The type of the operands, where a product is faster.

    Returns:
        [E, T, B], of `dtype` or of the type of `embedding`.
    """
    if _is_large(embedding):
        return _gather_columns(ids, embedding)
    return product(embedding, _one_hot(ids, embedding.shape[0], dtype), dtype)


def _is_large(embedding):
    """Whether the vocabulary is too large to multiply all of it."""
    return embedding.shape[0] > MAX_TABLE


def _one_hot(ids, depth, dtype):
    """Makes columns [V, T, B] of ids [B, T].

    A product with them has a product as its gradient, which is faster than
    the scattered sums of a gather's.
    """
    return tf.one_hot(tf.transpose(ids), depth, axis=0, dtype=dtype)


@tf.custom_gradient
def _gather_columns(ids, embedding) -> Any:
    """Looks ids [B, T] up in an embedding [V, E]: columns [E, T, B]."""
    ids = tf.transpose(ids)
    size = embedding.shape[0]

    def gradient(d_columns):
        rows = tf.reshape(tf.transpose(d_columns, [1, 2, 0]), [-1, width])
        flat = tf.reshape(ids, [-1])
        # Dense: a sparse gradient would not yet have summed equal rows.
        return None, tf.math.unsorted_segment_sum(rows, flat, size)

    embedding = tf.convert_to_tensor(embedding)
    width = embedding.shape[1]
    return tf.transpose(tf.gather(embedding, ids), [2, 0, 1]), gradient
