import pathlib

import numpy as np
import tensorflow as tf
from running_commands import finished, in_folder

import tfcharrnn
from tfcharrnn.running import texts
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

    def test_another_text_in_the_place_of_the_run_s_is_told(self):
        model, vocabulary = tfcharrnn.load_model('bard')
        config = texts.settings('bard')
        text = pathlib.Path(config.corpus).read_text()
        self.addCleanup(pathlib.Path(config.corpus).write_text, text)
        pathlib.Path(config.corpus).write_text(text[::-1])
        with self.assertRaisesRegex(ValueError, "'bard' was trained on"):
            adapt(model, vocabulary, str(self.path), model_dir='bard')

    def test_lines_are_read_in_their_order(self):
        corpus = tfcharrnn.Corpus.from_lines(['ccc', 'a', 'bb'], (1, 0, 0))
        read = [
            corpus.vocabulary.decode(batch.targets[batch.mask])
            for batch in texts.segments(corpus, 'train', 64)
        ]
        self.assertEqual(read, ['ccc\n', 'a\n', 'bb\n'])


if __name__ == '__main__':
    tf.test.main()
