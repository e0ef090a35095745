r"""Headlines: one text per line, each with a beginning and an end.

    python examples/headlines.py --corpus=ag_news_test.csv --csv_column=2
    python examples/headlines.py --corpus=headlines.txt

The same as a command, for any lines:

    python -m tfcharrnn.train --corpus=ag_news_test.csv --csv_column=2 \
        --cell=lstm --rnn_units=128 --embedding_dim=0 --learning_rate=0.01

`data.lines` makes one row per line. A line ends with the ordinary character
'\n', so the model learns where to end, and the generator stops there.
Positions past the end of a short line are masked; no padding id exists that the
model could write. Lines of similar length share a batch, which keeps padding
small. The model is an LSTM(128) on one-hot inputs, as in the lesson on
generative networks of AI for Beginners.

Prints the numbers of lines and of parameters, the share of padding, and after
each epoch the losses (nats per character) and a headline. At the end it
completes five beginnings, greedily and at five temperatures.
"""

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', None, 'A text file or a CSV file.', required=True)
flags.DEFINE_integer('csv_column', None, 'The column; the first one is 1.')
flags.DEFINE_string('model_dir', 'runs/headlines', 'Folder for the model.')
flags.DEFINE_integer('rnn_units', 128, 'Units of the LSTM.')
flags.DEFINE_integer('epochs', 20, 'Passes over the headlines.')

PROMPTS = (
    'Today ',
    'On Sunday ',
    'Moscow, ',
    'President ',
    'Little red riding hood ',
)
TEMPERATURES = (0.0, 0.3, 0.8, 1.0, 1.3, 1.8)  # 0 is greedy.
MAX_LENGTH = 100


def padding(batches):
    """Computes the share of a pass that is masked."""
    cells = sum(batch.mask.shape.num_elements() for batch in batches)
    return 1.0 - batches.num_chars / cells


def complete(generator, prompt, temperature, seed):
    """Writes one headline that begins with `prompt`."""
    return generator.generate(
        prompt, MAX_LENGTH, temperature=temperature, seed=seed
    )


def main():
    tf.keras.utils.set_random_seed(0)
    corpus = tfcharrnn.Corpus.load_lines(
        FLAGS.corpus, csv_column=FLAGS.csv_column
    )
    vocabulary = corpus.vocabulary
    train, valid = (
        tfcharrnn.data.lines(corpus.lines(part), vocabulary, batch_size=64)
        for part in ('train', 'valid')
    )
    model = tfcharrnn.CharRNN(
        len(vocabulary),
        embedding_dim=None,
        rnn_units=FLAGS.rnn_units,
        cell='lstm',
    )
    print(
        f'{len(corpus.lines("train")):,} lines to train on, '
        f'{len(vocabulary)} distinct characters, '
        f'{padding(train):.1%} padding; {model.num_parameters:,} parameters'
    )
    trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam(0.01))
    checkpointer = tfcharrnn.Checkpointer(FLAGS.model_dir, trainer, vocabulary)
    checkpointer.restore()
    generator = tfcharrnn.Generator(model, vocabulary)

    def report(trainer, metrics):
        print(
            f'epoch {trainer.step // len(train)}: loss {metrics["loss"]:.3f}, '
            f'validation {metrics["valid_loss"]:.3f} | '
            + complete(generator, '', 0.8, trainer.step),
            flush=True,
        )

    each_epoch = [tfcharrnn.callbacks.Evaluate(valid), report, checkpointer]
    every = tfcharrnn.callbacks.every
    trainer.train(
        train,
        FLAGS.epochs * len(train),
        [every(len(train), callback) for callback in each_epoch],
    )
    for seed, prompt in enumerate(PROMPTS):
        for temperature in TEMPERATURES:
            line = complete(generator, prompt, temperature, seed)
            print(f'{temperature:4} {line}')


if __name__ == '__main__':
    commands.run(main)
