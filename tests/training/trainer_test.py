import copy
import math
import os
import signal
from unittest import mock

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import data, schedules
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.metrics import Windows
from tfcharrnn.training.trainer import Trainer

optimizers = tf.keras.optimizers
DECAY = optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
OPTIMIZERS = {
    'nesterov': lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    'adam_schedule': lambda: optimizers.Adam(DECAY),
    'adam_average': lambda: optimizers.Adam(
        0.1, use_ema=True, ema_overwrite_frequency=2
    ),
    'adamw': lambda: optimizers.AdamW(0.1, weight_decay=0.1),
    'rmsprop': lambda: optimizers.RMSprop(0.1, momentum=0.9, centered=True),
    'adafactor': lambda: optimizers.Adafactor(0.1),
    'lion': lambda: optimizers.Lion(0.1),
}
MODELS = {
    'frequencies': toys.FrequencyModel,
    'lstm': lambda: CharRNN(toys.VOCAB, 3, 4, cell='lstm'),
}


def go_on(restored, trained):
    """Goes on from another trainer, as from its checkpoint."""
    tf.nest.map_structure(
        lambda new, old: new.assign(old),
        [
            *restored.model.variables,
            *restored.optimizer.variables,
            restored.step_variable,
        ],
        [
            *trained.model.variables,
            *trained.optimizer.variables,
            trained.step_variable,
        ],
    )
    restored.restore(
        copy.deepcopy(trained.record),
        Windows(trained.windows.pairs),
        trained.state_arrays(),
    )


class StepTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(*OPTIMIZERS.items())
    def test_updates_as_the_optimizer_does_by_hand(self, optimizer):
        dataset, steps = toys.random_batches(), 5
        trained = toys.make_trainer(optimizer=optimizer())
        rnn, by_itself = copy.deepcopy(trained.model), optimizer()
        metrics = trained.train(dataset, steps)
        for _, _, gradients, _ in toys.by_hand(
            rnn, dataset.starting_at(0).take(5)
        ):
            by_itself.apply_gradients(
                zip(gradients, rnn.trainable_variables, strict=True)
            )
        self.assertAllClose(
            [*trained.model.variables, *trained.optimizer.variables],
            [*rnn.variables, *by_itself.variables],
        )
        self.assertAlmostEqual(
            metrics['learning_rate'], float(by_itself.learning_rate)
        )

    @parameterized.parameters(0.1, 100.0)
    def test_clip_norm_bounds_the_norm_of_the_whole_gradient(self, clip_norm):
        dataset = toys.random_batches()
        trained = toys.make_trainer(
            optimizer=optimizers.SGD(1.0), clip_norm=clip_norm
        )
        rnn = copy.deepcopy(trained.model)
        metrics = trained.train(dataset, steps=1)
        [(_, _, gradients, _)] = toys.by_hand(
            rnn, dataset.starting_at(0).take(1)
        )
        norm = tf.linalg.global_norm(gradients)
        self.assertAllClose(metrics['gradient_norm'], norm)
        self.assertAllClose(
            trained.model.trainable_variables,
            [
                v - g * tf.minimum(1.0, clip_norm / norm)
                for v, g in zip(rnn.trainable_variables, gradients, strict=True)
            ],
        )

    @parameterized.named_parameters(*MODELS.items())
    def test_a_row_that_is_reset_starts_as_with_a_fresh_model(self, make_model):
        dataset = toys.random_batches()
        trained = toys.make_trainer(make_model(), optimizers.SGD(0.0))
        trained.train(dataset, steps=len(dataset))
        batches = data.Batch(*map(np.stack, zip(*dataset, strict=True)))
        for row in range(dataset.batch_size):
            start = np.flatnonzero(batches.reset[:, row])[-1]
            inputs = batches.inputs[start:, row].reshape([1, -1])
            zero = trained.model.initial_state(batch_size=1)
            _, expected = trained.model(tf.constant(inputs), zero)
            self.assertAllClose(
                [x[row] for x in trained.state_arrays()],
                [x[0] for x in tf.nest.flatten(expected)],
            )

    def test_what_is_masked_changes_nothing(self):
        dataset = toys.random_batches()
        inputs, targets, mask, reset = map(np.stack, zip(*dataset, strict=True))
        junk, _, _, _ = map(
            np.stack, zip(*toys.random_batches(seed=1), strict=True)
        )
        first = toys.make_trainer()
        second = toys.make_trainer(copy.deepcopy(first.model))
        wider = toys.batches(
            np.concatenate([inputs, junk], axis=1),
            np.concatenate([np.where(mask, targets, junk), junk], axis=1),
            np.concatenate([mask, np.zeros_like(mask)], axis=1),
            np.concatenate([reset, reset], axis=1),
        )
        expected = first.train(dataset, steps=5)
        metrics = second.train(wider, steps=5)
        self.assertAllClose(second.model.variables, first.model.variables)
        self.assertAllClose(metrics['loss'], expected['loss'])
        self.assertEqual(metrics['num_chars'], expected['num_chars'])

    def test_a_batch_that_is_masked_in_full_has_no_gradient(self):
        dataset = toys.random_batches()
        inputs, targets, mask, reset = map(np.stack, zip(*dataset, strict=True))
        trained = toys.make_trainer()
        before = toys.snapshot(trained)['variables'][:2]
        metrics = trained.train(
            toys.batches(inputs, targets, np.zeros_like(mask), reset), steps=5
        )
        self.assertAllEqual(trained.model.variables[0], before[0])
        self.assertAllEqual(trained.model.variables[1], before[1])
        self.assertEqual(metrics['num_chars'], 0)

    def test_randomness_depends_on_seed_and_step_alone(self):
        class Noise(Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                noise = tf.random.stateless_uniform([], training.seed)
                return {**pairs, 'noise': (noise, 1.0)}, state

        def noise(steps_per_loop, **options):
            options['steps_per_loop'] = steps_per_loop
            recorder = toys.Recorder(steps=1)
            toys.make_trainer(kind=Noise, **options).train(
                toys.streams(), 6, [recorder]
            )
            return [metrics['noise'] for _, metrics in recorder.calls]

        first = noise(steps_per_loop=1)
        self.assertEqual(noise(steps_per_loop=4), first)
        self.assertLen({*first, *noise(steps_per_loop=4, seed=-1)}, 12)

    @parameterized.parameters('clip_norm', 'steps_per_loop')
    def test_refuses_what_is_not_positive(self, name):
        with self.assertRaisesRegex(ValueError, f'`{name}` is -1'):
            toys.make_trainer(**{name: -1})


class TrainTest(tf.test.TestCase, parameterized.TestCase):
    def test_metrics_are_means_over_characters(self):
        dataset = toys.random_batches()
        recorder = toys.Recorder(steps=4)
        trained = toys.make_trainer(optimizer=optimizers.SGD(0.0))
        metrics = trained.train(dataset, len(dataset), [recorder])
        values, counts, _, _ = zip(
            *toys.by_hand(trained.model, dataset), strict=True
        )
        mean = np.average(values, weights=counts)
        self.assertNotAlmostEqual(mean, np.mean(values), places=2)
        self.assertAllClose(metrics['loss'], mean)
        self.assertAllClose(metrics['bits_per_char'], mean / math.log(2.0))
        self.assertAllClose(metrics['perplexity'], math.exp(mean))
        self.assertEqual(metrics['num_chars'], sum(counts))
        self.assertEqual(metrics['num_chars'], dataset.num_chars)
        for step, metrics in recorder.calls:
            period = slice(step - 4, step)
            mean = np.average(values[period], weights=counts[period])
            self.assertAllClose(metrics['loss'], mean)
            self.assertEqual(metrics['num_chars'], sum(counts[period]))

    def test_steps_per_loop_changes_no_result(self):
        results = []
        for steps in (1, 4, None):
            tf.random.set_seed(0)
            trained = toys.make_trainer(
                optimizer=optimizers.Adam(0.1), steps_per_loop=steps
            )
            recorders = [toys.Recorder(steps=n) for n in (1, 3, 7)]
            trained.train(toys.streams(), 20, recorders)
            calls = [recorder.calls for recorder in recorders]
            results.append((toys.snapshot(trained), calls))
        toys.assert_same(results[1:], results[:1] * 2)

    def test_two_calls_equal_one(self):
        results = []
        for targets in ([20], [1, 8, 8, 20]):
            tf.random.set_seed(0)
            trained = toys.make_trainer(optimizer=optimizers.Adam(0.1))
            recorder, dataset = toys.Recorder(steps=3), toys.streams()
            for steps in targets:
                trained.train(dataset, steps, [recorder])
            results.append((toys.snapshot(trained), recorder.calls))
        toys.assert_same(*results)

    def test_up_to_a_step_that_is_reached_nothing_happens(self):
        trained, recorder = toys.make_trainer(), toys.Recorder()
        trained.train(toys.streams(), 5, [toys.Recorder(steps=3)])
        before = toys.snapshot(trained)
        for steps in (0, 4, 5):
            metrics = trained.train(toys.random_batches(), steps, [recorder])
            self.assertEqual(metrics, {})
        self.assertEmpty(recorder.calls)
        toys.assert_same(toys.snapshot(trained), before)

    def test_another_dataset_is_refused(self):
        trained, other = toys.make_trainer(), toys.random_batches()
        trained.train(toys.streams(), steps=3)
        before = toys.snapshot(trained)
        with self.assertRaisesRegex(ValueError, r'curricula.*begin\(b\)'):
            trained.train(other, steps=5)
        toys.assert_same(toys.snapshot(trained), before)
        trained.begin(other)
        trained.train(other, steps=5)
        self.assertEqual(trained.step, 5)

    def test_rows_that_were_refused_do_not_choose_the_dataset(self):
        trained, restored = toys.make_trainer(), toys.make_trainer()
        trained.train(toys.streams(batch_size=4), steps=1)
        go_on(restored, trained)
        with self.assertRaisesRegex(ValueError, 'shapes'):
            restored.train(toys.streams(batch_size=3), steps=2)
        restored.train(toys.streams(batch_size=4), steps=2)
        self.assertEqual(restored.record.place.position, 2)

    def test_another_dataset_begins_at_its_beginning_from_zero(self):
        trained = toys.make_trainer(optimizer=optimizers.SGD(0.0))
        trained.train(toys.streams(), steps=3)
        # Its first batch resets few rows: what was carried on would show.
        other = toys.random_batches(batch_size=3)
        trained.begin(other)
        trained.train(other, steps=5)
        *_, (_, _, _, expected) = toys.by_hand(
            trained.model, other.starting_at(0).take(2)
        )
        self.assertEqual(trained.record.place.position, 2)
        self.assertAllClose(trained.state_arrays(), expected)

    def test_another_length_goes_on_where_the_rows_are(self):
        text = toys.text(120)
        trained = toys.make_trainer(optimizer=optimizers.SGD(0.0))
        once = toys.make_trainer()
        short, shorter = data.sequences(text, 5, 4), data.sequences(text, 2, 4)
        trained.train(short, steps=3)
        trained.begin(shorter, after=short)
        trained.train(shorter, steps=5)
        once.train(data.sequences(text, 19, 4), steps=1)
        self.assertEqual(trained.record.place.position, 2)
        self.assertEqual(trained.record.place.num_read, 15)
        toys.assert_same(trained.state_arrays(), once.state_arrays())

    def test_begun_before_any_training_it_is_as_without(self):
        results = []
        for begins in (False, True):
            tf.random.set_seed(0)
            trained, dataset = toys.make_trainer(), toys.streams()
            if begins:
                trained.begin(dataset)
            trained.train(dataset, 5)
            results.append(toys.snapshot(trained))
        toys.assert_same(*results)

    def test_until_is_asked_after_the_callbacks_and_ends_the_call(self):
        told = []

        def until():
            told.append('asked')
            return trained.step == 4

        trained = toys.make_trainer(steps_per_loop=2)
        trained.train(
            toys.streams(), 10, [lambda *_: told.append('called')], until=until
        )
        self.assertEqual(trained.step, 4)
        self.assertEqual(told, ['called', 'asked'] * 2)
        self.assertFalse(trained.stop_training)

    def test_a_restored_state_of_other_shapes_is_refused(self):
        trained, restored = toys.make_trainer(), toys.make_trainer()
        trained.train(toys.streams(batch_size=4), steps=1)
        go_on(restored, trained)
        with self.assertRaisesRegex(ValueError, r'\(4, 5\).*\(3, 5\)'):
            restored.train(toys.streams(batch_size=3), steps=2)

    def test_nothing_is_traced_again(self):
        traces = []

        class Counter(Trainer):
            def compute_loss(self, batch, state, training):
                traces.append(training)
                return super().compute_loss(batch, state, training)

        words = ['to be or not to be'[:n] for n in range(2, 18)] * 2
        vocabulary = Vocabulary.from_text('\n to be or not to be')
        dataset = data.lines(words, vocabulary, batch_size=2)
        trained = toys.make_trainer(
            toys.FrequencyModel(len(vocabulary)), kind=Counter
        )
        trained.train(dataset, steps=1)
        trained.evaluate(dataset)
        number = len(traces)
        for steps in (2, 20, 40):
            trained.train(dataset, steps, [toys.Recorder(steps=7)])
            trained.evaluate(dataset)
        self.assertLen(traces, number)


class CallbacksTest(tf.test.TestCase):
    def test_called_at_multiples_with_the_metrics_since(self):
        each, recorders = (
            toys.Recorder(1),
            {n: toys.Recorder(n) for n in (4, 5)},
        )
        toys.make_trainer().train(
            toys.random_batches(), 14, [each, *recorders.values()]
        )
        self.assertEqual([step for step, _ in each.calls], [*range(1, 15)])
        for period, recorder in recorders.items():
            steps = [step for step, _ in recorder.calls]
            self.assertEqual(steps, [*range(period, 15, period)])
            for step, metrics in recorder.calls:
                since = [m for _, m in each.calls[step - period : step]]
                counts = [m['num_chars'] for m in since]
                norms = [m['gradient_norm'] for m in since]
                for name in ('loss', 'accuracy'):
                    mean = np.average([m[name] for m in since], weights=counts)
                    self.assertAlmostEqual(metrics[name], mean)
                self.assertAlmostEqual(metrics['gradient_norm'], np.mean(norms))
                self.assertEqual(metrics['num_chars'], sum(counts))

    def test_whole_numbers_of_any_kind(self):
        recorder = toys.Recorder(np.int64(4))
        trained, dataset = toys.make_trainer(steps_per_loop=3), toys.streams()
        for steps in (np.int64(5), 7.0, np.float32(11)):
            trained.train(dataset, steps, [recorder])
            self.assertEqual(trained.step, steps)
        self.assertEqual([step for step, _ in recorder.calls], [4, 8])

    def test_without_a_period_called_after_each_loop(self):
        recorder = toys.Recorder()
        other = toys.Recorder(steps=5)
        trained = toys.make_trainer(steps_per_loop=3)
        metrics = trained.train(toys.streams(), 11, [recorder, other])
        steps, calls = zip(*recorder.calls, strict=True)
        self.assertEqual(steps, (3, 5, 8, 10, 11))
        self.assertEqual(
            sum(call['num_chars'] for call in calls), metrics['num_chars']
        )

    def test_those_of_one_period_share_the_metrics_in_their_order(self):
        seen = []

        def callback(name, steps):
            def call(trainer, metrics):
                seen.append((trainer.step, steps, name, metrics.get('before')))
                metrics['before'] = name

            call.call_every = steps
            return call

        callbacks = [
            callback(name, n) for name in ('a', 'b') for n in (2, 3, None)
        ]
        toys.make_trainer(steps_per_loop=6).train(toys.streams(), 6, callbacks)
        for n, steps in {2: (2, 4, 6), 3: (3, 6), None: (2, 3, 4, 6)}.items():
            self.assertEqual(
                [each for each in seen if each[1] == n],
                [
                    (step, n, *names)
                    for step in steps
                    for names in (('a', None), ('b', 'a'))
                ],
            )

    def test_a_period_that_was_left_out_is_begun_anew(self):
        trained, dataset = toys.make_trainer(), toys.streams()
        recorder, each = toys.Recorder(steps=10), toys.Recorder(steps=1)
        trained.train(dataset, 7, [recorder])
        trained.train(dataset, 8)
        trained.train(dataset, 10, [recorder, each])
        [(_, metrics)] = recorder.calls
        self.assertEqual(
            metrics['num_chars'],
            sum(metrics['num_chars'] for _, metrics in each.calls),
        )

    def test_stop_training_stops_until_the_next_call(self):
        def stop(trainer, metrics):
            trainer.stop_training = trainer.step == 4

        stop.call_every = 2
        trained, recorder = toys.make_trainer(), toys.Recorder(steps=4)
        dataset = toys.streams()
        trained.train(dataset, 10, [stop, recorder])
        self.assertEqual(trained.step, 4)
        self.assertLen(recorder.calls, 1)
        trained.train(dataset, 10, [stop])
        self.assertEqual(trained.step, 10)

    def test_a_schedule_is_reported_as_it_stands(self):
        recorder = toys.Recorder(steps=5)
        toys.make_trainer(optimizer=optimizers.Adam(DECAY)).train(
            toys.streams(), 20, [recorder]
        )
        for step, metrics in recorder.calls:
            self.assertAllClose(metrics['learning_rate'], DECAY(step))

    def test_a_new_learning_rate_holds_from_the_next_step(self):
        def freeze(trainer, metrics):
            trainer.optimizer.learning_rate = 0.0

        freeze.call_every = 3
        first = toys.make_trainer()
        second = toys.make_trainer(copy.deepcopy(first.model))
        first.train(toys.streams(), 9, [freeze])
        second.train(toys.streams(), 3)
        self.assertAllClose(first.model.variables, second.model.variables)


class PoisonedLoss(Trainer):
    """From step 5 on, its loss is a number that is not finite.

    The gradient of such a constant is 0, and so finite.
    """

    number, step_of_number = math.nan, 5

    def compute_loss(self, batch, state, training):
        pairs, state = super().compute_loss(batch, state, training)
        total, count = pairs['loss']
        poisoned = self.step_variable + 1 == self.step_of_number
        total = tf.where(poisoned, self.number, total)
        return {**pairs, 'loss': (total, count)}, state


class InfiniteLoss(PoisonedLoss):
    number = math.inf


class PoisonedGradient(Trainer):
    """At step 5, its gradient is not finite, though its loss is."""

    def compute_loss(self, batch, state, training):
        pairs, state = super().compute_loss(batch, state, training)
        total, count = pairs['loss']
        x = tf.where(tf.equal(self.step_variable, 4), 0.0, 1.0)
        # The root of 0 is finite, its slope is not.
        total += tf.sqrt(x * self.model.weight[0] ** 2)
        return {**pairs, 'loss': (total, count)}, state


class OwnStep(PoisonedLoss):
    """A `train_step` that takes two gradients and knows nothing of this."""

    def train_step(self, batch, state):
        _, first, _ = self.compute_gradients(batch, state)
        pairs, second, state = self.compute_gradients(batch, state)
        norm = self.apply_gradients(
            [0.5 * (x + y) for x, y in zip(first, second, strict=True)]
        )
        return {**pairs, 'norm': (norm, 1.0)}, state


class NotFiniteTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        (PoisonedLoss, 'loss became nan'),
        (InfiniteLoss, 'loss became inf'),
        (PoisonedGradient, 'gradient_norm became (nan|inf)'),
        (OwnStep, 'loss became nan'),
    )
    def test_stops_before_the_step_that_is_named(self, kind, message):
        trained, recorder = toys.make_trainer(kind=kind), toys.Recorder(steps=1)
        trained.train(toys.streams(), 1)
        with self.assertRaisesRegex(
            FloatingPointError, f'{message} at step 5, .* those of step 4'
        ):
            trained.train(trained.dataset, 20, [recorder])
        self.assertEqual(trained.step, 4)
        self.assertEqual([step for step, _ in recorder.calls], [2, 3, 4])

    @parameterized.product(
        kind=(PoisonedLoss, InfiniteLoss, PoisonedGradient, OwnStep),
        steps_per_loop=(1, 3, 50),
    )
    def test_the_step_leaves_all_as_it_was(self, kind, steps_per_loop):
        results = []
        for stop in (4, 20):
            tf.random.set_seed(0)
            trained = toys.make_trainer(
                kind=kind,
                optimizer=optimizers.Adam(0.1),
                average=0.9,
                clip_norm=1.0,
                steps_per_loop=steps_per_loop,
            )
            recorder = toys.Recorder(steps=10)
            try:
                trained.train(toys.streams(), stop, [recorder])
            except FloatingPointError:
                self.assertEqual(stop, 20)
            results.append(toys.snapshot(trained))
        toys.assert_same(*results)
        self.assertEqual(trained.record.place.position, 4)

    def test_training_can_go_on_from_there(self):
        results = []
        for step in (5, 1000):
            tf.random.set_seed(0)
            trained = toys.make_trainer(
                kind=PoisonedLoss, optimizer=optimizers.Adam(0.1)
            )
            trained.step_of_number = tf.Variable(step, dtype=tf.int64)
            recorder, dataset = toys.Recorder(steps=10), toys.streams()
            if step == 5:
                with self.assertRaises(FloatingPointError):
                    trained.train(dataset, 20, [recorder])
                trained.step_of_number.assign(1000)
            trained.train(dataset, 20, [recorder])
            results.append((toys.snapshot(trained), recorder.calls))
        toys.assert_same(*results)

    def test_a_callback_of_each_loop_is_told_of_the_steps_before(self):
        trained = toys.make_trainer(kind=PoisonedLoss, steps_per_loop=50)
        recorder = toys.Recorder()
        with self.assertRaises(FloatingPointError):
            trained.train(toys.streams(), 20, [recorder])
        [(step, metrics)] = recorder.calls
        self.assertEqual(step, 4)
        self.assertTrue(math.isfinite(metrics['loss']))

    def test_stops_within_a_loop(self):
        trained, dataset = toys.make_trainer(steps_per_loop=50), toys.streams()
        trained.train(dataset, steps=3)
        trained.model.weight.assign(trained.model.weight * math.nan)
        with self.assertRaisesRegex(FloatingPointError, 'nan at step 4,'):
            trained.train(dataset, steps=50)

    def test_a_huge_learning_rate_is_noticed(self):
        trained = toys.make_trainer(optimizer=optimizers.SGD(1e38))
        with self.assertRaisesRegex(FloatingPointError, 'smaller learning'):
            trained.train(toys.streams(), steps=50)


class ExtensionTest(tf.test.TestCase, parameterized.TestCase):
    def test_compute_loss_may_be_another_objective(self):
        class Smoothed(Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                logits, _ = self.model(batch.inputs, state)
                nats = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
                uniform = tf.reduce_sum(tf.where(batch.mask, nats, 0.0))
                total, count = pairs['loss']
                pairs['loss'] = 0.9 * total + 0.1 * uniform, count
                return {**pairs, 'uniform': (uniform, count)}, state

        dataset = toys.streams()
        trained = toys.make_trainer(
            optimizer=optimizers.Adam(0.1), kind=Smoothed
        )
        first = trained.evaluate(dataset)
        metrics = trained.train(dataset, steps=100)
        last = trained.evaluate(dataset)
        self.assertContainsSubset({'uniform', 'accuracy'}, metrics)
        self.assertGreater(last['uniform'], math.log(toys.VOCAB))
        self.assertLess(last['loss'], first['loss'])

    def test_train_step_may_be_another_update(self):
        class ByHand(Trainer):
            def train_step(self, batch, state):
                variables = self.model.trainable_variables
                with tf.GradientTape() as tape:
                    pairs, state = self.compute_loss(batch, state, True)
                    total, count = pairs['loss']
                    loss = total / count
                for v, g in zip(
                    variables, tape.gradient(loss, variables), strict=True
                ):
                    v.assign_sub(0.1 * tf.convert_to_tensor(g))
                return pairs, state

        first = toys.make_trainer(optimizer=optimizers.SGD(0.1))
        second = toys.make_trainer(copy.deepcopy(first.model), kind=ByHand)
        metrics = first.train(toys.streams(), steps=10)
        by_hand = second.train(toys.streams(), steps=10)
        self.assertAllClose(first.model.variables, second.model.variables)
        self.assertAllClose(metrics['loss'], by_hand['loss'])
        self.assertNotIn('gradient_norm', by_hand)

    def test_a_model_without_state_learns(self):
        class Bigrams(tf.Module):
            def __init__(self):
                super().__init__()
                self.table = tf.Variable(tf.zeros([toys.VOCAB, toys.VOCAB]))

            def initial_state(self, batch_size):
                return ()

            def __call__(self, inputs, state, training=False):
                return tf.gather(self.table, inputs), state

        text = np.arange(100) % toys.VOCAB
        dataset = data.sequences(text, seq_length=5, batch_size=4)
        trained = toys.make_trainer(Bigrams(), optimizers.Adam(0.1))
        trained.train(dataset, steps=50)
        self.assertEqual(trained.evaluate(dataset)['accuracy'], 1.0)

    def test_a_model_of_keras_layers_learns(self):
        class Layers(tf.Module):
            def __init__(self):
                super().__init__()
                layers = tf.keras.layers
                self.layers = [
                    layers.Embedding(toys.VOCAB, 3),
                    layers.SimpleRNN(
                        4, return_sequences=True, return_state=True
                    ),
                    layers.Dropout(0.1),
                    layers.Dense(toys.VOCAB),
                ]
                self(tf.zeros([1, 1], tf.int32), self.initial_state(1))

            @property
            def trainable_variables(self):
                return [v for x in self.layers for v in x.trainable_variables]

            def initial_state(self, batch_size):
                return tf.zeros([batch_size, 4])

            def __call__(self, inputs, state, training=False):
                embedding, rnn, dropout, logits = self.layers
                x, state = rnn(embedding(inputs), initial_state=state)
                x = dropout(x, training=training is not False)
                return logits(x), state

        text = np.arange(100) % toys.VOCAB
        dataset = data.sequences(text, seq_length=5, batch_size=4)
        trained = toys.make_trainer(Layers(), optimizers.Adam(0.1))
        trained.train(dataset, steps=50)
        self.assertEqual(trained.evaluate(dataset)['accuracy'], 1.0)


class InterruptTest(tf.test.TestCase):
    def test_an_interrupted_trainer_goes_on_bit_for_bit(self):
        tf.keras.utils.set_random_seed(0)
        undisturbed = toys.make_trainer()
        tf.keras.utils.set_random_seed(0)
        trained = toys.make_trainer()
        streams = toys.streams()
        undisturbed.train(toys.streams(), steps=12)

        run = trained._loop.run

        def interrupted(*arguments, **options):
            os.kill(os.getpid(), signal.SIGINT)
            return run(*arguments, **options)

        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        self.addCleanup(signal.signal, signal.SIGINT, handler)
        while trained.step < 6:
            with mock.patch.object(trained._loop, 'run', interrupted):
                with self.assertRaises(KeyboardInterrupt):
                    trained.train(streams, steps=12)
            self.assertEqual(trained.record.place.position, trained.step)
        trained.train(streams, steps=12)
        tf.nest.map_structure(
            self.assertAllEqual,
            [v.numpy() for v in trained.model.variables],
            [v.numpy() for v in undisturbed.model.variables],
        )


class DropoutScheduleTest(tf.test.TestCase):
    def train(self, dropout=0.5, steps=6, **options):
        tf.keras.utils.set_random_seed(0)
        rnn = CharRNN(toys.VOCAB, 3, 8, num_layers=2, dropout=dropout)
        optimizer = tf.keras.optimizers.SGD(0.5)
        made = Trainer(rnn, optimizer, **options)
        made.train(toys.streams(), steps)
        return rnn.variables

    def test_all_of_it_is_as_without(self):
        all_of_it = schedules.constant(1.0)
        self.assertAllClose(
            self.train(dropout_schedule=all_of_it), self.train(), 1e-6, 1e-6
        )

    def test_none_of_it_is_no_dropout(self):
        none_of_it = schedules.constant(0.0)
        self.assertAllClose(
            self.train(dropout_schedule=none_of_it),
            self.train(dropout=0.0),
            1e-6,
            1e-6,
        )

    def test_follows_the_step(self):
        later = schedules.join([lambda _: 0.0, lambda _: 1.0], [4])
        self.assertAllClose(
            self.train(dropout_schedule=later, steps=4),
            self.train(dropout=0.0, steps=4),
            1e-6,
            1e-6,
        )
        self.assertNotAllClose(
            self.train(dropout_schedule=later), self.train(dropout=0.0)
        )


if __name__ == '__main__':
    tf.test.main()
