import math
import multiprocessing
import os
import pathlib
import shutil
import signal
import time
from unittest import mock

import saving
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import data
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.callbacks import every
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.model_dir import load_model
from tfcharrnn.training.trainer import Trainer

LINES = ['abcd'[: n % 4 + 1] for n in range(20)]
RUNS = {
    'gru_streams': (
        {},
        lambda: data.sequences(toys.text(100), 5, batch_size=3),
    ),
    'lstm_chunks': (
        {'cell': 'lstm'},
        lambda: data.sequences(toys.text(100), 5, batch_size=3, shuffle=True),
    ),
    'two_layers_with_dropout_lines': (
        {'num_layers': 2, 'dropout': 0.5, 'cell': 'vanilla'},
        lambda: data.lines(LINES, Vocabulary('\nabcd'), batch_size=3),
    ),
}
MISMATCHES = [
    ('adamw', 'adam'),
    ('adamax', 'adam'),
    ('rmsprop', 'adam'),
    ('sgd', 'adam'),
    ('adam', 'sgd'),
    ('sgd', 'momentum'),
    ('momentum', 'sgd'),
    ('adam', 'amsgrad'),
    ('amsgrad', 'adam'),
    ('adam', 'average'),
    ('average', 'adam'),
    ('adam', 'schedule'),
    ('schedule', 'adam'),
]


def train_on(model_dir, steps):
    """Goes on from what there is, saving after each step."""
    trained = saving.make_toy()
    checkpointer = Checkpointer(model_dir, trained, saving.CHARACTERS)
    checkpointer.restore()
    trained.train(toys.streams(), steps, [every(1, checkpointer)])


class ResumeTest(saving.FolderTest):
    @parameterized.named_parameters((name, *run) for name, run in RUNS.items())
    def test_goes_on_bit_for_bit(self, config, make_dataset):
        stopped, end = 17, 40  # Inside a pass, a loop, and every period.
        results = []
        for seed in (0, 1):
            tf.random.set_seed(seed)
            trained = saving.make(**config)
            checkpointer = self.checkpointer(trained)
            dataset = make_dataset()
            if not checkpointer.restore():
                trained.train(dataset, stopped, [toys.Recorder(7)])
                trained.record.notes['best'] = math.inf
                checkpointer.save()
            before = toys.snapshot(trained)
            recorders = [toys.Recorder(7), toys.Recorder(10)]
            trained.train(dataset, end, recorders)
            results.append((before, toys.snapshot(trained), recorders[0].calls))
        self.assertEqual(trained.record.place.position, end)
        self.assertGreater(end, 2 * len(dataset))
        toys.assert_same(*results)

    def test_saving_changes_nothing(self):
        results = []
        for save in (False, True):
            tf.random.set_seed(0)
            trained, recorder = saving.make_toy(), toys.Recorder(7)
            callbacks = [every(3, self.checkpointer(trained))] if save else []
            trained.train(toys.streams(), 20, [*callbacks, recorder])
            results.append(
                (toys.snapshot(trained)['variables'], recorder.calls)
            )
        toys.assert_same(*results)

    def test_killed_at_any_moment_it_goes_on_bit_for_bit(self):
        tf.random.set_seed(0)
        checkpointer = self.checkpointer(saving.make_toy())
        checkpointer.save()
        processes = multiprocessing.get_context('forkserver')
        processes.set_forkserver_preload(['tensorflow', 'keras'])
        saved = pathlib.Path(self.model_dir, 'checkpoint')
        for seconds in (0.1, 0.033):
            before = saved.read_text().splitlines()[0]  # The latest.
            process = processes.Process(
                target=train_on, args=(self.model_dir, 10**6)
            )
            process.start()
            while saved.read_text().splitlines()[0] == before:
                self.assertTrue(process.is_alive())
                time.sleep(0.01)
            time.sleep(seconds)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            self.assertEqual(process.exitcode, -signal.SIGKILL)
        restored, undisturbed = saving.make_toy(), checkpointer.trainer
        self.assertIsNotNone(self.checkpointer(restored).restore())
        self.assertGreater(restored.step, 1)
        steps = restored.step + 10
        for each in (restored, undisturbed):
            each.train(toys.streams(), steps)
        toys.assert_same(toys.snapshot(restored), toys.snapshot(undisturbed))

    def test_what_was_not_trained_yet_can_be_saved(self):
        first = saving.make_toy()
        self.checkpointer(first).save()
        second = saving.make_toy()
        self.checkpointer(second).restore()
        for each in (first, second):
            each.train(toys.streams(), 5)
        toys.assert_same(toys.snapshot(second), toys.snapshot(first))

    def test_without_a_checkpoint_it_starts_fresh_and_writes_nothing(self):
        self.assertIsNone(self.checkpointer().restore())
        self.assertFalse(os.path.exists(self.model_dir))

    def test_a_directory_may_be_moved(self):
        path = self.save_at(1, 2).save()
        self.model_dir = shutil.move(self.model_dir, f'{self.model_dir}_moved')
        checkpointer = self.checkpointer()
        self.assertEqual(
            checkpointer.restore(), path.replace('/run/', '/run_moved/')
        )
        self.assertEqual(checkpointer.trainer.step, 2)
        self.assertEqual(self.loaded_step(), 2)

    def test_the_learning_rate_is_restored_until_it_is_assigned(self):
        first, second = saving.make(), saving.make()
        first.optimizer.learning_rate = 0.5
        self.checkpointer(first).save()
        self.checkpointer(second).restore()
        self.assertEqual(second.optimizer.learning_rate, 0.5)
        second.optimizer.learning_rate = 0.25
        self.assertEqual(second.optimizer.learning_rate, 0.25)

    def test_a_loss_that_is_not_finite_leaves_the_checkpoints(self):
        saved = {}

        def poison(trained, metrics):
            saved.update(saving.contents(self.model_dir))
            trained.model.weight.assign(trained.model.weight * math.nan)

        trained = saving.make_toy()
        saves = every(2, self.checkpointer(trained))
        with self.assertRaisesRegex(FloatingPointError, 'at step 5,'):
            trained.train(toys.streams(), 20, [saves, every(4, poison)])
        self.assertEqual(saving.contents(self.model_dir), saved)
        restored = saving.make_toy()
        self.checkpointer(restored).restore()
        self.assertEqual(restored.step, 4)
        restored.train(toys.streams(), 20)


class KeepTest(saving.FolderTest):
    def assert_kept(self, *names):
        paths = pathlib.Path(self.model_dir).rglob('*.index')
        kept = {str(path.relative_to(self.model_dir)) for path in paths}
        self.assertEqual(kept, {f'{name}.index' for name in names})

    @parameterized.parameters(1, 2, 3)
    def test_the_latest_are_kept(self, number):
        for steps in ([1, 2, 4], [5, 10]):  # A restart in between.
            checkpointer = self.checkpointer(max_to_keep=number)
            checkpointer.restore()
            for step in steps:
                self.go_to(checkpointer, step)
                path = checkpointer.save()
                self.assertEqual(path, f'{self.model_dir}/ckpt-{step}')
        kept = [1, 2, 4, 5, 10][-number:]
        self.assert_kept(*[f'ckpt-{step}' for step in kept])

    def test_one_at_least_is_kept(self):
        with self.assertRaisesRegex(ValueError, '`max_to_keep` is 0'):
            self.checkpointer(max_to_keep=0)

    def test_the_best_is_kept_through_restarts(self):
        # Loss, and whether it is the best yet.
        losses = [3.0, 2.0, 2.5, math.nan, 2.0, 1.9, 2.1, None]
        best_steps = [1, 2, 2, 2, 2, 6, 6, 6]
        for step, loss in enumerate(losses, start=1):
            checkpointer = self.checkpointer(max_to_keep=2)
            checkpointer.restore()
            self.go_to(checkpointer, step)
            metrics = {} if loss is None else {'valid_loss': loss}
            checkpointer(checkpointer.trainer, metrics)
            best = best_steps[step - 1]
            self.assertEqual(self.loaded_step('best'), best)
            self.assertEqual(self.loaded_step(), step)
        self.assert_kept('ckpt-7', 'ckpt-8', f'best/ckpt-{best}')
        self.assertEqual(checkpointer.trainer.record.best.loss, 1.9)
        self.assertEqual(checkpointer.trainer.record.best.step, best)

    def test_saved_twice_at_a_step_it_is_written_once(self):
        checkpointer = self.save_at(1, 2)
        before = saving.contents(self.model_dir)
        path = checkpointer.save()
        self.assertEqual(path, f'{self.model_dir}/ckpt-2')
        self.assertEqual(saving.contents(self.model_dir), before)
        self.assert_kept('ckpt-1', 'ckpt-2')

    def test_what_callbacks_learn_after_a_save_can_be_saved(self):
        checkpointer = self.save_at(1, 2)
        checkpointer(checkpointer.trainer, {'valid_loss': 1.0})
        checkpointer = self.checkpointer()
        checkpointer.restore()
        self.assertEqual(checkpointer.trainer.record.best.loss, 1.0)
        self.assert_kept('ckpt-1', 'ckpt-2', 'best/ckpt-2')


class KeepBestTest(saving.FolderTest):
    def start(self):
        trainer = toys.make_trainer()
        checkpointer = self.checkpointer(trainer, max_to_keep=2)
        checkpointer.restore()
        return trainer, checkpointer

    def train(self, *losses):
        """Goes on for two steps for each loss that is to be validated."""
        trainer, checkpointer = self.start()
        first, weights = trainer.step, {}

        def validate(trainer, metrics):
            metrics['valid_loss'] = losses[(trainer.step - first) // 2 - 1]
            weights[trainer.step] = self.weights(trainer.model)

        trainer.train(
            toys.streams(),
            first + 2 * len(losses),
            [
                every(2, validate),
                every(2, checkpointer.keep_best),
                every(2, checkpointer),
            ],
        )
        return weights

    @staticmethod
    def weights(model):
        return [variable.numpy() for variable in model.trainable_variables]

    def best(self):
        model, _ = load_model(self.model_dir, 'best', build=toys.FrequencyModel)
        return self.weights(model)

    def test_the_smallest_validation_loss_is_kept_across_restarts(self):
        weights = self.train(3.0, 1.0, 2.0, 1.5)
        toys.assert_same(self.best(), weights[4])
        self.train(1.25, math.nan, 1.0)
        toys.assert_same(self.best(), weights[4])
        weights = self.train(0.5)
        toys.assert_same(self.best(), weights[16])
        # The latest ones are kept beside it.
        self.assertEqual(
            sorted(
                path.name
                for path in pathlib.Path(self.model_dir).glob('ckpt-*.index')
            ),
            ['ckpt-14.index', 'ckpt-16.index'],
        )

    def test_without_a_validation_there_is_no_best(self):
        trainer, checkpointer = self.start()
        trainer.train(toys.streams(), 2, [every(2, checkpointer.keep_best)])
        self.assertFalse(os.path.exists(self.model_dir))


class RefuseTest(saving.FolderTest):
    def test_a_vocabulary_of_another_size(self):
        with self.assertRaisesRegex(ValueError, 'knows .* vocabulary has 2'):
            Checkpointer(self.model_dir, saving.make(), Vocabulary('ab'))

    @parameterized.named_parameters(
        ('size', {'rnn_units': 8}, '`rnn_units` is 3 there and 8 here'),
        ('cell', {'cell': 'lstm'}, "`cell` is 'gru' there and 'lstm' here"),
        (
            'several',
            {'num_layers': 2, 'dropout': 0.5},
            '`dropout` is 0.0 .* 0.5 here; `num_layers` is 1 there and 2 here',
        ),
    )
    def test_another_architecture(self, config, difference):
        self.save_at(1)
        with self.assertRaisesRegex(ValueError, f'run.*{difference}'):
            self.checkpointer(saving.make(**config))

    @parameterized.parameters(
        ('abcdx', "5 .* there and 5 .* here .*'e', only here: 'x'"),
        ('abcd', "5 .* there and 4 .* here .*'e', only here: ''"),
        ('edcba', 'same characters in another order'),
    )
    def test_another_vocabulary(self, characters, difference):
        self.save_at(1)
        with self.assertRaisesRegex(ValueError, f'run.*{difference}'):
            self.checkpointer(vocabulary=Vocabulary(characters))

    @parameterized.parameters(*MISMATCHES)
    def test_another_optimizer(self, ours, theirs):
        self.checkpointer(saving.make(theirs)).save()
        before = saving.contents(self.model_dir)
        with self.assertRaisesRegex(ValueError, 'optimizer'):
            self.checkpointer(saving.make(ours)).restore()
        self.assertEqual(saving.contents(self.model_dir), before)

    def test_a_list_that_names_what_is_outside_deletes_nothing_there(self):
        self.save_at(1)
        outside = pathlib.Path(self.get_temp_dir(), 'ckpt-7.index')
        outside.write_text('precious')
        prefix = os.path.splitext(outside)[0]
        with open(os.path.join(self.model_dir, 'checkpoint'), 'w') as file:
            file.write(f'model_checkpoint_path: "{prefix}"\n')
            file.write(f'all_model_checkpoint_paths: "{prefix}"\n')
            file.write('all_model_checkpoint_timestamps: 1.0\n')
        checkpointer = self.checkpointer(max_to_keep=1)
        checkpointer.restore()
        for step in (8, 9):
            self.go_to(checkpointer, step)
            checkpointer.save()
        self.assertEqual(outside.read_text(), 'precious')
        self.assertEqual(self.loaded_step(), 9)

    @parameterized.parameters('.index', '.data-00000-of-00001')
    def test_written_once_more_what_was_there_is_safe_until_it_is(self, part):
        checkpointer = self.save_at(1)
        checkpointer.trainer.record.notes['more'] = True
        path = pathlib.Path(self.model_dir, f'ckpt-1{part}')

        def die(*args, **kwargs):
            path.write_bytes(b'half of')
            raise OSError(28, 'No space left on device')

        with mock.patch.object(tf.train.CheckpointManager, 'save', die):
            with self.assertRaisesRegex(OSError, 'ckpt-1.*No space.*before'):
                checkpointer.save()
        with self.assertLogs('absl', 'WARNING'):
            self.assertEqual(self.loaded_step(), 1)
        again = self.checkpointer()
        again.restore()
        self.go_to(again, 2)
        again.save()
        self.assertEmpty(list(pathlib.Path(self.model_dir).glob('*before*')))

    @parameterized.parameters(math.nan, math.inf)
    def test_weights_that_are_not_finite_are_not_saved(self, value):
        checkpointer = self.save_at(1)
        before = saving.contents(self.model_dir)
        self.go_to(checkpointer, 2)
        checkpointer.trainer.model.bias.assign([value] * toys.VOCAB)
        for save in (
            checkpointer.save,
            lambda: checkpointer(checkpointer.trainer, {'valid_loss': 1.0}),
        ):
            with self.assertRaisesRegex(FloatingPointError, 'bias.*step 2'):
                save()
        self.assertEqual(saving.contents(self.model_dir), before)

    def test_averages_go_on(self):
        def start():
            return Trainer(
                toys.FrequencyModel(), saving.OPTIMIZERS['adam'](), average=0.9
            )

        dataset, once = toys.streams(), start()
        once.train(dataset, 2)
        self.checkpointer(once).save()
        once.train(dataset, 4)
        again = start()
        self.checkpointer(again).restore()
        again.train(toys.streams(), 4)
        self.assertAllClose(
            once.averages.variables, again.averages.variables, 0, 0
        )


if __name__ == '__main__':
    tf.test.main()
