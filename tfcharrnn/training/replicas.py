"""Replicas: the rows of a batch, split among devices and put together again.

    batch, state  [B, ...]  --scatter-->  [B / R, ...] on each of R replicas
    sums          []        <---sum-----  one from each replica

Without a `tf.distribute.Strategy` there is a single replica, and all of this
is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn.data import Batch, Dataset

# What TensorFlow raises where another worker has died, or does not answer.
LOST_WORKER = tf.errors.UnavailableError, tf.errors.AbortedError


class Replicas:
    """The replicas of the current `tf.distribute.Strategy`.

    >>> replicas = Replicas()
    >>> replicas.count
    1

    Attributes:
        strategy: The strategy; TensorFlow's default one for a single device.
        count: The number of replicas, R.
    """

    def __init__(self):
        """Uses the strategy in whose scope it is made."""
        self.strategy = tf.distribute.get_strategy()
        self.count = self.strategy.num_replicas_in_sync

    def check_single(self) -> None:
        """Raises ValueError if there are several: not all data can be split."""
        if self.count > 1:
            raise ValueError(
                'A curriculum that teaches itself is for one device, but there '
                f'are {self.count} replicas. Train without a strategy.'
            )

    def check_rows(self, dataset: Dataset) -> None:
        """Raises ValueError if the rows cannot be split evenly."""
        if dataset.batch_size % self.count:
            raise ValueError(
                f'The batches have {dataset.batch_size} rows, which cannot be '
                f'split evenly among {self.count} replicas. Use a multiple of '
                f'{self.count} as `batch_size`.'
            )

    def iterate(
        self, dataset: Dataset, position: int = 0, num_read: int = 0
    ) -> Iterator[Any]:
        """Returns an iterator over batches, split by replica.

        Args:
            dataset: What to iterate over.
            position: The number of the first batch.
            num_read: Characters of each row that were read before; see
                `data.Continuable`.
        """
        self.check_rows(dataset)
        # Only a dataset whose rows can go on takes `num_read`.
        start = (position, num_read) if num_read else (position,)
        if self.count == 1:
            return iter(dataset.starting_at(*start))

        def local(context):
            """Cuts each batch into parts for the replicas of this worker."""
            size = self.count // context.num_input_pipelines
            first = context.input_pipeline_id * size

            def cut(x):
                rows = dataset.batch_size // self.count
                parts = tf.reshape(
                    x, [self.count, rows, *tf.unstack(tf.shape(x)[1:])]
                )
                return tf.ensure_shape(
                    parts[first : first + size], [size, rows, *x.shape[1:]]
                )

            batches = dataset.starting_at(*start)
            return batches.map(lambda batch: Batch(*map(cut, batch))).unbatch()

        distribute = self.strategy.distribute_datasets_from_function
        return iter(distribute(local))

    def run(
        self, step: Callable[..., Any], batch: Any, state: Any
    ) -> tuple[Any, Any]:
        """Runs a step on each replica, in a graph.

        Args:
            step: `step(batch, state)` returns a value that is the same on all
                replicas, and the state.
            batch: As the iterator yields it.
            state: As `scatter` returns it.

        Returns:
            The value from one replica, and the state of all replicas.
        """
        value, after = self.strategy.run(step, args=(batch, state))
        for old, new in zip(
            tf.nest.flatten(state), tf.nest.flatten(after), strict=True
        ):
            if isinstance(new, tf.Tensor):  # Workers lose the number of rows.
                new.set_shape(old.shape)
        return self.strategy.experimental_local_results(value)[0], after

    def scatter(self, state: Any) -> Any:
        """Splits a state by replica."""
        if self.count == 1:
            return tf.nest.map_structure(tf.convert_to_tensor, state)

        def rows(array):
            def of_replica(context):
                index = context.replica_id_in_sync_group
                return tf.split(array, self.count)[index]

            distribute = (
                self.strategy.experimental_distribute_values_from_function
            )
            values = distribute(of_replica)
            # On a worker with one device, as `strategy.run` returns it.
            local = self.strategy.experimental_local_results(values)
            return local[0] if len(local) == 1 else values

        return tf.nest.map_structure(rows, state)

    def gather(self, state: Any) -> list[np.ndarray]:
        """Puts the rows of all replicas together, for each tensor."""
        tensors = tf.nest.flatten(state)
        if self.count > 1:
            tensors = self._gather_rows(tensors)
        return [x.numpy() for x in tensors]

    # TensorFlow's own function would trace anew at each call among workers.
    @tf.function(autograph=False)
    def _gather_rows(self, tensors):
        return [self.strategy.gather(rows, axis=0) for rows in tensors]

    def update_if(
        self, condition: tf.Tensor, update: Callable[..., None], *args: Any
    ) -> None:
        """Updates variables, in a step, if a condition holds.

        Args:
            condition: A scalar bool on which all replicas agree.
            update: `update(*args)` updates the variables.
            *args: This replica's arguments.
        """
        if not tf.distribute.has_strategy():
            _call_if(condition, lambda: update(*args))
            return

        # An update waits for the other replicas. So it cannot be in a branch
        # of one replica, but each replica can be in a branch of all.
        def across(strategy, condition, *args):
            each = strategy.extended.call_for_each_replica
            _call_if(
                strategy.experimental_local_results(condition)[0],
                lambda: each(update, args=args),
            )

        context = tf.distribute.get_replica_context()
        context.merge_call(across, args=(condition, *args))


def sum_over_replicas(values: Any) -> Any:
    """Adds up tensors over all replicas, inside a step; None stays None."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    flat = tf.nest.flatten(values)
    # A variable that the loss does not depend on has no gradient.
    there = [x for x in flat if x is not None]
    sums = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, there))
    flat = [x if x is None else next(sums) for x in flat]
    return tf.nest.pack_sequence_as(values, flat)


def same_on_all(value: Any, dtype: tf.DType, name: str) -> tf.Variable:
    """Makes a variable that each replica updates in the same way.

    It is not trained, and may be assigned inside a step.
    """
    return tf.Variable(
        tf.cast(value, dtype),
        trainable=False,
        name=name,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def replica_id() -> tf.Tensor | int:
    """Returns the number of this replica, inside a step."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def _call_if(condition, function):
    def call():
        function()
        return True

    tf.cond(condition, call, lambda: False)
