import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from unittest import mock

import running_commands
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import generate
from tfcharrnn.generation import conversion
from tfcharrnn.running.adapting import adapt

CHARS = '\n\t\\ abcdné'
ROOT = pathlib.Path(tfcharrnn.__file__).parent.parent
LENGTH = 60


class Output(io.TextIOWrapper):
    """A standard output that remembers how much it had at each flush."""

    def __init__(self, encoding='utf-8'):
        super().__init__(io.BytesIO(), encoding=encoding, newline='')
        self.sizes = []

    def flush(self):
        super().flush()
        self.sizes.append(len(self.buffer.getvalue()))

    @property
    def text(self):
        return self.buffer.getvalue().decode(self.encoding)


def run(*arguments, stdout=None):
    """Runs the command; returns its status, output and errors."""
    stdout = stdout or Output()
    status, _, err = running_commands.run(
        generate, *arguments, stdin=None, stdout=stdout
    )
    return status, stdout.text, err


def run_process(command):
    return subprocess.run(
        ['bash', '-c', command],
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if k[:3] != 'TF_'},
            'PATH': f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}',
        },
        capture_output=True,
        check=False,
    )


class CommandTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cache = {'XDG_CACHE_HOME': os.path.join(cls.directory.name, 'cache')}
        patch = mock.patch.dict(os.environ, cache)
        patch.start()
        cls.addClassCleanup(patch.stop)
        cls.model_dir = os.path.join(cls.directory.name, 'run')
        model = tfcharrnn.CharRNN(len(CHARS), embedding_dim=8, rnn_units=16)
        vocabulary = tfcharrnn.Vocabulary(CHARS)
        trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam())
        checkpointer = tfcharrnn.Checkpointer(
            cls.model_dir, trainer, vocabulary
        )
        checkpointer.save()
        cls.generator = tfcharrnn.Generator(model, vocabulary)
        cls.lines_dir = os.path.join(cls.directory.name, 'lines')
        vocabulary = tfcharrnn.Vocabulary(CHARS, lines=True)
        tfcharrnn.Checkpointer(cls.lines_dir, trainer, vocabulary).save()
        cls.lines = tfcharrnn.Generator(model, vocabulary)

    def run_here(self, *arguments, **kwargs):
        return run(
            f'--model_dir={self.model_dir}',
            f'--length={LENGTH}',
            '--seed=1',
            '--precision=float32',
            *arguments,
            **kwargs,
        )

    def make_file(self, data):
        path = pathlib.Path(self.get_temp_dir(), 'prompt.txt')
        path.write_bytes(data)
        return path

    @parameterized.parameters(
        ([], {}),
        (['--temperature=0'], {'temperature': 0.0}),
        (['--temperature=0.5', '--top_k=2'], {'temperature': 0.5, 'top_k': 2}),
        (['--top_p=0.5', '--stop=ab'], {'top_p': 0.5, 'stop': 'ab'}),
        (['--checkpoint=latest'], {}),
    )
    def test_writes_what_the_generator_does(self, arguments, options):
        text = self.generator.generate('bad ', LENGTH, seed=1, **options)
        self.assertEqual(
            self.run_here('--prompt=bad ', *arguments), (0, text + '\n', '')
        )

    @parameterized.parameters('', 'bad ')
    def test_a_model_of_lines_writes_one(self, prompt):
        flags = f'--model_dir={self.lines_dir}', f'--prompt={prompt}'
        line = self.lines.generate(prompt, LENGTH, seed=1)
        self.assertLess(len(line), LENGTH)
        self.assertEqual(self.run_here(*flags), (0, line + '\n', ''))
        two = self.lines.generate(prompt, LENGTH, num_samples=2, seed=1)
        self.assertEqual(two[0], line)
        out = self.run_here(*flags, '--num_samples=2')[1]
        self.assertEqual(
            out,
            ''.join(
                f'----- temperature 1, sample {number} of 2 -----\n{text}\n'
                for number, text in enumerate(two, 1)
            ),
        )
        # Another stop takes the place of the end of the line.
        text = self.lines.generate(prompt, LENGTH, stop='ab', seed=1)
        self.assertGreater(len(text), len(line))
        self.assertEqual(self.run_here(*flags, '--stop=ab')[1], text + '\n')

    def test_a_single_text_comes_while_it_is_written(self):
        stdout = Output()
        self.run_here(stdout=stdout)
        self.assertGreater(len(set(stdout.sizes)), 4)

    def test_a_fresh_seed_is_told_and_writes_the_same_again(self):
        arguments = (
            f'--model_dir={self.model_dir}',
            f'--length={LENGTH}',
            '--precision=float32',
        )
        status, text, err = run(*arguments)
        self.assertEqual(status, 0)
        seed_flag = err.split()[-1]
        self.assertEqual(run(*arguments, seed_flag), (0, text, ''))

    def test_each_temperature_and_sample_has_a_heading(self):
        status, out, err = self.run_here(
            '--temperature=0.5,2', '--num_samples=2', '--prompt=bad'
        )
        expected = ''
        for temperature in ('0.5', '2'):
            for number in (1, 2):
                text = self.generator.generate(
                    'bad',
                    LENGTH,
                    temperature=float(temperature),
                    num_samples=number,
                    seed=1,
                )[-1]
                expected += (
                    f'----- temperature {temperature}, '
                    f'sample {number} of 2 -----\n{text}\n'
                )
        self.assertEqual((status, out, err), (0, expected, ''))

    def test_a_mixture_writes_and_says_how_it_is_weighted(self):
        runs = f'{self.model_dir},{self.model_dir}'
        status, text, err = run(
            *(f'--model_dir={runs}', '--weights=1,3', f'--length={LENGTH}'),
            *('--prompt=bad ', '--seed=1', '--precision=float32'),
        )
        model = self.generator.model
        mixture = tfcharrnn.Mixture([model, model], [1, 3])
        generator = tfcharrnn.Generator(mixture, self.generator.vocabulary)
        expected = generator.generate('bad ', LENGTH, seed=1)
        self.assertEqual((status, text), (0, expected + '\n'))
        self.assertRegex(err, r'\AWeights: 0\.250 .*, 0\.750 .*\.\n\Z')

    def test_a_model_adapts_to_a_text_and_its_run_stays_as_it_is(self):
        folder, _ = running_commands.finished()
        flags = '--model_dir=bard', '--length=40', '--seed=1'
        flags = *flags, '--precision=float32'
        with running_commands.in_folder(folder):
            path = pathlib.Path(self.get_temp_dir(), 'new.txt')
            path.write_text('brown fox ' * 80)
            before = running_commands.contents('bard')
            plain = run(*flags)
            status, text, err = run(*flags, f'--adapt_to={path}')
            self.assertEqual(running_commands.contents('bard'), before)
            self.assertEqual(run(*flags), plain)
            missing = run(*flags, '--adapt_to=none.txt')
            model, vocabulary = tfcharrnn.load_model('bard')
            adapt(model, vocabulary, str(path), model_dir='bard')
        generator = tfcharrnn.Generator(model, vocabulary)
        expected = generator.generate('', 40, seed=1)
        self.assertEqual((status, text), (0, expected + '\n'))
        self.assertRegex(err, r"Learned from '.*': \d\.\d+ nats per character")
        self.assertEqual(missing[0], 1)
        self.assertRegex(missing[2], r'\AError: .*none\.txt.*\n\Z')

    @parameterized.parameters('--prompt=§', '--stop=§')
    def test_a_wrong_flag_is_told_before_a_text_is_learned(self, flag):
        folder, _ = running_commands.finished()
        with (
            running_commands.in_folder(folder),
            mock.patch('tfcharrnn.running.adapting.adapt') as learn,
        ):
            text = f'--adapt_to={running_commands.CORPUS}'
            status, _, err = run('--model_dir=bard', flag, text)
        self.assertEqual((status, learn.called), (1, False))
        self.assertRegex(err, r'\AError: .*§.*\n\Z')

    def test_auto_writes_with_int8_weights_and_says_so(self):
        status, text, err = self.run_here('--precision=auto')
        self.assertEqual((status, err), (0, 'Precision: int8.\n'))
        generator = tfcharrnn.Generator(
            self.generator.model, self.generator.vocabulary, precision='int8'
        )
        expected = generator.generate('', LENGTH, seed=1)
        self.assertEqual(text, expected + '\n')
        self.assertEqual(
            self.run_here('--precision=int8'), (0, expected + '\n', '')
        )

    def test_without_litert_auto_is_float32_and_int8_an_error(self):
        missing = ValueError("Type `pip install 'tfcharrnn[int8]'`.")
        with mock.patch.object(
            conversion, 'find_interpreter', side_effect=missing
        ):
            status, text, err = self.run_here('--precision=auto')
            self.assertEqual(status, 0)
            self.assertStartsWith(err, 'Precision: float32; --precision=int8')
            self.assertEqual((0, text, ''), self.run_here())
            status, out, err = self.run_here('--precision=int8')
            self.assertEqual((status, out), (1, ''))
            self.assertEqual(err, f'Error: {missing}\n')

    @parameterized.parameters(
        (r'a\nb', 'a\nb'),
        (r'a\tb', 'a\tb'),
        (r'a\\nb', 'a\\nb'),
        (r'a\ b', 'a\\ b'),
        ('é', 'é'),
        ('', ''),
    )
    def test_a_prompt_has_escapes(self, prompt, meaning):
        out = self.run_here(f'--prompt={prompt}')[1]
        text = self.generator.generate(meaning, LENGTH, seed=1)
        self.assertEqual(out, text + '\n')

    def test_a_stop_has_escapes(self):
        out = self.run_here(r'--stop=\n', '--prompt=a')[1]
        text = self.generator.generate('a', LENGTH, stop='\n', seed=1)
        self.assertLess(len(text), LENGTH)
        self.assertEqual(out, text + '\n')

    def test_a_prompt_file_is_taken_as_it_is(self):
        prompt = 'é\\ \n\n'
        text = self.generator.generate(prompt, LENGTH, seed=1)
        for data in (prompt.encode(), prompt.encode('utf-8-sig')):
            path = self.make_file(data)
            out = self.run_here(f'--prompt_file={path}')[1]
            self.assertEqual(out, text + '\n')
        with open(path, encoding='utf-8') as stdin:
            with mock.patch.object(sys, 'stdin', stdin):
                out = self.run_here('--prompt_file=-')[1]
        self.assertEqual(out, text + '\n')

    def test_flags_may_stand_in_a_file(self):
        path = self.make_file(b'--temperature=0\n--prompt=bad\n')
        text = self.generator.generate('bad', LENGTH, temperature=0.0)
        out = self.run_here(f'--flagfile={path}')[1]
        self.assertEqual(out, text + '\n')

    def test_an_output_without_the_character_gets_its_code(self):
        stdout = Output('ascii')
        status, out, _ = self.run_here('--prompt=é', stdout=stdout)
        self.assertEqual(status, 0)
        self.assertStartsWith(out, '\\xe9')

    @parameterized.parameters(
        (['--model_dir=/there/is/none'], '/there/is/none'),
        (['--checkpoint=best'], 'no checkpoint'),
        (['--checkpoint=/there/is/none'], '/there/is/none'),
        (['--prompt_file=/there/is/none'], '/there/is/none'),
        (['--prompt=abX'], "'X' at 2"),
        (['--stop=X'], "'X' at 0"),
        (['--stop='], '`stop`'),
    )
    def test_an_error_is_one_line_and_status_1(self, arguments, part):
        status, out, err = self.run_here(*arguments)
        self.assertEqual((status, out), (1, ''))
        self.assertRegex(err, f'\\AError: .*{part}.*\\n\\Z')

    def test_a_prompt_file_that_is_no_utf_8_is_named(self):
        path = self.make_file(b'ab\xff')
        status, _, err = self.run_here(f'--prompt_file={path}')
        self.assertEqual(status, 1)
        self.assertRegex(err, f'{path}.* offset 2 .*0xff')

    @parameterized.parameters(
        (['--model_dir='], 'model_dir'),
        (['--prompt=a', '--prompt_file=b'], 'not both'),
        (['--temperature=warm'], 'temperature'),
        (['--temperature=nan'], '`temperature`'),
        (['--temperature='], 'temperature'),
        (['--length=-1'], 'length'),
        (['--top_k=0'], 'top_k'),
        (['--precision=int4'], '`precision`'),
        (['--top_p=2'], 'top_p'),
        (['--num_samples=0'], 'num_samples'),
        (['--temprature=1'], 'temperature'),
        (['ROMEO: '], 'ROMEO'),
    )
    def test_wrong_flags_are_one_line_and_status_2(self, arguments, part):
        status, out, err = self.run_here(*arguments)
        self.assertEqual((status, out), (2, ''))
        self.assertRegex(err, f'\\AError: .*{part}.*\\n\\Z')

    def test_is_quiet_and_a_reader_may_go_away(self):
        done = run_process(
            'python -m tfcharrnn.generate --seed=1 --length=1000000 '
            f'--model_dir={self.model_dir} --prompt=bad | head -c 9; '
            'exit ${PIPESTATUS[0]}'
        )
        self.assertEqual(done.stderr, b'')
        self.assertEqual(done.returncode, 141)
        self.assertStartsWith(done.stdout, b'bad')
        self.assertLen(done.stdout, 9)

    def test_help_comes_soon(self):
        start = time.monotonic()
        done = run_process('python -m tfcharrnn.generate --help')
        self.assertLess(time.monotonic() - start, 2.0)
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        help_text = done.stdout.decode()
        self.assertStartsWith(help_text, generate.__doc__)
        self.assertLessEqual(max(map(len, help_text.splitlines())), 80)
        for name in {*generate.FLAGS} - {'verbosity'}:
            self.assertIn(f'\n  --{name} ', help_text)


if __name__ == '__main__':
    tf.test.main()
