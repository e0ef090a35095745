import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

import numpy as np
import running_commands
import tensorflow as tf
from absl.testing import parameterized
from running_commands import (
    CORPUS,
    QUICK,
    ROOT,
    TEN,
    TINY,
    contents,
    finished,
    flags_text,
    in_folder,
    make_text,
    metrics,
    samples,
    start,
    steps,
    weights,
)

import tfcharrnn
from tfcharrnn import commands, generate, train
from tfcharrnn.training import callbacks

run = functools.partial(running_commands.run, train)


def setUpModule():
    # It warns of functions that are traced often: there is a new one in each
    # training, and here are many trainings in one process.
    tf.get_logger().setLevel('ERROR')


class TrainTest(parameterized.TestCase):
    """In a folder of its own, with a text."""

    def setUp(self):
        super().setUp()
        self.enter_context(
            in_folder(self.enter_context(tempfile.TemporaryDirectory()))
        )
        pathlib.Path(CORPUS).write_text(make_text())

    def copy_finished(self):
        folder, _ = finished()
        shutil.copytree(pathlib.Path(folder, 'bard'), 'bard')

    def assert_done(self, *arguments, **options):
        """Runs the command, which is to succeed; returns its output."""
        status, out, err = run(*arguments, **options)
        self.assertEqual((status, err), (0, ''))
        return out

    def assert_refused(self, *arguments, message, status=1, **options):
        """Runs the command, which is to say why not, and to change nothing."""
        before = contents('.')
        actual, out, err = run(*arguments, **options)
        self.assertRegex(err, rf'\AError: .*{message}.*\n\Z')
        self.assertEqual((actual, out), (status, ''))
        self.assertEqual(contents('.'), before)


class FirstRunTest(TrainTest):
    def setUp(self):
        super().setUp()
        folder, (self.status, self.out, self.err) = finished()
        self.model_dir = pathlib.Path(folder, 'bard')

    def test_succeeds_and_says_what_it_does(self):
        self.assertEqual((self.status, self.err), (0, ''))
        for part in (
            f'<Corpus {CORPUS}: ',
            ' parameters in float32; 20 steps, ',
            'step 10/20 | loss ',
            'step 20/20 | loss ',
            'Saved bard/ckpt-20\n',
            '==> step 20, temperature 1\na\n ',
            'python -m tfcharrnn.generate --model_dir=bard ',
        ):
            self.assertIn(part, self.out)
        self.assertNotIn('Going on', self.out)

    def test_writes_what_a_model_dir_is_to_hold(self):
        names = {name.split('.out.')[0] for name in contents(self.model_dir)}
        checkpoints = {
            f'{name}.{part}'
            for name in ('ckpt-10', 'ckpt-20', 'best/ckpt-20')
            for part in ('index', 'data-00000-of-00001')
        }
        self.assertEqual(
            names,
            checkpoints
            | {'checkpoint', 'best/checkpoint', 'best', 'train', 'valid'}
            | {'model.json', 'vocabulary.json', 'metrics.jsonl', 'run.flags'}
            | {'samples.txt', 'train/events', 'valid/events', '.lock'},
        )

    def test_metrics_tell_of_training_and_validation(self):
        self.assertEqual(steps(self.model_dir), [10, 20])
        for line in metrics(self.model_dir):
            for name in ('loss', 'bits_per_char', 'perplexity', 'accuracy'):
                self.assertIn(name, line)
                self.assertIn(f'valid_{name}', line)
            self.assertAlmostEqual(line['learning_rate'], 0.001)

    def test_samples_are_those_of_each_temperature(self):
        headings = re.findall('==> (.*)', samples(self.model_dir))
        expected = ['step 20, temperature 0.5', 'step 20, temperature 1']
        self.assertEqual(headings, expected)

    def test_the_flags_of_the_run_are_all_flags(self):
        text = (self.model_dir / 'run.flags').read_text()
        written = set(re.findall('^--([a-z_0-9]+)=', text, re.MULTILINE))
        unset = {'overwrite', 'epochs', 'weight_decay', 'members'} | {
            'csv_column',
            'curriculum',
            'init_from',
            'distill_from',
            'tracker',
            'dropout_schedule',
            'sampling_probability',
        }
        self.assertEqual(written, {*train.FLAGS} - {'verbosity', 'v'} - unset)


class GoOnTest(TrainTest):
    def setUp(self):
        super().setUp()
        self.copy_finished()

    def test_a_finished_run_is_left_alone(self):
        before = contents('bard')
        out = self.assert_done('--model_dir=bard')
        self.assertIn('Going on at step 20, from bard/ckpt-20\n', out)
        self.assertIn('Nothing is left to do. All 20 steps are made', out)
        self.assertEqual(contents('bard'), before)

    def test_with_more_steps_it_goes_on_as_if_it_had_not_ended(self):
        # Settings that are not given are those of the run.
        before = flags_text('bard')
        self.assert_done('--model_dir=bard', '--steps=35')
        after = flags_text('bard')
        self.assertEqual(after, before.replace('--steps=20', '--steps=35'))
        self.assert_done(
            '--flagfile=bard/run.flags', '--model_dir=whole', '--steps=35'
        )
        self.assertEqual(weights('bard'), weights('whole'))
        self.assertEqual(metrics('bard'), metrics('whole'))
        self.assertEqual(samples('bard'), samples('whole'))
        # What happens at the end, happens at any last step.
        self.assertEqual(steps('bard'), [10, 20, 30, 35])
        self.assertIn('==> step 35,', samples('bard'))

    def test_the_flags_of_a_run_repeat_it_elsewhere(self):
        self.assert_done('--flagfile=bard/run.flags', '--model_dir=other')
        self.assertEqual(weights('other'), weights('bard'))
        self.assertEqual(weights('other', 'best'), weights('bard', 'best'))
        self.assertEqual(metrics('other'), metrics('bard'))
        self.assertEqual(samples('other'), samples('bard'))
        self.assertEqual(
            flags_text('other'),
            flags_text('bard').replace('--model_dir=bard', '--model_dir=other'),
        )

    def test_the_same_settings_given_again_are_no_contradiction(self):
        for arguments in (TINY, ['--precision=auto'], ['--nolowercase']):
            out = self.assert_done('--model_dir=bard', *arguments)
            self.assertIn('Nothing is left to do', out)

    @parameterized.parameters(
        ('rnn_units', 8, 4),
        ('num_layers', 2, 1),
        ('cell', 'lstm', 'gru'),
        ('precision', 'bfloat16', 'float32'),
        ('learning_rate', 0.5, 0.001),
        ('seed', 1, 0),
        ('lowercase', True, False),
        ('valid_fraction', 0.2, 0.1),
        ('batch_size', 5, 4),
    )
    def test_a_flag_that_contradicts_the_run_is_refused(self, name, new, old):
        self.assert_refused(
            '--model_dir=bard',
            '--steps=30',
            f'--{name}={new}',
            message=f"'bard' .*`{name}` is {new}, but was {old}.*`overwrite`",
        )

    @parameterized.parameters(
        make_text(seed=1),  # The same characters.
        make_text() + 'exit',
        make_text()[:-40] + make_text(seed=1)[-40:],  # Validation only.
    )
    def test_another_text_is_refused(self, text):
        pathlib.Path('other.txt').write_text(text)
        self.assert_refused(
            '--model_dir=bard',
            '--corpus=other.txt',
            '--steps=30',
            message='(not the one that this run|holds another model)',
        )

    def test_the_same_text_elsewhere_is_no_contradiction(self):
        os.rename(CORPUS, 'moved.txt')
        self.assert_refused('--model_dir=bard', message=f"no file '{CORPUS}'")
        out = self.assert_done('--model_dir=bard', '--corpus=moved.txt')
        self.assertIn('Nothing is left to do', out)

    @parameterized.parameters(b'--rnn_units=many\n', b'--\xff\n', b'What?\n')
    def test_damaged_flags_are_named(self, data):
        pathlib.Path('bard/run.flags').write_bytes(data)
        self.assert_refused(
            '--model_dir=bard', message=r"'bard/run\.flags' is damaged"
        )

    def test_what_unicode_takes_for_a_line_end_does_not_end_a_setting(self):
        text = 'a\u2028b\x85c\x1cd' * 500
        pathlib.Path('odd.txt').write_text(text, 'utf-8')
        arguments = '--corpus=odd.txt', '--model_dir=odd', *TEN
        self.assert_done(*arguments, '--prompt=\u2028b')
        out = self.assert_done('--model_dir=odd')
        self.assertIn('Nothing is left to do', out)

    def test_verbosity_is_that_of_the_command(self):
        arguments = '--model_dir=bard', '--seed=1', '--verbosity=1'
        status, _, err = run(*arguments)
        self.addCleanup(run, '--verbosity=-1', '--sice')
        self.assertEqual(status, 1)
        self.assertIn('Debug: This is where it went wrong:\nTraceback', err)
        self.assertRegex(err, r"Error: 'bard' holds a run .*\n\Z")


class OverwriteTest(TrainTest):
    OURS = {
        'notes.json': '{}',
        'more.jsonl': '{}',
        'ckpt-notes.txt': 'Mine.',
        'train/mine.txt': 'Mine.',
        'mine/ckpt-1.index': 'Mine.',
    }

    def setUp(self):
        super().setUp()
        self.copy_finished()

    def test_deletes_the_run_and_nothing_else(self):
        for name, text in self.OURS.items():
            path = pathlib.Path('bard', name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        arguments = f'--corpus={CORPUS}', '--steps=5', '--cell=vanilla', *QUICK
        out = self.assert_done('--model_dir=bard', '--overwrite', *arguments)
        self.assertNotIn('Going on', out)
        for name, text in self.OURS.items():
            self.assertEqual(pathlib.Path('bard', name).read_text(), text)
        # As if it had always been alone.
        self.assert_done('--model_dir=new', *arguments)
        self.assertEqual(weights('bard'), weights('new'))
        self.assertEqual(metrics('bard'), metrics('new'))
        for name in (*self.OURS, 'mine'):
            path = pathlib.Path('bard', name)
            path.unlink() if path.is_file() else path.rmdir()
        names = [
            [re.sub(r'(tfevents\.).*', r'\1', name) for name in contents(run)]
            for run in ('bard', 'new')
        ]
        self.assertEqual(*names)

    @parameterized.parameters(
        ('--corpus=none.txt', 'none.txt'),
        ('--seq_length=1000', 'too short'),
        ('--prompt=@', '@'),
        ('--dropout=1', 'dropout', 2),
    )
    def test_deletes_nothing_where_the_new_run_cannot_be(
        self, flag, message, status=1
    ):
        self.assert_refused(
            *(f'--corpus={CORPUS}', '--model_dir=bard', '--overwrite'),
            *(*QUICK, flag),
            message=message,
            status=status,
        )


@functools.cache
def plain():
    """Returns the weights of a run of 30 steps in which nothing changes."""
    with tempfile.TemporaryDirectory() as folder, in_folder(folder):
        pathlib.Path(CORPUS).write_text(make_text())
        run(f'--corpus={CORPUS}', '--model_dir=bard', *QUICK, '--steps=30')
        return weights('bard')


class SettingsTest(TrainTest):
    def train(self, *arguments, stdin=''):
        return self.assert_done(
            f'--corpus={CORPUS}', '--model_dir=bard', *QUICK, *arguments,
            stdin=stdin,
        )  # fmt: skip

    @parameterized.parameters(
        ('constant', 'adam', {5: 0.1, 10: 0.1}),
        ('linear', 'adamw', {5: 0.0525, 10: 0.005}),
        ('cosine', 'adagrad', {5: 0.0525, 10: 0.005}),
        ('0.2@8,0.3', 'lion', {5: 0.2, 10: 0.3}),
        ('exponential:0.4:0.1:10', 'nadam', {5: 0.2, 10: 0.1}),
    )
    def test_the_learning_rate_follows_its_schedule(
        self, schedule, optimizer, rates
    ):
        self.train(
            *('--steps=10', '--eval_every=5', '--valid_fraction=0'),
            f'--lr_schedule={schedule}',
            # It says all by itself where it has values of its own.
            *([] if schedule[-1].isdigit() else ['--learning_rate=0.1']),
            f'--optimizer={optimizer}',
        )
        for line in metrics('bard'):
            rate = rates[line['step']]
            self.assertAlmostEqual(line['learning_rate'], rate, places=6)

    def test_the_learning_rate_rises_first(self):
        self.train(
            *('--steps=8', '--eval_every=2', '--optimizer=rmsprop'),
            *('--learning_rate=0.1', '--warmup_steps=4'),
            '--lr_schedule=linear',
        )
        rates = [line['learning_rate'] for line in metrics('bard')]
        expected = [0.0625, 0.1, 0.0525, 0.005]
        for rate, other in zip(rates, expected, strict=True):
            self.assertAlmostEqual(rate, other, places=6)

    def test_weights_decay_in_matrices_only(self):
        # In each step all that was learnt before goes, where there is decay.
        self.train(
            *('--steps=10', '--optimizer=adamw', '--layer_norm'),
            *('--learning_rate=0.01', '--weight_decay=100'),
        )
        rnn, _ = tfcharrnn.load_model('bard')
        for variable in rnn.trainable_variables:
            if 'scale' in variable.name:
                self.assertLess(np.abs(variable - 1.0).max(), 0.2)
            elif 'bias' in variable.name:
                self.assertGreater(np.abs(variable).max(), 0.02)
            else:
                self.assertLess(np.abs(variable).max(), 0.02)

    def test_epochs_are_passes(self):
        out = self.train('--epochs=2', '--batch_size=16', '--eval_every=0')
        passes = int(re.search(r'([\d,]+) to a pass', out)[1])
        self.assertEqual(max(steps('bard')), 2 * passes)

    @parameterized.parameters(
        '--curriculum=length:2@8,4@20,10',
        '--sampling_probability=linear:0:1:20',
        '--dropout=0.5 --dropout_schedule=linear:0:1:20',
        '--weight_decay=linear:0:9:20',
    )
    def test_what_changes_in_training_goes_on_after_a_restart(self, flags):
        for step in (8, 13, 30):
            self.train(f'--steps={step}', *flags.split())
        self.assert_done('--flagfile=bard/run.flags', '--model_dir=whole')
        self.assertEqual(weights('bard'), weights('whole'))
        self.assertNotEqual(weights('bard'), plain())

    def test_a_larger_model_without_an_embedding(self):
        self.train(
            *('--steps=2', '--cell=lstm', '--num_layers=2', '--dropout=0.5'),
            *('--embedding_dim=0', '--shuffle', '--clip_norm=0'),
        )
        model, _ = tfcharrnn.load_model('bard')
        config = {'cell': 'lstm', 'num_layers': 2, 'dropout': 0.5}
        config['embedding_dim'] = None
        self.assertEqual(model.config, {**model.config, **config})

    def test_without_validation_there_is_no_best(self):
        self.train('--steps=10', '--valid_fraction=0')
        (line,) = metrics('bard')
        self.assertNotIn('valid_loss', line)
        self.assertNoCommonElements(os.listdir('bard'), ['best', 'valid'])

    def test_without_evaluations_too(self):
        self.train('--steps=2', '--eval_every=0', '--save_every=0')
        (line,) = metrics('bard')
        self.assertNotIn('valid_loss', line)

    def test_early_stopping_stops_and_stays_stopped(self):
        # Nothing is learnt, so no evaluation is better than the first.
        flags = ['--learning_rate=0', '--eval_every=2', '--steps=100']
        out = self.train(*flags, '--early_stopping=2')
        self.assertIn('Training stopped early at step 6, after 2 eval', out)
        self.assertEqual(steps('bard'), [2, 4, 6])
        before = contents('bard')
        out = self.assert_done('--model_dir=bard')
        self.assertIn('Nothing is left to do. Training stopped early', out)
        self.assertEqual(contents('bard'), before)
        self.assert_done('--model_dir=bard', '--early_stopping=3')
        self.assertEqual(steps('bard'), [2, 4, 6, 8])

    def test_the_corpus_may_be_standard_input(self):
        text = make_text()
        self.train('--corpus=-', '--steps=5', stdin=text)
        self.assert_refused(
            *('--model_dir=bard', '--steps=6'),
            message='another',
            stdin=make_text(seed=1),
        )
        out = self.assert_done('--model_dir=bard', '--steps=6', stdin=text)
        self.assertIn('Going on at step 5', out)

    def test_characters_only_in_validation_are_a_warning(self):
        pathlib.Path(CORPUS).write_text(make_text() + 'Z')
        status, _, err = run(
            f'--corpus={CORPUS}', '--model_dir=bard', *QUICK, '--steps=1'
        )
        self.assertEqual(status, 0)
        self.assertRegex(err, r"\AWarning: .* lacks 1 .*'Z' 1 times\n\Z")

    def test_a_loss_that_is_not_finite_ends_it_and_names_the_step(self):
        self.train('--steps=10')
        before = weights('bard')
        status, _, err = run(
            f'--corpus={CORPUS}', '--model_dir=huge', *QUICK, '--steps=50',
            '--learning_rate=1e35', '--clip_norm=0',
        )  # fmt: skip
        self.assertEqual(status, 1)
        self.assertRegex(err, r'\AError: .* at step \d+\. .*\n\Z')
        self.assertEqual(weights('bard'), before)

    def test_deterministic_operations_train_too(self):
        with mock.patch.object(
            tf.config.experimental, 'enable_op_determinism'
        ) as enable:
            self.train('--steps=10', '--deterministic')
        enable.assert_called_once_with()

    def test_two_deterministic_runs_are_the_same(self):
        flags = f'--corpus={CORPUS}', *QUICK, '--steps=20', '--dropout=0.2'
        runs = [
            start(*flags, '--deterministic', f'--model_dir={name}')
            for name in ('one', 'two')
        ]
        for each in runs:
            _, err = each.communicate()
            self.assertEqual(each.returncode, 0, err)
        self.assertEqual(weights('one'), weights('two'))
        self.assertEqual(metrics('one'), metrics('two'))

    def test_replicas_train_too(self):
        self.train('--steps=10')
        self.train('--steps=10', '--model_dir=shared', '--strategy=mirrored')
        [alone], [shared] = metrics('bard'), metrics('shared')
        for name, value in alone.items():
            self.assertAlmostEqual(value, shared[name], places=3)

    def test_a_flipped_bit_of_the_flags_is_noticed(self):
        self.train('--steps=10')
        path = pathlib.Path('bard/run.flags')
        content = path.read_bytes()
        place = content.index(b'--learning_rate=0.001') + 18
        path.write_bytes(content[:place] + b'4' + content[place + 1 :])
        status, _, err = run('--model_dir=bard', '--steps=20')
        self.assertEqual(status, 1)
        self.assertRegex(err, r"\AError: 'bard/run.flags' is damaged: .*\n\Z")


class MistakesTest(TrainTest):
    @parameterized.parameters(
        ('--sice=1', 'sice'),
        ('shakespeare', "'shakespeare'"),
        ('--steps=0', 'steps'),
        ('--steps=-1', 'steps'),
        ('--steps=ten', 'ten'),
        ('--steps=3 --epochs=3', '`epochs` or `steps`, not both'),
        ('--batch_size=0', 'batch_size'),
        ('--seed=-1', 'seed'),
        ('--seed=99999999999999999999', 'seed'),
        ('--temperatures=hot', '`temperatures` is .hot., .* from 0 up'),
        ('--temperatures=0.5,,1', 'temperatures'),
        ('--temperatures=-1', 'temperatures'),
        ('--temperatures=nan', 'temperatures'),
        ('--temperatures=inf', 'temperatures'),
        ('--cell=elman', 'elman.*gru'),
        ('--optimizer=adamant', 'adamant.*adam'),
        ('--learning_rate=nan', 'learning_rate'),
        ('--learning_rate=-1', 'learning_rate'),
        ('--dropout=inf', 'dropout'),
        ('--valid_fraction=nan', 'valid_fraction'),
        ('--lowercase=perhaps', 'perhaps'),
        ('--flagfile=none.flags', 'none.flags'),
        ('--dropout=1', '`dropout` is .1.: '),
        ('--dropout_schedule=linear:0:1:9', 'multiplies `dropout`, which is 0'),
        ('--dropout=output:0.0 --dropout_schedule=1', 'multiplies `dropout`'),
        ('--dropout=locked', 'nothing to lock'),
        ('--dropout=rows:0.15,weights:0.1,locked', 'nothing to lock'),
        ('--dropout=layers:0.5', 'nothing between layers'),
        ('--residual', '`num_layers` is 1'),
        ('--lr_schedule=1e-3 --learning_rate=0.1', '0.1.*already sets'),
        ('--lr_schedule=1e-3 --warmup_steps=9', 'steps` is 9.*already sets'),
        ('--optimizer=lion --beta_2=0.9', 'lion, which does not take it'),
        ('--num_words=9', '`level` is not word'),
        ('--early_stopping=3 --valid_fraction=0', '`early_stopping` needs'),
        ('--early_stopping=3 --eval_every=0', '`early_stopping` needs'),
        ('--lines --shuffle', '`shuffle` and `shift` are for a text in one'),
        ('--csv_column=1 --shift', '`shuffle` and `shift` are for a text in'),
        ('--strategy=multi_worker_mirrored --overwrite', 'for one machine'),
    )
    def test_a_wrong_flag_is_status_2(self, arguments, message):
        self.assert_refused(
            f'--corpus={CORPUS}',
            '--model_dir=bard',
            *arguments.split(),
            message=message,
            status=2,
        )

    @parameterized.parameters(
        ('--lr_schedule=fast', 'fast'),
        ('--valid_fraction=0.6 --test_fraction=0.6', '0.6'),
        ('--valid_fraction=1', '1.0'),
        ('--lr_schedule=linear:1', 'linear:1'),
        ('--lr_schedule=1e-3@soon,1e-4', 'soon'),
        ('--curriculum=25,50', "'25,50'.*length:25@1000,50@3000,100"),
        ('--curriculum=lenght:25,50', "'lenght:25,50'.*length:25@1000"),
        ('--curriculum=length:5@10,8', 'seq_length` is 10.*`curriculum` is 8'),
        ('--curriculum=length:5@9,10 --shuffle', '`shuffle`'),
        ('--sampling_probability=half', 'schedule is a number.*`half`'),
        ('--dropout=0.1 --dropout_schedule=half', 'a number.*`half`'),
        ('--weight_decay=half', 'number from 0 up, or a schedule'),
        ('--weight_decay=linear:half', 'linear:half'),
        ('--lr_schedule=1e-3@2,-1@3,1e-4', 'is -1 at step 2.* 0 up'),
        (
            '--dropout=0.1 --dropout_schedule=linear:0:50:9',
            '5.55556 at step 1.* to 1',
        ),
        ('--sampling_probability=25', 'is 25 at step 0.* to 1'),
        ('--lr_schedule=-1e-3', 'is -0.001 at step 0.* 0 up'),
    )
    def test_a_setting_that_does_not_fit_the_others_is_status_2(
        self, arguments, message
    ):
        self.assert_refused(
            f'--corpus={CORPUS}',
            '--model_dir=bard',
            *QUICK,
            *arguments.split(),
            message=message,
            status=2,
        )

    @parameterized.parameters(
        ('--corpus=none.txt', "no file 'none.txt'"),
        ('--corpus=.', 'folder'),
        ('--corpus=empty.txt', 'empty.txt'),
        ('--corpus=one.txt', 'too short'),
        ('--corpus=same.txt', 'one distinct character'),
        ('--corpus=latin.txt', 'latin.txt.*--encoding'),
        ('--corpus=latin.txt --encoding=klingon', 'klingon'),
        ('--corpus=-', "'-'"),
        ('--batch_size=1000000', 'too short.*batch_size'),
        ('--seq_length=1000000', 'too short.*seq_length'),
        ('--shuffle --seq_length=1000000', 'too short.*seq_length'),
        ('--prompt=@', "'@'"),
        ('--curriculum=length:5@9,1000000 --seq_length=1000000', 'too short'),
        ('--dropout=weights:0.1 --cell=mingru', 'A MinGRU has no'),
        (f'--model_dir={CORPUS}', CORPUS),
        (f'--model_dir={CORPUS}/bard', CORPUS),
        ('--model_dir=/proc/bard', 'bard'),
    )
    def test_what_cannot_be_is_one_sentence_and_status_1(
        self, arguments, message
    ):
        for name, data in (
            ('empty.txt', b''),
            ('one.txt', b'a'),
            ('same.txt', b'a' * 1000),
            ('latin.txt', 'é'.encode('latin-1') * 1000),
        ):
            pathlib.Path(name).write_bytes(data)
        self.assert_refused(
            f'--corpus={CORPUS}',
            '--model_dir=bard',
            *QUICK,
            *arguments.split(),
            message=message,
        )

    def test_an_argument_for_a_flag_of_the_run_is_checked_too(self):
        self.copy_finished()
        self.assert_refused(
            *('--model_dir=bard', '--steps=30', '--early_stopping=1'),
            *('--eval_every=0',),
            message='`early_stopping` needs',
            status=2,
        )
        self.assert_refused(
            *('--model_dir=bard', '--steps=30', '--prompt=@'), message="'@'"
        )


def train_slowly(*arguments):
    """Runs the command, which must not end before it is stopped."""
    progress = callbacks.Progress.__call__

    def wait(self, trainer, metrics):
        progress(self, trainer, metrics)
        time.sleep(0.05)

    with mock.patch.object(callbacks.Progress, '__call__', wait):
        commands.run(train.main, train.FLAGS, ['train', *arguments])


class InterruptedTest(TrainTest):
    """A process of its own is stopped in the middle."""

    STEPS = 60
    SETTINGS = (
        f'--corpus={CORPUS}',
        f'--steps={STEPS}',
        *TINY,
        '--sample_every=0',
        '--dropout=0.5',
    )

    @classmethod
    @functools.cache
    def undisturbed(cls):
        """Returns what a run is like that is not stopped."""
        with (
            tempfile.TemporaryDirectory() as folder,
            in_folder(folder),
        ):
            pathlib.Path(CORPUS).write_text(make_text())
            run('--model_dir=bard', *cls.SETTINGS)
            return cls.result()

    @staticmethod
    def result():
        return weights('bard'), weights('bard', 'best'), metrics('bard')

    def interrupt(self, number, after):
        """Sends a signal once metrics of this step are there."""
        process = running_commands.Process(
            train_slowly, '--model_dir=bard', *self.SETTINGS
        )
        self.addCleanup(process.kill)
        path = pathlib.Path('bard/metrics.jsonl')
        while not path.exists() or f'"step": {after},' not in path.read_text():
            self.assertIsNone(process.poll(), 'It has ended by itself.')
            time.sleep(0.002)
        process.send_signal(number)
        out, err = process.communicate()
        self.assertEqual(err, '')
        return process.returncode, out

    def assert_goes_on_exactly(self):
        out = self.assert_done('--model_dir=bard')
        self.assertEqual(self.result(), self.undisturbed())
        return out

    def test_after_kill_9_it_goes_on_exactly(self):
        status, _ = self.interrupt(signal.SIGKILL, after=20)
        self.assertEqual(status, -signal.SIGKILL)
        out = self.assert_goes_on_exactly()
        self.assertRegex(out, 'Going on at step [1-5]0, from bard/ckpt-[1-5]0')

    @parameterized.parameters(signal.SIGTERM, signal.SIGINT)
    def test_a_signal_saves_and_says_how_to_go_on(self, number):
        status, out = self.interrupt(number, after=20)
        self.assertEqual(status, 128 + number)
        step = int(re.search(r'Stopped at step (\d+)\. To go on:', out)[1])
        self.assertIn(f'Saved bard/ckpt-{step}\n', out)
        self.assertEndsWith(
            out, '\n  python -m tfcharrnn.train --model_dir=bard\n'
        )
        out = self.assert_goes_on_exactly()
        self.assertIn(f'Going on at step {step}, from bard/ckpt-{step}\n', out)


class HelpTest(unittest.TestCase):
    def test_begins_with_what_it_does_and_how(self):
        status, out, err = run('--help')
        self.assertEqual((status, err), (0, ''))
        lines = out.splitlines()
        self.assertEqual(lines[0], 'Trains a character model on a text.')
        self.assertEqual(lines[1], '')
        self.assertIn('  python -m tfcharrnn.train --corpus=', lines[2])
        self.assertLessEqual(max(map(len, lines)), 80)
        for name in {*train.FLAGS} - {'verbosity', 'v'}:
            self.assertRegex(out, rf'\n  --(\[no\])?{name} +\S')

    def test_needs_no_tensorflow(self):
        code = (
            'import sys; from tfcharrnn import evaluate, train\n'
            'assert "tensorflow" not in sys.modules'
        )
        command = [sys.executable, '-c', code]
        subprocess.run(command, cwd=ROOT, check=True)


class LinesTest(TrainTest):
    """Each line a text: trains, goes on, measures and writes lines."""

    def setUp(self):
        super().setUp()
        records = make_text().splitlines()
        content = ''.join(f'1,"{record}",x\r\n' for record in records)
        pathlib.Path('titles.csv').write_text(content)

    def test_a_column_and_its_lines_are_the_same_text(self):
        self.assert_done(f'--corpus={CORPUS}', '--lines', *TEN, '--model_dir=a')
        csv = '--corpus=titles.csv', '--csv_column=2'
        self.assert_done(*csv, *TEN, '--model_dir=b')
        self.assertEqual(weights('a'), weights('b'))
        self.assertEqual(metrics('a'), metrics('b'))

    def test_goes_on_as_lines(self):
        flags = f'--corpus={CORPUS}', '--lines', *QUICK
        self.assert_done(*flags, '--steps=20', '--model_dir=whole')
        self.assert_done(*flags, '--steps=10', '--model_dir=parts')
        self.assert_done('--steps=20', '--model_dir=parts')
        self.assertEqual(weights('whole'), weights('parts'))

    def test_samples_and_texts_are_lines(self):
        flags = f'--corpus={CORPUS}', '--lines', *TINY, '--sample_every=10'
        self.assert_done(*flags, '--steps=10', '--prompt=to', '--model_dir=a')
        for text in re.findall(
            r'temperature .*\n((?:.|\n)*?)\n\n', samples('a')
        ):
            self.assertRegex(text, r'\Ato[^\n]*\Z')
        arguments = '--model_dir=a', '--num_samples=5', '--prompt=to'
        status, out, _ = running_commands.run(generate, *arguments, '--seed=1')
        self.assertEqual(status, 0)
        lines = [x for x in out.splitlines() if not x.startswith('-----')]
        self.assertLen(lines, 5)
        one = running_commands.run(
            generate, '--model_dir=a', '--prompt=to', '--seed=1'
        )[1]
        self.assertEqual(one, lines[0] + '\n')
        self.assertStartsWith(one, 'to')

    @parameterized.parameters(
        '--shuffle', '--shift', '--curriculum=length:5@9,10'
    )
    def test_what_is_for_streams_is_refused(self, flag):
        self.assert_refused(
            f'--corpus={CORPUS}',
            '--lines',
            flag,
            message='a text in one piece',
            status=2,
        )

    def test_a_column_that_is_not_there_is_refused(self):
        self.assert_refused(
            '--corpus=titles.csv', '--csv_column=4', message='no column 4'
        )


class WordsTest(TrainTest):
    def test_trains_goes_on_and_writes_words(self):
        flags = f'--corpus={CORPUS}', '--level=word', '--num_words=5', *TINY
        out = self.assert_done(*flags, '--steps=20', '--model_dir=whole')
        self.assertIn('<Corpus play.txt: 6 distinct tokens; ', out)
        self.assertRegex(out, r'bits per token \| [\d,]+ tokens/s')
        self.assert_done(*flags, '--steps=10', '--model_dir=parts')
        self.assert_done('--steps=20', '--model_dir=parts')
        self.assertEqual(weights('whole'), weights('parts'))
        arguments = '--model_dir=whole', '--prompt=to be', '--length=9'
        status, text, _ = running_commands.run(generate, *arguments, '--seed=1')
        self.assertEqual(status, 0)
        self.assertStartsWith(text, 'to be')
        known = tfcharrnn.Vocabulary.load('whole/vocabulary.json')
        self.assertLen(known.encode(text[len('to be') : -1]), 9)

    def test_a_run_of_characters_is_not_one_of_words(self):
        self.copy_finished()
        self.assert_refused(
            f'--corpus={CORPUS}',
            '--model_dir=bard',
            '--level=word',
            message='`level` is word, but was char',
        )


if __name__ == '__main__':
    unittest.main()
