"""Chollet's LSTM: each window of a text predicts one character.

    python examples/nietzsche_windows.py
    python examples/nietzsche_windows.py --valid_fraction=0.1 --reread

From Deep Learning with Python, 8.1: text in lower case, a window every 3
characters, one-hot inputs, LSTM(128), RMSprop 0.01, batches of 128. After each
epoch the model continues a random window by 400 characters, at four
temperatures.

The original reads the last `maxlen` characters again for every new one. Here
the state is carried, so a character takes one step instead of `maxlen`.
--reread writes both ways, with the same random numbers, to compare texts and
speeds.

Prints the number of windows (200,285; 200,278 of 60 characters) and of
parameters (102,585), and the losses of each epoch in nats per character. The
book's training losses, for windows of 60 (it has no validation):

    epoch     1       2       3      20      21      58      59
    loss   1.8413  1.5906  1.5139  1.3191  1.3147  1.2422  1.2392
"""

import time

import numpy as np
from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'nietzsche', 'A text file or a named text.')
flags.DEFINE_string('model_dir', 'runs/windows', 'Folder for the model.')
flags.DEFINE_integer('maxlen', 40, 'Characters of a window.')
flags.DEFINE_integer('rnn_units', 128, 'Units of the LSTM.')
flags.DEFINE_integer('epochs', 20, 'Passes over the windows.')
flags.DEFINE_float('valid_fraction', 0.0, 'Share of the text to validate on.')
flags.DEFINE_bool('reread', False, "Also writes in the original's way.")

TEMPERATURES = (0.2, 0.5, 1.0, 1.2)
LENGTH = 400


class Write:
    """A callback that continues a random window of the text."""

    def __init__(self, corpus, generators):
        self._corpus = corpus
        self._generators = generators

    def __call__(self, trainer, metrics):
        ids, seed = self._corpus.train, trainer.step
        start = np.random.default_rng(seed).integers(len(ids) - FLAGS.maxlen)
        prompt = self._corpus.vocabulary.decode(ids[start:][: FLAGS.maxlen])
        for name, generator in self._generators.items():
            generator.generate(prompt, 1, seed=0)  # The first call compiles.
            begin = time.perf_counter()
            texts = [
                generator.generate(prompt, LENGTH, temperature=t, seed=seed)
                for t in TEMPERATURES
            ]
            seconds = time.perf_counter() - begin
            speed = LENGTH * len(TEMPERATURES) / seconds
            print(f'=== {name}: {speed:,.0f} characters per second')
            for temperature, text in zip(TEMPERATURES, texts, strict=True):
                print(f'--- temperature {temperature}\n{text}')


def main():
    tf.keras.utils.set_random_seed(0)
    split = (1.0 - FLAGS.valid_fraction, FLAGS.valid_fraction, 0.0)
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus, split, lowercase=True)
    train = tfcharrnn.data.windows(corpus.train, FLAGS.maxlen, 128, stride=3)
    model = tfcharrnn.CharRNN(
        len(corpus.vocabulary),
        embedding_dim=None,
        rnn_units=FLAGS.rnn_units,
        cell='lstm',
    )
    print(
        f'{train.num_chars:,} windows of {FLAGS.maxlen} characters, '
        f'{len(corpus.vocabulary)} distinct; '
        f'{model.num_parameters:,} parameters'
    )
    # The book's Keras added 1e-8 to the root of the mean square; today's adds
    # `epsilon` under the root, where its default slows training down.
    optimizer = tf.keras.optimizers.RMSprop(0.01, epsilon=1e-16)
    trainer = tfcharrnn.Trainer(model, optimizer)
    checkpointer = tfcharrnn.Checkpointer(
        FLAGS.model_dir, trainer, corpus.vocabulary
    )
    checkpointer.restore()

    def report(trainer, metrics):
        losses = f'loss {metrics["loss"]:.4f}'
        if 'valid_loss' in metrics:
            losses += f', validation {metrics["valid_loss"]:.4f}'
        print(f'epoch {trainer.step // len(train)}: {losses}', flush=True)

    generators = {
        'carried state': tfcharrnn.Generator(model, corpus.vocabulary)
    }
    if FLAGS.reread:
        generators['re-reading'] = tfcharrnn.Generator(
            tfcharrnn.Rereading(model, FLAGS.maxlen),
            corpus.vocabulary,
        )
    each_epoch = [report, checkpointer, Write(corpus, generators)]
    if FLAGS.valid_fraction:
        valid = tfcharrnn.data.windows(
            corpus.valid, FLAGS.maxlen, 128, stride=3
        )
        each_epoch.insert(0, tfcharrnn.callbacks.Evaluate(valid))
    every = tfcharrnn.callbacks.every
    trainer.train(
        train,
        FLAGS.epochs * len(train),
        [every(len(train), callback) for callback in each_epoch],
    )


if __name__ == '__main__':
    commands.run(main)
