import os
import pathlib
import shutil
import tempfile

import running_commands
import tensorflow as tf
from absl.testing import parameterized
from running_commands import (
    CORPUS,
    QUICK,
    finished,
    in_folder,
    make_text,
    metrics,
    weights,
)

from tfcharrnn import RunConfig, train
from tfcharrnn.running.run import Run
from tfcharrnn.training import callbacks

SETTINGS = {
    'corpus': CORPUS,
    'model_dir': 'new',
    'batch_size': 4,
    'seq_length': 10,
    'rnn_units': 3,
    'embedding_dim': 2,
    'precision': 'float32',
    'eval_every': 10,
    'save_every': 5,
    'sample_every': 0,
    'steps': 20,
    'distill_from': 'bard',
}


def make(**settings):
    config = RunConfig(**{**SETTINGS, **settings})
    tf.random.set_seed(config.seed)
    return Run(config)


class DistillingTest(parameterized.TestCase):
    """In a folder with a run of the command, and its text."""

    def setUp(self):
        super().setUp()
        tf.get_logger().setLevel('ERROR')
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path(CORPUS).write_text(make_text())
        shutil.copytree(pathlib.Path(finished()[0], 'bard'), 'bard')

    def test_the_first_weights_are_those_of_a_run_without(self):
        make(steps=1, learning_rate=0.0).train()
        make(
            steps=1, learning_rate=0.0, distill_from=None, model_dir='plain'
        ).train()
        self.assertEqual(weights('new'), weights('plain'))

    @parameterized.parameters(7, 17)
    def test_a_restart_goes_on_bit_for_bit(self, step):
        make(model_dir='whole').train()

        def break_off(trainer, _):
            if trainer.step >= step:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            make().train([callbacks.every(1, break_off)])
        Run.resume('new').train()
        self.assertEqual(weights('new'), weights('whole'))
        self.assertEqual(metrics('new'), metrics('whole'))
        self.assertIn('objective', metrics('new')[-1])

    def test_several_teach_as_their_mean(self):
        shutil.copytree('bard', 'same')
        one, two = make(model_dir='one'), make(distill_from='bard,same')
        for run in (one, two):
            run.train()
        last = [metrics(name)[-1]['objective'] for name in ('one', 'new')]
        self.assertAlmostEqual(*last, places=4)

    def test_best_and_checkpoints_have_names(self):
        for name in ('bard/best', 'bard/ckpt-20'):
            make(distill_from=name, model_dir='run').train()
            shutil.rmtree('run')

    def test_a_teacher_that_has_changed_is_refused(self):
        make(steps=5).train()
        run = make(steps=6)
        for variable in run.teacher.trainable_variables:
            variable.assign_add(tf.ones_like(variable))
        with self.assertRaisesRegex(
            ValueError, "^'bard', named by `distill_from`, has changed"
        ):
            run.train()

    def test_a_run_that_goes_on_needs_its_teacher(self):
        make(steps=5).train()
        shutil.rmtree('bard')
        with self.assertRaisesRegex(FileNotFoundError, "'bard' holds no"):
            Run.resume('new', {'steps': 6})

    def test_another_text_is_refused(self):
        pathlib.Path('other.txt').write_text('é' * 99 + make_text())
        with self.assertRaisesRegex(ValueError, "in 'bard', named by .*knows"):
            make(corpus='other.txt')

    @parameterized.parameters('bard', 'bard/best')
    def test_its_own_folder_is_refused(self, source):
        with self.assertRaisesRegex(ValueError, '^`distill_from` is .*in the'):
            make(model_dir='bard', distill_from=source, overwrite=True)
        self.assertTrue(os.path.exists('bard/checkpoint'))

    def test_the_command_says_in_one_sentence_what_is_missing(self):
        status, out, err = running_commands.run(
            train, *QUICK, f'--corpus={CORPUS}', '--distill_from=nowhere'
        )
        self.assertEqual((status, out), (1, ''))
        self.assertTrue(running_commands.is_sentence(err), err)
        status, out, err = running_commands.run(train, '--distill_weight=0.3')
        self.assertEqual((status, out), (2, ''))
        self.assertIn('there is no `distill_from`', err)


if __name__ == '__main__':
    tf.test.main()
