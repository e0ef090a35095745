"""The training loop: several steps a call, on the device, until a step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn.data import Adaptive, Batch, Continuable, Dataset
from tfcharrnn.nn.dropout import Noise
from tfcharrnn.training import loop, signals, states, updates
from tfcharrnn.training.augments import Augment, Augments
from tfcharrnn.training.evaluator import Evaluator
from tfcharrnn.training.metrics import Metrics, Pairs, Sums, Windows
from tfcharrnn.training.objectives import NextCharacter, Objective
from tfcharrnn.training.progress import shown
from tfcharrnn.training.record import Record
from tfcharrnn.training.replicas import Replicas, same_on_all
from tfcharrnn.training.schedules import Schedule

Callback = Callable[['Trainer', Metrics], None]


class Trainer:
    """Trains a model on a dataset, in compiled loops, up to a global step.

        for batch in dataset:                         # several steps a call
            state = zero where batch.reset, else state
            loss, state = compute_loss(batch, state)  # yours to override
            update the weights by the clipped gradient of loss

    The trainer holds the step, the state and a record. A `Checkpointer` saves
    all three, so a run that was killed goes on bit for bit. It trains on one
    dataset; for several in turn see `curricula.train`. The model is anything
    with `__call__(inputs, state, training)`, `initial_state(batch_size)` and
    `trainable_variables`.

        >>> from tfcharrnn import CharRNN, data
        >>> model = CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> trainer = Trainer(model, tf.keras.optimizers.Adam(0.1))
        >>> text = np.tile([0, 1, 2], 100)
        >>> dataset = data.sequences(text, seq_length=10, batch_size=4)
        >>> metrics = trainer.train(dataset, steps=20)
        >>> trainer.step, trainer.evaluate(dataset)['accuracy'] > 0.9
        (20, True)

    To train on several devices, make it inside `strategy.scope()`, like model
    and optimizer. Each device trains on its share of the rows; the gradient is
    that of the whole batch.

    Attributes:
        model: The model.
        optimizer: The Keras optimizer.
        dataset: What it trains on; None before the first step and after
            `restore`.
        record: What a restart must know, such as where in the dataset training
            stands. Your own callbacks keep values in `record.notes`.
        windows: The metrics since the last call of each periodic callback.
        augments: Change each batch; see `Augments`.
        objective: What is minimised; see `Objective`.
        averages: The moving averages of the weights; see `Averages`.
        replicas: Shares the rows of a batch among devices.
        stop_training: A callback sets it to True to stop training.
    """

    def __init__(
        self,
        model: Any,
        optimizer: tf.keras.optimizers.Optimizer,
        *,
        clip_norm: float | None = None,
        average: Schedule | float | None = None,
        objective: Objective | None = None,
        augments: Sequence[Augment] = (),
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
                0.999, or the function `averages.tail(begin)`: the model is
                evaluated with their mean. None for no average.
            objective: What to minimise, such as `Distillation`; None for the
                loss of each next character.
            augments: Change each batch in training, in turn; see `Augment`.
            dropout_schedule: Multiplies the model's dropout rates at each
                step, by 0 to 1, such as `schedules.linear`; None for 1.
            steps_per_loop: The most steps in one compiled call; None for as
                many as fit in about half a second. It changes no result.
            seed: Seed of the random numbers that training draws for dropout.

        Raises:
            ValueError: If `clip_norm` or `steps_per_loop` is not positive, or
                `average` not below 1.
        """
        self.model = model
        self.optimizer = optimizer
        self.dataset: Dataset | None = None
        self.record = Record()
        self.windows = Windows()
        self.replicas = Replicas()
        self.stop_training = False
        self.step_variable = same_on_all(0, tf.int64, 'step')
        self.objective: Objective = objective or NextCharacter(model)
        own = self.objective.own
        self.augments = Augments(augments, dropout_schedule, seed=seed, own=own)
        self._carried = states.Carried(self.objective)
        self._updates = updates.Updates(
            model, optimizer, clip_norm=clip_norm, average=average
        )
        self.averages = self._updates.averages
        self._loop = loop.Loop(self._step, steps_per_loop)
        self._adaptive: Adaptive | None = None  # What the loop is traced with.
        self._evaluator = Evaluator(model, self.compute_loss)

    def __repr__(self) -> str:
        kind = type(self.optimizer).__name__
        return f'<Trainer of {self.model!r} by {kind}, step {self.step:,}>'

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
        progress: bool | None = None,
    ) -> Metrics:
        """Trains until the GLOBAL step is `steps`.

        At or after that step nothing happens, so a program that restores a
        checkpoint and then trains can be started any number of times. Called
        again, it goes on where it stopped in `dataset`, with its state.

        Args:
            dataset: `data.Batches`, or anything like it (see `data.Dataset`).
            steps: The global step to stop at.
            callbacks: Called with the trainer and the metrics: after each loop
                of steps; or, if made by `callbacks.every(n, ...)`, at each
                step that is a multiple of n, with the metrics since the last
                multiple. Those called at one step for one n share the dict of
                metrics: what one adds, the next ones see.
            until: Asked after the callbacks; True ends this call.
            progress: Whether to show the time left; None: on a terminal or in
                a notebook, if there are no callbacks.

        Returns:
            Means over the steps of this call: 'loss' (nats per character),
            'bits_per_char', 'perplexity', 'accuracy', 'gradient_norm' (before
            clipping); and 'num_chars', 'chars_per_second', and the
            'learning_rate' of the next step. Empty if there was nothing to do.

        Raises:
            FloatingPointError: If a loss or the norm of a gradient is not
                finite; it names the step, which was skipped.
            ValueError: If `dataset` is another one than before, or the
                restored state does not fit it.
        """
        with shown(callbacks, steps, progress) as called:
            sums = self._train(dataset, steps, called, until)
            return _means(sums, self.optimizer)

    def _train(self, dataset, steps, callbacks, until):
        calls = [(getattr(c, 'call_every', None), c) for c in callbacks]
        periods = {period for period, _ in calls}
        again = getattr(dataset, 'enter_every', None)
        stops = [*filter(None, (*periods, again))]
        self.stop_training = False
        iterator, whole = None, Sums()
        while self.step < steps and not self.stop_training:
            entering = 0.0
            if iterator is None or (again and self.step % again == 0):
                begun = time.perf_counter()
                self._enter(dataset)
                # Another period would lack the steps that are made now.
                self.windows.keep(periods)
                place = self.record.place
                iterator = self.replicas.iterate(
                    dataset, place.position, place.num_read
                )
                entering = time.perf_counter() - begun
            size = self._loop.size(self.step, steps, stops)
            with signals.deferred():  # The record then fits the weights.
                pairs = self._loop.run(
                    iterator, self._carried, size, spent=entering
                )
                error = loop.not_finite(pairs[-1], self.step)
                made = pairs[:-1] if error else pairs
                self.record.place.position += len(made)
                whole.add_all(made)
                due = made and self.windows.add(made, periods, self.step)
            _call(self, calls, due)
            if error:
                raise error
            if until is not None and until():
                break
        return whole

    def begin(self, dataset: Dataset, after: Dataset | None = None) -> None:
        """Turns to another dataset.

        Rows and states go on where they are if `dataset` has the rows of the
        one before, as two `data.sequences` of a text with the same `batch_size`
        have. Otherwise it starts at its beginning, from the zero state.

        Args:
            dataset: What to train on next.
            after: The dataset before it; None: the one trained on.
        """
        place, num_read = self.record.place, 0
        after = self.dataset if after is None else after
        if after is not None and isinstance(dataset, Continuable):
            num_read = dataset.num_read_after(
                after, place.position, place.num_read
            )
        if not num_read:
            self._carried.reset()
        place.position, place.num_read = 0, num_read
        place.choices = place.measured = None
        self.dataset = dataset

    def evaluate(self, dataset: Dataset) -> Metrics:
        """Measures the model over one pass; training stays as it is.

        If weights are averaged, it measures the averages.

        Args:
            dataset: `data.Batches`, or anything like it (see `data.Dataset`).

        Returns:
            As `Evaluator.evaluate`.
        """
        with self.averaged():
            return self._evaluator.evaluate(dataset)

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Replaces the weights by their averages inside a `with` block.

        Without `average`, or before the first step, the weights stay.
        """
        averages = self.averages
        return averages.applied() if self.step else contextlib.nullcontext()

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
            'objective', if there is one, or else the 'loss' is what training
            minimises, as sum / count over the whole batch.
        """
        return self.objective(batch, state, training)

    def train_step(self, batch: Batch, state: Any) -> tuple[Pairs, Any]:
        """Makes one update; override it for another way to update.

        It runs in graph mode, once for each replica. Update the weights by
        `apply_gradients`, which skips gradients that are not finite; what else
        you update, guard by `replicas.update_if`.

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
    ) -> tuple[Pairs, updates.Gradients, Any]:
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
        batch, noise = self.augments(batch, state, step=self.step_variable)
        return updates.differentiate(
            lambda: self.compute_loss(batch, state, noise),
            self.model.trainable_variables,
        )

    def apply_gradients(self, gradients: updates.Gradients) -> tf.Tensor:
        """Updates the weights by the sum of the replicas' gradients, clipped.

        A sum that is not finite updates nothing; a loss that is not finite
        makes the sum so.

        Args:
            gradients: One for each trainable variable of the model.

        Returns:
            The norm of the sum before clipping, a scalar.
        """
        return self._updates.apply(gradients, self.step_variable)

    def step_seed(self) -> tf.Tensor:
        """Returns two integers, a function of seed, step and replica."""
        return self.augments.step_seed(self.step_variable)

    def metrics_since(self, period: int) -> Metrics:
        """Returns the metrics since the last multiple of a callback's period.

        Empty if there was no step since, or no callback has this period.
        """
        return _means(self.windows.since(period), self.optimizer)

    def state_arrays(self) -> list[np.ndarray]:
        """Returns the state: arrays with one row for each row of the batch."""
        return self._carried.arrays()

    def restore(
        self, record: Record, windows: Windows, state: list[np.ndarray]
    ) -> None:
        """Goes on from the `state_arrays()` and so on of a checkpoint."""
        self.record, self.windows = record, windows
        self._carried.reset(state)
        self.dataset = None

    def _step(self, batch, state):
        """Makes a step, or leaves all as it is if it is not finite."""
        start = states.reset_rows(self.objective, state, batch.reset)
        if self._adaptive is None:
            pairs, after = self.train_step(batch, start)
        else:
            pairs, after = self._adaptive.train_step(self, batch, start)
        finite = loop.is_finite(pairs)
        self.step_variable.assign_add(tf.cast(finite, tf.int64))
        return pairs, finite, states.keep_where(finite, after, state)

    def _enter(self, dataset):
        """Makes the state ready to go on in a dataset."""
        _check_same(self.dataset, dataset)
        adaptive = dataset if isinstance(dataset, Adaptive) else None
        if adaptive is not None:
            adaptive.enter(self)
        if adaptive is not self._adaptive:  # It is part of the step.
            self._loop = loop.Loop(self._step, self._loop.steps_per_loop)
            self._adaptive = adaptive
        self._carried.enter(dataset)
        self.dataset = dataset


def _call(trainer, calls, due):
    """Calls those that are due, with the metrics of their period."""
    metrics = {p: _means(sums, trainer.optimizer) for p, sums in due}
    for period, callback in calls:
        if period in metrics:
            callback(trainer, metrics[period])


def _means(sums, optimizer):
    """Returns the means of sums, and the learning rate of the next step."""
    metrics = sums.means()
    if metrics:
        rate = tf.convert_to_tensor(optimizer.learning_rate)
        metrics['learning_rate'] = float(rate)
    return metrics


def _check_same(before, dataset):
    if before is not None and before is not dataset:
        raise ValueError(
            'The trainer was given another dataset than before. Make both the '
            'stages of a curriculum, `curricula.train(trainer, [Stage(a, '
            'steps=100), Stage(b)], 200)`, which a restart goes on with; or '
            'call `trainer.begin(b)` first.'
        )
