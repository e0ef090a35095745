import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn.training.loop import Loop
from tfcharrnn.training.states import Carried


def count(batch, state):
    """A step that sums up what it reads, and is not finite at 0 characters."""
    counts, length = state
    number = tf.reduce_sum(tf.cast(batch.mask, tf.float32))
    finite = number > 0.0
    length = tf.where(finite, length + number, length)
    return {'number': (number, 1.0)}, finite, (counts, length)


class LoopTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        (0, 100, [], 8),
        (0, 5, [], 5),
        (95, 100, [], 5),
        (0, 100, [3, 5], 3),
        (3, 100, [3, 5], 2),
        (5, 100, [3, 5], 1),
        (6, 100, [50], 8),
        (0, 7.0, [], 7),
    )
    def test_python_is_called_when_it_is_needed(
        self, step, last, periods, expected
    ):
        loop = Loop(count, steps_per_loop=8)
        self.assertEqual(loop.size(step, last, periods), expected)

    def test_the_first_loops_are_short(self):
        self.assertEqual(Loop(count).size(0, 100, []), 1)

    def test_carries_the_state_and_returns_the_pairs_of_each_step(self):
        dataset = toys.random_batches(number=3)
        carried = Carried(toys.FrequencyModel())
        carried.enter(dataset)
        iterator = iter(dataset.starting_at(0))
        pairs = Loop(count).run(iterator, carried, 3)
        numbers = [x['number'][0] for x in pairs]
        self.assertEqual(
            numbers, [float(x.mask.numpy().sum()) for x in dataset]
        )
        self.assertAllEqual(carried.arrays()[1], [sum(numbers)] * 4)
        for each in pairs:
            self.assertGreater(each['seconds'][0], 0.0)

    def test_ends_with_a_step_that_is_not_finite(self):
        arrays = [x.numpy() for x in next(iter(toys.random_batches(1)))]
        inputs, targets, mask, reset = ([x] * 4 for x in arrays)
        mask[2] = mask[2] & False
        dataset = toys.batches(*map(np.stack, (inputs, targets, mask, reset)))
        carried = Carried(toys.FrequencyModel())
        carried.enter(dataset)
        pairs = Loop(count).run(iter(dataset.starting_at(0)), carried, 4)
        self.assertLen(pairs, 3)
        number = float(mask[0].sum())
        self.assertAllEqual(carried.arrays()[1], [2 * number] * 4)


if __name__ == '__main__':
    tf.test.main()
