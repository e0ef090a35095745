import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.exporting import quantization
from tfcharrnn.exporting.quantization import quantize
from tfcharrnn.generation.float32 import in_float32


class Own(tfcharrnn.GRU):
    pass


def build(**config):
    return tfcharrnn.CharRNN(9, **{'rnn_units': 8, **config})


class QuantizationTest(tf.test.TestCase, parameterized.TestCase):
    def test_no_weight_is_off_by_more_than_half_a_step(self):
        matrix = np.random.default_rng(0).normal(size=[20, 50])
        rows = quantize(matrix, max_fine=0)
        self.assertIsNone(rows.fine)
        self.assertEqual(rows.data.dtype, np.int8)
        error = abs(rows.values - matrix)
        self.assertTrue((error <= 0.501 * rows.scale[:, None]).all())
        largest = abs(matrix).argmax(1), np.arange(20)
        self.assertAllClose(
            rows.values[largest[::-1]], matrix[largest[::-1]], rtol=1e-6
        )

    def test_a_small_matrix_has_sixteen_bits(self):
        matrix = np.random.default_rng(0).normal(size=[20, 50])
        error = abs(quantize(matrix).values - matrix).max()
        self.assertLess(error, abs(matrix).max() / 127 / 2 / 127)
        self.assertIsNotNone(quantize(matrix, max_fine=1000).fine)
        self.assertIsNone(quantize(matrix, max_fine=999).fine)

    @parameterized.parameters(np.nan, np.inf)
    def test_what_is_not_finite_is_refused(self, value):
        with self.assertRaisesRegex(ValueError, 'not finite.*earlier'):
            quantize(np.array([[value]]))

    @parameterized.product(
        cell=['gru', 'lstm', 'mingru', 'vanilla'],
        options=[
            {'embedding_dim': 16},
            {'embedding_dim': 4},
            {'embedding_dim': None, 'num_layers': 2},
            {'embedding_dim': 8, 'tied': True, 'layer_norm': True},
            {
                'embedding_dim': 16,
                'rnn_units': 16,
                'num_layers': 2,
                'tied': True,
                'residual': True,
                'compute_dtype': 'bfloat16',
            },
        ],
    )
    def test_simplified_and_quantized_models_compute_the_same(
        self, cell, options
    ):
        model = build(cell=cell, **options)
        before = [v.numpy() for v in model.variables]
        ids = tf.constant([[0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1, 0]])
        exact = in_float32(model)
        expected, _ = exact(ids, exact.initial_state(1))
        for twin, tolerance in (
            (quantization.simplified(model), 1e-5),
            (quantization.quantized(model), 1e-3),
        ):
            logits, _ = twin(ids, twin.initial_state(1))
            self.assertAllClose(logits, expected, atol=tolerance)
        for variable, value in zip(model.variables, before, strict=True):
            self.assertAllEqual(variable, value)

    def test_a_table_takes_the_place_of_an_embedding_that_is_wider(self):
        for embedding_dim, is_table in ((9, True), (8, False)):
            twin = quantization.simplified(build(embedding_dim=embedding_dim))
            self.assertEqual(twin.embedding is None, is_table)

    @parameterized.parameters((Own, 'Own'), ('mogrified_gru', 'mogrified_gru'))
    def test_a_cell_that_the_page_lacks_is_a_sentence(self, cell, name):
        with self.assertRaisesRegex(ValueError, f"'{name}'.*gru, lstm"):
            quantization.quantized(build(cell=cell))


if __name__ == '__main__':
    tf.test.main()
