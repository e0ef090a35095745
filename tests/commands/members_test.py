import json
import os
import pathlib
import shutil
import tempfile
from unittest import mock

import tensorflow as tf
from running_commands import (
    CORPUS,
    QUICK,
    ROOT,
    contents,
    in_folder,
    is_sentence,
    make_text,
    run,
    steps,
    weights,
)

from tfcharrnn import evaluate, generate, train

FLAGS = (f'--corpus={CORPUS}', '--model_dir=mix', *QUICK, '--members=2')


class MembersTest(tf.test.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.enter_context(in_folder(folder.name))
        # The processes of members import this checkout.
        self.enter_context(
            mock.patch.dict(os.environ, {'PYTHONPATH': str(ROOT)})
        )
        pathlib.Path(CORPUS).write_text(make_text())

    def refused(self, *arguments, message):
        before = contents('.')
        status, out, err = run(train, *arguments)
        self.assertEqual((status, out), (2, ''))
        self.assertTrue(is_sentence(err), err)
        self.assertRegex(err, message)
        self.assertEqual(contents('.'), before)

    def test_members_are_runs_that_other_commands_take_as_one(self):
        status, out, err = run(train, *FLAGS, '--steps=10', '--seed=3')
        self.assertEqual(status, 0, err)
        self.assertIn('evaluate --model_dir=mix --ngram=7', out)
        for member in ('mix/member-1', 'mix/member-2'):
            self.assertEqual(steps(member)[-1], 10)
            flags = pathlib.Path(member, 'run.flags').read_text()
            self.assertIn('--fit_fraction=0.02\n', flags)
        self.assertNotEqual(weights('mix/member-1'), weights('mix/member-2'))
        status, out, err = run(evaluate, '--model_dir=mix', '--weights=1,1')
        self.assertEqual(status, 0, err)
        self.assertIn('0.500 mix/member-1, 0.500 mix/member-2', err)
        listed = '--model_dir=mix/member-1,mix/member-2'
        _, listed_out, _ = run(evaluate, listed, '--weights=1,1')
        self.assertEqual(json.loads(out), json.loads(listed_out))
        status, out, _ = run(generate, '--model_dir=mix', '--length=5')
        self.assertEqual((status, len(out)), (0, 6))

        # Members go on with their own settings, all of them.
        status, out, err = run(train, '--model_dir=mix', '--members=2')
        self.assertEqual(status, 0, err)
        self.assertEqual(steps('mix/member-2')[-1], 10)
        self.refused('--model_dir=mix', message='2 members.*--members=2')
        status, _, err = run(train, *FLAGS, '--steps=20', '--seed=7')
        self.assertEqual(status, 1)
        self.assertRegex(err, 'Error: Member 1 failed: .*`seed` is 7')

    def test_a_member_that_begins_late_has_the_settings_of_the_others(self):
        run(train, *FLAGS, '--steps=10', '--seed=3', '--fit_fraction=0')
        expected = weights('mix/member-2')
        # As if the command had been stopped before the second one began.
        shutil.rmtree('mix/member-2')
        again = ('--model_dir=mix', '--members=2')
        status, _, err = run(train, *again)
        self.assertEqual(status, 0, err)
        self.assertEqual(steps('mix/member-2')[-1], 10)
        self.assertEqual(weights('mix/member-2'), expected)
        flags = pathlib.Path('mix/member-2/run.flags').read_text()
        self.assertIn('--fit_fraction=0.0\n', flags)
        shutil.rmtree('mix/member-2')
        status, _, err = run(train, *again, '--rnn_units=9')
        self.assertEqual(status, 1)
        self.assertRegex(err, 'other settings: `rnn_units`')
        self.assertFalse(os.path.exists('mix/member-2'))

    def test_what_does_not_go_together_is_one_sentence(self):
        self.refused(*FLAGS, '--strategy=mirrored', message='`strategy` is')
        self.refused(*FLAGS, '--corpus=-', message='`corpus` is -, but each')
        self.refused(*FLAGS, '--members=0', message='`members` is 0')
        for number in (1, 2, 3):
            pathlib.Path(f'mix/member-{number}').mkdir(parents=True)
        self.refused(*FLAGS, message='holds more than 2 members')
        os.mkdir('single')
        pathlib.Path('single/model.json').touch()
        self.refused(*FLAGS, '--model_dir=single', message='holds a run')


if __name__ == '__main__':
    tf.test.main()
