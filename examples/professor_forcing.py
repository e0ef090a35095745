"""Professor forcing, beside scheduled sampling and teacher forcing.

    python examples/professor_forcing.py

A model trained on true text alone behaves differently when it reads its own.
Professor forcing (Lamb et al., arXiv 1610.09038) makes it behave the same in
both cases. A judge sees the model's predictions and learns to tell reading from
writing; the model learns to fool the judge. All of this is one custom
`train_step`; the library needs no change.

The model first samples a text, without gradient. Then the ordinary fast pass
reads that text again, for the predictions and their gradient.

Prints for each way of training the validation loss (nats per character, on true
text), the loss in open loop and the seconds. The loss in open loop is that of
the model's own texts under an n-gram model of the validation text (nats per
character). The last line is the loss of the validation text under the n-grams
of the training text: expect no model to do better.
"""

import time

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'python', 'A text file or a named text.')
flags.DEFINE_integer('num_chars', 200_000, 'Characters to train on.')
flags.DEFINE_integer('epochs', 8, 'Passes over the text.')
flags.DEFINE_integer('seq_length', 50, 'Characters of a row.')
flags.DEFINE_integer('rnn_units', 128, 'Units of the GRU.')
flags.DEFINE_integer('judge_units', 64, 'Units of the judge, per direction.')
flags.DEFINE_integer('seed', 0, 'Seed of weights and samples.')

ORDER = 4  # The order of the n-gram models.
OPEN_LOOP = 500  # Characters that the model adds to a true beginning.
NUM_TEXTS = 16


class Judge(tf.Module):
    """Reads predictions in both directions and judges if the text is true."""

    def __init__(self, size, units):
        super().__init__()
        self.directions = [tfcharrnn.GRU(size, units) for _ in range(2)]
        self.kernel = tf.Variable(tfcharrnn.cells.glorot([2 * units, 1]))

    def __call__(self, logits):
        """Maps logits [B, T, V] of the model to logits [B] of 'true'."""
        x = tf.nn.log_softmax(logits)
        means = []
        for cell, rows in zip(self.directions, (x, x[:, ::-1]), strict=True):
            zero = cell.initial_state(tf.shape(rows)[0])
            outputs, _ = cell.unroll(rows, zero)
            means.append(tf.reduce_mean(outputs, axis=1))
        return tf.matmul(tf.concat(means, -1), self.kernel)[:, 0]


class ProfessorForcing(tfcharrnn.Trainer):
    """Trains a model and its judge against each other, on one device.

    judge  minimises  cross-entropy(judge(reading), true)
                      + cross-entropy(judge(writing), not true)
    model  minimises  loss + weight * cross-entropy(judge(writing), true)

    As in the paper, the model ignores a judge that is right in at most three
    cases out of four, and a judge that is nearly always right is not trained.
    """

    weight = 1.0
    seed = 0

    def __init__(self, model, optimizer, **options):
        super().__init__(model, optimizer, **options)
        self.judge = Judge(model.vocab_size, FLAGS.judge_units)
        self.judges_optimizer = tf.keras.optimizers.Adam(1e-3)
        self.judges_optimizer.build(self.judge.trainable_variables)

    def write(self, batch, state):
        """Samples rows [B, T] that begin as the rows of the batch do."""
        length = batch.inputs.shape[1]
        seed = tf.stack([self.seed, tf.cast(self.step_variable, tf.int32)])
        fold_in = tf.random.experimental.stateless_fold_in

        def body(t, ids, state, written):
            logits, state = self.model.step(ids, state)
            following = tfcharrnn.sampling.sample(logits, fold_in(seed, t))
            return t + 1, following, state, written.write(t, ids)

        ids = batch.inputs[:, 0]
        array = tf.TensorArray(tf.int32, length, element_shape=ids.shape)
        *_, written = tf.while_loop(
            lambda t, *_: t < length, body, (0, ids, state, array)
        )
        return tf.transpose(written.stack())

    def train_step(self, batch, state):
        written = self.write(batch, state)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape, tf.GradientTape() as judges_tape:
            logits, after = self.model(batch.inputs, state, training=True)
            free_logits, _ = self.model(written, state, training=True)
            total, count = tfcharrnn.losses.cross_entropy(
                logits, batch.targets, batch.mask
            )
            reading, writing = self.judge(logits), self.judge(free_logits)
            ones, zeros = tf.ones_like(reading), tf.zeros_like(writing)
            judges_loss = tf.reduce_mean(
                entropy(ones, reading) + entropy(zeros, writing)
            )
            right = tf.concat([reading > 0.0, writing < 0.0], 0)
            share = tf.reduce_mean(tf.cast(right, tf.float32))
            weight = tf.where(share > 0.75, self.weight, 0.0)
            fooled = tf.reduce_mean(entropy(ones, writing))
            loss = total / tf.maximum(count, 1.0) + weight * fooled
        judges = self.judge.trainable_variables
        scale = tf.where(share < 0.99, 1.0, 0.0)
        gradients = [
            scale * gradient
            for gradient in judges_tape.gradient(judges_loss, judges)
        ]
        norm = self.apply_gradients(tape.gradient(loss, variables))
        self.judges_optimizer.apply_gradients(
            zip(gradients, judges, strict=True)
        )
        return {
            'loss': (total, count),
            'accuracy': tfcharrnn.losses.accuracy(
                logits, batch.targets, batch.mask
            ),
            'judged_right': (share, 1.0),
            'gradient_norm': (norm, 1.0),
        }, after


def sampled(model, optimizer, **options):
    """Scheduled sampling, up to a quarter of the inputs."""
    steps = FLAGS.epochs * FLAGS.num_chars // (16 * FLAGS.seq_length)
    probability = tfcharrnn.schedules.linear(0.0, 0.25, max(1, steps))
    augments = [tfcharrnn.ScheduledSampling(model, probability)]
    return tfcharrnn.Trainer(model, optimizer, augments=augments, **options)


TRAINERS = {
    'teacher forcing': tfcharrnn.Trainer,
    'scheduled sampling': sampled,
    'professor forcing': ProfessorForcing,
}


def open_loop(model, corpus, surprise):
    """Returns the loss of the model's continuations of the validation text."""
    generator = tfcharrnn.Generator(model, corpus.vocabulary)
    text = corpus.vocabulary.decode(corpus.valid)
    nats = 0.0
    for number in range(NUM_TEXTS):
        start = number * (len(text) - FLAGS.seq_length) // NUM_TEXTS
        prompt = text[start : start + FLAGS.seq_length]
        written = generator.generate(prompt, OPEN_LOOP, seed=number)
        nats += surprise(written[len(prompt) :])
    return nats / (NUM_TEXTS * OPEN_LOOP)


def main():
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    train = tfcharrnn.data.sequences(
        corpus.train[: FLAGS.num_chars], FLAGS.seq_length, 16
    )
    valid = tfcharrnn.data.sequences(corpus.valid, FLAGS.seq_length, 16)
    rarity = tfcharrnn.curricula.rarity
    surprise = rarity([corpus.vocabulary.decode(corpus.valid)], ORDER)
    print('training            validation  open loop  seconds')
    for name, make_trainer in TRAINERS.items():
        tf.keras.utils.set_random_seed(FLAGS.seed)
        model = tfcharrnn.CharRNN(
            len(corpus.vocabulary), embedding_dim=64, rnn_units=FLAGS.rnn_units
        )
        trainer = make_trainer(
            model,
            tf.keras.optimizers.Adam(5e-3),
            clip_norm=5.0,
            seed=FLAGS.seed,
        )
        start = time.perf_counter()
        trainer.train(train, FLAGS.epochs * len(train))
        seconds = time.perf_counter() - start
        print(
            f'{name:18}  {trainer.evaluate(valid)["loss"]:10.3f}  '
            f'{open_loop(model, corpus, surprise):9.3f}  {seconds:7.0f}',
            flush=True,
        )
    text = corpus.vocabulary.decode(corpus.valid)
    known = rarity([corpus.vocabulary.decode(corpus.train)], ORDER)
    print(f'true text           {"":10}  {known(text) / len(text):9.3f}')


if __name__ == '__main__':
    commands.run(main)
