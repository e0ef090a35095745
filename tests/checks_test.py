import math

import numpy as np
from absl.testing import absltest, parameterized

from tfcharrnn import checks


class WholeNumberTest(parameterized.TestCase):
    @parameterized.parameters(
        1, 64, 64.0, np.int64(3), np.float32(3), 10**30, 10**400, np.uint8(255)
    )
    def test_of_any_type_becomes_an_int(self, value):
        result = checks.whole_number('size', value)
        self.assertIs(type(result), int)
        self.assertEqual(result, value)

    @parameterized.parameters(
        0, -1, 1.5, math.nan, math.inf, -math.inf, True, '3', None, ([3],), 3j
    )
    def test_anything_else_is_named_in_a_sentence(self, value):
        with self.assertRaises(ValueError) as caught:
            checks.whole_number('size', value)
        self.assertEqual(
            str(caught.exception),
            f'`size` is {value!r}, but must be a whole number from 1 up.',
        )

    def test_the_bounds_belong_to_it(self):
        self.assertEqual(checks.whole_number('n', 0, 0, 2), 0)
        self.assertEqual(checks.whole_number('n', 2, 0, 2), 2)
        for value in (-1, 3):
            with self.assertRaisesRegex(ValueError, 'number from 0 to 2.$'):
                checks.whole_number('n', value, 0, 2)


class NumberTest(parameterized.TestCase):
    @parameterized.parameters(-1, 0.5, np.float32(0.25), np.int8(1))
    def test_of_any_type_becomes_a_float(self, value):
        result = checks.number('x', value)
        self.assertIs(type(result), float)
        self.assertEqual(result, value)

    @parameterized.parameters(math.nan, math.inf, True, '1', None, 1j, 10**400)
    def test_anything_else_is_named_in_a_sentence(self, value):
        with self.assertRaises(ValueError) as caught:
            checks.number('x', value)
        self.assertEqual(
            str(caught.exception), f'`x` is {value!r}, but must be a number.'
        )

    @parameterized.parameters(
        ({'low': 0.0}, -0.1, 0.0, 'from 0 up'),
        ({'low': 0.0, 'high': 1.0}, 1.1, 1.0, 'from 0 to 1'),
        ({'high': 1.5}, 2, 1.5, 'up to 1.5'),
        ({'above': 0.0}, 0.0, 0.1, 'above 0'),
        ({'low': 0.0, 'below': 1.0}, 1.0, 0.9, 'from 0 up, below 1'),
        ({'above': 0.0, 'below': 1.0}, 1.0, 0.9, 'above 0, below 1'),
        ({'below': 1.0}, 1.0, -9.0, 'below 1'),
    )
    def test_bounds_are_told(self, bounds, wrong, right, told):
        self.assertEqual(checks.number('x', right, **bounds), right)
        with self.assertRaises(ValueError) as caught:
            checks.number('x', wrong, **bounds)
        self.assertEqual(
            str(caught.exception),
            f'`x` is {wrong!r}, but must be a number {told}.',
        )


class ChoiceTest(parameterized.TestCase):
    @parameterized.parameters('c', '', None, 1, (['a'],))
    def test_another_value_is_refused_with_those_that_are_allowed(self, value):
        self.assertEqual(checks.choice('letter', 'a', iter('ab')), 'a')
        with self.assertRaises(ValueError) as caught:
            checks.choice('letter', value, iter('ab'))
        self.assertEqual(
            str(caught.exception),
            f'`letter` is {value!r}, but must be one of a, b.',
        )


if __name__ == '__main__':
    absltest.main()
