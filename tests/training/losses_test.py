import math

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.training import losses

BATCH, TIME, VOCAB = 3, 4, 7


def random_batch():
    logits = tf.random.normal([BATCH, TIME, VOCAB], stddev=3.0)
    targets = tf.random.uniform([BATCH, TIME], maxval=VOCAB, dtype=tf.int32)
    mask = tf.random.uniform([BATCH, TIME]) < 0.5
    return logits, targets, mask


def loss_and_gradient(logits, targets, mask):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total, _ = losses.cross_entropy(logits, targets, mask)
    return total, tape.gradient(total, logits)


class LossesTest(tf.test.TestCase, parameterized.TestCase):
    def test_cross_entropy_equals_numpy(self):
        logits, targets, mask = random_batch()
        exp = np.exp(logits.numpy().astype(np.float64))
        probabilities = exp / exp.sum(axis=-1, keepdims=True)
        chosen = np.take_along_axis(
            probabilities, targets.numpy()[..., None], axis=-1
        )[..., 0]
        total, count = losses.cross_entropy(logits, targets, mask)
        self.assertAllClose(total, -np.log(chosen)[mask.numpy()].sum())
        self.assertEqual(count, mask.numpy().sum())

    @parameterized.parameters(2, 65, 1000)
    def test_zero_logits_give_ln_v(self, vocab_size):
        total, count = losses.cross_entropy(
            tf.zeros([BATCH, TIME, vocab_size]),
            tf.zeros([BATCH, TIME], tf.int32),
            tf.ones([BATCH, TIME], tf.bool),
        )
        self.assertAllClose(total / count, math.log(vocab_size))

    def test_gradient_is_the_probabilities_less_the_target(self):
        logits, targets, mask = random_batch()
        _, gradient = loss_and_gradient(logits, targets, mask)
        error = tf.nn.softmax(logits) - tf.one_hot(targets, VOCAB)
        self.assertAllClose(gradient, tf.where(mask[..., None], error, 0.0))

    def test_masked_positions_change_neither_loss_nor_gradient(self):
        logits, targets, mask = random_batch()
        keep = mask[..., None]
        changed = (
            tf.where(keep, logits, 100.0 * logits + 1.0),
            tf.where(mask, targets, (targets + 1) % VOCAB),
            mask,
        )
        total, gradient = loss_and_gradient(*changed)
        expected_total, expected_gradient = loss_and_gradient(
            logits, targets, mask
        )
        self.assertEqual(total, expected_total)
        self.assertAllEqual(gradient, expected_gradient)
        self.assertAllEqual(
            tf.where(keep, 0.0, gradient), tf.zeros_like(gradient)
        )
        self.assertEqual(
            losses.accuracy(*changed), losses.accuracy(logits, targets, mask)
        )

    @parameterized.parameters(math.inf, -math.inf, math.nan)
    def test_masked_logits_need_not_be_finite(self, number):
        logits, targets, mask = random_batch()
        changed = tf.where(mask[..., None], logits, number)
        for loss in (losses.cross_entropy, losses.accuracy):
            self.assertAllEqual(
                loss(changed, targets, mask), loss(logits, targets, mask)
            )

    @parameterized.parameters(losses.cross_entropy, losses.accuracy)
    def test_nothing_counts_when_all_is_masked(self, loss):
        logits, targets, mask = random_batch()
        self.assertAllEqual(loss(logits, targets, mask & False), [0.0, 0.0])

    @parameterized.parameters(losses.cross_entropy, losses.accuracy)
    def test_sums_of_parts_add_up_to_the_whole(self, loss):
        batch = random_batch()
        parts = [loss(*(x[b : b + 1] for x in batch)) for b in range(BATCH)]
        self.assertAllClose(
            tf.add_n([tf.stack(p) for p in parts]), loss(*batch)
        )

    @parameterized.parameters(losses.cross_entropy, losses.accuracy)
    def test_sum_and_count_are_float32_scalars(self, loss):
        for tensor in loss(*random_batch()):
            self.assertEqual(tensor.dtype, tf.float32)
            self.assertEqual(tensor.shape, [])

    @parameterized.parameters(tf.int32, tf.int64)
    def test_accuracy_counts_the_most_probable(self, dtype):
        targets = tf.constant([[0, 1, 2, 1]], dtype)
        predictions = tf.constant([[0, 1, 1, 2]])
        mask = tf.constant([[True, True, True, False]])
        correct, count = losses.accuracy(
            tf.one_hot(predictions, 3), targets, mask
        )
        self.assertEqual((correct, count), (2.0, 3.0))


if __name__ == '__main__':
    tf.test.main()
