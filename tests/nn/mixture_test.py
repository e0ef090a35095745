import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from small_models import build, random_ids

import tfcharrnn
from tfcharrnn import data

CHARS = '\n abcdefghi'


def make_members():
    tf.keras.utils.set_random_seed(1)
    ids = random_ids(1, 200)[0].numpy()
    return [
        build(),
        build(cell='lstm', num_layers=2),
        tfcharrnn.NGram(ids, len(CHARS), 3),
    ]


def run(model, ids):
    return model(ids, model.initial_state(len(ids)))


class MixtureTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.members = make_members()
        cls.mixture = tfcharrnn.Mixture(
            cls.members, [1, 2, 5], temperatures=[1.5, 1.5, 1.0]
        )

    def test_is_the_weighted_mean_of_the_probabilities(self):
        ids = random_ids(2)
        expected = 0.0
        for member, weight, temperature in zip(
            self.members, [1 / 8, 2 / 8, 5 / 8], [1.5, 1.5, 1.0], strict=True
        ):
            logits, _ = run(member, ids)
            expected += weight * tf.nn.softmax(logits / temperature)
        logits, _ = run(self.mixture, ids)
        self.assertAllClose(tf.exp(logits), expected, 1e-5)
        ones = tf.ones(ids.shape)
        self.assertAllClose(tf.reduce_sum(tf.exp(logits), -1), ones, 1e-5)

    def test_two_halves_and_single_steps_equal_the_whole(self):
        ids = random_ids(2)
        whole, end = run(self.mixture, ids)
        first, state = run(self.mixture, ids[:, :4])
        second, state = self.mixture(ids[:, 4:], state)
        self.assertAllClose(tf.concat([first, second], axis=1), whole, 1e-5)
        tf.nest.map_structure(
            lambda x, y: self.assertAllClose(x, y, 1e-5), state, end
        )
        for weights in ((), self.mixture.step_weights()):
            state = self.mixture.initial_state(2)
            for i in range(ids.shape[1]):
                logits, state = self.mixture.step(ids[:, i], state, weights)
                self.assertAllClose(logits, whole[:, i], 1e-4, 1e-4)

    def test_a_weight_of_0_leaves_a_member_out(self):
        ids = random_ids(2)
        mixture = tfcharrnn.Mixture(self.members, [0, 3, 0])
        logits, _ = run(mixture, ids)
        expected, _ = run(self.members[1], ids)
        self.assertAllClose(logits, tf.nn.log_softmax(expected), 1e-5)

    def test_a_mixture_may_be_a_member(self):
        ids = random_ids(2)
        inner = tfcharrnn.Mixture(self.members[:2])
        outer = tfcharrnn.Mixture([inner, self.members[2]], [2, 1])
        flat = tfcharrnn.Mixture(self.members)
        self.assertAllClose(run(outer, ids)[0], run(flat, ids)[0], 1e-5)

    def test_the_generator_writes_and_scores_with_it(self):
        vocabulary = tfcharrnn.Vocabulary(CHARS)
        generator = tfcharrnn.Generator(self.mixture, vocabulary)
        text = generator.generate('a ', 30, seed=1)
        self.assertLen(text, 32)
        self.assertEqual(''.join(generator.stream('a ', 30, seed=1)), text)
        both = generator.generate('a ', 30, num_samples=2, seed=1)
        self.assertEqual(both[0], text)
        ids = vocabulary.encode(text)
        logits, _ = run(self.mixture, tf.constant([ids[:-1]], tf.int32))
        expected = np.take_along_axis(logits[0].numpy(), ids[1:, None], 1)
        self.assertAllClose(generator.score(text)[1:], expected[:, 0], 1e-4)

    def test_the_evaluator_measures_it(self):
        ids = random_ids(1, 101)[0].numpy()
        dataset = data.sequences(ids, seq_length=20, batch_size=1)
        loss = tfcharrnn.Evaluator(self.mixture).evaluate(dataset)['loss']
        logits, _ = run(self.mixture, tf.constant([ids[:-1]]))
        expected = tf.nn.sparse_softmax_cross_entropy_with_logits(
            ids[1:], logits[0]
        )
        self.assertAllClose(loss, tf.reduce_mean(expected), 1e-5)

    def test_a_long_text_is_scored_in_strips_as_in_one_go(self):
        vocabulary = tfcharrnn.Vocabulary(CHARS)
        generator = tfcharrnn.Generator(self.members[2], vocabulary)
        ids = random_ids(1, 20_000)[0].numpy()
        logits, _ = run(self.members[2], tf.constant([ids[:-1]]))
        expected = np.take_along_axis(logits[0].numpy(), ids[1:, None], 1)
        scores = generator.score(vocabulary.decode(ids))
        self.assertAllClose(scores[1:], expected[:, 0], 1e-5)

    @parameterized.parameters(
        dict(members=0, message='at least one model'),
        dict(weights=[1, 2], message='`weights` has 2 numbers.* 3 models'),
        dict(weights=[1, 2, -1], message='`weights` is -1'),
        dict(weights=[0, 0, 0], message='all 0'),
        dict(temperatures=[1, 1, 0], message='`temperatures` is 0'),
        dict(temperatures=[1], message='`temperatures` has 1 numbers'),
    )
    def test_what_does_not_fit_is_one_sentence(
        self, message, members=3, **arguments
    ):
        with self.assertRaisesRegex(ValueError, message):
            tfcharrnn.Mixture(self.members[:members], **arguments)

    def test_other_vocabularies_are_refused(self):
        other = build(vocab_size=4)
        with self.assertRaisesRegex(ValueError, 'know 11, 4 characters'):
            tfcharrnn.Mixture([self.members[0], other])


if __name__ == '__main__':
    tf.test.main()
