import math

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from batch_testing import (
    ARGUMENTS,
    DataTest,
    few_examples,
    passes,
    rows,
    scored,
    to_numpy,
)
from hypothesis import strategies as st

from tfcharrnn import data


class WindowsTest(DataTest):
    @parameterized.parameters(
        (20, 5, 3, 1), (20, 5, 3, 4), (6, 5, 3, 2), (20, 1, 4, 3), (21, 2, 2, 9)
    )
    def test_every_window_once_in_a_pass(self, n, t, b, stride):
        batches = data.windows(np.arange(n), t, b, stride=stride)
        expected = [
            (list(range(start, start + t)), [start + t])
            for start in range(0, n, stride)
            if start + t < n
        ]
        self.assertEqual(batches.num_chars, len(expected))
        for one_pass in passes(batches):
            self.assertCountEqual(rows(one_pass), expected)

    @few_examples
    @hypothesis.given(ARGUMENTS, st.integers(1, 30))
    def test_every_window_once_for_any_sizes(self, sizes, stride):
        n, t, b = sizes
        one_pass = to_numpy(data.windows(np.arange(n), t, b, stride=stride))
        self.assertAllEqual(np.sort(scored(one_pass)), np.arange(t, n, stride))

    def test_only_the_last_position_is_scored(self):
        batches = data.windows(np.arange(20), 5, 4)
        *full, last = to_numpy(batches)
        for batch in full:
            self.assertAllEqual(batch.mask, [[False] * 4 + [True]] * 4)
            self.assertAllEqual(batch.targets, batch.inputs + 1)
        missing = len(batches) * 4 - batches.num_chars
        self.assertGreater(missing, 0)
        self.assertFalse(last.mask[-missing:].any())
        self.assertAllEqual(last.inputs[-missing:], np.zeros([missing, 5]))

    def test_windows_always_reset(self):
        for batch in data.windows(np.arange(20), 5, 4):
            self.assertAllEqual(batch.reset, [True] * 4)

    def test_without_shuffle_the_order_is_that_of_the_text(self):
        batches = data.windows(np.arange(20), 5, 4, stride=2, shuffle=False)
        self.assertAllEqual(scored(to_numpy(batches)), np.arange(5, 20, 2))

    @parameterized.parameters((40, 200_285), (60, 200_278))
    def test_nietzsche_has_as_many_windows_as_published(self, t, number):
        ids = np.zeros(600_893, np.uint8)
        batches = data.windows(ids, t, 128, stride=3)
        self.assertEqual(batches.num_chars, number)
        self.assertLen(batches, math.ceil(number / 128))


if __name__ == '__main__':
    tf.test.main()
