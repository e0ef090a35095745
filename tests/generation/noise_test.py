import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.generation import noise
from tfcharrnn.generation.request import Request

POSITIONS = np.array([0, 1, 5, 2**31 - 1])


class NoiseTest(parameterized.TestCase):
    @parameterized.product(
        seed=(0, 1, -1, 7, 1 << 32, 1 << 62, -(1 << 63), (1 << 63) - 1),
        shape=((1, 65), (5, 12), (3, 3), (1, 1), (2, 700)),
    )
    def test_is_that_of_tensorflow_bit_for_bit(self, seed, shape):
        expected = [
            tf.random.stateless_uniform(
                shape,
                tf.constant([seed, position], tf.int64),
                minval=float(np.finfo(np.float32).tiny),
                alg='philox',
            )
            for position in POSITIONS.tolist()
        ]
        numbers = noise.uniform(seed, POSITIONS, shape)
        self.assertEqual(numbers.dtype, np.float32)
        np.testing.assert_array_equal(numbers, expected)

    def test_of_a_position_does_not_depend_on_the_others(self):
        block = noise.gumbel(3, np.arange(40), (1, 65))
        for position in (0, 17, 39):
            one = noise.gumbel(3, np.array([position]), (1, 65))
            np.testing.assert_array_equal(block[position], one[0])

    def test_more_rows_change_no_earlier_one(self):
        few = noise.gumbel(3, POSITIONS, (2, 13))
        many = noise.gumbel(3, POSITIONS, (5, 13))
        np.testing.assert_array_equal(many[:, :2], few)

    @parameterized.parameters(0.0, 0.5)
    def test_comes_in_blocks(self, temperature):
        for texts in (1, 7, 1 << 14):
            numbers = noise.Noise(
                Request('', 9, temperature=temperature),
                seed=3,
                num_texts=texts,
                vocab_size=65,
            )
            size = numbers.block_size
            for position in (0, size - 1, size, 3 * size + 1, 0):
                first, block = numbers.block(position)
                self.assertEqual(block.shape, (size, texts, 65))
                self.assertTrue(first <= position < first + size)
                expected = temperature * noise.gumbel(
                    3, np.array([position]), (texts, 65)
                )
                np.testing.assert_array_equal(
                    block[position - first], expected[0]
                )

    def test_is_finite_and_has_the_moments_of_a_gumbel_distribution(self):
        numbers = noise.gumbel(0, np.arange(100), (10, 100))
        self.assertTrue(np.isfinite(numbers).all())
        self.assertAlmostEqual(numbers.mean(), np.euler_gamma, delta=0.02)
        self.assertAlmostEqual(numbers.var(), np.pi**2 / 6, delta=0.03)
