import json
import math
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from running_commands import ROOT, contents, run

import tfcharrnn
from tfcharrnn import evaluate, train
from tfcharrnn.training.evaluator import Evaluator

TENSORFLOW = tuple(int(x) for x in tf.__version__.split('.')[:2])
_OF_XLA = r'WARNING: All log messages before absl|I0000 .*(XLA|StreamExecutor)'

NAMES = ('loss', 'bits_per_char', 'perplexity', 'accuracy', 'num_chars')
SPLIT = (0.6, 0.3, 0.1)
SETTINGS = (
    '--corpus=play.txt',
    '--model_dir=bard',
    f'--valid_fraction={SPLIT[1]}',
    f'--test_fraction={SPLIT[2]}',
    '--lowercase',
    '--batch_size=4',
    '--seq_length=10',
    '--rnn_units=8',
    '--embedding_dim=0',
    '--precision=float32',
    '--learning_rate=0.1',
    '--steps=30',
    '--eval_every=10',
    '--save_every=10',
    '--sample_every=0',
)


def make_text(num_words=400):
    draw = random.Random(0)
    words = 'To be or not, that is THE question.\n'.split(' ')
    return ' '.join(draw.choices(words, k=num_words))


class EvaluateTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # It warns of functions that are traced often, as those of many tests.
        tf.get_logger().setLevel('ERROR')
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.addClassCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        pathlib.Path('play.txt').write_text(make_text())
        status, _, err = run(train, *SETTINGS)
        if status:
            raise AssertionError(err)

    def measure(self, *arguments, warning=''):
        """Returns the metrics of a command that succeeds."""
        status, out, err = run(evaluate, '--model_dir=bard', *arguments)
        self.assertRegex(err, rf'\A{warning}\Z')
        self.assertEqual(status, 0)
        self.assertEqual(out.count('\n'), 1)
        metrics = json.loads(out, parse_constant=self.fail)
        others = {'window_loss', 'dynamic_loss'}
        self.assertCountEqual({*metrics} - others, NAMES)
        return metrics

    def expect(self, ids, batch_size, checkpoint=None):
        """Returns the metrics that an evaluator finds."""
        model, _ = tfcharrnn.load_model('bard', checkpoint)
        evaluator = Evaluator(model)
        seq_length = min(10, (len(ids) - 1) // batch_size)
        metrics = evaluator.evaluate(
            tfcharrnn.data.sequences(ids, seq_length, batch_size, warmup=256)
        )
        if len(ids) > 256:
            starts = range(0, len(ids) - 1, 256)
            windows = [ids[start:][:257] for start in starts]
            losses = [
                evaluator.evaluate(
                    tfcharrnn.data.sequences(window, len(window) - 1, 1)
                )['loss']
                for window in windows
            ]
            lengths = [len(window) - 1 for window in windows]
            mean = np.average(losses, weights=lengths)
            metrics['window_loss'] = pytest.approx(mean, rel=1e-5)
        return metrics

    def encode(self, text):
        """Returns the ids of a text that the run would have read."""
        _, vocabulary = tfcharrnn.load_model('bard')
        return vocabulary.encode(text.lower())

    @parameterized.parameters('train', 'valid', 'test')
    def test_equals_the_evaluator_on_each_part(self, split):
        corpus = tfcharrnn.Corpus.from_text(make_text(), SPLIT, lowercase=True)
        ids = getattr(corpus, split)
        metrics = self.measure(f'--split={split}', '--batch_size=3')
        self.assertEqual(metrics, self.expect(ids, batch_size=3))
        self.assertEqual(metrics['num_chars'], len(ids) - 1)

    def test_the_numbers_say_the_same_in_their_units(self):
        metrics = self.measure()
        loss = metrics['loss']
        self.assertAlmostEqual(metrics['bits_per_char'], loss / math.log(2))
        self.assertAlmostEqual(metrics['perplexity'], math.exp(loss))
        self.assertBetween(metrics['accuracy'], 0, 1)

    def test_says_what_training_said_at_each_checkpoint(self):
        lines = pathlib.Path('bard/metrics.jsonl').read_text().splitlines()
        lines = [json.loads(line) for line in lines]
        said = {
            f'bard/ckpt-{line["step"]}': {
                name: line[f'valid_{name}'] for name in NAMES
            }
            for line in lines
        }
        self.assertLen(said, 3)
        said['latest'] = said['bard/ckpt-30']
        said['best'] = min(said.values(), key=lambda metrics: metrics['loss'])
        for checkpoint, metrics in said.items():
            measured = self.measure(f'--checkpoint={checkpoint}')
            measured.pop('window_loss', None)  # Training does not say it.
            self.assertEqual(measured, metrics, checkpoint)

    def test_measures_the_latest_on_the_validation_part(self):
        flags = '--checkpoint=latest', '--split=valid'
        self.assertEqual(self.measure(), self.measure(*flags))

    def test_of_another_text_it_measures_all(self):
        text = make_text(num_words=50)
        pathlib.Path('other.txt').write_text(text)
        metrics = self.measure('--corpus=other.txt', '--batch_size=1')
        self.assertEqual(metrics, self.expect(self.encode(text), batch_size=1))

    def test_characters_that_it_does_not_know_are_counted_and_left_out(self):
        pathlib.Path('known.txt').write_text('to be or not to be')
        pathlib.Path('other.txt').write_text('2 2 to be §or not to be§')
        metrics = self.measure(
            '--corpus=other.txt',
            warning="Warning: .* lacks 4 .*'2' 2 times, '§' 2 times\n",
        )
        pathlib.Path('known.txt').write_text('  to be or not to be')
        self.assertEqual(metrics, self.measure('--corpus=known.txt'))

    def test_another_text_may_have_another_encoding(self):
        pathlib.Path('other.txt').write_text('to be', encoding='utf-16')
        self.assertEqual(
            self.measure('--corpus=other.txt', '--encoding=utf-16'),
            self.expect(self.encode('to be'), batch_size=1),
        )

    def test_the_dynamic_loss_stands_beside_the_loss(self):
        plain = self.measure()
        progress = r'Reading and learning: 100% \| 0:00:00 left\n'
        dynamic = self.measure('--dynamic', warning=progress)
        self.assertLess(dynamic.pop('dynamic_loss'), plain['loss'])
        self.assertEqual(dynamic, plain)

    def test_a_mixture_says_how_it_is_weighted(self):
        said = r'Weights: 0\.250 bard, 0\.750 3-grams; temperature 1\.00\.\n'
        flags = '--ngram=3', '--weights=1,3'
        metrics = self.measure(*flags, warning=said)
        self.assertEqual(
            metrics, tfcharrnn.measure('bard', ngram=3, weights=[1, 3])
        )

    def test_several_runs_are_averaged(self):
        status, out, _ = run(evaluate, '--model_dir=bard,bard', '--weights=1,1')
        self.assertEqual(status, 0)
        metrics = json.loads(out)
        self.assertAlmostEqual(metrics['loss'], self.measure()['loss'], 5)

    def test_changes_nothing(self):
        before = contents('.')
        self.measure('--split=train')
        flags = '--dynamic', '--ngram=3', '--weights=1,1'
        self.measure(*flags, warning=r'[^\0]*')
        self.assertEqual(contents('.'), before)

    def test_a_model_without_run_flags_measures_what_it_is_given(self):
        expected = self.measure('--corpus=play.txt', '--batch_size=1')
        os.rename('bard/run.flags', 'run.flags')
        self.addCleanup(os.rename, 'run.flags', 'bard/run.flags')
        self.assert_refused('--model_dir=bard', message='run.flags.*`corpus`')
        pathlib.Path('lower.txt').write_text(make_text().lower())
        metrics = self.measure('--corpus=lower.txt', '--batch_size=1')
        # In pieces of another length, but the state is carried on.
        self.assertAlmostEqual(metrics['loss'], expected['loss'], places=5)

    @parameterized.parameters(
        ('', 'run.flags.* is damaged: it does not name the text'),
        (
            '--corpus=other.txt',
            "'other.txt', as run.flags names and splits it, is",
        ),
    )
    def test_run_flags_of_another_text_is_refused(self, content, message):
        path = pathlib.Path('bard/run.flags')
        self.addCleanup(path.write_text, path.read_text())
        pathlib.Path('other.txt').write_text(make_text(300).lower())
        path.write_text(content)
        self.assert_refused('--model_dir=bard', message=message)

    def assert_refused(self, *arguments, message, status=1):
        before = contents('.')
        actual, out, err = run(evaluate, *arguments)
        self.assertRegex(err, rf'\AError: .*{message}.*\n\Z')
        self.assertEqual((actual, out), (status, ''))
        self.assertEqual(contents('.'), before)

    @parameterized.parameters(
        ('', 'Give the `model_dir`'),
        ('--model_dir=', 'Give the `model_dir`'),
        ('--model_dir=bard --split=all', 'all'),
        ('--model_dir=bard --split=train --corpus=play.txt', 'not both'),
        ('--model_dir=bard --batch_size=0', 'batch_size'),
        ('--model_dir=bard, --ngram=3', 'Give the `model_dir`'),
        ('--model_dir=bard --ngram=1', '`ngram` is 1'),
        ('--model_dir=bard --weights=1,2', 'are 2 numbers, but there are 1'),
        ('--model_dir=bard --weights=0', 'all 0'),
        ('--model_dir=bard --weights=a', '`weights` is .a.'),
        ('--model_dir=a,b --checkpoint=a/ckpt-1', 'but there are 2 runs'),
        ('--model_dir=bard --encoding=utf-16', 'give its `corpus`'),
        ('--model_dir=bard --rnn_units=8', 'rnn_units'),
        ('--model_dir=bard play.txt', "'play.txt'"),
    )
    def test_a_wrong_flag_is_status_2(self, arguments, message):
        self.assert_refused(*arguments.split(), message=message, status=2)

    @parameterized.parameters(
        ('--model_dir=none', "'none' holds no trained model"),
        ('--model_dir=play.txt', 'play.txt'),
        ('--model_dir=bard --checkpoint=none', "no checkpoint 'none'"),
        ('--model_dir=bard --corpus=none.txt', 'none.txt'),
        ('--model_dir=bard --corpus=one.txt', '1 characters'),
        ('--model_dir=bard --corpus=latin.txt', 'latin.txt.*encoding'),
    )
    def test_what_cannot_be_is_one_sentence_and_status_1(
        self, arguments, message
    ):
        pathlib.Path('one.txt').write_text('t')
        pathlib.Path('latin.txt').write_text('é', encoding='latin-1')
        self.assert_refused(*arguments.split(), message=message)

    def test_a_part_that_the_run_has_not_is_refused(self):
        path = pathlib.Path('bard/run.flags')
        text = path.read_text()
        self.addCleanup(path.write_text, text)
        *lines, _ = text.splitlines()  # The last one is a checksum.
        lines.remove('--test_fraction=0.1')
        path.write_text('\n'.join([*lines, '--test_fraction=0']))
        self.assert_refused(
            '--model_dir=bard', '--split=test', message='0 characters'
        )

    def test_another_end_of_the_text_is_noticed_though_none_trained_on_it(self):
        path = pathlib.Path('play.txt')
        text = path.read_text()
        self.addCleanup(path.write_text, text)
        path.write_text(text[:-1] + ' ')
        self.assert_refused(
            *('--model_dir=bard', '--split=test'),
            message='is not the one that the model in .* was trained on',
        )

    def test_a_text_that_is_gone_is_named(self):
        os.rename('play.txt', 'gone.txt')
        self.addCleanup(os.rename, 'gone.txt', 'play.txt')
        self.assert_refused('--model_dir=bard', message="'play.txt'")

    def test_the_command_prints_json_and_nothing_else(self):
        quiet = {k: v for k, v in os.environ.items() if k[:3] != 'TF_'}
        done = subprocess.run(
            [sys.executable, '-m', 'tfcharrnn.evaluate', '--model_dir=bard'],
            env={**quiet, 'PYTHONPATH': str(ROOT)},
            capture_output=True,
            text=True,
        )
        errors = done.stderr.splitlines()
        if TENSORFLOW < (2, 21):  # It tells that XLA begins, whatever is set.
            errors = [x for x in errors if not re.match(_OF_XLA, x)]
        self.assertEqual((done.returncode, errors), (0, []))
        self.assertEqual(json.loads(done.stdout), self.measure())

    def test_help_begins_with_what_it_does_and_how(self):
        status, out, err = run(evaluate, '--help')
        self.assertEqual((status, err), (0, ''))
        self.assertStartsWith(
            out,
            'Measures a trained model on a text.\n\n'
            '  python -m tfcharrnn.evaluate --model_dir=',
        )
        for name in {*evaluate.FLAGS} - {'verbosity'}:
            self.assertRegex(out, rf'\n  --(\[no\])?{name} +\S')


if __name__ == '__main__':
    tf.test.main()
