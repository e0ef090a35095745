"""Help of the command under test."""

import contextlib
import dataclasses
import functools
import io

import running_commands
import tensorflow as tf
from absl import flags, logging
from absl.testing import absltest, parameterized

from tfcharrnn import commands, fields, startup

FLAGS = flags.FlagValues()
flags.DEFINE_integer('size', 3, 'How large. ' + 40 * 'w ', flag_values=FLAGS)
flags.DEFINE_bool('loud', False, 'How loud.', flag_values=FLAGS)
flags.DEFINE_string('name', None, 'Whose.', flag_values=FLAGS)


class ClosedPipe(io.StringIO):
    def write(self, text):
        raise BrokenPipeError

    def fileno(self):
        raise io.UnsupportedOperation


run = functools.partial(running_commands.run_main, flag_values=FLAGS)


def raising(error):
    def main():
        raise error

    return main


class RunTest(parameterized.TestCase):
    def test_flags_are_parsed_when_main_is_called(self):
        def main():
            print(FLAGS.size, FLAGS.loud)

        self.assertEqual(run(main, '--size=5', '--loud'), (0, '5 True\n', ''))

    @parameterized.parameters(
        (['--sice=5'], 'size'),
        (['--size=large'], 'large'),
        (['--name'], 'name'),
        (['loud'], "'loud'"),
        (['--flagfile=/there/is/none'], '/there/is/none'),
    )
    def test_wrong_flags_are_one_line_and_status_2(self, arguments, part):
        status, out, err = run(self.fail, *arguments)
        self.assertEqual((status, out), (2, ''))
        self.assertRegex(err, f'\\AError: .*{part}.*\\n\\Z')

    @parameterized.parameters(
        (ValueError('Too short.'), 'Too short.'),
        (FileNotFoundError('No model there.'), 'No model there.'),
        (
            FileNotFoundError(2, 'No such file or directory', 'a.txt'),
            "No such file or directory: 'a.txt'.",
        ),
        (OSError(28, 'No space left on device'), 'No space left on device.'),
        (ValueError(), 'ValueError'),
        (MemoryError(), 'There is not enough memory. Use smaller settings.'),
        (
            tf.errors.ResourceExhaustedError(
                None, None, '{{function_node __x}} ckpt; No space left [Op:Y]'
            ),
            'ckpt; No space left',
        ),
        (
            tf.errors.InternalError(
                None,
                None,
                'Graph execution error:\n\nDetected at node x\n'
                '  File "train.py", line 1, in main\n\nNo memory.\nMore.',
            ),
            'No memory.',
        ),
    )
    def test_an_error_is_its_message_and_status_1(self, error, message):
        self.assertEqual(run(raising(error)), (1, '', f'Error: {message}\n'))

    def test_a_mistake_of_ours_keeps_its_traceback(self):
        with self.assertRaises(ZeroDivisionError):
            commands.run(raising(ZeroDivisionError()), FLAGS, ['command'])

    def test_verbosity_1_brings_the_traceback_back(self):
        self.addCleanup(logging.set_verbosity, logging.get_verbosity())
        with self.assertLogs('absl', 'DEBUG') as logs:
            run(raising(ValueError('Too short.')), '--verbosity=1')
        self.assertIn('Traceback', logs.output[0])

    def test_control_c_is_status_130(self):
        self.assertEqual(run(raising(KeyboardInterrupt())), (130, '', ''))

    def test_a_reader_that_goes_away_is_status_141(self):
        status, _, err = run(lambda: print('text'), stdout=ClosedPipe())
        self.assertEqual((status, err), (141, ''))

    def test_a_status_of_mains_own_is_kept(self):
        self.assertEqual(run(raising(SystemExit(7))), (7, '', ''))

    def test_an_encoding_without_the_character_is_no_error(self):
        data = io.BytesIO()
        stdout = io.TextIOWrapper(data, 'ascii')
        with contextlib.redirect_stdout(stdout):
            with self.assertRaises(SystemExit):
                commands.run(lambda: print('aé€'), FLAGS, ['command'])
        self.assertEqual(data.getvalue(), b'a\\xe9\\u20ac\n')


class HelpTest(parameterized.TestCase):
    @parameterized.parameters('--help', '-h', '--helpfull')
    def test_is_the_docstring_and_the_flags(self, flag):
        # Also where a flag is wrong.
        status, out, err = run(self._main, '--size=large', flag)
        self.assertEqual((status, err), (0, ''))
        self.assertStartsWith(out, __doc__)
        for part in ('--size ', '--[no]loud ', '--name ', '--flagfile '):
            self.assertIn(f'\n  {part}', out)
        self.assertIn('Default: 3.', out)
        self.assertIn('Default: false.', out)
        self.assertNotIn('None', out)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)

    @staticmethod
    def _main():
        raise AssertionError


class SettingsTest(parameterized.TestCase):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Sizes(fields.Settings):
        size: int | None = fields.whole(None, 'How large.')
        share: float = fields.number(0.5, 'How much.', below=1.0)
        loud: bool = fields.switch(False, 'How loud.')
        name: str = fields.text('a\\n', 'Whose.', escaped=True)

        def check_together(self):
            self.refuse_ignored('share', not self.size, 'there is no `size`')

    def setUp(self):
        super().setUp()
        self.flags = commands.define(self.Sizes)

    def main(self):
        print(self.Sizes(**commands.given(self.flags)))

    def run_main(self, *arguments):
        return running_commands.run_main(
            self.main, *arguments, flag_values=self.flags
        )

    def test_each_setting_is_a_flag(self):
        self.assertEqual({*self.flags}, {*fields.settings_of(self.Sizes)})
        self.assertEqual(commands.given(self.flags), {})

    @parameterized.parameters(
        ([], {}),
        (
            ['--size=5', '--loud', '--name=b\\t'],
            dict(size=5, loud=1, name='b\t'),
        ),
        (['--noloud', '--size', '5'], {'size': 5}),
        (['--verbosity=-1'], {}),
        (['-v=-1', '--size=2', '--share=0.25'], {'size': 2, 'share': 0.25}),
    )
    def test_flags_that_are_given_are_settings(self, arguments, settings):
        self.addCleanup(logging.set_verbosity, logging.get_verbosity())
        settings = {k: k == 'loud' or v for k, v in settings.items()}
        self.assertEqual(
            self.run_main(*arguments),
            (0, f'{self.Sizes(**settings)}\n', ''),
        )

    @parameterized.parameters(
        (['--size=0'], {'size': 0}),
        (['--size=1.5'], {'size': '1.5'}),
        (['--share=1'], {'share': 1.0}),
        (['--share=0.25'], {'share': 0.25}),
        (['--share=a.: `b'], {'share': 'a.: `b'}),
    )
    def test_a_wrong_one_is_one_sentence_and_status_2(self, arguments, wrong):
        with self.assertRaises(fields.SettingError) as caught:
            self.Sizes(**wrong)
        sentence = str(caught.exception).rstrip('.')
        self.assertEqual(
            self.run_main(*arguments),
            (2, '', f'Error: {sentence}. --help lists the flags.\n'),
        )


class ImportTensorFlowTest(absltest.TestCase):
    def test_returns_tensorflow(self):
        self.assertIs(startup.import_tensorflow(), tf)


if __name__ == '__main__':
    absltest.main()
