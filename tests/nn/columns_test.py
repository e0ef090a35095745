from unittest import mock

import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.nn import columns, gates


class ProductTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(1000, 3001)
    def test_bfloat16_product_accumulates_in_more(self, length):
        # In bfloat16, 256 + 1 is 256.
        ones = tf.ones([length, 1])
        product = columns.product(ones, ones[..., None], tf.bfloat16)
        self.assertAllClose(product, [[[length]]], rtol=2**-8)


class EmbedColumnsTest(tf.test.TestCase, parameterized.TestCase):
    """Many more ids than sizes of the embedding: words, for example."""

    @parameterized.parameters(gates.GRU, gates.LSTM, gates.MinGRU)
    def test_equals_the_table(self, cell):
        tf.keras.utils.set_random_seed(0)
        self.enter_context(mock.patch.object(columns, 'MAX_TABLE', 19))
        layer = cell(3, 4)
        ids = tf.random.uniform([2, 6], maxval=20, dtype=tf.int32)
        state = layer.initial_state(2)
        results = []
        for pad in (False, True):
            embedding = tf.Variable(tf.reshape(tf.range(60.0) / 60, [20, 3]))
            with tf.GradientTape() as tape:
                if pad:  # The same with one-hot inputs.
                    one_hot = tf.one_hot(ids, 20)
                    inputs = one_hot @ embedding
                    outputs, _ = layer.unroll(inputs, state)
                    outputs = tf.transpose(outputs, [2, 1, 0])
                else:
                    outputs, _ = layer.unroll_ids(ids, embedding, state)
                loss = tf.reduce_sum(tf.square(outputs))
            sources = [embedding, *layer.trainable_variables]
            gradients = tape.gradient(loss, sources)
            self.assertIsInstance(gradients[0], tf.Tensor)
            results.append((outputs, gradients))
        self.assertAllClose(*results)


if __name__ == '__main__':
    tf.test.main()
