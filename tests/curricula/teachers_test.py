import random
import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import curricula
from tfcharrnn.curricula.teachers import VARIANTS, Teacher
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.checkpointer import Checkpointer


class TeacherTest(tf.test.TestCase, parameterized.TestCase):
    def test_online_follows_the_change_of_the_score(self):
        policy = Teacher('online', rate=0.25)
        choices = policy.begin(2)
        progress = last = 0.0
        for score in (0.5, 0.6, 0.3, 0.9):
            policy.update(choices, 1, [score])
            progress = 0.25 * (score - last) + 0.75 * progress
            last = score
            self.assertAllClose(choices.values, [0.0, progress])

    def test_naive_follows_the_slope_since_the_choice(self):
        policy = Teacher('naive', rate=0.25)
        choices = policy.begin(2)
        scores = [0.1, 0.4, 0.3, 0.8]
        slope = np.polyfit(range(4), scores, 1)[0]
        policy.update(choices, 0, scores)
        policy.update(choices, 0, scores)
        self.assertAllClose(choices.values[0], slope * (0.25 + 0.75 * 0.25))

    def test_window_is_the_slope_of_the_last_scores_over_time(self):
        policy = Teacher('window', window=3)
        choices = policy.begin(2)
        times, scores = [1, 3, 4, 7, 9], [0.9, 0.1, 0.4, 0.3, 0.8]
        for time in range(1, 10):
            source = int(time in times)
            score = scores[times.index(time)] if source else 0.5
            policy.update(choices, source, [score])
        slope = np.polyfit(times[-3:], scores[-3:], 1)[0]
        self.assertAllClose(choices.values, [0.0, slope], atol=1e-9)

    def test_sampling_tries_all_and_then_draws_from_the_last_changes(self):
        policy, draw = Teacher('sampling', window=2), random.Random(0)
        choices = policy.begin(2)
        for score in (0.5, 0.9, 0.91):
            policy.update(choices, 0, [score])
        self.assertAllClose(choices.history[0], [0.4, 0.01])
        self.assertEqual(policy.choose(choices, draw), 1)  # Counts as 1.
        policy.update(choices, 1, [0.1])
        policy.update(choices, 1, [0.2])
        chosen = [policy.choose(choices, draw) for _ in range(400)]
        # Source 0 where 0.4 was drawn, which is half of the time.
        self.assertBetween(np.mean(chosen), 0.4, 0.6)

    @parameterized.parameters('online', 'naive', 'window')
    def test_the_largest_change_is_taken_also_if_it_is_a_loss(self, variant):
        policy, draw = Teacher(variant, epsilon=0.3), random.Random(0)
        choices = policy.begin(3)
        choices.values = [0.1, -0.5, 0.2]
        chosen = [policy.choose(choices, draw) for _ in range(600)]
        shares = np.bincount(chosen, minlength=3) / 600
        self.assertAllClose(shares, [0.1, 0.8, 0.1], atol=0.05)

    @parameterized.parameters(*VARIANTS)
    def test_without_progress_all_sources_come_alike(self, variant):
        policy, draw = Teacher(variant, window=2), random.Random(0)
        choices = policy.begin(3)
        chosen = [policy.choose(choices, draw) for _ in range(600)]
        self.assertGreater(np.bincount(chosen, minlength=3).min(), 150)

    @parameterized.parameters(
        ({'variant': 'strict'}, '`variant` is'),
        ({'rate': 2}, '`rate` is 2'),
        ({'epsilon': -1}, '`epsilon` is -1'),
        ({'window': 1}, '`window` is 1'),
        ({'variant': 'naive', 'every': 1}, '`every` is 1'),
    )
    def test_refuses_what_is_out_of_range(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            curricula.teacher([toys.random_batches()] * 2, **options)

    @parameterized.parameters('window', 'sampling')
    def test_a_run_that_was_killed_continues_bit_for_bit(self, variant):
        def make():
            tf.random.set_seed(0)
            sources = [toys.random_batches(seed=seed) for seed in range(3)]
            dataset = curricula.teacher(sources, variant=variant, window=2)
            return toys.make_trainer(steps_per_loop=4), dataset

        whole, dataset = make()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        whole.train(dataset, 30)
        for step in (7, 19, 30):
            trained, dataset = make()
            saver = Checkpointer(folder, trained, Vocabulary('abcde'))
            saver.restore()
            trained.train(dataset, step)
            saver.save()
        toys.assert_same(toys.snapshot(trained), toys.snapshot(whole))


if __name__ == '__main__':
    tf.test.main()
