"""Writer: a model reads ids, and writes ids, in compiled graphs.

The `Generator` turns text into ids and back. What is between, the steps of the
model, is made here. Another way to make them (in another runtime, say) is
another class with these three methods:

    score(ids) -> scores                 # to predict ids that are given
    begin(ids, request, ...) -> draft    # to read a prompt
    write(draft, end) -> ids, draft      # to go on with it

Only the writer looks inside a draft, but for `draft.missing`: [N], how many
ids of the stop each text lacks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn.generation import sampling
from tfcharrnn.generation.float32 import in_float32
from tfcharrnn.generation.reading import Reader, graph_of, specs_of
from tfcharrnn.generation.request import Request
from tfcharrnn.generation.stopping import Stop


class _Cursor(NamedTuple):
    """What changes from character to character."""

    position: tf.Tensor  # [] int32, characters written
    ids: tf.Tensor  # [N] int32, the last character of each text
    state: Any  # of the model, before it has read `ids`
    missing: tf.Tensor  # [N] int32, ids of the stop still to come


class _Constants(NamedTuple):
    """What stays the same while a text is written."""

    seed: tf.Tensor  # [] int64
    sampling: dict[str, tf.Tensor]  # the keywords of `sampling.sample`
    stop: tf.Tensor  # [S + 1, V] int32, `Stop.table`
    weights: Any  # of the model, made ready for its `step`


class Draft(NamedTuple):
    """Texts that are being written."""

    cursor: _Cursor
    constants: _Constants

    @property
    def missing(self) -> tf.Tensor:
        """How many ids of the stop each text lacks: [N] int32."""
        return self.cursor.missing


class Writer:
    """Makes the steps of a model in graphs, compiled when first used.

    It draws from the logits in a loop, with no Python between the characters.

        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> writer = Writer(CharRNN(5, embedding_dim=4, rnn_units=8))
        >>> draft = writer.begin(
        ...     np.array([1, 2]), Request('', 10), stop=Stop(None, 5), seed=1
        ... )
        >>> ids, draft = writer.write(draft, 6)
        >>> ids.shape
        (1, 6)
        >>> ids, draft = writer.write(draft, 10)
        >>> ids.shape
        (1, 4)
    """

    def __init__(self, model: Any):
        """Takes the model: see `Generator`."""
        self._model = model
        self._reader = Reader(model)
        exact = in_float32(model)
        self._scorer = self._reader if exact is model else Reader(exact)
        self._graphs = {}

    def score(self, ids: np.ndarray) -> np.ndarray:
        """Scores all ids but the first, in float32; see `Reader.score`."""
        return self._scorer.score(ids)

    def begin(
        self, ids: np.ndarray, request: Request, *, stop: Stop, seed: int
    ) -> Draft:
        """Reads a prompt.

        Args:
            ids: [T] integers, T > 0: the prompt.
            request: How many texts to write, and how to draw them.
            stop: Where each text ends.
            seed: A 64-bit integer that decides every draw: the request's, or a
                random one.

        Returns:
            The draft of `request.num_samples` texts, at position 0.
        """
        num_texts = request.num_samples or 1
        _, state = self._reader.read(ids)
        cursor = _Cursor(
            position=tf.constant(0),
            ids=tf.fill([num_texts], tf.constant(ids[-1], tf.int32)),
            state=tf.nest.map_structure(
                lambda tensor: tf.repeat(tensor, num_texts, axis=0), state
            ),
            missing=tf.fill([num_texts], stop.size),
        )
        constants = _Constants(
            seed=tf.constant(seed, tf.int64),
            sampling=_to_tensors(request, stop.table.shape[1]),
            stop=tf.constant(stop.table),
            weights=self._graph('weights', self._step_weights)(),
        )
        return Draft(cursor, constants)

    def write(self, draft: Draft, end: int) -> tuple[np.ndarray, Draft]:
        """Writes up to position `end`, or until each text has its stop.

        Args:
            draft: Where to begin.
            end: A position.

        Returns:
            The ids [N, T] from the draft's position on, and the draft after
            them. T is smaller than asked for where each text has its stop.
        """
        cursor, constants = draft
        any_stop = tf.TensorSpec([None, constants.stop.shape[1]], tf.int32)
        graph = self._graph(
            ('write', cursor.ids.shape[0], *constants.sampling),
            self._write_loop,
            specs_of(cursor),
            specs_of(constants)._replace(stop=any_stop),
            tf.TensorSpec([], tf.int32),
        )
        ids, cursor = graph(cursor, constants, tf.constant(end))
        return ids.numpy(), draft._replace(cursor=cursor)

    def _step_weights(self):
        """Makes the weights ready, if the model has a way to."""
        make = getattr(self._model, 'step_weights', None)
        return make() if make else ()

    def _write_loop(self, cursor, constants, end):
        start = cursor.position
        texts = tf.TensorArray(
            tf.int32, end - start, element_shape=cursor.ids.shape
        )
        weights = [constants.weights] if constants.weights else []

        def unfinished(cursor, _):
            running = tf.reduce_any(cursor.missing > 0)
            return tf.logical_and(cursor.position < end, running)

        def write_one(cursor, texts):
            logits, state = self._model.step(cursor.ids, cursor.state, *weights)
            position = tf.cast(cursor.position, tf.int64)
            seed = tf.stack([constants.seed, position])
            ids = sampling.sample(logits, seed, **constants.sampling)
            missing = tf.gather_nd(
                constants.stop, tf.stack([cursor.missing, ids], axis=1)
            )
            texts = texts.write(cursor.position - start, ids)
            return _Cursor(cursor.position + 1, ids, state, missing), texts

        cursor, texts = tf.while_loop(unfinished, write_one, (cursor, texts))
        return tf.transpose(texts.stack()[: cursor.position - start]), cursor

    def _graph(self, key: Any, function: Callable, *specs: Any) -> Callable:
        """Returns the graph of a function, made when first asked for."""
        if key not in self._graphs:
            self._graphs[key] = graph_of(function, *specs)
        return self._graphs[key]


def _to_tensors(request: Request, vocab_size: int) -> dict[str, tf.Tensor]:
    """Returns the keywords of `sampling.sample` as tensors.

    A tensor may change its value without a new graph. What is None is left
    out, so that the graph does not even have its operations.
    """
    tensors = {'temperature': tf.constant(request.temperature, tf.float32)}
    if request.top_k is not None:
        tensors['top_k'] = tf.constant(min(int(request.top_k), vocab_size))
    if request.top_p is not None:
        tensors['top_p'] = tf.constant(request.top_p, tf.float32)
    return tensors
