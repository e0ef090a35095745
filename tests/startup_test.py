import os
import subprocess
import sys
import unittest
from unittest import mock

from tfcharrnn import startup

LEVEL = 'TF_CPP_MIN_LOG_LEVEL'
IMPORT = 'import os, tensorflow as tf, tfcharrnn\n'


def python(code):
    """Runs code in a process without threads that were set."""
    env = {k: v for k, v in os.environ.items() if not k.startswith('TF_NUM_')}
    return subprocess.run(
        [sys.executable, '-c', code],
        env={**env, LEVEL: '3'},
        capture_output=True,
        text=True,
        check=False,
    )


class StartupTest(unittest.TestCase):
    def test_messages_are_hidden_unless_a_lower_level_asks_for_them(self):
        with mock.patch.dict(os.environ):
            os.environ.pop(LEVEL, None)
            self.assertTrue(startup.is_quiet())
            for level, quiet in (('0', False), ('2', False), ('3', True)):
                os.environ[LEVEL] = level
                self.assertEqual(startup.is_quiet(), quiet)

    def test_the_import_prints_nothing(self):
        done = python(
            'from tfcharrnn import startup; startup.import_tensorflow()'
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ''))

    def test_before_the_import_threads_that_are_set_are_kept(self):
        with (
            mock.patch.dict(os.environ, {'TF_NUM_INTEROP_THREADS': '7'}),
            mock.patch.dict(sys.modules),
        ):
            os.environ.pop('TF_NUM_INTRAOP_THREADS', None)
            sys.modules.pop('tensorflow', None)  # Another test imported it.
            startup.set_threads()
            self.assertEqual(os.environ['TF_NUM_INTEROP_THREADS'], '7')
            self.assertGreater(int(os.environ['TF_NUM_INTRAOP_THREADS']), 0)

    def test_threads_are_set_after_the_import_but_those_set_before_are_kept(
        self,
    ):
        done = python(
            IMPORT + 'tf.config.threading.set_inter_op_parallelism_threads(3)\n'
            'os.sched_getaffinity = lambda pid: set(range(10))\n'
            'tfcharrnn.set_threads()\n'
            'tf.zeros(2)\n'
            'tfcharrnn.set_threads()\n'
            'print(tf.config.threading.get_intra_op_parallelism_threads())\n'
            'print(tf.config.threading.get_inter_op_parallelism_threads())\n'
        )
        self.assertEqual(done.stdout.split(), ['5', '3'], done.stderr)

    def test_threads_that_come_too_late_are_refused(self):
        done = python(IMPORT + 'tf.zeros(2)\ntfcharrnn.set_threads()')
        self.assertEqual(done.returncode, 1)
        last = done.stderr.splitlines()[-1]
        self.assertRegex(last, 'RuntimeError: TensorFlow has already started')
        self.assertIn('right after the imports', last)


if __name__ == '__main__':
    unittest.main()
