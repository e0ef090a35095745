"""Curricula on the command line: they resume, have a control, are refused."""

import functools
import pathlib
import shutil
import tempfile

import running_commands
import tensorflow as tf
from absl.testing import parameterized
from running_commands import (
    CORPUS,
    QUICK,
    contents,
    finished,
    flags_text,
    in_folder,
    make_text,
    weights,
)

from tfcharrnn import train
from tfcharrnn.running.run import Run

run = functools.partial(running_commands.run, train)

LESSONS = r"""
from tfcharrnn import curricula, data

def words_lines_text(corpus, good=9.0, batch_size=4):
    text = corpus.vocabulary.decode(corpus.train)
    for pieces in (text.split(), filter(None, text.split('\n'))):
        yield curricula.Stage(
            data.lines(pieces, corpus.vocabulary, batch_size),
            until=lambda metrics: metrics['loss'] < good, every=5,
        )
    yield curricula.Stage(data.sequences(corpus.train, 10, batch_size))

def fails(corpus):
    return corpus.nothing
"""
CODE = '--curriculum=lessons.py:words_lines_text,good=8.5'
LINES = (
    'easiest:rarity,competence=0.1@10',
    'hardest:length,competence=0.1@10',
    'random:competence=0.1@10',
    # Stopped at 7: between two measurements, and right at one.
    'easiest:loss,competence=0.2@12,every=5',
    'hardest:loss,threshold=linear:3:2:9,every=7',
    'vocabulary:9@6,all',
)
FILES = (
    f'mix:{CORPUS}=linear:1:0.2:20,b.txt=linear:0:0.8:20',
    f'bandit:prediction,{CORPUS},b.txt,rate=0.5',
)


class CurriculumTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tf.get_logger().setLevel('ERROR')

    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path(CORPUS).write_text(make_text())
        pathlib.Path('b.txt').write_text(make_text(seed=1) + '0123' * 99)
        pathlib.Path('lessons.py').write_text(LESSONS)

    def copy_finished(self):
        folder, _ = finished()
        shutil.copytree(pathlib.Path(folder, 'bard'), 'bard')

    def train(self, *arguments, model_dir='bard'):
        status, out, err = run(
            *(f'--corpus={CORPUS}', f'--model_dir={model_dir}', *QUICK),
            *('--save_every=0', '--eval_every=0', *arguments),
        )
        self.assertEqual((status, err), (0, ''))
        return out

    def assert_refused(self, *arguments, message, status=1):
        before = contents('.')
        actual, out, err = run(*arguments)
        self.assertRegex(err, rf'\AError: .*{message}.*\n\Z')
        self.assertEqual((actual, out), (status, ''))
        self.assertEqual(contents('.'), before)

    @parameterized.parameters(
        *(('--lines', f'--curriculum={text}') for text in LINES),
        *((f'--curriculum={text}',) for text in FILES),
        (CODE,),
    )
    def test_goes_on_after_a_restart_and_is_in_the_flags(self, *flags):
        for step in (7, 15):
            self.train(f'--steps={step}', *flags)
        self.train('--steps=15', *flags, model_dir='whole')
        self.assertEqual(weights('bard'), weights('whole'))
        self.assertIn(f'{flags[-1]}\n', flags_text('bard'))

    def test_a_control_is_another_run(self):
        flag = f'--curriculum={FILES[0]}'
        self.train('--steps=5', flag)
        self.train('--steps=5', flag, '--control', model_dir='control')
        self.assertNotEqual(weights('control'), weights('bard'))
        self.assertIn('--control=True\n', flags_text('control'))

    def test_code_is_named_again_by_whoever_goes_on(self):
        self.train('--steps=7', CODE)
        self.assert_refused(
            *('--model_dir=bard', '--steps=9'),
            message=r"is code, .*--curriculum='lessons.py:words_lines_text,",
        )
        with self.assertRaisesRegex(ValueError, 'is code'):
            Run.resume('bard', {'steps': 9})
        status, _, err = run('--model_dir=bard', '--steps=9', CODE)
        self.assertEqual((status, err), (0, ''))

    @parameterized.parameters(
        ('lessons.py', CODE), ('b.txt', f'--curriculum={FILES[0]}')
    )
    def test_a_file_that_has_changed_is_told(self, name, flag):
        self.train('--steps=7', flag)
        path = pathlib.Path(name)
        path.write_text(f'{path.read_text()}\n')
        self.assert_refused(
            *('--model_dir=bard', '--steps=9', flag),
            message=f"'{name}', named by `curriculum`, has changed",
        )

    def test_a_run_can_be_measured_without_its_code(self):
        from tfcharrnn import evaluate

        self.train('--steps=7', CODE)
        shutil.move('lessons.py', 'elsewhere.py')
        status, out, err = running_commands.run(evaluate, '--model_dir=bard')
        self.assertEqual((status, err), (0, ''))
        self.assertIn('loss', out)

    @parameterized.parameters(
        ('lessons.py:fails', 1, r'line 14, `return corpus.nothing`: Attrib'),
        ('lessons.py:none', 1, "no function 'none'"),
        ('none.py:none', 1, "no file 'none.py'"),
        ('lessons.py:words_lines_text,bad=5', 1, "TypeError: .*'bad'"),
        ('mix:a*.txt=1,b.txt=1', 1, r"no file 'a\*.txt'"),
        ('mix:b.txt=0,play.txt=1', 2, 'weight of 0'),
        ('easiest:length,competence=0.1@9', 2, 'give `lines`'),
        ('easiest:loss,competence=0.1@9', 2, 'give `lines`'),
        ('words:a', 2, r'must be one of length:'),
    )
    def test_what_is_wrong_touches_nothing_of_a_run(self, text, status, words):
        self.copy_finished()
        self.assert_refused(
            *(f'--corpus={CORPUS}', '--model_dir=bard', *QUICK, '--overwrite'),
            *('--steps=9', f'--curriculum={text}'),
            message=words,
            status=status,
        )

    def test_conditions_need_a_number_of_steps(self):
        self.assert_refused(
            *(f'--corpus={CORPUS}', '--model_dir=bard', *QUICK, CODE),
            '--epochs=2',
            message='give `steps`',
            status=2,
        )


if __name__ == '__main__':
    tf.test.main()
