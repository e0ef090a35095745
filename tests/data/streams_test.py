import math

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from batch_testing import (
    ARGUMENTS,
    LENGTHS,
    DataTest,
    few_examples,
    passes,
    scored,
    take,
    to_numpy,
)
from hypothesis import strategies as st

from tfcharrnn import data


class SequencesTest(DataTest):
    @parameterized.named_parameters(
        (f'{name}_{shuffle=}', *sizes, shuffle)
        for name, sizes in LENGTHS.items()
        for shuffle in (False, True)
    )
    def test_every_transition_once_in_a_pass(self, n, t, b, shuffle):
        batches = data.sequences(np.arange(n), t, b, shuffle=shuffle)
        for one_pass in passes(batches):
            inputs = scored(one_pass, 'inputs')
            self.assertAllEqual(np.sort(inputs), np.arange(n - 1))
            self.assertAllEqual(scored(one_pass), inputs + 1)

    @few_examples
    @hypothesis.given(ARGUMENTS, st.booleans())
    def test_every_transition_once_for_any_sizes(self, sizes, shuffle):
        n, t, b = sizes
        batches = data.sequences(np.arange(n), t, b, shuffle=shuffle)
        one_pass = to_numpy(batches)
        self.assertLen(one_pass, len(batches))
        inputs = scored(one_pass, 'inputs')
        self.assertAllEqual(np.sort(inputs), np.arange(n - 1))
        self.assertAllEqual(scored(one_pass), inputs + 1)

    @parameterized.named_parameters(
        (name, *sizes) for name, sizes in LENGTHS.items()
    )
    def test_a_row_goes_on_where_it_stopped(self, n, t, b):
        one_pass = to_numpy(data.sequences(np.arange(n), t, b))
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
        one_pass = to_numpy(data.sequences(np.arange(n), t, b))
        lengths = sum(batch.mask.sum(axis=1) for batch in one_pass)
        self.assertLessEqual(lengths.max() - lengths.min(), 1)
        self.assertLen(one_pass, math.ceil(math.ceil((n - 1) / b) / t))

    @parameterized.product(
        n=(40, 41, 97), t=(4, 7), warmup=(0, 3, 10), shift=(False, True)
    )
    def test_what_is_read_before_is_not_scored(self, n, t, warmup, shift):
        b = 4
        batches = data.sequences(np.arange(n), t, b, warmup=warmup, shift=shift)
        for one_pass in passes(batches, 3):
            inputs = scored(one_pass, 'inputs')
            self.assertAllEqual(np.sort(inputs), np.arange(n - 1))
            self.assertAllEqual(scored(one_pass), inputs + 1)
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
        starts = [x[0].inputs[1, 0] for x in passes(batches, 5)]
        self.assertGreater(len(set(starts)), 1)
        same = data.sequences(np.arange(400), 20, 4, shift=True, seed=1)
        self.assertSameBatches(take(batches, 50), take(same, 50))

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
        for one_pass in passes(batches, 3):
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
        (batch,) = to_numpy(batches)
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
            for batch in to_numpy(
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
        whole = to_numpy(batches.starting_at(0, num_read=3).take(15))
        rest = to_numpy(batches.starting_at(position, num_read=3).take(4))
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


if __name__ == '__main__':
    tf.test.main()
