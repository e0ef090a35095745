"""The Python of a Markdown file, made small enough for a test and run."""

import contextlib
import io
import random
import re

# What is large, and what stands for it in a test.
TOY = {
    "load('python')": "load('shakespeare.txt')",
    "'shakespeare'": "'shakespeare.txt'",
    'CharRNN(vocab_size=len(corpus.vocabulary))': (
        'CharRNN(len(corpus.vocabulary), embedding_dim=4, rnn_units=8)'
    ),
    "corpus='python'": "corpus='shakespeare.txt'",
    'rnn_units=512': 'rnn_units=8',
    'rnn_units=256': 'rnn_units=8',
    'rnn_units=128': 'rnn_units=8',
    'seq_length=64': 'seq_length=10',
    'steps=400': 'steps=100',
    'steps=600': 'steps=102',
    'NUM_CHARS = 800_000': 'NUM_CHARS = 40_000',
    'keep_every=100': 'keep_every=5',
    'seq_length=100': 'seq_length=10',
    'length=500': 'length=5',
    'length=100)': 'length=5)',
    'steps=10_000': 'steps=4',
    'steps=1_000': 'steps=4',
    'steps=2_000': 'steps=6',
    'steps=100)': 'steps=6)',
    'every(500, ': 'every(2, ',
    'epochs=4': 'epochs=2',
    "{'epochs': 8}": "{'epochs': 3}",
    "metrics['loss'] < 2.0": "metrics['loss'] < 9.0",
    'every=50': 'every=2',
    'num_chars=2_000_000': 'num_chars=20_000',
}


def make_text():
    """Returns a text with the characters that the blocks use."""
    draw = random.Random(0)
    words = 'ROMEO: JULIET: the king of wind and rain went home'.split()
    lines = (' '.join(draw.choices(words, k=8)) for _ in range(200))
    return '\n'.join(lines)


def blocks_of(path):
    """Returns the Python blocks of a Markdown file."""
    text = path.read_text('utf-8')
    return re.findall(r'^```python\n(.*?)^```$', text, re.M | re.S)


def run(block, names):
    """Runs a block at toy size among the names, and returns its output."""
    for large, small in TOY.items():
        block = block.replace(large, small)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(block, names)
    return output.getvalue()
