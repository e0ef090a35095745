import itertools
import math
import os
from unittest import mock

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn import data
from tfcharrnn.text.vocabulary import Vocabulary, WordVocabulary

MAKERS = {
    'streams': lambda ids, seed=0: data.sequences(ids, 5, 3, seed=seed),
    'chunks': lambda ids, seed=0: data.sequences(
        ids, 5, 3, shuffle=True, seed=seed
    ),
    'windows': lambda ids, seed=0: data.windows(ids, 5, 3, stride=4, seed=seed),
    'lines': lambda ids, seed=0: data.lines(
        [chr(i % 26 + 97) * (i % 7 + 20) for i in ids],
        Vocabulary.from_text('\nabcdefghijklmnopqrstuvwxyz'),
        batch_size=3,
        seed=seed,
    ),
}
SHUFFLED = ('chunks', 'windows', 'lines')
LENGTHS = {
    'tail': (48, 5, 3),
    'shortest': (16, 5, 3),
    'one_of_each': (2, 1, 1),
    'strips_of_unequal_length': (50, 3, 8),
}
ARGUMENTS = st.tuples(
    st.integers(2, 300), st.integers(1, 20), st.integers(1, 9)
).filter(lambda sizes: sizes[0] > sizes[1] * sizes[2])
few_examples = hypothesis.settings(max_examples=12, deadline=None)


def _to_numpy(batches):
    return [data.Batch(*(x.numpy() for x in batch)) for batch in batches]


def _take(batches, number, position=0):
    return _to_numpy(batches.starting_at(position).take(number))


def _passes(batches, number=2):
    everything = _take(batches, number * len(batches))
    return [
        everything[i * len(batches) : (i + 1) * len(batches)]
        for i in range(number)
    ]


def _scored(batches, field='targets'):
    """The values at all scored positions, batch after batch."""
    return np.concatenate([getattr(b, field)[b.mask] for b in batches])


def _rows(batches):
    """What every row reads up to the last scored target, and is to predict."""
    return [
        (
            inputs[: np.flatnonzero(mask)[-1] + 1].tolist(),
            targets[mask].tolist(),
        )
        for batch in batches
        for inputs, targets, mask in zip(*batch[:3], strict=True)
        if mask.any()
    ]


def _headlines(number):
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(42, 13, number), 6, 96).astype(int)
    return [''.join(rng.choice(list('abcd '), n)) for n in lengths]


class DataTest(tf.test.TestCase, parameterized.TestCase):
    def assertSameBatches(self, first, second):
        self.assertLen(first, len(second))
        for one, other in zip(first, second, strict=True):
            for name, x, y in zip(one._fields, one, other, strict=True):
                np.testing.assert_array_equal(x, y, err_msg=name, strict=True)


class SequencesTest(DataTest):
    @parameterized.named_parameters(
        (f'{name}_{shuffle=}', *sizes, shuffle)
        for name, sizes in LENGTHS.items()
        for shuffle in (False, True)
    )
    def test_every_transition_once_in_a_pass(self, n, t, b, shuffle):
        batches = data.sequences(np.arange(n), t, b, shuffle=shuffle)
        for one_pass in _passes(batches):
            inputs = _scored(one_pass, 'inputs')
            self.assertAllEqual(np.sort(inputs), np.arange(n - 1))
            self.assertAllEqual(_scored(one_pass), inputs + 1)

    @few_examples
    @hypothesis.given(ARGUMENTS, st.booleans())
    def test_every_transition_once_for_any_sizes(self, sizes, shuffle):
        n, t, b = sizes
        batches = data.sequences(np.arange(n), t, b, shuffle=shuffle)
        one_pass = _to_numpy(batches)
        self.assertLen(one_pass, len(batches))
        inputs = _scored(one_pass, 'inputs')
        self.assertAllEqual(np.sort(inputs), np.arange(n - 1))
        self.assertAllEqual(_scored(one_pass), inputs + 1)

    @parameterized.named_parameters(
        (name, *sizes) for name, sizes in LENGTHS.items()
    )
    def test_a_row_goes_on_where_it_stopped(self, n, t, b):
        one_pass = _to_numpy(data.sequences(np.arange(n), t, b))
        strips = []
        for row in range(b):
            read = np.concatenate(
                [x.inputs[row][x.mask[row]] for x in one_pass]
            )
            self.assertAllEqual(read, np.arange(read[0], read[-1] + 1))
            strips.append(read)
        self.assertAllEqual(np.concatenate(strips), np.arange(n - 1))

    @parameterized.named_parameters(
        (name, *sizes) for name, sizes in LENGTHS.items()
    )
    def test_strips_are_as_equal_as_can_be(self, n, t, b):
        one_pass = _to_numpy(data.sequences(np.arange(n), t, b))
        lengths = sum(batch.mask.sum(axis=1) for batch in one_pass)
        self.assertLessEqual(lengths.max() - lengths.min(), 1)
        self.assertLen(one_pass, math.ceil(math.ceil((n - 1) / b) / t))

    @parameterized.product(
        n=(40, 41, 97), t=(4, 7), warmup=(0, 3, 10), shift=(False, True)
    )
    def test_what_is_read_before_is_not_scored(self, n, t, warmup, shift):
        b = 4
        batches = data.sequences(np.arange(n), t, b, warmup=warmup, shift=shift)
        for one_pass in _passes(batches, 3):
            inputs = _scored(one_pass, 'inputs')
            self.assertAllEqual(np.sort(inputs), np.arange(n - 1))
            self.assertAllEqual(_scored(one_pass), inputs + 1)
            for row in range(b):
                read = np.concatenate([x.inputs[row] for x in one_pass])
                mask = np.concatenate([x.mask[row] for x in one_pass])
                last = np.flatnonzero(mask)[-1]
                self.assertAllEqual(
                    read[: last + 1], read[0] + np.arange(last + 1)
                )
                early = min(np.flatnonzero(mask)[0], read[mask][0])
                self.assertBetween(
                    early,
                    min(warmup, read[mask][0]),
                    warmup + (t - 1 if shift else 0),
                )
            self.assertTrue(one_pass[0].reset.all())
            self.assertFalse(any(x.reset.any() for x in one_pass[1:]))

    def test_another_pass_is_cut_elsewhere(self):
        batches = data.sequences(np.arange(400), 20, 4, shift=True, seed=1)
        starts = [x[0].inputs[1, 0] for x in _passes(batches, 5)]
        self.assertGreater(len(set(starts)), 1)
        same = data.sequences(np.arange(400), 20, 4, shift=True, seed=1)
        self.assertSameBatches(_take(batches, 50), _take(same, 50))

    @parameterized.parameters({'shift': True}, {'warmup': 3})
    def test_chunks_have_nothing_before_them(self, **options):
        with self.assertRaisesRegex(ValueError, 'shuffle'):
            data.sequences(np.arange(99), 4, 2, shuffle=True, **options)

    def test_strips_do_not_depend_on_the_sequence_length(self):
        ids = np.arange(100)
        short, long = (
            np.concatenate([b.inputs for b in data.sequences(ids, t, 4)], 1)
            for t in (5, 10)
        )
        self.assertAllEqual(short, long[:, : short.shape[1]])
        self.assertAllEqual(long[:, short.shape[1] :], 0 * long[:, 25:])

    def test_streams_reset_only_where_a_pass_starts(self):
        batches = data.sequences(np.arange(50), 3, 4)
        for one_pass in _passes(batches, 3):
            first, *others = (batch.reset for batch in one_pass)
            self.assertAllEqual(first, [True] * 4)
            self.assertNotEmpty(others)
            self.assertFalse(np.any(others))

    def test_chunks_always_reset(self):
        for batch in data.sequences(np.arange(50), 3, 4, shuffle=True):
            self.assertAllEqual(batch.reset, [True] * 4)

    def test_a_chunk_is_consecutive(self):
        for batch in data.sequences(np.arange(50), 3, 4, shuffle=True):
            first = batch.inputs[:, :1]
            text = tf.where(batch.mask, first + tf.range(3), 0)
            self.assertAllEqual(batch.inputs, text)

    @parameterized.parameters(False, True)
    def test_what_is_masked_is_zero(self, shuffle):
        ids = np.arange(1, 51)
        for batch in data.sequences(ids, 3, 4, shuffle=shuffle):
            self.assertAllEqual(batch.inputs > 0, batch.mask)
            self.assertAllEqual(batch.targets > 0, batch.mask)

    def test_a_text_that_is_just_long_enough(self):
        batches = data.sequences(np.arange(64 * 100 + 1), 100, 64)
        (batch,) = _to_numpy(batches)
        self.assertTrue(batch.mask.all())
        with self.assertRaisesRegex(ValueError, 'too short'):
            data.sequences(np.arange(64 * 100), 100, 64)

    def test_the_error_says_how_short_the_text_is(self):
        with self.assertRaises(ValueError) as caught:
            data.sequences(np.arange(150), seq_length=100, batch_size=64)
        self.assertEqual(
            str(caught.exception),
            'The text is too short: 150 characters in `batch_size` (64) rows '
            'make 2 per row, but each row needs `seq_length + 1` (101). Use a '
            'longer text, or a smaller `batch_size` or `seq_length`.',
        )
        data.sequences(np.arange(150), 100, 64, shuffle=True)
        with self.assertRaisesRegex(ValueError, '100 characters.* 101'):
            data.sequences(np.arange(100), 100, 64, shuffle=True)


class StreamsTest(DataTest):
    def strips(self, ids, batch_size):
        """What each row reads in a pass, but for the last character."""
        return np.array_split(ids[:-1], batch_size)

    @few_examples
    @hypothesis.given(
        ARGUMENTS,
        st.lists(st.tuples(st.integers(1, 20), st.integers(0, 9)), max_size=4),
    )
    def test_rows_go_on_through_any_changes_of_length(self, sizes, changes):
        n, first_length, rows = sizes
        shortest = (n - 1) // rows
        ids = np.arange(n)
        read = [[] for _ in range(rows)]
        before, position, num_read = None, 0, 0
        for length, number in [(first_length, 3), *changes]:
            batches = data.sequences(ids, min(length, shortest), rows)
            if before is not None:
                num_read = batches.num_read_after(before, position, num_read)
            for batch in _to_numpy(
                batches.starting_at(0, num_read).take(number)
            ):
                for row in range(rows):
                    # It begins anew where it reads its strip's first one.
                    new = batch.inputs[row][batch.mask[row]]
                    self.assertAllEqual(
                        new + 1, batch.targets[row][batch.mask[row]]
                    )
                    read[row].extend(new)
                    start = self.strips(ids, rows)[row][0]
                    if len(new):
                        self.assertEqual(batch.reset[row], new[0] == start)
            before, position = batches, number
        for row, strip in enumerate(self.strips(ids, rows)):
            passes = np.tile(strip, 1 + len(read[row]) // len(strip))
            self.assertAllEqual(read[row], passes[: len(read[row])])

    @parameterized.parameters(0, 1, 3, 4, 5, 11)
    def test_it_can_be_begun_anywhere(self, position):
        batches = data.sequences(np.arange(50), 4, 3)
        whole = _to_numpy(batches.starting_at(0, num_read=3).take(15))
        rest = _to_numpy(batches.starting_at(position, num_read=3).take(4))
        self.assertSameBatches(rest, whole[position : position + 4])

    def test_other_rows_begin_at_their_beginning(self):
        ids = np.arange(50)
        batches = data.sequences(ids, 4, 3)
        self.assertEqual(
            batches.num_read_after(data.sequences(ids.copy(), 5, 3), 2), 10
        )
        for other in (
            data.sequences(ids, 5, 2),
            data.sequences(ids + 1, 5, 3),
            data.sequences(ids[:-1], 5, 3),
            data.sequences(ids, 5, 3, shuffle=True),
            data.windows(ids, 5, 3),
        ):
            self.assertEqual(batches.num_read_after(other, 2), 0)


class ChosenLinesTest(DataTest):
    LINES = ('one', 'three', 'a', 'seventeen', 'of')
    VOCABULARY = Vocabulary.from_text('\n' + ''.join(LINES))

    def make(self, lines=LINES, vocabulary=VOCABULARY):
        # As a table, line after line, three in a batch.
        return data.chosen_lines(
            lines,
            vocabulary,
            3,
            lambda position: (3 * position + tf.range(3, dtype=tf.int64)) % 5,
        )

    def test_a_row_is_the_line_that_was_chosen(self):
        batches = self.make()
        written = []
        for batch in _take(batches, 10):
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
        self.assertSameBatches(_take(batches, 3, 4), _take(batches, 7)[4:])

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


class WindowsTest(DataTest):
    @parameterized.parameters(
        (20, 5, 3, 1), (20, 5, 3, 4), (6, 5, 3, 2), (20, 1, 4, 3), (21, 2, 2, 9)
    )
    def test_every_window_once_in_a_pass(self, n, t, b, stride):
        batches = data.windows(np.arange(n), t, b, stride=stride)
        expected = [
            (list(range(start, start + t)), [start + t])
            for start in range(0, n, stride)
            if start + t < n
        ]
        self.assertEqual(batches.num_chars, len(expected))
        for one_pass in _passes(batches):
            self.assertCountEqual(_rows(one_pass), expected)

    @few_examples
    @hypothesis.given(ARGUMENTS, st.integers(1, 30))
    def test_every_window_once_for_any_sizes(self, sizes, stride):
        n, t, b = sizes
        one_pass = _to_numpy(data.windows(np.arange(n), t, b, stride=stride))
        self.assertAllEqual(np.sort(_scored(one_pass)), np.arange(t, n, stride))

    def test_only_the_last_position_is_scored(self):
        batches = data.windows(np.arange(20), 5, 4)
        *full, last = _to_numpy(batches)
        for batch in full:
            self.assertAllEqual(batch.mask, [[False] * 4 + [True]] * 4)
            self.assertAllEqual(batch.targets, batch.inputs + 1)
        missing = len(batches) * 4 - batches.num_chars
        self.assertGreater(missing, 0)
        self.assertFalse(last.mask[-missing:].any())
        self.assertAllEqual(last.inputs[-missing:], np.zeros([missing, 5]))

    def test_windows_always_reset(self):
        for batch in data.windows(np.arange(20), 5, 4):
            self.assertAllEqual(batch.reset, [True] * 4)

    def test_without_shuffle_the_order_is_that_of_the_text(self):
        batches = data.windows(np.arange(20), 5, 4, stride=2, shuffle=False)
        self.assertAllEqual(_scored(_to_numpy(batches)), np.arange(5, 20, 2))

    @parameterized.parameters((40, 200_285), (60, 200_278))
    def test_nietzsche_has_as_many_windows_as_published(self, t, number):
        ids = np.zeros(600_893, np.uint8)
        batches = data.windows(ids, t, 128, stride=3)
        self.assertEqual(batches.num_chars, number)
        self.assertLen(batches, math.ceil(number / 128))


class LinesTest(DataTest):
    def _decode(self, batches, vocabulary):
        return [
            (vocabulary.decode(inputs), vocabulary.decode(targets))
            for inputs, targets in _rows(batches)
        ]

    @parameterized.product(batch_size=[1, 8, 100], shuffle=[False, True])
    def test_every_line_once_with_its_end(self, batch_size, shuffle):
        lines = [*_headlines(30), 'a', 'a', 'b']
        vocabulary = Vocabulary('abcd \n')
        batches = data.lines(lines, vocabulary, batch_size, shuffle=shuffle)
        expected = [('\n' + line, line + '\n') for line in lines]
        for one_pass in _passes(batches):
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
        rows = self._decode(_to_numpy(batches), vocabulary)
        self.assertCountEqual(rows, expected)
        num_chars = sum(len(targets) for _, targets in expected)
        self.assertEqual(batches.num_chars, num_chars)

    def test_empty_lines_are_left_out(self):
        vocabulary = Vocabulary('\nab')
        batches = data.lines(['', 'a', '', '', 'b', ''], vocabulary, 2)
        self.assertCountEqual(
            self._decode(_to_numpy(batches), vocabulary),
            [('\na', 'a\n'), ('\nb', 'b\n')],
        )

    def test_a_line_that_is_cut_has_no_end(self):
        vocabulary = Vocabulary('\nabcd')
        batches = data.lines(['abcd', 'abc'], vocabulary, 2, max_length=3)
        self.assertCountEqual(
            self._decode(_to_numpy(batches), vocabulary),
            [('\nab', 'abc'), ('\nabc', 'abc\n')],
        )

    def test_what_is_masked_is_zero(self):
        vocabulary = Vocabulary('#abcd \n')
        for batch in data.lines(_headlines(30), vocabulary, 4):
            self.assertAllEqual(batch.inputs > 0, batch.mask)
            self.assertAllEqual(batch.targets > 0, batch.mask)

    @parameterized.parameters(16, 64, 128)
    def test_a_tenth_of_the_cells_is_padding_at_most(self, batch_size):
        lines = _headlines(3000)
        batches = data.lines(lines, Vocabulary('abcd \n'), batch_size)
        cells = sum(batch.mask.size for batch in _to_numpy(batches))
        self.assertLess(1 - batches.num_chars / cells, 0.1)

    def test_shapes_are_few_and_the_same_in_every_pass(self):
        batches = data.lines(_headlines(1000), Vocabulary('abcd \n'), 16)
        first, second = (
            [batch.inputs.shape for batch in one_pass]
            for one_pass in _passes(batches)
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
            for one_pass in _passes(batches)
        )
        self.assertEmpty(first & second)

    def test_without_shuffle_lines_go_from_short_to_long(self):
        lines = _headlines(100)
        batches = data.lines(lines, Vocabulary('abcd \n'), 8, shuffle=False)
        for one_pass in _passes(batches):
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
        ('newline_in_a_line', ValueError, ['a', 'b\n'], '\nab', "1 has.*'b"),
        ('no_lines', ValueError, [], '\na', 'no lines'),
        ('only_empty_lines', ValueError, ['', ''], '\na', 'no lines'),
        ('a_string', TypeError, 'a', '\na', 'single string'),
        ('no_strings', TypeError, ['a', 5], '\na', 'line 1 is a int'),
    )
    def test_refuses(self, error, lines, chars, message):
        with self.assertRaisesRegex(error, message):
            data.lines(lines, Vocabulary(chars), 2)


class BatchesTest(DataTest):
    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_starting_anywhere_is_going_on_from_the_start(self, name):
        batches = MAKERS[name](np.arange(50))
        number = 2 * len(batches) + 2
        whole = _take(batches, number)
        for position in (1, len(batches) + 1):
            rest = _take(batches, number - position, position)
            self.assertSameBatches(rest, whole[position:])

    @few_examples
    @hypothesis.given(ARGUMENTS, st.booleans(), st.integers(0, 400))
    def test_starting_anywhere_for_any_sizes(self, sizes, shuffle, position):
        n, t, b = sizes
        ids = np.arange(n)
        for batches in (
            data.sequences(ids, t, b, shuffle=shuffle, seed=1),
            data.windows(ids, t, b, shuffle=shuffle, seed=1),
        ):
            passes, place = divmod(position, len(batches))
            rest = _take(batches, 3, position)
            before = _take(batches, place + 3, passes * len(batches))
            self.assertSameBatches(rest, before[place:])

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_iterating_is_the_first_pass(self, name):
        batches = MAKERS[name](np.arange(50))
        self.assertSameBatches(_to_numpy(batches), _take(batches, len(batches)))

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_num_chars_counts_what_is_scored(self, name):
        batches = MAKERS[name](np.arange(50))
        for one_pass in _passes(batches):
            self.assertEqual(batches.num_chars, _scored(one_pass).size)

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_types_and_shapes_are_those_documented(self, name):
        batches = MAKERS[name](np.arange(50, dtype=np.uint8))
        t = None if name == 'lines' else 5
        cells = tf.TensorSpec([3, t], tf.int32)
        spec = data.Batch(
            inputs=cells,
            targets=cells,
            mask=tf.TensorSpec([3, t], tf.bool),
            reset=tf.TensorSpec([3], tf.bool),
        )
        self.assertEqual(batches.starting_at(0).element_spec, spec)
        self.assertEqual(batches.batch_size, 3)
        for batch in batches:
            self.assertTrue(
                all(map(tf.TensorSpec.is_compatible_with, spec, batch))
            )

    def test_lines_of_one_length_have_a_static_shape(self):
        batches = data.lines(['abc', 'cba', 'bac'], Vocabulary('\nabc'), 2)
        spec = batches.starting_at(0).element_spec
        self.assertEqual(spec.inputs.shape, [2, 4])
        self.assertEqual(batches.seq_length, 4)

    @parameterized.named_parameters((name, name) for name in SHUFFLED)
    def test_another_pass_is_the_same_in_another_order(self, name):
        batches = MAKERS[name](np.arange(150))
        first, second, third = map(_rows, _passes(batches, 3))
        self.assertCountEqual(first, second)
        self.assertCountEqual(first, third)
        self.assertNotEqual(first, second)
        self.assertNotEqual(second, third)

    @parameterized.named_parameters((name, name) for name in SHUFFLED)
    def test_the_seed_decides_the_order(self, name):
        ids = np.arange(150)
        # Seeds that differ in a high bit only differ, too.
        zero, again, one, high, negative = (
            _rows(_to_numpy(MAKERS[name](ids, seed)))
            for seed in (0, 0, 1, 1 << 40, -1)
        )
        self.assertEqual(zero, again)
        for other in (one, high, negative):
            self.assertCountEqual(zero, other)
            self.assertNotEqual(zero, other)

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_it_costs_nothing_to_start_far_away(self, name):
        batches = MAKERS[name](np.arange(50))
        far = 10**15 * len(batches)
        (batch,) = _take(batches, 1, far)
        self.assertTrue(batch.reset.all())
        self.assertSameBatches(
            _take(batches, 2, far + 1)[:1], _take(batches, 2, far)[1:]
        )

    def test_no_thread_tunes_that_an_iterator_would_wait_for(self):
        batches = data.sequences(np.arange(99), 4, 2)
        options = batches.starting_at(0).options()
        self.assertIs(options.autotune.enabled, False)

    def test_the_position_may_be_a_tensor(self):
        batches = MAKERS['chunks'](np.arange(50))
        for dtype in (tf.int32, tf.int64):
            self.assertSameBatches(
                _take(batches, 5, tf.constant(6, dtype)), _take(batches, 5, 6)
            )

    @parameterized.parameters('streams', 'chunks', 'windows')
    def test_a_memory_mapped_text_is_like_any_other(self, name):
        path = os.path.join(self.get_temp_dir(), 'ids')
        ids = np.random.default_rng(0).integers(0, 300, 200, np.uint16)
        ids.tofile(path)
        mapped = np.memmap(path, np.uint16, mode='r')
        for part in (slice(None), slice(50, 170)):
            batches = MAKERS[name](mapped[part])
            expected = MAKERS[name](ids[part])
            self.assertEqual(
                batches.starting_at(0).element_spec,
                expected.starting_at(0).element_spec,
            )
            self.assertSameBatches(_to_numpy(batches), _to_numpy(expected))

    def test_a_memory_mapped_text_may_be_larger_than_memory(self):
        path = os.path.join(self.get_temp_dir(), 'sparse')
        size, strip = 1 << 36, 1 << 35
        with open(path, 'wb') as file:
            file.truncate(size)
            file.seek(strip)
            file.write(b'\1\2\3')
        mapped = np.memmap(path, np.uint8, mode='r')
        batch = next(iter(data.sequences(mapped, 3, 2)))
        self.assertAllEqual(batch.inputs, [[0, 0, 0], [1, 2, 3]])

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_no_python_runs_for_an_array_in_memory(self, name):
        dataset = MAKERS[name](np.arange(50)).starting_at(0)
        variant = tf.data.experimental.to_variant(dataset)
        graph = tf.raw_ops.DatasetToGraphV2(input_dataset=variant).numpy()
        self.assertIn(b'GatherV2', graph)
        self.assertNotIn(b'PyFunc', graph)

    @parameterized.parameters('u1', 'u4', 'u8', 'i1', list)
    def test_ids_may_be_of_any_integer_type(self, dtype):
        ids = np.arange(100)
        given = ids.tolist() if dtype is list else ids.astype(dtype)
        self.assertSameBatches(
            _to_numpy(MAKERS['streams'](given)),
            _to_numpy(MAKERS['streams'](ids)),
        )

    def test_a_change_to_the_array_changes_no_batch(self):
        ids = np.arange(50)
        batches = MAKERS['streams'](ids)
        before = _to_numpy(batches)
        ids[:] = 0
        self.assertSameBatches(_to_numpy(batches), before)

    def test_a_dataset_of_ones_own_is_cut_into_passes(self):
        def one_pass(number, start):
            def make_batch(place):
                ids = tf.cast(tf.fill([1, 1], 10 * number + place), tf.int32)
                return data.Batch(ids, ids, ids >= 0, [True])

            endless = tf.data.Dataset.range(start, tf.int64.max)
            return endless.map(make_batch)

        batches = data.Batches(one_pass, 3, 1, seq_length=1, num_chars=3)
        first_pass = itertools.islice(batches, 9)
        self.assertAllEqual(_scored(first_pass), [0, 1, 2])
        self.assertAllEqual(
            _scored(batches.starting_at(2).take(6)), [2, 10, 11, 12, 20, 21]
        )

    @parameterized.product(
        make=[data.sequences, data.windows],
        ids=['text', [[1, 2], [3, 4]], [0.5, 1.5], [True, False], 7, []],
    )
    def test_refuses_ids_of_another_kind(self, make, ids):
        with self.assertRaisesRegex(ValueError, r'\[N\].*Vocabulary.encode'):
            make(ids, 1, 1)

    @parameterized.product(
        name=['seq_length', 'batch_size', 'stride'],
        value=[0, -1, 1.5, math.nan, '3', None, True],
    )
    def test_refuses_sizes_that_are_none(self, name, value):
        sizes = {'seq_length': 2, 'batch_size': 2, name: value}
        makers = [data.windows]
        makers += [data.sequences] if name != 'stride' else []
        for make in makers:
            with self.assertRaisesRegex(ValueError, f'`{name}` must be a pos'):
                make(np.arange(50), **sizes)

    @parameterized.parameters(None, 1.5, '1', True, 1 << 63)
    def test_refuses_seeds_that_are_none(self, seed):
        for name in MAKERS:
            with self.assertRaisesRegex(ValueError, '`seed` must be'):
                MAKERS[name](np.arange(50), seed)

    @parameterized.parameters(0, -1, 2.5)
    def test_refuses_lengths_of_lines_that_are_none(self, length):
        with self.assertRaisesRegex(ValueError, '`max_length` must be'):
            data.lines(['a'], Vocabulary('\na'), 1, max_length=length)

    def test_refuses_a_negative_position(self):
        with self.assertRaisesRegex(ValueError, 'negative.* -1'):
            MAKERS['streams'](np.arange(50)).starting_at(-1)


class OrderTest(DataTest):
    """The order of texts too long for a permutation in memory."""

    def setUp(self):
        super().setUp()
        self.enter_context(mock.patch.object(data, '_MAX_PERMUTATION', 0))

    # index_shuffle itself repeats an index where the last is a power of 4.
    @parameterized.parameters(1, 2, 3, 5, 1000, 4**8, 4**8 + 1, 4**8 + 2)
    def test_every_index_once(self, size):
        batches = data.windows(np.arange(size + 1), 1, min(size, 1 << 14))
        self.assertAllEqual(
            np.sort(_scored(_to_numpy(batches))), np.arange(1, size + 1)
        )

    def test_pass_and_seed_decide_the_order(self):
        size = 2000
        ids = np.arange(size + 1)

        def orders(seed):
            batches = data.windows(ids, 1, size, seed=seed)
            return _take(batches, 2) + _take(batches, 1, 256)

        # The cipher itself looks at no more than 8 bits of pass and seed.
        orders = [_scored([x]) for s in (0, 1, 256) for x in orders(s)]
        for i, order in enumerate(orders):
            for other in orders[:i]:
                self.assertLess(np.mean(order == other), 0.01)
                shared = np.bincount(order ^ other).max()
                self.assertLess(shared / size, 0.01)


class WordLinesTest(tf.test.TestCase):
    def test_lines_of_words_are_theirs(self):
        lines = ['a b c d e f g h', 'xy', 'pq a']
        vocabulary = WordVocabulary.from_text('\n'.join(lines))
        chosen = data.chosen_lines(
            lines, vocabulary, 1, lambda position: [position % 3]
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
