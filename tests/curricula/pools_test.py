import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import curricula
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import schedules

WORDS = Vocabulary.from_text('\nabcdefghij')
LINES = ['a' * n for n in range(1, 11)]


class PoolsTest(tf.test.TestCase, parameterized.TestCase):
    def lengths(self, batches, number, position=0):
        taken = batches.starting_at(position).take(number)
        return np.array([batch.mask.numpy().sum(1) - 1 for batch in taken])

    def test_lines_come_from_the_easiest_only(self):
        share = schedules.linear(0.1, 1.0, steps=9)
        batches = curricula.easiest_first(LINES[::-1], WORDS, 20, share=share)
        lengths = self.lengths(batches, 30)
        for number, row in enumerate(lengths[:9]):
            self.assertAllLessEqual(row, number + 1)
        self.assertEqual(set(lengths[9:].flat), {*range(1, 11)})

    def test_the_difficulty_may_be_any_function(self):
        share = schedules.constant(0.3)
        batches = curricula.easiest_first(
            LINES, WORDS, 20, share=share, difficulty=lambda line: -len(line)
        )
        self.assertEqual(set(self.lengths(batches, 5).flat), {8, 9, 10})

    def test_batches_are_a_function_of_seed_and_position(self):
        share = curricula.competence(0.1, steps=20)
        first, again, other = (
            curricula.easiest_first(LINES, WORDS, 4, share=share, seed=seed)
            for seed in (0, 0, 1)
        )
        whole = self.lengths(first, 30)
        self.assertAllEqual(self.lengths(again, 13, position=17), whole[17:])
        self.assertNotAllEqual(self.lengths(other, 30), whole)

    def test_the_vocabulary_grows_by_frequency(self):
        lines = ['a', 'ab', 'ba', 'abc', 'aabb', 'cabd']
        size = schedules.stepwise([1, 2, 3, 4], [10, 20, 30])
        batches = curricula.growing_vocabulary(lines, WORDS, 16, size=size)
        seen = [set() for _ in range(4)]
        for number, batch in enumerate(batches.starting_at(0).take(40)):
            ids = batch.targets.numpy()[batch.mask.numpy()]
            seen[number // 10] |= set(WORDS.decode(ids)) - {'\n'}
        self.assertEqual(seen, [set('abcd'[:n]) for n in range(1, 5)])

    def test_rarity_is_the_loss_of_an_n_gram_model(self):
        texts = ['ab', 'aa', 'ba']
        # 4 times a, twice b.
        unigrams = curricula.rarity(texts)
        self.assertAlmostEqual(unigrams('ab'), -math.log(5 / 9 * 3 / 9))
        # At the start a twice, b once; after a, a and b once each.
        bigrams = curricula.rarity(texts, order=2)
        self.assertAlmostEqual(bigrams('ab'), -math.log(3 / 6 * 2 / 5))

    @parameterized.parameters(
        (1.0, [0.2, 0.4, 0.6, 0.8, 1, 1]),
        (2.0, [0.2, 0.529, 0.721, 0.872, 1, 1]),
    )
    def test_competence_is_that_of_the_paper(self, degree, expected):
        share = curricula.competence(0.2, steps=4, degree=degree)
        self.assertAllClose([share(t) for t in range(6)], expected, atol=1e-3)
        with self.assertRaisesRegex(ValueError, '`start` is 0.0, .* above 0'):
            curricula.competence(0.0, steps=4)


if __name__ == '__main__':
    tf.test.main()
