import contextlib
import importlib
import io

import api_test
import running_commands
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import __main__ as program


def run(*arguments):
    """Runs the program here; returns its status, output and errors."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            program.main(arguments)
        except SystemExit as exit_:
            return exit_.code, out.getvalue(), err.getvalue()


class MainTest(parameterized.TestCase):
    def test_knows_every_command(self):
        self.assertCountEqual(program.COMMANDS, api_test.COMMANDS)

    @parameterized.parameters((), ('--help',), ('help',))
    def test_says_what_there_is(self, *arguments):
        status, out, err = run(*arguments)
        self.assertEqual((status, err), (0, ''))
        for name in api_test.COMMANDS:
            self.assertRegex(out, rf'(?m)^  {name} +[A-Z].*\.$')

    @parameterized.parameters(*api_test.COMMANDS)
    def test_a_word_is_the_command_of_that_name(self, name):
        status, out, err = run(name, '--help')
        self.assertEqual((status, err), (0, ''))
        module = importlib.import_module(f'tfcharrnn.{name}')
        self.assertStartsWith(out, module.__doc__.splitlines()[0])

    def test_flags_follow_the_word(self):
        status, out, err = run('train', '--rnn_units=0')
        self.assertEqual((status, out), (2, ''))
        self.assertStartsWith(err, 'Error: `rnn_units` is 0, but must be')

    def test_another_word_is_refused(self):
        status, out, err = run('trian')
        self.assertEqual((status, out), (2, ''))
        self.assertTrue(running_commands.is_sentence(err), err)
        self.assertIn("'trian' is not a command: give one of train, ", err)

    def test_tells_the_version(self):
        version = tfcharrnn.__version__
        self.assertEqual(run('--version'), (0, f'tfcharrnn {version}\n', ''))


if __name__ == '__main__':
    tf.test.main()
