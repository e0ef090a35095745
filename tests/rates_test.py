import math

from absl.testing import absltest, parameterized

from tfcharrnn.rates import Dropout


class DropoutTest(parameterized.TestCase):
    @parameterized.parameters(
        ('0.3', {'layers': 0.3, 'output': 0.3}),
        (0.3, {'layers': 0.3, 'output': 0.3}),
        ('output:0.5', {'output': 0.5}),
        (
            'rows:.1, weights:0.2,locked',
            {'rows': 0.1, 'weights': 0.2, 'locked': True},
        ),
        ({'embedding': 0.2}, {'embedding': 0.2}),
        ('inputs:0.1,state:0.2', {'inputs': 0.1, 'state': 0.2}),
    )
    def test_made_of_what_users_write(self, given, expected):
        dropout = Dropout.of(given)
        self.assertEqual(dropout, Dropout(**expected))
        self.assertEqual(Dropout.of(dropout.config), dropout)

    @parameterized.parameters(
        (1.0, '`dropout` is 1.0'),
        (-0.1, '-0.1'),
        (math.nan, 'nan'),
        ('output', 'output'),
        ('output:x', 'output:x'),
        ('output:1.5', '`dropout.output` is 1.5'),
        ('noise:0.5', 'noise'),
        ({'noise': 0.5}, 'noise'),
        ({'output': '0.5'}, '0.5'),
        ({'output': True}, 'True'),
    )
    def test_nonsense_is_an_error_that_shows_it(self, given, message):
        with self.assertRaisesRegex(ValueError, message):
            Dropout.of(given)


if __name__ == '__main__':
    absltest.main()
