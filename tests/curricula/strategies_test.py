import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import curricula


class LevelsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ('none', [[0, 0, 1]]),
        ('mix', [[1 / 3, 1 / 3, 1 / 3]]),
        ('naive', [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (
            'combined',
            [
                [4 / 6, 1 / 6, 1 / 6],
                [1 / 6, 4 / 6, 1 / 6],
                [1 / 6, 1 / 6, 4 / 6],
            ],
        ),
    )
    def test_the_levels_are_drawn_as_in_the_paper(self, strategy, expected):
        stages = curricula.levels(strategy, list, 3, steps_per_level=10)
        stages = list(stages)
        self.assertAllClose([stage.dataset for stage in stages], expected)
        ends = [10, 20, None] if len(stages) > 1 else [None]
        self.assertEqual([stage.steps for stage in stages], ends)

    def test_mistakes_are_explained(self):
        for strategy, message in (('easy', 'naive'), ('naive', 'needs an end')):
            with self.assertRaisesRegex(ValueError, message):
                next(curricula.levels(strategy, list, 3))


if __name__ == '__main__':
    tf.test.main()
