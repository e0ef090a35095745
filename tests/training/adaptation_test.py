import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from toys import VOCAB, FrequencyModel, by_hand, streams, text

import tfcharrnn
from tfcharrnn import data
from tfcharrnn.training.adaptation import Adaptation, restored

RATE, PULL, EPSILON = 0.02, 0.3, 2e-5


def make_model():
    tf.keras.utils.set_random_seed(3)
    model = FrequencyModel()
    model.vocab_size = VOCAB
    return model


def segments(ids, length=5):
    return data.evaluation_streams(ids, length, batch_size=1)


def new_text():
    return np.arange(60) * 2 % VOCAB


def root_mean_squares(model):
    squares = [
        [np.square(g.numpy()) for g in gradients]
        for _, _, gradients, _ in by_hand(model, streams())
    ]
    return [np.sqrt(np.mean(each, 0)) for each in zip(*squares, strict=True)]


class AdaptationTest(tf.test.TestCase, parameterized.TestCase):
    def test_each_segment_is_scored_and_then_learned_by_the_rule(self):
        model = make_model()
        rms = root_mean_squares(model)
        mean = np.concatenate([np.ravel(each) for each in rms]).mean()
        start = [v.numpy() for v in model.trainable_variables]
        adaptation = Adaptation(model, streams(), rate=RATE, pull=PULL)
        actual = adaptation.read(segments(new_text()))
        after = [v.numpy() for v in model.trainable_variables]
        for variable, value in zip(
            model.trainable_variables, start, strict=True
        ):
            variable.assign(value)
        total = count = 0.0
        steps = by_hand(model, segments(new_text()))
        for loss, number, gradients, _ in steps:
            total, count = total + loss * number, count + number
            for variable, gradient, each, first in zip(
                model.trainable_variables, gradients, rms, start, strict=True
            ):
                share = np.minimum(PULL * each / mean, 1.0)
                variable.assign_add(
                    share * (first - variable)
                    - RATE * gradient / (each + EPSILON)
                )
        self.assertAllClose(actual['loss'], total / count, 1e-5)
        self.assertEqual(actual['num_chars'], len(new_text()) - 1)
        self.assertAllClose(after, list(model.trainable_variables), 1e-4)

    def test_at_rate_0_it_is_an_evaluation(self):
        model = make_model()
        adaptation = Adaptation(model, streams(), rate=0.0)
        actual = adaptation.read(segments(new_text()))
        expected = tfcharrnn.Evaluator(model).evaluate(segments(new_text()))
        self.assertAllClose(actual['loss'], expected['loss'], 1e-6)
        self.assertEqual(actual['accuracy'], expected['accuracy'])

    def test_it_learns_a_text_that_repeats_itself(self):
        model = make_model()
        plain = tfcharrnn.Evaluator(model).evaluate(segments(new_text()))
        adaptation = Adaptation(model, streams(), rate=RATE)
        learned = adaptation.read(segments(new_text()))
        self.assertLess(learned['loss'], plain['loss'] - 0.1)

    def test_restored_weights_are_as_before(self):
        model = make_model()
        before = [v.numpy() for v in model.variables]
        with restored(model):
            Adaptation(model, streams(), rate=RATE).read(segments(new_text()))
            changed = [v.numpy() for v in model.variables]
        self.assertNotAllClose(before, changed)
        self.assertAllEqual(
            np.concatenate([np.ravel(v) for v in before]),
            np.concatenate([np.ravel(v) for v in model.variables]),
        )

    def test_in_a_mixture_networks_learn_and_ngrams_are_counted_on(self):
        network = tfcharrnn.CharRNN(VOCAB, embedding_dim=3, rnn_units=4)
        ngram = tfcharrnn.NGram(text(300), VOCAB, 3)
        mixture = tfcharrnn.Mixture([network, ngram])
        plain = tfcharrnn.Evaluator(mixture).evaluate(segments(new_text()))
        before = [v.numpy() for v in mixture.variables]
        with restored(mixture):
            adaptation = Adaptation(mixture, streams(), rate=1e-3)
            learned = adaptation.read(segments(new_text()))
            self.assertEqual(ngram.num_counted, 300 + len(new_text()) - 1)
            self.assertNotAllClose(before[0], mixture.variables[0])
        self.assertEqual(ngram.num_counted, 300)
        self.assertLess(learned['loss'], plain['loss'])
        for variable, value in zip(mixture.variables, before, strict=True):
            self.assertAllEqual(variable, value)

    def test_a_short_text_is_counted_to_its_end(self):
        network = tfcharrnn.CharRNN(VOCAB, embedding_dim=3, rnn_units=4)
        ngram = tfcharrnn.NGram(text(50_000), VOCAB, 3)
        inner = tfcharrnn.Mixture([network, ngram])
        mixture = tfcharrnn.Mixture([inner, network])
        Adaptation(mixture, streams()).read(segments(new_text()))
        self.assertEqual(ngram.num_counted, 50_000 + len(new_text()) - 1)

    def test_a_mixture_of_one_learns_as_its_member(self):
        members = [make_model(), make_model()]
        results = [
            Adaptation(model, streams(), rate=RATE).read(segments(new_text()))
            for model in (members[0], tfcharrnn.Mixture(members[1:]))
        ]
        self.assertAllClose(*results, 1e-5)

    @parameterized.parameters(
        ({'rate': -1.0}, '`rate` is -1'), ({'pull': 2.0}, '`pull` is 2')
    )
    def test_numbers_out_of_range_are_refused(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            Adaptation(make_model(), streams(), **options)


if __name__ == '__main__':
    tf.test.main()
