import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import data, losses
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.training.evaluator import Evaluator

MODELS = {
    'frequencies': toys.FrequencyModel,
    'lstm': lambda: CharRNN(toys.VOCAB, 3, 4, cell='lstm'),
}


class EvaluateTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(*MODELS.items())
    def test_equals_the_whole_text_in_one_go(self, make_model):
        trained = toys.make_trainer(make_model())
        for length in (36, 37, 40):
            text = toys.text(length)
            metrics = trained.evaluate(data.sequences(text, 5, batch_size=1))
            inputs, targets = tf.constant(text[None, :-1]), text[None, 1:]
            logits, _ = trained.model(inputs, trained.model.initial_state(1))
            mask = np.ones_like(targets, bool)
            total, count = losses.cross_entropy(logits, targets, mask)
            correct, _ = losses.accuracy(logits, tf.constant(targets), mask)
            self.assertEqual(metrics['num_chars'], length - 1)
            self.assertAllClose(metrics['loss'], total / count)
            self.assertAllClose(metrics['accuracy'], correct / count)

    @parameterized.parameters(3, 8)
    def test_masked_tails_and_any_batch_size_count_right(self, batch_size):
        dataset = toys.streams(length=100, batch_size=batch_size)
        trained = toys.make_trainer()
        metrics = trained.evaluate(dataset)
        values, counts, _, _ = zip(
            *toys.by_hand(trained.model, dataset), strict=True
        )
        self.assertEqual(metrics['num_chars'], 99)
        self.assertAllClose(metrics['loss'], np.average(values, weights=counts))

    @parameterized.named_parameters(*MODELS.items())
    def test_without_a_trainer_it_measures_the_same(self, make_model):
        trained = toys.make_trainer(make_model())
        evaluator = Evaluator(trained.model)
        for dataset in (toys.random_batches(), toys.streams(batch_size=3)):
            expected = trained.evaluate(dataset)
            self.assertEqual(evaluator.evaluate(dataset), expected)
            self.assertEqual(evaluator.evaluate(dataset), expected)

    def test_may_measure_something_else(self):
        def compute_loss(batch, state, training):
            self.assertIs(training, False)
            ones = tf.ones_like(batch.inputs, tf.float32)
            return {'ones': (tf.reduce_sum(ones), 2.0)}, state

        evaluator = Evaluator(toys.FrequencyModel(), compute_loss)
        metrics = evaluator.evaluate(toys.random_batches())
        self.assertEqual(metrics, {'ones': 10.0})

    def test_leaves_training_as_it_was(self):
        dataset = toys.streams(batch_size=4)
        valid = toys.streams(length=50, batch_size=3)
        results = []
        for validate in (False, True):
            tf.random.set_seed(0)
            trained = toys.make_trainer(optimizer=tf.keras.optimizers.Adam(0.1))
            recorder = toys.Recorder(steps=7)
            trained.train(dataset, 10, [recorder])
            if validate:
                before = toys.snapshot(trained)
                trained.evaluate(valid)
                toys.assert_same(toys.snapshot(trained), before)
            trained.train(dataset, 20, [recorder])
            results.append((toys.snapshot(trained), recorder.calls))
        toys.assert_same(*results)

    def test_before_any_training_leaves_it_fresh(self):
        trained = toys.make_trainer()
        before = toys.snapshot(trained)
        trained.evaluate(toys.streams())
        toys.assert_same(toys.snapshot(trained), before)


if __name__ == '__main__':
    tf.test.main()
