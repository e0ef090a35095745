"""Does the model write, or recite? Compares its text with the training text.

    python -m tfcharrnn.generate --model_dir=runs/bard --length=2000 > text.txt
    python examples/memorisation.py --corpus=shakespeare --text=text.txt

Prints the share of 20-grams that occur in the training part, and the longest
passage that occurs there verbatim. The same figures for the validation part,
which the author wrote and training never saw, show what is normal.
"""

import pathlib

import numpy as np
from absl import flags

import tfcharrnn
from tfcharrnn import commands

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'shakespeare', 'A text file or a named text.')
flags.DEFINE_string('text', None, 'The file to examine.', required=True)
flags.DEFINE_integer('size', 20, 'Characters of a piece.', 1)


def longest_shared(text, known):
    """Returns the longest passage of `text` that occurs in `known`."""
    longest = ''
    for start in range(len(text)):
        # Only a longer passage matters: try one more character.
        while True:
            piece = text[start : start + len(longest) + 1]
            if len(piece) <= len(longest) or piece not in known:
                break
            longest = piece
    return longest


def share_known(text, known, size):
    """Returns the share of pieces of `size` that occur in `known`."""
    pieces = [text[i : i + size] for i in range(len(text) - size + 1)]
    return float(np.mean([piece in known for piece in pieces]))


def main():
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    train, valid = map(corpus.vocabulary.decode, (corpus.train, corpus.valid))
    text = pathlib.Path(FLAGS.text).read_text('utf-8')
    if len(text) < FLAGS.size:
        raise ValueError(
            f"'{FLAGS.text}' has {len(text)} characters, fewer than --size "
            f'({FLAGS.size}). Give a longer text, or a smaller --size.'
        )
    # The same length, as a longer text has longer shared passages.
    for name, own in ((FLAGS.text, text), ('validation', valid[: len(text)])):
        longest = longest_shared(own, train)
        share = share_known(own, train, FLAGS.size)
        print(
            f'{name}: {share:.1%} of the {FLAGS.size}-grams are in the '
            f'training text; the longest passage, {len(longest)} characters: '
            f'{longest!r}'
        )


if __name__ == '__main__':
    commands.run(main)
