import copy
import math

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import data, losses, model, schedules, trainer
from tfcharrnn.text.vocabulary import Vocabulary

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
    'lstm': lambda: model.CharRNN(toys.VOCAB, 3, 4, cell='lstm'),
}


def make(rnn=None, optimizer=None, kind=trainer.Trainer, **options):
    return kind(
        rnn or toys.FrequencyModel(),
        optimizer or optimizers.SGD(0.1),
        **options,
    )


def by_hand(rnn, batches):
    """Yields each batch's loss, count and gradient, and the state after it."""
    state = None
    for batch in batches:
        zero = rnn.initial_state(len(batch.reset))
        pairs = (
            (new.numpy().T, old.numpy().T)
            for new, old in zip(
                tf.nest.flatten(zero),
                tf.nest.flatten(state or zero),
                strict=True,
            )
        )
        state = tf.nest.pack_sequence_as(
            zero, [np.where(batch.reset, *pair).T for pair in pairs]
        )
        with tf.GradientTape() as tape:
            logits, state = rnn(batch.inputs, state)
            total, count = losses.cross_entropy(
                logits, batch.targets, batch.mask
            )
            loss = total / count
        gradients = tape.gradient(loss, rnn.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        yield float(loss), float(count), gradients, state


class StepTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(*OPTIMIZERS.items())
    def test_updates_as_the_optimizer_does_by_hand(self, optimizer):
        dataset, steps = toys.random_batches(), 5
        trained = make(optimizer=optimizer())
        rnn, by_itself = copy.deepcopy(trained.model), optimizer()
        metrics = trained.train(dataset, steps)
        for _, _, gradients, _ in by_hand(rnn, dataset.starting_at(0).take(5)):
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
        trained = make(optimizer=optimizers.SGD(1.0), clip_norm=clip_norm)
        rnn = copy.deepcopy(trained.model)
        metrics = trained.train(dataset, steps=1)
        [(_, _, gradients, _)] = by_hand(rnn, dataset.starting_at(0).take(1))
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
        trained = make(make_model(), optimizers.SGD(0.0))
        trained.train(dataset, steps=len(dataset))
        batches = data.Batch(*map(np.stack, zip(*dataset, strict=True)))
        for row in range(dataset.batch_size):
            start = np.flatnonzero(batches.reset[:, row])[-1]
            inputs = batches.inputs[start:, row].reshape([1, -1])
            zero = trained.model.initial_state(batch_size=1)
            _, expected = trained.model(tf.constant(inputs), zero)
            self.assertAllClose(
                [x[row] for x in trained.progress['state']],
                [x[0] for x in tf.nest.flatten(expected)],
            )

    def test_what_is_masked_changes_nothing(self):
        dataset = toys.random_batches()
        inputs, targets, mask, reset = map(np.stack, zip(*dataset, strict=True))
        junk, _, _, _ = map(
            np.stack, zip(*toys.random_batches(seed=1), strict=True)
        )
        first = make()
        second = make(copy.deepcopy(first.model))
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
        trained = make()
        before = toys.snapshot(trained)['variables'][:2]
        metrics = trained.train(
            toys.batches(inputs, targets, np.zeros_like(mask), reset), steps=5
        )
        self.assertAllEqual(trained.model.variables[0], before[0])
        self.assertAllEqual(trained.model.variables[1], before[1])
        self.assertEqual(metrics['num_chars'], 0)

    def test_randomness_depends_on_seed_and_step_alone(self):
        class Noise(trainer.Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                noise = tf.random.stateless_uniform([], training)
                return {**pairs, 'noise': (noise, 1.0)}, state

        def noise(steps_per_loop, **options):
            options['steps_per_loop'] = steps_per_loop
            recorder = toys.Recorder(steps=1)
            make(kind=Noise, **options).train(toys.streams(), 6, [recorder])
            return [metrics['noise'] for _, metrics in recorder.calls]

        first = noise(steps_per_loop=1)
        self.assertEqual(noise(steps_per_loop=4), first)
        self.assertLen({*first, *noise(steps_per_loop=4, seed=-1)}, 12)

    @parameterized.parameters('clip_norm', 'steps_per_loop')
    def test_refuses_what_is_not_positive(self, name):
        with self.assertRaisesRegex(ValueError, f'`{name}` is -1'):
            make(**{name: -1})


class AverageTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(0.5, 0.9, 0.999)
    def test_it_equals_its_formula(self, memory):
        trained = make(average=memory)
        expected = None
        for step in range(1, 13):
            trained.train(toys.random_batches(), step)
            now = [v.numpy() for v in trained.model.trainable_variables]
            expected = expected or now
            weight = max(1.0 - memory, 1.0 / step)
            expected = [
                old + weight * (new - old)
                for old, new in zip(expected, now, strict=True)
            ]
            self.assertAllClose(trained.averages, expected)

    def test_evaluation_is_of_the_averages_and_leaves_the_weights(self):
        dataset = toys.random_batches()
        trained = make(average=0.9)
        trained.train(dataset, 5)
        before = [v.numpy() for v in trained.model.trainable_variables]
        loss = trained.evaluate(dataset)['loss']
        self.assertAllClose(before, trained.model.trainable_variables, 0, 0)
        plain = make(copy.deepcopy(trained.model))
        for variable, average in zip(
            plain.model.trainable_variables, trained.averages, strict=True
        ):
            variable.assign(average)
        self.assertEqual(plain.evaluate(dataset)['loss'], loss)

    def test_weights_assigned_before_the_first_step_are_evaluated(self):
        trained = make(average=0.9)
        for variable in trained.model.trainable_variables:
            variable.assign(tf.zeros_like(variable))
        loss = trained.evaluate(toys.random_batches())['loss']
        self.assertAlmostEqual(loss, math.log(toys.VOCAB), 6)

    def test_weights_are_back_after_an_error(self):
        trained = make(average=0.9)
        trained.train(toys.random_batches(), 5)
        before = [v.numpy() for v in trained.model.trainable_variables]
        with self.assertRaises(KeyError), trained.averaged():
            raise KeyError
        self.assertAllClose(before, trained.model.trainable_variables, 0, 0)

    def test_training_is_that_without_an_average(self):
        with_average, without = make(average=0.9), make()
        for variable, other in zip(
            with_average.model.variables, without.model.variables, strict=True
        ):
            variable.assign(other)
        for each in (with_average, without):
            each.train(toys.random_batches(), 5)
        self.assertAllClose(
            with_average.model.variables, without.model.variables
        )

    @parameterized.parameters(0.0, 1.0, -0.5, 2.0)
    def test_refuses_a_memory_that_is_none(self, memory):
        with self.assertRaisesRegex(ValueError, f'`average` is {memory}'):
            make(average=memory)


class TrainTest(tf.test.TestCase, parameterized.TestCase):
    def test_metrics_are_means_over_characters(self):
        dataset = toys.random_batches()
        recorder = toys.Recorder(steps=4)
        trained = make(optimizer=optimizers.SGD(0.0))
        metrics = trained.train(dataset, len(dataset), [recorder])
        values, counts, _, _ = zip(
            *by_hand(trained.model, dataset), strict=True
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
            trained = make(optimizer=optimizers.Adam(0.1), steps_per_loop=steps)
            recorders = [toys.Recorder(steps=n) for n in (1, 3, 7)]
            trained.train(toys.streams(), 20, recorders)
            calls = [recorder.calls for recorder in recorders]
            results.append((toys.snapshot(trained), calls))
        toys.assert_same(results[1:], results[:1] * 2)

    def test_two_calls_equal_one(self):
        results = []
        for targets in ([20], [1, 8, 8, 20]):
            tf.random.set_seed(0)
            trained = make(optimizer=optimizers.Adam(0.1))
            recorder, dataset = toys.Recorder(steps=3), toys.streams()
            for steps in targets:
                trained.train(dataset, steps, [recorder])
            results.append((toys.snapshot(trained), recorder.calls))
        toys.assert_same(*results)

    def test_up_to_a_step_that_is_reached_nothing_happens(self):
        trained, recorder = make(), toys.Recorder()
        trained.train(toys.streams(), 5, [toys.Recorder(steps=3)])
        before = toys.snapshot(trained)
        for steps in (0, 4, 5):
            metrics = trained.train(toys.random_batches(), steps, [recorder])
            self.assertEqual(metrics, {})
        self.assertEmpty(recorder.calls)
        toys.assert_same(toys.snapshot(trained), before)

    def test_another_dataset_starts_at_its_beginning_from_zero(self):
        trained = make(optimizer=optimizers.SGD(0.0))
        trained.train(toys.streams(), steps=3)
        # Its first batch resets few rows: what was carried on would show.
        other = toys.random_batches(batch_size=3)
        trained.train(other, steps=5)
        *_, (_, _, _, expected) = by_hand(
            trained.model, other.starting_at(0).take(2)
        )
        self.assertEqual(trained.position, 2)
        self.assertAllClose(trained.progress['state'], expected)

    def test_another_length_goes_on_where_the_rows_are(self):
        text = toys.text(120)
        trained, once = make(optimizer=optimizers.SGD(0.0)), make()
        trained.train(data.sequences(text, 5, 4), steps=3)
        trained.train(data.sequences(text, 2, 4), steps=5)
        once.train(data.sequences(text, 19, 4), steps=1)
        self.assertEqual(trained.position, 2)
        toys.assert_same(trained.progress['state'], once.progress['state'])

    @parameterized.parameters(True, False)
    def test_a_checkpoint_at_a_boundary_knows_that_another_follows(
        self, goes_on
    ):
        text = toys.text(120)

        def datasets():
            other = data.sequences(text, 3, 4) if goes_on else toys.streams()
            return data.sequences(text, 5, 4), other

        def loop(each, *steps):
            for dataset, target in zip(datasets(), steps, strict=True):
                each.train(dataset, target)

        def variables(each):
            own = *each.model.variables, *each.optimizer.variables
            return [*own, each.step_variable]

        trained, restored = make(), make()
        loop(trained, 3, 3)
        tf.nest.map_structure(
            lambda new, old: new.assign(old),
            variables(restored),
            variables(trained),
        )
        restored.progress = copy.deepcopy(trained.progress)
        for each in (trained, restored):
            loop(each, 3, 7)
            self.assertEqual(each.position, 4)
        # Given anew, the datasets of `trained` are the third and the fourth.
        first, second = toys.snapshot(trained), toys.snapshot(restored)
        self.assertEqual((first.pop('dataset'), second.pop('dataset')), (4, 2))
        if goes_on:
            toys.assert_same(second, first)

    def test_what_was_restored_waits_for_the_dataset_that_goes_on(self):
        first, second = toys.streams(), toys.random_batches()
        trained, restored = make(), make()
        trained.train(first, steps=3)
        trained.train(second, steps=5)
        tf.nest.map_structure(
            lambda new, old: new.assign(old),
            [*restored.model.variables, restored.step_variable],
            [*trained.model.variables, trained.step_variable],
        )
        restored.progress = copy.deepcopy(trained.progress)
        for each in (trained, restored):
            each.train(first, steps=3)
            each.train(second, steps=8)
        self.assertEqual(restored.position, 5)
        toys.assert_same(
            toys.snapshot(restored)['state'], toys.snapshot(trained)['state']
        )

    def test_a_restored_state_of_other_shapes_is_refused(self):
        trained, restored = make(), make()
        trained.train(toys.streams(batch_size=4), steps=1)
        restored.progress = trained.progress
        with self.assertRaisesRegex(ValueError, r'\(4, 5\).*\(3, 5\)'):
            restored.train(toys.streams(batch_size=3), steps=2)

    def test_nothing_is_traced_again(self):
        traces = []

        class Counter(trainer.Trainer):
            def compute_loss(self, batch, state, training):
                traces.append(training)
                return super().compute_loss(batch, state, training)

        words = ['to be or not to be'[:n] for n in range(2, 18)] * 2
        vocabulary = Vocabulary.from_text('\n to be or not to be')
        dataset = data.lines(words, vocabulary, batch_size=2)
        trained = make(toys.FrequencyModel(len(vocabulary)), kind=Counter)
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
        make().train(toys.random_batches(), 14, [each, *recorders.values()])
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
        trained = make(steps_per_loop=3)
        for steps in (np.int64(5), 7.0, np.float32(11)):
            trained.train(toys.streams(), steps, [recorder])
            self.assertEqual(trained.step, steps)
        self.assertEqual([step for step, _ in recorder.calls], [4, 8])

    def test_without_a_period_called_after_each_loop(self):
        recorder = toys.Recorder()
        other = toys.Recorder(steps=5)
        trained = make(steps_per_loop=3)
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
        make(steps_per_loop=6).train(toys.streams(), 6, callbacks)
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
        trained, dataset = make(), toys.streams()
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
        trained, recorder = make(), toys.Recorder(steps=4)
        trained.train(toys.streams(), 10, [stop, recorder])
        self.assertEqual(trained.step, 4)
        self.assertLen(recorder.calls, 1)
        trained.train(toys.streams(), 10, [stop])
        self.assertEqual(trained.step, 10)

    def test_a_schedule_is_reported_as_it_stands(self):
        recorder = toys.Recorder(steps=5)
        make(optimizer=optimizers.Adam(DECAY)).train(
            toys.streams(), 20, [recorder]
        )
        for step, metrics in recorder.calls:
            self.assertAllClose(metrics['learning_rate'], DECAY(step))

    def test_a_new_learning_rate_holds_from_the_next_step(self):
        def freeze(trainer, metrics):
            trainer.optimizer.learning_rate = 0.0

        freeze.call_every = 3
        first = make()
        second = make(copy.deepcopy(first.model))
        first.train(toys.streams(), 9, [freeze])
        second.train(toys.streams(), 3)
        self.assertAllClose(first.model.variables, second.model.variables)


class EvaluateTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(*MODELS.items())
    def test_equals_the_whole_text_in_one_go(self, make_model):
        trained = make(make_model())
        for length in (36, 37, 40):
            text = toys.text(length)
            metrics = trained.evaluate(data.sequences(text, 5, batch_size=1))
            inputs, targets = tf.constant(text[None, :-1]), text[None, 1:]
            logits, _ = trained.model(inputs, trained.model.initial_state(1))
            mask = np.ones_like(targets, bool)
            total, count = losses.cross_entropy(logits, targets, mask)
            correct, _ = losses.accuracy(logits, tf.constant(targets), mask)
            self.assertEqual(metrics['num_chars'], length - 1)
            self.assertAllClose(metrics['loss'], total / count)
            self.assertAllClose(metrics['accuracy'], correct / count)

    @parameterized.parameters(3, 8)
    def test_masked_tails_and_any_batch_size_count_right(self, batch_size):
        dataset = toys.streams(length=100, batch_size=batch_size)
        trained = make()
        metrics = trained.evaluate(dataset)
        values, counts, _, _ = zip(
            *by_hand(trained.model, dataset), strict=True
        )
        self.assertEqual(metrics['num_chars'], 99)
        self.assertAllClose(metrics['loss'], np.average(values, weights=counts))

    def test_leaves_training_as_it_was(self):
        dataset = toys.streams(batch_size=4)
        valid = toys.streams(length=50, batch_size=3)
        results = []
        for validate in (False, True):
            tf.random.set_seed(0)
            trained = make(optimizer=optimizers.Adam(0.1))
            recorder = toys.Recorder(steps=7)
            trained.train(dataset, 10, [recorder])
            if validate:
                before = toys.snapshot(trained)
                trained.evaluate(valid)
                toys.assert_same(toys.snapshot(trained), before)
            trained.train(dataset, 20, [recorder])
            results.append((toys.snapshot(trained), recorder.calls))
        toys.assert_same(*results)

    def test_before_any_training_leaves_it_fresh(self):
        trained = make()
        before = toys.snapshot(trained)
        trained.evaluate(toys.streams())
        toys.assert_same(toys.snapshot(trained), before)


class NotFiniteTest(tf.test.TestCase, parameterized.TestCase):
    def poison_loss(self, number):
        class Poisoned(trainer.Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                total, count = pairs['loss']
                poisoned = tf.equal(self.step_variable, 4)
                total = tf.where(poisoned, number, total)
                return {**pairs, 'loss': (total, count)}, state

        return make(kind=Poisoned)

    def poison_gradient(self):
        class Poisoned(trainer.Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                total, count = pairs['loss']
                x = tf.where(tf.equal(self.step_variable, 4), 0.0, 1.0)
                # The root of 0 is finite, its slope is not.
                total += tf.sqrt(x * self.model.weight[0] ** 2)
                return {**pairs, 'loss': (total, count)}, state

        return make(kind=Poisoned)

    @parameterized.named_parameters(
        ('nan', lambda self: self.poison_loss(math.nan), 'loss became nan'),
        ('infinite', lambda self: self.poison_loss(math.inf), 'became inf'),
        ('gradient', poison_gradient, 'gradient_norm became (nan|inf)'),
    )
    def test_stops_at_the_step_that_is_named(self, poison, message):
        trained, recorder = poison(self), toys.Recorder(steps=1)
        trained.train(toys.streams(), 1)
        with self.assertRaisesRegex(
            FloatingPointError, f'{message} at step 5,'
        ):
            trained.train(toys.streams(), 20, [recorder])
        self.assertEqual(trained.step, 5)
        self.assertEqual([step for step, _ in recorder.calls], [2, 3, 4])

    def test_stops_within_a_loop(self):
        trained = make(steps_per_loop=50)
        trained.train(toys.streams(), steps=3)
        trained.model.weight.assign(trained.model.weight * math.nan)
        with self.assertRaisesRegex(FloatingPointError, 'nan at step 4,'):
            trained.train(toys.streams(), steps=50)

    def test_a_huge_learning_rate_is_noticed(self):
        trained = make(optimizer=optimizers.SGD(1e38))
        with self.assertRaisesRegex(FloatingPointError, 'smaller learning'):
            trained.train(toys.streams(), steps=50)


class ExtensionTest(tf.test.TestCase, parameterized.TestCase):
    def test_compute_loss_may_be_another_objective(self):
        class Smoothed(trainer.Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                logits, _ = self.model(batch.inputs, state)
                nats = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
                uniform = tf.reduce_sum(tf.where(batch.mask, nats, 0.0))
                total, count = pairs['loss']
                pairs['loss'] = 0.9 * total + 0.1 * uniform, count
                return {**pairs, 'uniform': (uniform, count)}, state

        dataset = toys.streams()
        trained = make(optimizer=optimizers.Adam(0.1), kind=Smoothed)
        first = trained.evaluate(dataset)
        metrics = trained.train(dataset, steps=100)
        last = trained.evaluate(dataset)
        self.assertContainsSubset({'uniform', 'accuracy'}, metrics)
        self.assertGreater(last['uniform'], math.log(toys.VOCAB))
        self.assertLess(last['loss'], first['loss'])

    def test_train_step_may_be_another_update(self):
        class ByHand(trainer.Trainer):
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

        first = make(optimizer=optimizers.SGD(0.1))
        second = make(copy.deepcopy(first.model), kind=ByHand)
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
        trained = make(Bigrams(), optimizers.Adam(0.1))
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
        trained = make(Layers(), optimizers.Adam(0.1))
        trained.train(dataset, steps=50)
        self.assertEqual(trained.evaluate(dataset)['accuracy'], 1.0)


class DropoutScheduleTest(tf.test.TestCase):
    def train(self, dropout=0.5, steps=6, **options):
        tf.keras.utils.set_random_seed(0)
        rnn = model.CharRNN(toys.VOCAB, 3, 8, num_layers=2, dropout=dropout)
        optimizer = tf.keras.optimizers.SGD(0.5)
        made = trainer.Trainer(rnn, optimizer, **options)
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
