"""A model, texts and batches that are small enough to work out by hand."""

import copy

import numpy as np
import tensorflow as tf

from tfcharrnn import data, losses
from tfcharrnn.training.trainer import Trainer

VOCAB = 5


class FrequencyModel(tf.Module):
    """Predicts from the last character and how often each one was read.

    Its state is what was read since the row began: the count of each
    character [B, V] and of all of them [B].
    """

    def __init__(self, vocab_size=VOCAB):
        super().__init__()
        self.config = {'vocab_size': vocab_size}
        self.table = tf.Variable(tf.random.normal([vocab_size, vocab_size]))
        self.weight = tf.Variable(tf.random.normal([vocab_size]))

    def initial_state(self, batch_size):
        vocab_size = self.config['vocab_size']
        return tf.zeros([batch_size, vocab_size]), tf.zeros([batch_size])

    def __call__(self, inputs, state, training=False):
        counts, length = state
        characters = tf.one_hot(inputs, self.config['vocab_size'])
        counts = counts[:, None] + tf.cumsum(characters, axis=1)
        length = length[:, None] + tf.cumsum(tf.ones_like(inputs, float), 1)
        frequencies = counts / length[..., None]
        logits = tf.gather(self.table, inputs) + self.weight * frequencies
        return logits, (counts[:, -1], length[:, -1])


def text(length, seed=0):
    return np.random.default_rng(seed).integers(VOCAB, size=length)


def streams(length=200, batch_size=4):
    return data.sequences(text(length), seq_length=5, batch_size=batch_size)


def batches(inputs, targets, mask, reset):
    """Batches of a pass from arrays with one more dimension, the number."""
    arrays = data.Batch(inputs, targets, mask, reset)

    def one_pass(number, start):
        del number
        return tf.data.Dataset.from_tensor_slices(arrays).skip(start)

    length, batch_size, seq_length = inputs.shape
    return data.Batches(
        one_pass,
        length,
        batch_size=batch_size,
        seq_length=seq_length,
        num_chars=int(mask.sum()),
    )


def random_batches(number=8, batch_size=4, seq_length=5, seed=0):
    """Batches whose masks are uneven, and whose rows begin anew anywhere."""
    rng = np.random.default_rng(seed)
    shape = number, batch_size, seq_length
    ids = rng.integers(VOCAB, size=(2, *shape), dtype=np.int32)
    # Some batches have many characters, some have few.
    share = np.linspace(0.1, 0.9, number)[:, None, None]
    mask, reset = rng.random(shape) < share, rng.random(shape[:2]) < 0.3
    mask[:, 0, 0] = True
    return batches(*ids, mask, reset)


def make_trainer(rnn=None, optimizer=None, kind=Trainer, **options):
    return kind(
        rnn or FrequencyModel(),
        optimizer or tf.keras.optimizers.SGD(0.1),
        **options,
    )


def by_hand(rnn, batches):
    """Yields each batch's loss, count and gradient, and the state after it."""
    state = None
    for batch in batches:
        zero = rnn.initial_state(len(batch.reset))
        pairs = (
            (new.numpy().T, old.numpy().T)
            for new, old in zip(
                tf.nest.flatten(zero),
                tf.nest.flatten(state or zero),
                strict=True,
            )
        )
        state = tf.nest.pack_sequence_as(
            zero, [np.where(batch.reset, *pair).T for pair in pairs]
        )
        with tf.GradientTape() as tape:
            logits, state = rnn(batch.inputs, state)
            total, count = losses.cross_entropy(
                logits, batch.targets, batch.mask
            )
            loss = total / count
        gradients = tape.gradient(loss, rnn.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        yield float(loss), float(count), gradients, state


class Recorder:
    """A callback that keeps what it is called with, timing aside."""

    def __init__(self, steps=None):
        if steps:
            self.call_every = steps
        self.calls = []

    def __call__(self, trainer, metrics):
        metrics = {k: metrics[k] for k in metrics if k != 'chars_per_second'}
        self.calls.append((trainer.step, metrics))


def snapshot(trainer):
    """All that training goes on from, timing aside."""
    windows = copy.deepcopy(trainer.windows.pairs)
    for pairs in windows.values():
        pairs.pop('seconds', None)
    variables = (
        *trainer.model.variables,
        *trainer.optimizer.variables,
        *trainer.averages.variables,
    )
    return {
        'variables': [tf.convert_to_tensor(v).numpy() for v in variables],
        'step': trainer.step,
        'record': copy.deepcopy(trainer.record.to_json()),
        'windows': windows,
        'state': trainer.state_arrays(),
    }


def assert_same(actual, expected):
    """Bit for bit: snapshots, or what recorders have kept."""
    tf.nest.map_structure(np.testing.assert_array_equal, actual, expected)
