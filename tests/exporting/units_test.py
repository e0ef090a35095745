import itertools

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

import tfcharrnn
from tfcharrnn.exporting import units
from tfcharrnn.exporting.features import features_of


class Planted(tfcharrnn.RNNCell):
    """Unit 1 is 1 after an A; the others are what a random walk says."""

    def __call__(self, inputs, state):
        noise = tf.sin(17.0 * state + 3.0 * tf.reduce_sum(inputs[:, :2]) + 1.0)
        is_upper = inputs[:, 2:3]
        outputs = tf.concat([noise[:, :1], is_upper, noise[:, 2:]], axis=1)
        return outputs, outputs


class UnitsTest(tf.test.TestCase, parameterized.TestCase):
    @given(
        st.lists(
            st.tuples(st.integers(-3, 3), st.booleans()),
            min_size=1,
            max_size=30,
        )
    )
    @settings(deadline=None)
    def test_auc_is_the_share_of_pairs_in_order(self, pairs):
        values = np.array([value for value, _ in pairs], float)
        labels = np.array([label for _, label in pairs])
        of_pairs = [
            (high > low) + (high == low) / 2
            for high, low in itertools.product(values[labels], values[~labels])
        ]
        expected = np.mean(of_pairs) if of_pairs else 0.5
        self.assertAlmostEqual(units.auc(values, labels), expected)

    def find(self, text, **options):
        model = tfcharrnn.CharRNN(
            5, embedding_dim=None, rnn_units=6, cell=Planted
        )
        # One-hot inputs: put the A third.
        vocabulary = tfcharrnn.Vocabulary('\n Aa.')
        generator = tfcharrnn.Generator(model, vocabulary)
        return units.find_units(generator, text, **options)

    def test_a_planted_unit_is_found_and_its_control_is_not(self):
        random = np.random.default_rng(0)
        text = ''.join(random.choice(list('aA. \n'), 2000))
        found = {unit.feature: unit for unit in self.find(text)}
        unit = found['upper case']
        self.assertEqual((unit.layer, unit.unit), (0, 1))
        self.assertAllClose([unit.correlation, unit.auc], [1.0, 1.0])
        self.assertLess(unit.control, 0.15)
        self.assertLess(unit.control_auc, 0.6)
        self.assertNotIn('inside brackets', found)

    def test_units_of_a_feature_are_sorted_and_the_same_each_time(self):
        random = np.random.default_rng(0)
        text = ''.join(random.choice(list('aA. \n'), 500))
        found = self.find(text, count=3)
        of_case = [unit for unit in found if unit.feature == 'upper case']
        sizes = [abs(unit.correlation) for unit in of_case]
        self.assertLen(of_case, 3)
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        self.assertEqual(found, self.find(text, count=3))

    def test_what_the_vocabulary_lacks_is_left_out(self):
        text = 'aA. \n' * 100
        self.assertEqual(self.find(text), self.find(text.replace('.', '.é')))

    @parameterized.parameters('', 'aA')
    def test_a_short_text_has_no_units(self, text):
        self.assertEqual(self.find(text), [])


class FeaturesTest(parameterized.TestCase):
    def values(self, name, text):
        (feature,) = [f for f in features_of(text) if f.name == name]
        return ''.join(str(int(value)) for value in feature.values)

    @parameterized.parameters(
        ('position in the line', 'ab\nc\n\nd', '1201001'),
        ('time since the newline', 'ab\nc\n\nd', '1101001'),
        ('inside quotation marks', 'a "b" c', '0011000'),
        ('inside quotation marks', '“b”c', '1100'),
        ('inside quotation marks', '"a\nb\n\nc"', '11111001'),
        ('inside brackets', 'a(b[c]d)e', '011111100'),
        ('inside brackets', ')a(b', '0011'),
        ('inside brackets', '(a\n\nb', '11100'),
        ('upper case', 'aBÄ1', '0110'),
        ('word start', 'ab c1 -d', '10010001'),
        ('end of sentence', 'a. b?! C.', '011011101'),
    )
    def test_by_hand(self, name, text, expected):
        self.assertEqual(self.values(name, text), expected)

    def test_no_feature_looks_ahead(self):
        text = 'He "said (it)".\n\nThen: [No!] "A\nb'
        whole = features_of(text)
        for end in range(1, len(text)):
            for part, feature in zip(
                features_of(text[:end]), whole, strict=True
            ):
                np.testing.assert_array_equal(
                    part.values, feature.values[:end], feature.name
                )


if __name__ == '__main__':
    tf.test.main()
