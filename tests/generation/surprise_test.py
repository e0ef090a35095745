import html.parser
import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation.surprise import Surprise

HOSTILE = '</pre><script>alert(1)</script>&amp;"\'\u2028\u202e\U0001f600'


class Texts(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ''

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            assert name in ('title', 'style'), (name, value)

    def handle_data(self, data):
        self.text += data


def evenly(text, bits):
    scores = np.full([len(text)], -bits * math.log(2))
    return Surprise(text, scores, [True] * len(text))


class SurpriseTest(tf.test.TestCase, parameterized.TestCase):
    def generator(self, vocabulary):
        model = tfcharrnn.CharRNN(len(vocabulary), embedding_dim=4, rnn_units=8)
        return tfcharrnn.Generator(model, vocabulary)

    def test_it_has_the_bits_of_score(self):
        generator = self.generator(tfcharrnn.Vocabulary('\n abc'))
        surprise = generator.surprise('a cab')
        self.assertAllClose(
            surprise.bits, -generator.score('a cab') / math.log(2)
        )
        self.assertEqual(surprise.text, 'a cab')
        self.assertEqual([token.text for token in surprise], list('a cab'))

    def test_what_is_not_known_is_marked_and_not_read(self):
        generator = self.generator(tfcharrnn.Vocabulary('\n abc'))
        surprise = generator.surprise('aXb')
        known = generator.surprise('ab')
        self.assertAllClose(surprise.bits[[0, 2]], known.bits)
        self.assertTrue(math.isnan(surprise[1].bits))
        self.assertFalse(surprise[1].is_known)
        self.assertEqual(surprise.num_unseen, 1)
        self.assertAlmostEqual(surprise.bits_per_token, known.bits_per_token)
        self.assertIn('title="not known"', surprise.to_html())
        self.assertIn('5;141mX', surprise.to_ansi())

    def test_a_word_that_is_not_known_is_read(self):
        generator = self.generator(tfcharrnn.WordVocabulary(['a', ' b']))
        surprise = generator.surprise('a c b')
        self.assertEqual([t.text for t in surprise], ['a', ' c', ' b'])
        self.assertEqual([t.is_known for t in surprise], [True, False, True])
        self.assertAllClose(
            surprise.bits, -generator.score('a c b') / math.log(2)
        )

    def test_the_empty_text(self):
        surprise = self.generator(tfcharrnn.Vocabulary('ab')).surprise('')
        self.assertEqual((len(surprise), surprise.to_ansi()), (0, ''))
        self.assertIn('0 tokens', repr(surprise))

    @parameterized.parameters(0.1, 3.0, 20.0)
    def test_no_text_becomes_markup_or_a_command_of_the_terminal(self, bits):
        surprise = evenly(HOSTILE + '\x1b]0;x\x07\x9b', bits)
        texts = Texts()
        texts.feed(surprise._repr_html_())
        self.assertEqual(texts.tags, {'pre', 'span', 'p'})
        self.assertIn('<script>alert(1)</script>&amp;"\'', texts.text)
        shown = surprise.to_ansi().replace('\x1b[0m', '')
        if bits > 1:
            shown = shown.replace(shown[: shown.index('m') + 1], '')
        for char in ('\x1b', '\x07', '\x9b', '\u202e'):
            self.assertNotIn(char, shown)
            self.assertNotIn(char, surprise.to_table())

    def test_what_was_expected_has_no_color_and_a_color_ends_with_its_line(
        self,
    ):
        self.assertEqual(evenly('ab\n', 0.5).to_ansi(), 'ab\n')
        self.assertTrue(evenly('\n', 5.0).to_ansi().endswith('\x1b[0m\n'))
        colors = {evenly('a', bits + 0.5).to_ansi() for bits in range(9)}
        self.assertLen(colors, 8)


if __name__ == '__main__':
    tf.test.main()
