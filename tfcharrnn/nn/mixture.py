"""Mixture: several models predict, and their probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn import checks


class Mixture(tf.Module):
    """Averages the probabilities of models of one vocabulary.

        P(c) = sum of weight * softmax(logits / temperature)[c] over the members

    Where members err in different places, their average errs less than each of
    them. It is a model like its members: a `Generator` writes with it, and an
    `Evaluator` measures it.

        >>> from tfcharrnn.nn.ngram import NGram
        >>> members = [NGram(np.arange(9) % 3, 3, order) for order in (2, 4)]
        >>> mixture = Mixture(members, [0.75, 0.25])
        >>> state = mixture.initial_state(batch_size=1)
        >>> logits, state = mixture(tf.constant([[0, 1]]), state)
        >>> tf.reduce_sum(tf.exp(logits), axis=-1).numpy().round(4)
        array([[1., 1.]], dtype=float32)

    References: averages of models: Perrone and Cooper, When Networks Disagree,
    1993; temperature: Guo et al., arXiv 1706.04599.

    Attributes:
        vocab_size: Number of distinct characters, V.
        members: The models.
        weights: [M] float32, their weights; the sum is 1.
        temperatures: [M] float32, by which their logits are divided.
    """

    def __init__(
        self,
        members: Sequence[Any],
        weights: Sequence[float] | np.ndarray | None = None,
        *,
        temperatures: Sequence[float] | np.ndarray | float = 1.0,
    ):
        """Puts models together; they are shared, not copied.

        Args:
            members: M models, as for `Generator`: a `CharRNN`, an `NGram` or
                another mixture.
            weights: One for each member, 0 or above; they are divided by their
                sum. None: all are equal.
            temperatures: One for each member, above 0; or one for all.

        Raises:
            ValueError: The vocabularies differ in size, or a number is out of
                range.
        """
        super().__init__()
        if not members:
            raise ValueError('A mixture needs at least one model.')
        sizes = [member.vocab_size for member in members]
        if len(set(sizes)) > 1:
            raise ValueError(
                'The models of a mixture know '
                f'{", ".join(map(str, sizes))} characters, but must share one '
                'vocabulary. Train them on the same text.'
            )
        self.vocab_size = sizes[0]
        self.members = list(members)
        weights = [1.0] * len(members) if weights is None else weights
        if not np.ndim(temperatures):
            temperatures = np.full(len(members), temperatures)
        self.weights = _numbers('weights', weights, len(members), low=0.0)
        if not self.weights.sum() > 0.0:
            raise ValueError(
                '`weights` are all 0, but at least one must be above.'
            )
        self.weights /= self.weights.sum()
        self.temperatures = _numbers(
            'temperatures', temperatures, len(members), above=0.0
        )

    def initial_state(self, batch_size: int | tf.Tensor) -> tuple:
        """Returns the zero state: a tuple with each member's."""
        return tuple(m.initial_state(batch_size) for m in self.members)

    def __call__(
        self, inputs: tf.Tensor, state: tuple, *, training: object = False
    ) -> tuple[tf.Tensor, tuple]:
        """Predicts each next character from all that came before.

        Args:
            inputs: [B, T] integers below V.
            state: As `initial_state` or another call returned it.
            training: Ignored: a mixture is not trained.

        Returns:
            The log-probabilities [B, T, V] float32, and the next state.
        """
        del training
        pairs = [
            member(inputs, before)
            for member, before in zip(self.members, state, strict=True)
        ]
        return self.mix(pairs)

    def step_weights(self) -> tuple:
        """Returns the members' weights, made ready for many calls of `step`."""
        makers = (getattr(m, 'step_weights', tuple) for m in self.members)
        return tuple(make() for make in makers)

    def step(
        self, ids: tf.Tensor, state: tuple, weights: tuple = ()
    ) -> tuple[tf.Tensor, tuple]:
        """Predicts the next character from one: a step of generation.

        Args:
            ids: [B] integers below V.
            state: As for a call.
            weights: As `step_weights` returned them, for a faster step.

        Returns:
            The log-probabilities [B, V] float32 and the next state.
        """
        ready = weights or [()] * len(self.members)
        pairs = [
            member.step(ids, before, *([own] if own else []))
            for member, before, own in zip(
                self.members, state, ready, strict=True
            )
        ]
        return self.mix(pairs)

    def mix(
        self, pairs: Sequence[tuple[tf.Tensor, Any]]
    ) -> tuple[tf.Tensor, tuple]:
        """Averages what the members have predicted.

        Args:
            pairs: The logits and the next state of each member.

        Returns:
            The log-probabilities, of the shape of the logits, and the states.
        """
        scores = tf.stack(
            [
                tf.nn.log_softmax(logits / temperature) + log_weight
                for (logits, _), temperature, log_weight in zip(
                    pairs,
                    self.temperatures,
                    np.log(np.maximum(self.weights, 1e-30)),
                    strict=True,
                )
            ]
        )
        states = tuple(after for _, after in pairs)
        return tf.reduce_logsumexp(scores, axis=0), states


def _numbers(name, values, count, *, low=0.0, above=None):
    if len(values) != count:
        raise ValueError(
            f'`{name}` has {len(values)} numbers, but there are {count} models '
            'in the mixture. Give one for each.'
        )
    checked = [checks.number(name, v, low, above=above) for v in values]
    return np.array(checked, np.float32)
