"""States: what a model carries from batch to batch, for each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn.data import Dataset
from tfcharrnn.training.replicas import Replicas


class Carried:
    """The state that training carries from batch to batch.

    Attributes:
        value: The state, split by replica; None before `enter`.
    """

    def __init__(self, model: Any):
        """Begins from the zero state of a model.

        Args:
            model: Has `initial_state(batch_size)`.
        """
        self.value: Any = None
        self._model = model
        self._replicas = Replicas()
        self._restored: list[np.ndarray] | None = None

    def arrays(self) -> list[np.ndarray]:
        """Returns the tensors with all rows; an empty list before training."""
        if self._restored is not None:
            return self._restored
        return [] if self.value is None else self._replicas.gather(self.value)

    def reset(self, arrays: list[np.ndarray] | None = None) -> None:
        """Continues from `arrays`; None: from the zero state."""
        self.value, self._restored = None, arrays

    def enter(self, dataset: Dataset) -> None:
        """Makes `value` ready for the batches of a dataset.

        Raises:
            ValueError: If the rows cannot be split among the replicas, or the
                restored state has other shapes.
        """
        if self.value is None:
            self._replicas.check_rows(dataset)
            state = self._model.initial_state(dataset.batch_size)
            state = lay_out(self._restored or (), state)
            self.value = self._replicas.scatter(state)
        self._restored = None


def reset_rows(model: Any, state: Any, reset: tf.Tensor) -> Any:
    """Sets the rows that begin a new text to the zero state.

    Args:
        model: Has `initial_state(batch_size)`.
        state: The state of B rows.
        reset: [B] bool; True for a row that begins a new text.

    Returns:
        A state like `state`.
    """

    def choose(zero, value):
        shape = [-1] + [1] * (value.shape.rank - 1)
        return tf.where(tf.reshape(reset, shape), zero, value)

    zeros = model.initial_state(tf.shape(reset)[0])
    return tf.nest.map_structure(choose, zeros, state)


def keep_where(condition: tf.Tensor, new: Any, old: Any) -> Any:
    """Returns one of two states of the same structure, by a scalar bool."""
    return tf.nest.map_structure(
        lambda x, y: tf.where(condition, x, y), new, old
    )


def lay_out(arrays: Sequence[np.ndarray], state: Any) -> Any:
    """Gives restored arrays the structure of a state.

    Args:
        arrays: The tensors of a state, in order; if empty, nothing was saved,
            and `state` is returned.
        state: A state of the model, with the `batch_size` of the dataset.

    Raises:
        ValueError: If the shapes differ.
    """
    expected = [tuple(x.shape) for x in tf.nest.flatten(state)]
    restored = [tuple(x.shape) for x in arrays]
    if arrays and restored != expected:
        raise ValueError(
            f'The restored state has the shapes {restored}, but the model and '
            f'the `batch_size` of the dataset need {expected}. Use the '
            '`batch_size` that training had before.'
        )
    return tf.nest.pack_sequence_as(state, arrays) if arrays else state
