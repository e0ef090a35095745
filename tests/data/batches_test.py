import itertools
import math
import os

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from batch_testing import (
    ARGUMENTS,
    MAKERS,
    SHUFFLED,
    DataTest,
    few_examples,
    passes,
    rows,
    scored,
    take,
    to_numpy,
)
from hypothesis import strategies as st

from tfcharrnn import data
from tfcharrnn.text.vocabulary import Vocabulary


class BatchesTest(DataTest):
    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_starting_anywhere_is_going_on_from_the_start(self, name):
        batches = MAKERS[name](np.arange(50))
        number = 2 * len(batches) + 2
        whole = take(batches, number)
        for position in (1, len(batches) + 1):
            rest = take(batches, number - position, position)
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
            number, index = divmod(position, len(batches))
            rest = take(batches, 3, position)
            before = take(batches, index + 3, number * len(batches))
            self.assertSameBatches(rest, before[index:])

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_iterating_is_the_first_pass(self, name):
        batches = MAKERS[name](np.arange(50))
        self.assertSameBatches(to_numpy(batches), take(batches, len(batches)))

    @parameterized.named_parameters((name, name) for name in MAKERS)
    def test_num_chars_counts_what_is_scored(self, name):
        batches = MAKERS[name](np.arange(50))
        for one_pass in passes(batches):
            self.assertEqual(batches.num_chars, scored(one_pass).size)

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
        first, second, third = map(rows, passes(batches, 3))
        self.assertCountEqual(first, second)
        self.assertCountEqual(first, third)
        self.assertNotEqual(first, second)
        self.assertNotEqual(second, third)

    @parameterized.named_parameters((name, name) for name in SHUFFLED)
    def test_the_seed_decides_the_order(self, name):
        ids = np.arange(150)
        # Seeds that differ in a high bit only differ, too.
        zero, again, one, high, negative = (
            rows(to_numpy(MAKERS[name](ids, seed)))
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
        (batch,) = take(batches, 1, far)
        self.assertTrue(batch.reset.all())
        self.assertSameBatches(
            take(batches, 2, far + 1)[:1], take(batches, 2, far)[1:]
        )

    def test_no_thread_tunes_that_an_iterator_would_wait_for(self):
        batches = data.sequences(np.arange(99), 4, 2)
        options = batches.starting_at(0).options()
        self.assertIs(options.autotune.enabled, False)

    def test_the_position_may_be_a_tensor(self):
        batches = MAKERS['chunks'](np.arange(50))
        for dtype in (tf.int32, tf.int64):
            self.assertSameBatches(
                take(batches, 5, tf.constant(6, dtype)), take(batches, 5, 6)
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
            self.assertSameBatches(to_numpy(batches), to_numpy(expected))

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
            to_numpy(MAKERS['streams'](given)),
            to_numpy(MAKERS['streams'](ids)),
        )

    def test_a_change_to_the_array_changes_no_batch(self):
        ids = np.arange(50)
        batches = MAKERS['streams'](ids)
        before = to_numpy(batches)
        ids[:] = 0
        self.assertSameBatches(to_numpy(batches), before)

    def test_a_dataset_of_ones_own_is_cut_into_passes(self):
        def one_pass(number, start):
            def make_batch(index):
                ids = tf.cast(tf.fill([1, 1], 10 * number + index), tf.int32)
                return data.Batch(ids, ids, ids >= 0, [True])

            endless = tf.data.Dataset.range(start, tf.int64.max)
            return endless.map(make_batch)

        batches = data.Batches(
            one_pass, 3, batch_size=1, seq_length=1, num_chars=3
        )
        first_pass = itertools.islice(batches, 9)
        self.assertAllEqual(scored(first_pass), [0, 1, 2])
        self.assertAllEqual(
            scored(batches.starting_at(2).take(6)), [2, 10, 11, 12, 20, 21]
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
            with self.assertRaisesRegex(
                ValueError, f'`{name}` is .* number from 1 up'
            ):
                make(np.arange(50), **sizes)

    @parameterized.parameters(None, 1.5, '1', True, 1 << 63)
    def test_refuses_seeds_that_are_none(self, seed):
        for name in MAKERS:
            with self.assertRaisesRegex(
                ValueError, '`seed` is .* whole number'
            ):
                MAKERS[name](np.arange(50), seed)

    @parameterized.parameters(0, -1, 2.5)
    def test_refuses_lengths_of_lines_that_are_none(self, length):
        with self.assertRaisesRegex(ValueError, '`max_length` is .* from 1'):
            data.lines(['a'], Vocabulary('\na'), 1, max_length=length)

    def test_refuses_a_negative_position(self):
        with self.assertRaisesRegex(
            ValueError, '`position` is -1, .* from 0 up'
        ):
            MAKERS['streams'](np.arange(50)).starting_at(-1)


class ProtocolsTest(DataTest):
    def test_all_batches_are_datasets(self):
        for make in MAKERS.values():
            self.assertIsInstance(make(np.arange(50)), data.Dataset)

    def test_only_streams_go_on_from_others(self):
        for name, make in MAKERS.items():
            is_one = isinstance(make(np.arange(50)), data.Continuable)
            self.assertEqual(is_one, name == 'streams')


if __name__ == '__main__':
    tf.test.main()
