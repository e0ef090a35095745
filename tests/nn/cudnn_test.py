"""The path of a GPU, on a CPU: there the layers of Keras run a loop."""

import collections
import random
from unittest import mock

import small_models
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import data
from tfcharrnn.nn import chains, cudnn, gates
from tfcharrnn.nn.dropout import Noise
from tfcharrnn.training.trainer import Trainer

CELLS = 'gru', 'lstm'
# All that goes on beside the unroll.
OPTIONS = {
    'dropout': 'embedding:0.1,rows:0.2,layers:0.3,weights:0.4,output:0.5',
    'layer_norm': True,
    'residual': True,
    'slowness_penalty': 1.0,
}


def on_gpu():
    return mock.patch.object(cudnn, 'on_gpu', lambda _: True)


class Scaled(gates.GRU):
    """A GRU with another step."""

    @staticmethod
    def forward(x, h, bias, states):
        return gates.GRU.forward(x, 2.0 * h, bias, states)


def train(model, strategy):
    """Trains across the end of a text, where rows are reset."""
    with strategy.scope():
        model = small_models.copy(model, small_models.build(**model.config))
        trainer = Trainer(model, tf.keras.optimizers.SGD(0.5, momentum=0.9))
    ids = small_models.random_ids(1, 8 * 15 + 1)[0].numpy()
    dataset = data.sequences(ids, seq_length=5, batch_size=8)
    metrics = trainer.train(dataset, steps=5)
    return metrics, model.trainable_variables, trainer.state_arrays()


class CudnnTest(tf.test.TestCase, parameterized.TestCase):
    def assert_close(self, actual, expected):
        def compare(a, b):
            bound = 1e-5 * tf.reduce_max(tf.abs(b))
            self.assertAllClose(a, b, rtol=0.0, atol=bound)

        tf.nest.map_structure(compare, actual, expected)

    @parameterized.product(cell=CELLS, num_layers=(1, 2), options=({}, OPTIONS))
    def test_a_model_computes_the_same(self, cell, num_layers, options):
        model = small_models.build(cell=cell, num_layers=num_layers, **options)
        ids = small_models.random_ids(6)
        before = small_models.random_state(model, 6)

        def solve():
            with tf.GradientTape() as tape:
                tape.watch(before)
                logits, after = model(ids, before, training=Noise([1, 2]))
                parts = tf.nest.flatten([logits, after])
                loss = tf.add_n([tf.reduce_sum(x * x) for x in parts])
            sources = [*model.trainable_variables, before]
            gradients = tape.gradient(loss, sources)
            return parts, tf.nest.map_structure(tf.convert_to_tensor, gradients)

        # In one piece, as on a GPU, so that dropout draws the same.
        with mock.patch.object(chains, 'NUM_CHAINS', 1000):
            expected = tf.function(solve)()
        with on_gpu():
            self.assert_close(tf.function(solve)(), expected)
            self.assert_close(solve(), expected)

    @parameterized.product(cell=CELLS, num_layers=(1, 2))
    def test_a_model_learns_the_same(self, cell, num_layers):
        self.check_training(tf.distribute.get_strategy(), cell, num_layers)

    def test_a_replica_learns_the_same(self):
        self.check_training(tf.distribute.MirroredStrategy(['CPU:0']), 'gru', 1)

    def check_training(self, strategy, cell, num_layers):
        model = small_models.build(cell=cell, num_layers=num_layers)
        tf.random.set_seed(1)
        metrics, *expected = train(model, strategy)
        tf.random.set_seed(1)
        with (
            on_gpu(),
            mock.patch.object(cudnn, 'unroll', wraps=cudnn.unroll) as unroll,
        ):
            other, *actual = train(model, strategy)
        unroll.assert_called()
        self.assertAllClose(other['loss'], metrics['loss'], rtol=1e-5)
        self.assert_close(actual, expected)

    @parameterized.product(cell=CELLS, compute_dtype=('float32', 'bfloat16'))
    def test_a_graph_for_a_gpu_calls_cudnn_once_a_layer(self, cell, **options):
        model = small_models.build(cell=cell, num_layers=2, **options)

        @tf.function
        def gradients(ids):
            with tf.GradientTape() as tape:
                logits, _ = model(ids, model.initial_state(4))
            return tape.gradient(logits, model.trainable_variables)

        # Makes Keras see a GPU: the graph can be traced, but not run.
        devices = mock.patch.object(
            tf.config, 'list_logical_devices', lambda _: ['a GPU']
        )
        with on_gpu(), devices:
            graph = gradients.get_concrete_function(small_models.random_ids(4))
        operations = graph.graph.get_operations()
        counts = collections.Counter(op.type for op in operations)
        self.assertEqual(counts['CudnnRNNV3'], 2)
        self.assertEqual(counts['CudnnRNNBackpropV3'], 2)
        self.assertNotIn('While', counts)
        self.assertNotIn('StatelessWhile', counts)

    def test_two_halves_equal_the_whole(self):
        model = small_models.build(cell='lstm')
        ids = small_models.random_ids(4)
        with on_gpu():
            whole, _ = model(ids, model.initial_state(4))
            first, state = model(ids[:, :4], model.initial_state(4))
            second, _ = model(ids[:, 4:], state)
        self.assert_close(tf.concat([first, second], 1), whole)

    @parameterized.parameters('mingru', 'vanilla', Scaled, small_models.Ones)
    def test_other_cells_unroll_themselves(self, cell):
        model = small_models.build(cell=cell)
        ids, state = small_models.random_ids(4), model.initial_state(4)
        expected = model(ids, state)
        with on_gpu(), mock.patch.object(cudnn, 'unroll') as unroll:
            actual = model(ids, state)
        unroll.assert_not_called()
        tf.nest.map_structure(self.assertAllEqual, actual, expected)

    def test_a_model_on_a_cpu_does_without_keras(self):
        with tf.device('/CPU:0'):
            model = small_models.build()
        with mock.patch.object(cudnn, 'unroll') as unroll:
            model(small_models.random_ids(4), model.initial_state(4))
        unroll.assert_not_called()

    def test_a_gpu_is_told_by_the_device_of_the_weights(self):
        place = '/job:localhost/replica:0/task:0/device:'
        for device, expected in (('GPU:1', True), ('CPU:0', False)):
            variable = mock.Mock(device=place + device)
            self.assertEqual(cudnn.on_gpu(variable), expected)

    def test_the_generators_of_numbers_stay_as_they_are(self):
        cell, before = gates.GRU(3, 4), random.getstate()
        with on_gpu():
            cell.unroll(tf.zeros([1, 2, 3]), cell.initial_state(1))
        self.assertEqual(random.getstate(), before)


if __name__ == '__main__':
    tf.test.main()
