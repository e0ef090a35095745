import functools
import importlib.util
import json
import os
import pathlib
import signal
import statistics
import tempfile
from unittest import mock

import running_commands
from absl.testing import absltest, parameterized

from tfcharrnn import experiment, files
from tfcharrnn.comparing import jobs

SEEDS = '0', '1'
MATPLOTLIB = importlib.util.find_spec('matplotlib') is not None


run = functools.partial(running_commands.run, experiment)


def ended(status):
    """Returns a process that has ended."""
    return mock.Mock(poll=lambda: status, returncode=status)


class ExperimentTest(parameterized.TestCase):
    """In a folder of its own; runs are made by `make_run` where it is faked."""

    def setUp(self):
        super().setUp()
        before = os.getcwd()
        os.chdir(self.enter_context(tempfile.TemporaryDirectory()))
        self.addCleanup(os.chdir, before)
        self.trained = []

    def make_run(self, command, **_):
        """Writes what a run of three evaluations would have written."""
        self.trained.append(command[3:])
        flags = {
            name: value
            for name, _, value in (f[2:].partition('=') for f in command[3:])
        }
        seed, size = int(flags['seed']), int(flags.get('rnn_units', 4))
        lines = [
            {
                'step': 10 * step,
                'num_chars': 1000,
                'chars_per_second': 250.0,
                'valid_loss': 3.0 - step / size - seed / 10,
            }
            for step in (1, 2, 3)
        ]
        model_dir = pathlib.Path(flags['model_dir'])
        model_dir.mkdir(parents=True, exist_ok=True)
        text = ''.join(f'{json.dumps(line)}\n' for line in lines)
        files.write(model_dir / 'metrics.jsonl', text)
        return ended(0)

    def run_faked(self, *arguments, make_run=None):
        popen = jobs.subprocess, 'Popen', make_run or self.make_run
        with mock.patch.object(*popen):
            return run(*arguments)

    def test_each_variant_is_trained_with_each_seed_in_its_own_folder(self):
        status, _, err = self.run_faked(
            *('--corpus=a b.txt', '--lowercase', '--model_dir=runs/sizes'),
            *('--variant=plain:', '--variant=big: --rnn_units 8'),
            *('--seeds=3,5', '--temperatures=0.5,1'),
        )
        self.assertEqual(status, 0, err)
        common = {'--corpus=a b.txt', '--lowercase=True'}
        common.add('--temperatures=0.5,1.0')
        expected = [
            common | {f'--seed={seed}', f'--model_dir=runs/sizes/{name}/{seed}'}
            for seed in (3, 5)
            for name in ('plain', 'big')
        ]
        for flags in expected[1::2]:
            flags.add('--rnn_units=8')
        self.assertEqual([set(flags) for flags in self.trained], expected)

    def test_the_table_has_means_and_deviations(self):
        status, out, _ = self.run_faked(
            *('--variant=plain:', '--variant=big: --rnn_units=8'),
            *('--seeds=0,1,2', '--model_dir=runs'),
        )
        self.assertEqual(status, 0)
        table = pathlib.Path('runs/table.txt').read_text('utf-8')
        self.assertIn(table, out)
        deviation = statistics.stdev([0.0, 0.1, 0.2])
        self.assertRegex(table, r'variant +runs +valid_loss, last +best')
        for name, loss in (('plain', 3 - 3 / 4), ('big', 3 - 3 / 8)):
            cell = f'{loss - 0.1:.4f} ± {deviation:.4f}'
            self.assertRegex(
                table, rf'{name} +3 +{cell} +{cell} +3,000 +12\.0\n'
            )

    def test_the_figure_is_drawn_if_it_can_be(self):
        arguments = '--variant=plain:', '--seeds=0,1', '--model_dir=runs'
        if MATPLOTLIB:
            _, out, _ = self.run_faked(*arguments)
            self.assertIn('runs/figure.png', out)
            start = pathlib.Path('runs/figure.png').read_bytes()[:4]
            self.assertEqual(start, b'\x89PNG')
        with mock.patch.object(importlib.util, 'find_spec', lambda _: None):
            status, out, _ = self.run_faked(*arguments)
        self.assertEqual(status, 0)
        self.assertIn("pip install 'tfcharrnn[plots]'", out)

    def test_a_run_that_fails_leaves_the_others(self):
        def fail_one(command, **options):
            process = self.make_run(command, **options)
            if '--seed=1' in command and '--rnn_units=8' in command:
                options['stdout'].write(b'one\nError: The loss is nan.\n')
                process = ended(1)
            return process

        status, out, err = self.run_faked(
            *('--variant=plain:', '--variant=big: --rnn_units=8'),
            *('--seeds=0,1,2', '--model_dir=runs'),
            make_run=fail_one,
        )
        self.assertLen(self.trained, 6)
        self.assertEqual(status, 1)
        self.assertIn(
            "Error: Only 5 of 6 runs can be compared: see the table and 'runs",
            err,
        )
        self.assertIn('big, seed 1: failed: The loss is nan.', out)
        table = pathlib.Path('runs/table.txt').read_text('utf-8')
        self.assertRegex(table, r'\nbig +2 of 3 ')
        self.assertIn('Missing: big, seed 1: The loss is nan. (stat', table)
        self.assertIn('better in 0 of 2 seeds', table)

    @parameterized.parameters(((), ''), (('--overwrite',), ', but without'))
    def test_ctrl_c_is_passed_on_once_and_tells_how_to_go_on(
        self, arguments, advice
    ):
        started, told = [], []

        def start(*_, **__):
            process = mock.Mock(returncode=None)
            process.poll = lambda: process.returncode
            process.send_signal = lambda number: (
                told.append(number),
                setattr(process, 'returncode', 130),
            )
            started.append(process)
            if len(started) == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return process

        status, out, _ = self.run_faked(
            *('--variant=plain:', '--model_dir=runs', '--jobs=2'),
            *arguments,
            make_run=start,
        )
        self.assertEqual(status, 130)
        self.assertLen(started, 2)  # Of three: the last is not begun.
        self.assertEqual(told, [signal.SIGINT] * 2)
        self.assertIn(f'start the same command again{advice}', out)
        self.assertFalse(pathlib.Path('runs/table.txt').exists())

    @parameterized.parameters(
        ((), 'nothing to compare'),
        (('--variant=plain',), "a colon and flags.*'plain'"),
        (('--variant=../up:',), 'is a name'),
        (('--variant=a:', '--variant=a:'), "two variants 'a'"),
        (('--variant=a: --rnn_unit=8',), "'a': .*rnn_unit"),
        (('--variant=a: 8',), "'8' is not a flag"),
        (('--variant=a: --steps=8',), '--steps is the same for all'),
        (('--variant=a:', '--seeds=0,one'), "'one'.* whole number"),
        (('--variant=a:', '--seeds=0,0'), '`seeds` is 0,0'),
        (('--variant=a:', '--jobs=0'), '`jobs` is 0'),
        (('--variant=a:', '--target_loss=0'), '`target_loss` is 0'),
        (('--variant=a:', '--corpus=-'), 'reads the text anew'),
        (
            ('--variant=a:', '--variant=b: --rnn_units=0'),
            "'b': `rnn_units` is 0",
        ),
        (('--variant=a: --eval_every=0',), "'a', --eval_every is 0"),
        (
            ('--lines', '--variant=a:', '--variant=b: --shuffle'),
            "'b': `shuffle` and `shift` are",
        ),
        (('--variant=a:', '--seeds=0,-1'), '`seeds` is -1'),
        (('--variant=a: "',), "'a': No closing quotation"),
        (('--variant=a:', '--seed=5'), '`seed` is 5, .* give `seeds`'),
        (('--variant=a:', '--valid_fraction=0'), 'nothing to compare'),
        (('--variant=a:', '--eval_every=0'), 'nothing to compare'),
    )
    def test_mistakes_are_one_sentence_and_train_nothing(
        self, arguments, message
    ):
        status, out, err = self.run_faked(*arguments)
        self.assertEqual((status, out), (2, ''))
        self.assertRegex(err.replace('\n', ' '), f'Error: .*{message}')
        self.assertEmpty(self.trained)

    @parameterized.parameters(
        ('', 'runs/plain/0.*measured'),
        ('{"step": 1}\n', 'runs/plain/0/metrics.jsonl.*damaged.*num_chars'),
        ('{"ste', 'runs/plain/0/metrics.jsonl.*damaged'),
    )
    def test_metrics_that_cannot_be_read_are_named(self, text, message):
        path = pathlib.Path('runs/plain/0/metrics.jsonl')
        path.parent.mkdir(parents=True)
        path.write_text(text, 'utf-8')
        status, _, err = self.run_faked(
            *('--variant=plain:', '--model_dir=runs'),
            make_run=lambda *_, **__: ended(0),
        )
        self.assertEqual(status, 1)
        self.assertRegex(err.replace('\n', ' '), message)

    def test_fifteen_lines_are_a_curriculum_that_is_compared(self):
        lessons = (
            running_commands.ROOT / 'examples' / 'curricula' / 'lessons.py'
        )
        self.assertLessEqual(len(lessons.read_text().splitlines()), 15)
        pathlib.Path('play.txt').write_text(running_commands.make_text())
        curriculum = f'--curriculum={lessons}:repetitive_first,end=8'
        root = str(running_commands.ROOT)
        with mock.patch.dict(os.environ, {'PYTHONPATH': root}):
            status, out, err = run(
                *('--corpus=play.txt', '--model_dir=runs', '--seeds=0'),
                *('--epochs=2', '--batch_size=8', '--rnn_units=4', '--lines'),
                *('--precision=float32', '--sample_length=9', curriculum),
                *('--variant=control: --control', '--variant=repetitive:'),
            )
        self.assertEqual(status, 0, err)
        for name in ('control', 'repetitive'):
            self.assertRegex(out, rf'\n{name} +1 +\d\.\d{{4}}')
            log = pathlib.Path(f'runs/{name}/0.log').read_text('utf-8')
            self.assertIn(f'Saved runs/{name}/0/ckpt-', log)
        self.assertIn('repetitive: nothing can be concluded', out)
        page = pathlib.Path('runs/report.html').read_text('utf-8')
        self.assertIn('<h3>control, seed 0</h3><pre>==&gt; step', page)
        self.assertIn('repetitive_first,end=8', page)
        if importlib.util.find_spec('tensorboard') is not None:
            (path,) = pathlib.Path('runs/control/0/hparams').iterdir()
            self.assertIn(b'control', path.read_bytes())


if __name__ == '__main__':
    absltest.main()
