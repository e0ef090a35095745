import pathlib

import numpy as np
import tensorflow as tf
from running_commands import finished, in_folder

import tfcharrnn
from tfcharrnn.running.adapting import adapt


class AdaptTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        folder, _ = finished()
        self.enter_context(in_folder(folder))
        self.path = pathlib.Path(self.get_temp_dir(), 'new.txt')
        self.path.write_text('the dog is quick or brown\n' * 200)

    def test_the_text_is_more_probable_afterwards(self):
        model, vocabulary = tfcharrnn.load_model('bard')
        text = self.path.read_text()
        generator = tfcharrnn.Generator(model, vocabulary)
        before = -generator.score(text).mean()
        loss = adapt(model, vocabulary, str(self.path), model_dir='bard')
        after = -generator.score(text).mean()
        self.assertLess(after, loss)
        self.assertLess(loss, before)

    def test_the_checkpoint_is_as_it_was(self):
        model, vocabulary = tfcharrnn.load_model('bard')
        before = model.kernel.numpy()
        adapt(model, vocabulary, str(self.path), model_dir='bard')
        self.assertGreater(np.abs(before - model.kernel.numpy()).max(), 0)
        again, _ = tfcharrnn.load_model('bard')
        self.assertAllEqual(before, again.kernel)

    def test_too_short_a_text_is_one_sentence(self):
        model, vocabulary = tfcharrnn.load_model('bard')
        self.path.write_text('a')
        with self.assertRaisesRegex(ValueError, 'There are 1 characters'):
            adapt(model, vocabulary, str(self.path), model_dir='bard')


if __name__ == '__main__':
    tf.test.main()
