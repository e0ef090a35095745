"""Adaptation: a model goes on learning while it reads a text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.data import Batch, Batches
from tfcharrnn.nn.mixture import Mixture
from tfcharrnn.nn.ngram import NGram
from tfcharrnn.training import losses, states
from tfcharrnn.training.metrics import Metrics, Sums

# Characters of a segment: a text is read, and learned, by so many at a time.
SEGMENT = 64
# As in the paper's experiments on characters.
_RATE, _PULL = 5e-5, 1e-3
# Keeps weights that training has hardly changed from being torn away.
_EPSILON = 2e-5
# Batches of training text that the mean squares are taken over.
_NUM_BATCHES = 50
# N-grams are counted anew each time this share of their text has come.
_RECOUNT = 1 / 500


class Adaptation:
    """Reads a text, and learns each segment after it was scored.

        for segment in text:
            score the segment
            weights -= rate * gradient / rms
            weights += pull * (weights in the beginning - weights) * rms / mean

    So a text is predicted from all that came before it, by the state and by
    the weights. `rms` is the root of the mean square of each weight's gradient
    in training: what had large gradients moves little, and is pulled back more.

        >>> from tfcharrnn import data
        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> tf.keras.utils.set_random_seed(0)
        >>> model = CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> training = data.sequences(np.arange(999) % 3, 20, batch_size=8)
        >>> text = data.evaluation_streams(np.arange(999) % 2, SEGMENT, 1)
        >>> with restored(model):
        ...     adaptation = Adaptation(model, training, rate=1e-2)
        ...     first = adaptation.read(text)['loss']
        ...     second = adaptation.read(text)['loss']
        >>> second < first
        True

    In a mixture, each network learns by its own loss, and n-grams are counted
    on; what is scored is the mixture.

    Reference: dynamic evaluation, Krause et al., arXiv 1709.07432.

    Attributes:
        model: The model. Its weights change; see `restored`.
    """

    def __init__(
        self,
        model: Any,
        training: Batches,
        *,
        rate: float = _RATE,
        pull: float = _PULL,
    ):
        """Measures the gradients of a model in training.

        Args:
            model: A `CharRNN` or the like, or a `Mixture` of them.
            training: Batches of the text that it was trained on; the first
                few are read.
            rate: How far weights move.
            pull: How strongly they are pulled back.

        Raises:
            ValueError: `rate` or `pull` is out of range.
        """
        self._rate = checks.number('rate', rate, 0.0)
        self._pull = checks.number('pull', pull, 0.0, 1.0)
        self.model = model
        mixture = model if isinstance(model, Mixture) else Mixture([model])
        self._mixture = mixture
        self._ngrams = _ngrams_in(mixture)
        # Of each network; n-grams have none.
        self._weights = [
            list(m.trainable_variables)
            for m in mixture.members
            if getattr(m, 'trainable_variables', ())
        ]
        self._start = tf.nest.map_structure(tf.identity, self._weights)
        self._rms = self._measure(training)

    def read(
        self,
        dataset: Batches,
        *,
        report: Callable[[float], None] | None = None,
    ) -> Metrics:
        """Reads a text, from the zero state.

        Args:
            dataset: Its batches, of one row each, such as
                `data.evaluation_streams(ids, SEGMENT, batch_size=1)`.
            report: Called after each with the share that is read.

        Returns:
            As from `Evaluator.evaluate`; each segment is scored before it is
            learned.
        """
        state = self._mixture.initial_state(dataset.batch_size)
        sums, unread = Sums(), []
        for number, batch in enumerate(dataset, 1):
            pairs, state = self._learn(batch, state)
            sums.add(pairs)
            if self._ngrams:
                unread.append(batch.targets[batch.mask].numpy())
                self._count(unread, is_last=number == len(dataset))
            if report is not None:
                report(number / len(dataset))
        return sums.means()

    def _count(self, unread, *, is_last):
        """Counts n-grams on, now and then, since it takes a while."""
        size = sum(map(len, unread))
        if is_last or size >= self._ngrams[0].num_counted * _RECOUNT:
            for ngram in self._ngrams:
                ngram.count(np.concatenate(unread))
            unread.clear()

    def _measure(self, training):
        """Returns the root mean square of the gradient of each weight."""
        squares = tf.nest.map_structure(tf.zeros_like, self._start)
        state = self._mixture.initial_state(training.batch_size)
        count = 0
        for batch in training:
            some, state = self._square(batch, state)
            squares = tf.nest.map_structure(tf.add, squares, some)
            count += 1
            if count == _NUM_BATCHES:
                break
        return tf.nest.map_structure(lambda x: tf.sqrt(x / count), squares)

    @tf.function(autograph=False, reduce_retracing=True)
    def _square(self, batch, state):
        _, state, gradients = self._differentiate(batch, state)
        return tf.nest.map_structure(tf.square, gradients), state

    @tf.function(autograph=False, reduce_retracing=True)
    def _learn(self, batch, state) -> Any:
        logits, state, gradients = self._differentiate(batch, state)
        for network in zip(
            self._weights, gradients, self._rms, self._start, strict=True
        ):
            size = sum(tf.size(rms, tf.int64) for rms in network[2])
            total = tf.add_n([tf.reduce_sum(rms) for rms in network[2]])
            mean = total / tf.cast(size, tf.float32)
            for weight, gradient, rms, start in zip(*network, strict=True):
                step = self._rate * gradient / (rms + _EPSILON)
                share = tf.minimum(self._pull * rms / mean, 1.0)
                weight.assign_add(share * (start - weight) - step)
        pairs = {
            'loss': losses.cross_entropy(logits, batch.targets, batch.mask),
            'accuracy': losses.accuracy(logits, batch.targets, batch.mask),
        }
        return pairs, state

    def _differentiate(self, batch: Batch, state):
        """Returns the logits, the next state, and the gradients by network."""
        state = states.reset_rows(self._mixture, state, batch.reset)
        with tf.GradientTape() as tape:
            members = self._mixture.members
            pairs = [
                member(batch.inputs, before)
                for member, before in zip(members, state, strict=True)
            ]
            # A network's weights are in its own loss only.
            means = []
            for logits, _ in pairs:
                total, count = losses.cross_entropy(
                    logits, batch.targets, batch.mask
                )
                means.append(total / tf.maximum(count, 1.0))
            loss = tf.add_n(means)
        weights: Any = self._weights  # The stub knows no nested lists.
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(loss, weights, unconnected_gradients=zero)
        gradients = tf.nest.map_structure(tf.convert_to_tensor, gradients)
        logits, state = self._mixture.mix(pairs)
        return logits, state, gradients


def _ngrams_in(model):
    """Returns the n-grams of a mixture, and of the mixtures in it."""
    if isinstance(model, NGram):
        return [model]
    members = model.members if isinstance(model, Mixture) else ()
    return [ngram for member in members for ngram in _ngrams_in(member)]


@contextlib.contextmanager
def restored(model: Any) -> Iterator[None]:
    """Gives a model, after a `with` block, the weights that it had before.

    >>> model = tf.Module()
    >>> model.weight = tf.Variable(1.0)
    >>> with restored(model):
    ...     _ = model.weight.assign(2.0)
    >>> float(model.weight)
    1.0

    Args:
        model: Has `variables`.
    """
    saved = [tf.identity(variable) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in zip(model.variables, saved, strict=True):
            variable.assign(value)
