import json
import math
import os
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from small_models import (
    CELLS,
    TIME,
    VOCAB,
    build,
    copy,
    random_ids,
    random_state,
    transparent,
)

import tfcharrnn
from tfcharrnn import config
from tfcharrnn.nn import cells, gates, mogrifier, recurrence
from tfcharrnn.training import losses

KERAS = {
    'gru': tf.keras.layers.GRU,
    'lstm': tf.keras.layers.LSTM,
    'vanilla': tf.keras.layers.SimpleRNN,
}
PLAIN = {
    name: getattr(cells, cell.class_name)
    for name, cell in config.CELLS.items()
    if hasattr(gates, cell.class_name)
}


class Histogram(cells.RNNCell):
    """Sums its inputs: of one-hot characters, how often each came so far."""

    def __call__(self, inputs, state):
        return state + inputs, state + inputs


def rows(state, start, end):
    return tf.nest.map_structure(lambda x: x[start:end], state)


def keras_weights(model):
    weights = [model.embedding]
    for cell in model.cells:
        weights += [cell.kernel, cell.recurrent_kernel, cell.bias]
    return [*weights, model.kernel, model.bias]


def relative_error(actual, expected):
    error = tf.reduce_max(tf.abs(actual - expected))
    return float(error / tf.reduce_max(tf.abs(expected)))


class ModelTest(tf.test.TestCase, parameterized.TestCase):
    def assert_all_close(self, actual, expected, **tolerance):
        tf.nest.map_structure(
            lambda a, b: self.assertAllClose(a, b, **tolerance),
            actual,
            expected,
        )

    def test_numbers_of_parameters_of_well_known_models(self):
        model = tfcharrnn.CharRNN(65)
        self.assertEqual(model.num_parameters, 4_021_569)
        model = tfcharrnn.CharRNN(57, None, 128, cell='lstm')
        self.assertEqual(model.num_parameters, 102_585)

    @parameterized.product(cell=list(KERAS), num_layers=(1, 2))
    def test_equals_keras_layers(self, cell, num_layers):
        model = build(cell=cell, num_layers=num_layers)
        layers = [tf.keras.layers.Embedding(VOCAB, 8)]
        for _ in range(num_layers):
            layers.append(KERAS[cell](16, return_sequences=True))
        layers.append(tf.keras.layers.Dense(VOCAB))
        keras_model = tf.keras.Sequential(layers)
        keras_model.build([None, None])
        keras_model.set_weights([w.numpy() for w in keras_weights(model)])

        ids, loss_weights = random_ids(3), tf.random.normal([VOCAB])
        with tf.GradientTape(persistent=True) as tape:
            logits, _ = model(ids, model.initial_state(3))
            loss = tf.reduce_sum(logits * loss_weights)
            expected = keras_model(ids)
            expected_loss = tf.reduce_sum(expected * loss_weights)
        self.assertLess(relative_error(logits, expected), 1e-5)
        gradients = tape.gradient(loss, keras_weights(model))
        expected_gradients = tape.gradient(
            expected_loss, keras_model.trainable_variables
        )
        for pair in zip(gradients, expected_gradients, strict=True):
            pair = [tf.convert_to_tensor(x) for x in pair]
            self.assertLess(relative_error(*pair), 1e-5, pair[0].shape)

    @parameterized.product(cell=list(PLAIN), embedding_dim=(8, None))
    def test_equals_the_same_model_of_plain_cells(self, cell, embedding_dim):
        config = {'num_layers': 2, 'embedding_dim': embedding_dim}
        model = build(cell=cell, **config)
        plain = copy(model, build(cell=PLAIN[cell], **config))
        ids, state = random_ids(5), random_state(model, 5)
        targets, mask = random_ids(5), tf.random.uniform([5, TIME]) < 0.5

        def solve(model):
            sources = tf.nest.flatten([state, model.trainable_variables])
            with tf.GradientTape() as tape:
                tape.watch(sources)
                logits, end = model(ids, state)
                loss, _ = losses.cross_entropy(logits, targets, mask)
            gradients = tape.gradient(loss, sources)
            return [logits, end, list(map(tf.convert_to_tensor, gradients))]

        results = map(tf.nest.flatten, (solve(model), solve(plain)))
        for actual, expected in zip(*results, strict=True):
            self.assertLess(relative_error(actual, expected), 1e-5)

    def test_any_cell_gives_closed_form_answers(self):
        model = transparent(cell=Histogram, embedding_dim=None)
        ids = random_ids(5)
        counts = np.cumsum(np.eye(VOCAB)[ids], axis=1)
        logits, state = model(ids, model.initial_state(5))
        self.assertAllEqual(logits, counts)
        self.assertAllEqual(state[0], counts[:, -1])
        logits, state = model(ids, state)  # and the state carries on
        self.assertAllEqual(logits, counts + counts[:, -1:])

    def test_any_cell_trains(self):
        # The next character is the most frequent one so far.
        model = transparent(cell=Histogram, embedding_dim=None)
        ids = random_ids(8)
        state, mask = model.initial_state(8), tf.ones(ids.shape, tf.bool)
        counts, _ = model(ids, state)
        targets = tf.argmax(counts, -1, output_type=tf.int32)
        model.kernel.assign(tf.zeros([VOCAB, VOCAB]))

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                logits, _ = model(ids, state)
                total, count = losses.cross_entropy(logits, targets, mask)
                loss = total / count
            model.kernel.assign_sub(0.2 * tape.gradient(loss, model.kernel))
            return loss

        curve = [float(step()) for _ in range(50)]
        self.assertAllClose(curve[0], math.log(VOCAB))
        self.assertLess(curve[-1], 0.5 * curve[0])

    @parameterized.product(cell=[*CELLS, Histogram], num_layers=(1, 2))
    def test_two_halves_equal_the_whole(self, cell, num_layers):
        model = build(
            cell=cell, num_layers=num_layers, embedding_dim=16, rnn_units=16
        )
        ids, start = random_ids(3), random_state(model, 3)
        whole, end = model(ids, start)
        first, state = model(ids[:, :4], start)
        second, state = model(ids[:, 4:], state)
        self.assertAllClose(
            tf.concat([first, second], 1), whole, atol=1e-5, rtol=1e-5
        )
        self.assert_all_close(state, end, atol=1e-5, rtol=1e-5)

    @parameterized.product(cell=CELLS, batch_size=(2, 5))
    def test_a_row_depends_on_no_other(self, cell, batch_size):
        model = build(cell=cell, num_layers=2)
        ids, start = random_ids(batch_size), random_state(model, batch_size)
        logits, end = model(ids, start)
        for b in range(batch_size):
            row, state = model(ids[b : b + 1], rows(start, b, b + 1))
            self.assertAllClose(row[0], logits[b], atol=1e-5)
            self.assert_all_close(state, rows(end, b, b + 1), atol=1e-5)

    @parameterized.product(
        cell=CELLS,
        num_layers=(1, 2),
        embedding_dim=(8, None),
        compute_dtype=('float32', 'bfloat16'),
    )
    def test_step_equals_a_call_of_length_one(self, **config):
        model = build(**config)
        ids, start = random_ids(3, length=1), random_state(model, 3)
        expected, expected_state = model(ids, start)
        logits, state = model.step(ids[:, 0], start)
        atol = 1e-5 if config['compute_dtype'] == 'float32' else 0.03
        self.assertAllClose(logits, expected[:, 0], atol=atol)
        self.assert_all_close(state, expected_state, atol=atol)

    @parameterized.parameters(*CELLS)
    def test_one_graph_takes_any_length_and_batch_size(self, cell):
        model = build(cell=cell)

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
        def graph(ids):
            return model(ids, model.initial_state(tf.shape(ids)[0]))

        for batch_size, length in [(1, 1), (1, 4), (3, 2)]:
            ids = random_ids(batch_size, length)
            expected = model(ids, model.initial_state(batch_size))
            self.assert_all_close(graph(ids), expected, atol=1e-5)

    @parameterized.product(
        cell=CELLS, num_layers=(1, 2), compute_dtype=('float32', 'bfloat16')
    )
    def test_state_has_a_part_for_each_layer(self, **config):
        model = build(**config)
        start = model.initial_state(3)
        self.assertLen(start, config['num_layers'])
        logits, end = model(random_ids(3), start)
        _, after_step = model.step(random_ids(3)[:, 0], start)
        self.assertEqual(
            (logits.dtype, logits.shape), (tf.float32, [3, TIME, VOCAB])
        )
        for state in (start, end, after_step):
            tf.nest.assert_same_structure(state, start)
            for part in tf.nest.flatten(state):
                self.assertEqual(part.dtype, tf.float32)
                self.assertEqual(part.shape, [3, 16])

    def test_state_of_lstm_is_h_and_c(self):
        model = build(cell='lstm')
        _, ((h, c),) = model(random_ids(3), model.initial_state(3))
        gate = h / tf.tanh(c)  # h = o * tanh(c)
        self.assertAllInRange(gate, 0.0, 1.0)

    @parameterized.product(cell=CELLS, num_layers=(1, 2))
    def test_bfloat16_is_near_float32(self, **config):
        model = build(**config)
        reduced = copy(model, build(compute_dtype='bfloat16', **config))
        ids, state = random_ids(3), random_state(model, 3)
        expected, actual = model(ids, state), reduced(ids, state)
        for a, b in zip(*map(tf.nest.flatten, (actual, expected)), strict=True):
            self.assertLess(tf.norm(a - b) / tf.norm(b), 0.02)
        for variable in reduced.variables:
            self.assertEqual(variable.dtype, tf.float32)

    @parameterized.parameters(
        ({}, 0.05),
        ({'embedding_dim': None}, 0.05),
        ({'cell': 'lstm', 'rnn_units': 256}, 0.05),
        # No gate holds its outputs back, so logits differ more from the start.
        ({'cell': 'vanilla', 'rnn_units': 256}, 0.15),
    )
    def test_untrained_model_is_as_good_as_chance(self, config, margin):
        model = tfcharrnn.CharRNN(65, **config)
        ids, targets = random_ids(8, 50, 65), random_ids(8, 50, 65)
        logits, _ = model(ids, model.initial_state(8))
        total, count = losses.cross_entropy(
            logits, targets, tf.ones_like(targets, tf.bool)
        )
        self.assertAllClose(total / count, math.log(65), atol=margin)

    @parameterized.parameters(
        {},
        {'cell': 'lstm', 'num_layers': 2, 'dropout': 0.25},
        {'embedding_dim': None, 'compute_dtype': 'bfloat16'},
    )
    def test_config_rebuilds_the_model(self, **config):
        model = build(**config)
        config = json.loads(json.dumps(model.config))
        rebuilt = copy(model, tfcharrnn.CharRNN(**config))
        self.assertEqual(rebuilt.config, model.config)
        ids, state = random_ids(2), model.initial_state(2)
        self.assert_all_close(rebuilt(ids, state), model(ids, state))

    @parameterized.parameters(
        ('gru', gates.GRU),
        ('lstm', gates.LSTM),
        ('mingru', gates.MinGRU),
        ('mogrified_gru', mogrifier.MogrifiedGRU),
        ('vanilla', cells.VanillaRNN),
    )
    def test_config_names_the_class_of_a_cell_as_one_would(self, name, cell):
        config = build(cell=cell).config
        self.assertEqual(config['cell'], name)
        self.assertEqual(config, build(cell=name).config)

    def test_config_names_a_cell_of_ones_own(self):
        model = transparent(cell=Histogram, embedding_dim=None)
        config = json.loads(json.dumps(model.config))
        with self.assertRaisesRegex(ValueError, "'Histogram'.* pass its class"):
            tfcharrnn.CharRNN(**config)
        rebuilt = tfcharrnn.CharRNN(**config | {'cell': Histogram})
        self.assertEqual(rebuilt.config, model.config)

    @parameterized.parameters(
        ('vocab_size', 0),
        ('vocab_size', '65'),
        ('embedding_dim', 0),
        ('rnn_units', -1),
        ('rnn_units', 0.5),
        ('num_layers', 0),
        ('cell', 'gruu'),
        ('cell', int),
        ('dropout', 1.0),
        ('dropout', -0.1),
        ('compute_dtype', 'float16'),
        ('activation_penalty', -1.0),
        ('slowness_penalty', math.inf),
    )
    def test_error_names_the_argument_and_its_value(self, name, value):
        with self.assertRaisesRegex(ValueError, f'`{name}` is .*{value}'):
            build(**{name: value})


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
                recurrence, '_num_threads', lambda t=threads: t
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

    def test_options_are_in_the_config_if_they_are_on(self):
        model = tfcharrnn.CharRNN(9, 8, 8, 2, residual=True)
        self.assertEqual(model.config['residual'], True)
        self.assertNotIn('tied', model.config)
        again = tfcharrnn.CharRNN(**model.config)
        self.assertEqual(again.config, model.config)
        with self.assertRaisesRegex(TypeError, 'deep'):
            tfcharrnn.CharRNN(9, deep=True)

    def test_config_is_that_of_older_versions(self):
        # Digests in checkpoints depend on every key and its place.
        everything = {
            'vocab_size': 9,
            'embedding_dim': 8,
            'rnn_units': 8,
            'num_layers': 2,
            'cell': 'lstm',
            'compute_dtype': 'bfloat16',
            'dropout': {'output': 0.5, 'locked': True},
            'tied': True,
            'residual': True,
            'layer_norm': True,
            'activation_penalty': 2.0,
            'slowness_penalty': 1,
        }
        model = tfcharrnn.CharRNN(**everything)
        self.assertEqual(json.dumps(model.config), json.dumps(everything))
        plain = tfcharrnn.CharRNN(9, 8, 16, residual=False)
        self.assertEqual(
            json.dumps(plain.config),
            '{"vocab_size": 9, "embedding_dim": 8, "rnn_units": 16, '
            '"num_layers": 1, "cell": "gru", "compute_dtype": "float32", '
            '"dropout": 0.0}',
        )

    def test_keys_of_checkpoints_are_those_of_older_versions(self):
        model = tfcharrnn.CharRNN(9, 8, 16, 1, layer_norm=True)
        prefix = os.path.join(self.get_temp_dir(), 'ckpt')
        path = tf.train.Checkpoint(model=model).write(prefix)
        keys = {
            key.removesuffix('/.ATTRIBUTES/VARIABLE_VALUE')
            for key, _ in tf.train.list_variables(path)
        }
        self.assertEqual(
            keys - {'_CHECKPOINTABLE_OBJECT_GRAPH'},
            {
                'model/embedding',
                'model/cells/0/kernel',
                'model/cells/0/recurrent_kernel',
                'model/cells/0/bias',
                'model/norms/0/scale',
                'model/norms/0/shift',
                'model/kernel',
                'model/bias',
            },
        )


if __name__ == '__main__':
    tf.test.main()
