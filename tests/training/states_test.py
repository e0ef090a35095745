import numpy as np
import tensorflow as tf
import toys

from tfcharrnn.training import states


class StatesTest(tf.test.TestCase):
    def test_rows_that_are_reset_are_zero(self):
        model = toys.FrequencyModel()
        state = tf.nest.map_structure(tf.ones_like, model.initial_state(3))
        reset = tf.constant([True, False, True])
        counts, length = states.reset_rows(model, state, reset)
        self.assertAllEqual(length, [0.0, 1.0, 0.0])
        self.assertAllEqual(counts[:, 0], [0.0, 1.0, 0.0])

    def test_one_of_two_states_is_kept(self):
        new, old = (
            (tf.ones([2]), (tf.ones([2, 3]),)),
            (
                tf.zeros([2]),
                (tf.zeros([2, 3]),),
            ),
        )
        for condition, expected in ((True, new), (False, old)):
            kept = states.keep_where(tf.constant(condition), new, old)
            tf.nest.map_structure(self.assertAllEqual, kept, expected)
        self.assertEqual(states.keep_where(tf.constant(True), (), ()), ())

    def test_a_state_that_is_not_kept_may_be_nan(self):
        kept = states.keep_where(
            tf.constant(False), tf.constant([np.nan]), tf.constant([1.0])
        )
        self.assertAllEqual(kept, [1.0])


class CarriedTest(tf.test.TestCase):
    def test_before_training_it_is_empty_then_zero(self):
        carried = states.Carried(toys.FrequencyModel())
        self.assertEqual(carried.arrays(), [])
        carried.enter(toys.streams(batch_size=3))
        self.assertAllEqual(carried.arrays()[1], [0.0] * 3)

    def test_goes_on_from_arrays(self):
        arrays = [np.ones([3, toys.VOCAB], 'f'), np.ones([3], 'f')]
        carried = states.Carried(toys.FrequencyModel())
        carried.reset(arrays)
        self.assertIs(carried.arrays(), arrays)
        carried.enter(toys.streams(batch_size=3))
        toys.assert_same(carried.arrays(), arrays)
        carried.reset()
        self.assertEqual(carried.arrays(), [])

    def test_other_shapes_are_refused_and_stay(self):
        arrays = [np.ones([3, toys.VOCAB], 'f'), np.ones([3], 'f')]
        carried = states.Carried(toys.FrequencyModel())
        carried.reset(arrays)
        with self.assertRaisesRegex(ValueError, r'\(3, 5\).*\(4, 5\)'):
            carried.enter(toys.streams(batch_size=4))
        self.assertIs(carried.arrays(), arrays)


if __name__ == '__main__':
    tf.test.main()
