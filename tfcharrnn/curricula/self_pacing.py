"""Self-pacing: lines in the order of their loss under the model itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from tfcharrnn import checks
from tfcharrnn.curricula import pools
from tfcharrnn.data import Batch, Batches, chosen_lines
from tfcharrnn.data.rows import to_tensor
from tfcharrnn.text import sources
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import losses
from tfcharrnn.training.metrics import Pairs
from tfcharrnn.training.record import Measured
from tfcharrnn.training.schedules import Schedule
from tfcharrnn.training.trainer import Trainer


class PacedBatch(NamedTuple):
    """A `Batch`, and the share of the lines that it was drawn from.

    Attributes:
        share: A float32 scalar, above 0, up to 1.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    mask: tf.Tensor
    reset: tf.Tensor
    share: tf.Tensor


class SelfPaced(Batches):
    r"""Draws the lines that are easiest for the model as it is now.

        now and then  measure the loss of every line; rank the lines by it
        batch t       batch_size lines out of the share(t) that are easiest
                      or out of those whose loss is below threshold(t)

    With a `threshold` it is the self-paced learning of Kumar, Packer and
    Koller (NIPS 2010), who train on the examples whose loss is below 1 / K,
    while K falls. The number of lines then grows by itself as the model learns.
    With a `share` it is known beforehand, so that a random order can have the
    same pace: that is the control to compare with, as in Wu, Dyer and Neyshabur
    (2021, https://arxiv.org/abs/2012.03107). `hardest` reverses the order.

    The loss of a line is in nats per character, its end included. A sum would
    be small for every short line, whatever it says, as `rarity` is. The mean
    favors long lines a little: the first characters are hard to guess.

    The price is a forward pass over all lines at each measurement, about a
    quarter of the time that it takes to train on them once. From the time of a
    step and that of a measurement it follows that steps take 1.25 to 1.32 times
    as long with one in each pass, and 1.05 to 1.07 times with one in ten
    (GRU(512) and GRU(128) on two cores).

    The losses are in the record of the run, `place.measured`, 5.3 bytes for
    each line. What is drawn is a function of them, the seed and the position,
    so that a run that was killed goes on bit for bit. While it is trained on,
    it belongs to one trainer; read without one, all lines are alike. It reports
    the 'share' of the lines that are drawn from.

    >>> from tfcharrnn import CharRNN
    >>> vocabulary = Vocabulary('\nab')
    >>> batches = SelfPaced(
    ...     ['aaaa', 'abba', 'bbbb'],
    ...     vocabulary,
    ...     2,
    ...     share=pools.competence(0.34, steps=100),
    ...     every=10,
    ... )
    >>> rnn = CharRNN(3, embedding_dim=4, rnn_units=8)
    >>> rnn.bias.assign([0.0, 1.0, 0.0])
    <tf.Variable ...
    >>> rnn.kernel.assign(tf.zeros([8, 3]))
    <tf.Variable ...
    >>> trainer = Trainer(rnn, tf.keras.optimizers.SGD(0.0))
    >>> round(trainer.train(batches, steps=5)['share'], 2)
    0.33
    >>> int(trainer.record.place.measured.losses.argmin())
    0
    """

    def __init__(
        self,
        lines: Iterable[str],
        vocabulary: Vocabulary,
        batch_size: int,
        *,
        share: Schedule | None = None,
        threshold: Schedule | None = None,
        every: int | None = None,
        hardest: bool = False,
        seed: int = 0,
    ):
        """Prepares to draw; the lines are measured when training begins.

        Args:
            lines: Texts that are not empty and contain no newline.
            vocabulary: All characters, the newline among them.
            batch_size: Lines per batch.
            share: Maps the number of the batch, counted from when training on
                this dataset began, to a share above 0; see `competence`.
            threshold: Maps it to a loss in nats per character, instead. At
                least one line is drawn from, whatever it is.
            every: The lines are measured when training on them begins, and
                then at the multiples of this many GLOBAL steps. None: a pass.
            hardest: Draws from the lines of the highest losses, instead; with
                `threshold`, from those above it.
            seed: Seed of the draws.

        Raises:
            ValueError: As `data.chosen_lines` does, or if not exactly one of
                `share` and `threshold` is given, or `every` is out of range.
            TypeError: As `data.chosen_lines` does.
        """
        if (share is None) == (threshold is None):
            raise ValueError(
                'The lines to draw from are either a `share` of all, or those '
                'on one side of a `threshold`: give one of the two.'
            )
        lines = sources.check_lines(lines)
        self._share, self._threshold = share, threshold
        self._sign = -1.0 if hardest else 1.0
        self._seed = seed
        self._num_lines = len(lines)
        # Lines of like lengths are measured together.
        by_length = np.argsort([len(line) for line in lines], kind='stable')
        self._by_length = to_tensor(by_length)
        self._drawn = chosen_lines(
            lines, vocabulary, batch_size, choose=self._draw
        )
        self._all = chosen_lines(
            lines, vocabulary, batch_size, choose=self._in_turn
        )
        self._rank(np.zeros(self._num_lines, np.float32))
        self._measure = tf.function(_measure, autograph=False)
        if every is None:
            every = len(self._drawn)
        self.enter_every = checks.whole_number('every', every)
        super().__init__(
            self._one_pass,
            len(self._drawn),
            batch_size=self._drawn.batch_size,
            seq_length=self._drawn.seq_length,
            num_chars=self._drawn.num_chars,
        )

    def enter(self, trainer: Trainer) -> None:
        """Measures the lines if it is time, and ranks them; see `Adaptive`.

        Raises:
            ValueError: If there are several replicas, or the record is of
                other lines.
        """
        trainer.replicas.check_single()
        place, every = trainer.record.place, self.enter_every
        known = place.measured
        if known is None or known.step // every < trainer.step // every:
            values = self._measured(trainer.model)
            known = place.measured = Measured.of(trainer.step, values)
            logging.info(
                'Lines have %.2f nats per character on average at step %d',
                *(values.mean(), trainer.step),
            )
        if len(known.losses) != self._num_lines:
            raise ValueError(
                f'The record is of {len(known.losses)} lines, but there are '
                f'{self._num_lines}. Give those of before.'
            )
        self._rank(known.losses)

    def starting_at(self, position: int | tf.Tensor) -> tf.data.Dataset:
        """Makes the endless dataset of batches, drawn by the present ranks.

        Args:
            position: Number of the first batch, counted from the very first.

        Returns:
            A `tf.data.Dataset` of `PacedBatch`.
        """
        positions = tf.data.Dataset.range(position, tf.int64.max)

        def put_together(batch, position):
            share = tf.cast(self._size(position), tf.float32) / self._num_lines
            return PacedBatch(*batch, share=share)

        pairs = tf.data.Dataset.zip(
            self._drawn.starting_at(position), positions
        )
        return pairs.map(put_together)

    def train_step(
        self, trainer: Trainer, batch: PacedBatch, state: Any
    ) -> tuple[Pairs, Any]:
        """Makes a step, and reports the share; see `Adaptive`."""
        pairs, state = trainer.train_step(Batch(*batch[:4]), state)
        return {**pairs, 'share': (batch.share, 1.0)}, state

    def _one_pass(self, pass_number, start):
        return self.starting_at(pass_number * len(self) + start)

    def _rank(self, values):
        """Puts the lines to be drawn first at the beginning."""
        keys = self._sign * values
        order = np.argsort(keys, kind='stable')
        self._order, self._keys = to_tensor(order), to_tensor(keys[order])

    def _size(self, position):
        """Returns how many of the lines are drawn from."""
        if self._share is not None:
            size = tf.round(self._share(position) * self._num_lines)
        else:
            assert self._threshold is not None
            value = tf.cast(self._threshold(position), tf.float32)
            size = tf.searchsorted(self._keys, [self._sign * value])[0]
        return tf.clip_by_value(tf.cast(size, tf.int64), 1, self._num_lines)

    def _draw(self, position):
        ranks = pools.draw(
            *(position, self._size(position), self._drawn.batch_size),
            seed=self._seed,
        )
        return tf.gather(self._order, ranks)

    def _in_turn(self, position):
        """Returns the next lines, from short to long; at the end, the last."""
        size = self._all.batch_size
        ranks = position * size + tf.range(size, dtype=tf.int64)
        return tf.gather(
            self._by_length, tf.minimum(ranks, self._num_lines - 1)
        )

    def _measured(self, model):
        """Returns the loss of each line in nats per character, [N]."""
        batches = iter(self._all.starting_at(0))
        values = self._measure(model, batches, tf.constant(len(self._all)))
        result = np.empty(self._num_lines, np.float32)
        order = self._by_length.numpy()
        result[order] = values.numpy().reshape(-1)[: len(order)]
        return result


def _measure(model, batches, num_batches):
    """Returns the mean loss of each row of some batches, one after another."""

    def body(i, values):
        batch = batches.get_next()
        state = model.initial_state(tf.shape(batch.reset)[0])
        logits, _ = model(batch.inputs, state, training=False)
        totals, counts = losses.by_row(logits, batch.targets, batch.mask)
        return i + 1, values.write(i, totals / counts)

    values = tf.TensorArray(tf.float32, num_batches)
    _, values = tf.while_loop(
        lambda i, _: i < num_batches, body, (0, values), parallel_iterations=1
    )
    return values.concat()
