"""Runs of earlier versions: they evaluate, generate and go on as they did.

A folder of `golden/` holds runs that one version made, each killed after the
save of step 30, and beside them what the undisturbed runs measured and the
text that the command wrote. `make_golden.py` makes those of this version.
"""

import json
import os
import pathlib
import shutil
import tempfile

import running_commands
import tensorflow as tf
from absl.testing import parameterized
from make_golden import GOLDEN, TEXT, WRITE
from running_commands import in_folder, run

from tfcharrnn import evaluate, generate, train
from tfcharrnn.training import model_dir

RUNS = sorted(
    str(path.relative_to(GOLDEN).with_suffix(''))
    for path in GOLDEN.glob('*/*.jsonl')
)
BEST = 20
CLOSE = 1e-5


def differences(ours, theirs):
    """Returns the difference of each number of two lines of metrics."""
    # Later versions may measure more. Numbers above 1 are compared as shares:
    # a perplexity is e to the loss, and so is what becomes of its rounding.
    return {
        name: abs(ours[name] - other) / max(1.0, abs(other))
        for name, other in theirs.items()
    }


class GoldenTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tf.get_logger().setLevel('ERROR')

    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))

    def copy(self, name):
        """Copies a run to the folder 'run'; returns what it measured."""
        shutil.copytree(GOLDEN / name, 'run')
        return running_commands.metrics(GOLDEN / f'{name}.jsonl')

    def assert_close(self, ours, theirs):
        """Compares lists of metrics, number by number."""
        self.assertEqual(len(ours), len(theirs))
        found = [
            (difference, name, line['step'])
            for line, other in zip(ours, theirs, strict=True)
            for name, difference in differences(line, other).items()
        ]
        largest, name, step = max(found)
        self.assertLessEqual(
            largest,
            CLOSE,
            f'The largest difference is {largest:g}, of {name} at step {step}.',
        )

    def test_there_are_runs_of_each_version(self):
        versions = {pathlib.PurePath(name).parts[0] for name in RUNS}
        self.assertContainsSubset({'0.1', '0.2'}, versions)
        self.assertLen(RUNS, 4)

    @parameterized.parameters(*RUNS)
    def test_the_best_measures_what_it_measured(self, name):
        lines = self.copy(name)
        # The path in `run.flags` is that of the machine that made it.
        shutil.copy(TEXT, 'text.txt')
        status, out, err = run(evaluate, '--model_dir=run', '--checkpoint=best')
        self.assertEqual(status, 0, err)
        measured = {f'valid_{k}': v for k, v in json.loads(out).items()}
        measured.pop('valid_window_loss', None)
        best = lines[0]
        self.assertEqual(best['step'], BEST)
        told = {k: v for k, v in best.items() if k.startswith('valid_')}
        step = {'step': BEST}
        self.assert_close([measured | step], [told | step])

    @parameterized.parameters(*RUNS)
    def test_writes_what_it_wrote(self, name):
        self.copy(name)
        status, out, err = run(generate, '--model_dir=run', *WRITE)
        self.assertEqual(status, 0, err)
        self.assertEqual(out, (GOLDEN / f'{name}.txt').read_text('utf-8'))

    @parameterized.parameters(*RUNS)
    def test_goes_on_as_if_it_had_not_been_killed(self, name):
        lines = self.copy(name)
        before = model_dir.load_record('run')
        # Of the text, and of the settings, the digests are in a checkpoint.
        self.assertIsNotNone(before.text)
        self.assertIsNotNone(before.settings)
        status, out, err = run(train, '--model_dir=run', f'--corpus={TEXT}')
        self.assertEqual(status, 0, err)
        checkpoint = os.path.join('run', 'ckpt-30')
        self.assertIn(f'Going on at step 30, from {checkpoint}\n', out)
        self.assert_close(running_commands.metrics('run'), lines)
        after = model_dir.load_record('run')
        self.assertEqual(
            (after.text, after.settings), (before.text, before.settings)
        )


if __name__ == '__main__':
    tf.test.main()
