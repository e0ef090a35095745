import functools

import hypothesis
import tensorflow as tf
from absl.testing import parameterized
from hypothesis import strategies

from tfcharrnn.training import schedules

# Each goes from `start` to `end` and has arrived at step `steps`.
ARRIVING = (
    schedules.linear,
    schedules.exponential,
    schedules.root,
    functools.partial(schedules.root, degree=3.0),
    schedules.cosine,
)
EVERY_KIND = (
    schedules.constant(0.5),
    *(make(1.0, 0.25, 4) for make in ARRIVING),
    schedules.cosine(1.0, 0.25, 4, warmup_steps=2),
    schedules.inverse_sigmoid(1.0, 0.25, 4.0),
    schedules.stepwise([1.0, 0.5, 0.25], [2, 4]),
    schedules.join([schedules.linear(0.0, 1.0, 2), schedules.constant(1)], [2]),
    schedules.parse('linear:0:1:2@2,1@4,0.5'),
)


def curve(schedule, steps):
    return [float(schedule(step)) for step in range(steps)]


class SchedulesTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(
        ('constant', schedules.constant(0.5), [0.5, 0.5, 0.5]),
        ('up', schedules.linear(0, 1, 4), [0, 0.25, 0.5, 0.75, 1, 1, 1]),
        ('down', schedules.linear(1, -1, 4), [1, 0.5, 0, -0.5, -1, -1, -1]),
        ('one_step', schedules.linear(3, 7, 1), [3, 7, 7]),
        ('exponential', schedules.exponential(8, 1, 3), [8, 4, 2, 1, 1]),
        (
            'inverse_sigmoid',  # k / (k + exp(step / k)) for k = 1
            schedules.inverse_sigmoid(1, 0, 1),
            [0.5, 0.268941, 0.119203, 0.047426, 0.017986, 0.006693],
        ),
        (
            'square_root',
            schedules.root(0, 2, 4),
            [0, 1, 1.414214, 1.732051, 2, 2],
        ),
        (
            'cube_root',
            schedules.root(1, 3, 8, degree=3),
            [1, 2, 2.259921, 2.442250, 2.587401, 2.709976, 2.817121]
            + [2.912931, 3, 3],
        ),
        (
            'cosine',
            schedules.cosine(2, 0, 4),
            [2, 1.707107, 1, 0.292893, 0, 0],
        ),
        (
            'cosine_with_warmup',
            schedules.cosine(2, 1, 6, warmup_steps=2),
            [0, 1, 2, 1.853553, 1.5, 1.146447, 1, 1],
        ),
        (
            'stepwise',
            schedules.stepwise([25, 50, 100], [2, 3]),
            [25, 25, 50, 100, 100],
        ),
        (
            'join',
            schedules.join(
                [schedules.linear(0, 1, 2), schedules.linear(1, 0, 4)], [2]
            ),
            [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0],
        ),
    )
    def test_the_curve_in_full(self, schedule, values):
        self.assertAllClose(curve(schedule, len(values)), values)

    @parameterized.parameters(*EVERY_KIND)
    def test_int_tensor_variable_and_graph_agree(self, schedule):
        in_graph = tf.function(schedule)
        for step in range(6):
            expected = schedule(step)
            self.assertEqual(expected.dtype, tf.float32)
            self.assertEqual(expected.shape, [])
            for form in (
                tf.constant(step, tf.int32),
                tf.constant(step, tf.int64),
                tf.Variable(step, dtype=tf.int64),
            ):
                self.assertAllEqual(schedule(form), expected)
                # The compiler may contract a product and a sum.
                self.assertAllClose(in_graph(form), expected, rtol=1e-6)

    @hypothesis.settings(max_examples=25, deadline=None)
    @hypothesis.given(
        make=strategies.sampled_from(ARRIVING),
        ends=strategies.tuples(
            *2 * [strategies.floats(2**-20, 2**20, width=32)]
        ),
        steps=strategies.integers(1, 10**6),
        later=strategies.integers(0, 10**9),
    )
    def test_begins_at_start_and_stays_at_end(self, make, ends, steps, later):
        schedule = make(*ends, steps)
        self.assertAllEqual([schedule(0), schedule(steps + later)], ends)

    @parameterized.parameters(*ARRIVING)
    def test_never_turns_back(self, make):
        values = curve(make(1.0, 0.25, 10), 12)
        self.assertEqual(values, sorted(values, reverse=True))

    def test_inverse_sigmoid_is_half_way_at_k_log_k_and_never_overflows(self):
        schedule = schedules.inverse_sigmoid(1.0, 0.0, k=100.0)
        self.assertAllClose(schedule(461), 0.5, atol=0.01)  # 100 ln 100
        self.assertAllEqual(schedule(10**9), 0.0)

    def test_exponential_is_the_decay_of_scheduled_sampling(self):
        k = 0.9
        self.assertAllClose(
            curve(schedules.exponential(1.0, k**20, 20), 20),
            [k**step for step in range(20)],
        )

    def test_equals_the_schedules_of_keras(self):
        keras = tf.keras.optimizers.schedules
        for ours, theirs in (
            (
                schedules.linear(1.0, 0.2, 7),
                keras.PolynomialDecay(1.0, 7, end_learning_rate=0.2),
            ),
            (
                schedules.exponential(1.0, 0.2, 9),
                keras.ExponentialDecay(1.0, 9, decay_rate=0.2),
            ),
            (
                schedules.cosine(2.0, 0.2, 9, warmup_steps=3),
                keras.CosineDecay(
                    0.0, 6, alpha=0.1, warmup_target=2.0, warmup_steps=3
                ),
            ),
            (
                schedules.stepwise([1.0, 0.5, 0.2], [3, 6]),
                # There, a boundary is the last step of the piece before it.
                keras.PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.2]),
            ),
        ):
            self.assertAllClose(curve(ours, 9), curve(theirs, 9))

    def test_each_joined_schedule_counts_from_its_own_beginning(self):
        seen = []

        def spy(step):
            seen.append(int(step))
            return tf.constant(0.0)

        joined = schedules.join([schedules.constant(1.0), spy], [3])
        self.assertEqual(curve(joined, 6), [1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
        self.assertEqual(seen, [0, 0, 0, 0, 1, 2])  # and none below zero

    @parameterized.parameters(
        (lambda: schedules.linear(0, 1, 0), '`steps` is 0.*at least 1'),
        (
            lambda: schedules.root(0, 1, 5, degree=0),
            '`degree` is 0.*above zero',
        ),
        (
            lambda: schedules.exponential(1, 0, 5),
            '`end` is 0.*above zero.*linear',
        ),
        (
            lambda: schedules.inverse_sigmoid(1, 0, 0.5),
            '`k` is 0.5.*at least 1',
        ),
        (
            lambda: schedules.cosine(1, 0, 5, 5),
            '`steps` is 5.*more than `warmup_steps`, 5',
        ),
        (lambda: schedules.stepwise([1, 2], [3, 4]), r'2 schedules.*\[3, 4\]'),
        (lambda: schedules.stepwise([1, 2, 3], [4, 4]), r'\[4, 4\].*rise'),
        (lambda: schedules.stepwise([1, 2], [0]), r'\[0\].*above zero'),
        (lambda: schedules.stepwise([1, 2], [2.5]), r'2\.5.*whole steps'),
        (lambda: schedules.join([], []), '0 schedules'),
    )
    def test_refuses(self, make, message):
        with self.assertRaisesRegex(ValueError, message):
            make()


class LearningRateTest(tf.test.TestCase):
    def test_an_optimizer_follows_it_inside_a_function(self):
        # Steepest descent on `w` moves `w` by the learning rate.
        schedule = schedules.stepwise([1.0, 10.0, 100.0], [1, 2])
        optimizer = tf.keras.optimizers.SGD(schedules.LearningRate(schedule))
        w = tf.Variable(0.0)
        optimizer.build([w])

        @tf.function
        def descend():
            optimizer.apply_gradients([(tf.ones([]), w)])
            return optimizer.learning_rate

        rates = [float(descend()) for _ in range(3)]
        self.assertEqual(rates, [10.0, 100.0, 100.0])  # that of the next step
        self.assertAllEqual(w, -111.0)

    def test_adam_of_a_constant_equals_adam(self):
        weights = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
        rates = 0.1, schedules.LearningRate(schedules.constant(0.1))
        for w, rate in zip(weights, rates, strict=True):
            optimizer = tf.keras.optimizers.Adam(rate)
            for _ in range(3):
                optimizer.apply_gradients([(2.0 * w, w)])
        self.assertAllEqual(*weights)

    def test_the_config_of_its_optimizer_can_be_read(self):
        rate = schedules.LearningRate(schedules.constant(0.1))
        config = tf.keras.optimizers.Adam(rate).get_config()
        self.assertIn('schedule', config['learning_rate']['config'])


class ParseTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ('0.5', schedules.constant(0.5)),
        ('1e-3', schedules.constant(1e-3)),
        ('linear:0:0.5:4', schedules.linear(0.0, 0.5, 4)),
        ('linear:0:0.5:1e1', schedules.linear(0.0, 0.5, 10)),
        ('exponential:1:0.25:4', schedules.exponential(1.0, 0.25, 4)),
        ('inverse_sigmoid:1:0:2.5', schedules.inverse_sigmoid(1.0, 0.0, 2.5)),
        ('root:0:1:4', schedules.root(0.0, 1.0, 4)),
        ('root:0:1:4:3', schedules.root(0.0, 1.0, 4, degree=3.0)),
        ('cosine:1:0.5:6', schedules.cosine(1.0, 0.5, 6)),
        ('cosine:1:0.5:6:2', schedules.cosine(1.0, 0.5, 6, warmup_steps=2)),
        ('25@2,50@4,100', schedules.stepwise([25, 50, 100], [2, 4])),
        (' 25@2, 50 ', schedules.stepwise([25, 50], [2])),
        (
            'linear:0:1:2@2,linear:1:0:4',
            schedules.join(
                [schedules.linear(0.0, 1.0, 2), schedules.linear(1.0, 0.0, 4)],
                [2],
            ),
        ),
    )
    def test_means_the_call(self, text, schedule):
        self.assertEqual(curve(schedules.parse(text), 8), curve(schedule, 8))

    @parameterized.parameters(
        ('', 'number, linear:start:end:steps, .*but got ``'),
        ('linaer:0:1:5', 'linear:start:end:steps.*but got `linaer:0:1:5`'),
        ('join:1:2', 'A schedule is a number, linear.*but got `join:1:2`'),
        ('nan', 'A schedule is a number.*but got `nan`'),
        ('0.5:7', 'A schedule is a number.*but got `0.5:7`'),
        ('linear', "Expected linear:start:end:steps.*missing.*'start'"),
        ('linear:0:1', "Expected linear:start:end:steps.*missing.*'steps'"),
        ('cosine:1:0:9:1:2', r'\[:warmup_steps\].*too many'),
        ('linear:0:x:5', 'a number in .*`linear:0:x:5`, but got `x`'),
        ('linear:0:inf:5', 'a number .*but got `inf`'),
        ('linear:0:1:0', '`steps` is 0.*at least 1'),
        ('25,50', 'but the last needs `@`.*25@1000,50@3000,100.*25,50'),
        ('25@2,50@4', '`50@4`'),
        ('25@x,50', 'a number in .*but got `x`'),
        ('25@2.5,50', r'2\.5.*whole steps'),
        ('25@4,50@2,100', r'\[4, 2\].*rise'),
    )
    def test_says_what_it_expected(self, text, message):
        with self.assertRaisesRegex(ValueError, message):
            schedules.parse(text)


if __name__ == '__main__':
    tf.test.main()
