"""The baseline to beat: an interpolated n-gram model, in NumPy.

    python examples/ngram_baseline.py --corpus=shakespeare

Witten-Bell interpolation (1991). After a context that was seen n times, before
t distinct characters, the longer order has weight n and the shorter one t:

    P(c | context) = (n(context c) + t(context) P(c | shorter context))
                     / (n(context) + t(context))

Prints the validation loss of each order, in nats per character.
"""

import numpy as np
from absl import flags

import tfcharrnn
from tfcharrnn import commands

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'shakespeare', 'A text file or a named text.')
flags.DEFINE_integer('order', 8, 'Characters of the longest n-gram.', 1, 8)
flags.DEFINE_bool('lowercase', False, 'Turns the text into lower case.')


def encode_ngrams(ids, size, base):
    """Encodes the n-gram at each position as one integer."""
    codes = np.zeros(len(ids) - size + 1, np.uint64)
    for offset in range(size):
        codes *= np.uint64(base)
        codes += ids[offset : offset + len(codes)].astype(np.uint64)
    return codes


def count(codes, wanted):
    """Counts how often each wanted code occurs among the codes."""
    distinct, counts = np.unique(codes, return_counts=True)
    place = np.minimum(np.searchsorted(distinct, wanted), len(distinct) - 1)
    return np.where(distinct[place] == wanted, counts[place], 0)


def losses(train, valid, base, order):
    """Yields the mean loss on `valid` for each order up to `order`.

    The first characters of `valid` lack context and are not scored.
    """
    probability = np.full(len(valid) - order + 1, 1.0 / base)
    for size in range(1, order + 1):
        # All orders score the same characters.
        grams = encode_ngrams(valid[order - size :], size, base)
        contexts = grams // np.uint64(base)
        seen = encode_ngrams(train, size, base)
        followed = count(seen // np.uint64(base), contexts)
        different = count(np.unique(seen) // np.uint64(base), contexts)
        probability = np.where(
            followed > 0,
            (count(seen, grams) + different * probability)
            / np.maximum(followed + different, 1),
            probability,
        )
        yield float(-np.log(probability).mean())


def main():
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus, lowercase=FLAGS.lowercase)
    base = len(corpus.vocabulary)
    each = losses(corpus.train, corpus.valid, base, FLAGS.order)
    for order, loss in enumerate(each, start=1):
        print(f'order {order}: {loss:.4f} nats per character')


if __name__ == '__main__':
    commands.run(main)
