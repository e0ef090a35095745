"""A new callback: any function of (trainer, metrics).

    python examples/callbacks.py

Here are two. A function records the norm of the gradient. A class with a
setting halves the learning rate when the validation loss stops falling. Both
keep what a restart needs in `trainer.record.notes`, which every checkpoint
holds, beside the optimizer and its learning rate. So stop the program with
Ctrl-C and run it again: the result is the same.

Prints a line per evaluation, a line whenever the rate is halved, and at the end
a small chart of the gradient's norm.
"""

import math

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'python', 'A text file or a named text.')
flags.DEFINE_string('model_dir', 'runs/callbacks', 'Folder for the model.')
flags.DEFINE_integer('steps', 800, 'The step to stop at.')
flags.DEFINE_integer('eval_every', 20, 'Steps between evaluations.')
flags.DEFINE_integer('seq_length', 50, 'Characters of a row.')
flags.DEFINE_integer('rnn_units', 128, 'Units of the GRU.')

BARS = '▁▂▃▄▅▆▇█'


def note_gradient_norm(trainer, metrics):
    """Records the mean norm of the gradient since the last call."""
    norms = trainer.record.notes.setdefault('gradient_norms', [])
    norms.append(metrics['gradient_norm'])


class HalveOnPlateau:
    """Halves the learning rate after `patience` evaluations without progress.

    It reads 'valid_loss', so it comes after `Evaluate`. It changes the record,
    so it comes before the checkpointer.
    """

    def __init__(self, patience):
        self._patience = patience

    def __call__(self, trainer, metrics):
        record = trainer.record.notes.setdefault(
            'plateau', {'best': math.inf, 'waited': 0}
        )
        if metrics['valid_loss'] < record['best']:
            record.update(best=metrics['valid_loss'], waited=0)
            return
        record['waited'] += 1
        if record['waited'] == self._patience:
            record['waited'] = 0
            trainer.optimizer.learning_rate = metrics['learning_rate'] / 2
            rate = float(trainer.optimizer.learning_rate)
            print(f'step {trainer.step:,}: the learning rate is now {rate:.2g}')


def chart(values):
    """Draws each value as a bar, one character wide, on a log scale."""
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (math.log(high / low) or 1.0)
    bars = [BARS[round(math.log(value / low) * scale)] for value in values]
    return f'{"".join(bars)}  from {low:.2f} to {high:.2f}'


def main():
    tf.keras.utils.set_random_seed(0)
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    train = tfcharrnn.data.sequences(corpus.train, FLAGS.seq_length, 32)
    valid = tfcharrnn.data.sequences(corpus.valid, FLAGS.seq_length, 16)
    model = tfcharrnn.CharRNN(
        len(corpus.vocabulary), embedding_dim=32, rnn_units=FLAGS.rnn_units
    )
    # Too high on purpose, to provoke plateaus.
    trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam(0.03))
    checkpointer = tfcharrnn.Checkpointer(
        FLAGS.model_dir, trainer, corpus.vocabulary
    )
    checkpointer.restore()

    def every(callback):
        return tfcharrnn.callbacks.every(FLAGS.eval_every, callback)

    trainer.train(
        train,
        FLAGS.steps,
        callbacks=[
            every(tfcharrnn.callbacks.Evaluate(valid)),
            every(tfcharrnn.callbacks.Progress(FLAGS.steps)),
            every(note_gradient_norm),
            every(HalveOnPlateau(patience=3)),
            every(checkpointer),
        ],
    )
    print(
        f'Norm of the gradient: {chart(trainer.record.notes["gradient_norms"])}'
    )


if __name__ == '__main__':
    commands.run(main)
