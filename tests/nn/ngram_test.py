import collections

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn

VOCAB = 5


def make_text(length=400, seed=0):
    """A text in which some characters follow others more often."""
    draw = np.random.default_rng(seed)
    ids = [0]
    for _ in range(length - 1):
        step = draw.choice([1, 2, draw.integers(VOCAB)], p=[0.6, 0.2, 0.2])
        ids.append((ids[-1] + step) % VOCAB)
    return np.array(ids)


def kneser_ney(text, order, context):
    """The probabilities [V] after a context, written as in the paper."""
    text = tuple(text)

    def grams(size):
        starts = range(len(text) - size + 1)
        return collections.Counter(text[i : i + size] for i in starts)

    def counts(size):
        if size == order:
            return grams(size)
        return collections.Counter(gram[1:] for gram in grams(size + 1))

    def probabilities(size, context):
        if size == 0:
            return np.full(VOCAB, 1.0 / VOCAB)
        shorter = probabilities(size - 1, context)
        context = context[len(context) - size + 1 :]
        counted = counts(size)
        followers = [counted[(*context, c)] for c in range(VOCAB)]
        if len(context) != size - 1 or not sum(followers):
            return shorter
        n = [sum(v == i for v in counted.values()) for i in range(5)]
        y = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.0
        d = [0.0, 0.5, 0.5, 0.5]
        if n[1] and n[2] and n[3]:
            d[1:] = (
                max(0.01, i - (i + 1) * y * n[i + 1] / n[i]) for i in (1, 2, 3)
            )
        lost = [min(d[min(v, 3)], v) for v in followers]
        kept = np.subtract(followers, lost)
        return (kept + sum(lost) * shorter) / sum(followers)

    return probabilities(order, tuple(context))


def predict(model, context):
    logits, _ = model(tf.constant([context]), model.initial_state(1))
    return np.exp(logits[0, -1].numpy())


class NGramTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(2, 3, 4, 6)
    def test_is_interpolated_modified_kneser_ney(self, order):
        text = make_text()
        model = tfcharrnn.NGram(text, VOCAB, order)
        draw = np.random.default_rng(1)
        for length in (1, 2, 3, 5, 8):
            context = draw.integers(VOCAB, size=length).tolist()
            expected = kneser_ney(text, order, context)
            self.assertAllClose(predict(model, context), expected, 1e-5)

    @parameterized.parameters(
        dict(text=make_text()),
        dict(text=np.zeros(10, int)),
        dict(text=np.arange(7) % VOCAB),
    )
    def test_probabilities_are_above_0_and_their_sum_is_1(self, text):
        model = tfcharrnn.NGram(text, VOCAB, order=6)
        ids = np.random.default_rng(2).integers(VOCAB, size=(3, 50))
        logits, _ = model(tf.constant(ids), model.initial_state(3))
        self.assertAllClose(tf.reduce_sum(tf.exp(logits), -1), np.ones([3, 50]))
        self.assertAllInRange(logits, -50.0, 0.0)

    def test_after_an_unseen_context_the_shorter_one_decides(self):
        text = np.arange(300) % (VOCAB - 1)  # The last character never occurs.
        model = tfcharrnn.NGram(text, VOCAB, order=5)
        unseen = predict(model, [0, VOCAB - 1, 2])
        self.assertAllClose(unseen, predict(model, [1, VOCAB - 1, 2]), 1e-6)
        self.assertAllClose(unseen, predict(model, [2]), 1e-6)

    def test_two_halves_and_single_steps_equal_the_whole(self):
        model = tfcharrnn.NGram(make_text(), VOCAB, order=4)
        ids = tf.constant([make_text(30, 3), make_text(30, 4)])
        whole, end = model(ids, model.initial_state(2))
        first, state = model(ids[:, :2], model.initial_state(2))
        second, state = model(ids[:, 2:], state)
        # Up to the last bit of the logarithms.
        self.assertAllClose(tf.concat([first, second], axis=1), whole, 1e-6)
        self.assertAllEqual(state, end)
        state = model.initial_state(2)
        for i in range(30):
            logits, state = model.step(ids[:, i], state)
            self.assertAllClose(logits, whole[:, i], 1e-6)

    def test_the_longer_the_context_the_better_on_a_text_that_has_it(self):
        # Each character follows from the two before it.
        text = [0, 1]
        for _ in range(600):
            text.append((text[-1] + text[-2] + 1) % VOCAB)
        ids = np.array(text)
        losses = []
        for order in (2, 3):
            model = tfcharrnn.NGram(ids[:500], VOCAB, order)
            logits, _ = model(
                tf.constant([ids[500:-1]]), model.initial_state(1)
            )
            losses.append(
                tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(
                        ids[501:], logits[0]
                    )
                )
            )
        self.assertGreater(losses[0], 1.0)
        self.assertLess(losses[1], 0.1)

    @parameterized.parameters(
        dict(text=[0, 1], order=3, message='has 2 characters, too few'),
        dict(text=[0, 1], order=1, message='`order` is 1'),
    )
    def test_what_cannot_be_counted_is_refused(self, text, order, message):
        with self.assertRaisesRegex(ValueError, message):
            tfcharrnn.NGram(np.array(text), VOCAB, order)


if __name__ == '__main__':
    tf.test.main()
