import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from batch_testing import (
    MAKERS,
    DataTest,
    few_examples,
    headlines,
    passes,
    rows,
    take,
    to_numpy,
)
from hypothesis import strategies as st

from tfcharrnn import data
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import WordVocabulary


class LinesTest(DataTest):
    def _decode(self, batches, vocabulary):
        return [
            (vocabulary.decode(inputs), vocabulary.decode(targets))
            for inputs, targets in rows(batches)
        ]

    @parameterized.product(batch_size=[1, 8, 100], shuffle=[False, True])
    def test_every_line_once_with_its_end(self, batch_size, shuffle):
        lines = [*headlines(30), 'a', 'a', 'b']
        vocabulary = Vocabulary('abcd \n')
        batches = data.lines(lines, vocabulary, batch_size, shuffle=shuffle)
        expected = [('\n' + line, line + '\n') for line in lines]
        for one_pass in passes(batches):
            self.assertCountEqual(self._decode(one_pass, vocabulary), expected)

    @few_examples
    @hypothesis.given(
        st.lists(st.text('ab', max_size=40), min_size=1).filter(any),
        st.integers(1, 9),
        st.none() | st.integers(1, 30),
    )
    def test_every_line_once_for_any_lines(self, lines, batch_size, longest):
        vocabulary = Vocabulary('\nab')
        batches = data.lines(lines, vocabulary, batch_size, max_length=longest)
        # A line that is cut has no end.
        read = [
            f'\n{line[:longest]}' + '\n' * (line == line[:longest])
            for line in filter(None, lines)
        ]
        expected = [(line[:-1], line[1:]) for line in read]
        read_rows = self._decode(to_numpy(batches), vocabulary)
        self.assertCountEqual(read_rows, expected)
        num_chars = sum(len(targets) for _, targets in expected)
        self.assertEqual(batches.num_chars, num_chars)

    def test_empty_lines_are_left_out(self):
        vocabulary = Vocabulary('\nab')
        batches = data.lines(['', 'a', '', '', 'b', ''], vocabulary, 2)
        self.assertCountEqual(
            self._decode(to_numpy(batches), vocabulary),
            [('\na', 'a\n'), ('\nb', 'b\n')],
        )

    def test_a_line_that_is_cut_has_no_end(self):
        vocabulary = Vocabulary('\nabcd')
        batches = data.lines(['abcd', 'abc'], vocabulary, 2, max_length=3)
        self.assertCountEqual(
            self._decode(to_numpy(batches), vocabulary),
            [('\nab', 'abc'), ('\nabc', 'abc\n')],
        )

    def test_what_is_masked_is_zero(self):
        vocabulary = Vocabulary('#abcd \n')
        for batch in data.lines(headlines(30), vocabulary, 4):
            self.assertAllEqual(batch.inputs > 0, batch.mask)
            self.assertAllEqual(batch.targets > 0, batch.mask)

    @parameterized.parameters(16, 64, 128)
    def test_a_tenth_of_the_cells_is_padding_at_most(self, batch_size):
        lines = headlines(3000)
        batches = data.lines(lines, Vocabulary('abcd \n'), batch_size)
        cells = sum(batch.mask.size for batch in to_numpy(batches))
        self.assertLess(1 - batches.num_chars / cells, 0.1)

    def test_shapes_are_few_and_the_same_in_every_pass(self):
        batches = data.lines(headlines(1000), Vocabulary('abcd \n'), 16)
        first, second = (
            [batch.inputs.shape for batch in one_pass]
            for one_pass in passes(batches)
        )
        self.assertCountEqual(first, second)
        self.assertNotEqual(first, second)
        self.assertLess(len(set(first)), len(batches) / 2)
        self.assertEqual(max(first), (16, batches.seq_length))

    def test_lines_meet_other_lines_in_another_pass(self):
        lines = [f'{number:03}' for number in range(100)]
        batches = data.lines(lines, Vocabulary('\n0123456789'), 10)
        first, second = (
            {frozenset(map(tuple, batch.inputs)) for batch in one_pass}
            for one_pass in passes(batches)
        )
        self.assertEmpty(first & second)

    def test_without_shuffle_lines_go_from_short_to_long(self):
        lines = headlines(100)
        batches = data.lines(lines, Vocabulary('abcd \n'), 8, shuffle=False)
        for one_pass in passes(batches):
            lengths = np.concatenate([b.mask.sum(axis=1) for b in one_pass])
            self.assertAllEqual(lengths, np.sort(lengths))

    def test_lines_always_reset(self):
        for batch in MAKERS['lines'](range(20)):
            self.assertAllEqual(batch.reset, [True] * 3)

    def test_unseen_characters_are_named(self):
        with self.assertRaisesRegex(ValueError, 'é'):
            data.lines(['cafe', 'café'], Vocabulary('\nacef'), 2)

    @parameterized.named_parameters(
        ('no_newline_id', ValueError, ['a'], 'a', 'lacks the newline'),
        ('newline_in_a_line', ValueError, ['a', 'b\n'], '\nab', "1 does.*'b"),
        ('no_lines', ValueError, [], '\na', 'no lines'),
        ('only_empty_lines', ValueError, ['', ''], '\na', 'no lines'),
        ('a_string', TypeError, 'a', '\na', 'single string'),
        ('no_strings', TypeError, ['a', 5], '\na', 'line 1 is a int'),
    )
    def test_refuses(self, error, lines, chars, message):
        with self.assertRaisesRegex(error, message):
            data.lines(lines, Vocabulary(chars), 2)


class ChosenLinesTest(DataTest):
    LINES = ('one', 'three', 'a', 'seventeen', 'of')
    VOCABULARY = Vocabulary.from_text('\n' + ''.join(LINES))

    def make(self, lines=LINES, vocabulary=VOCABULARY):
        # As a table, line after line, three in a batch.
        return data.chosen_lines(
            lines,
            vocabulary,
            3,
            choose=lambda position: (
                (3 * position + tf.range(3, dtype=tf.int64)) % 5
            ),
        )

    def test_a_row_is_the_line_that_was_chosen(self):
        batches = self.make()
        written = []
        for batch in take(batches, 10):
            self.assertAllEqual(batch.reset, [True] * 3)
            self.assertAllEqual(
                batch.inputs[:, 1:], batch.targets[:, :-1] * batch.mask[:, 1:]
            )
            written += [
                self.VOCABULARY.decode(row[mask])
                for row, mask in zip(batch.targets, batch.mask, strict=True)
            ]
        expected = [f'{line}\n' for line in self.LINES] * 6
        self.assertEqual(written, expected)
        self.assertLen(batches, 2)
        self.assertSameBatches(take(batches, 3, 4), take(batches, 7)[4:])

    @parameterized.parameters(
        (('one', ''), ValueError, 'Line 1 is empty'),
        (('one\ntwo',), ValueError, 'newline'),
        ((), ValueError, 'no lines'),
        (('one', 2), TypeError, 'line 1 is a int'),
        ('one', TypeError, 'single string'),
    )
    def test_what_are_no_lines_is_refused(self, lines, error, message):
        with self.assertRaisesRegex(error, message):
            self.make(lines)


class WordLinesTest(tf.test.TestCase):
    def test_lines_of_words_are_theirs(self):
        lines = ['a b c d e f g h', 'xy', 'pq a']
        vocabulary = WordVocabulary.from_text('\n'.join(lines))
        chosen = data.chosen_lines(
            lines, vocabulary, 1, choose=lambda position: [position % 3]
        )
        for batches in (
            chosen.starting_at(0).take(3),
            data.lines(lines, vocabulary, 1, shuffle=False),
        ):
            texts = [
                vocabulary.decode(batch.targets[batch.mask])
                for batch in batches
            ]
            self.assertCountEqual(texts, [f'{line}\n' for line in lines])


if __name__ == '__main__':
    tf.test.main()
