import contextlib
import io
import os
import pathlib
import random
import re

import tensorflow as tf
from absl.testing import parameterized

README = pathlib.Path(__file__).parents[1] / 'README.md'
# What makes the blocks small enough for a test.
TOY = {
    "load('python')": "load('shakespeare.txt')",
    'CharRNN(vocab_size=len(corpus.vocabulary))': (
        'CharRNN(len(corpus.vocabulary), embedding_dim=4, rnn_units=8)'
    ),
    'rnn_units=512': 'rnn_units=8',
    'seq_length=100': 'seq_length=10',
    'length=500': 'length=5',
    'steps=10_000': 'steps=4',
    'every(500, ': 'every(2, ',
    'epochs=4': 'epochs=2',
    "metrics['loss'] < 2.0": "metrics['loss'] < 9.0",
    'every=50)': 'every=2)',
    'num_chars=2_000_000': 'num_chars=20_000',
}


def make_text():
    draw = random.Random(0)
    words = 'ROMEO: the king of wind and rain went home'.split()
    lines = (' '.join(draw.choices(words, k=8)) for _ in range(200))
    return '\n'.join(lines)


def make_small(block):
    for large, small in TOY.items():
        block = block.replace(large, small)
    return block


class ReadmeTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        readme = README.read_text('utf-8')
        self.blocks = re.findall(r'^```python\n(.*?)^```$', readme, re.M | re.S)

    @parameterized.parameters(*TOY)
    def test_what_is_made_small_is_there(self, large):
        self.assertIn(large, ''.join(self.blocks))

    def test_the_python_blocks_run_as_printed(self):
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.get_temp_dir())
        pathlib.Path('shakespeare.txt').write_text(make_text(), 'utf-8')
        names = {}

        def run(block):
            with contextlib.redirect_stdout(io.StringIO()) as output:
                exec(make_small(block), names)
            return output.getvalue()

        line, command, measure, curriculum = self.blocks
        self.assertRegex(run(line), r'^ROMEO: (.|\n){5}\n$')
        self.assertEqual(names['trainer'].step, 4)
        trained = [v.numpy() for v in names['model'].variables]
        run(line)  # Started again, it restores and has nothing to train.
        tf.nest.map_structure(
            self.assertAllEqual, trained, list(names['model'].variables)
        )
        self.assertRegex(run(command), r'^ROMEO: (.|\n){5}\n$')
        self.assertRegex(run(measure), r"^\{.*'loss': .*\}\n\d\.\d+\n$")
        run(curriculum)
        # Words, lines, and the stream, up to the end of the budget.
        self.assertEqual(names['trainer'].record.place.stage, 2)
        self.assertGreater(names['trainer'].step, 4)


if __name__ == '__main__':
    tf.test.main()
