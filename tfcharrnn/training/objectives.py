"""Objectives: what training minimises, and the state that it needs."""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.data import Batch
from tfcharrnn.training import losses
from tfcharrnn.training.metrics import Pairs

# The pair that is minimised, if it is not the loss.
OBJECTIVE = 'objective'


class Objective(Protocol):
    """What a `Trainer` minimises.

    In training, its state may hold more than the model's: all of it is carried
    from batch to batch, and saved.
    """

    def initial_state(self, batch_size: int | tf.Tensor) -> Any:
        """Returns the zero state of training."""
        ...

    def own(self, state: Any) -> Any:
        """Returns the part of a state of training that is the model's."""
        ...

    def __call__(
        self, batch: Batch, state: Any, training: Any
    ) -> tuple[Pairs, Any]:
        """Runs the model on a batch.

        Args:
            batch: The batch.
            state: The state before it: of training, or else of the model.
            training: False in an evaluation, and in training the `Noise` of
                the step.

        Returns:
            Pairs (sum, count) by name, and the state after the batch. The
            pair 'objective' is minimised, or else 'loss'.
        """
        ...


class NextCharacter:
    """The loss of each next character of the text: the usual objective.

    >>> from tfcharrnn.nn.char_rnn import CharRNN
    >>> objective = NextCharacter(CharRNN(3, embedding_dim=2, rnn_units=4))
    >>> [x.shape.as_list() for x in objective.initial_state(batch_size=7)]
    [[7, 4]]
    """

    def __init__(self, model: Any):
        """Takes the model; see `Trainer`."""
        self._model = model

    def initial_state(self, batch_size: int | tf.Tensor) -> Any:
        """Returns the zero state of the model."""
        return self._model.initial_state(batch_size)

    def own(self, state: Any) -> Any:
        """Returns the state as it is."""
        return state

    def __call__(
        self, batch: Batch, state: Any, training: Any
    ) -> tuple[Pairs, Any]:
        """Returns the pairs 'loss' and 'accuracy', and the next state."""
        return losses.of_next_character(
            self._model, batch, state, training=training
        )


class Distillation:
    """Learns from the text, and from what a trained model expects of it.

        target     = (1 - weight) * text's character + weight * teacher(text)
        objective  = cross entropy of the model's prediction with the target

    The probabilities of a teacher also say which other characters would have
    been likely. Its weights stay as they are, and its state is carried along
    with the model's. A teacher that is a `Mixture` puts several models into one
    (Hinton et al., arXiv 1503.02531); one like the model itself makes a chain
    of models, each taught by the one before (Furlanello et al., arXiv
    1805.04770). A step costs one more forward pass of the teacher.

        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> from tfcharrnn.training.trainer import Trainer
        >>> teacher, model = (CharRNN(3, 2, units) for units in (8, 4))
        >>> trainer = Trainer(
        ...     model,
        ...     tf.keras.optimizers.Adam(0.1),
        ...     objective=Distillation(model, teacher, weight=0.5),
        ... )

    The reported 'loss' is that of the text; 'objective' is what is minimised.
    An evaluation does without the teacher.
    """

    def __init__(self, model: Any, teacher: Any, *, weight: float = 0.5):
        """Takes both models.

        Args:
            model: What is trained.
            teacher: A trained model of the same vocabulary; or a `Mixture`.
            weight: The teacher's share of the target, above 0, up to 1.

        Raises:
            ValueError: If `weight` is out of range, or the vocabularies differ
                in size.
        """
        sizes = [getattr(m, 'vocab_size', None) for m in (model, teacher)]
        if None not in sizes and sizes[0] != sizes[1]:
            raise ValueError(
                f'The model knows {sizes[0]} characters and the teacher '
                f'{sizes[1]}, but they must share one vocabulary. Train both '
                'on the same text.'
            )
        self._model = model
        self._teacher = teacher
        self._weight = checks.number('weight', weight, above=0.0, high=1.0)

    def initial_state(self, batch_size: int | tf.Tensor) -> tuple[Any, Any]:
        """Returns the zero states of the model and of the teacher."""
        models = self._model, self._teacher
        return tuple(model.initial_state(batch_size) for model in models)

    def own(self, state: tuple[Any, Any]) -> Any:
        """Returns the state of the model."""
        return state[0]

    def __call__(
        self, batch: Batch, state: Any, training: Any
    ) -> tuple[Pairs, Any]:
        """Returns the pairs 'loss', 'accuracy', and 'objective' in training."""
        if not training:
            return losses.of_next_character(
                self._model, batch, state, training=training
            )
        own, others = state
        told, others = self._teacher(batch.inputs, others, training=False)
        logits, own = self._model(batch.inputs, own, training=training)
        pairs = losses.of_logits(logits, batch)
        pairs[OBJECTIVE] = losses.soft_cross_entropy(
            logits, self._target(told, batch.targets), batch.mask
        )
        return pairs, (own, others)

    def _target(self, told, characters):
        likely = tf.nn.softmax(tf.stop_gradient(told))
        certain = tf.one_hot(characters, told.shape[-1])
        return (1.0 - self._weight) * certain + self._weight * likely
