"""Models that are small enough to see through."""

import tensorflow as tf

import tfcharrnn
from tfcharrnn import config

CELLS = tuple(config.CELLS)
VOCAB, TIME = 11, 10


class Ones(tfcharrnn.RNNCell):
    """1 from the first layer, passed on by others: shows what is dropped."""

    def __call__(self, inputs, state):
        first = self.input_size != self.units
        return (tf.ones_like(state) if first else inputs), state


def build(**config):
    sizes = {'vocab_size': VOCAB, 'embedding_dim': 8, 'rnn_units': 16}
    model = tfcharrnn.CharRNN(**sizes | config)
    for variable in model.variables:  # biases too: zeros would hide mistakes
        variable.assign_add(tf.random.normal(variable.shape, stddev=0.2))
    return model


def transparent(**config):
    """A model whose logits are the outputs of its last cell."""
    model = build(rnn_units=VOCAB, **config)
    model.kernel.assign(tf.eye(VOCAB))
    model.bias.assign(tf.zeros(VOCAB))
    return model


def copy(source, target):
    for theirs, ours in zip(source.variables, target.variables, strict=True):
        ours.assign(theirs)
    return target


def random_ids(batch_size, length=TIME, vocab_size=VOCAB):
    return tf.random.uniform(
        [batch_size, length], maxval=vocab_size, dtype=tf.int32
    )


def random_state(model, batch_size):
    return tf.nest.map_structure(
        lambda zeros: tf.random.normal(zeros.shape),
        model.initial_state(batch_size),
    )
