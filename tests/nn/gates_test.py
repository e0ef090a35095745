import functools
import itertools
import math
from unittest import mock

import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import config
from tfcharrnn.nn import cells, cudnn, dropout, gates, recurrence


class Toy(cells.RNNCell):
    """A cell that uses all the freedom that the contract of `Gated` leaves.

    i, o = sigmoid(x Wi + bi), sigmoid(x Wo + bo)
    g, r = tanh(x Wg + h Ug + bg), sigmoid(h Ur + br)
    c'   = r * c + i * g
    h'   = o * c'
    """

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        self.kernel = tf.Variable(cells.glorot([input_size, 3 * units]))
        # Small, so that bfloat16's errors fade in the course of time.
        recurrent = 0.5 * cells.glorot([units, 2 * units])
        self.recurrent_kernel = tf.Variable(recurrent)
        self.bias = tf.Variable(tf.zeros([4, units]))

    def initial_state(self, batch_size):
        zeros = tf.zeros([batch_size, self.units])
        return {'h': zeros, 'long': (zeros,)}

    def __call__(self, inputs, state):
        h, (c,) = state['h'], state['long']
        x_i, x_g, x_o = tf.split(self._product(inputs, self.kernel), 3, 1)
        h_g, h_r = tf.split(self._product(h, self.recurrent_kernel), 2, 1)
        b_i, b_o, b_g, b_r = tf.unstack(self.bias)
        i, o = tf.sigmoid(x_i + b_i), tf.sigmoid(x_o + b_o)
        g, r = tf.tanh(x_g + h_g + b_g), tf.sigmoid(h_r + b_r)
        c = r * c + i * g
        return o * c, {'h': o * c, 'long': (c,)}


class FastToy(recurrence.Gated, Toy):
    """Rows i, o, g, r: the first three of x, the last two of h."""

    saved = 4

    @staticmethod
    def input_order(kernel):
        i, g, o = tf.split(kernel, 3, 1)
        return [i, o, g]

    @staticmethod
    def forward(x, h, bias, states):
        _, c = states
        (x_i, x_o, x_g), (h_g, h_r) = tf.split(x, 3), tf.split(h, 2)
        b_i, b_o, b_g, b_r = tf.unstack(bias)
        i, o = tf.sigmoid(x_i + b_i), tf.sigmoid(x_o + b_o)
        g, r = tf.tanh(x_g + h_g + b_g), tf.sigmoid(h_r + b_r)
        c = r * c + i * g
        return [o * c, c], [i, o, g, r]

    @staticmethod
    def backward(saved, states, d_states):
        i, o, g, r = saved
        (_, c), (d_h, d_c) = states, d_states
        d_c += d_h * o
        d_i = d_c * g * i * (1.0 - i)
        d_o = d_h * (r * c + i * g) * o * (1.0 - o)
        d_g = d_c * i * (1.0 - g * g)
        d_r = d_c * c * r * (1.0 - r)
        return [d_i, d_o, d_g, d_r], [tf.zeros_like(d_h), d_c * r]

    @staticmethod
    def bias_gradient(sums):
        return tf.reshape(sums, [4, -1])


CELLS = {
    getattr(gates, cell.class_name): getattr(cells, cell.class_name)
    for cell in config.CELLS.values()
    if hasattr(gates, cell.class_name)
} | {FastToy: Toy}
INPUTS = ('vectors', 'embedded', 'one_hot')
LENGTHS, BATCH_SIZES = (1, 2, 100), (1, 3, 64)
FEATURES, UNITS, VOCAB = 8, 16, 11


def largest_error(actual, expected):
    error = tf.reduce_max(tf.abs(actual - expected))
    return float(error / tf.reduce_max(tf.abs(expected)))


def error_norm(actual, expected):
    return float(tf.norm(actual - expected) / tf.norm(expected))


# Relative errors, both to float32 results of the plain loop.
BOUNDS = {tf.float32: (largest_error, 1e-5), tf.bfloat16: (error_norm, 0.02)}


def stack(cell, num_layers, inputs):
    """Layers with random biases too: zeros would hide mistakes."""
    input_size = VOCAB if inputs == 'one_hot' else FEATURES
    layers = [cell(size, UNITS) for size in [input_size, UNITS][:num_layers]]
    for layer in layers:
        layer.bias.assign(tf.random.normal(layer.bias.shape))
    return layers


def plain(layer):
    """The same weights in the cell that unrolls by the plain loop."""
    twin = CELLS[type(layer)](layer.input_size, layer.units)
    for name in ('kernel', 'recurrent_kernel', 'bias'):
        if hasattr(layer, name):
            setattr(twin, name, getattr(layer, name))
    return twin


def with_masks(layers, masks):
    pairs = zip(layers, masks, strict=True)
    return [dropout.replace(cell, state_mask=mask) for cell, mask in pairs]


def problem(layers, inputs, seq_length=None, batch_size=None):
    """The types and shapes of what `solve` is given."""
    rows = [batch_size, seq_length]
    states = tf.nest.map_structure(
        lambda _: tf.TensorSpec([batch_size, UNITS]),
        [layer.initial_state(1) for layer in layers],
    )
    given = {
        'inputs': tf.TensorSpec(rows, tf.int32),
        'states': states,
        'mask': tf.TensorSpec(rows, tf.bool),
        'weights': (tf.TensorSpec([*rows, UNITS]), states),
    }
    if inputs == 'vectors':
        given['inputs'] = tf.TensorSpec([*rows, FEATURES])
    if inputs == 'embedded':
        given['embedding'] = tf.TensorSpec([VOCAB, FEATURES])
    return given


def random_tensors(specs):
    def random(spec):
        if spec.dtype == tf.bool:
            return tf.random.uniform(spec.shape) < 0.5
        if spec.dtype == tf.int32:
            return tf.random.uniform(spec.shape, maxval=VOCAB, dtype=tf.int32)
        return tf.random.normal(spec.shape)

    return tf.nest.map_structure(random, specs)


def set_compute_dtype(layers, dtype):
    for layer in layers:
        layer.compute_dtype = dtype


def unroll(layers, given):
    (first, *others), (state, *states) = layers, given['states']
    if given['inputs'].dtype == tf.int32:
        x, after = first.unroll_ids(
            given['inputs'], given.get('embedding'), state
        )
    else:
        x, after = first.unroll(given['inputs'], state)
        x = tf.transpose(x, [2, 1, 0])
    after = [after]
    for layer, state in zip(others, states, strict=True):
        x, state = layer.unroll_columns(x, state)
        after.append(state)
    return tf.cast(tf.transpose(x, [2, 1, 0]), tf.float32), after


def solve(layers, given):
    """Returns outputs, final states, and the gradient of all that has one."""
    sources = [layer.trainable_variables for layer in layers]
    sources += [
        given[name] for name in given if name not in ('mask', 'weights')
    ]
    sources = [x for x in tf.nest.flatten(sources) if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs, states = unroll(layers, given)
        seen = tf.where(given['mask'][..., None], outputs, 0.0)
        products = tf.nest.map_structure(
            tf.multiply, (seen, states), given['weights']
        )
        loss = tf.add_n([tf.reduce_sum(x) for x in tf.nest.flatten(products)])
    gradients = tape.gradient(loss, sources)
    return {
        'outputs': outputs,
        'states': states,
        'gradients': [tf.convert_to_tensor(x) for x in gradients],
    }


class GatesTest(tf.test.TestCase, parameterized.TestCase):
    def assert_equal(self, actual, expected, dtype=tf.float32):
        error, bound = BOUNDS[dtype]
        for name in expected:
            pairs = zip(
                tf.nest.flatten(actual[name]),
                tf.nest.flatten(expected[name]),
                strict=True,
            )
            for index, (a, b) in enumerate(pairs):
                what = f'error of {name} {index} of shape {b.shape}'
                self.assertLessEqual(error(a, b), bound, what)

    @parameterized.parameters(
        *(
            (cell, *layers)
            for cell in (gates.GRU, gates.LSTM, gates.MinGRU)
            for layers in (
                (1, 'vectors'),
                (1, 'embedded'),
                (2, 'embedded'),
                (2, 'one_hot'),
            )
        ),
        (FastToy, 2, 'embedded'),
    )
    def test_equals_the_plain_loop_in_a_graph(self, cell, num_layers, inputs):
        layers = stack(cell, num_layers, inputs)

        def graph(layers):  # one for all lengths and batch sizes
            function = tf.function(functools.partial(solve, layers))
            return function.get_concrete_function(problem(layers, inputs))

        loop, fast = graph([plain(layer) for layer in layers]), {}
        for dtype in BOUNDS:
            set_compute_dtype(layers, dtype)
            fast[dtype] = graph(layers)
        for sizes in itertools.product(LENGTHS, BATCH_SIZES):
            given = random_tensors(problem(layers, inputs, *sizes))
            expected = loop(given)
            for dtype in BOUNDS:
                with self.subTest(sizes=sizes, dtype=dtype):
                    self.assert_equal(fast[dtype](given), expected, dtype)

    @parameterized.product(cell=list(CELLS), num_layers=(1, 2), inputs=INPUTS)
    def test_equals_the_plain_loop_eagerly(self, cell, num_layers, inputs):
        layers = stack(cell, num_layers, inputs)
        given = random_tensors(problem(layers, inputs, 5, 3))
        expected = solve([plain(layer) for layer in layers], given)
        for dtype in BOUNDS:
            set_compute_dtype(layers, dtype)
            self.assert_equal(solve(layers, given), expected, dtype)

    @parameterized.product(
        cell=(gates.GRU, gates.LSTM), num_layers=(1, 2), inputs=INPUTS
    )
    def test_a_layer_of_keras_equals_the_plain_loop(
        self, cell, num_layers, inputs
    ):
        layers = stack(cell, num_layers, inputs)
        graph = tf.function(functools.partial(solve, layers))
        with (
            mock.patch.object(cudnn, 'on_gpu', lambda _: True),
            mock.patch.object(cudnn, 'unroll', wraps=cudnn.unroll) as unroll,
        ):
            graph = graph.get_concrete_function(problem(layers, inputs))
            self.assertEqual(unroll.call_count, num_layers)
            given = random_tensors(problem(layers, inputs, 2, 3))
            eager = solve(layers, given)
        twins = [plain(layer) for layer in layers]
        self.assert_equal(eager, solve(twins, given))
        given = random_tensors(problem(layers, inputs, 7, 4))
        actual = graph(given)
        self.assert_equal(actual, solve(twins, given))
        self.assert_equal(actual, solve(layers, given))

    @parameterized.parameters(gates.GRU, gates.LSTM)
    def test_a_layer_of_keras_has_few_errors_in_bfloat16(self, cell):
        layers = stack(cell, 2, 'embedded')
        given = random_tensors(problem(layers, 'embedded', 30, 16))
        expected = solve([plain(layer) for layer in layers], given)
        set_compute_dtype(layers, tf.bfloat16)
        with mock.patch.object(cudnn, 'on_gpu', lambda _: True):
            self.assert_equal(solve(layers, given), expected, tf.bfloat16)

    def test_gradients_of_biases_are_the_same_in_blocks_as_at_once(self):
        layers = stack(gates.GRU, 1, 'embedded')
        set_compute_dtype(layers, tf.bfloat16)
        given = random_tensors(problem(layers, 'embedded', 5, 3))
        whole = solve(layers, given)
        with mock.patch.object(recurrence, '_SUMMED_ROWS', 7):
            blocks = solve(layers, given)
        tf.nest.map_structure(self.assertAllEqual, blocks, whole)

    @parameterized.product(
        cell=(gates.GRU, gates.LSTM), dtype=list(BOUNDS), margin=(0, 8)
    )
    def test_a_mask_of_the_state_equals_the_plain_loop(
        self, cell, dtype, margin
    ):
        layers = stack(cell, 2, 'embedded')
        given = random_tensors(problem(layers, 'embedded', 5, 3))
        masks = [3.0 * tf.random.uniform([3, UNITS]) for _ in layers]
        expected = solve(with_masks(map(plain, layers), masks), given)
        set_compute_dtype(layers, dtype)
        masked = with_masks(layers, masks)
        with mock.patch.object(recurrence, '_margin', lambda *_: margin):
            self.assert_equal(solve(masked, given), expected, dtype)
        with mock.patch.object(cudnn, 'on_gpu', lambda _: True):
            self.assert_equal(solve(masked, given), expected, dtype)

    @parameterized.parameters(*CELLS)
    def test_gradient_may_be_taken_twice(self, cell):
        cell = cell(FEATURES, UNITS)
        with tf.GradientTape(persistent=True) as tape:
            outputs, _ = cell.unroll(
                tf.ones([3, 2, FEATURES]), cell.initial_state(3)
            )
        self.assertAllEqual(
            tape.gradient(outputs, cell.kernel),
            tape.gradient(outputs, cell.kernel),
        )

    @parameterized.product(
        cell=list(CELLS), dtype=list(BOUNDS), on_gpu=(False, True)
    )
    def test_static_shapes_and_types_are_known_in_a_graph(
        self, cell, dtype, on_gpu
    ):
        cell = cell(FEATURES, UNITS)
        cell.compute_dtype = dtype
        patch = mock.patch.object(cudnn, 'on_gpu', lambda _: on_gpu)
        self.enter_context(patch)

        @tf.function
        def unroll(inputs):
            outputs, state = cell.unroll(inputs, cell.initial_state(3))
            self.assertEqual(outputs.shape, [3, 2, UNITS])
            self.assertEqual(outputs.dtype, tf.float32)
            for tensor in tf.nest.flatten(state):
                self.assertEqual(tensor.shape, [3, UNITS])
                self.assertEqual(tensor.dtype, tf.float32)

        unroll(tf.ones([3, 2, FEATURES]))

    @parameterized.parameters(gates.GRU, gates.LSTM)
    def test_bfloat16_keeps_small_changes_of_the_state(self, cell):
        # Gates that are held open by their biases alone add 1 / `steps` of
        # what is missing to 1, less than a bfloat16 near 1 can tell.
        steps = 1024
        keep, full = math.log(steps - 1.0), 20.0
        cell = cell(1, 1)
        cell.compute_dtype = tf.bfloat16
        for weights in (cell.kernel, cell.recurrent_kernel):
            weights.assign(tf.zeros_like(weights))
        if isinstance(cell, cells.GRU):
            cell.bias.assign([[keep, 0.0, full], [0.0, 0.0, 0.0]])
        else:
            cell.bias.assign([-keep, keep, full, full])
        state = cell.initial_state(1)
        _, state = tf.function(cell.unroll)(tf.zeros([1, steps, 1]), state)
        filled = 1.0 - (1.0 - 1.0 / steps) ** steps
        self.assertAllClose(tf.nest.flatten(state)[-1], [[filled]], rtol=1e-4)

    @parameterized.parameters(*CELLS)
    def test_bfloat16_gradients_sum_many_steps(self, cell):
        # All of one sign, so that what a sum loses shows.
        cell = cell(1, UNITS)
        inputs = tf.ones([2, 500, 1])

        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                outputs, _ = cell.unroll(inputs, cell.initial_state(2))
            return {'gradients': tape.gradient(outputs, cell.variables)}

        expected = gradients()
        cell.compute_dtype = tf.bfloat16
        gradients = tf.function(gradients.python_function)
        self.assert_equal(gradients(), expected, tf.bfloat16)


class StepTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.product(cell=list(CELLS), inputs=INPUTS, num_threads=(0, 1))
    def test_a_step_in_columns_equals_a_step(self, cell, inputs, num_threads):
        (layer,) = stack(cell, 1, inputs)
        given = random_tensors(problem([layer], inputs, 1, 3))
        x, (state,) = given['inputs'][:, 0], given['states']
        embedding = given.get('embedding')
        with mock.patch.object(recurrence, '_num_threads', lambda: num_threads):
            weights = layer.step_weights(x.dtype.is_integer, embedding)
        products = layer.step_products(state, weights)
        halves = num_threads == 1 and cell is not gates.MinGRU
        self.assertLen(products, 2 if halves else 0)
        columns, after = layer.step_columns(
            tf.transpose(x), state, products, weights
        )
        if x.dtype.is_integer:
            x = cells.embed(x, embedding, VOCAB)
        outputs, expected = plain(layer)(x, state)
        self.assertAllClose(tf.transpose(columns), outputs)
        tf.nest.map_structure(self.assertAllClose, after, expected)


if __name__ == '__main__':
    tf.test.main()
