import os
import subprocess
import sys
import unittest
from unittest import mock

from tfcharrnn import startup

LEVEL = 'TF_CPP_MIN_LOG_LEVEL'


class StartupTest(unittest.TestCase):
    def test_messages_are_hidden_unless_a_lower_level_asks_for_them(self):
        with mock.patch.dict(os.environ):
            os.environ.pop(LEVEL, None)
            self.assertTrue(startup.is_quiet())
            for level, quiet in (('0', False), ('2', False), ('3', True)):
                os.environ[LEVEL] = level
                self.assertEqual(startup.is_quiet(), quiet)

    def test_the_import_prints_nothing(self):
        done = subprocess.run(
            [sys.executable, '-c']
            + ['from tfcharrnn import startup; startup.import_tensorflow()'],
            env={**os.environ, LEVEL: '3'},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ''))

    def test_threads_that_are_set_are_kept(self):
        with mock.patch.dict(os.environ, {'TF_NUM_INTEROP_THREADS': '7'}):
            os.environ.pop('TF_NUM_INTRAOP_THREADS', None)
            startup.set_threads()
            self.assertEqual(os.environ['TF_NUM_INTEROP_THREADS'], '7')
            self.assertGreater(int(os.environ['TF_NUM_INTRAOP_THREADS']), 0)


if __name__ == '__main__':
    unittest.main()
