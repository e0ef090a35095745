import math

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from hypothesis import strategies

from tfcharrnn.generation import sampling

LOGITS = tf.constant([[2.0, 0.0, 1.0, -3.0, 1.5]])
VOCAB_SIZE = LOGITS.shape[1]
OPTIONS = (
    {},
    {'temperature': 0.5},
    {'temperature': 3.0},
    {'top_k': 2},
    {'top_p': 0.7},
    {'temperature': 2.0, 'top_k': 4, 'top_p': 0.8},
)


def softmax(logits):
    exponentials = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def reference(logits, temperature, top_k, top_p):
    """The distribution of one row, an id at a time."""
    order = sorted(range(len(logits)), key=lambda id_: -logits[id_])[:top_k]
    probabilities = softmax(np.array(logits)[order] / temperature)
    kept, mass = [], 0.0
    for id_, probability in zip(order, probabilities, strict=True):
        if mass < top_p:
            kept.append(id_)
        mass += probability
    result = np.zeros(len(logits))
    result[kept] = softmax(np.array(logits)[kept] / temperature)
    return result


class SampleTest(tf.test.TestCase, parameterized.TestCase):
    def assert_drawn_from(self, probabilities, ids):
        """Pearson's chi-squared test, at 4 standard deviations."""
        counts = np.bincount(ids, minlength=len(probabilities))
        possible = probabilities > 0
        self.assertAllEqual(counts[~possible], np.zeros((~possible).sum()))
        expected = probabilities[possible] * len(ids)
        statistic = ((counts[possible] - expected) ** 2 / expected).sum()
        freedom = possible.sum() - 1
        variance = 2 / (9 * freedom)  # Wilson and Hilferty, 1931
        limit = freedom * (1 - variance + 4 * math.sqrt(variance)) ** 3
        self.assertLess(statistic, limit)

    @parameterized.parameters(*OPTIONS)
    def test_rows_are_drawn_from_the_distribution(self, **options):
        logits = tf.repeat(LOGITS, 20_000, axis=0)
        ids = sampling.sample(logits, [1, 2], **options)
        expected = sampling.distribution(LOGITS, **options)[0].numpy()
        self.assert_drawn_from(expected, ids)

    def test_positions_are_drawn_from_the_distribution(self):
        @tf.function
        def text(length):
            return tf.map_fn(
                lambda position: sampling.sample(LOGITS, [7, position])[0],
                tf.range(length),
            )

        ids = text(tf.constant(10_000))
        self.assert_drawn_from(softmax(LOGITS[0].numpy()), ids)

    def test_rows_and_positions_are_independent(self):
        logits = tf.zeros([10_000, 3])
        now = sampling.sample(logits, [1, 0])
        rows = 3 * now[:-1] + now[1:]
        positions = 3 * now + sampling.sample(logits, [1, 1])
        self.assert_drawn_from(np.full(9, 1 / 9), rows)
        self.assert_drawn_from(np.full(9, 1 / 9), positions)

    def test_is_int32_with_one_id_per_row(self):
        ids = sampling.sample(tf.zeros([7, VOCAB_SIZE]), [0, 0])
        self.assertEqual(ids.shape, [7])
        self.assertEqual(ids.dtype, tf.int32)

    @parameterized.parameters(*OPTIONS)
    def test_the_same_seed_draws_the_same_in_every_way(self, **options):
        logits = tf.repeat(LOGITS, 50, axis=0)
        expected = sampling.sample(logits, [3, 4], **options)
        again = sampling.sample(logits, [3, 4], **options)
        other = sampling.sample(logits, [3, 5], **options)

        @tf.function
        def in_graph(seed, options):
            return sampling.sample(logits, seed, **options)

        self.assertAllEqual(again, expected)
        self.assertNotAllEqual(other, expected)
        # As Python numbers, and as tensors that ask for no new graph.
        self.assertAllEqual(in_graph([3, 4], options), expected)
        tensors = {name: tf.constant(v) for name, v in options.items()}
        self.assertAllEqual(in_graph(tf.constant([3, 4]), tensors), expected)

    @parameterized.parameters(*OPTIONS)
    def test_a_row_is_the_same_however_many_rows_there_are(self, **options):
        logits = tf.random.stateless_normal([1000, 65], seed=[5, 6])
        whole = sampling.sample(logits, [8, 9], **options)
        for batch_size in (1, 2, 3, 7, 64, 999):
            self.assertAllEqual(
                sampling.sample(logits[:batch_size], [8, 9], **options),
                whole[:batch_size],
            )

    @parameterized.parameters(
        {'top_k': VOCAB_SIZE},
        {'top_k': VOCAB_SIZE + 1},
        {'top_k': 10**9},
        {'top_p': 1.0},
        {'top_k': VOCAB_SIZE, 'top_p': 1.0},
    )
    def test_keeping_all_is_no_restriction(self, **options):
        logits = tf.repeat(LOGITS, 100, axis=0)
        self.assertAllEqual(
            sampling.sample(logits, [1, 1], **options),
            sampling.sample(logits, [1, 1]),
        )

    def test_a_restriction_changes_only_what_it_forbids(self):
        logits = tf.repeat(LOGITS, 100, axis=0)
        free = sampling.sample(logits, [1, 1]).numpy()
        top_2 = sampling.sample(logits, [1, 1], top_k=2).numpy()
        allowed = np.isin(free, [0, 4])
        self.assertAllEqual(top_2[allowed], free[allowed])
        self.assertLess(allowed.sum(), len(free))

    @parameterized.parameters(
        {'temperature': 0.0},
        {'temperature': tf.constant(0.0)},
        {'temperature': 1e-9},
        {'temperature': 1e-30},
        {'temperature': 0.0, 'top_k': 3, 'top_p': 0.5},
        {'temperature': 1e-38, 'top_p': 1.0},
        {'temperature': 1.0, 'top_k': 1},
        {'temperature': 1e9, 'top_k': 1},
        {'temperature': 1.0, 'top_p': 1e-9},
    )
    def test_greedy_in_the_limit(self, **options):
        logits = 10.0 * tf.random.stateless_normal([100, 9], seed=[5, 6])
        best = tf.argmax(logits, axis=-1)
        self.assertAllEqual(sampling.sample(logits, [0, 0], **options), best)
        self.assertAllEqual(
            sampling.distribution(logits, **options), tf.one_hot(best, 9)
        )

    @parameterized.parameters(
        {'temperature': 0.0}, {'top_k': 1}, {'top_p': 1e-9}, {'top_p': 1e-50}
    )
    def test_greedy_takes_the_first_of_equals(self, **options):
        logits = tf.constant([[0.0, 3.0, 1.0, 3.0, 3.0]] * 20)
        ids = sampling.sample(logits, [0, 0], **options)
        self.assertAllEqual(ids, [1] * 20)
        self.assertAllEqual(
            sampling.distribution(logits, **options)[0], [0, 1, 0, 0, 0]
        )

    @parameterized.parameters(1e9, 1e30)
    def test_uniform_in_the_limit(self, temperature):
        logits = tf.repeat(100.0 * LOGITS, 10_000, axis=0)
        ids = sampling.sample(logits, [0, 0], temperature=temperature)
        self.assert_drawn_from(np.full(VOCAB_SIZE, 1 / VOCAB_SIZE), ids)

    def test_each_row_has_its_temperature(self):
        logits = tf.repeat(LOGITS, 4, axis=0)
        temperatures = [0.0, 0.5, 1.0, 1e9]
        for position in range(20):
            together = sampling.sample(
                logits, [0, position], temperature=temperatures
            )
            for row, temperature in enumerate(temperatures):
                alone = sampling.sample(
                    logits, [0, position], temperature=temperature
                )
                self.assertEqual(together[row], alone[row])

    def test_what_the_logits_forbid_is_never_drawn(self):
        logits = tf.constant([[-math.inf, 1.0, -math.inf, 0.0]] * 1000)
        for temperature in (0.0, 1.0, 1e9):
            for top_k, top_p in ((None, None), (3, 0.9)):
                ids = sampling.sample(
                    logits,
                    [0, 0],
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                )
                self.assertContainsSubset(ids.numpy(), {1, 3})

    @hypothesis.settings(max_examples=25, deadline=None)
    @hypothesis.given(
        eighths=strategies.lists(
            strategies.integers(-40, 40), min_size=1, max_size=8
        ),
        temperature=strategies.sampled_from([0.0, 0.25, 1.0, 4.0]),
        top_k=strategies.none() | strategies.integers(1, 10),
        top_p=strategies.none() | strategies.floats(0.01, 1.0),
        seed=strategies.integers(0, 2**31 - 1),
    )
    def test_any_options_draw_what_is_possible(self, eighths, seed, **options):
        logits = tf.constant([eighths], tf.float32) / 8
        probabilities = sampling.distribution(logits, **options)[0].numpy()
        ids = sampling.sample(tf.repeat(logits, 100, 0), [seed, 0], **options)
        self.assertGreater(probabilities[ids].min(), 0.0)
        best = np.argmax(eighths)
        if options['temperature'] == 0.0 or options['top_k'] == 1:
            self.assertAllEqual(ids, [best] * 100)
        self.assertGreater(probabilities[best], 0.0)
        if options['top_k'] is not None:
            self.assertLessEqual((probabilities > 0).sum(), options['top_k'])


class DistributionTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(0.2, 0.5, 1.0, 1.2, 10.0)
    def test_reweights_as_chollet_does(self, temperature):
        # "Deep Learning with Python", section 8.1.
        original = np.array([0.1, 0.2, 0.05, 0.65])
        reweighted = np.exp(np.log(original) / temperature)
        self.assertAllClose(
            sampling.distribution(
                np.log(original)[np.newaxis], temperature=temperature
            )[0],
            reweighted / reweighted.sum(),
        )

    @hypothesis.settings(max_examples=50, deadline=None)
    @hypothesis.given(
        # Multiples of 1/8: equal logits are frequent and differences exact.
        eighths=strategies.lists(
            strategies.integers(-40, 40), min_size=1, max_size=8
        ),
        temperature=strategies.sampled_from([0.25, 0.5, 1.0, 4.0]),
        top_k=strategies.integers(1, 10),
        top_p=strategies.floats(0.01, 1.0),
    )
    def test_equals_the_reference(self, eighths, temperature, top_k, top_p):
        logits = [eighth / 8 for eighth in eighths]
        expected = reference(logits, temperature, top_k, top_p)
        for rounding in (-1e-6, 1e-6):  # too close to call
            hypothesis.assume(
                np.array_equal(
                    reference(logits, temperature, top_k, top_p + rounding) > 0,
                    expected > 0,
                )
            )
        actual = sampling.distribution(
            [logits], temperature=temperature, top_k=top_k, top_p=top_p
        )
        self.assertAllClose(actual[0], expected)

    @parameterized.parameters(
        (0.1, [3]),
        (0.49, [3]),
        (0.51, [1, 3]),
        (0.74, [1, 3]),
        (0.76, [0, 1, 3]),
        (0.9, [0, 1, 2, 3]),
        (1.0, [0, 1, 2, 3]),
    )
    def test_top_p_keeps_the_fewest_that_reach_it(self, top_p, kept):
        logits = tf.math.log([[0.125, 0.25, 0.125, 0.5]])
        probabilities = sampling.distribution(logits, top_p=top_p)[0]
        self.assertAllEqual(np.flatnonzero(probabilities), kept)

    def test_top_p_of_one_keeps_what_rounding_would_drop(self):
        logits = tf.constant([[0.0, -30.0]])
        self.assertAllEqual(
            sampling.distribution(logits, top_p=1.0) > 0, [[True, True]]
        )

    def test_top_p_counts_within_top_k(self):
        logits = tf.math.log([[0.4, 0.3, 0.2, 0.1]])
        # Of the best two, the first has 4/7.
        for top_p, kept in ((0.5, [0]), (0.6, [0, 1])):
            probabilities = sampling.distribution(logits, top_k=2, top_p=top_p)[
                0
            ]
            self.assertAllEqual(np.flatnonzero(probabilities), kept)

    @parameterized.parameters(0.0, 1e-38, 1e-9, 1.0, 1e9, 1e30)
    def test_sums_to_one_at_every_temperature(self, temperature):
        logits = tf.constant([[1e4, -1e4, 0.0], [3.0, 3.0, -math.inf]])
        for top_p in (None, 0.9, 1.0):
            total = tf.reduce_sum(
                sampling.distribution(
                    logits, temperature=temperature, top_p=top_p
                ),
                axis=-1,
            )
            self.assertAllClose(total, [1.0, 1.0])


class CheckTest(parameterized.TestCase):
    @parameterized.parameters(
        {},
        {'temperature': 0},
        {'temperature': [0.0, 0.5, 1.2]},
        {'temperature': np.float32(1e9)},
        {'top_k': 1},
        {'top_k': np.int64(10**6)},
        {'top_p': 1e-6},
        {'top_p': 1},
    )
    def test_lets_pass(self, **options):
        sampling.check(**options)

    @parameterized.parameters(
        ({'temperature': -0.1}, '`temperature` is -0.1,.*from 0 '),
        ({'temperature': math.nan}, '`temperature` is nan,.*number'),
        ({'temperature': math.inf}, '`temperature` is inf,.*to 1e'),
        ({'temperature': [1.0, -2.0]}, '`temperature` is -2.0,'),
        ({'top_k': 0}, '`top_k` is 0,.*from 1 up'),
        ({'top_k': -3}, '`top_k` is -3,'),
        ({'top_k': 2.5}, '`top_k` is 2.5,.*whole number'),
        ({'top_k': math.inf}, '`top_k` is inf,'),
        ({'top_p': 0.0}, '`top_p` is 0.0,.*above 0'),
        ({'top_p': 1.01}, '`top_p` is 1.01,.*above 0'),
        ({'top_p': math.nan}, '`top_p` is nan,'),
    )
    def test_refuses(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            sampling.check(**options)


if __name__ == '__main__':
    tf.test.main()
