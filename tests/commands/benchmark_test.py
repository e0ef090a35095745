import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest
from unittest import mock

import running_commands
from absl.testing import absltest

import tfcharrnn
from tfcharrnn import benchmark
from tfcharrnn.benchmarking.settings import Settings

ROOT = pathlib.Path(tfcharrnn.__file__).parent.parent
SIZES = [
    '--rnn_units=4',
    '--num_layers=2',
    '--batch_size=3',
    '--seq_length=5',
    '--vocab_size=7',
    '--embedding_dim=2',
    '--length=6',
    '--peak_size=8',
    '--corpus_size=1000',
    '--rounds=2',
    '--steps=2',
]


def run(*arguments):
    """Runs the command; returns its status, output and errors."""
    return running_commands.run(benchmark, *SIZES, *arguments)


class FlagsTest(unittest.TestCase):
    def test_each_setting_is_a_flag_with_its_default(self):
        names = {field.name for field in dataclasses.fields(Settings)}
        self.assertEqual(names, {*benchmark.FLAGS} - {'verbosity'})
        status, out, _ = run('--help')
        self.assertEqual(status, 0)
        self.assertRegex(out, r'--rounds +Turns of each.*Default: 3\.')


class CommandTest(absltest.TestCase):
    def test_prints_a_table(self):
        process = subprocess.run(
            [sys.executable, '-m', 'tfcharrnn.benchmark', *SIZES]
            + ['--what=train', '--cells=gru', '--precisions=float32']
            + ['--peers='],
            cwd=ROOT,
            env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'},
            capture_output=True,
            text=True,
            check=False,
        )
        status, out, err = process.returncode, process.stdout, process.stderr
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r'(?m)^gru .* +ms_per_step +chars_per_second')
        self.assertRegex(out, r'(?m)^tfcharrnn float32 +\d')
        # Progress only, and nothing that TensorFlow says at its start.
        for line in err.splitlines():
            self.assertRegex(line, r'^gru .*: \d of 4, about \d+ s left$')
        self.assertLen(err.splitlines(), 4)
        self.assertLessEqual(max(map(len, out.splitlines())), 120)

    def test_prints_one_json_object(self):
        with mock.patch('importlib.util.find_spec', return_value=None):
            status, out, err = run('--what=corpus', '--peers=torch', '--json')
        self.assertEqual(status, 0, err)
        report = json.loads(out)
        self.assertEqual(report['left_out'], {'torch': 'not installed'})
        (result,) = report['results']
        self.assertEqual(len(result['rounds']), 2)
        self.assertEqual(
            result['figures']['chars_per_second']['max'], max(result['rounds'])
        )

    def test_a_wrong_flag_is_one_line(self):
        for wrong in ('--cells=gru,rnn', '--rounds=0', '--what=all'):
            status, out, err = run(wrong)
            self.assertEqual((status, out, err.count('\n')), (2, '', 1))

    def test_nothing_to_measure_is_an_error(self):
        status, out, err = run('--what=', '--peers=')
        self.assertEqual((status, out), (2, ''))
        self.assertRegex(err, r'\AError: `what` is .*such as train,peak.*\n\Z')

    def test_ctrl_c_ends_all_processes(self):
        process = subprocess.Popen(
            [sys.executable, '-m', 'tfcharrnn.benchmark', '--what=corpus']
            + ['--corpus_size=100', '--rounds=1000000'],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that put the tests in the background made it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(process.kill)
        first = process.stderr.readline()
        # As a terminal does it: to the command and its children.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out), (130, ''), first + err)
        self.assertNotIn('Traceback', first + err)
        with self.assertRaises(ProcessLookupError):
            for _ in range(100):
                os.killpg(process.pid, 0)
                time.sleep(0.1)


if __name__ == '__main__':
    unittest.main()
