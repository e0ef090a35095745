"""A new cell: write one step, pass the class.

    python examples/custom_cell.py

The minimal gated unit (Zhou et al., arXiv 1603.09420) is a GRU with a single
gate, which decides both what to forget and what to take up. The step below is
all the library needs to train it, save it and generate with it. Prints the
number of parameters beside that of a GRU, the losses after each pass over the
text, and a sample from the restored model.
"""

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'python', 'A text file or a named text.')
flags.DEFINE_string('model_dir', 'runs/mgu', 'Folder for the model.')
flags.DEFINE_integer('epochs', 5, 'Passes over the text.')
flags.DEFINE_integer('rnn_units', 256, 'Units of the cell.')


class MinimalGatedUnit(tfcharrnn.RNNCell):
    """One gate f: the share of each unit that is forgotten and rewritten.

    f  = sigmoid(x Wf + h Uf + bf)
    h~ = tanh(x Wh + (f * h) Uh + bh)
    h' = (1 - f) * h + f * h~
    """

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        glorot = tfcharrnn.cells.glorot
        self.kernel = tf.Variable(glorot([input_size, 2 * units]))
        self.gate_kernel = tf.Variable(glorot([units, units]))
        self.candidate_kernel = tf.Variable(glorot([units, units]))
        self.bias = tf.Variable(tf.zeros([2 * units]))

    def __call__(self, inputs, state):
        x = inputs @ self.kernel + self.bias
        x_gate, x_candidate = tf.split(x, 2, axis=-1)
        gate = tf.sigmoid(x_gate + state @ self.gate_kernel)
        candidate = tf.tanh(
            x_candidate + (gate * state) @ self.candidate_kernel
        )
        state = (1.0 - gate) * state + gate * candidate
        return state, state


def build(**config):
    """Makes the model from its config, which holds only the class name."""
    return tfcharrnn.CharRNN(**{**config, 'cell': MinimalGatedUnit})


def main():
    tf.keras.utils.set_random_seed(0)
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    train = tfcharrnn.data.sequences(
        corpus.train, seq_length=100, batch_size=64
    )
    valid = tfcharrnn.data.sequences(
        corpus.valid, seq_length=100, batch_size=16
    )

    config = {
        'vocab_size': len(corpus.vocabulary),
        'embedding_dim': 64,
        'rnn_units': FLAGS.rnn_units,
    }
    model = build(**config)
    gru = tfcharrnn.CharRNN(**config, cell='gru')
    print(
        f'{model.num_parameters:,} parameters; '
        f'a GRU would have {gru.num_parameters:,}'
    )

    trainer = tfcharrnn.Trainer(
        model, tf.keras.optimizers.Adam(3e-3), clip_norm=5.0
    )
    checkpointer = tfcharrnn.Checkpointer(
        FLAGS.model_dir, trainer, corpus.vocabulary
    )
    checkpointer.restore()
    steps = FLAGS.epochs * len(train)
    progress = tfcharrnn.callbacks.Progress(steps)
    every = tfcharrnn.callbacks.every
    trainer.train(
        train,
        steps,
        callbacks=[
            progress,
            every(len(train), tfcharrnn.callbacks.Evaluate(valid)),
            every(len(train), progress),
            every(len(train), checkpointer),
        ],
    )

    # A model_dir holds no code, so pass the class again.
    generator = tfcharrnn.Generator.from_checkpoint(
        FLAGS.model_dir, build=build
    )
    print(generator.generate('The ', length=300, temperature=0.8, seed=0))


if __name__ == '__main__':
    commands.run(main)
