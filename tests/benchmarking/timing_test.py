import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import toy_benchmark
from absl.testing import absltest

import tfcharrnn
from tfcharrnn.benchmarking import timing

LEVEL = 'TF_CPP_MIN_LOG_LEVEL'


class GroupsTest(unittest.TestCase):
    def test_training_meets_its_peers_and_the_peak(self):
        self.assertEqual(
            self._groups(what=('train', 'peak'), precisions=('bfloat16',)),
            2 * [['tfcharrnn', 'keras', 'torch', 'product']],
        )

    def test_default_threads_are_one_more(self):
        self.assertEqual(
            self._groups(what=('train',), default_threads=True, peers=()),
            2 * [2 * ['tfcharrnn'] + 2 * ['tfcharrnn default threads']],
        )

    def test_a_single_text_is_written_in_all_ways(self):
        self.assertEqual(
            self._groups(what=('generate',), cells=('lstm',), peers=('keras',)),
            [
                [
                    'tfcharrnn',
                    'tfcharrnn',
                    'tfcharrnn int8',
                    'keras',
                    'keras call',
                    'keras eager',
                ],
                ['tfcharrnn', 'tfcharrnn', 'tfcharrnn int8', 'keras'],
            ],
        )

    def test_texts_know_no_precision(self):
        self.assertEqual(
            self._groups(what=('input', 'corpus')),
            [['tfcharrnn'], ['tfcharrnn']],
        )

    def _groups(self, **changes):
        settings = toy_benchmark.settings(**changes)
        groups = timing.groups(settings, settings.peers)
        return [[contender.name for contender in group] for group in groups]


class ContenderTest(absltest.TestCase):
    def test_who_fails_or_dies_drops_out(self):
        failing = toy_benchmark.contender('corpus', 'tfcharrnn')
        object.__setattr__(failing.task, 'vocab_size', 0)
        dying = toy_benchmark.contender('corpus', 'tfcharrnn')
        for each in (failing, dying):
            each.start()
            self.addCleanup(each.stop)
            each.advance()
        dying.stop()
        for each in (failing, dying):
            each.advance()
            each.advance()
        self.assertRegex(failing.error, '^ValueError: ')
        self.assertRegex(dying.error, 'ended with -9')

    def test_the_last_message_of_who_dies_is_reported(self):
        dying = toy_benchmark.contender('corpus', 'tfcharrnn')
        dying.start()
        self.addCleanup(dying.stop)
        dying.advance()
        dying._messages.write_text('I0000 start-up\nF0000 no memory\n', 'utf-8')
        dying._process.kill()
        dying.advance()
        self.assertRegex(dying.error, 'with -9 and .* F0000 no memory$')

    def test_messages_of_a_process_stay_off_the_terminal(self):
        code = """
import multiprocessing, os, pathlib, sys
from tfcharrnn.benchmarking import timing

def loud(task):
    os.write(2, b'I0000 start-up')
    yield {}

timing.CONTENDERS['corpus']['loud'] = loud
pipe, end = multiprocessing.Pipe()
pipe.send('next')
path, kept = pathlib.Path(sys.argv[1]), sys.argv[2]
timing._serve(end, 'corpus', 'loud', None, path)
assert path.read_text() == kept, path.read_text()
"""
        quiet = {k: v for k, v in os.environ.items() if k != LEVEL}
        for environment, kept, shown in (
            (quiet, 'I0000 start-up', ''),
            ({**quiet, LEVEL: '3'}, 'I0000 start-up', ''),
            ({**quiet, LEVEL: '0'}, '', 'I0000 start-up'),
        ):
            folder = self.enter_context(tempfile.TemporaryDirectory())
            path = os.path.join(folder, 'messages')
            pathlib.Path(path).touch()
            done = subprocess.run(
                [sys.executable, '-c', code, path, kept],
                cwd=pathlib.Path(tfcharrnn.__file__).parent.parent,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual((done.returncode, done.stderr), (0, shown))


if __name__ == '__main__':
    unittest.main()
