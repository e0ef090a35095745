"""A new objective, a new update: override one method of the trainer.

    python examples/custom_train_step.py

`compute_loss` is the objective: here, label smoothing (Szegedy et al., arXiv
1512.00567). `train_step` is the update: here, sharpness-aware minimisation
(Foret et al., arXiv 2010.01412), which takes the gradient at the worst point
near the weights. The two methods are independent, so they combine.

Both counter overfitting, so the text here is short and the GRU reads it many
times. All four trainers start from the same weights and see the same batches.
Prints for each the training loss (its own objective, over the last pass), the
validation loss (nats per character, without smoothing), and the seconds.
"""

import time

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'python', 'A text file or a named text.')
flags.DEFINE_integer('num_chars', 50_000, 'Characters to train on.')
flags.DEFINE_integer('epochs', 8, 'Passes over the text.')
flags.DEFINE_integer('seq_length', 50, 'Characters of a row.')
flags.DEFINE_integer('rnn_units', 128, 'Units of the GRU.')


class LabelSmoothing(tfcharrnn.Trainer):
    """Gives every character a small share of the target distribution.

    loss = (1 - smoothing) * cross-entropy with the target
               + smoothing * cross-entropy with the uniform distribution
    """

    smoothing = 0.05

    def compute_loss(self, batch, state, training):
        if training is False:  # So that validation losses compare.
            return super().compute_loss(batch, state, training)
        logits, state = self.model(batch.inputs, state, training=training)
        total, count = tfcharrnn.losses.cross_entropy(
            logits, batch.targets, batch.mask
        )
        uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
        uniform_total = tf.reduce_sum(tf.where(batch.mask, uniform, 0.0))
        smoothed = total + self.smoothing * (uniform_total - total)
        # Pairs (sum, count): the trainer adds them up and divides at the end.
        # 'loss' is minimised, every other name is a metric.
        return {
            'loss': (smoothed, count),
            'cross_entropy': (total, count),
            'accuracy': tfcharrnn.losses.accuracy(
                logits, batch.targets, batch.mask
            ),
        }, state


class SharpnessAware(tfcharrnn.Trainer):
    """Descends by the gradient at the worst weights within a small radius.

    uphill  = radius * gradient(weights) / |gradient(weights)|
    weights = weights - update(gradient(weights + uphill))

    It prefers flat minima, at the cost of two passes. For one device only.
    """

    radius = 0.05

    def train_step(self, batch, state):
        variables = self.model.trainable_variables
        pairs, gradients, after = self.compute_gradients(batch, state)
        scale = self.radius / (tf.linalg.global_norm(gradients) + 1e-12)
        weights = [tf.identity(variable) for variable in variables]
        for variable, gradient in zip(variables, gradients, strict=True):
            variable.assign_add(scale * gradient)
        _, gradients, _ = self.compute_gradients(batch, state)
        # Assign, because subtracting would leave a rounding error.
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)
        norm = self.apply_gradients(gradients)
        return {**pairs, 'gradient_norm': (norm, tf.ones([]))}, after


class Both(SharpnessAware, LabelSmoothing):
    """Sharpness-aware minimisation of the smoothed loss."""


TRAINERS = tfcharrnn.Trainer, LabelSmoothing, SharpnessAware, Both


def main():
    corpus = tfcharrnn.Corpus.load(FLAGS.corpus)
    text = corpus.train[: FLAGS.num_chars]
    train = tfcharrnn.data.sequences(text, FLAGS.seq_length, 16)
    valid = tfcharrnn.data.sequences(corpus.valid, FLAGS.seq_length, 16)
    print('trainer         training  validation  seconds')
    for trainer_class in TRAINERS:
        tf.keras.utils.set_random_seed(0)  # The same initial weights.
        model = tfcharrnn.CharRNN(
            len(corpus.vocabulary), embedding_dim=64, rnn_units=FLAGS.rnn_units
        )
        trainer = trainer_class(
            model, tf.keras.optimizers.Adam(5e-3), clip_norm=5.0
        )
        start = time.perf_counter()
        for epoch in range(FLAGS.epochs):
            metrics = trainer.train(train, steps=(epoch + 1) * len(train))
        seconds = time.perf_counter() - start
        print(
            f'{trainer_class.__name__:15} {metrics["loss"]:8.3f}  '
            f'{trainer.evaluate(valid)["loss"]:10.3f}  {seconds:7.0f}'
        )


if __name__ == '__main__':
    commands.run(main)
