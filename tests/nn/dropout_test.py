import math
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from small_models import (
    CELLS,
    VOCAB,
    Ones,
    build,
    copy,
    random_ids,
    transparent,
)

import tfcharrnn
from tfcharrnn.nn import cells, chains, char_rnn, dropout, gates
from tfcharrnn.nn.dropout import Noise

UNITS, TIME, ROWS = 30, 20, 40


def columns(value=1.0):
    return tf.fill([UNITS, TIME, ROWS], value)


class DropTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(rate=(0.1, 0.5, 0.9), locked=(False, True))
    def test_expectation_stays(self, rate, locked):
        x = dropout.drop(columns(3.0), rate, [1, 2], locked=locked)
        draws = UNITS * ROWS * (1 if locked else TIME)
        deviation = 3.0 * math.sqrt(rate / (1.0 - rate) / draws)
        self.assertAllClose(tf.reduce_mean(x), 3.0, atol=4 * deviation)

    def test_locked_mask_is_the_same_at_all_positions(self):
        locked = dropout.drop(columns(), 0.5, [1, 2], locked=True)
        self.assertAllEqual(locked, tf.repeat(locked[:, :1], TIME, axis=1))
        free = dropout.drop(columns(), 0.5, [1, 2])
        self.assertNotAllEqual(free, tf.repeat(free[:, :1], TIME, axis=1))

    def test_locked_mask_differs_between_rows_and_units(self):
        x = dropout.drop(columns(), 0.5, [1, 2], locked=True)
        for axis in (0, 2):
            first = tf.gather(x, [0], axis=axis)
            self.assertNotAllEqual(x, tf.zeros_like(x) + first)

    def test_same_seed_drops_the_same_and_another_seed_another(self):
        one, same, other = (
            dropout.drop(columns(), 0.5, seed)
            for seed in ([1, 2], [1, 2], [2, 1])
        )
        self.assertAllEqual(one, same)
        self.assertNotAllEqual(one, other)

    @parameterized.parameters(tf.float32, tf.bfloat16)
    def test_gradient_is_dropped_like_the_value(self, dtype):
        x = tf.cast(columns(), dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = dropout.drop(x, 0.3, [1, 2])
        self.assertAllEqual(tape.gradient(y, x), y)

    def test_any_number_of_elements(self):
        for size in range(1, 6):
            x = dropout.drop(tf.ones([size]), 0.5, [1, 2])
            self.assertEqual(x.shape, [size])


class ShareTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters((0.0, 0.0), (0.5, 0.25), (1.0, 0.5), (7.0, 0.5))
    def test_multiplies_the_rate(self, share, expected):
        x = dropout.drop(columns(), 0.5, [1, 2], share=share)
        self.assertAllEqual(x, dropout.drop(columns(), expected, [1, 2]))

    @parameterized.parameters(
        *('rows', 'inputs', 'embedding', 'layers', 'output', 'weights', 'state')
    )
    def test_reaches_each_location(self, location):
        model = build(num_layers=2, dropout={location: 0.5})
        half = build(num_layers=2, dropout={location: 0.25})
        copy(model, half)
        ids, state = random_ids(5), model.initial_state(5)
        noise = Noise([1, 2], share=tf.constant(0.5))
        logits, _ = model(ids, state, training=noise)
        expected, _ = half(ids, state, training=Noise([1, 2]))
        self.assertAllClose(logits, expected, atol=1e-6)
        none, _ = model(ids, state, training=noise._replace(share=0.0))
        self.assertAllClose(none, model(ids, state)[0], atol=1e-6)


class WeightsTest(tf.test.TestCase, parameterized.TestCase):
    def drop(self, *cells, rate=0.4):
        return dropout.drop_weights(cells, rate, Noise([1, 2]))

    def test_a_share_of_the_weights_is_zero_and_the_mean_stays(self):
        cell = gates.GRU(3, 50)
        (dropped,) = self.drop(cell)
        kept = dropped.recurrent_kernel != 0.0
        deviation = math.sqrt(0.4 * 0.6 / kept.numpy().size)
        self.assertAllClose(kept.numpy().mean(), 0.6, atol=4 * deviation)
        self.assertAllClose(
            dropped.recurrent_kernel[kept],
            cell.recurrent_kernel[kept] / 0.6,
            rtol=1e-4,
        )

    def test_cells_differ(self):
        cell = gates.GRU(3, 50)
        first, second = self.drop(cell, cell)
        self.assertNotAllEqual(first.recurrent_kernel, second.recurrent_kernel)

    def test_a_rate_of_zero_gives_the_cells_themselves(self):
        cell = gates.GRU(3, 4)
        (same,) = self.drop(cell, rate=0.0)
        self.assertIs(same, cell)

    def test_a_cell_without_them_is_an_error_that_names_it(self):
        with self.assertRaisesRegex(ValueError, 'MinGRU.*recurrent_kernel'):
            self.drop(cells.MinGRU(3, 4))

    @parameterized.parameters(False, True)
    def test_the_model_stays_as_it_is(self, raises):
        model = tfcharrnn.CharRNN(5, 4, 8, 2, dropout={'weights': 0.5})
        checkpoint = tf.train.Checkpoint(model=model)
        seen = []

        def look():
            return {
                'attributes': [
                    {name: id(value) for name, value in vars(cell).items()}
                    for cell in model.cells
                ],
                'variables': [id(variable) for variable in model.variables],
                'values': [v.numpy().tolist() for v in model.variables],
                'saved': [
                    (name, id(child))
                    for cell in (model, *model.cells)
                    for name, child in cell._trackable_children().items()
                ],
                'path': sorted(
                    key
                    for key, _ in tf.train.list_variables(
                        checkpoint.write(f'{self.get_temp_dir()}/ckpt')
                    )
                ),
            }

        def unroll(cell, ids, embedding, state):
            self.assertNotIn(cell, model.cells)
            self.assertNotAllEqual(
                cell.recurrent_kernel, model.cells[0].recurrent_kernel
            )
            seen.append(look())
            if raises:
                raise KeyError
            return gates.Columns.unroll_ids(cell, ids, embedding, state)

        before = look()
        with (
            mock.patch.object(gates.GRU, 'unroll_ids', unroll),
            self.assertRaises(KeyError) if raises else self.subTest(),
        ):
            ids = tf.constant([[0, 1, 2, 3]])
            model(ids, model.initial_state(1), training=Noise([1, 2]))
        for after in (*seen, look()):
            self.assertEqual(after, before)
        self.assertLen(seen, 1)

    def test_gradient_is_that_of_the_weights_that_are_left(self):
        model = tfcharrnn.CharRNN(5, 4, 8, dropout={'weights': 0.5})
        ids = tf.constant([[0, 1, 2, 3], [4, 3, 2, 1]])
        with tf.GradientTape() as tape:
            logits, _ = model(
                ids, model.initial_state(2), training=Noise([1, 2])
            )
        kernel = model.cells[0].recurrent_kernel
        gradient = tape.gradient(logits, kernel).numpy()
        zero = (gradient == 0.0).mean()
        self.assertBetween(zero, 0.3, 0.7)


class InputsTest(tf.test.TestCase, parameterized.TestCase):
    def test_a_share_of_the_positions_is_blank_each_by_itself(self):
        ids = tf.zeros([200, 100], tf.int32)
        ids = dropout.drop_inputs(ids, 0.3, Noise([1, 2]), blank=1).numpy()
        deviation = math.sqrt(0.3 * 0.7 / ids.size)
        self.assertAllClose(ids.mean(), 0.3, atol=4 * deviation)
        for axis in (0, 1):
            both = ids * np.roll(ids, 1, axis)
            self.assertAllClose(both.mean(), 0.09, atol=0.01)

    @parameterized.product(
        cell=CELLS, embedding_dim=(8, None), vocab_size=(VOCAB, 1100)
    )
    def test_a_blank_is_a_zero_vector_and_the_others_stay(
        self, cell, embedding_dim, vocab_size
    ):
        sizes = {'vocab_size': vocab_size, 'embedding_dim': embedding_dim}
        model = build(cell=cell, dropout={'inputs': 0.4}, **sizes)
        ids = random_ids(4)

        def drop_every_third(ids, rate, noise, *, blank):
            third = tf.range(tf.shape(ids)[1]) % 3 == 0
            return tf.where(third, blank, ids)

        with mock.patch.object(char_rnn, 'drop_inputs', drop_every_third):
            logits, state = model(
                ids, model.initial_state(4), training=Noise([1, 2])
            )
        x = cells.embed(ids, model.embedding, vocab_size)
        x *= tf.cast(tf.range(ids.shape[1]) % 3 != 0, tf.float32)[:, None]
        outputs, expected = model.cells[0].unroll(
            x, model.cells[0].initial_state(4)
        )
        tf.nest.map_structure(self.assertAllClose, state[0], expected)
        self.assertAllClose(logits, outputs @ model.kernel + model.bias)

    def test_a_gradient_reaches_what_is_not_blank(self):
        model = tfcharrnn.CharRNN(5, 4, 8, dropout={'inputs': 0.5})
        ids = tf.constant([[0, 1], [2, 3]])
        with tf.GradientTape() as tape:
            logits, _ = model(
                ids, model.initial_state(2), training=Noise([1, 2])
            )
        gradient = tape.gradient(logits, model.embedding)
        chosen = [
            dropout.drop_inputs(ids[i : i + 1], 0.5, noise, blank=5).numpy()
            for i, noise in enumerate(
                noise.fold_in(-1)
                for noise in Noise([1, 2]).split(3)[2].split(2)
            )
        ]
        seen = [i for i in range(5) if np.any(gradient[i] != 0.0)]
        self.assertEqual(seen, sorted({*np.ravel(chosen)} - {5}))
        self.assertNotEmpty(seen)


class StateTest(tf.test.TestCase, parameterized.TestCase):
    def drop(self, *cells, rate=0.4, batch_size=40):
        return dropout.drop_states(
            cells, rate, Noise([1, 2]), batch_size=batch_size
        )

    def test_a_share_of_the_mask_is_zero_and_the_mean_stays(self):
        (dropped,) = self.drop(gates.GRU(3, 50))
        mask = dropped.state_mask.numpy()
        self.assertEqual(mask.shape, (40, 50))
        deviation = math.sqrt(0.4 / 0.6 / mask.size)
        self.assertAllClose(mask.mean(), 1.0, atol=4 * deviation)
        self.assertAllClose(mask.max(), 1 / 0.6, rtol=1e-4)
        self.assertEqual({*mask.ravel()}, {0.0, mask.max()})

    def test_rows_and_cells_differ(self):
        cell = gates.GRU(3, 50)
        first, second = (cell.state_mask for cell in self.drop(cell, cell))
        self.assertNotAllEqual(first, second)
        self.assertNotAllEqual(first[0], first[1])
        self.assertIsNone(cell.state_mask)

    def test_a_rate_of_zero_gives_the_cells_themselves(self):
        cell = gates.GRU(3, 4)
        (same,) = self.drop(cell, rate=0.0)
        self.assertIs(same, cell)

    def test_a_cell_that_cannot_is_an_error_that_names_it(self):
        with self.assertRaisesRegex(ValueError, 'MinGRU.*state_mask'):
            tfcharrnn.CharRNN(5, 4, 8, cell='mingru', dropout='state:0.1')

    def test_a_step_of_ones_own_must_say_that_it_heeds_the_mask(self):
        class Own(tfcharrnn.GRU):
            def __call__(self, inputs, state):
                return super().__call__(inputs, state)

        with self.assertRaisesRegex(ValueError, 'Own.*state_mask'):
            tfcharrnn.CharRNN(5, 4, 8, cell=Own, dropout='state:0.1')

    @parameterized.parameters('gru', 'lstm', 'vanilla')
    def test_what_is_dropped_is_not_seen_at_any_position(self, name):
        model = build(cell=name)
        (cell,) = model.cells
        cell = dropout.replace(cell, state_mask=tf.eye(16)[:1])  # Sees unit 0.
        inputs = tf.random.normal([1, TIME, 8])
        outputs, _ = cell.unroll(inputs, cell.initial_state(1))
        others = tf.zeros([15, cell.recurrent_kernel.shape[1]])
        kernel = tf.concat([cell.recurrent_kernel[:1], others], 0)
        blind = dropout.replace(model.cells[0], recurrent_kernel=kernel)
        expected, _ = blind.unroll(inputs, cell.initial_state(1))
        self.assertAllClose(outputs, expected)

    def test_nothing_is_forgotten(self):
        cell = gates.LSTM(3, 4)
        cell.bias.assign(tf.repeat([-50.0, 50.0, 0.0, 0.0], 4))
        cell = dropout.replace(cell, state_mask=tf.zeros([1, 4]))
        start = tf.ones([1, 4]), tf.constant([[1.0, 2.0, 3.0, 4.0]])
        _, (_, c) = cell.unroll(tf.ones([1, TIME, 3]), start)
        self.assertAllClose(c, start[1])


class PenaltyTest(tf.test.TestCase, parameterized.TestCase):
    def test_gradient_is_that_of_the_formula(self):
        outputs = tf.random.normal([UNITS, TIME, ROWS])
        dropped = dropout.drop(outputs, 0.5, [1, 2])
        upstream = tf.random.normal(outputs.shape)
        with tf.GradientTape() as tape:
            tape.watch([outputs, dropped])
            y = dropout.penalize(outputs, dropped, activation=2.0, slowness=3.0)
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

        (logits, gradient), (penalized, with_penalty) = (
            run(False),
            run(Noise([1, 2])),
        )
        self.assertAllEqual(logits, penalized)
        self.assertNotAllClose(gradient, with_penalty)

    def test_the_mean_is_over_all_rows_however_they_are_shared_out(self):
        options = {'activation_penalty': 5.0, 'slowness_penalty': 5.0}
        rnn = tfcharrnn.CharRNN(5, 4, 8, **options)
        ids = tf.constant([[0, 1, 2, 3], [4, 3, 2, 1], [1, 1, 0, 4]])

        def gradients():
            with tf.GradientTape() as tape:
                logits, _ = rnn(
                    ids, rnn.initial_state(3), training=Noise([1, 2])
                )
            return tape.gradient(logits, rnn.cells[0].trainable_variables)

        shared = gradients()
        with mock.patch.object(chains, 'NUM_CHAINS', 1000):
            self.assertAllClose(shared, gradients())


class ModelTest(tf.test.TestCase, parameterized.TestCase):
    def drop(self, *, training, **config):
        """[B, T, V], what dropout makes of ones."""
        model = transparent(cell=Ones, **config)
        return model(
            random_ids(40, 50), model.initial_state(40), training=training
        )[0]

    @parameterized.product(dropout=(0.1, 0.5, 0.9), num_layers=(1, 2))
    def test_share_is_zero_and_the_mean_stays(self, dropout, num_layers):
        outputs = self.drop(
            dropout=dropout, num_layers=num_layers, training=Noise([1, 2])
        ).numpy()
        # Each layer drops its own, independently.
        expected = (1.0 - dropout) ** num_layers
        kept = outputs[outputs != 0.0]
        # A share is taken to the nearest 65536th.
        np.testing.assert_allclose(kept, 1.0 / expected, rtol=2.0**-12)
        deviation = math.sqrt(expected * (1.0 - expected) / outputs.size)
        self.assertAllClose(
            kept.size / outputs.size, expected, atol=4 * deviation
        )

    @parameterized.parameters(0, 1, 2)
    def test_rows_times_and_units_are_independent(self, axis):
        outputs = self.drop(dropout=0.5, training=Noise([1, 2]))
        for shift in (1, outputs.shape[axis] // 2):
            both = (outputs > 0.0) & (tf.roll(outputs, shift, axis) > 0.0)
            share = tf.reduce_mean(tf.cast(both, tf.float32))
            self.assertAllClose(share, 0.25, atol=0.02)

    def test_false_or_a_share_of_zero_drops_nothing(self):
        self.assertAllEqual(
            self.drop(dropout=0.5, training=False), tf.ones([40, 50, VOCAB])
        )
        self.assertAllEqual(
            self.drop(dropout=0.0, training=True), tf.ones([40, 50, VOCAB])
        )

    def test_a_function_of_the_seed(self):
        first = self.drop(dropout=0.5, training=Noise([1, 2]))
        self.assertAllEqual(
            self.drop(dropout=0.5, training=Noise([1, 2])), first
        )
        for seed in ([1, 3], [2, 2], [2, 1]):
            other = self.drop(dropout=0.5, training=Noise(seed))
            self.assertNotAllEqual(other, first)

    @parameterized.parameters(([1, 2],), (None,), (0,))
    def test_anything_but_a_bool_or_noise_is_an_error(self, training):
        with self.assertRaisesRegex(TypeError, '`training` is .*Noise'):
            self.drop(dropout=0.5, training=training)

    def test_noise_is_true(self):
        self.assertTrue(Noise([0, 0]))

    def test_the_same_in_a_graph(self):
        model = build(dropout=0.5, num_layers=2)
        ids, state = random_ids(5), model.initial_state(5)
        noise = Noise(tf.constant([1, 2]))
        graph, _ = tf.function(model)(ids, state, training=noise)
        eager, _ = model(ids, state, training=Noise([1, 2]))
        self.assertAllClose(graph, eager, atol=1e-5)

    def test_true_draws_from_the_global_generator(self):
        model = build(dropout=0.5)
        ids, state = random_ids(5), model.initial_state(5)

        def two_calls():
            tf.random.set_seed(7)
            return [model(ids, state, training=True)[0] for _ in range(2)]

        first, second = two_calls()
        self.assertNotAllClose(first, second)
        self.assertAllEqual(two_calls(), [first, second])

    @parameterized.parameters(*CELLS)
    def test_nothing_is_dropped_on_the_way_through_time(self, cell):
        model = build(cell=cell, dropout=0.5)
        ids, start = random_ids(5), model.initial_state(5)
        expected, expected_state = model(ids, start)
        logits, state = model(ids, start, training=Noise([1, 2]))
        self.assertNotAllClose(logits, expected)
        tf.nest.map_structure(self.assertAllEqual, state, expected_state)

    def test_gradient_sees_the_same_drops(self):
        model = transparent(cell=Ones, dropout=0.5)
        with tf.GradientTape() as tape:
            logits, _ = model(
                random_ids(5), model.initial_state(5), training=Noise([1, 2])
            )
        expected = tf.reduce_sum(logits, [0, 1])[:, None]  # logits are outputs
        self.assertAllClose(
            tape.gradient(logits, model.kernel),
            tf.repeat(expected, VOCAB, axis=1),
        )


class LocationsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters('rows', 'embedding')
    def test_no_embedding_to_drop_is_an_error(self, name):
        with self.assertRaisesRegex(ValueError, name):
            tfcharrnn.CharRNN(5, None, 8, dropout={name: 0.1})

    def test_dropped_characters_are_zero_everywhere(self):
        model = tfcharrnn.CharRNN(50, 4, 8, dropout={'rows': 0.5})
        ids = tf.tile(tf.range(50)[:, None], [1, 1])
        state = model.initial_state(50)
        logits, _ = model(ids, state, training=Noise([1, 2]))
        model.embedding.assign(tf.zeros_like(model.embedding))
        nothing, _ = model(ids[:1], model.initial_state(1))
        dropped = tf.reduce_all(tf.abs(logits - nothing) < 1e-6, [1, 2])
        self.assertBetween(np.mean(dropped), 0.25, 0.75)

    @parameterized.parameters(
        *('rows', 'inputs', 'embedding', 'layers', 'output', 'weights', 'state')
    )
    def test_each_kind_drops_in_training_and_nothing_else(self, name):
        model = tfcharrnn.CharRNN(9, 8, 16, 2, dropout={name: 0.5})
        ids = tf.range(9)[None]
        state = model.initial_state(1)
        plain, _ = model(ids, state)
        first, _ = model(ids, state, training=Noise([1, 2]))
        same, _ = model(ids, state, training=Noise([1, 2]))
        other, _ = model(ids, state, training=Noise([3, 2]))
        self.assertAllEqual(first, same)
        self.assertNotAllClose(first, plain)
        self.assertNotAllClose(first, other)


if __name__ == '__main__':
    tf.test.main()
