import contextlib
import itertools
import pathlib
import tempfile
from unittest import mock

import tensorflow as tf
from absl.testing import absltest
from running_commands import CORPUS, in_folder, make_text, metrics, steps

from tfcharrnn import RunConfig, Trainer
from tfcharrnn.config import MAX_ROLLBACKS
from tfcharrnn.running.run import Run


def make(**settings):
    """Makes a run that goes back where a loss is not finite."""
    defaults = {
        'corpus': CORPUS,
        'model_dir': 'bard',
        'batch_size': 4,
        'seq_length': 10,
        'rnn_units': 4,
        'embedding_dim': 2,
        'precision': 'float32',
        'eval_every': 10,
        'save_every': 10,
        'sample_every': 0,
        'optimizer': 'sgd',
        'steps': 30,
        'on_nonfinite': 'rollback',
    }
    return Run(RunConfig(**{**defaults, **settings}))


class Poison:
    """Makes a weight NaN after a step; at each number once: a callback."""

    call_every = 1

    def __init__(self, *numbers):
        self.left, self.poisoned = list(numbers), []

    def __call__(self, trainer, metrics):
        if self.left and trainer.step >= self.left[0]:
            self.poisoned.append(self.left.pop(0))
            trainer.model.bias.assign(trainer.model.bias * float('nan'))


@contextlib.contextmanager
def losses(*values):
    """Pretends to measure these, and worse ones after them."""
    each = itertools.chain(values, itertools.repeat(9.0))
    evaluate = Trainer.evaluate

    def pretend(self, dataset):
        return evaluate(self, dataset) | {'loss': next(each)}

    with mock.patch.object(Trainer, 'evaluate', pretend):
        yield


class RollbackTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tf.get_logger().setLevel('ERROR')

    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path(CORPUS).write_text(make_text())

    def test_goes_on_at_half_of_the_learning_rate(self):
        poison = Poison(15)
        with self.assertLogs('absl') as logs:
            make().train([poison])
        self.assertEqual(poison.poisoned, [15])
        [warning] = [x for x in logs.output if x.startswith('WARNING')]
        self.assertRegex(warning, 'from step 10 at 0.5 of the learning rate')
        self.assertEqual(steps('bard'), [10, 20, 30])
        rates = [line['learning_rate'] for line in metrics('bard')]
        self.assertEqual(rates[1:], [rates[0] / 2] * 2)
        make(steps=40).train()  # A restart remembers.
        self.assertEqual(metrics('bard')[-1]['learning_rate'], rates[0] / 2)

    def test_the_best_stays_the_best(self):
        # It gets better at steps 5 and 10, then worse; only 0 is saved.
        poison = Poison(15)
        with losses(3.0, 2.0):
            make(steps=20, save_every=100, eval_every=5).train([poison])
        self.assertEqual(poison.poisoned, [15])
        best = pathlib.Path('bard/best').glob('*.index')
        self.assertEqual([path.name for path in best], ['ckpt-10.index'])

    def test_often_enough_it_stops(self):
        poison = Poison(*range(15, 100))
        with self.assertRaisesRegex(
            FloatingPointError, 'went back 5 times.*`learning_rate`'
        ):
            make().train([poison])
        self.assertLen(poison.poisoned, MAX_ROLLBACKS + 1)
        # Nothing that is not finite was saved.
        self.assertIsNotNone(make().train().checkpoint)

    def test_without_it_the_error_tells_of_it(self):
        with self.assertRaisesRegex(
            FloatingPointError,
            r'at step 16\. Start it again with `on_nonfinite=rollback`',
        ):
            make(on_nonfinite='stop').train([Poison(15)])
        run = make(on_nonfinite='stop')
        run.train()
        self.assertEndsWith(run.restored, 'ckpt-10')


if __name__ == '__main__':
    absltest.main()
