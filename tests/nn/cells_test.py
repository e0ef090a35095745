import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import cells, config

CELLS = tuple(
    getattr(cells, c.class_name)
    for c in config.CELLS.values()
    if hasattr(cells, c.class_name)
)
BATCH, TIME, FEATURES, UNITS, VOCAB = 3, 5, 4, 6, 7


class Counter(cells.RNNCell):
    """Counts its steps."""

    def __call__(self, inputs, state):
        return state + 1.0, state + 1.0


class Delay(cells.RNNCell):
    """Repeats its inputs two steps later; its state is a nested tuple."""

    def initial_state(self, batch_size):
        zeros = tf.zeros([batch_size, self.units])
        return zeros, (zeros,)

    def __call__(self, inputs, state):
        last, (last_but_one,) = state
        return last_but_one, (inputs, (last,))


def random_cell(cell):
    """A cell with biases too: zeros would hide mistakes."""
    cell = cell(FEATURES, UNITS)
    cell.bias.assign(tf.random.normal(cell.bias.shape))
    return cell


def random_state(cell):
    return tf.nest.map_structure(
        lambda zeros: tf.random.normal(zeros.shape), cell.initial_state(BATCH)
    )


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def vanilla_equations(weights, x, h):
    state = np.tanh(
        x @ weights['kernel']
        + h @ weights['recurrent_kernel']
        + weights['bias']
    )
    return state, state


def gru_equations(weights, x, h):
    w_z, w_r, w_h = np.split(weights['kernel'], 3, axis=1)
    u_z, u_r, u_h = np.split(weights['recurrent_kernel'], 3, axis=1)
    (b_z, b_r, b_h), (c_z, c_r, c_h) = (
        np.split(bias, 3) for bias in weights['bias']
    )
    z = sigmoid(x @ w_z + b_z + h @ u_z + c_z)
    r = sigmoid(x @ w_r + b_r + h @ u_r + c_r)
    candidate = np.tanh(x @ w_h + b_h + r * (h @ u_h + c_h))
    state = z * h + (1 - z) * candidate
    return state, state


def lstm_equations(weights, x, state):
    h, c = state
    w_i, w_f, w_g, w_o = np.split(weights['kernel'], 4, axis=1)
    u_i, u_f, u_g, u_o = np.split(weights['recurrent_kernel'], 4, axis=1)
    b_i, b_f, b_g, b_o = np.split(weights['bias'], 4)
    i = sigmoid(x @ w_i + h @ u_i + b_i)
    f = sigmoid(x @ w_f + h @ u_f + b_f)
    o = sigmoid(x @ w_o + h @ u_o + b_o)
    c = f * c + i * np.tanh(x @ w_g + h @ u_g + b_g)
    h = o * np.tanh(c)
    return h, (h, c)


def mingru_equations(weights, x, h):
    w_z, w_h = np.split(weights['kernel'], 2, axis=1)
    b_z, b_h = np.split(weights['bias'], 2)
    z = sigmoid(x @ w_z + b_z)
    state = (1 - z) * h + z * (x @ w_h + b_h)
    return state, state


class CellsTest(tf.test.TestCase, parameterized.TestCase):
    def assert_all_close(self, actual, expected, **tolerance):
        tf.nest.map_structure(
            lambda a, b: self.assertAllClose(a, b, **tolerance),
            actual,
            expected,
        )

    @parameterized.parameters(
        (cells.VanillaRNN, vanilla_equations),
        (cells.GRU, gru_equations),
        (cells.LSTM, lstm_equations),
        (cells.MinGRU, mingru_equations),
    )
    def test_step_equals_the_equations(self, cell, equations):
        cell = random_cell(cell)
        x, state = tf.random.normal([BATCH, FEATURES]), random_state(cell)
        weights = {
            name: getattr(cell, name).numpy()
            for name in ('kernel', 'recurrent_kernel', 'bias')
            if hasattr(cell, name)
        }
        expected = equations(
            weights, *tf.nest.map_structure(np.asarray, (x, state))
        )
        self.assert_all_close(cell(x, state), expected)

    @parameterized.product(cell=CELLS, in_graph=(False, True))
    def test_unroll_equals_a_loop_of_steps(self, cell, in_graph):
        cell = random_cell(cell)
        inputs = tf.random.normal([BATCH, TIME, FEATURES])
        start = state = random_state(cell)
        expected = []
        for x in tf.unstack(inputs, axis=1):
            output, state = cell(x, state)
            expected.append(output)
        unroll = tf.function(cell.unroll) if in_graph else cell.unroll
        outputs, end = unroll(inputs, start)
        self.assert_all_close(outputs, tf.stack(expected, 1))
        self.assert_all_close(end, state)

    @parameterized.parameters(*CELLS)
    def test_gradient_of_unroll_equals_that_of_a_loop(self, cell):
        cell = random_cell(cell)
        inputs = tf.random.normal([BATCH, TIME, FEATURES])
        wanted = [inputs, random_state(cell), cell.trainable_variables]

        def loop(inputs, state):
            for x in tf.unstack(inputs, axis=1):
                output, state = cell(x, state)
            return output, state

        def gradient(unroll):
            with tf.GradientTape() as tape:
                tape.watch(tf.nest.flatten(wanted[:2]))
                _, end = unroll(*wanted[:2])
                loss = sum(tf.reduce_sum(x**3) for x in tf.nest.flatten(end))
            return tape.gradient(loss, tf.nest.flatten(wanted))

        self.assert_all_close(gradient(cell.unroll), gradient(loop))

    @parameterized.parameters(*CELLS)
    def test_unroll_of_any_length_and_batch_size_in_one_graph(self, cell):
        cell = random_cell(cell)

        @tf.function(input_signature=[tf.TensorSpec([None, None, FEATURES])])
        def unroll(inputs):
            return cell.unroll(inputs, cell.initial_state(tf.shape(inputs)[0]))

        for shape in [(1, 1), (1, 4), (3, 2)]:
            inputs = tf.random.normal([*shape, FEATURES])
            expected = cell.unroll(inputs, cell.initial_state(shape[0]))
            self.assert_all_close(unroll(inputs), expected)

    @parameterized.parameters(*CELLS)
    def test_columns_are_rows_transposed(self, cell):
        cell = random_cell(cell)
        inputs, state = tf.random.normal([3, 5, FEATURES]), random_state(cell)
        rows, expected_end = cell.unroll(inputs, state)
        columns, end = cell.unroll_columns(
            tf.transpose(inputs, [2, 1, 0]), state
        )
        self.assertEqual(columns.shape, [UNITS, TIME, BATCH])
        self.assertAllClose(tf.transpose(columns, [2, 1, 0]), rows)
        self.assert_all_close(end, expected_end)

    @parameterized.parameters(*CELLS)
    def test_ids_are_rows_of_the_embedding(self, cell):
        cell = random_cell(cell)
        ids = tf.random.uniform([BATCH, TIME], maxval=VOCAB, dtype=tf.int32)
        embedding, state = (
            tf.random.normal([VOCAB, FEATURES]),
            random_state(cell),
        )
        columns, end = cell.unroll_ids(ids, embedding, state)
        rows, expected_end = cell.unroll(tf.gather(embedding, ids), state)
        self.assertAllClose(tf.transpose(columns, [2, 1, 0]), rows)
        self.assert_all_close(end, expected_end)

    @parameterized.parameters(*CELLS)
    def test_ids_without_embedding_are_one_hot(self, cell):
        cell = random_cell(cell)
        ids = tf.random.uniform([BATCH, TIME], maxval=FEATURES, dtype=tf.int32)
        state = random_state(cell)
        actual = cell.unroll_ids(ids, None, state)
        self.assert_all_close(
            actual, cell.unroll_ids(ids, tf.eye(FEATURES), state)
        )

    def test_counter_counts(self):
        cell = Counter(input_size=FEATURES, units=UNITS)
        outputs, state = cell.unroll(
            tf.zeros([BATCH, TIME, FEATURES]), cell.initial_state(BATCH) + 10
        )
        steps = tf.range(11.0, 11 + TIME)[None, :, None]
        self.assertAllEqual(
            outputs, tf.broadcast_to(steps, [BATCH, TIME, UNITS])
        )
        self.assertAllEqual(state, tf.fill([BATCH, UNITS], 10.0 + TIME))

    def test_state_may_be_a_nested_tuple(self):
        cell = Delay(input_size=UNITS, units=UNITS)
        inputs = tf.random.normal([BATCH, TIME, UNITS])
        outputs, state = cell.unroll(inputs, cell.initial_state(BATCH))
        delayed = tf.pad(inputs[:, :-2], [[0, 0], [2, 0], [0, 0]])
        self.assertAllEqual(outputs, delayed)
        self.assert_all_close(state, (inputs[:, -1], (inputs[:, -2],)))

    @parameterized.parameters(*CELLS)
    def test_static_shapes_are_known_in_a_graph(self, cell):
        cell = random_cell(cell)

        @tf.function
        def unroll(inputs):
            outputs, state = cell.unroll(inputs, cell.initial_state(BATCH))
            self.assertEqual(outputs.shape, [BATCH, TIME, UNITS])
            for tensor in tf.nest.flatten(state):
                self.assertEqual(tensor.shape, [BATCH, UNITS])

        unroll(tf.zeros([BATCH, TIME, FEATURES]))

    @parameterized.parameters(*CELLS)
    def test_bfloat16_is_near_float32_and_stays_inside(self, cell):
        cell = random_cell(cell)
        x, state = tf.random.normal([BATCH, FEATURES]), random_state(cell)
        expected = cell(x, state)
        cell.compute_dtype = tf.bfloat16
        actual = cell(x, state)
        self.assert_all_close(actual, expected, atol=0.02)
        self.assertNotAllClose(actual[0], expected[0], atol=1e-5)
        for tensor in tf.nest.flatten([actual, cell.variables]):
            self.assertEqual(tensor.dtype, tf.float32)

    @parameterized.parameters(
        (cells.VanillaRNN, 1), (cells.GRU, 3), (cells.LSTM, 4)
    )
    def test_initial_weights(self, cell, num_gates):
        cell = cell(20, 30)
        limit = (6 / (20 + 30 * num_gates)) ** 0.5
        self.assertAllInRange(cell.kernel, -limit, limit)
        self.assertAllClose(  # of a uniform distribution
            tf.math.reduce_std(cell.kernel), limit / 3**0.5, rtol=0.1
        )
        self.assertAllClose(  # rows are orthogonal
            tf.matmul(
                cell.recurrent_kernel, cell.recurrent_kernel, transpose_b=True
            ),
            tf.eye(30),
            atol=1e-5,
        )

    def test_only_the_bias_of_the_forget_gate_is_not_zero(self):
        self.assertAllEqual(cells.VanillaRNN(FEATURES, UNITS).bias, [0] * UNITS)
        self.assertAllEqual(
            cells.GRU(FEATURES, UNITS).bias, [[0] * 3 * UNITS] * 2
        )
        self.assertAllEqual(
            cells.LSTM(FEATURES, UNITS).bias,
            [0] * UNITS + [1] * UNITS + [0] * 2 * UNITS,
        )

    def test_cell_without_a_step_is_an_error(self):
        class Unfinished(cells.RNNCell):
            pass

        cell = Unfinished(FEATURES, UNITS)
        with self.assertRaisesRegex(NotImplementedError, 'Unfinished must'):
            cell(tf.zeros([1, FEATURES]), cell.initial_state(1))


if __name__ == '__main__':
    tf.test.main()
