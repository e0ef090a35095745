"""The training loop: several steps a call, on the device, until a step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from tfcharrnn.data.batches import Batch
from tfcharrnn.nn import dropout as regularization
from tfcharrnn.training import losses
from tfcharrnn.training.schedules import Schedule

Metrics = dict[str, float]
Callback = Callable[['Trainer', Metrics], None]
Pairs = dict[str, losses.Sum]

# A compiled call makes as many steps as take about this long: Python is then
# out of the way, and Ctrl-C is still answered soon.
_SECONDS_PER_LOOP = 0.5
_MAX_STEPS_PER_LOOP = 1024

# Where one of these is not finite, the weights are lost.
_FINITE = ('loss', 'gradient_norm')


class Dataset(Protocol):
    """What the trainer needs of its data; `data.Batches` has it.

    One whose rows can go on where those of another stopped has besides
    `num_read_after` and the `num_read` of `starting_at`, as `data.Streams`.
    """

    batch_size: int

    def __len__(self) -> int:
        """The number of batches in a pass."""

    def starting_at(self, position: int) -> tf.data.Dataset:
        """Makes the endless dataset of `Batch`es from number `position` on."""


class Trainer:
    """Trains a model on batches, in compiled loops, up to a global step.

        for batch in dataset:                         # several steps a call
            state = zero where batch.reset, else state
            loss, state = compute_loss(batch, state)  # yours to override
            update the weights by the clipped gradient of loss

    The trainer holds the state, the place in the data and the step. A
    `Checkpointer` saves all three, so that training that was cut off goes on
    bit for bit. The model is anything that has `__call__(inputs, state,
    training)`, `initial_state(batch_size)` and `trainable_variables`.

        >>> from tfcharrnn.data import batches as data
        >>> from tfcharrnn.nn import char_rnn as model
        >>> model = model.CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> trainer = Trainer(model, tf.keras.optimizers.Adam(0.1))
        >>> text = np.tile([0, 1, 2], 100)
        >>> dataset = data.sequences(text, seq_length=10, batch_size=4)
        >>> metrics = trainer.train(dataset, steps=20)
        >>> trainer.step
        20
        >>> trainer.evaluate(dataset)['accuracy'] > 0.9
        True

    Make it, like model and optimizer, inside of `strategy.scope()` to train on
    several devices: each trains its share of the rows, and the gradient is
    that of the whole batch.

    Attributes:
        model: The model.
        optimizer: The Keras optimizer.
        position: Number of the next batch, counted from the dataset's first.
        record: A JSON-able dict in which callbacks keep what a restart must
            know, such as the best loss so far. It is saved with the rest.
        strategy: What it was made in the scope of.
        averages: A variable for each trainable one of the model, its moving
            average; empty without `average`.
        stop_training: Set to True, by a callback, it stops training.
    """

    def __init__(
        self,
        model: Any,
        optimizer: tf.keras.optimizers.Optimizer,
        *,
        clip_norm: float | None = None,
        average: float | None = None,
        dropout_schedule: Schedule | None = None,
        steps_per_loop: int | None = None,
        seed: int = 0,
    ):
        """Prepares the training of `model` by `optimizer`.

        Args:
            model: What to train; see above.
            optimizer: Any Keras optimizer, with no clipping of its own.
            clip_norm: Scales the gradient down where its norm, over all
                variables and replicas, is larger (arXiv 1211.5063).
            average: The memory of an exponential moving average of the
                weights, such as 0.999 (Polyak and Juditsky 1992), with which
                the model is then evaluated; see `averaged`. None for none.
            dropout_schedule: Of the share of the model's dropout that is in
                force at a step, from 0 to 1, such as `schedules.linear`; None
                for all of it.
            steps_per_loop: Steps in one compiled call, at most; None for as
                many as fit in about half a second. It changes no result.
            seed: Of the random numbers that training draws: dropout's.

        Raises:
            ValueError: If `clip_norm` or `steps_per_loop` is not positive, or
                `average` not below 1.
        """
        _check_positive('clip_norm', clip_norm)
        _check_positive('average', average)
        if average is not None and not average < 1.0:
            raise ValueError(f'`average` is {average!r}, but must be below 1.')
        _check_positive('steps_per_loop', steps_per_loop)
        self.model = model
        self.optimizer = optimizer
        self.position = 0
        self.record: dict[str, Any] = {}
        self.stop_training = False
        self._clip_norm = clip_norm
        self._steps_per_loop = steps_per_loop
        self._fitting_steps = 0  # How many fit in a call; 0: not known yet.
        self._seed = seed
        self.strategy = tf.distribute.get_strategy()
        self.step_variable = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name='step',
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._dropout_schedule = dropout_schedule
        self._average = average
        self.averages = [] if average is None else self._make_averages()
        # The dataset that `train` was given last, and how many there were.
        self._given = None
        self._num_given = 0
        # Which of them position and state are of, and how many characters of
        # each row had been read when it was begun.
        self._dataset = None
        self._number = 0
        self._num_read = 0
        self._state = None
        self._restored_state: list[np.ndarray] | None = None
        # Sums since the last multiple of each period at which one is called.
        self._windows: dict[int | None, losses.Sums] = {}
        # Of the pairs, as tracing found them: in training, in evaluation.
        self._names: dict[str, list[str]] = {}
        optimizer.build(model.trainable_variables)
        # Compiled, an optimizer passes over the weights once, not ten times.
        # Among replicas it has to wait for the others, which no function can.
        if not tf.distribute.has_strategy():
            self._update = tf.function(
                self._update, autograph=False, jit_compile=True
            )

    @property
    def step(self) -> int:
        """The number of updates made since the weights were new."""
        return int(self.step_variable.numpy())

    def train(
        self,
        dataset: Dataset,
        steps: int,
        callbacks: Iterable[Callback] = (),
    ) -> Metrics:
        """Trains until the GLOBAL step is `steps`.

        Where that step is reached already, nothing happens: a program that
        restores a checkpoint and then trains can be started any number of
        times. The same `dataset` goes on where it stopped, with its state.
        Another one starts at its beginning, from the zero state; only if it
        has the rows of the one before, as two `data.sequences` of a text with
        the same `batch_size` have, all rows and states go on where they are.

        A checkpoint knows on which of the datasets it was made: the first, the
        second. So a program that trains on several, one after the other, is
        started again as it is, and gives all of them again in their order.

        Args:
            dataset: `data.Batches`, or anything like it (see `Dataset`).
            steps: The global step to stop at.
            callbacks: Called with the trainer and the metrics: after each loop
                of steps; or, if made by `callbacks.every(n, ...)`, at each
                step that is a multiple of n, with the metrics since the last
                multiple. Those called at one step for one n share the dict of
                metrics: what one adds, the next ones see.

        Returns:
            Means over the steps of this call: 'loss' (nats per character),
            'bits_per_char', 'perplexity', 'accuracy', 'gradient_norm' (before
            clipping); and 'num_chars', 'chars_per_second', and the
            'learning_rate' of the next step. Empty if there was nothing to do.

        Raises:
            FloatingPointError: If a loss or the norm of a gradient is not
                finite; it names the step.
            ValueError: If the state that was restored does not fit `dataset`.
        """
        callbacks = [(getattr(c, 'call_every', None), c) for c in callbacks]
        self.stop_training = False
        self._give(dataset)
        iterator = None
        whole = losses.Sums()
        while self.step < steps and not self.stop_training:
            if iterator is None:
                self._enter(dataset, callbacks)
                iterator = self._iterate(dataset, self.position, self._num_read)
            pairs = self._run_loop(iterator, self._next_loop(steps, callbacks))
            for each in pairs:
                whole.add(each)
            self._call(callbacks, pairs)
        return self._means(whole)

    def evaluate(self, dataset: Dataset) -> Metrics:
        """Measures the model over one pass, with a state of its own.

        Where weights are averaged, it measures the averages. Nothing that
        training goes on from is touched.

        Args:
            dataset: `data.Batches`, or anything like it (see `Dataset`).

        Returns:
            Means over all characters of the pass: 'loss' (nats per
            character), 'bits_per_char', 'perplexity', 'accuracy'; and
            'num_chars'.
        """
        self._check_rows(dataset)
        iterator = self._iterate(dataset, position=0)
        state = self._scatter(self.model.initial_state(dataset.batch_size))
        num_batches = tf.constant(len(dataset))
        with self.averaged():
            vectors = self._evaluate_loop(iterator, state, num_batches)
        sums = losses.Sums()
        for pairs in self._unpack('evaluate', vectors):
            sums.add(pairs)
        return sums.means()

    def compute_loss(
        self, batch: Batch, state: Any, training: bool | tf.Tensor
    ) -> tuple[Pairs, Any]:
        """Runs the model on a batch; override it for another objective.

        Args:
            batch: The batch, or this replica's rows of it.
            state: The state of these rows; zero where they were reset.
            training: To be passed on to the model.

        Returns:
            Pairs (sum, count) by name, and the state after the batch. The
            'loss' is what training minimises, as sum / count over the whole
            batch; the others are metrics.
        """
        logits, state = self.model(batch.inputs, state, training=training)
        pairs = {
            'loss': losses.cross_entropy(logits, batch.targets, batch.mask),
            'accuracy': losses.accuracy(logits, batch.targets, batch.mask),
        }
        return pairs, state

    def train_step(self, batch: Batch, state: Any) -> tuple[Pairs, Any]:
        """Makes one update; override it for another way to update.

        It runs in graph mode, once for each replica.

        Args:
            batch: The batch, or this replica's rows of it.
            state: The state of these rows; zero where they were reset.

        Returns:
            Pairs (sum, count) by name, summed over the replicas, and the
            state after the batch.
        """
        pairs, gradients, state = self.compute_gradients(batch, state)
        norm = self.apply_gradients(gradients)
        return {**pairs, 'gradient_norm': (norm, tf.ones([]))}, state

    def compute_gradients(
        self, batch: Batch, state: Any
    ) -> tuple[Pairs, list[tf.Tensor | None], Any]:
        """Differentiates the mean loss of the batch; for a `train_step`.

        Called twice in a step, it draws the same dropout twice.

        Args:
            batch: As for `train_step`.
            state: As for `train_step`.

        Returns:
            Pairs (sum, count) by name, summed over the replicas; this
            replica's share of the gradient for each trainable variable, whose
            sum is the gradient; and the state after the batch.
        """
        variables = self.model.trainable_variables
        with self._scaled_dropout(), tf.GradientTape() as tape:
            pairs, state = self.compute_loss(batch, state, self._step_seed())
            pairs_of_all = _sum_over_replicas(pairs)
            count = tf.maximum(pairs_of_all['loss'][1], 1.0)
            loss = pairs['loss'][0] / count
        return pairs_of_all, _dense(tape.gradient(loss, variables)), state

    def _scaled_dropout(self):
        if self._dropout_schedule is None:
            return contextlib.nullcontext()
        share = self._dropout_schedule(self.step_variable)
        return regularization.scaled(share)

    def apply_gradients(self, gradients: list[tf.Tensor | None]) -> tf.Tensor:
        """Updates the weights by the sum of the replicas' gradients, clipped.

        Args:
            gradients: One for each trainable variable of the model.

        Returns:
            The norm of the sum before clipping, a scalar.
        """
        gradients = _sum_over_replicas(_dense(gradients))
        norm = tf.linalg.global_norm(gradients)
        # Keras adds up over the replicas once more.
        scale = 1.0 / self.strategy.num_replicas_in_sync
        if self._clip_norm:
            scale *= self._clip_norm / tf.maximum(norm, self._clip_norm)
        self._update(gradients, scale)
        return norm

    def _update(self, gradients, scale):
        gradients = [g if g is None else g * scale for g in gradients]
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        if self.averages:
            # It is the mean of all while there are few, not mostly the first.
            step = tf.cast(self.step_variable, tf.float32)
            weight = tf.maximum(1.0 - self._average, 1.0 / (step + 1.0))
            for average, variable in zip(self.averages, variables, strict=True):
                average.assign_add(weight * (variable - average))

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the averages in place of the weights, inside of `with`.

            average += max(1 - memory, 1 / step) * (weights - average)

        Without `average`, or before the first step, the weights stay.
        """
        averages = self.averages if self.step else ()
        variables = self.model.trainable_variables
        pairs = list(zip(variables, averages, strict=bool(averages)))
        weights = [tf.identity(variable) for variable, _ in pairs]
        for variable, average in pairs:
            variable.assign(average)
        try:
            yield
        finally:
            for (variable, _), weight in zip(pairs, weights, strict=True):
                variable.assign(weight)

    def _make_averages(self):
        return [
            tf.Variable(
                variable,
                trainable=False,
                name='average',
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for variable in self.model.trainable_variables
        ]

    def metrics_since(self, period: int) -> Metrics:
        """Returns the metrics since the last multiple of a callback's period.

        For what is to be told at a step that is no multiple, the last. Empty
        if there was no step since, or no callback has this period.
        """
        return self._means(self._windows.get(period, losses.Sums()))

    @property
    def progress(self) -> dict[str, Any]:
        """What training goes on from, next to the variables.

        A dict of JSON-able values, but for 'state': a list of arrays that have
        one row for each row of the batch. Set it to go on from there.
        """
        state = self._restored_state
        if state is None:  # None of both: nothing was trained yet.
            state = () if self._state is None else self._state
            state = self._gather(tf.nest.flatten(state))
        return {
            'position': self.position,
            'dataset': self._number,
            'num_read': self._num_read,
            'record': self.record,
            'windows': {k: v.pairs for k, v in self._windows.items()},
            'state': state,
        }

    @progress.setter
    def progress(self, progress: dict[str, Any]) -> None:
        self.position = progress['position']
        # Older checkpoints know of a single dataset.
        self._number = progress.get('dataset', 1)
        self._num_read = progress.get('num_read', 0)
        self.record = progress['record']
        windows = progress['windows'].items()
        self._windows = {int(k): losses.Sums(v) for k, v in windows}
        self._restored_state = progress['state']
        self._dataset = self._state = self._given = None
        self._num_given = 0

    def _enter(self, dataset, callbacks):
        """Makes windows, state and position ready to go on."""
        periods = {period for period, _ in callbacks}
        # Another one would lack the steps that are made now.
        self._windows = {
            k: window for k, window in self._windows.items() if k in periods
        }
        if dataset is not self._dataset:
            self._check_rows(dataset)
            fresh = self._dataset is None and self._restored_state is None
            if not fresh and self._num_given > self._number:
                self._begin(dataset)
        if self._state is None:
            self._check_rows(dataset)
            state = self.model.initial_state(dataset.batch_size)
            if self._restored_state is not None:
                state = _fit(self._restored_state, state)
            self._state = self._scatter(state)
        self._restored_state = None
        self._dataset, self._number = dataset, self._num_given

    def _give(self, dataset):
        """Counts datasets, those too on which there is nothing left to do."""
        if dataset is not self._given:
            self._given = dataset
            self._num_given += 1
        # This is the one on which the restored checkpoint was made.
        if self._dataset is None and self._num_given == self._number:
            self._dataset = dataset

    def _begin(self, dataset):
        """Turns to another dataset; keeps the state where its rows go on."""
        after = getattr(dataset, 'num_read_after', None)
        num_read = 0
        if after and self._dataset is not None:
            num_read = after(self._dataset, self.position, self._num_read)
        if not num_read:
            self._state = self._restored_state = None
        self.position, self._num_read = 0, num_read

    def _next_loop(self, steps, callbacks):
        """Returns how many steps to make before Python is needed again."""
        step = self.step
        size = self._steps_per_loop or max(1, self._fitting_steps)
        until = [steps - step]
        until += [period - step % period for period, _ in callbacks if period]
        return math.ceil(min(size, *until))

    def _run_loop(self, iterator, num_steps):
        """Makes steps; returns the pairs of each."""
        start = time.perf_counter()
        vectors, self._state = self._train_loop(
            iterator, self._state, tf.constant(num_steps)
        )
        all_pairs = self._unpack('train', vectors)
        seconds = (time.perf_counter() - start) / len(all_pairs)
        self.position += len(all_pairs)
        self._check_finite(all_pairs[-1])
        if self._fitting_steps:
            fitting = min(_SECONDS_PER_LOOP / seconds, _MAX_STEPS_PER_LOOP)
            self._fitting_steps = min(2 * self._fitting_steps, int(fitting))
        else:  # The first call has traced and compiled, and tells nothing.
            self._fitting_steps = 1
        for pairs in all_pairs:
            pairs['seconds'] = (seconds, 1.0)
        return all_pairs

    def _check_finite(self, pairs):
        for name in _FINITE:
            total, count = pairs.get(name, (0.0, 1.0))
            if not math.isfinite(total):
                raise FloatingPointError(
                    f'The {name} became {total / count} at step {self.step}, '
                    'and the weights in memory are of no more use; checkpoints '
                    'are as they were. Go on from the last one with a smaller '
                    'learning rate (assigned after `restore`, which brings '
                    'back the old one), or with `clip_norm`.'
                )

    def _call(self, callbacks, all_pairs):
        """Calls those that are due, with the metrics of their period."""
        due = {}
        for period in {period for period, _ in callbacks}:
            window = self._windows.setdefault(period, losses.Sums())
            for pairs in all_pairs:
                window.add(pairs)
            if period is None or self.step % period == 0:
                due[period] = self._means(self._windows.pop(period))
        for period, callback in callbacks:
            if period in due:
                callback(self, due[period])

    def _means(self, sums):
        metrics = sums.means()
        if metrics:
            steps = sums.pairs['seconds'][1]
            seconds = metrics.pop('seconds') * steps
            metrics['chars_per_second'] = metrics['num_chars'] / seconds
            rate = tf.convert_to_tensor(self.optimizer.learning_rate)
            metrics['learning_rate'] = float(rate)
        return metrics

    @tf.function(autograph=False)
    def _train_loop(self, iterator, state, num_steps):
        """Makes steps: `num_steps`, or up to one that is not finite."""

        def step(batch, state):
            state = self._reset(batch, state)
            pairs, state = self.train_step(batch, state)
            self.step_variable.assign_add(1)
            return self._pack('train', pairs), state

        def body(i, state, _, vectors):
            vector, state = self._run(step, iterator.get_next(), state)
            names = self._names['train']
            sums = [vector[2 * names.index(k)] for k in names if k in _FINITE]
            finite = tf.reduce_all(tf.math.is_finite(sums))
            return i + 1, state, finite, vectors.write(i, vector)

        _, state, _, vectors = tf.while_loop(
            lambda i, state, finite, _: (i < num_steps) & finite,
            body,
            (0, state, True, _vectors()),
            parallel_iterations=1,
        )
        return vectors.stack(), state

    @tf.function(autograph=False)
    def _evaluate_loop(self, iterator, state, num_batches):
        """Computes the losses of `num_batches`."""

        def step(batch, state):
            state = self._reset(batch, state)
            pairs, state = self.compute_loss(batch, state, training=False)
            pairs = _sum_over_replicas(pairs)
            return self._pack('evaluate', pairs), state

        def body(i, state, vectors):
            vector, state = self._run(step, iterator.get_next(), state)
            return i + 1, state, vectors.write(i, vector)

        _, _, vectors = tf.while_loop(
            lambda i, *_: i < num_batches,
            body,
            (0, state, _vectors()),
            parallel_iterations=1,
        )
        return vectors.stack()

    def _run(self, step, batch, state):
        vector, after = self.strategy.run(step, args=(batch, state))
        for old, new in zip(
            tf.nest.flatten(state), tf.nest.flatten(after), strict=True
        ):
            if isinstance(new, tf.Tensor):  # Among workers it forgets rows.
                new.set_shape(old.shape)
        return self.strategy.experimental_local_results(vector)[0], after

    def _reset(self, batch, state):
        """Puts the zero state where a row has a new text."""

        def choose(zero, value):
            shape = [-1] + [1] * (value.shape.rank - 1)
            return tf.where(tf.reshape(batch.reset, shape), zero, value)

        zeros = self.model.initial_state(tf.shape(batch.reset)[0])
        return tf.nest.map_structure(choose, zeros, state)

    def _step_seed(self):
        """Returns the seed of this step, and of this replica."""
        fold_in = tf.random.experimental.stateless_fold_in
        seed = tf.constant([self._seed & 0x7FFFFFFF, self._seed >> 31])
        seed = fold_in(seed, self.step_variable)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return fold_in(seed, replica)

    def _pack(self, loop, pairs):
        """Writes pairs as one vector."""
        names = self._names[loop] = sorted(pairs)
        flat = [tf.cast(x, tf.float32) for name in names for x in pairs[name]]
        return tf.stack(flat)

    def _unpack(self, loop, vectors):
        """Reads the pairs of each step from a matrix of such vectors."""
        names = self._names[loop]
        return [
            dict(zip(names, zip(row[::2], row[1::2], strict=True), strict=True))
            for row in vectors.numpy().tolist()
        ]

    def _iterate(self, dataset, position, num_read=0):
        """Returns an iterator over batches, each replica's rows apart."""
        replicas = self.strategy.num_replicas_in_sync
        start = (position, num_read) if num_read else (position,)
        if replicas == 1:
            return iter(dataset.starting_at(*start))

        def local(context):
            """Cuts each batch in as many as this worker has replicas."""
            size = replicas // context.num_input_pipelines
            first = context.input_pipeline_id * size

            def cut(x):
                rows = dataset.batch_size // replicas
                parts = tf.reshape(
                    x, [replicas, rows, *tf.unstack(tf.shape(x)[1:])]
                )
                return tf.ensure_shape(
                    parts[first : first + size], [size, rows, *x.shape[1:]]
                )

            batches = dataset.starting_at(*start)
            return batches.map(lambda batch: Batch(*map(cut, batch))).unbatch()

        datasets = self.strategy.distribute_datasets_from_function(local)
        return iter(datasets)

    def _check_rows(self, dataset):
        replicas = self.strategy.num_replicas_in_sync
        if dataset.batch_size % replicas:
            raise ValueError(
                f'The batches have {dataset.batch_size} rows, which do not '
                f'divide among {replicas} replicas. Use a `batch_size` that is '
                f'a multiple of {replicas}.'
            )

    def _scatter(self, state):
        """Gives each replica its rows of a state."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return tf.nest.map_structure(tf.convert_to_tensor, state)

        def rows(array):
            def of_replica(context):
                index = context.replica_id_in_sync_group
                return tf.split(array, replicas)[index]

            distribute = (
                self.strategy.experimental_distribute_values_from_function
            )
            values = distribute(of_replica)
            # Of a worker with one device, as `strategy.run` returns it.
            local = self.strategy.experimental_local_results(values)
            return local[0] if len(local) == 1 else values

        return tf.nest.map_structure(rows, state)

    def _gather(self, tensors):
        """Puts the rows of all replicas together."""
        several = self.strategy.num_replicas_in_sync > 1
        whole = self._gather_rows(tensors) if several else tensors
        return [x.numpy() for x in whole]

    # Of TensorFlow's own, among workers, each call would trace anew.
    @tf.function(autograph=False)
    def _gather_rows(self, tensors):
        return [self.strategy.gather(rows, axis=0) for rows in tensors]


def _vectors():
    return tf.TensorArray(tf.float32, 0, True, element_shape=[None])


def _dense(gradients):
    """Adds up the rows of sparse gradients that are of one character.

    Keras' optimizers would square them before.
    """
    return [g if g is None else tf.convert_to_tensor(g) for g in gradients]


def _sum_over_replicas(values):
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    flat = tf.nest.flatten(values)
    # A variable that the loss does not depend on has no gradient.
    there = [x for x in flat if x is not None]
    sums = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, there))
    flat = [x if x is None else next(sums) for x in flat]
    return tf.nest.pack_sequence_as(values, flat)


def _fit(arrays, state):
    """Lays restored arrays out like a state, if they have its shapes."""
    expected = [tuple(x.shape) for x in tf.nest.flatten(state)]
    restored = [tuple(x.shape) for x in arrays]
    if arrays and restored != expected:
        raise ValueError(
            f'The restored state has the shapes {restored}, but the model and '
            f'the `batch_size` of the dataset make {expected}. Go on with the '
            '`batch_size` that the training had before.'
        )
    return tf.nest.pack_sequence_as(state, arrays) if arrays else state


def _check_positive(name, value):
    if value is not None and not value > 0:
        raise ValueError(
            f'`{name}` is {value!r}, but must be positive or None.'
        )
