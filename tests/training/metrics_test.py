import json
import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.training import losses
from tfcharrnn.training.metrics import Sums, Windows


class SumsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(1, 5)
    def test_means_divide_once_at_the_end(self, num_batches):
        bits = 3.0
        sums = Sums()
        for n in range(1, num_batches + 1):  # batches that differ in size
            loss = (bits * math.log(2) * n, float(n))
            sums.add({'loss': loss, 'accuracy': (float(n > 1), n)})
        count = num_batches * (num_batches + 1) // 2
        self.assertAllClose(
            sums.means(),
            {
                'loss': bits * math.log(2),
                'accuracy': (num_batches - 1) / count,
                'bits_per_char': bits,
                'perplexity': 2**bits,
                'num_chars': count,
            },
        )

    def test_means_of_what_the_losses_return(self):
        logits = tf.random.normal([3, 4, 7], stddev=3.0)
        targets = tf.random.uniform([3, 4], maxval=7, dtype=tf.int32)
        mask = tf.random.uniform([3, 4]) < 0.5
        total, count = losses.cross_entropy(logits, targets, mask)
        means = Sums({'loss': (total, count)}).means()
        self.assertAllClose(means['loss'], total / count)
        self.assertAllClose(means['perplexity'], math.exp(total / count))
        self.assertEqual(means['num_chars'], np.sum(mask))

    def test_sums_go_on_from_their_pairs(self):
        first = Sums({'loss': (3.0, 2.0)})
        second = Sums(first.pairs)
        second.add({'loss': (1.0, 2.0)})
        self.assertEqual(second.means()['loss'], 1.0)
        self.assertEqual(first.means()['loss'], 1.5)

    def test_sums_are_in_double_precision(self):
        sums = Sums({'loss': (2.0**24, 2.0**24)})
        sums.add({'loss': (1.0, 1.0)})  # float32 has no number 2**24 + 1
        self.assertEqual(sums.means()['num_chars'], 2**24 + 1)

    def test_means_without_a_loss_are_only_the_means(self):
        sums = Sums({'gradient_norm': (6.0, 3.0)})
        self.assertEqual(sums.means(), {'gradient_norm': 2.0})

    def test_mean_of_nothing_is_no_number(self):
        means = Sums({'loss': (0.0, 0.0)}).means()
        for name in ('loss', 'bits_per_char', 'perplexity'):
            self.assertTrue(math.isnan(means[name]), name)
        self.assertEqual(means['num_chars'], 0)

    def test_perplexity_of_a_huge_loss_is_infinite(self):
        means = Sums({'loss': (1e6, 1.0)}).means()
        self.assertEqual(means['perplexity'], math.inf)

    def test_seconds_become_characters_per_second(self):
        sums = Sums({'loss': (3.0, 30.0), 'seconds': (0.5, 2.0)})
        sums.add({'loss': (3.0, 10.0), 'seconds': (1.5, 1.0)})
        means = sums.means()
        self.assertEqual(means['chars_per_second'], 20.0)
        self.assertNotIn('seconds', means)


class WindowsTest(tf.test.TestCase, parameterized.TestCase):
    def pairs(self, *losses):
        return [{'loss': (loss, 1.0)} for loss in losses]

    def test_each_period_ends_at_its_multiples(self):
        windows, ended = Windows(), {2: [], 3: []}
        for step in range(1, 8):
            for period, sums in windows.add(self.pairs(step), [2, 3], step):
                ended[period].append((step, sums.pairs['loss'][0]))
        self.assertEqual(ended[2], [(2, 3.0), (4, 7.0), (6, 11.0)])
        self.assertEqual(ended[3], [(3, 6.0), (6, 15.0)])
        self.assertEqual(windows.since(2).means()['loss'], 7.0)
        self.assertEqual(windows.since(3).means()['loss'], 7.0)
        self.assertEqual(windows.since(5).means(), {})

    def test_several_steps_at_once_are_as_one_by_one(self):
        one_by_one, at_once = Windows(), Windows()
        for step in (1, 2, 3):
            one_by_one.add(self.pairs(step), [5], step)
        at_once.add(self.pairs(1, 2, 3), [5], 3)
        self.assertEqual(at_once.pairs, one_by_one.pairs)

    def test_without_a_period_each_call_ends_one(self):
        windows = Windows()
        for step in (2, 3):
            [(period, sums)] = windows.add(self.pairs(step), [None], step)
            self.assertIsNone(period)
            self.assertEqual(sums.pairs['loss'], (step, 1.0))
        self.assertEmpty(windows.pairs)

    def test_goes_on_from_json(self):
        windows = Windows()
        windows.add(self.pairs(1.0, 2.0), [3, 5], 2)
        restored = Windows(json.loads(json.dumps(windows.pairs)))
        for each in (windows, restored):
            [(_, sums)] = each.add(self.pairs(3.0), [3, 5], 3)
            self.assertEqual(sums.means()['loss'], 2.0)
        self.assertEqual(restored.pairs, windows.pairs)

    def test_keeps_the_windows_of_some_periods(self):
        windows = Windows()
        windows.add(self.pairs(1.0), [2, 3, 4], 1)
        windows.keep([3, 7])
        self.assertEqual([*windows.pairs], [3])


if __name__ == '__main__':
    tf.test.main()
