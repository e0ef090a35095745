"""Quantization: the matrices of a model as int8, with a scale for each row.

    weights [rows, columns]  ~  scale[row] * data[row, column]

A row is one output of the product, so that `y[row] = scale[row] * (data[row] @
x)` needs one multiplication by the scale. The rows of an embedding are
characters. Vectors (biases, norms) stay float32.

Rounding to 8 bits changes a log-probability by some thousandths. Where a matrix
is small, what was lost is kept as a second matrix of int8: 16 bits in all. And
where there are fewer characters than columns of the embedding, the products of
the embedding with the first kernel are one smaller matrix, as for one-hot
inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn.kinds import PLAIN_CELLS
from tfcharrnn.nn.char_rnn import CharRNN

_LEVELS = 127  # From -127 to 127: as many on either side of zero.
# Matrices of so many weights, at most, have 16 bits.
_MAX_FINE = 1 << 20


class Rows(NamedTuple):
    """A matrix in int8; see the module.

    Attributes:
        data: [rows, columns] int8.
        scale: [rows] float32.
        fine: What rounding lost, in int8; None for a large matrix.
    """

    data: np.ndarray
    scale: np.ndarray
    fine: Rows | None

    @property
    def values(self) -> np.ndarray:
        """The matrix that they stand for, [rows, columns] float32."""
        values = self.data * self.scale[:, np.newaxis]
        return values if self.fine is None else values + self.fine.values


def quantize(matrix: np.ndarray, max_fine: int = _MAX_FINE) -> Rows:
    """Rounds a matrix to int8; the largest weight of each row is exact.

        >>> rows = quantize(np.array([[0.5, -1.0], [0.0, 0.0]]), max_fine=0)
        >>> rows.data.tolist(), rows.scale.round(4).tolist()
        ([[64, -127], [0, 0]], [0.007899999618530273, 0.0])
        >>> quantize(np.array([[0.5, -1.0]])).values.round(4).tolist()
        [[0.5, -1.0]]

    Args:
        matrix: [rows, columns], finite.
        max_fine: The most weights of a matrix that gets 16 bits.

    Raises:
        ValueError: A weight is not finite.
    """
    matrix = np.asarray(matrix, np.float32)
    if not np.isfinite(matrix).all():
        raise ValueError(
            'A weight of the model is not finite. Export an earlier checkpoint.'
        )
    scale = abs(matrix).max(axis=1, initial=0.0) / np.float32(_LEVELS)
    divisor = np.where(scale > 0, scale, 1)[:, np.newaxis]
    data = np.rint(matrix / divisor).clip(-_LEVELS, _LEVELS)
    rows = Rows(data.astype(np.int8), scale.astype(np.float32), None)
    if matrix.size > max_fine:
        return rows
    return rows._replace(fine=quantize(matrix - rows.values, max_fine=0))


def matrices_of(model: CharRNN) -> dict[str, tf.Variable]:
    """Returns the matrices of a model that are [inputs, outputs], by path.

    >>> list(matrices_of(CharRNN(5, embedding_dim=4, rnn_units=8)))
    ['layers.0.kernel', 'layers.0.recurrent_kernel', 'output.kernel']
    """
    matrices = {
        f'layers.{layer}.{name}': getattr(cell, name)
        for layer, cell in enumerate(model.cells)
        for name in ('kernel', 'recurrent_kernel')
        if hasattr(cell, name)
    }
    if not model.config.get('tied'):
        matrices['output.kernel'] = model.kernel
    return matrices


def check(model: Any) -> None:
    """Refuses a model whose equations the page does not have.

    Raises:
        ValueError: It is not a `CharRNN`, or has a cell of your own.
    """
    cell = model.config['cell'] if type(model) is CharRNN else None
    if cell not in PLAIN_CELLS:
        kind = repr(cell) if cell else type(model).__name__
        raise ValueError(
            f'The model is made of {kind}, but a page can only run a CharRNN '
            f'of {", ".join(PLAIN_CELLS)}. Train one of these.'
        )


def simplified(model: CharRNN) -> CharRNN:
    """Returns the model whose matrices the page has, in float32.

        >>> model = CharRNN(5, embedding_dim=8, rnn_units=8, tied=True)
        >>> twin = simplified(model)
        >>> twin.config['embedding_dim'], twin.cells[0].kernel.shape
        (None, TensorShape([5, 24]))

    Args:
        model: A model that `check` accepts; it stays as it is.

    Returns:
        A new model that computes the same: with one-hot inputs and weights of
        its own for the logits, where there are fewer characters than columns
        of the embedding.
    """
    config = {**model.config, 'compute_dtype': 'float32', 'dropout': 0.0}
    if model.embedding is None or model.vocab_size > model.embedding.shape[1]:
        twin = CharRNN(**config)
        _assign(twin, model)
        return twin
    twin = CharRNN(**{**config, 'embedding_dim': None, 'tied': False})
    for ours, theirs in zip(twin.cells, model.cells, strict=True):
        if theirs is model.cells[0]:
            # In float64: this product is rounded once.
            kernel = theirs.kernel.numpy().astype(np.float64)
            ours.kernel.assign(model.embedding.numpy() @ kernel)
            if hasattr(ours, 'recurrent_kernel'):
                ours.recurrent_kernel.assign(theirs.recurrent_kernel)
            ours.bias.assign(theirs.bias)
        else:
            _assign(ours, theirs)
    for ours, theirs in zip(twin.norms, model.norms, strict=True):
        _assign(ours, theirs)
    twin.kernel.assign(model._logits_kernel())
    twin.bias.assign(model.bias)
    return twin


def quantized(model: CharRNN) -> CharRNN:
    """Returns a model that computes in TensorFlow what the page computes.

        >>> model = CharRNN(5, embedding_dim=4, rnn_units=8)
        >>> twin = quantized(model)
        >>> bool(tf.reduce_all(abs(twin.kernel - model.kernel) < 1e-4))
        True

    Args:
        model: Any model with a cell of this library; it stays as it is.

    Returns:
        A new model in float32: `simplified`, each matrix rounded and back.

    Raises:
        ValueError: The model has a cell of your own, or a weight is not finite.
    """
    check(model)
    twin = simplified(model)
    if twin.embedding is not None:
        twin.embedding.assign(quantize(twin.embedding.numpy()).values)
    for variable in matrices_of(twin).values():
        variable.assign(quantize(variable.numpy().T).values.T)
    return twin


def _assign(ours: tf.Module, theirs: tf.Module) -> None:
    """Copies all variables of a module into another of the same kind."""
    pairs: Iterator[Any] = zip(ours.variables, theirs.variables, strict=True)
    for one, other in pairs:
        one.assign(other)
