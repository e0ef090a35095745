"""Rereading: a model without a state writes as one that has a state."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Rereading:
    """A model that reads its last characters again for each next one.

    Its state is these characters, so a `Generator` writes with it as with any
    other model. Chollet's LSTM example writes so, and a model without a state,
    such as a convolution, must. A recurrent model that carries its state on
    makes one step where this makes `maxlen`.

        >>> from tfcharrnn.generation.generator import Generator
        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> from tfcharrnn.text.vocabulary import Vocabulary
        >>> model = Rereading(CharRNN(3, rnn_units=8), maxlen=5)
        >>> len(Generator(model, Vocabulary('abc')).generate('ab', 10))
        12

    Attributes:
        vocab_size: That of the model.
    """

    def __init__(self, model: Any, maxlen: int):
        """Wraps a model.

        Args:
            model: As for `Generator`, but it needs no `step`.
            maxlen: Characters to read each time. Where there are fewer so far,
                the first character of the vocabulary fills the front.
        """
        self.vocab_size = model.vocab_size
        self._model = model
        self._maxlen = maxlen

    def initial_state(self, batch_size: int | tf.Tensor) -> tf.Tensor:
        """Returns the characters before a text: [B, maxlen] ids, all 0."""
        return tf.zeros([batch_size, self._maxlen], tf.int32)

    def __call__(
        self, inputs: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts each next character: ids [B, T] to logits [B, T, V]."""
        ids = tf.concat([state, tf.cast(inputs, tf.int32)], axis=1)
        windows = tf.signal.frame(ids, self._maxlen, 1, axis=1)[:, 1:]
        rows = tf.reshape(windows, [-1, self._maxlen])
        logits, _ = self._model(
            rows, self._model.initial_state(tf.shape(rows)[0])
        )
        shape = [*tf.unstack(tf.shape(inputs)), self.vocab_size]
        return tf.reshape(logits[:, -1], shape), ids[:, -self._maxlen :]

    def step(
        self, ids: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts the next character from one: ids [B] to logits [B, V]."""
        logits, state = self(ids[:, tf.newaxis], state)
        return logits[:, 0], state
