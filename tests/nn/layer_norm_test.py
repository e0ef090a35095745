import tensorflow as tf

from tfcharrnn.nn.layer_norm import LayerNorm


class LayerNormTest(tf.test.TestCase):
    def test_equals_keras(self):
        norm = LayerNorm(16)
        norm.scale.assign(tf.random.normal([16]))
        norm.shift.assign(tf.random.normal([16]))
        x = tf.random.normal([16, 3, 2])
        layer = tf.keras.layers.LayerNormalization(epsilon=1e-5)
        layer.build([None, None, 16])
        layer.set_weights([norm.scale, norm.shift])
        expected = tf.transpose(layer(tf.transpose(x)))
        self.assertAllClose(norm(x), expected, rtol=1e-5, atol=1e-5)


if __name__ == '__main__':
    tf.test.main()
