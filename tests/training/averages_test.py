import copy
import math

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn.training import averages


class AverageTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(0.5, 0.9, 0.999)
    def test_it_equals_its_formula(self, decay):
        trained, dataset = (
            toys.make_trainer(average=decay),
            toys.random_batches(),
        )
        expected = None
        for step in range(1, 13):
            trained.train(dataset, step)
            now = [v.numpy() for v in trained.model.trainable_variables]
            expected = expected or now
            weight = max(1.0 - decay, 1.0 / step)
            expected = [
                old + weight * (new - old)
                for old, new in zip(expected, now, strict=True)
            ]
            self.assertAllClose(trained.averages.variables, expected)

    @parameterized.parameters(0, 3, 11)
    def test_a_tail_is_the_mean_of_the_weights_from_its_step_on(self, begin):
        trained = toys.make_trainer(average=averages.tail(begin))
        dataset, since = toys.random_batches(), []
        for step in range(1, 13):
            trained.train(dataset, step)
            since.append([v.numpy() for v in trained.model.trainable_variables])
            if step <= begin + 1:  # Bit for bit: nothing is averaged yet.
                self.assertAllClose(trained.averages.variables, since[-1], 0, 0)
            for i, average in enumerate(trained.averages.variables):
                tail = [weights[i] for weights in since[begin:] or since[-1:]]
                self.assertAllClose(average, np.mean(tail, axis=0), 1e-6, 1e-6)

    def test_evaluation_is_of_the_averages_and_leaves_the_weights(self):
        dataset = toys.random_batches()
        trained = toys.make_trainer(average=0.9)
        trained.train(dataset, 5)
        before = [v.numpy() for v in trained.model.trainable_variables]
        loss = trained.evaluate(dataset)['loss']
        self.assertAllClose(before, trained.model.trainable_variables, 0, 0)
        plain = toys.make_trainer(copy.deepcopy(trained.model))
        for variable, average in zip(
            plain.model.trainable_variables,
            trained.averages.variables,
            strict=True,
        ):
            variable.assign(average)
        self.assertEqual(plain.evaluate(dataset)['loss'], loss)

    def test_weights_assigned_before_the_first_step_are_evaluated(self):
        trained = toys.make_trainer(average=0.9)
        for variable in trained.model.trainable_variables:
            variable.assign(tf.zeros_like(variable))
        loss = trained.evaluate(toys.random_batches())['loss']
        self.assertAlmostEqual(loss, math.log(toys.VOCAB), 6)

    def test_weights_are_back_after_an_error(self):
        trained = toys.make_trainer(average=0.9)
        trained.train(toys.random_batches(), 5)
        before = [v.numpy() for v in trained.model.trainable_variables]
        with self.assertRaises(KeyError), trained.averaged():
            raise KeyError
        self.assertAllClose(before, trained.model.trainable_variables, 0, 0)

    def test_training_is_that_without_an_average(self):
        with_average, without = (
            toys.make_trainer(average=0.9),
            toys.make_trainer(),
        )
        for variable, other in zip(
            with_average.model.variables, without.model.variables, strict=True
        ):
            variable.assign(other)
        for each in (with_average, without):
            each.train(toys.random_batches(), 5)
        self.assertAllClose(
            with_average.model.variables, without.model.variables
        )

    @parameterized.parameters(0.0, 1.0, -0.5, 2.0)
    def test_refuses_a_decay_that_is_out_of_range(self, decay):
        with self.assertRaisesRegex(ValueError, f'`average` is {decay}'):
            toys.make_trainer(average=decay)


if __name__ == '__main__':
    tf.test.main()
