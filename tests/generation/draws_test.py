import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.generation import sampling
from tfcharrnn.generation.draws import Draws
from tfcharrnn.generation.request import Request

VOCAB, TEXTS, SEED = 17, 6, 5
OPTIONS = (
    {},
    {'temperature': 0.0},
    {'temperature': 0.5},
    {'temperature': 1e30},
    {'temperature': 1e-45},
    {'top_k': 1},
    {'top_k': 3},
    {'top_k': 100},
    {'top_p': 0.6},
    {'top_p': 1.0},
    {'top_p': 1e-30},
    {'temperature': 2.0, 'top_k': 5, 'top_p': 0.9},
    {'temperature': 0.0, 'top_k': 5, 'top_p': 0.9},
)


def make(num_texts=TEXTS, **options):
    return Draws(
        Request('', 1, **options),
        seed=SEED,
        num_texts=num_texts,
        vocab_size=VOCAB,
    )


def random_logits(steps):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=[steps, TEXTS, VOCAB])
    # Some are equal, as logits of a quantized model may be.
    return np.where(logits > 1.5, 1.5, logits).astype(np.float32)


class DrawsTest(parameterized.TestCase):
    @parameterized.parameters(*OPTIONS)
    def test_are_those_of_sampling(self, **options):
        draws = make(**options)
        for position, logits in enumerate(random_logits(steps=50)):
            expected = sampling.sample(
                logits, tf.constant([SEED, position], tf.int64), **options
            )
            np.testing.assert_array_equal(draws(logits, position), expected)

    @parameterized.parameters(*OPTIONS)
    def test_of_the_first_texts_are_those_of_fewer(self, **options):
        few, many = make(num_texts=2, **options), make(**options)
        for position, logits in enumerate(random_logits(steps=20)):
            np.testing.assert_array_equal(
                few(logits[:2], position), many(logits, position)[:2]
            )

    def test_are_the_same_in_any_order_of_positions(self):
        (logits,) = random_logits(steps=1)
        draws = make()
        first = [draws(logits, position) for position in range(1000)]
        for position in (999, 3, 500, 4):
            np.testing.assert_array_equal(
                draws(logits, position), first[position]
            )
        self.assertGreater(len(np.unique(first)), 5)
