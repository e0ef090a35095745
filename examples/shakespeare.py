"""The straight line: text in, a trained model, text out.

    python examples/shakespeare.py

The model of TensorFlow's text generation tutorial: embedding 256, GRU 1024,
batches of 64 x 100 characters, Adam 1e-3. Prints the training and validation
losses after each pass over the text, and at the end what the model writes after
"ROMEO: ". Run it again and it resumes where it stopped.

The same model as a command, with metrics, samples and a flag for every setting:

    python -m tfcharrnn.train --flagfile=examples/shakespeare.flags
"""

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'shakespeare', 'A text file or a named text.')
flags.DEFINE_string('model_dir', 'runs/bard', 'Folder for the model.')
flags.DEFINE_integer('epochs', 10, 'Passes over the text.')
flags.DEFINE_integer('rnn_units', 1024, 'Units of the GRU.')
flags.DEFINE_string('prompt', 'ROMEO: ', 'How the sample begins.')


def main():
    tf.keras.utils.set_random_seed(0)

    # Text -> ids; the last tenth is for validation.
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    print(corpus)

    # Ids -> batches; row b continues row b of the batch before.
    train = tfcharrnn.data.sequences(
        corpus.train, seq_length=100, batch_size=64
    )
    valid = tfcharrnn.data.sequences(
        corpus.valid, seq_length=100, batch_size=16
    )

    # The model holds the weights, the trainer the state and the position in
    # the data; a checkpoint holds all of it.
    model = tfcharrnn.CharRNN(
        vocab_size=len(corpus.vocabulary), rnn_units=FLAGS.rnn_units
    )
    print(f'{model.num_parameters:,} parameters')
    trainer = tfcharrnn.Trainer(
        model, tf.keras.optimizers.Adam(1e-3), clip_norm=5.0
    )
    checkpointer = tfcharrnn.Checkpointer(
        FLAGS.model_dir, trainer, corpus.vocabulary
    )
    checkpointer.restore()  # None: a fresh start.

    steps = FLAGS.epochs * len(train)
    progress = tfcharrnn.callbacks.Progress(steps)
    every = tfcharrnn.callbacks.every
    trainer.train(
        train,
        steps,  # The GLOBAL step to stop at; if reached, nothing happens.
        callbacks=[
            progress,
            every(len(train), tfcharrnn.callbacks.Evaluate(valid)),
            every(len(train), progress),
            every(len(train), checkpointer),
        ],
    )

    generator = tfcharrnn.Generator.from_checkpoint(FLAGS.model_dir, 'best')
    print(generator.generate(FLAGS.prompt, length=500, temperature=0.8, seed=0))


if __name__ == '__main__':
    commands.run(main)
