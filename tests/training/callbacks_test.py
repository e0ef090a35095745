import json
import math
import pathlib
import tempfile
import types
from unittest import mock

import tensorflow as tf
import toys
from absl.testing import parameterized
from tensorboard.backend.event_processing import event_file_loader

from tfcharrnn.training import callbacks
from tfcharrnn.training.callbacks import every
from tfcharrnn.training.record import Record

METRICS = {'loss': 1.5, 'chars_per_second': 2000.0}
VALID = {'valid_loss': 1.25, 'valid_bits_per_char': 1.8}


def at(step, record=None):
    """A trainer, as far as most callbacks know it."""
    return types.SimpleNamespace(
        step=step, record=record or Record(), stop_training=False
    )


def make_toy():
    tf.random.set_seed(1)
    return toys.make_trainer(steps_per_loop=2)


class FolderTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)


class EveryTest(tf.test.TestCase, parameterized.TestCase):
    def test_calls_at_the_multiples_of_its_period(self):
        trainer, batches = make_toy(), toys.streams()
        third, fifth = toys.Recorder(), toys.Recorder()
        for steps in (4, 7, 13):  # The steps are global.
            callbacks_ = [every(3, third), every(5, fifth)]
            trainer.train(batches, steps, callbacks_)
        self.assertEqual([step for step, _ in third.calls], [3, 6, 9, 12])
        self.assertEqual([step for step, _ in fifth.calls], [5, 10])

    def test_the_order_is_kept_and_one_period_shares_the_metrics(self):
        seen = []

        def add(trainer, metrics):
            metrics['added'] = trainer.step

        def look(period):
            return every(
                period,
                lambda trainer, metrics: seen.append(
                    (trainer.step, period, metrics.get('added'))
                ),
            )

        make_toy().train(
            toys.streams(),
            steps=6,
            callbacks=[look(2), every(2, add), look(3), look(2)],
        )
        self.assertEqual(
            seen,
            [
                (2, 2, None),
                (2, 2, 2),
                (3, 3, None),
                (4, 2, None),
                (4, 2, 4),
                (6, 2, None),
                (6, 3, None),
                (6, 2, 6),
            ],
        )

    def test_the_metrics_are_those_since_the_last_multiple(self):
        each, third = toys.Recorder(), toys.Recorder()
        callbacks_ = [every(1, each), every(3, third)]
        make_toy().train(toys.streams(), steps=6, callbacks=callbacks_)
        losses = [metrics['loss'] for _, metrics in each.calls]
        means = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
        self.assertAllClose([m['loss'] for _, m in third.calls], means)

    @parameterized.parameters(0, -1, 0.5, 1.5, math.nan, math.inf)
    def test_a_period_that_is_none_is_refused(self, steps):
        with self.assertRaisesRegex(ValueError, f'`steps` is {steps}'):
            every(steps, print)


class EvaluateTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trainer = make_toy()
        cls.trainer.train(toys.streams(), steps=3)

    @parameterized.parameters('valid', 'test')
    def test_adds_what_the_trainer_measures_under_a_prefix(self, name):
        trainer, batches = self.trainer, toys.streams(300)
        metrics = {'loss': 1.0}
        arguments = () if name == 'valid' else (name,)
        callbacks.Evaluate(batches, *arguments)(trainer, metrics)
        expected = {
            f'{name}_{k}': v for k, v in trainer.evaluate(batches).items()
        }
        self.assertEqual(metrics, {'loss': 1.0, **expected})
        for metric in ('loss', 'bits_per_char', 'perplexity', 'accuracy'):
            self.assertIn(f'{name}_{metric}', metrics)

    def test_leaves_training_as_it_is(self):
        before = toys.snapshot(self.trainer)
        callbacks.Evaluate(toys.streams(300))(self.trainer, {})
        toys.assert_same(toys.snapshot(self.trainer), before)


class EarlyStoppingTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        (1, [3.0, 2.0, 2.5], 3),
        (2, [3.0, 2.0, 2.5, 2.4], 4),
        (2, [3.0, 2.0, 2.5, 1.9, 2.0, 2.0], 6),
        (2, [3.0, 2.0, 1.0, 0.5, 0.25], None),
        (2, [1.0, 1.0, 1.0], 3),  # No better is not better.
        (1, [1.0, math.nan], 2),
        (1, [math.nan], 1),
    )
    def test_stops_after_so_many_without_a_new_minimum(
        self, patience, losses, stop
    ):
        trainer = at(0)
        stopping = callbacks.EarlyStopping(patience)
        for call, loss in enumerate(losses, 1):
            stopping(trainer, {'valid_loss': loss})
            self.assertEqual(trainer.stop_training, call == stop)
            self.assertEqual(stopping.has_waited(trainer), call == stop)

    def test_better_is_by_more_than_min_delta(self):
        trainer = at(0)
        stopping = callbacks.EarlyStopping(1, metric='loss', min_delta=0.5)
        for loss, stops in ((2.0, False), (1.25, False), (0.75, True)):
            stopping(trainer, {'loss': loss})
            self.assertEqual(trainer.stop_training, stops)

    def test_a_restart_waits_on(self):
        record = Record()
        for loss, stops in ((1.0, False), (2.0, False), (2.0, True)):
            # As in a checkpoint.
            record = Record.from_json(json.loads(json.dumps(record.to_json())))
            trainer = at(0, record)
            stopping = callbacks.EarlyStopping(2)
            self.assertFalse(stopping.has_waited(trainer))
            stopping(trainer, {'valid_loss': loss})
            self.assertEqual(trainer.stop_training, stops)
        self.assertTrue(callbacks.EarlyStopping(2).has_waited(trainer))
        self.assertFalse(callbacks.EarlyStopping(3).has_waited(trainer))

    def test_each_metric_is_waited_for_by_itself(self):
        trainer = at(0)
        one = callbacks.EarlyStopping(2, metric='one')
        two = callbacks.EarlyStopping(2, metric='two')
        for value in (3.0, 2.0, 1.0):
            metrics = {'one': value, 'two': 0.5}
            one(trainer, metrics)
            two(trainer, metrics)
        self.assertFalse(one.has_waited(trainer))
        self.assertTrue(two.has_waited(trainer))

    def test_ends_the_training(self):
        trainer = make_toy()

        def add(trainer, metrics):
            metrics['valid_loss'] = 1.0

        trainer.train(
            toys.streams(),
            steps=100,
            callbacks=[every(3, add), every(3, callbacks.EarlyStopping(2))],
        )
        self.assertEqual(trainer.step, 9)

    def test_a_metric_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(ValueError, "'valid_loss'.*Evaluate"):
            callbacks.EarlyStopping(1)(at(0), METRICS)

    @parameterized.parameters(0, -1)
    def test_no_patience_is_refused(self, patience):
        with self.assertRaisesRegex(ValueError, f'`patience` is {patience}'):
            callbacks.EarlyStopping(patience)


class JsonLinesTest(FolderTest):
    def setUp(self):
        super().setUp()
        self.path = self.folder / 'metrics.jsonl'

    def read(self):
        lines = self.path.read_text('utf-8').splitlines()
        return [json.loads(line, parse_constant=self.fail) for line in lines]

    def test_a_line_is_an_object_with_the_step_and_all_metrics(self):
        write = callbacks.JsonLines(self.path)
        write(at(10), METRICS)
        write(at(20), {**METRICS, **VALID})
        self.assertEqual(
            self.read(),
            [{'step': 10, **METRICS}, {'step': 20, **METRICS, **VALID}],
        )

    @parameterized.parameters(math.inf, -math.inf, math.nan)
    def test_what_json_cannot_say_is_null(self, value):
        callbacks.JsonLines(self.path)(at(1), {'loss': 1.0, 'accuracy': value})
        expected = [{'step': 1, 'loss': 1.0, 'accuracy': None}]
        self.assertEqual(self.read(), expected)

    @parameterized.parameters(
        ([1, 2, 3], [4]),
        ([1, 2, 3], [3, 4]),
        ([2, 4, 10, 12], [6, 8, 10]),
        ([9, 10, 11], [1, 2]),
    )
    def test_no_step_is_told_twice_after_a_restart(self, before, after):
        for steps in (before, after):
            write = callbacks.JsonLines(self.path)
            for step in steps:
                write(at(step), {'loss': 1.0})
        kept = [step for step in before if step < after[0]]
        steps = [line['step'] for line in self.read()]
        self.assertEqual(steps, kept + after)

    @parameterized.parameters('{"step": 20, "lo', '{"step": 2', '{')
    def test_a_line_that_a_crash_cut_off_is_dropped(self, rest):
        callbacks.JsonLines(self.path)(at(10), METRICS)
        with open(self.path, 'a') as file:
            file.write(rest)
        callbacks.JsonLines(self.path)(at(20), METRICS)
        self.assertEqual([line['step'] for line in self.read()], [10, 20])


class TensorBoardTest(FolderTest):
    def read(self, name):
        """Returns {tag: [(step, value)]} of all events in a folder."""
        events = {}
        for path in sorted((self.folder / name).iterdir()):
            for event in event_file_loader.EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    array = tf.make_ndarray(value.tensor)
                    new = event.step, array.reshape(-1)[0]
                    events.setdefault(value.tag, []).append(new)
        return events

    def test_training_and_validation_are_two_curves_of_one_chart(self):
        write = callbacks.TensorBoard(self.folder)
        write(at(10), METRICS)
        write(at(20), {**METRICS, **VALID})
        self.assertEqual(
            self.read('train'),
            {
                'loss': [(10, 1.5), (20, 1.5)],
                'chars_per_second': [(10, 2000.0), (20, 2000.0)],
            },
        )
        valid = self.read('valid')
        self.assertEqual(valid['loss'], [(20, 1.25)])
        self.assertAllClose(valid['bits_per_char'], [(20, 1.8)])

    def test_a_text_is_shown_as_it_is(self):
        write = callbacks.TensorBoard(self.folder)
        write.text(at(10), 'temperature 1', '# no\n*markdown*')
        ((step, text),) = self.read('train')['temperature 1']
        self.assertEqual(step, 10)
        # Four spaces make Markdown leave a line alone.
        self.assertEqual(text.decode(), '    # no\n    *markdown*\n')

    def test_a_missing_package_is_named(self):
        with mock.patch('importlib.util.find_spec', return_value=None):
            with self.assertRaisesRegex(
                ImportError, r"pip install 'tfcharrnn\[tensorboard\]'"
            ):
                callbacks.TensorBoard(self.folder)


if __name__ == '__main__':
    tf.test.main()
