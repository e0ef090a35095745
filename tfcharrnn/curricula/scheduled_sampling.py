"""Scheduled sampling: a model learns to go on from its own mistakes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.data import Batch
from tfcharrnn.generation import sampling
from tfcharrnn.training import schedules
from tfcharrnn.training.schedules import Schedule


class ScheduledSampling:
    """Reads its own characters now and then, instead of the text's.

        text      t  h  e  _  c  a  t
        samples      o  e  n  d  a  r        from the logits before each
        coins        0  0  1  0  1  0        1 with probability eps(step)
        inputs    t  h  e  n  c  a  t        the targets stay the text's

    So a model learns to go on from its own mistakes (Bengio et al., 2015,
    https://arxiv.org/abs/1506.03099).

    The paper samples in sequence: each sample depends on the samples before
    it. Here one pass without gradient reads the text, all samples are drawn
    from its logits at once, and the ordinary fast pass trains on the mixed
    inputs. So a sample follows from the text before it, not from other samples
    (one pass of Duckworth et al., "Parallel Scheduled Sampling", 2019,
    https://arxiv.org/abs/1906.04331), and a step costs a third more instead of
    many times as much. The first character of a row always comes from the
    text. The sampling pass uses no dropout.

    It is one of the `augments` of a `Trainer`. The samples are a function of
    (seed, step). At probability 0 a step is that without it, bit for bit, and
    as fast. Evaluation always reads the text.

        >>> from tfcharrnn import data
        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> from tfcharrnn.training.trainer import Trainer
        >>> model = CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> probability = schedules.linear(0.0, 0.5, steps=100)
        >>> trainer = Trainer(
        ...     model,
        ...     tf.keras.optimizers.Adam(0.1),
        ...     augments=[ScheduledSampling(model, probability)],
        ... )
        >>> text = np.tile([0, 1, 2], 100)
        >>> dataset = data.sequences(text, seq_length=10, batch_size=4)
        >>> metrics = trainer.train(dataset, steps=20)
        >>> trainer.evaluate(dataset)['accuracy'] > 0.9
        True
    """

    def __init__(
        self,
        model: Any,
        probability: Schedule | float,
        *,
        temperature: float = 1.0,
        per_row: bool = False,
    ):
        """Prepares the sampling of inputs.

        Args:
            model: The model that is trained.
            probability: Probability, from 0 to 1, that an input is a sample; a
                number, or a function of the step.
            temperature: Temperature of the samples; 0 takes the most probable
                character.
            per_row: Whether one coin decides for all characters of a row.

        Raises:
            ValueError: If a number is out of range.
        """
        sampling.check(temperature)
        if not callable(probability):
            checks.number('probability', probability, 0.0, 1.0)
            probability = schedules.constant(float(probability))
        self._model = model
        self._probability: Schedule = probability
        self._temperature = temperature
        self._per_row = per_row

    def __call__(
        self, batch: Batch, state: Any, *, step: tf.Variable, seed: Any
    ) -> Batch:
        """Puts samples in the place of some inputs.

        Args:
            batch: The batch, or a replica's rows of it.
            state: The state before it.
            step: The number of steps made.
            seed: [2] integers, a function of the step.

        Returns:
            The batch with other inputs.
        """
        probability = self._probability(step)
        inputs = tf.cond(
            probability > 0.0,
            lambda: self._mix(batch, state, probability, seed),
            lambda: tf.identity(batch.inputs),
        )
        inputs = tf.ensure_shape(inputs, batch.inputs.shape)
        return batch._replace(inputs=inputs)

    def _mix(self, batch, state, probability, seed):
        fold_in: Any = tf.random.fold_in  # Its stub is wrong.
        logits, _ = self._model(batch.inputs, state, training=False)
        rows, length = tf.unstack(tf.shape(batch.inputs))
        samples = sampling.sample(
            tf.reshape(logits, [-1, logits.shape[-1]]),
            fold_in(seed, 0),
            temperature=self._temperature,
        )
        samples = tf.reshape(samples, [rows, length])
        coins = tf.random.stateless_uniform(
            [rows, 1 if self._per_row else length - 1],
            fold_in(seed, 1),
            alg='philox',
        )
        first, others = batch.inputs[:, :1], batch.inputs[:, 1:]
        mixed = tf.where(coins < probability, samples[:, :-1], others)
        return tf.concat([first, mixed], axis=1)
