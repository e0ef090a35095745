import math
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import cells, kernels, model, regularization

UNITS, TIME, ROWS = 30, 20, 40


def columns(value=1.0):
    return tf.fill([UNITS, TIME, ROWS], value)


class DropTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(rate=(0.1, 0.5, 0.9), locked=(False, True))
    def test_expectation_stays(self, rate, locked):
        x = regularization.drop(columns(3.0), rate, [1, 2], locked=locked)
        draws = UNITS * ROWS * (1 if locked else TIME)
        deviation = 3.0 * math.sqrt(rate / (1.0 - rate) / draws)
        self.assertAllClose(tf.reduce_mean(x), 3.0, atol=4 * deviation)

    def test_locked_mask_is_the_same_at_all_positions(self):
        locked = regularization.drop(columns(), 0.5, [1, 2], locked=True)
        self.assertAllEqual(locked, tf.repeat(locked[:, :1], TIME, axis=1))
        free = regularization.drop(columns(), 0.5, [1, 2])
        self.assertNotAllEqual(free, tf.repeat(free[:, :1], TIME, axis=1))

    def test_locked_mask_differs_between_rows_and_units(self):
        x = regularization.drop(columns(), 0.5, [1, 2], locked=True)
        for axis in (0, 2):
            first = tf.gather(x, [0], axis=axis)
            self.assertNotAllEqual(x, tf.zeros_like(x) + first)

    def test_same_seed_drops_the_same_and_another_seed_another(self):
        one, same, other = (
            regularization.drop(columns(), 0.5, seed)
            for seed in ([1, 2], [1, 2], [2, 1])
        )
        self.assertAllEqual(one, same)
        self.assertNotAllEqual(one, other)

    @parameterized.parameters(tf.float32, tf.bfloat16)
    def test_gradient_is_dropped_like_the_value(self, dtype):
        x = tf.cast(columns(), dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = regularization.drop(x, 0.3, [1, 2])
        self.assertAllEqual(tape.gradient(y, x), y)

    def test_any_number_of_elements(self):
        for size in range(1, 6):
            x = regularization.drop(tf.ones([size]), 0.5, [1, 2])
            self.assertEqual(x.shape, [size])


class WeightsTest(tf.test.TestCase):
    def test_weights_are_dropped_inside_of_with_only(self):
        cell = tfcharrnn.GRU(3, 50)
        before = cell.recurrent_kernel
        with regularization.dropped_weights([cell], 0.4, [1, 2]):
            inside = tf.convert_to_tensor(cell.recurrent_kernel)
        self.assertIs(cell.recurrent_kernel, before)
        kept = inside != 0.0
        deviation = math.sqrt(0.4 * 0.6 / kept.numpy().size)
        self.assertAllClose(kept.numpy().mean(), 0.6, atol=4 * deviation)
        self.assertAllClose(inside[kept], before[kept] / 0.6, rtol=1e-4)

    def test_weights_are_back_after_an_error(self):
        cell = tfcharrnn.GRU(3, 4)
        before = cell.recurrent_kernel
        with (
            self.assertRaises(KeyError),
            regularization.dropped_weights([cell], 0.4, [1, 2]),
        ):
            raise KeyError
        self.assertIs(cell.recurrent_kernel, before)

    def test_a_cell_without_them_is_an_error_that_names_it(self):
        with (
            self.assertRaisesRegex(ValueError, 'MinGRU.*recurrent_kernel'),
            regularization.dropped_weights([cells.MinGRU(3, 4)], 0.4, [1, 2]),
        ):
            pass

    def test_gradient_is_that_of_the_weights_that_are_left(self):
        model = tfcharrnn.CharRNN(5, 4, 8, dropout={'weights': 0.5})
        ids = tf.constant([[0, 1, 2, 3], [4, 3, 2, 1]])
        with tf.GradientTape() as tape:
            logits, _ = model(ids, model.initial_state(2), training=[1, 2])
        kernel = model.cells[0].recurrent_kernel
        gradient = tape.gradient(logits, kernel).numpy()
        zero = (gradient == 0.0).mean()
        self.assertBetween(zero, 0.3, 0.7)


class PenaltyTest(tf.test.TestCase, parameterized.TestCase):
    def test_gradient_is_that_of_the_formula(self):
        outputs = tf.random.normal([UNITS, TIME, ROWS])
        dropped = regularization.drop(outputs, 0.5, [1, 2])
        upstream = tf.random.normal(outputs.shape)
        with tf.GradientTape() as tape:
            tape.watch([outputs, dropped])
            y = regularization.penalize(outputs, dropped, 2.0, 3.0)
        actual = tape.gradient(y, [outputs, dropped], upstream)
        with tf.GradientTape() as tape:
            tape.watch([outputs, dropped])
            change = outputs[:, 1:] - outputs[:, :-1]
            # The mean is over all T, of which the first has no change.
            mean_change = tf.reduce_sum(change**2) / tf.size(
                outputs, tf.int64
            ).numpy().astype(np.float32)
            loss = 2.0 * tf.reduce_mean(dropped**2) + 3.0 * mean_change
            loss += tf.reduce_sum(upstream * dropped)
        expected = tape.gradient(loss, [outputs, dropped])
        self.assertAllClose(actual, expected)

    def test_values_stay_and_evaluation_has_no_penalty(self):
        options = {'activation_penalty': 5.0, 'slowness_penalty': 5.0}
        model = tfcharrnn.CharRNN(5, 4, 8, **options)
        ids = tf.constant([[0, 1, 2, 3], [4, 3, 2, 1]])

        def run(training):
            with tf.GradientTape() as tape:
                state = model.initial_state(2)
                logits, _ = model(ids, state, training=training)
            kernel = model.cells[0].kernel
            return logits, tape.gradient(logits, kernel)

        (logits, gradient), (penalized, with_penalty) = run(False), run([1, 2])
        self.assertAllEqual(logits, penalized)
        self.assertNotAllClose(gradient, with_penalty)

    def test_the_mean_is_over_all_rows_however_they_are_shared_out(self):
        options = {'activation_penalty': 5.0, 'slowness_penalty': 5.0}
        rnn = tfcharrnn.CharRNN(5, 4, 8, **options)
        ids = tf.constant([[0, 1, 2, 3], [4, 3, 2, 1], [1, 1, 0, 4]])

        def gradients():
            with tf.GradientTape() as tape:
                logits, _ = rnn(ids, rnn.initial_state(3), training=[1, 2])
            return tape.gradient(logits, rnn.cells[0].trainable_variables)

        shared = gradients()
        with mock.patch.object(model, 'NUM_CHAINS', 1000):
            self.assertAllClose(shared, gradients())


class DropoutTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ('0.3', {'layers': 0.3, 'output': 0.3}),
        (0.3, {'layers': 0.3, 'output': 0.3}),
        ('output:0.5', {'output': 0.5}),
        (
            'rows:.1, weights:0.2,locked',
            {'rows': 0.1, 'weights': 0.2, 'locked': True},
        ),
        ({'embedding': 0.2}, {'embedding': 0.2}),
    )
    def test_made_of_what_users_write(self, given, expected):
        dropout = regularization.Dropout.of(given)
        self.assertEqual(dropout, regularization.Dropout(**expected))
        again = regularization.Dropout.of(dropout.config)
        self.assertEqual(again, dropout)

    @parameterized.parameters(
        (1.0, '1.0'),
        (-0.1, '-0.1'),
        (math.nan, 'nan'),
        ('output', 'output'),
        ('output:x', 'output:x'),
        ('noise:0.5', 'noise'),
        ({'noise': 0.5}, 'noise'),
        ({'output': '0.5'}, '0.5'),
        ({'output': True}, 'True'),
    )
    def test_nonsense_is_an_error_that_shows_it(self, given, message):
        with self.assertRaisesRegex(ValueError, message):
            regularization.Dropout.of(given)

    @parameterized.parameters('rows', 'embedding')
    def test_no_embedding_to_drop_is_an_error(self, name):
        with self.assertRaisesRegex(ValueError, name):
            tfcharrnn.CharRNN(5, None, 8, dropout={name: 0.1})

    def test_dropped_characters_are_zero_everywhere(self):
        model = tfcharrnn.CharRNN(50, 4, 8, dropout={'rows': 0.5})
        ids = tf.tile(tf.range(50)[:, None], [1, 1])
        state = model.initial_state(50)
        logits, _ = model(ids, state, training=[1, 2])
        model.embedding.assign(tf.zeros_like(model.embedding))
        nothing, _ = model(ids[:1], model.initial_state(1))
        dropped = tf.reduce_all(tf.abs(logits - nothing) < 1e-6, [1, 2])
        self.assertBetween(np.mean(dropped), 0.25, 0.75)

    @parameterized.parameters('embedding', 'layers', 'output', 'rows')
    def test_each_kind_drops_in_training_and_nothing_else(self, name):
        model = tfcharrnn.CharRNN(9, 8, 16, 2, dropout={name: 0.5})
        ids = tf.range(9)[None]
        state = model.initial_state(1)
        plain, _ = model(ids, state)
        first, _ = model(ids, state, training=[1, 2])
        same, _ = model(ids, state, training=[1, 2])
        other, _ = model(ids, state, training=[3, 2])
        self.assertAllEqual(first, same)
        self.assertNotAllClose(first, plain)
        self.assertNotAllClose(first, other)


class OptionsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(
        option=('tied', 'residual', 'layer_norm'),
        cell=('gru', 'lstm', cells.VanillaRNN),
    )
    def test_steps_equal_the_whole(self, option, cell):
        model = tfcharrnn.CharRNN(9, 8, 8, 3, cell, **{option: True})
        for variable in model.variables:
            variable.assign_add(tf.random.normal(variable.shape, stddev=0.3))
        ids = tf.constant([[0, 1, 2, 3], [4, 3, 2, 1]])
        whole, end = model(ids, model.initial_state(2))
        ready = []
        for threads in (0, 1):  # As one product, and in halves.
            with mock.patch.object(
                kernels, '_num_threads', lambda t=threads: t
            ):
                ready.append(model.step_weights())
        for weights in ((), *ready):
            state, logits = model.initial_state(2), []
            for t in range(4):
                step, state = model.step(ids[:, t], state, weights)
                logits.append(step)
            self.assertAllClose(tf.stack(logits, 1), whole)
            tf.nest.map_structure(self.assertAllClose, state, end)

    def test_tied_weights_are_one(self):
        plain, tied = (
            tfcharrnn.CharRNN(9, 8, 8, tied=tied) for tied in (False, True)
        )
        self.assertEqual(plain.num_parameters - tied.num_parameters, 9 * 8)
        with self.assertRaisesRegex(ValueError, '`tied`'):
            tfcharrnn.CharRNN(9, 8, 16, tied=True)

    def test_residual_layers_that_add_nothing_pass_on(self):
        model = tfcharrnn.CharRNN(9, 8, 8, 2, residual=True)
        second = model.cells[1]
        for variable in second.trainable_variables:
            variable.assign(tf.zeros_like(variable))
        shallow = tfcharrnn.CharRNN(9, 8, 8, 1)
        shallow.embedding.assign(model.embedding)
        for theirs, ours in zip(
            model.cells[0].variables, shallow.cells[0].variables, strict=True
        ):
            ours.assign(theirs)
        shallow.kernel.assign(model.kernel)
        ids = tf.constant([[0, 1, 2, 3]])
        self.assertAllClose(
            model(ids, model.initial_state(1))[0],
            shallow(ids, shallow.initial_state(1))[0],
        )

    def test_normalised_outputs_equal_keras(self):
        model = tfcharrnn.CharRNN(9, 8, 16, layer_norm=True)
        norm = model.norms[0]
        norm.scale.assign(tf.random.normal([16]))
        norm.shift.assign(tf.random.normal([16]))
        x = tf.random.normal([16, 3, 2])
        layer = tf.keras.layers.LayerNormalization(epsilon=1e-5)
        layer.build([None, None, 16])
        layer.set_weights([norm.scale, norm.shift])
        expected = tf.transpose(layer(tf.transpose(x)))
        self.assertAllClose(norm(x), expected, rtol=1e-5, atol=1e-5)

    def test_options_are_in_the_config_if_they_are_on(self):
        model = tfcharrnn.CharRNN(9, 8, 8, 2, residual=True)
        self.assertEqual(model.config['residual'], True)
        self.assertNotIn('tied', model.config)
        again = tfcharrnn.CharRNN(**model.config)
        self.assertEqual(again.config, model.config)
        with self.assertRaisesRegex(TypeError, 'deep'):
            tfcharrnn.CharRNN(9, deep=True)


if __name__ == '__main__':
    tf.test.main()
