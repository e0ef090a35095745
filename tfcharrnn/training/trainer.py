"""The training loop: several steps a call, on the device, until a step."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.data import Batch, Continuable, Dataset
from tfcharrnn.nn.dropout import Noise
from tfcharrnn.training import losses, states
from tfcharrnn.training.averages import Averages
from tfcharrnn.training.evaluator import Evaluator
from tfcharrnn.training.metrics import Layout, Metrics, Pairs, Sums, Windows
from tfcharrnn.training.record import Record
from tfcharrnn.training.replicas import (
    Replicas,
    replica_id,
    sum_over_replicas,
)
from tfcharrnn.training.schedules import Schedule

Callback = Callable[['Trainer', Metrics], None]

# A compiled call makes as many steps as take about this long: Python is then
# out of the way, and Ctrl-C is still answered soon.
_SECONDS_PER_LOOP = 0.5
_MAX_STEPS_PER_LOOP = 1024

# Where one of these is not finite, the step is not made.
_FINITE = ('loss', 'gradient_norm')


class Trainer:
    """Trains a model on a dataset, in compiled loops, up to a global step.

        for batch in dataset:                         # several steps a call
            state = zero where batch.reset, else state
            loss, state = compute_loss(batch, state)  # yours to override
            update the weights by the clipped gradient of loss

    The trainer holds the step, the state and a record. A `Checkpointer` saves
    all three, so that training that was cut off goes on bit for bit. It trains
    on one dataset; several, one after the other, are the stages of a
    curriculum: see `curricula.train`. The model is anything that has
    `__call__(inputs, state, training)`, `initial_state(batch_size)` and
    `trainable_variables`.

        >>> from tfcharrnn import CharRNN, data
        >>> model = CharRNN(3, embedding_dim=4, rnn_units=8)
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
        dataset: What it trains on; None before the first step, and after a
            checkpoint was restored.
        record: What a restart must know, where in the dataset training stands
            among it. Callbacks of your own keep theirs in `record.notes`.
        averages: The moving averages of the weights; see `Averages`.
        replicas: What shares the rows of a batch among devices.
        stop_training: A callback sets it to True to stop training.
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
            optimizer: Any Keras optimizer, without clipping of its own.
            clip_norm: Scales the gradient down where its norm, over all
                variables and replicas, is larger (arXiv 1211.5063).
            average: The decay of a moving average of the weights, such as
                0.999, with which the model is then evaluated; see `Averages`.
                None for no average.
            dropout_schedule: Multiplies the model's dropout rates at each
                step, by 0 to 1, such as `schedules.linear`; None for 1.
            steps_per_loop: The most steps in one compiled call; None for as
                many as fit in about half a second. It changes no result.
            seed: Seed of the random numbers that training draws for dropout.

        Raises:
            ValueError: If `clip_norm` or `steps_per_loop` is not positive, or
                `average` not below 1.
        """
        if clip_norm is not None:
            clip_norm = checks.number('clip_norm', clip_norm, above=0.0)
        if steps_per_loop is not None:
            checks.whole_number('steps_per_loop', steps_per_loop)
        self.model = model
        self.optimizer = optimizer
        self.record = Record()
        self.dataset: Dataset | None = None
        self.stop_training = False
        self.replicas = Replicas()
        self.averages = Averages(model, average)
        self.windows = Windows()
        self.step_variable = tf.Variable(
            0,
            dtype=tf.int64,
            trainable=False,
            name='step',
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._clip_norm = clip_norm
        self._dropout_schedule = dropout_schedule
        self._steps_per_loop = steps_per_loop
        self._fitting_steps = 0  # How many fit in a call; 0: not known yet.
        self._seed = seed
        self._state: Any = None
        self._restored_state: list[np.ndarray] | None = None
        self._layout = Layout()
        self._evaluator = Evaluator(model, self.compute_loss)
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
        *,
        until: Callable[[], bool] | None = None,
    ) -> Metrics:
        """Trains until the GLOBAL step is `steps`.

        Where that step is reached already, nothing happens: a program that
        restores a checkpoint and then trains can be started any number of
        times. Called again, it goes on where it stopped in `dataset`, with its
        state.

        Args:
            dataset: `data.Batches`, or anything like it (see `data.Dataset`).
            steps: The global step to stop at.
            callbacks: Called with the trainer and the metrics: after each loop
                of steps; or, if made by `callbacks.every(n, ...)`, at each
                step that is a multiple of n, with the metrics since the last
                multiple. Those called at one step for one n share the dict of
                metrics: what one adds, the next ones see.
            until: Asked after the callbacks; True ends this call.

        Returns:
            Means over the steps of this call: 'loss' (nats per character),
            'bits_per_char', 'perplexity', 'accuracy', 'gradient_norm' (before
            clipping); and 'num_chars', 'chars_per_second', and the
            'learning_rate' of the next step. Empty if there was nothing to do.

        Raises:
            FloatingPointError: If a loss or the norm of a gradient is not
                finite; it names the step, which was not made.
            ValueError: If the restored state does not fit `dataset`, or it is
                another one than before.
        """
        callbacks = [(getattr(c, 'call_every', None), c) for c in callbacks]
        self.stop_training = False
        iterator, whole = None, Sums()
        while self.step < steps and not self.stop_training:
            if iterator is None:
                self._enter(dataset)
                # Another period would lack the steps that are made now.
                self.windows.keep(p for p, _ in callbacks if p)
                place = self.record.place
                iterator = self.replicas.iterate(
                    dataset, place.position, place.num_read
                )
            pairs = self._run_loop(iterator, self._next_loop(steps, callbacks))
            for each in pairs:
                whole.add(each)
            self._call(callbacks, pairs)
            if until is not None and until():
                break
        return self._means(whole)

    def begin(self, dataset: Dataset, after: Dataset | None = None) -> None:
        """Turns to another dataset.

        Its rows and their states go on where they are if `dataset` has the
        rows of the one before, as two `data.sequences` of a text with the same
        `batch_size` have. Else it starts at its beginning, from the zero state.

        Args:
            dataset: What to train on next.
            after: The dataset before it; None: the one trained on.
        """
        place, after = self.record.place, after or self.dataset
        num_read = 0
        if after is not None and isinstance(dataset, Continuable):
            num_read = dataset.num_read_after(
                after, place.position, place.num_read
            )
        if not num_read:
            self._state = self._restored_state = None
        place.position, place.num_read = 0, num_read
        self.dataset = dataset

    def evaluate(self, dataset: Dataset) -> Metrics:
        """Measures the model over one pass, with a state of its own.

        Where weights are averaged, it measures the averages. Nothing that
        training goes on from is touched.

        Args:
            dataset: `data.Batches`, or anything like it (see `data.Dataset`).

        Returns:
            As `Evaluator.evaluate`.
        """
        with self.averaged():
            return self._evaluator.evaluate(dataset)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Puts the averages in the place of the weights, inside of `with`.

        Without `average`, or before the first step, the weights stay.
        """
        return (
            self.averages.applied() if self.step else contextlib.nullcontext()
        )

    def compute_loss(
        self, batch: Batch, state: Any, training: bool | Noise
    ) -> tuple[Pairs, Any]:
        """Runs the model on a batch; override it for another objective.

        Args:
            batch: The batch, or this replica's rows of it.
            state: The state of these rows; zero where they were reset.
            training: To be passed on to the model: False in an evaluation, and
                the `Noise` of the step in training, which is true.

        Returns:
            Pairs (sum, count) by name, and the state after the batch. The
            'loss' is what training minimises, as sum / count over the whole
            batch; the others are metrics.
        """
        return losses.of_next_character(self.model, batch, state, training)

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
        with tf.GradientTape() as tape:
            pairs, state = self.compute_loss(batch, state, self._noise())
            pairs_of_all = sum_over_replicas(pairs)
            count = tf.maximum(pairs_of_all['loss'][1], 1.0)
            loss = pairs['loss'][0] / count
        gradients = tape.gradient(loss, self.model.trainable_variables)
        return pairs_of_all, _dense(gradients), state

    def apply_gradients(self, gradients: list[tf.Tensor | None]) -> tf.Tensor:
        """Updates the weights by the sum of the replicas' gradients, clipped.

        Where the sum is not finite, it updates nothing.

        Args:
            gradients: One for each trainable variable of the model.

        Returns:
            The norm of the sum before clipping, a scalar.
        """
        gradients = sum_over_replicas(_dense(gradients))
        norm = tf.linalg.global_norm(gradients)
        # Keras adds up over the replicas once more.
        scale = 1.0 / self.replicas.count
        if self._clip_norm:
            scale *= self._clip_norm / tf.maximum(norm, self._clip_norm)
        self.replicas.update_if(
            tf.math.is_finite(norm), lambda: self._update(gradients, scale)
        )
        return norm

    def step_seed(self) -> tf.Tensor:
        """Returns two integers that are a function of seed, step and replica.

        For the random numbers of a step, in graph mode.
        """
        fold_in = tf.random.experimental.stateless_fold_in
        seed = tf.constant([self._seed & 0x7FFFFFFF, self._seed >> 31])
        seed = fold_in(seed, self.step_variable)
        return fold_in(seed, replica_id())

    def metrics_since(self, period: int) -> Metrics:
        """Returns the metrics since the last multiple of a callback's period.

        For what is to be told at a step that is no multiple, the last. Empty
        if there was no step since, or no callback has this period.
        """
        return self._means(self.windows.since(period))

    def state_arrays(self) -> list[np.ndarray]:
        """Returns the state: arrays with one row for each row of the batch."""
        if self._restored_state is not None:
            return self._restored_state
        # None of both: nothing was trained yet.
        return [] if self._state is None else self.replicas.gather(self._state)

    def restore(
        self, record: Record, windows: Windows, state: list[np.ndarray]
    ) -> None:
        """Goes on from what a checkpoint holds besides the variables.

        Args:
            record: As `record`.
            windows: As `windows`.
            state: As `state_arrays` returned it.
        """
        self.record, self.windows = record, windows
        self._restored_state = state
        self.dataset = self._state = None

    def _noise(self) -> Noise:
        share = None
        if self._dropout_schedule is not None:
            share = self._dropout_schedule(self.step_variable)
        return Noise(self.step_seed(), share)

    def _update(self, gradients, scale):
        gradients = [g if g is None else g * scale for g in gradients]
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.averages.update(self.step_variable)

    def _enter(self, dataset):
        """Makes the state ready to go on in a dataset."""
        if self.dataset is not None and self.dataset is not dataset:
            raise ValueError(
                'The trainer was given another dataset than before. Make both '
                'stages of a curriculum, `curricula.train(trainer, [Stage(a, '
                'steps=100), Stage(b, steps=200)])`, which can be started '
                'again; or call `trainer.begin(b)` first.'
            )
        self.dataset = dataset
        if self._state is None:
            self.replicas.check_rows(dataset)
            state = self.model.initial_state(dataset.batch_size)
            state = states.lay_out(self._restored_state or (), state)
            self._state = self.replicas.scatter(state)
        self._restored_state = None

    def _next_loop(self, steps, callbacks):
        """Returns how many steps to make before Python is needed again."""
        step = self.step
        size = self._steps_per_loop or max(1, self._fitting_steps)
        until = [steps - step]
        until += [period - step % period for period, _ in callbacks if period]
        return math.ceil(min(size, *until))

    def _run_loop(self, iterator, num_steps):
        """Makes steps; returns the pairs of each."""
        first, start = self.step, time.perf_counter()
        try:
            vectors, self._state = self._train_loop(
                iterator, self._state, tf.constant(num_steps)
            )
        except tf.errors.InvalidArgumentError as error:
            if 'The gradient is not finite' not in str(error):
                raise
            raise _not_finite('gradient_norm', math.nan, self.step) from error
        all_pairs = self._layout.unpack(vectors)
        seconds = (time.perf_counter() - start) / len(all_pairs)
        self.record.place.position += self.step - first
        for name in _FINITE:
            total, count = all_pairs[-1].get(name, (0.0, 1.0))
            if not math.isfinite(total):
                raise _not_finite(name, total / count, self.step)
        if self._fitting_steps:
            fitting = min(_SECONDS_PER_LOOP / seconds, _MAX_STEPS_PER_LOOP)
            self._fitting_steps = min(2 * self._fitting_steps, int(fitting))
        else:  # The first call has traced and compiled, and tells nothing.
            self._fitting_steps = 1
        for pairs in all_pairs:
            pairs['seconds'] = (seconds, 1.0)
        return all_pairs

    def _call(self, callbacks, all_pairs):
        """Calls those that are due, with the metrics of their period."""
        periods = {period for period, _ in callbacks if period}
        due = dict(self.windows.add(all_pairs, periods, self.step))
        if any(period is None for period, _ in callbacks):
            due[None] = Sums()
            for pairs in all_pairs:
                due[None].add(pairs)
        metrics = {period: self._means(sums) for period, sums in due.items()}
        for period, callback in callbacks:
            if period in metrics:
                callback(self, metrics[period])

    def _means(self, sums):
        metrics = sums.means()
        if metrics:
            rate = tf.convert_to_tensor(self.optimizer.learning_rate)
            metrics['learning_rate'] = float(rate)
        return metrics

    @tf.function(autograph=False)
    def _train_loop(self, iterator, state, num_steps):
        """Makes steps: `num_steps`, or up to one that is not finite."""

        def step(batch, state):
            before = state
            state = states.reset_rows(self.model, state, batch.reset)
            pairs, state = self.train_step(batch, state)
            sums = [pairs[name][0] for name in _FINITE if name in pairs]
            finite = tf.reduce_all(tf.math.is_finite(sums))
            self.step_variable.assign_add(tf.cast(finite, tf.int64))
            state = states.keep_where(finite, state, before)
            return (self._layout.pack(pairs), finite), state

        def body(i, state, _, vectors):
            batch = iterator.get_next()
            (vector, finite), state = self.replicas.run(step, batch, state)
            return i + 1, state, finite, vectors.write(i, vector)

        vectors = tf.TensorArray(tf.float32, 0, True, element_shape=[None])
        _, state, _, vectors = tf.while_loop(
            lambda i, state, finite, _: (i < num_steps) & finite,
            body,
            (0, state, True, vectors),
            parallel_iterations=1,
        )
        return vectors.stack(), state


def _not_finite(name: str, value: float, step: int) -> FloatingPointError:
    return FloatingPointError(
        f'The {name} became {value} at step {step + 1}, which was not made: '
        f'the weights are those of step {step}. Go on from the last checkpoint '
        'with a smaller learning rate (assigned after `restore`, which brings '
        'back the old one), or with `clip_norm`.'
    )


def _dense(gradients):
    """Adds up the rows of sparse gradients that are of one character.

    Keras' optimizers would square them before.
    """
    return [g if g is None else tf.convert_to_tensor(g) for g in gradients]
