"""Tracing: the states and gates of a model while it reads a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn.generation.float32 import in_float32
from tfcharrnn.generation.reading import graph_of, specs_of
from tfcharrnn.nn.cells import RNNCell, embed
from tfcharrnn.nn.char_rnn import CharRNN

# A text is read in pieces, so that one graph serves all lengths.
_PIECE = 1024


class Tracer:
    """Reads texts and notes what each cell names in `RNNCell.trace`.

    >>> tracer = Tracer(CharRNN(5, embedding_dim=4, rnn_units=8, num_layers=2))
    >>> values = tracer.trace(np.array([1, 2, 3]))
    >>> {name: array.shape for name, array in values.items()}
    {'state': (3, 2, 8), 'update': (3, 2, 8), 'reset': (3, 2, 8), \
'candidate': (3, 2, 8)}
    """

    def __init__(self, model: Any):
        """Takes a model.

        Raises:
            ValueError: It is not a `CharRNN`.
        """
        if not isinstance(model, CharRNN):
            raise ValueError(
                f'The model is a {type(model).__name__}, but only a CharRNN '
                'has layers of cells whose states can be shown.'
            )
        self._model = in_float32(model)
        self._graph = None

    def trace(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        """Reads ids from the zero state.

        Args:
            ids: [T] integers.

        Returns:
            [T, L, U] float32 by name: what each of L layers had after each id.
        """
        state = self._model.initial_state(1)
        if self._graph is None:
            self._graph = graph_of(
                self._trace_piece,
                tf.TensorSpec([None], tf.int32),
                specs_of(state),
            )
        pieces = []
        # Also an empty text has names and shapes.
        for start in range(0, max(1, len(ids)), _PIECE):
            piece = tf.constant(ids[start : start + _PIECE], tf.int32)
            values, state = self._graph(piece, state)
            pieces.append({k: v.numpy() for k, v in values.items()})
        return {
            name: np.concatenate([piece[name] for piece in pieces])
            for name in pieces[0]
        }

    def _trace_piece(self, ids, state):
        num_ids = tf.shape(ids)[0]
        # The names are those of a first step, whose values nobody reads.
        names = list(self._step(tf.zeros([1], tf.int32), state)[0])
        shape = [len(self._model.cells), self._model.config['rnn_units']]
        arrays = tuple(
            tf.TensorArray(tf.float32, num_ids, element_shape=shape)
            for _ in names
        )

        def body(t, state, arrays):
            values, state = self._step(ids[t][tf.newaxis], state)
            written = zip(arrays, (values[name] for name in names), strict=True)
            return t + 1, state, tuple(a.write(t, v) for a, v in written)

        _, state, arrays = tf.while_loop(
            lambda t, *_: t < num_ids, body, (0, state, arrays)
        )
        stacked = (array.stack() for array in arrays)
        return dict(zip(names, stacked, strict=True)), state

    def _step(self, ids, state):
        """Reads an id [1]; returns [L, U] by name, and the next state."""
        model = self._model
        x = embed(ids, model.embedding, model.vocab_size)
        layers, states = [], []
        for layer, cell in enumerate(model.cells):
            values, after = _trace(cell, x, state[layer])
            outputs = tf.transpose(values['state'])
            x = tf.transpose(
                model._finish_layer(tf.transpose(x), outputs, layer)
            )
            layers.append(values)
            states.append(after)
        named = {
            name: tf.concat([values[name] for values in layers], axis=0)
            for name in layers[0]
        }
        return named, tuple(states)


def _trace(cell, x, state):
    """Calls `trace`, unless a subclass has another step than the one in it."""

    def owner(name):
        return next(c for c in type(cell).__mro__ if name in vars(c))

    if issubclass(owner('trace'), owner('__call__')):
        return cell.trace(x, state)
    return RNNCell.trace(cell, x, state)
