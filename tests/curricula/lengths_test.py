import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import curricula
from tfcharrnn.training.trainer import Trainer


class GrowingLengthTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(9, 14, 31)
    def test_the_state_is_that_of_a_text_read_without_a_change(self, steps):
        text = toys.text(150)
        trained = Trainer(toys.FrequencyModel(), tf.keras.optimizers.Adam(0.0))
        curricula.train(
            trained,
            curricula.growing_length(text, 4, [3, 5, 2], boundaries=[4, 11]),
            steps,
        )
        # Row 0 is 38 characters long, and begins anew where they are over.
        num_read = 0
        for length in ([3] * 4 + [5] * 7 + [2] * 20)[:steps]:
            num_read = length + (num_read if num_read < 38 else 0)
        counts = np.bincount(text[:num_read], minlength=toys.VOCAB)
        self.assertAllEqual(trained.state_arrays()[0][0], counts)

    @parameterized.parameters(
        '25@1000,50',
        'width:25@1000,50',
        'length:25,50',
        'length:25@1000,50@500,100',
        'length:0@1000,50',
        'length:25@many,50',
        'length:2.5@10,50',
        'length:',
    )
    def test_what_cannot_be_parsed_says_what_was_expected(self, text):
        with self.assertRaisesRegex(ValueError, 'length:25@1000,50@3000,100'):
            curricula.parse(text)

    def test_a_single_length_is_no_growth_but_a_curriculum(self):
        self.assertEqual(curricula.parse('length:25'), ([25], []))


if __name__ == '__main__':
    tf.test.main()
