import functools
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import config
from tfcharrnn.nn import cells, dropout, gates, mogrifier
from tfcharrnn.nn.char_rnn import CharRNN

FEATURES, UNITS, VOCAB = 8, 16, 11
CELLS = {
    mogrifier.MogrifiedGRU: gates.GRU,
    mogrifier.MogrifiedLSTM: gates.LSTM,
}
BOUNDS = {tf.float32: 1e-5, tf.bfloat16: 0.03}


def random_cell(kind, rounds=4):
    """A cell with a bias and factors: zeros would hide mistakes."""
    cell = type(kind.__name__, (kind,), {'rounds': rounds, 'rank': 3})
    cell = cell(FEATURES, UNITS)
    for variable in cell.variables:
        variable.assign(tf.random.normal(variable.shape, stddev=0.5))
    return cell


def random_state(cell, batch_size):
    return tf.nest.map_structure(
        lambda zeros: tf.random.normal(zeros.shape),
        cell.initial_state(batch_size),
    )


def solve(cell, unroll, x, state, weights):
    """Returns outputs, end, and the gradient of all that has one."""
    sources = [*cell.trainable_variables, x, *tf.nest.flatten(state)]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs, end = unroll(x, state)
        everything = [outputs, *tf.nest.flatten(end)]
        loss = tf.add_n(
            tf.reduce_sum(w * v)
            for w, v in zip(weights, everything, strict=True)
        )
    gradients = tape.gradient(loss, sources)
    return [*everything, *map(tf.convert_to_tensor, gradients)]


class MogrifierTest(tf.test.TestCase, parameterized.TestCase):
    def assert_equal(self, actual, expected, bound):
        for a, b in zip(actual, expected, strict=True):
            error = float(tf.norm(a - b) / tf.norm(b))
            self.assertLessEqual(error, bound, f'of shape {b.shape}')

    def problem(self, cell, length=6, batch_size=3):
        x = tf.random.normal([batch_size, length, FEATURES])
        state = random_state(cell, batch_size)
        ends = [s.shape for s in tf.nest.flatten(state)]
        shapes = [[batch_size, length, UNITS], *ends]
        return x, state, [tf.random.normal(shape) for shape in shapes]

    @parameterized.parameters(1, 2, 3, 4)
    def test_rounds_are_the_equations_of_the_paper(self, rounds):
        cell = random_cell(mogrifier.MogrifiedLSTM, rounds)
        x, h = np.random.randn(3, FEATURES), np.random.randn(3, UNITS)
        made = cell.seen(*map(tf.constant, np.float32([x])), np.float32(h))
        for i, (down, up) in enumerate(cell.factors, 1):
            matrix = down.numpy() @ up.numpy()
            if i % 2:
                x = 2 / (1 + np.exp(-(h @ matrix))) * x
            else:
                h = 2 / (1 + np.exp(-(x @ matrix))) * h
        self.assertAllClose(made[0], x, 1e-4, 1e-4)
        self.assertAllClose(made[1], h, 1e-4, 1e-4)

    @parameterized.parameters(*CELLS)
    def test_a_step_is_the_plain_step_of_what_is_gated(self, kind):
        cell = random_cell(kind)
        x, state = tf.random.normal([3, FEATURES]), random_state(cell, 3)
        plain = CELLS[kind](FEATURES, UNITS)
        for name in ('kernel', 'recurrent_kernel', 'bias'):
            getattr(plain, name).assign(getattr(cell, name))
        h = tf.nest.flatten(state)[0]
        x, seen = cell.seen(x, h)
        # What the update gate carries on is not gated.
        with mock.patch.object(plain, 'seen', lambda x, h: (x, seen)):
            expected = plain(x, state)
        with mock.patch.object(cell, 'seen', lambda *_: (x, seen)):
            tf.nest.map_structure(self.assertAllClose, cell(x, state), expected)

    @parameterized.product(cell=list(CELLS), dtype=list(BOUNDS))
    def test_the_loop_equals_steps_forward_and_backward(self, cell, dtype):
        cell = random_cell(cell)
        for sizes in ((1, 1), (6, 3), (5, 4)):
            x, state, weights = self.problem(cell, *sizes)
            cell.compute_dtype = tf.float32
            steps = functools.partial(cells.RNNCell.unroll, cell)
            expected = solve(cell, steps, x, state, weights)
            cell.compute_dtype = dtype
            for unroll in (cell.unroll, tf.function(cell.unroll)):
                actual = solve(cell, unroll, x, state, weights)
                self.assert_equal(actual, expected, BOUNDS[dtype])

    @parameterized.parameters(*CELLS)
    def test_so_it_does_through_a_mask_of_the_state(self, cell):
        cell = random_cell(cell)
        x, state, weights = self.problem(cell)
        mask = 2.0 * tf.random.uniform([3, UNITS])
        cell = dropout.replace(cell, state_mask=mask)
        steps = functools.partial(cells.RNNCell.unroll, cell)
        expected = solve(cell, steps, x, state, weights)
        self.assert_equal(
            solve(cell, cell.unroll, x, state, weights), expected, 1e-5
        )

    @parameterized.parameters(*CELLS)
    def test_one_graph_for_any_length_and_batch_size(self, cell):
        cell = random_cell(cell)

        @tf.function(input_signature=[tf.TensorSpec([None, None, FEATURES])])
        def unroll(inputs):
            return cell.unroll(inputs, cell.initial_state(tf.shape(inputs)[0]))

        for shape in [(1, 1), (1, 4), (3, 2)]:
            inputs = tf.random.normal([*shape, FEATURES])
            expected = cell.unroll(inputs, cell.initial_state(shape[0]))
            tf.nest.map_structure(self.assertAllClose, unroll(inputs), expected)

    @parameterized.parameters(*CELLS)
    def test_a_gradient_may_be_taken_twice(self, cell):
        cell = random_cell(cell)
        with tf.GradientTape(persistent=True) as tape:
            outputs, _ = cell.unroll(
                tf.ones([3, 2, FEATURES]), cell.initial_state(3)
            )
        self.assertAllEqual(
            tape.gradient(outputs, cell.kernel),
            tape.gradient(outputs, cell.kernel),
        )

    @parameterized.product(
        cell=('mogrified_gru', 'mogrified_lstm'), embedding_dim=(8, None)
    )
    def test_a_new_model_is_the_plain_one(self, cell, embedding_dim):
        sizes = {
            'vocab_size': VOCAB,
            'embedding_dim': embedding_dim,
            'rnn_units': UNITS,
            'num_layers': 2,
        }
        model = CharRNN(cell=cell, **sizes)
        plain = CharRNN(cell=cell.removeprefix('mogrified_'), **sizes)
        for ours, theirs in zip(model.cells, plain.cells, strict=True):
            for name in ('kernel', 'recurrent_kernel', 'bias'):
                getattr(theirs, name).assign(getattr(ours, name))
        plain.kernel.assign(model.kernel)
        if model.embedding is not None:
            plain.embedding.assign(model.embedding)
        ids = tf.random.uniform([3, 5], maxval=VOCAB, dtype=tf.int32)
        logits, _ = model(ids, model.initial_state(3))
        expected, _ = plain(ids, plain.initial_state(3))
        self.assertAllClose(logits, expected)

    @parameterized.parameters('mogrified_gru', 'mogrified_lstm')
    def test_its_parameters_are_counted(self, cell):
        settings = config.ModelConfig(cell=cell, num_layers=2, rnn_units=32)
        model = CharRNN(VOCAB, 256, 32, 2, cell)
        biases = sum(
            v.shape.num_elements()
            for v in model.trainable_variables
            if 'bias' in v.name
        )
        self.assertEqual(
            settings.least_parameters(VOCAB), model.num_parameters - biases
        )


if __name__ == '__main__':
    tf.test.main()
