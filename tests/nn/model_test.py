import json
import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import cells, losses

CELLS = ('gru', 'lstm', 'mingru', 'vanilla')
KERAS = {
    'gru': tf.keras.layers.GRU,
    'lstm': tf.keras.layers.LSTM,
    'vanilla': tf.keras.layers.SimpleRNN,
}
PLAIN = {'gru': cells.GRU, 'lstm': cells.LSTM, 'mingru': cells.MinGRU}
VOCAB, TIME = 11, 10


class Histogram(cells.RNNCell):
    """Sums its inputs: of one-hot characters, how often each came so far."""

    def __call__(self, inputs, state):
        return state + inputs, state + inputs


class Ones(cells.RNNCell):
    """1 from the first layer, passed on by others: shows what is dropped."""

    def __call__(self, inputs, state):
        first = self.input_size != self.units
        return (tf.ones_like(state) if first else inputs), state


def build(**config):
    sizes = {'vocab_size': VOCAB, 'embedding_dim': 8, 'rnn_units': 16}
    model = tfcharrnn.CharRNN(**sizes | config)
    for variable in model.variables:  # biases too: zeros would hide mistakes
        variable.assign_add(tf.random.normal(variable.shape, stddev=0.2))
    return model


def transparent(**config):
    """A model whose logits are the outputs of its last cell."""
    model = build(rnn_units=VOCAB, **config)
    model.kernel.assign(tf.eye(VOCAB))
    model.bias.assign(tf.zeros(VOCAB))
    return model


def copy(source, target):
    for theirs, ours in zip(source.variables, target.variables, strict=True):
        ours.assign(theirs)
    return target


def random_ids(batch_size, length=TIME, vocab_size=VOCAB):
    return tf.random.uniform(
        [batch_size, length], maxval=vocab_size, dtype=tf.int32
    )


def random_state(model, batch_size):
    return tf.nest.map_structure(
        lambda zeros: tf.random.normal(zeros.shape),
        model.initial_state(batch_size),
    )


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

    @parameterized.parameters(*CELLS)
    def test_config_names_the_class_of_a_cell_as_one_would(self, name):
        config = build(cell=tfcharrnn.model.CELLS[name]).config
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
    )
    def test_error_names_the_argument_and_its_value(self, name, value):
        with self.assertRaisesRegex(ValueError, f'`{name}` is .*{value}'):
            build(**{name: value})


class DropoutTest(tf.test.TestCase, parameterized.TestCase):
    def drop(self, *, training, **config):
        """[B, T, V], what dropout makes of ones."""
        model = transparent(cell=Ones, **config)
        return model(
            random_ids(40, 50), model.initial_state(40), training=training
        )[0]

    @parameterized.product(dropout=(0.1, 0.5, 0.9), num_layers=(1, 2))
    def test_share_is_zero_and_the_mean_stays(self, dropout, num_layers):
        outputs = self.drop(
            dropout=dropout, num_layers=num_layers, training=[1, 2]
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
        outputs = self.drop(dropout=0.5, training=[1, 2])
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
        first = self.drop(dropout=0.5, training=[1, 2])
        self.assertAllEqual(self.drop(dropout=0.5, training=[1, 2]), first)
        for seed in ([1, 3], [2, 2], [2, 1]):
            other = self.drop(dropout=0.5, training=seed)
            self.assertNotAllEqual(other, first)

    def test_the_same_in_a_graph(self):
        model = build(dropout=0.5, num_layers=2)
        ids, state, seed = random_ids(5), model.initial_state(5), [1, 2]
        graph, _ = tf.function(model)(ids, state, training=tf.constant(seed))
        eager, _ = model(ids, state, training=seed)
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
        logits, state = model(ids, start, training=[1, 2])
        self.assertNotAllClose(logits, expected)
        tf.nest.map_structure(self.assertAllEqual, state, expected_state)

    def test_gradient_sees_the_same_drops(self):
        model = transparent(cell=Ones, dropout=0.5)
        with tf.GradientTape() as tape:
            logits, _ = model(
                random_ids(5), model.initial_state(5), training=[1, 2]
            )
        expected = tf.reduce_sum(logits, [0, 1])[:, None]  # logits are outputs
        self.assertAllClose(
            tape.gradient(logits, model.kernel),
            tf.repeat(expected, VOCAB, axis=1),
        )


if __name__ == '__main__':
    tf.test.main()
