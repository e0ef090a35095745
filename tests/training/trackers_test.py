import importlib.util
import os
import pathlib
import tempfile
import types
from unittest import mock

import tensorflow as tf
import toys
from absl.testing import parameterized
from running_commands import in_folder

from tfcharrnn import callbacks
from tfcharrnn.training import trackers


def fake(calls, *, has_id=False):
    """A module with the three calls, which notes them."""

    def note(what):
        return lambda *args, **kwargs: calls.append((what, *args, kwargs))

    def init(project, name, config, resume):
        calls.append(('init', project, name, config, resume))

    def init_with_id(project, name, config, resume, id):
        calls.append(('init', project, name, config, resume, id))

    return types.SimpleNamespace(
        __name__='fake',
        init=init_with_id if has_id else init,
        log=note('log'),
        finish=note('finish'),
    )


def train(trainer, tracker, steps):
    every = callbacks.every(2, tracker)
    config = {'rnn_units': 4, 'temperatures': (0.5, 1.0)}
    with callbacks.begun([every], trainer, config):
        trainer.train(toys.streams(), steps, [every])


class TrackerTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        self.trainer = toys.make_trainer()

    def test_makes_three_calls(self):
        calls = []
        train(self.trainer, trackers.Tracker(fake(calls), name='bard'), 4)
        first, *logs, last = calls
        name = self.trainer.record.notes['tracker']
        self.assertRegex(name, r'^bard-[0-9a-f]{6}$')
        config = {'rnn_units': 4, 'temperatures': (0.5, 1.0)}
        self.assertEqual(first, ('init', 'tfcharrnn', name, config, 'allow'))
        self.assertEqual([log[2] for log in logs], [{'step': 2}, {'step': 4}])
        self.assertContainsSubset({'loss', 'accuracy'}, logs[0][1])
        self.assertEqual(last, ('finish', {}))

    def test_a_restart_goes_on_under_the_same_name(self):
        calls = []
        for _ in range(2):
            tracker = trackers.Tracker(fake(calls, has_id=True))
            train(self.trainer, tracker, 2)
        first, again = (call for call in calls if call[0] == 'init')
        self.assertEqual(first, again)
        self.assertEqual(first[2], first[-1])  # The name is the id.

    def test_two_runs_of_one_name_are_two(self):
        calls = []
        for _ in range(2):
            tracker = trackers.Tracker(fake(calls))
            train(toys.make_trainer(), tracker, 2)
        first, other = (call[2] for call in calls if call[0] == 'init')
        self.assertNotEqual(first, other)

    def test_a_service_that_refuses_is_named(self):
        def init(project, name, config, resume):
            raise RuntimeError('Not logged in.')

        module = fake([])
        module.init = init
        with self.assertRaisesRegex(
            ConnectionError, 'fake does not track this run: Not logged in. Set'
        ):
            train(self.trainer, trackers.Tracker(module), 2)

    @parameterized.parameters('wandb', 'trackio', 'mlflow')
    def test_a_missing_package_is_a_sentence(self, kind):
        with mock.patch('importlib.util.find_spec', return_value=None):
            with self.assertRaisesRegex(
                ValueError, rf"pip install 'tfcharrnn\[{kind}\]'"
            ):
                trackers.make(kind, name='bard')

    def test_a_folder_of_that_name_is_no_package(self):
        os.mkdir('comet')
        self.enter_context(mock.patch('sys.path', [os.getcwd()]))
        self.enter_context(
            mock.patch('tfcharrnn.training.trackers.TRACKERS', ('comet',))
        )
        with self.assertRaisesRegex(ValueError, 'comet, which is not install'):
            trackers.load('comet')

    def test_another_word_is_refused(self):
        with self.assertRaisesRegex(ValueError, '`tracker` is .comet'):
            trackers.make('comet', name='bard')

    def test_wandb_takes_it_offline(self):
        if importlib.util.find_spec('wandb') is None:
            self.skipTest('wandb is not installed.')
        with mock.patch.dict(
            os.environ, {'WANDB_MODE': 'offline', 'WANDB_SILENT': 'true'}
        ):
            train(self.trainer, trackers.make('wandb', name='bard'), 4)
        self.assertNotEmpty(list(pathlib.Path('wandb').glob('offline-run-*')))

    def test_trackio_takes_it(self):
        if importlib.util.find_spec('trackio') is None:
            self.skipTest('trackio is not installed.')
        folder = {'TRACKIO_DIR': os.path.abspath('trackio')}
        self.enter_context(mock.patch.dict(os.environ, folder))
        train(self.trainer, trackers.make('trackio', name='bard'), 4)
        import trackio

        name = self.trainer.record.notes['tracker']
        runs = {run.name: run for run in trackio.Api().runs('tfcharrnn')}
        self.assertIn(name, runs)

    def test_mlflow_takes_it(self):
        if importlib.util.find_spec('mlflow') is None:
            self.skipTest('mlflow is not installed.')
        import mlflow

        files = {'MLFLOW_ALLOW_FILE_STORE': 'true'}
        self.enter_context(mock.patch.dict(os.environ, files))
        mlflow.set_tracking_uri(pathlib.Path('mlruns').absolute().as_uri())
        train(self.trainer, trackers.make('mlflow', name='bard'), 4)
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name('tfcharrnn')
        (run,) = client.search_runs([experiment.experiment_id])
        self.assertEqual(run.data.params['rnn_units'], '4')
        steps = client.get_metric_history(run.info.run_id, 'loss')
        self.assertEqual([metric.step for metric in steps], [2, 4])
        self.assertEqual(run.info.status, 'FINISHED')


class BegunTest(parameterized.TestCase):
    def make(self, calls, name):
        return types.SimpleNamespace(
            begin=lambda trainer, config: calls.append((name, config)),
            close=lambda: calls.append((name, 'closed')),
        )

    @parameterized.parameters(None, ValueError, KeyboardInterrupt)
    def test_each_is_begun_and_closed_once(self, error):
        calls = []
        first, last = self.make(calls, 'first'), self.make(calls, 'last')
        every = callbacks.every
        parts = [print, first, every(2, last), every(3, first), every(4, last)]
        with self.assertRaises(error or StopIteration):
            with callbacks.begun(parts, None, {}):
                self.assertEqual(calls, [('first', {}), ('last', {})])
                raise error or StopIteration
        self.assertEqual(calls[2:], [('last', 'closed'), ('first', 'closed')])

    def test_what_did_not_begin_is_not_closed(self):
        calls = []
        first, last = self.make(calls, 'first'), self.make(calls, 'last')
        last.begin = mock.Mock(side_effect=OSError)
        with self.assertRaises(OSError):
            with callbacks.begun([first, last], None, {}):
                self.fail('It began.')
        self.assertEqual(calls, [('first', {}), ('first', 'closed')])

    def test_tensorboard_has_the_settings(self):
        if importlib.util.find_spec('tensorboard') is None:
            self.skipTest('tensorboard is not installed.')
        from tensorboard.backend.event_processing import event_accumulator
        from tensorboard.plugins.hparams import plugin_data_pb2

        folder = self.enter_context(tempfile.TemporaryDirectory())
        train(toys.make_trainer(), callbacks.TensorBoard(folder), 2)
        events = event_accumulator.EventAccumulator(f'{folder}/train')
        events.Reload()
        metadata = events.SummaryMetadata('_hparams_/session_start_info')
        data = plugin_data_pb2.HParamsPluginData.FromString(
            metadata.plugin_data.content
        )
        hparams = data.session_start_info.hparams
        self.assertEqual(hparams['rnn_units'].number_value, 4)
        self.assertEqual(hparams['temperatures'].string_value, '(0.5, 1.0)')
        self.assertIn('loss', events.Tags()['tensors'])


if __name__ == '__main__':
    tf.test.main()
