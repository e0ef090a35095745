"""The TensorFlow tutorial on text generation, on the library's own parts.

    python examples/tutorial.py
    python examples/tutorial.py --as_published --model_dir=runs/as_published

The tutorial's configuration: 64 rows of 100 characters, an embedding of 256,
GRU(1024), Adam, 10 epochs with a checkpoint after every fifth, then 1,000
characters that begin with "ROMEO: ". The example first prints the numbers that
the tutorial publishes beside its own. Then it prints three losses per epoch, in
nats per character: the mean over the epoch; the loss of the last batch, which
one edition of the tutorial reports as the loss of the epoch; and the loss on
the validation part.

--as_published uses the tutorial's batches, too: disjoint chunks of 101
characters in random order. One transition in 101 is never trained, and each
row inherits the state of an unrelated chunk.
"""

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'shakespeare', 'A text file or a named text.')
flags.DEFINE_string('model_dir', 'runs/tutorial', 'Folder for the model.')
flags.DEFINE_boolean('as_published', False, "Uses the tutorial's batches.")
flags.DEFINE_integer('rnn_units', 1024, 'Units of the GRU.')
flags.DEFINE_integer('epochs', 10, 'Passes over the text.')
flags.DEFINE_enum(
    'compute_dtype', 'float32', ['float32', 'bfloat16'], 'Type of products.'
)

SEQ_LENGTH, BATCH_SIZE = 100, 64
PUBLISHED = {
    'characters': 1_115_394,
    'distinct characters': 65,
    'ids of "First Citizen"': '18 47 56 57 58 1 15 47 58 47 64 43 52',
    'parameters': 4_021_569,
    'of the embedding': 16_640,
    'of the GRU': 3_938_304,
    'of the dense layer': 66_625,
    'loss before training': 4.174,
}


def published_batches(ids, seq_length, batch_size, seed=0):
    """Makes the tutorial's batches: shuffled chunks that pass on a state."""
    size = seq_length + 1
    chunks = ids[: len(ids) // size * size].reshape(-1, size).astype('int32')
    length = len(chunks) // batch_size  # The remainder is dropped.

    def one_pass(number, start):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(chunks), dtype=tf.int64), seed=[seed, number]
        )

        def make_batch(index):
            some = order[index * batch_size : (index + 1) * batch_size]
            rows = tf.ensure_shape(tf.gather(chunks, some), [batch_size, size])
            return tfcharrnn.Batch(
                rows[:, :-1],
                rows[:, 1:],
                mask=tf.ones([batch_size, seq_length], bool),
                reset=tf.fill([batch_size], index == 0),
            )

        return tf.data.Dataset.range(start, length).map(make_batch)

    num_chars = length * batch_size * seq_length
    return tfcharrnn.data.Batches(
        one_pass,
        length,
        batch_size=batch_size,
        seq_length=seq_length,
        num_chars=num_chars,
    )


def measure(text, vocabulary, trainer, batches):
    """Computes the numbers that the tutorial prints before training."""
    model = trainer.model
    ids = vocabulary.encode('First Citizen', unseen='skip')
    embedding = model.embedding.shape.num_elements()
    dense = sum(x.shape.num_elements() for x in (model.kernel, model.bias))
    numbers = (
        len(text),
        len(vocabulary),
        ' '.join(map(str, ids)),
        model.num_parameters,
        embedding,
        model.num_parameters - embedding - dense,
        dense,
        round(trainer.evaluate(batches)['loss'], 3),
    )
    return dict(zip(PUBLISHED, numbers, strict=True))


def main():
    tf.keras.utils.set_random_seed(0)
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    vocabulary = corpus.vocabulary
    make = published_batches if FLAGS.as_published else tfcharrnn.data.sequences
    train = make(corpus.train, SEQ_LENGTH, BATCH_SIZE)
    valid = tfcharrnn.data.sequences(corpus.valid, SEQ_LENGTH, batch_size=16)
    model = tfcharrnn.CharRNN(
        len(vocabulary),
        rnn_units=FLAGS.rnn_units,
        compute_dtype=FLAGS.compute_dtype,
    )
    trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam())
    checkpointer = tfcharrnn.Checkpointer(FLAGS.model_dir, trainer, vocabulary)
    if checkpointer.restore() is None:
        text = vocabulary.decode(corpus.train) + vocabulary.decode(corpus.valid)
        print(f'{"":24}{"published":>38}  here')
        for name, number in measure(text, vocabulary, trainer, valid).items():
            print(f'{name:24}{PUBLISHED[name]:>38}  {number}')
    last_batch = {}

    def report(trainer, metrics):
        print(
            f'epoch {trainer.step // len(train)}: loss {metrics["loss"]:.3f}, '
            f'last batch {last_batch["loss"]:.3f}, '
            f'validation {metrics["valid_loss"]:.3f} | '
            f'{metrics["chars_per_second"]:,.0f} characters per second',
            flush=True,
        )

    every = tfcharrnn.callbacks.every
    trainer.train(
        train,
        FLAGS.epochs * len(train),
        [
            every(1, lambda _, metrics: last_batch.update(metrics)),
            every(len(train), tfcharrnn.callbacks.Evaluate(valid)),
            every(len(train), report),
            every(5 * len(train), checkpointer),
        ],
    )
    checkpointer.save()
    generator = tfcharrnn.Generator(model, vocabulary)
    print(generator.generate('ROMEO: ', length=1000, seed=0))


if __name__ == '__main__':
    commands.run(main)
