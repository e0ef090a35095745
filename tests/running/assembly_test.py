import pathlib
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from running_commands import CORPUS, in_folder, make_text, weights

import tfcharrnn
from tfcharrnn import RunConfig
from tfcharrnn.running.run import Run
from tfcharrnn.training import callbacks

QUICK = {
    'corpus': CORPUS,
    'model_dir': 'bard',
    'batch_size': 4,
    'seq_length': 10,
    'rnn_units': 4,
    'embedding_dim': 2,
    'precision': 'float32',
    'eval_every': 0,
    'save_every': 5,
    'sample_every': 0,
    'steps': 20,
}


def make(**settings):
    config = RunConfig(**{**QUICK, **settings})
    tf.random.set_seed(config.seed)
    return Run(config)


class AssemblyTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path(CORPUS).write_text(make_text())

    @parameterized.parameters((0.25, 5), (0.01, 1), (1.0, 20))
    def test_a_tail_is_the_mean_over_its_share_of_the_steps(self, share, count):
        since = []

        def note(trainer, _):
            since.append([v.numpy() for v in trainer.model.trainable_variables])

        make(average=f'tail:{share}').train([callbacks.every(1, note)])
        model, _ = tfcharrnn.load_model('bard')
        for i, variable in enumerate(model.trainable_variables):
            expected = np.mean([each[i] for each in since[-count:]], axis=0)
            self.assertAllClose(variable, expected, 1e-6, 1e-6)

    @parameterized.parameters(12, 17)
    def test_a_tail_goes_on_after_a_restart_bit_for_bit(self, step):
        def break_off(trainer, _):
            if trainer.step >= step:
                raise KeyboardInterrupt

        make(average='tail:0.5', model_dir='whole').train()
        with self.assertRaises(KeyboardInterrupt):
            make(average='tail:0.5').train([callbacks.every(1, break_off)])
        Run.resume('bard').train()
        self.assertEqual(weights('bard'), weights('whole'))

    @parameterized.parameters((4, 0, [5, 10, 15, 20]), (3, 0, [7, 14, 20]))
    def test_the_weights_at_the_end_of_each_cycle_are_kept(
        self, count, keep_every, expected
    ):
        make(lr_schedule=f'cycles:{count}', keep_every=keep_every).train()
        self.assertEqual(kept(), expected)

    def test_other_steps_may_be_kept_instead(self):
        make(lr_schedule='cycles:2', keep_every=8).train()
        self.assertEqual(kept(), [8, 16, 20])

    def test_without_cycles_nothing_is_kept(self):
        make(lr_schedule='cosine').train()
        self.assertEqual(kept(), [])

    def test_cycles_go_on_after_a_restart_bit_for_bit(self):
        def break_off(trainer, _):
            if trainer.step >= 12:
                raise KeyboardInterrupt

        make(lr_schedule='cycles:2', model_dir='whole').train()
        with self.assertRaises(KeyboardInterrupt):
            make(lr_schedule='cycles:2').train([callbacks.every(1, break_off)])
        Run.resume('bard').train()
        self.assertEqual(weights('bard'), weights('whole'))
        self.assertEqual(kept(), [10, 20])


def kept():
    names = pathlib.Path('bard/history').glob('ckpt-*.index')
    return sorted(int(name.stem.removeprefix('ckpt-')) for name in names)


if __name__ == '__main__':
    tf.test.main()
