"""Reading: a model predicts each character of a text that is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn.generation import strips

# A text is read in pieces, so that memory does not grow with its length.
_PIECE = 256
# A long text is scored in strips side by side: in 64, or at least in 16 if each
# has so many characters. They are read in pieces of at most so many characters,
# and in shorter ones where there would be more logits than that.
_NUM_STRIPS = 64, 16
_MIN_STRIP = 1024
_STRIP_PIECE = 64
_MAX_LOGITS = 1 << 22


class Reader:
    """Reads texts with a model, in compiled graphs.

    >>> from tfcharrnn.nn.char_rnn import CharRNN
    >>> reader = Reader(CharRNN(5, embedding_dim=4, rnn_units=8))
    >>> scores, state = reader.read(np.array([1, 2, 3]))
    >>> scores.shape
    (2,)
    """

    def __init__(self, model: Any):
        """Takes the model: see `Generator`."""
        self._model = model
        self._graphs = {}

    def read(self, ids: np.ndarray) -> tuple[np.ndarray, Any]:
        """Reads all ids but the last, which is only predicted.

        Args:
            ids: [N] integers.

        Returns:
            The log-probabilities [N - 1] of all but the first, in nats, and
            the state before the last.
        """
        state = self._model.initial_state(1)
        scores = [np.empty(0, np.float32)]
        for start in range(0, len(ids) - 1, _PIECE):
            piece = tf.constant(ids[start : start + _PIECE + 1], tf.int32)
            score, state = self._read_piece(piece[tf.newaxis], state)
            scores.append(score[0].numpy())
        return np.concatenate(scores), state

    def score(self, ids: np.ndarray) -> np.ndarray:
        """Scores all ids but the first; a long text in strips (see `strips`).

        Args:
            ids: [N] integers.

        Returns:
            The log-probabilities [N - 1], in nats.
        """
        fitting = (n for n in _NUM_STRIPS if len(ids) > n * _MIN_STRIP)
        num_strips = next(fitting, None)
        if num_strips is None:
            return self.read(ids)[0]
        longest = _MAX_LOGITS // (num_strips * self._model.vocab_size)
        piece = max(1, min(_STRIP_PIECE, longest))
        zero_state = self._model.initial_state(num_strips)

        def read(ids, tensors):
            state = tf.nest.pack_sequence_as(
                zero_state, [tf.constant(tensor) for tensor in tensors]
            )
            scores, state = self._read_piece(tf.constant(ids), state)
            return scores.numpy(), [x.numpy() for x in tf.nest.flatten(state)]

        tensors = [tensor.numpy() for tensor in tf.nest.flatten(zero_state)]
        return strips.score(read, tensors, ids, piece=piece)

    def _read_piece(self, ids, state):
        """Reads ids [B, T + 1]; returns the scores [B, T] and the state."""
        num_rows = ids.shape[0]
        if num_rows not in self._graphs:
            self._graphs[num_rows] = graph_of(
                self._score_piece,
                tf.TensorSpec([num_rows, None], tf.int32),
                specs_of(state),
            )
        return self._graphs[num_rows](ids, state)

    def _score_piece(self, ids, state):
        logits, state = self._model(ids[:, :-1], state)
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(
            ids[:, 1:], logits
        )
        return -nats, state


def graph_of(function: Callable, *specs: Any) -> Callable:
    """Returns the graph of a function, made once for all that fits `specs`.

    No length of a text and no value of an argument traces it again. (XLA
    compiles those parts of a model that are left to it, MinGRU and layer
    normalization, for each length of a prompt.)

    >>> double = graph_of(lambda x: 2 * x, tf.TensorSpec([None]))
    >>> double(tf.constant([1.0, 2.0])).numpy()
    array([2., 4.], dtype=float32)
    """
    compiled = tf.function(function, autograph=False)
    return compiled.get_concrete_function(*specs)


def specs_of(tensors: Any) -> Any:
    """Returns the shapes and types of nested tensors."""
    return tf.nest.map_structure(tf.TensorSpec.from_tensor, tensors)
