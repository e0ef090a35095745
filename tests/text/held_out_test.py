import numpy as np
from absl.testing import absltest

import tfcharrnn
from tfcharrnn.text import held_out


class HeldOutTest(absltest.TestCase):
    def test_by_default_nothing_is(self):
        corpus = tfcharrnn.Corpus.from_text('to be or not to be')
        same, rest = held_out.hold_out(corpus, 0.0)
        self.assertEqual(same.digest(), corpus.digest())
        self.assertEmpty(rest)

    def test_what_is_held_out_precedes_what_is_trained_on(self):
        corpus = tfcharrnn.Corpus.from_text('to be or not to be ' * 9)
        shorter, rest = held_out.hold_out(corpus, 0.25)
        whole = np.concatenate([rest, shorter.train])
        np.testing.assert_array_equal(whole, corpus.train)
        self.assertLen(rest, len(corpus.train) // 4)
        np.testing.assert_array_equal(shorter.valid, corpus.valid)
        self.assertNotEqual(shorter.digest(), corpus.digest())

    def test_no_line_is_cut(self):
        lines = [word * n for n in range(1, 30) for word in ('ab', 'c')]
        corpus = tfcharrnn.Corpus.from_lines(lines)
        for fraction in (0.1, 0.3, 0.5):
            shorter, rest = held_out.hold_out(corpus, fraction)
            start = corpus.vocabulary.decode(rest).split('\n')
            self.assertEqual(
                [*start[:-1], *shorter.lines('train')], corpus.lines('train')
            )

    def test_too_little_is_one_sentence(self):
        corpus = tfcharrnn.Corpus.from_text('to be or not to be')
        for fraction in (0.01, 0.99):
            with self.assertRaisesRegex(ValueError, '`fit_fraction` is 0'):
                held_out.hold_out(corpus, fraction)


if __name__ == '__main__':
    absltest.main()
