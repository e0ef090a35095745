"""Quantization: the matrices of a model as int8, with a scale for each row.

    weights [rows, columns]  ~  scale[row] * data[row, column]

A row is one output of the product, so that `y[row] = scale[row] * (data[row] @
x)` needs one multiplication by the scale. The rows of an embedding are
characters. Vectors (biases, norms) stay float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn.kinds import CELLS
from tfcharrnn.nn.char_rnn import CharRNN

_LEVELS = 127  # From -127 to 127: as many on either side of zero.


class Rows(NamedTuple):
    """A matrix in int8; see the module.

    Attributes:
        data: [rows, columns] int8.
        scale: [rows] float32.
    """

    data: np.ndarray
    scale: np.ndarray

    @property
    def values(self) -> np.ndarray:
        """The matrix that they stand for, [rows, columns] float32."""
        return self.data * self.scale[:, np.newaxis]


class Place(NamedTuple):
    """Where a matrix is in a model.

    Attributes:
        variable: The variable.
        is_transposed: Whether the variable is [inputs, outputs], so that rows
            of outputs are its columns.
    """

    variable: tf.Variable
    is_transposed: bool


def quantize(matrix: np.ndarray) -> Rows:
    """Rounds a matrix to int8; the largest weight of each row is exact.

        >>> rows = quantize(np.array([[0.5, -1.0], [0.0, 0.0]]))
        >>> rows.data.tolist(), rows.scale.round(4).tolist()
        ([[64, -127], [0, 0]], [0.007899999618530273, 0.0])

    Args:
        matrix: [rows, columns], finite.

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
    return Rows(data.astype(np.int8), scale.astype(np.float32))


def rows_of(place: Place) -> Rows:
    """Returns a matrix of a model in int8, a row for each output."""
    matrix = place.variable.numpy()
    return quantize(matrix.T if place.is_transposed else matrix)


def embedding_of(model: CharRNN) -> Place | None:
    """Returns where the embedding is, [V, E]; None for one-hot inputs."""
    if model.embedding is None:
        return None
    return Place(model.embedding, is_transposed=False)


def logits_of(model: CharRNN) -> Place | None:
    """Returns where the weights of the logits are; None where they are tied."""
    if model.config.get('tied'):
        return None
    return Place(model.kernel, is_transposed=True)


def matrices_of(cell: Any) -> dict[str, Place]:
    """Returns where the matrices of a cell are, by the names of attributes."""
    names = 'kernel', 'recurrent_kernel'
    return {
        name: Place(getattr(cell, name), is_transposed=True)
        for name in names
        if hasattr(cell, name)
    }


def check(model: Any) -> None:
    """Refuses a model whose equations the page does not have.

    Raises:
        ValueError: It is not a `CharRNN`, or has a cell of your own.
    """
    cell = model.config['cell'] if type(model) is CharRNN else None
    if cell not in CELLS:
        kind = repr(cell) if cell else type(model).__name__
        raise ValueError(
            f'The model is made of {kind}, but a page can only run a CharRNN '
            f'of {", ".join(CELLS)}. Train one of these.'
        )


def quantized(model: CharRNN) -> CharRNN:
    """Returns a model whose weights are those of the page.

        >>> model = CharRNN(5, embedding_dim=4, rnn_units=8)
        >>> twin = quantized(model)
        >>> bool(tf.reduce_all(abs(twin.kernel - model.kernel) < 0.01))
        True

    Args:
        model: Any model with a cell of this library; it stays as it is.

    Returns:
        A new model in float32, with each matrix rounded to int8 and back.

    Raises:
        ValueError: The model has a cell of your own, or a weight is not finite.
    """
    check(model)
    twin = CharRNN(**{**model.config, 'compute_dtype': 'float32'})
    for theirs, ours in zip(model.variables, twin.variables, strict=True):
        ours.assign(theirs)
    for place in _places(twin):
        values = rows_of(place).values
        place.variable.assign(values.T if place.is_transposed else values)
    return twin


def _places(model: CharRNN) -> Iterator[Place]:
    """Yields where the matrices of a model are."""
    for place in (embedding_of(model), logits_of(model)):
        if place is not None:
            yield place
    for cell in model.cells:
        yield from matrices_of(cell).values()
