import math

import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.training.updates import Updates, differentiate


class Model(tf.Module):
    def __init__(self):
        super().__init__()
        self.large = tf.Variable([1.0, 2.0, 3.0])
        self.small = tf.Variable(4.0)
        self.unused = tf.Variable(5.0)


class DifferentiateTest(tf.test.TestCase, parameterized.TestCase):
    def gradients(self, model, plus):
        def compute():
            total = tf.reduce_sum(model.large**2) + model.small
            return {'loss': (total + plus, 2.0)}, 'state'

        variables = [model.large, model.small, model.unused]
        pairs, gradients, state = differentiate(compute, variables)
        self.assertEqual(state, 'state')
        self.assertAllClose(pairs['loss'], (18.0 + plus, 2.0))
        return gradients

    def test_it_is_of_the_mean(self):
        large, small, unused = self.gradients(Model(), plus=0.0)
        self.assertAllClose(large, [1.0, 2.0, 3.0])
        self.assertAllClose(small, 0.5)
        self.assertIsNone(unused)

    @parameterized.parameters(math.nan, math.inf, -math.inf)
    def test_of_a_loss_that_is_not_finite_it_is_not_either(self, plus):
        large, small, _ = self.gradients(Model(), plus)
        self.assertAllClose(large, [1.0, 2.0, 3.0])
        self.assertAllEqual(tf.math.is_nan(small), True)

    def test_without_any_gradient_nothing_is_spoiled(self):
        model = Model()
        _, gradients, _ = differentiate(
            lambda: ({'loss': (model.small * math.nan, 1.0)}, ()),
            [model.unused],
        )
        self.assertEqual(gradients, [None])


class UpdatesTest(tf.test.TestCase, parameterized.TestCase):
    def updates(self, model, **options):
        options = {'clip_norm': None, 'average': None, **options}
        return Updates(model, tf.keras.optimizers.SGD(1.0), **options)

    def apply(self, updates, *gradients):
        step = tf.Variable(0, dtype=tf.int64)
        gradients = [tf.constant(x) for x in gradients]
        return tf.function(updates.apply)(gradients, step)

    @parameterized.parameters((None, 1.0), (10.0, 1.0), (2.5, 0.5))
    def test_the_weights_follow_the_clipped_gradient(self, clip_norm, scale):
        model = Model()
        updates = self.updates(model, clip_norm=clip_norm)
        norm = self.apply(updates, [3.0, 0.0, 0.0], 4.0, 0.0)
        self.assertAllClose(norm, 5.0)
        self.assertAllClose(model.large, [1.0 - 3.0 * scale, 2.0, 3.0])
        self.assertAllClose(model.small, 4.0 - 4.0 * scale)

    @parameterized.parameters(math.nan, math.inf, 1e30)
    def test_a_norm_that_is_not_finite_changes_nothing(self, gradient):
        model = Model()
        updates = self.updates(model, average=0.9)
        before = [v.numpy() for v in model.variables]
        self.apply(updates, [0.0, 0.0, 0.0], 1.0, gradient)
        self.assertAllEqual(model.large, before[0])
        self.assertAllEqual(model.small, before[1])
        self.assertAllEqual(updates.averages.variables[0], before[0])

    @parameterized.parameters(0.0, -1.0, math.nan)
    def test_refuses_a_norm_that_is_not_positive(self, clip_norm):
        with self.assertRaisesRegex(ValueError, '`clip_norm` is '):
            self.updates(Model(), clip_norm=clip_norm)


if __name__ == '__main__':
    tf.test.main()
