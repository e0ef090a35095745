import pathlib
import time

import running_commands
import tensorflow as tf
from running_commands import QUICK, make_text, metrics

import tfcharrnn
from tfcharrnn import train


class WorkersTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir())
        corpus = self.folder / 'play.txt'
        corpus.write_text(make_text())
        self.arguments = [f'--corpus={corpus}', *QUICK]

    def start(self, name, *arguments):
        """Starts two processes that train together."""
        workers = running_commands.start_workers(
            *self.arguments, *arguments, f'--model_dir={self.folder / name}'
        )
        for worker in workers:
            self.addCleanup(worker.kill)
        return workers

    def finish(self, workers):
        """Waits for the end; returns what the first process says."""
        outputs = [worker.communicate(timeout=100) for worker in workers]
        self.assertEqual([x.returncode for x in workers], [0, 0], outputs)
        self.assertEqual(outputs[1][0], '')  # One writes, one is silent.
        return outputs[0][0]

    def weights(self, name):
        return tfcharrnn.load_model(self.folder / name)[0].variables

    def test_two_processes_equal_one(self):
        said = self.finish(self.start('two', '--steps=20'))
        self.assertIn('Saved', said)
        status, _, err = running_commands.run(
            train,
            *self.arguments,
            '--steps=20',
            f'--model_dir={self.folder}/one',
        )
        self.assertEqual(status, 0, err)
        self.assertAllClose(
            self.weights('one'), self.weights('two'), 1e-5, 1e-5
        )
        self.assertAllClose(
            metrics(self.folder / 'one'),
            metrics(self.folder / 'two'),
            1e-5,
            1e-5,
        )

    def test_where_one_is_killed_both_go_on_when_started_again(self):
        flags = '--steps=40', '--save_every=5', '--eval_every=20'
        first, second = self.start('killed', *flags)
        saved = self.folder / 'killed' / 'checkpoint'
        while not saved.exists() and first.poll() is None:
            time.sleep(0.01)
        second.kill()
        _, err = first.communicate(timeout=100)
        self.assertEqual(first.returncode, 1, err)
        self.assertRegex(err, r'(?m)^Error: Another worker has died.*\n\Z')
        said = self.finish(self.start('killed', *flags))
        self.assertIn('Going on at step', said)
        status, _, err = running_commands.run(
            train, *self.arguments, *flags, f'--model_dir={self.folder}/one'
        )
        self.assertEqual(status, 0, err)
        self.assertAllClose(
            self.weights('one'), self.weights('killed'), 1e-5, 1e-5
        )


if __name__ == '__main__':
    tf.test.main()
