import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.config import OptimizerConfig
from tfcharrnn.kinds import HAVE_BETA_2, OPTIMIZERS
from tfcharrnn.training.optimizers import (
    cycle_length,
    learning_rate,
    make_optimizer,
)


def curve(config, steps):
    schedule = learning_rate(config, steps)
    return [float(schedule(step)) for step in range(steps + 2)]


class LearningRateTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ('constant', 0, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ('linear', 0, [1.0, 0.7625, 0.525, 0.2875, 0.05, 0.05]),
        ('cosine', 0, [1.0, 0.8609, 0.525, 0.1891, 0.05, 0.05]),
        ('constant', 2, [0.5, 0.75, 1.0, 1.0, 1.0, 1.0]),
        ('linear', 2, [0.5, 0.75, 1.0, 0.525, 0.05, 0.05]),
        ('stepwise', 0, [1.0, 1.0, 0.5, 0.5, 0.5, 0.5]),
        ('cycles:2', 0, [1.0, 0.525, 1.0, 0.525, 1.0, 0.525]),
        ('cycles:2', 1, [1.0, 1.0, 1.0, 0.525, 1.0, 0.525]),
        ('cycles:1', 2, [0.5, 0.75, 1.0, 0.525, 1.0, 0.8609]),
    )
    def test_each_curve_in_full(self, name, warmup_steps, expected):
        text = '1@2,0.5' if name == 'stepwise' else name
        options = {} if text != name else {'learning_rate': 1.0}
        config = OptimizerConfig(
            lr_schedule=text, warmup_steps=warmup_steps, **options
        )
        self.assertAllClose(curve(config, 4), expected, atol=1e-4)

    def test_cycles_that_do_not_divide_the_steps_are_rounded_up(self):
        config = OptimizerConfig(lr_schedule='cycles:3', learning_rate=1.0)
        self.assertEqual(cycle_length(config, steps=10), 4)
        once = [1.0, 0.8609, 0.525, 0.1891]
        self.assertAllClose(curve(config, 10), 3 * once, atol=1e-4)

    def test_a_warm_up_that_takes_a_whole_cycle_is_refused(self):
        config = OptimizerConfig(lr_schedule='cycles:5', warmup_steps=20)
        with self.assertRaisesRegex(ValueError, '`warmup_steps` is 20, but a'):
            make_optimizer(config, steps=100)

    @parameterized.parameters(
        ('linear:1:-1:4', '`lr_schedule` is -0.5 at step 3'),
        ('sideways', 'A schedule is a number'),
    )
    def test_refuses_what_is_not_a_rate(self, text, message):
        with self.assertRaisesRegex(ValueError, message):
            config = OptimizerConfig(lr_schedule=text)
            make_optimizer(config, steps=10)


class OptimizerTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*OPTIMIZERS)
    def test_has_the_settings_that_it_knows(self, name):
        options = {'beta_2': 0.9} if name in HAVE_BETA_2 else {}
        config = OptimizerConfig(
            optimizer=name, weight_decay=0.01, learning_rate=0.5, **options
        )
        optimizer = make_optimizer(config, steps=10)
        self.assertEqual(type(optimizer).__name__, OPTIMIZERS[name])
        self.assertEqual(optimizer.weight_decay, 0.01)
        self.assertAllClose(optimizer.learning_rate, 0.5)
        if name in HAVE_BETA_2:
            self.assertEqual(optimizer.beta_2, 0.9)

    def test_biases_and_scales_do_not_decay(self):
        kernel, bias, scale = (
            tf.Variable([1.0], name=name)
            for name in ('kernel', 'bias', 'scale')
        )
        config = OptimizerConfig(
            optimizer='sgd', weight_decay=0.5, learning_rate=1.0
        )
        optimizer = make_optimizer(config, steps=10)
        zeros = [tf.zeros([1])] * 3
        optimizer.apply_gradients(
            zip(zeros, (kernel, bias, scale), strict=True)
        )
        self.assertAllEqual(kernel, [0.5])
        self.assertAllEqual(bias, [1.0])
        self.assertAllEqual(scale, [1.0])

    @parameterized.parameters('adam', 'adamw', 'sgd')
    def test_a_constant_schedule_decays_as_the_number_does(self, name):
        after = []
        for decay in (0.25, '0.25@7,0.25'):
            config = OptimizerConfig(
                optimizer=name, weight_decay=decay, learning_rate=0.5
            )
            optimizer = make_optimizer(config, steps=10)
            kernel, bias = (
                tf.Variable([3.0], name=name) for name in ('kernel', 'bias')
            )
            for _ in range(3):
                optimizer.apply_gradients(
                    [(tf.ones([1]), kernel), (tf.ones([1]), bias)]
                )
            after.append([kernel.numpy(), bias.numpy()])
        self.assertAllEqual(*after)

    def test_the_decay_of_a_step_is_that_of_the_schedule(self):
        config = OptimizerConfig(
            optimizer='sgd', weight_decay='linear:0.5:0:4', learning_rate=0.5
        )
        optimizer = make_optimizer(config, steps=10)
        kernel, expected = tf.Variable([1.0], name='kernel'), 1.0
        update = tf.function(
            lambda: optimizer.apply_gradients([(tf.zeros([1]), kernel)])
        )
        for decay in (0.5, 0.375, 0.25, 0.125, 0.0, 0.0):
            update()
            expected -= 0.5 * decay * expected
            self.assertAllClose(kernel, [expected])

    @parameterized.parameters(
        ('linear:1:-1:4', '`weight_decay` is -0.5 at step 3'),
        ('sideways:1', 'A schedule is a number'),
    )
    def test_refuses_what_is_no_decay(self, text, message):
        with self.assertRaisesRegex(ValueError, message):
            config = OptimizerConfig(weight_decay=text)
            make_optimizer(config, steps=10)

    def test_the_share_may_change_later(self):
        share = tf.Variable(1.0)
        config = OptimizerConfig(learning_rate=0.5)
        optimizer = make_optimizer(config, steps=10, share=share)
        self.assertAllClose(optimizer.learning_rate, 0.5)
        share.assign(0.25)
        self.assertAllClose(optimizer.learning_rate, 0.125)


if __name__ == '__main__':
    tf.test.main()
