"""What the tests of batches have in common."""

import hypothesis
import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn import data
from tfcharrnn.text.vocabulary import Vocabulary

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


def to_numpy(batches):
    return [data.Batch(*(x.numpy() for x in batch)) for batch in batches]


def take(batches, number, position=0):
    return to_numpy(batches.starting_at(position).take(number))


def passes(batches, number=2):
    everything = take(batches, number * len(batches))
    return [
        everything[i * len(batches) : (i + 1) * len(batches)]
        for i in range(number)
    ]


def scored(batches, field='targets'):
    """The values at all scored positions, batch after batch."""
    return np.concatenate([getattr(b, field)[b.mask] for b in batches])


def rows(batches):
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


def headlines(number):
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.normal(42, 13, number), 6, 96).astype(int)
    return [''.join(rng.choice(list('abcd '), n)) for n in lengths]


class DataTest(tf.test.TestCase, parameterized.TestCase):
    def assertSameBatches(self, first, second):
        self.assertLen(first, len(second))
        for one, other in zip(first, second, strict=True):
            for name, x, y in zip(one._fields, one, other, strict=True):
                np.testing.assert_array_equal(x, y, err_msg=name, strict=True)
