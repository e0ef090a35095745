"""Augments: what changes a batch in training, and the noise of a step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tensorflow as tf

from tfcharrnn.data import Batch
from tfcharrnn.nn.dropout import Noise
from tfcharrnn.training.replicas import replica_id
from tfcharrnn.training.schedules import Schedule


class Augment(Protocol):
    """Changes a batch in training, in a graph; never in an evaluation."""

    def __call__(
        self, batch: Batch, state: Any, *, step: tf.Variable, seed: Any
    ) -> Batch:
        """Returns the changed batch.

        Args:
            batch: The batch, or a replica's rows of it.
            state: The state before it.
            step: The number of steps made.
            seed: [2] integers, a function of step, replica and augment.
        """
        ...


class Augments:
    """All augments of a trainer, and the dropout of each step.

    The random numbers of a step are a function of (seed, step, replica): asked
    twice in a step, they are the same.
    """

    def __init__(
        self,
        augments: Sequence[Augment],
        dropout_schedule: Schedule | None,
        *,
        seed: int,
        own: Callable[[Any], Any],
    ):
        """Takes them in the order in which they come.

        Args:
            augments: Change the batch, in turn.
            dropout_schedule: Multiplies the dropout rates; None for 1.
            seed: Seed of all random numbers.
            own: Returns the state of the model in that of training.
        """
        self._own = own
        self._augments = tuple(augments)
        self._dropout_schedule = dropout_schedule
        self._seed = seed

    def __call__(
        self, batch: Batch, state: Any, *, step: tf.Variable
    ) -> tuple[Batch, Noise]:
        """Returns what a step trains on, in a graph.

        Args:
            batch: The batch, or a replica's rows of it.
            state: The state before it.
            step: The number of steps made.

        Returns:
            The changed batch, and the noise for the model.
        """
        seed = self.step_seed(step)
        for i, augment in enumerate(self._augments, 1):
            own = Noise(seed).fold_in(-i).seed  # Dropout's are from 0 on.
            batch = augment(batch, self._own(state), step=step, seed=own)
        schedule = self._dropout_schedule
        return batch, Noise(seed, None if schedule is None else schedule(step))

    def step_seed(self, step: tf.Variable) -> tf.Tensor:
        """Returns two integers, a function of seed, step and replica."""
        fold_in: Any = tf.random.fold_in  # Its stub is wrong.
        seed = tf.constant([self._seed & 0x7FFFFFFF, self._seed >> 31])
        return fold_in(fold_in(seed, step), replica_id())
