from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from batch_testing import (
    DataTest,
    scored,
    take,
    to_numpy,
)

from tfcharrnn import data
from tfcharrnn.data import order


class OrderTest(DataTest):
    """The order of texts too long for a permutation in memory."""

    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(order, '_MAX_PERMUTATION', 0))

    # index_shuffle itself repeats an index where the last is a power of 4.
    @parameterized.parameters(1, 2, 3, 5, 1000, 4**8, 4**8 + 1, 4**8 + 2)
    def test_every_index_once(self, size):
        batches = data.windows(np.arange(size + 1), 1, min(size, 1 << 14))
        self.assertAllEqual(
            np.sort(scored(to_numpy(batches))), np.arange(1, size + 1)
        )

    def test_pass_and_seed_decide_the_order(self):
        size = 2000
        ids = np.arange(size + 1)

        def orders(seed):
            batches = data.windows(ids, 1, size, seed=seed)
            return take(batches, 2) + take(batches, 1, 256)

        # The cipher itself looks at no more than 8 bits of pass and seed.
        orders = [scored([x]) for s in (0, 1, 256) for x in orders(s)]
        for i, one in enumerate(orders):
            for other in orders[:i]:
                self.assertLess(np.mean(one == other), 0.01)
                shared = np.bincount(one ^ other).max()
                self.assertLess(shared / size, 0.01)


if __name__ == '__main__':
    tf.test.main()
