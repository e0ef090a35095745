import os
import pathlib
import tempfile
import zlib

import running_commands
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import generate, train
from tfcharrnn.training import packaged


class PackagedTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(running_commands.in_folder(folder))
        tf.get_logger().setLevel('ERROR')

    def test_is_a_model_of_less_than_a_megabyte_in_a_wheel(self):
        folder = pathlib.Path(packaged.located('demo'))
        compressed = (
            zlib.compress(path.read_bytes(), 6) for path in folder.iterdir()
        )
        self.assertLess(sum(map(len, compressed)), 1_000_000)
        self.assertTrue((folder / 'run.flags').is_file())

    def test_writes_before_anything_is_trained(self):
        status, out, err = running_commands.run(
            generate,
            '--model_dir=demo',
            '--prompt=ROMEO:',
            '--length=200',
            '--temperature=0.5',
            '--seed=1',
            '--precision=float32',
        )
        self.assertEqual((status, err), (0, ''))
        self.assertLen(out, len('ROMEO:') + 200 + 1)
        words = out.lower().split()
        self.assertGreater(sum(map(words.count, ('the', 'and', 'to'))), 3)
        self.assertEqual(os.listdir(), [])

    def test_it_knows_the_language_of_the_plays(self):
        generator = tfcharrnn.Generator.from_checkpoint('demo')
        verse = 'To be, or not to be: that is the question:\n'
        scores = generator.score(verse), generator.score(verse[::-1])
        self.assertGreater(scores[0].mean(), scores[1].mean() + 1.0)

    def test_a_folder_of_that_name_wins(self):
        self.assertTrue(os.path.isabs(packaged.located('demo')))
        os.mkdir('demo')
        self.assertEqual(packaged.located('demo'), 'demo')
        with self.assertRaisesRegex(FileNotFoundError, "'demo' holds no train"):
            tfcharrnn.load_model('demo')

    @parameterized.parameters('./demo', 'runs/demo', 'Demo')
    def test_another_path_is_a_path(self, path):
        self.assertEqual(packaged.located(path), path)

    def test_training_in_that_name_makes_a_folder_here(self):
        pathlib.Path(running_commands.CORPUS).write_text(
            running_commands.make_text()
        )
        status, _, err = running_commands.run(
            train,
            f'--corpus={running_commands.CORPUS}',
            '--model_dir=demo',
            *running_commands.TEN,
        )
        self.assertEqual((status, err), (0, ''))
        model, _ = tfcharrnn.load_model('demo')
        self.assertEqual(model.config['rnn_units'], 4)

    def test_a_run_may_begin_with_it(self):
        corpus = tfcharrnn.Corpus.from_text(running_commands.make_text())
        there, _ = tfcharrnn.load_model('demo')
        config = {**there.config, 'vocab_size': len(corpus.vocabulary)}
        told = tfcharrnn.init_from(
            'demo', tfcharrnn.CharRNN(**config), corpus.vocabulary
        )
        self.assertEqual(told.num_new, 0)


if __name__ == '__main__':
    tf.test.main()
