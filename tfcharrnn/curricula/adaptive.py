"""Adaptive mixtures: a policy chooses the source of each batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.curricula import gains
from tfcharrnn.curricula.bandits import Exp3S, Policy
from tfcharrnn.data import Batch, Batches
from tfcharrnn.training import loop
from tfcharrnn.training.metrics import Pairs
from tfcharrnn.training.record import Choices, Place
from tfcharrnn.training.trainer import Trainer

# What a bandit learns from.
GAINS = ('prediction', 'self', 'target', 'gradient')
# What a policy of any kind may learn from.
SIGNALS = (*GAINS, 'accuracy')


class ChosenBatch(NamedTuple):
    """A `Batch` with its source, and a batch to measure a gain on."""

    inputs: tf.Tensor
    targets: tf.Tensor
    mask: tf.Tensor
    reset: tf.Tensor
    source: tf.Tensor
    probe: Batch


def bandit(
    sources: Sequence[Batches],
    *,
    gain: str = 'prediction',
    every: int = 1,
    rate: float = 1e-3,
    epsilon: float = 0.05,
    seed: int = 0,
) -> AdaptiveMixture:
    """Reads the sources from which the model learns most, as a bandit finds.

        source  ~  the policy
        reward  =  how much the step has taught     the gain
        policy  =  Exp3.S(reward)

    From Graves et al., "Automated Curriculum Learning for Neural Networks"
    (2017, https://arxiv.org/abs/1704.03003).

    >>> from tfcharrnn import data
    >>> a, b = (
    ...     data.windows(np.full(99, i), seq_length=3, batch_size=2)
    ...     for i in (0, 1)
    ... )
    >>> both = bandit([a, b], gain='gradient')
    >>> both.batch_size, len(both)
    (2, 96)

    Args:
        sources: Two or more, of one `batch_size`: texts, or levels of a task.
        gain: What the step has taught: 'prediction', 'self', 'target' (which is
            the last source) or 'gradient'; see `gains`, also for what it costs.
        every: Batches that are read of a source before the next choice. The
            rows begin from the zero state where the source changes, so streams
            want some.
        rate: How much a reward changes the policy.
        epsilon: The share of the choices that are random.
        seed: Seed of the choices.

    Returns:
        Batches for a `Trainer`, to train on directly or in a `Stage`.

    Raises:
        ValueError: If there are fewer than two sources, they differ in
            `batch_size`, or another argument is out of range.
    """
    checks.choice('gain', gain, GAINS)
    policy = Exp3S(rate=rate, epsilon=epsilon, seed=seed)
    return AdaptiveMixture(sources, policy, gain=gain, every=every, seed=seed)


class AdaptiveMixture(Batches):
    """What `bandit` and `teacher` make of their sources.

    A batch is a function of its source and its number there; the source is a
    function of the seed and of what the policy knows, which is in the record
    of the run, `place.choices`. So a run that was killed goes on bit for bit.

        tf.data     choose a source, take its next batch     when it is needed
        the step    train, measure the gain
        the policy  learn from it                            before the next one

    While it is trained on, it belongs to one trainer; read without one, it has
    no reason to choose another source. It reports the mean
    'gain', and the share of each source as 'source_0', 'source_1', ...
    """

    def __init__(
        self,
        sources: Sequence[Batches],
        policy: Policy,
        *,
        gain: str,
        every: int,
        seed: int,
    ):
        """Mixes sources by a policy of your own; see also `bandit`.

        Args:
            sources: Two or more, of one `batch_size`.
            policy: What chooses.
            gain: What it learns from, one of `SIGNALS`; see `gains`.
            every: Batches that are read of a source before the next choice.
            seed: Seed of the choices.

        Raises:
            ValueError: If an argument is out of range.
        """
        sources = list(sources)
        sizes = [source.batch_size for source in sources]
        if len(sources) < 2 or len(set(sizes)) > 1:
            raise ValueError(
                'A policy chooses among two sources or more, of one '
                f'`batch_size`, but got {len(sources)} with the sizes {sizes}.'
            )
        self._sources = sources
        self._policy = policy
        self._gain = checks.choice('gain', gain, SIGNALS)
        self._every = checks.whole_number('every', every)
        self._seed = seed
        self._place = Place(choices=policy.begin(len(sources)))
        super().__init__(
            self._one_pass,
            sum(map(len, sources)),
            batch_size=sizes[0],
            seq_length=max(source.seq_length for source in sources),
            num_chars=sum(source.num_chars for source in sources),
        )

    def enter(self, trainer: Trainer) -> None:
        """Goes on from what the record of a trainer says; see `Adaptive`.

        Raises:
            ValueError: If there are several replicas, or the record is of
                other sources.
        """
        trainer.replicas.check_single()
        self._place = trainer.record.place
        if self._place.choices is None:
            self._place.choices = self._policy.begin(len(self._sources))
        if len(self._choices.taken) != len(self._sources):
            raise ValueError(
                f'The record is of {len(self._choices.taken)} sources, but '
                f'there are {len(self._sources)}. Give those of before.'
            )

    def starting_at(self, position: int | tf.Tensor) -> tf.data.Dataset:
        """Makes the dataset of all batches from where the record stands.

        Args:
            position: Ignored: the record knows how many batches of each source
                were taken.

        Returns:
            A `tf.data.Dataset` of `ChosenBatch`.
        """
        del position
        taken = self._choices.taken
        datasets = [
            self._make(number, taken[number])
            for number in range(len(self._sources))
        ]

        def choose(_):
            source = tf.numpy_function(self._choose, [], tf.int64)
            return tf.ensure_shape(source, [])

        chosen = tf.data.Dataset.choose_from_datasets(
            datasets, tf.data.Dataset.range(np.iinfo(np.int64).max).map(choose)
        )

        def mark(last, batch):
            changes = batch.source != last
            return batch.source, batch._replace(reset=batch.reset | changes)

        last = self._choices.source
        first = tf.constant(-1 if last is None else last, tf.int64)
        options = tf.data.Options()
        # Nothing may be chosen before the step before it has been made.
        options.autotune.enabled = False
        options.experimental_optimization.inject_prefetch = False
        return chosen.scan(first, mark).with_options(options)

    def train_step(
        self, trainer: Trainer, batch: ChosenBatch, state: Any
    ) -> tuple[Pairs, Any]:
        """Makes a step, and lets the policy learn; see `Adaptive`."""
        own = Batch(*batch[:4])
        result = {}

        def step():
            result['pairs'], result['state'] = trainer.train_step(own, state)
            return result['pairs']

        if self._gain == 'prediction':
            gain = gains.prediction(trainer, own, state, step=step)
        elif self._gain in gains.PROBES:
            gain = gains.probe(trainer, batch.probe, step=step)
        else:
            gain = getattr(gains, self._gain)(step())
        pairs = result['pairs']
        counted = tf.numpy_function(
            self._learn,
            [batch.source, gain, loop.is_finite(pairs)],
            tf.float32,
        )
        shares = tf.one_hot(batch.source, len(self._sources))
        shares *= tf.ensure_shape(counted, [])  # So that it is learnt from.
        measured = {'gain': (gain, 1.0)}
        for number, share in enumerate(tf.unstack(shares)):
            measured[f'source_{number}'] = (share, 1.0)
        return {**pairs, **measured}, result['state']

    @property
    def _choices(self) -> Choices:
        assert self._place.choices is not None
        return self._place.choices

    def _choose(self):
        """Returns the source of the next batch; it changes nothing."""
        choices = self._choices
        if choices.pending and choices.source is not None:
            return np.int64(choices.source)
        draw = random.Random(f'{self._seed} choice {choices.number}')
        return np.int64(self._policy.choose(choices, draw))

    def _learn(self, source, gain, finite):
        """Counts a batch of which a step was made, and learns from it."""
        if finite:
            choices, source = self._choices, int(source)
            if not choices.pending:
                choices.number += 1
            choices.source = source
            choices.taken[source] += 1
            # No gain if the loss after the step is not finite.
            choices.pending.append(float(gain) if np.isfinite(gain) else 0.0)
            if len(choices.pending) == self._every:
                self._policy.update(choices, source, choices.pending)
                choices.pending = []
        return np.float32(1.0)

    def _one_pass(self, pass_number, start):
        del pass_number
        return self.starting_at(start)

    def _make(self, number, taken):
        """Makes the batches of a source, each with one to measure on."""
        source = self._sources[number]
        batches = source.starting_at(taken)
        probes = batches
        if self._gain == 'self':
            # Half a pass from what is trained on.
            probes = source.starting_at(taken + max(1, len(source) // 2))
        elif self._gain == 'target':
            probes = self._sources[-1].starting_at(taken)
        if probes is batches:
            pairs = batches.map(lambda batch: (batch, _nothing()))
        else:
            pairs = tf.data.Dataset.zip(batches, probes)
        index = tf.constant(number, tf.int64)

        def put_together(batch, probe):
            return ChosenBatch(*batch, source=index, probe=probe)

        return pairs.map(put_together)


def _nothing():
    """Returns a batch without rows, where none is needed."""
    ids = tf.zeros([0, 0], tf.int32)
    return Batch(ids, ids, tf.zeros([0, 0], tf.bool), tf.zeros([0], tf.bool))
