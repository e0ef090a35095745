import pathlib
import tempfile

import tensorflow as tf
from absl.testing import parameterized
from running_commands import in_folder, make_text

import tfcharrnn
from tfcharrnn import fields


class MeasureTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path('play.txt').write_text(make_text())

    def save(self, corpus):
        """Saves a model of a corpus, without the settings of a run."""
        rnn = tfcharrnn.CharRNN(len(corpus.vocabulary), 2, 4)
        trainer = tfcharrnn.Trainer(rnn, tf.keras.optimizers.SGD())
        tfcharrnn.Checkpointer('bard', trainer, corpus.vocabulary).save()
        return rnn

    def test_a_model_of_lines_is_measured_on_lines(self):
        corpus = tfcharrnn.Corpus.load_lines('play.txt', (1.0, 0.0, 0.0))
        rnn = self.save(corpus)
        metrics = tfcharrnn.measure('bard', corpus='play.txt')
        lines = tfcharrnn.data.lines(
            corpus.lines('train'), corpus.vocabulary, 64, shuffle=False
        )
        expected = tfcharrnn.Evaluator(rnn).evaluate(lines)
        self.assertEqual(metrics['num_chars'], expected['num_chars'])
        self.assertAlmostEqual(metrics['loss'], expected['loss'], places=5)
        self.assertNotIn('window_loss', metrics)

    @parameterized.parameters(
        ({'split': 'all'}, "`split` is 'all', but must be one of train"),
        ({'split': 'train', 'corpus': 'play.txt'}, 'not both'),
        ({'encoding': 'utf-8'}, 'give its `corpus`'),
        ({'batch_size': 0}, '`batch_size` is 0, but must be a whole number'),
    )
    def test_says_the_same_as_the_command(self, arguments, message):
        with self.assertRaisesRegex(fields.SettingError, message):
            tfcharrnn.measure('bard', **arguments)


if __name__ == '__main__':
    tf.test.main()
