"""A model without recurrence: a convolution over a window of characters.

    python examples/conv_window.py

    window -> one-hot -> Conv1D(128, kernel 5), ReLU -> mean over time -> Dense

The trainer accepts any model with `__call__(inputs, state, training)`,
`initial_state` and `trainable_variables`. This one has an empty state. The
`Checkpointer` also needs its `config`, and `load_model` a function that builds
the model from it. The `Generator` needs a state to carry: `Rereading` makes the
window that state.

The mean over time discards where in the window 5 characters occur, so a short
window predicts better than a long one. Prints the number of windows and of
parameters, the losses after each pass in nats per character, and a sample from
the restored model.
"""

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'python', 'A text file or a named text.')
flags.DEFINE_string('model_dir', 'runs/conv', 'Folder for the model.')
flags.DEFINE_integer('maxlen', 10, 'Characters of a window.')
flags.DEFINE_integer('filters', 128, 'Filters of the convolution.')
flags.DEFINE_integer('epochs', 5, 'Passes over the windows.')


class ConvWindow(tf.Module):
    """Predicts the character after a window of at least 5 characters."""

    def __init__(self, vocab_size, filters=128, kernel_size=5):
        super().__init__()
        self.vocab_size = vocab_size
        shape = [kernel_size, vocab_size, filters]
        initial = tf.keras.initializers.GlorotUniform()(shape)
        self.filters = tf.Variable(initial)
        self.filters_bias = tf.Variable(tf.zeros([filters]))
        self.kernel = tf.Variable(tfcharrnn.cells.glorot([filters, vocab_size]))
        self.bias = tf.Variable(tf.zeros([vocab_size]))

    @property
    def config(self):
        kernel_size, vocab_size, filters = self.filters.shape
        return {
            'vocab_size': vocab_size,
            'filters': filters,
            'kernel_size': kernel_size,
        }

    def initial_state(self, batch_size):
        del batch_size
        return ()

    def __call__(self, inputs, state, training=False):
        del training  # No dropout.
        x = tf.nn.conv1d(
            tf.one_hot(inputs, self.vocab_size), self.filters, 1, 'VALID'
        )
        x = tf.reduce_mean(tf.nn.relu(x + self.filters_bias), axis=1)
        logits = x @ self.kernel + self.bias
        # One prediction per window, copied to every position: `data.windows`
        # masks all of them but the last.
        shape = [*tf.unstack(tf.shape(inputs)), self.vocab_size]
        return tf.broadcast_to(logits[:, tf.newaxis], shape), state


def main():
    tf.keras.utils.set_random_seed(0)
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    train = tfcharrnn.data.windows(corpus.train, FLAGS.maxlen, 128, stride=3)
    valid = tfcharrnn.data.windows(corpus.valid, FLAGS.maxlen, 128, stride=3)
    model = ConvWindow(len(corpus.vocabulary), FLAGS.filters)
    num_parameters = sum(tf.size(v) for v in model.trainable_variables)
    print(
        f'{train.num_chars:,} windows of {FLAGS.maxlen} characters; '
        f'{num_parameters:,} parameters'
    )

    trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam(3e-3))
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

    model, vocabulary = tfcharrnn.load_model(FLAGS.model_dir, build=ConvWindow)
    generator = tfcharrnn.Generator(
        tfcharrnn.Rereading(model, FLAGS.maxlen), vocabulary
    )
    print(generator.generate('The ', length=300, temperature=0.5, seed=0))


if __name__ == '__main__':
    commands.run(main)
