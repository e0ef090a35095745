import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.curricula import ScheduledSampling
from tfcharrnn.nn import cells
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import schedules
from tfcharrnn.training.trainer import Trainer

CHARACTERS = Vocabulary('abcde')


class CountingCell(cells.RNNCell):
    """A cell without a fast kernel."""

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        self.kernel = tf.Variable(cells.glorot([input_size, units]))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, self.units])

    def __call__(self, inputs, state):
        state = 0.5 * state + tf.tanh(tf.matmul(inputs, self.kernel))
        return state, state


def make(kind=Trainer, rnn=None, *, rate=0.1, seed=0, **options):
    """Makes a trainer; with options, one whose inputs are sampled."""
    tf.random.set_seed(0)
    rnn = rnn or toys.FrequencyModel()
    augments = [ScheduledSampling(rnn, **options)] if options else []
    optimizer = tf.keras.optimizers.Adam(rate)
    return kind(rnn, optimizer, augments=augments, seed=seed)


class Spy(Trainer):
    """Keeps what the loss is computed on, in eager mode."""

    def compute_loss(self, batch, state, training):
        self.inputs = batch.inputs.numpy()
        return super().compute_loss(batch, state, training)


class ScheduledSamplingTest(tf.test.TestCase, parameterized.TestCase):
    CELLS = ('gru', 'lstm', 'mingru', 'vanilla', CountingCell)

    def batch(self, rows=64, length=20):
        dataset = toys.random_batches(1, rows, length)
        (batch,) = dataset
        return batch

    def inputs(self, batch, probability, rnn=None, step=0, **options):
        spy = make(Spy, rnn, probability=probability, **options)
        spy.step_variable.assign(step)
        rows = batch.inputs.shape[0]
        spy.compute_gradients(batch, spy.model.initial_state(rows))
        return spy.inputs

    def model(self, cell='gru', **options):
        tf.random.set_seed(1)
        return tfcharrnn.CharRNN(toys.VOCAB, 3, 4, cell=cell, **options)

    @parameterized.parameters(*CELLS)
    def test_at_probability_0_it_is_teacher_forcing(self, cell):
        probability = schedules.linear(0.0, 0.0, 9)
        dataset = toys.streams()
        sampled, plain = (
            make(rnn=self.model(cell, dropout=0.5), **options)
            for options in ({'probability': probability}, {})
        )
        for trained in sampled, plain:
            trained.train(dataset, steps=7)
        toys.assert_same(toys.snapshot(sampled), toys.snapshot(plain))

    @parameterized.parameters('gru', CountingCell)
    def test_at_probability_1_all_but_the_first_are_the_models(self, cell):
        rnn, batch = self.model(cell), self.batch()
        inputs = self.inputs(batch, 1.0, rnn, temperature=0.0)
        logits, _ = rnn(batch.inputs, rnn.initial_state(64))
        self.assertAllEqual(inputs[:, 0], batch.inputs[:, 0])
        self.assertAllEqual(inputs[:, 1:], tf.argmax(logits, -1)[:, :-1])

    def test_samples_follow_the_models_distribution(self):
        rnn, batch = toys.FrequencyModel(), self.batch(rows=2000, length=2)
        rnn.weight.assign(tf.zeros([toys.VOCAB]))
        inputs = self.inputs(batch, 1.0, rnn)
        expected = tf.nn.softmax(rnn.table).numpy()
        for first in range(toys.VOCAB):
            drawn = inputs[batch.inputs.numpy()[:, 0] == first, 1]
            shares = np.bincount(drawn, minlength=toys.VOCAB) / len(drawn)
            self.assertAllClose(shares, expected[first], rtol=0, atol=0.1)

    def test_the_coin_falls_as_often_as_its_probability(self):
        batch = self.batch(rows=200)
        batch = batch._replace(inputs=tf.fill([200, 20], 4))
        rnn = toys.FrequencyModel()
        rnn.table.assign(tf.one_hot([0] * toys.VOCAB, toys.VOCAB) * 1e3)
        for probability in (0.2, 0.7):
            replaced = self.inputs(batch, probability, rnn)[:, 1:] == 0
            self.assertAllClose(replaced.mean(), probability, atol=0.03)
            self.assertLess(replaced.mean(1).max() - probability, 0.5)
            by_row = self.inputs(batch, probability, rnn, per_row=True)
            by_row = by_row[:, 1:] == 0
            self.assertEqual(set(by_row.mean(1)), {0.0, 1.0})
            self.assertAllClose(by_row.mean(), probability, atol=0.1)

    def test_what_is_drawn_depends_on_seed_and_step_alone(self):
        batch, rnn = self.batch(), self.model()
        first = self.inputs(batch, 0.5, rnn, step=3)
        self.assertAllEqual(self.inputs(batch, 0.5, rnn, step=3), first)
        self.assertNotAllEqual(self.inputs(batch, 0.5, rnn, step=4), first)
        other = self.inputs(batch, 0.5, rnn, step=3, seed=1)
        self.assertNotAllEqual(other, first)

    def test_a_restart_changes_nothing(self):
        probability = schedules.linear(0.0, 1.0, 20)
        options = {'probability': probability, 'rate': 0.01}
        whole = make(rnn=self.model(), **options)
        whole.train(toys.streams(), 18)
        first = make(rnn=self.model(), **options)
        first.train(toys.streams(), 11)
        folder = self.enter_context(tempfile.TemporaryDirectory())
        tfcharrnn.Checkpointer(folder, first, CHARACTERS).save()
        second = make(rnn=self.model(), **options)
        tfcharrnn.Checkpointer(folder, second, CHARACTERS).restore()
        second.train(toys.streams(), 18)
        toys.assert_same(toys.snapshot(second), toys.snapshot(whole))

    def test_no_gradient_flows_through_the_samples(self):
        rnn, batch = self.model(), self.batch()
        sampled = make(Spy, rnn, probability=1.0)
        state = rnn.initial_state(64)
        _, gradients, _ = sampled.compute_gradients(batch, state)
        plain = make(Trainer, rnn)
        mixed = batch._replace(inputs=tf.constant(sampled.inputs))
        _, expected, _ = plain.compute_gradients(mixed, state)
        self.assertAllClose(gradients, expected)

    def test_evaluation_reads_the_text(self):
        rnn = self.model()
        sampled = make(rnn=rnn, probability=1.0)
        plain = make(Trainer, rnn)
        self.assertEqual(
            sampled.evaluate(toys.streams()), plain.evaluate(toys.streams())
        )

    def test_an_objective_of_ones_own_sees_the_mixed_inputs(self):
        class Halved(Trainer):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                total, count = pairs['loss']
                return {**pairs, 'loss': (total / 2, count)}, state

        rnn, batch = self.model(), self.batch()
        gradients = [
            make(kind, rnn, probability=0.5).compute_gradients(
                batch, rnn.initial_state(64)
            )[1]
            for kind in (Trainer, Halved)
        ]
        self.assertAllClose(
            gradients[0], [2.0 * gradient for gradient in gradients[1]]
        )

    @parameterized.parameters(
        ({'probability': 1.5}, '`probability` is 1.5'),
        ({'probability': 0.5, 'temperature': -1.0}, '`temperature`'),
    )
    def test_numbers_out_of_range_are_refused(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            make(**options)


if __name__ == '__main__':
    tf.test.main()
