import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation.rereading import Rereading

CHARS = '\n abcd'


class Stateless:
    """Predicts from the whole row at once, and has neither state nor step."""

    vocab_size = len(CHARS)

    def initial_state(self, batch_size):
        return ()

    def __call__(self, inputs, state):
        counts = tf.cumsum(tf.one_hot(inputs, self.vocab_size), axis=1)
        return 3.0 * tf.sin(counts * tf.range(1.0, self.vocab_size + 1)), state


def make_rnn():
    tf.keras.utils.set_random_seed(1)
    return tfcharrnn.CharRNN(len(CHARS), embedding_dim=4, rnn_units=8)


class RereadingTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(make_rnn, Stateless)
    def test_each_prediction_is_that_of_the_last_characters(self, make):
        model, maxlen = make(), 5
        reader = Rereading(model, maxlen)
        ids = tf.random.stateless_uniform(
            [2, 3 * maxlen], [0, 0], maxval=len(CHARS), dtype=tf.int32
        )
        logits, state = reader(ids, reader.initial_state(2))
        for end in range(maxlen, 3 * maxlen + 1):
            window = ids[:, end - maxlen : end]
            expected, _ = model(window, model.initial_state(2))
            self.assertAllClose(logits[:, end - 1], expected[:, -1], 1e-5)
        self.assertAllEqual(state, ids[:, -maxlen:])
        following, _ = reader.step(ids[:, 0], state)
        window = tf.concat([state[:, 1:], ids[:, :1]], axis=1)
        expected, _ = model(window, model.initial_state(2))
        self.assertAllClose(following, expected[:, -1], 1e-5)

    def test_a_model_without_a_state_writes(self):
        model, vocabulary = Stateless(), tfcharrnn.Vocabulary(CHARS)
        generator = tfcharrnn.Generator(Rereading(model, 4), vocabulary)
        text = 'bad '
        for _ in range(20):
            window = vocabulary.encode(text)[None, -4:]
            logits, _ = model(window, ())
            text += CHARS[int(tf.argmax(logits[0, -1]))]
        self.assertEqual(generator.generate('bad ', 20, temperature=0.0), text)


if __name__ == '__main__':
    tf.test.main()
