import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from batch_testing import DataTest, to_numpy

from tfcharrnn import data
from tfcharrnn.text.corpus import Corpus

TEXT = 'to be, or not to be, that is the question: ' * 99
LINES = ['to be', 'or not', 'to', 'be', 'that is', 'the question'] * 9
SPLIT = (0.8, 0.2, 0.0)


class CorpusBatchesTest(DataTest):
    def setUp(self):
        super().setUp()
        self.text = Corpus.from_text(TEXT, SPLIT)
        self.lines = Corpus.from_lines(LINES, SPLIT)

    def assert_same(self, batches, expected):
        self.assertLen(batches, len(expected))
        self.assertEqual(batches.num_chars, expected.num_chars)
        self.assertSameBatches(
            *(to_numpy(x.starting_at(1).take(4)) for x in (batches, expected))
        )

    @parameterized.parameters({}, {'shuffle': True}, {'shift': True})
    def test_trains_on_sequences_of_a_text(self, **options):
        batches = data.training_batches(
            self.text, batch_size=4, seq_length=20, seed=3, **options
        )
        expected = data.sequences(self.text.train, 20, 4, seed=3, **options)
        self.assert_same(batches, expected)

    def test_trains_on_lines(self):
        batches = data.training_batches(
            self.lines, batch_size=4, seq_length=20, seed=3
        )
        expected = data.lines(
            self.lines.lines('train'), self.lines.vocabulary, 4, seed=3
        )
        self.assert_same(batches, expected)

    @parameterized.parameters('shuffle', 'shift')
    def test_lines_are_shuffled_anyway(self, name):
        with self.assertRaisesRegex(ValueError, f'`{name}`.* lines'):
            data.training_batches(
                self.lines, batch_size=4, seq_length=20, **{name: True}
            )

    # Strips are ten times as long as a row, and 32 at most.
    @parameterized.parameters((None, 20, 4), (None, 1, 32), (7, 20, 7))
    def test_measures_on_strips(self, batch_size, seq_length, rows):
        batches = data.evaluation_batches(
            self.text, 'valid', seq_length=seq_length, batch_size=batch_size
        )
        self.assert_same(
            batches,
            data.sequences(
                self.text.valid, seq_length, rows, warmup=data.WARMUP
            ),
        )
        self.assertEqual(batches.num_chars, len(self.text.valid) - 1)

    @parameterized.parameters((None, 64, 11), (None, 3, 3), (5, 3, 5))
    def test_measures_on_lines(self, batch_size, lines_per_batch, rows):
        batches = data.evaluation_batches(
            self.lines,
            'valid',
            seq_length=20,
            batch_size=batch_size,
            lines_per_batch=lines_per_batch,
        )
        lines = self.lines.lines('valid')
        self.assertLen(lines, 11)
        self.assert_same(
            batches,
            data.lines(lines, self.lines.vocabulary, rows, shuffle=False),
        )

    @parameterized.parameters(
        (2, None, 100, (1, 1)),
        (2, 64, 100, (1, 1)),
        (50, None, 100, (1, 49)),
        (50, 64, 100, (49, 1)),
        (50, 7, 100, (7, 7)),
    )
    def test_measures_on_any_text(self, length, rows, seq_length, expected):
        ids = np.arange(length)
        batches = data.evaluation_streams(ids, seq_length, rows)
        self.assertEqual((batches.batch_size, batches.seq_length), expected)
        scored = np.concatenate([x.targets[x.mask] for x in batches])
        self.assertAllEqual(np.sort(scored), np.arange(1, length))

    def test_what_cannot_be_measured_is_refused(self):
        for length in (0, 1):
            with self.assertRaisesRegex(ValueError, f'{length} characters'):
                data.evaluation_streams(np.arange(length), 5)
        with self.assertRaisesRegex(ValueError, '`batch_size` is 0'):
            data.evaluation_streams(np.arange(9), 5, 0)
        with self.assertRaisesRegex(ValueError, "`part` is 'all'"):
            data.evaluation_batches(self.text, 'all', seq_length=5)
        with self.assertRaisesRegex(
            ValueError, "no line .* test part of 'text"
        ):
            data.evaluation_batches(self.lines, 'test', seq_length=5)


if __name__ == '__main__':
    tf.test.main()
