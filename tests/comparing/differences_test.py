import math

import numpy as np
from absl.testing import absltest, parameterized

from tfcharrnn.comparing import differences
from tfcharrnn.comparing.differences import Difference, paired, quantile


class QuantileTest(parameterized.TestCase):
    # The table of any textbook of statistics.
    @parameterized.parameters(
        (0.95, 1, 12.706), (0.95, 2, 4.303), (0.95, 3, 3.182),
        (0.95, 4, 2.776), (0.95, 9, 2.262), (0.95, 10, 2.228),
        (0.95, 30, 2.042), (0.95, 120, 1.980), (0.99, 5, 4.032),
        (0.9, 7, 1.895), (0.6, 4, 0.941), (0.6, 15, 0.866),
    )  # fmt: skip
    def test_is_that_of_the_table(self, coverage, freedom, expected):
        self.assertAlmostEqual(quantile(coverage, freedom), expected, 3)

    def test_mistakes_are_explained(self):
        for arguments in ((1.0, 3), (0.95, 0)):
            with self.assertRaisesRegex(ValueError, 'must be'):
                quantile(*arguments)


class PairedTest(parameterized.TestCase):
    def test_what_both_have_in_common_drops_out(self):
        control = {0: 1.0, 1: 5.0, 2: -3.0}
        variant = {seed: value - 0.25 for seed, value in control.items()}
        difference = paired(variant, control)
        self.assertEqual(difference.interval, (-0.25, -0.25))
        self.assertEqual(difference.conclusion, 'better')
        self.assertEqual(difference.num_better, 3)

    def test_seeds_are_paired_by_number_and_those_of_one_alone_left_out(self):
        difference = paired({2: 1.0, 0: 3.0, 7: 99.0}, {0: 2.0, 2: 5.0, 9: 0.0})
        self.assertEqual(difference.num_pairs, 2)
        self.assertEqual(difference.mean, (1.0 - 4.0) / 2)
        self.assertEqual(difference.num_better, 1)
        self.assertIsNone(paired({1: 0.0}, {2: 0.0}))

    def test_more_is_better_where_the_metric_rises(self):
        low, high = {0: 0.1, 1: 0.2, 2: 0.3}, {0: 0.6, 1: 0.7, 2: 0.9}
        self.assertEqual(paired(high, low, falls=False).conclusion, 'better')
        self.assertEqual(paired(low, high, falls=False).conclusion, 'worse')
        self.assertEqual(paired(low, high, falls=False).num_better, 0)

    def test_one_seed_concludes_nothing(self):
        difference = paired({0: 1.0}, {0: 2.0})
        self.assertIsNone(difference.interval)
        self.assertIsNone(difference.conclusion)
        self.assertIsNone(difference.num_more)

    @parameterized.parameters(3, 5)
    def test_95_of_100_intervals_hold_the_truth_and_a_bootstrap_fewer(self, n):
        rng = np.random.default_rng(0)
        experiments, truth = 2000, 0.3
        values = rng.normal(truth, 1.0, [experiments, n])
        within, booted = 0, 0
        for row in values:
            difference = paired(
                dict(enumerate(row)), dict.fromkeys(range(n), 0)
            )
            low, high = difference.interval
            within += low <= truth <= high
        # The middle 95 % of the means of n draws out of each n values.
        means = values[:, rng.integers(n, size=[400, n])].mean(axis=-1)
        low, high = np.quantile(means, [0.025, 0.975], axis=1)
        booted = np.mean((low <= truth) & (truth <= high))
        self.assertAlmostEqual(within / experiments, 0.95, delta=0.015)
        self.assertLess(booted, 0.87)

    def test_so_many_more_seeds_conclude_four_times_in_five(self):
        rng = np.random.default_rng(0)
        mean, deviation = 0.4, 0.5
        few = Difference(mean, deviation, 3, 3)
        n = 3 + few.num_more
        concluded = 0
        for row in rng.normal(mean, deviation, [1000, n]):
            difference = paired(
                dict(enumerate(row)), dict.fromkeys(range(n), 0)
            )
            concluded += difference.conclusion is not None
        self.assertBetween(concluded / 1000, 0.76, 0.88)

    def test_too_many_seeds_are_not_foreseen(self):
        self.assertIsNone(Difference(0.001, 1.0, 3, 2).num_more)
        self.assertIsNone(Difference(0.0, 1.0, 3, 1).num_more)

    def test_the_interval_is_students(self):
        difference = Difference(0.0, 2.0, 4, 2)
        half = quantile(differences.COVERAGE, 3) * 2.0 / math.sqrt(4)
        self.assertEqual(difference.interval, (-half, half))
        self.assertIsNone(difference.conclusion)


if __name__ == '__main__':
    absltest.main()
