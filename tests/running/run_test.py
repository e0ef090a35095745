import os
import pathlib
import re
import shutil
import signal
import tempfile
import threading
import time
from unittest import mock

import running_commands
import tensorflow as tf
from absl.testing import parameterized
from running_commands import (
    CORPUS,
    TINY,
    contents,
    finished,
    flags_text,
    in_folder,
    make_text,
    metrics,
    samples,
    steps,
    weights,
)

import tfcharrnn
from tfcharrnn import RunConfig, curricula, fields, train
from tfcharrnn.running.run import Run, settle
from tfcharrnn.training import callbacks, model_dir

# Those of `running_commands.QUICK`.
QUICK = {
    'corpus': CORPUS,
    'model_dir': 'bard',
    'batch_size': 4,
    'seq_length': 10,
    'rnn_units': 4,
    'embedding_dim': 2,
    'precision': 'float32',
    'eval_every': 10,
    'save_every': 10,
    'sample_every': 0,
    'optimizer': 'sgd',
}


def make(**settings):
    """Makes a run, as the command does."""
    config = RunConfig(**{**QUICK, **settings})
    tf.random.set_seed(config.seed)
    return Run(config)


class RunTest(parameterized.TestCase):
    """In a folder of its own, with a text."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tf.get_logger().setLevel('ERROR')

    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        pathlib.Path(CORPUS).write_text(make_text())

    def copy_finished(self):
        """Copies a run of the command, with all that it has."""
        folder, _ = finished()
        shutil.copytree(pathlib.Path(folder, 'bard'), 'bard')


class TrainTest(RunTest):
    def test_five_lines_train_and_write(self):
        config = RunConfig(**QUICK, steps=10)
        tf.random.set_seed(config.seed)
        run = Run(config)
        run.train()
        text = run.generator().generate('to ', length=20)
        self.assertLen(text, 23)
        self.assertStartsWith(text, 'to ')

    def test_is_the_public_name(self):
        self.assertIs(tfcharrnn.Run, Run)

    def test_equals_the_command_bit_for_bit(self):
        outcome = make(
            model_dir='ours',
            optimizer='adam',
            sample_every=20,
            sample_length=12,
            temperatures=(0.5, 1),
            steps=20,
            prompt=running_commands.PROMPT,
        ).train()
        self.copy_finished()
        self.assertEqual(weights('ours'), weights('bard'))
        self.assertEqual(weights('ours', 'best'), weights('bard', 'best'))
        self.assertEqual(metrics('ours'), metrics('bard'))
        self.assertEqual(samples('ours'), samples('bard'))
        self.assertEqual(
            flags_text('ours'),
            flags_text('bard')
            .replace('=bard', '=ours')
            .replace(r'--prompt=a\x0a\x20', r'--prompt=a\x0a\x20'),
        )
        self.assertEqual(outcome.checkpoint, os.path.join('ours', 'ckpt-20'))
        self.assertStartsWith(outcome.reason, 'All 20 steps are made')
        self.assertIsNone(outcome.signal)
        self.assertAlmostEqual(
            outcome.metrics['learning_rate'], 0.001, places=6
        )

    def test_a_restart_goes_on_bit_for_bit(self):
        make(model_dir='whole', steps=25).train()

        # It stops where a callback says so, here in Python.
        def stop(trainer, _):
            trainer.stop_training |= trainer.step >= 10

        stopped = make(steps=25).train([stop])
        self.assertIsNone(stopped.reason)
        self.assertIsNone(stopped.signal)
        self.assertEqual(stopped.checkpoint, os.path.join('bard', 'ckpt-10'))
        run = make(steps=25)
        self.assertIsNone(run.restored)
        run.train()
        self.assertEqual(run.restored, os.path.join('bard', 'ckpt-10'))
        self.assertEqual(weights('bard'), weights('whole'))
        self.assertEqual(metrics('bard'), metrics('whole'))
        # What happens at the end, happens at any last step.
        self.assertEqual(steps('bard'), [10, 20, 25])

    def test_a_run_trains_further_when_it_is_asked_again(self):
        run = make(steps=20)
        first = run.train([callbacks.every(10, _stop)])
        second = run.train()
        self.assertEqual(first.checkpoint, os.path.join('bard', 'ckpt-10'))
        self.assertEqual(second.checkpoint, os.path.join('bard', 'ckpt-20'))

    def test_a_finished_run_is_left_alone(self):
        self.copy_finished()
        before = contents('bard')
        config = settle({'model_dir': 'bard'})
        outcome = Run(config).train()
        self.assertEqual(outcome.metrics, {})
        self.assertIsNone(outcome.checkpoint)
        self.assertStartsWith(outcome.reason, 'All 20 steps are made')
        self.assertEqual(contents('bard'), before)

    def test_early_stopping_stops_and_stays_stopped(self):
        # Nothing is learnt, so no evaluation is better than the first.
        settings = {'learning_rate': 0.0, 'eval_every': 2, 'steps': 100}
        for patience, last in ((2, 6), (2, 6), (3, 8)):
            outcome = make(early_stopping=patience, **settings).train()
            self.assertStartsWith(
                outcome.reason, f'Training stopped early at step {last}, after '
            )
            self.assertEqual(steps('bard')[-1], last)

    def test_what_a_curriculum_says_of_rows_is_a_setting(self):
        run = make(curriculum='length:4@5,8', seq_length=100, steps=10)
        self.assertEqual(run.config.seq_length, 8)
        self.assertLen(run.stages, 2)
        run.train()
        self.assertEqual(model_dir.read_settings('bard').seq_length, 8)
        # With the config as it was given.
        again = make(curriculum='length:4@5,8', seq_length=100, steps=12)
        again.train()
        self.assertEqual(again.trainer.step, 12)

    def test_epochs_are_as_many_characters_with_a_curriculum(self):
        counts = []
        for curriculum in (None, 'length:2@20,5@50,10'):
            run = make(epochs=3, curriculum=curriculum)
            counts.append(curricula.count_chars(run.stages, run.steps))
        self.assertAlmostEqual(counts[1] / counts[0], 1.0, places=1)

    def test_auto_is_settled_once(self):
        with mock.patch(
            'tfcharrnn.running.devices.fast_precision', return_value='bfloat16'
        ):
            self.assertEqual(
                make(precision='auto').config.precision, 'bfloat16'
            )
            make(steps=1).train()  # With float32.
            run = make(precision='auto', steps=2)
        self.assertEqual(run.config.precision, 'float32')
        run.train()

    def test_progress_is_called_at_each_loop_and_with_each_validation(self):
        seen = []

        def progress(trainer, metrics):
            seen.append((trainer.step, 'valid_loss' in metrics))

        make(steps=20).train(progress=progress)
        validated = [step for step, is_valid in seen if is_valid]
        self.assertEqual(validated, [10, 20])
        self.assertContainsSubset({(10, False), (20, False)}, seen)

    def test_a_run_killed_at_the_end_repeats_its_last_steps(self):
        write = callbacks.JsonLines.__call__

        def fail_at_the_end(self, trainer, metrics):
            if trainer.step == 15:
                raise OSError('No space left.')
            write(self, trainer, metrics)

        run = make(steps=15, save_every=5)
        with mock.patch.object(
            callbacks.JsonLines, '__call__', fail_at_the_end
        ):
            with self.assertRaisesRegex(OSError, 'No space left'):
                run.train()
        run = make(steps=15, save_every=5)
        self.assertIsNotNone(run.train().checkpoint)
        self.assertEqual(run.restored, os.path.join('bard', 'ckpt-10'))
        self.assertEqual(steps('bard'), [10, 15])
        self.assertIsNone(make(steps=15, save_every=5).train().checkpoint)


class LostWorkerTest(RunTest):
    @parameterized.product(
        error=(tf.errors.UnavailableError, tf.errors.AbortedError),
        where=(
            'tfcharrnn.Trainer.train',
            'tensorflow.train.CheckpointManager.save',
        ),
    )
    def test_one_sentence_says_what_to_do(self, error, where):
        lost = error(None, None, 'Collective ops is aborted by: a heartbeat.')
        with mock.patch(where, side_effect=lost):
            with self.assertRaisesRegex(ConnectionError, 'Another worker has'):
                make().train()


def _stop(trainer, _):
    trainer.stop_training = True


class Noting:
    """A callback that notes how it is called."""

    def __init__(self):
        self.calls = []

    def begin(self, trainer, config):
        self.calls.append((trainer.step, config['rnn_units']))

    def __call__(self, trainer, metrics):
        self.calls.append(trainer.step)

    def close(self):
        self.calls.append('closed')


class BeginAndCloseTest(RunTest):
    def test_callbacks_are_begun_and_closed(self):
        noting = Noting()
        make(steps=4).train([callbacks.every(2, noting)])
        self.assertEqual(noting.calls, [(0, 4), 2, 4, 'closed'])
        # Nothing is left to do, so nothing begins.
        make(steps=4).train([noting])
        self.assertLen(noting.calls, 4)

    def test_callbacks_are_closed_after_an_exception(self):
        def fail(trainer, _):
            raise KeyError('A mistake.')

        progress = mock.Mock(spec=callbacks.Progress)
        noting = Noting()
        with self.assertRaises(KeyError):
            make(steps=4).train([noting, fail], progress=progress)
        self.assertEqual(
            (noting.calls[0], noting.calls[-1]), ((0, 4), 'closed')
        )
        progress.close.assert_called_once()

    def test_a_tracker_is_a_setting(self):
        tracker = Noting()
        with mock.patch(
            'tfcharrnn.training.trackers.make', return_value=tracker
        ) as make_tracker:
            make(steps=20, tracker='trackio').train()
        make_tracker.assert_called_once_with('trackio', name='bard')
        self.assertEqual(tracker.calls, [(0, 4), 10, 20, 'closed'])
        settle({'model_dir': 'bard', 'tracker': 'mlflow'})  # It may change.


class OpenedTest(RunTest):
    def test_shows_where_a_run_stands_and_changes_nothing(self):
        self.copy_finished()
        before = contents('bard')
        run = Run(settle({'model_dir': 'bard', 'steps': 30}))
        self.assertEqual(run.trainer.step, 0)
        with run.opened() as same:
            self.assertIs(same, run)
            self.assertEqual(run.trainer.step, 20)
            self.assertEqual(run.restored, os.path.join('bard', 'ckpt-20'))
            self.assertIsNone(run.reason_to_end())
        self.assertEqual(contents('bard'), before)

    def test_locks_the_folder(self):
        first, second = make(steps=2), make(steps=2)
        with first.opened():
            with self.assertRaisesRegex(BlockingIOError, "Another.*'bard'"):
                second.train()
            first.train()  # What is open is opened once.
        self.assertIsNotNone(second.reason_to_end() or second.train().reason)

    def test_one_that_another_process_trains_is_refused(self):
        self.copy_finished()
        process = running_commands.Process(_hold, 'bard')
        self.addCleanup(process.kill)
        while not pathlib.Path('held').exists():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        before = contents('bard')
        config = settle({'model_dir': 'bard', 'steps': 30})
        with self.assertRaisesRegex(BlockingIOError, 'Another process'):
            Run(config).train()
        self.assertEqual(contents('bard'), before)
        process.kill()  # And nothing is left to clear away.
        process.communicate()
        Run(config).train()

    def test_another_text_is_refused(self):
        make(steps=2).train()
        before = contents('bard')
        pathlib.Path(CORPUS).write_text(make_text(seed=1))
        with self.assertRaisesRegex(ValueError, 'not the one that this run'):
            make(steps=4).train()
        self.assertEqual(contents('bard'), before)

    @parameterized.parameters(
        ({'rnn_units': 8}, '`rnn_units` is 8, but was 4'),
        ({'seed': 1}, '`seed` is 1, but was 0'),
        ({'lowercase': True}, '`lowercase` is True, but was False'),
    )
    def test_other_settings_are_refused(self, settings, message):
        make(steps=2).train()
        before = contents('bard')
        with self.assertRaisesRegex(ValueError, f"'bard' holds .*{message}"):
            make(steps=4, **settings).train()
        self.assertEqual(contents('bard'), before)

    def test_other_settings_are_noticed_without_run_flags(self):
        make(steps=2, learning_rate=0.5).train()
        os.remove('bard/run.flags')
        before = contents('bard')
        path = re.escape(os.path.join('bard', 'run.flags'))
        with self.assertRaisesRegex(ValueError, f"'{path}' is missing or was"):
            make(steps=4).train()
        self.assertEqual(contents('bard'), before)
        make(steps=4, learning_rate=0.5).train()

    def test_overwrite_begins_anew(self):
        make(steps=2, cell='vanilla').train()
        run = make(steps=4, overwrite=True)
        run.train()
        self.assertIsNone(run.restored)
        self.assertEqual(run.trainer.step, 4)
        make(steps=4, model_dir='new').train()
        self.assertEqual(weights('bard'), weights('new'))
        self.assertFalse(model_dir.read_settings('bard').overwrite)

    def test_overwrite_deletes_once(self):
        run = make(steps=10, overwrite=True)
        run.train()
        before = contents('bard')
        self.assertIsNone(run.train().checkpoint)
        self.assertEqual(contents('bard'), before)

    def test_a_link_that_leads_out_is_refused(self):
        os.mkdir('bard')
        os.symlink(os.path.abspath(CORPUS), 'bard/model.json')
        with self.assertRaisesRegex(ValueError, 'is a link that leads out'):
            make(steps=2, overwrite=True).train()


def _hold(folder):
    from tfcharrnn import files

    with files.locked(folder):
        pathlib.Path('held').touch()
        time.sleep(600)


class InitFromTest(RunTest):
    """A run that begins with the weights of another one, 'bard'."""

    def setUp(self):
        super().setUp()
        make(steps=10).train()
        text = make_text(seed=1).replace('q', 'é').replace('the', 'a')
        pathlib.Path('new.txt').write_text(text)

    def begin(self, **settings):
        given = {**QUICK, 'corpus': 'new.txt', 'model_dir': 'new'}
        del given['rnn_units'], given['embedding_dim']  # Those of the other.
        config = settle({**given, 'init_from': 'bard', **settings})
        tf.random.set_seed(config.seed)
        return Run(config)

    def test_weights_come_along_and_the_step_starts_anew(self):
        run = self.begin(steps=3, optimizer='adam')
        self.assertEqual((run.trainer.step, run.config.rnn_units), (0, 4))
        there, known = tfcharrnn.load_model('bard')
        here = run.corpus.vocabulary
        kept = {*known.tokens} & {*here.tokens}
        self.assertEqual(run.transfer.num_kept, len(kept))
        self.assertEqual(run.transfer.num_new, len(here) - len(kept))
        self.assertEqual(run.transfer.num_left, len(known) - len(kept))
        self.assertGreater(run.transfer.num_new, 0)
        for char in kept:
            self.assertEqual(
                run.model.bias[here.tokens.index(char)],
                there.bias[known.tokens.index(char)],
            )
        run.train()
        self.assertEqual(model_dir.read_settings('new').init_from, 'bard')

    @parameterized.parameters(1, 13)
    def test_a_restart_is_exact_and_needs_the_other_folder_no_more(self, step):
        options = {'steps': 20, 'save_every': 10, 'average': 0.9}
        self.begin(**options, model_dir='whole').train()

        def break_off(trainer, _):
            if trainer.step >= step:
                raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.begin(**options).train([callbacks.every(1, break_off)])
        shutil.rmtree('bard')
        run = Run(settle({'model_dir': 'new'}))
        self.assertIsNone(run.transfer)
        run.train()
        self.assertEndsWith(run.restored, f'ckpt-{step // 10 * 10}')
        self.assertEqual(weights('new'), weights('whole'))
        self.assertEqual(metrics('new'), metrics('whole'))

    def test_lines_begin_with_a_stream(self):
        run = self.begin(steps=2, lines=True)
        self.assertTrue(run.corpus.vocabulary.lines)
        run.train()

    def test_words_begin_with_words(self):
        make(steps=2, level='word', model_dir='words').train()
        run = self.begin(steps=2, level='word', init_from='words')
        self.assertEqual(run.transfer.unit, 'token')
        run.train()

    def test_layers_that_are_given_must_be_those_of_the_other(self):
        message = '`rnn_units` is 4 there and 8 here'
        with self.assertRaisesRegex(ValueError, message):
            self.begin(rnn_units=8)
        with self.assertRaisesRegex(ValueError, '`rnn_units` is 4 there'):
            make(model_dir='new', init_from='bard', rnn_units=8)
        self.assertFalse(os.path.exists('new'))

    @parameterized.parameters('bard', 'bard/best')
    def test_its_own_folder_is_refused_before_it_is_deleted(self, source):
        before = contents('bard')
        with self.assertRaisesRegex(ValueError, 'in the `model_dir` of this'):
            make(overwrite=True, init_from=source)
        self.assertEqual(contents('bard'), before)

    def test_another_origin_is_another_run(self):
        self.begin(steps=2).train()
        with self.assertRaisesRegex(ValueError, '`init_from` is None, but'):
            make(corpus='new.txt', model_dir='new', steps=4).train()

    def test_the_command_says_what_came_along(self):
        run = self.begin()
        arguments = [f'--{k}={v}' for k, v in QUICK.items() if 'dim' not in k]
        status, out, err = running_commands.run(
            train,
            *arguments,
            *('--corpus=new.txt', '--model_dir=new', '--steps=1'),
            '--init_from=bard',
        )
        self.assertEqual((status, err), (0, ''))
        self.assertIn(f'\n{run.transfer}\n', out)
        status, out, err = running_commands.run(
            train, '--init_from=nowhere', f'--corpus={CORPUS}'
        )
        self.assertEqual((status, out), (1, ''))
        self.assertTrue(running_commands.is_sentence(err), err)


class SettleTest(RunTest):
    def test_what_is_not_given_is_that_of_the_run(self):
        self.copy_finished()
        saved = model_dir.read_settings('bard')
        self.assertEqual(settle({'model_dir': 'bard'}), saved)
        self.assertEqual(
            settle({'model_dir': 'bard', 'steps': 30}), saved.replace(steps=30)
        )

    def test_resume_needs_no_settings(self):
        make(steps=10).train()
        with self.assertRaisesRegex(ValueError, '`Run.resume` in Python'):
            Run(RunConfig(model_dir='bard', corpus=CORPUS, lines=True)).train()
        outcome = Run.resume('bard', {'steps': 15}).train()
        self.assertEqual(outcome.checkpoint, os.path.join('bard', 'ckpt-15'))
        with self.assertRaisesRegex(ValueError, '`rnn_units` is 8, but was 4'):
            Run.resume('bard', {'rnn_units': 8})

    def test_without_a_run_it_is_what_is_given(self):
        given = {'corpus': CORPUS, 'rnn_units': 7}
        self.assertEqual(settle(given), RunConfig(**given))

    def test_a_run_may_lie_in_the_folder_of_its_corpus(self):
        self.copy_finished()
        shutil.move('bard', 'runs/play')
        config = settle({'corpus': CORPUS})
        self.assertEqual(config.rnn_units, 4)
        self.assertEqual(config.folder, pathlib.Path('runs/play'))

    def test_overwrite_asks_no_settings_of_the_run(self):
        self.copy_finished()
        pathlib.Path('bard/run.flags').write_text('damaged')
        given = {'corpus': CORPUS, 'model_dir': 'bard', 'overwrite': True}
        self.assertEqual(settle(given), RunConfig(**given))

    def test_a_contradiction_is_refused(self):
        self.copy_finished()
        with self.assertRaisesRegex(ValueError, '`rnn_units` is 7, but was 4'):
            settle({'model_dir': 'bard', 'rnn_units': 7})


class SignalTest(RunTest):
    """A process that runs these lines is stopped in the middle."""

    STEPS = 60

    def test_sigterm_saves_and_says_so(self):
        process = running_commands.Process(_train_slowly, str(self.STEPS))
        self.addCleanup(process.kill)
        path = pathlib.Path('bard/metrics.jsonl')
        while not path.exists():
            self.assertIsNone(process.poll(), 'It has ended by itself.')
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        self.assertEqual((process.returncode, err), (0, ''))
        number, step = map(int, out.split())
        self.assertEqual(number, signal.SIGTERM)
        self.assertBetween(step, 10, self.STEPS - 1)
        run = make(steps=self.STEPS)
        run.train()
        self.assertEqual(run.restored, os.path.join('bard', f'ckpt-{step}'))
        make(steps=self.STEPS, model_dir='whole').train()
        self.assertEqual(weights('bard'), weights('whole'))
        self.assertEqual(metrics('bard'), metrics('whole'))

    def test_in_a_thread_nothing_is_caught(self):
        run, outcomes, handlers = make(steps=5), [], []

        def note(trainer, _):
            handlers.append(signal.getsignal(signal.SIGTERM))

        def work():
            with in_folder(os.getcwd()):
                outcomes.append(run.train([note]))

        thread = threading.Thread(target=work)
        usual = signal.getsignal(signal.SIGTERM)
        thread.start()
        thread.join()
        self.assertEqual({*handlers}, {usual})
        self.assertEqual(outcomes[0].checkpoint, 'bard/ckpt-5')

    def test_handlers_are_put_back(self):
        usual = signal.getsignal(signal.SIGTERM)

        def send(trainer, _):
            self.assertNotEqual(signal.getsignal(signal.SIGTERM), usual)
            os.kill(os.getpid(), signal.SIGTERM)
            # A second one would act as usual.
            self.assertEqual(signal.getsignal(signal.SIGTERM), usual)

        outcome = make(steps=9).train([callbacks.every(3, send)])
        self.assertEqual(outcome.signal, signal.SIGTERM)
        self.assertEqual(outcome.checkpoint, 'bard/ckpt-3')
        self.assertEqual(signal.getsignal(signal.SIGTERM), usual)

    def test_a_signal_at_the_last_step_changes_nothing(self):
        def send(trainer, _):
            os.kill(os.getpid(), signal.SIGTERM)

        outcome = make(steps=3).train([callbacks.every(3, send)])
        self.assertIsNone(outcome.signal)
        self.assertStartsWith(outcome.reason, 'All 3 steps are made')


def _train_slowly(num_steps):
    def wait(trainer, _):
        time.sleep(0.05)

    run = make(steps=int(num_steps))
    outcome = run.train([wait])
    print(int(outcome.signal), run.trainer.step)


class CommandTest(RunTest):
    def test_goes_on_with_a_run_from_python(self):
        make(steps=10).train()
        status, out, err = running_commands.run(
            train, '--model_dir=bard', '--steps=20'
        )
        self.assertEqual((status, err), (0, ''))
        self.assertIn('Going on at step 10', out)
        make(model_dir='whole', steps=20).train()
        self.assertEqual(weights('bard'), weights('whole'))

    def test_its_flags_are_these_settings(self):
        flags = running_commands.QUICK
        self.assertContainsSubset(TINY[:5], flags)
        given = {**QUICK, 'sample_length': 12, 'temperatures': (0.5, 1.0)}
        read = fields.parse_flags(RunConfig, flags)
        self.assertEqual(
            RunConfig(**read, corpus=CORPUS, model_dir='bard'),
            RunConfig(**given),
        )


if __name__ == '__main__':
    tf.test.main()
