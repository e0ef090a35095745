import json
import math
import multiprocessing
import os
import pathlib
import shutil
import signal
import time
from unittest import mock

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import cells, checkpoints, data, files, model, trainer
from tfcharrnn.text.vocabulary import Vocabulary

optimizers = tf.keras.optimizers
CHARACTERS = Vocabulary('abcde')
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
OPTIMIZERS = {
    'adam': lambda: optimizers.Adam(0.1),
    'amsgrad': lambda: optimizers.Adam(0.1, amsgrad=True),
    'average': lambda: optimizers.Adam(0.1, use_ema=True),
    'schedule': lambda: optimizers.Adam(
        optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    ),
    'adamw': lambda: optimizers.AdamW(0.1),
    'adamax': lambda: optimizers.Adamax(0.1),
    'rmsprop': lambda: optimizers.RMSprop(0.1),
    'sgd': lambda: optimizers.SGD(0.1),
    'momentum': lambda: optimizers.SGD(0.1, momentum=0.9),
}
# Pairs of optimizers, the first of which must not go on from the second.
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
FILES = (
    'checkpoint',
    'ckpt-2.index',
    'ckpt-2.data-00000-of-00001',
    'model.json',
    'vocabulary.json',
)
DAMAGES = {
    'emptied': lambda content: b'',
    'cut': lambda content: content[: len(content) // 2],
    'replaced': lambda content: b'to be or not to be' * 200,
}


def make(optimizer='adam', **config):
    config = {'embedding_dim': 2, 'rnn_units': 3, **config}
    rnn = model.CharRNN(toys.VOCAB, **config)
    return trainer.Trainer(rnn, OPTIMIZERS[optimizer](), clip_norm=1.0)


def make_toy(kind=trainer.Trainer, **options):
    return kind(toys.FrequencyModel(), OPTIMIZERS['adam'](), **options)


def every(steps, callback):
    def call(trainer, metrics):
        callback(trainer, metrics)

    call.call_every = steps
    return call


def train_on(model_dir, steps):
    """Goes on from what there is, saving after each step."""
    trained = make_toy()
    checkpointer = checkpoints.Checkpointer(model_dir, trained, CHARACTERS)
    checkpointer.restore()
    trained.train(toys.streams(), steps, [every(1, checkpointer)])


def contents(directory):
    paths = sorted(pathlib.Path(directory).rglob('*'))
    return {path: path.read_bytes() for path in paths if path.is_file()}


class CheckpointsTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = os.path.join(self.get_temp_dir(), 'run')

    def checkpointer(self, trained=None, vocabulary=CHARACTERS, **options):
        return checkpoints.Checkpointer(
            self.model_dir, trained or make(), vocabulary, **options
        )

    def save_at(self, *steps):
        """Saves a model, other at each step; returns its checkpointer."""
        checkpointer = self.checkpointer()
        for step in steps:
            self.go_to(checkpointer, step)
            checkpointer.save()
        return checkpointer

    def go_to(self, checkpointer, step):
        checkpointer.trainer.step_variable.assign(step)
        checkpointer.trainer.model.bias.assign([float(step)] * toys.VOCAB)

    def loaded_step(self, checkpoint=None):
        rnn, _ = checkpoints.load_model(self.model_dir, checkpoint)
        return int(rnn.bias[0])


class ResumeTest(CheckpointsTest):
    @parameterized.named_parameters((name, *run) for name, run in RUNS.items())
    def test_goes_on_bit_for_bit(self, config, make_dataset):
        stopped, end = 17, 40  # Inside a pass, a loop, and every period.
        results = []
        for seed in (0, 1):
            tf.random.set_seed(seed)
            trained = make(**config)
            checkpointer = self.checkpointer(trained)
            dataset = make_dataset()
            if not checkpointer.restore():
                trained.train(dataset, stopped, [toys.Recorder(7)])
                trained.record['best'] = math.inf
                checkpointer.save()
            before = toys.snapshot(trained)
            recorders = [toys.Recorder(7), toys.Recorder(10)]
            trained.train(dataset, end, recorders)
            results.append((before, toys.snapshot(trained), recorders[0].calls))
        self.assertEqual(trained.position, end)
        self.assertGreater(end, 2 * len(dataset))
        toys.assert_same(*results)

    def test_saving_changes_nothing(self):
        results = []
        for save in (False, True):
            tf.random.set_seed(0)
            trained, recorder = make_toy(), toys.Recorder(7)
            callbacks = [every(3, self.checkpointer(trained))] if save else []
            trained.train(toys.streams(), 20, [*callbacks, recorder])
            results.append(
                (toys.snapshot(trained)['variables'], recorder.calls)
            )
        toys.assert_same(*results)

    def test_killed_at_any_moment_it_goes_on_bit_for_bit(self):
        tf.random.set_seed(0)
        checkpointer = self.checkpointer(make_toy())
        checkpointer.save()
        processes = multiprocessing.get_context('forkserver')
        processes.set_forkserver_preload(['tensorflow', 'keras'])
        for seconds in (0.1, 0.033):
            before = contents(self.model_dir)
            process = processes.Process(
                target=train_on, args=(self.model_dir, 10**6)
            )
            process.start()
            while contents(self.model_dir).keys() == before.keys():
                self.assertTrue(process.is_alive())
                time.sleep(0.01)
            time.sleep(seconds)
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            self.assertEqual(process.exitcode, -signal.SIGKILL)
        restored, undisturbed = make_toy(), checkpointer.trainer
        self.assertIsNotNone(self.checkpointer(restored).restore())
        self.assertGreater(restored.step, 1)
        steps = restored.step + 10
        for each in (restored, undisturbed):
            each.train(toys.streams(), steps)
        toys.assert_same(toys.snapshot(restored), toys.snapshot(undisturbed))

    def test_what_was_not_trained_yet_can_be_saved(self):
        first = make_toy()
        self.checkpointer(first).save()
        second = make_toy()
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
        first, second = make(), make()
        first.optimizer.learning_rate = 0.5
        self.checkpointer(first).save()
        self.checkpointer(second).restore()
        self.assertEqual(second.optimizer.learning_rate, 0.5)
        second.optimizer.learning_rate = 0.25
        self.assertEqual(second.optimizer.learning_rate, 0.25)

    def test_a_loss_that_is_not_finite_leaves_the_checkpoints(self):
        saved = {}

        def poison(trained, metrics):
            saved.update(contents(self.model_dir))
            trained.model.weight.assign(trained.model.weight * math.nan)

        trained = make_toy()
        saves = every(2, self.checkpointer(trained))
        with self.assertRaisesRegex(FloatingPointError, 'at step 5,'):
            trained.train(toys.streams(), 20, [saves, every(4, poison)])
        self.assertEqual(contents(self.model_dir), saved)
        restored = make_toy()
        self.checkpointer(restored).restore()
        self.assertEqual(restored.step, 4)
        restored.train(toys.streams(), 20)


class KeepTest(CheckpointsTest):
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
        self.assertEqual(checkpointer.trainer.record['best_valid_loss'], 1.9)
        self.assertEqual(checkpointer.trainer.record['best_step'], best)

    def test_saved_twice_at_a_step_it_is_written_once(self):
        checkpointer = self.save_at(1, 2)
        before = contents(self.model_dir)
        path = checkpointer.save()
        self.assertEqual(path, f'{self.model_dir}/ckpt-2')
        self.assertEqual(contents(self.model_dir), before)
        self.assert_kept('ckpt-1', 'ckpt-2')

    def test_what_callbacks_learn_after_a_save_can_be_saved(self):
        checkpointer = self.save_at(1, 2)
        checkpointer(checkpointer.trainer, {'valid_loss': 1.0})
        checkpointer = self.checkpointer()
        checkpointer.restore()
        self.assertEqual(checkpointer.trainer.record['best_valid_loss'], 1.0)
        self.assert_kept('ckpt-1', 'ckpt-2', 'best/ckpt-2')


class RefuseTest(CheckpointsTest):
    def test_a_vocabulary_of_another_size(self):
        with self.assertRaisesRegex(ValueError, 'knows .* vocabulary has 2'):
            checkpoints.Checkpointer(self.model_dir, make(), Vocabulary('ab'))

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
            self.checkpointer(make(**config))

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
        self.checkpointer(make(theirs)).save()
        before = contents(self.model_dir)
        with self.assertRaisesRegex(ValueError, 'optimizer'):
            self.checkpointer(make(ours)).restore()
        self.assertEqual(contents(self.model_dir), before)

    def damage(self, name, damage):
        path = pathlib.Path(self.model_dir, name)
        if damage == 'deleted':
            path.unlink()
        else:
            path.write_bytes(DAMAGES[damage](path.read_bytes()))

    def restored_step(self):
        checkpointer = self.checkpointer()
        checkpointer.restore()
        return checkpointer.trainer.step

    @parameterized.product(name=FILES[1:3], damage=[*DAMAGES, 'deleted'])
    def test_before_a_damaged_checkpoint_comes_the_last_good_one(
        self, name, damage
    ):
        self.save_at(1, 2)
        self.damage(name, damage)
        for step in (self.loaded_step, self.restored_step):
            with self.assertLogs('absl', 'WARNING') as logs:
                self.assertEqual(step(), 1)
            self.assertRegex(logs.output[0], "ckpt-2'.*Going on.*ckpt-1'")

    @parameterized.parameters('emptied', 'replaced', 'deleted')
    def test_the_list_is_not_needed(self, damage):
        self.save_at(9, 10)
        self.damage('checkpoint', damage)
        for step in (self.loaded_step, self.restored_step):
            with self.assertLogs('absl', 'WARNING') as logs:
                self.assertEqual(step(), 10)
            self.assertIn("checkpoint' is ", logs.output[0])
        self.save_at(11)
        self.assertEqual(self.loaded_step(), 11)

    @parameterized.product(name=FILES[1:], damage=list(DAMAGES))
    def test_a_damaged_file_is_named(self, name, damage):
        self.save_at(2)
        self.damage(name, damage)
        for read in (self.loaded_step, self.restored_step):
            with self.assertRaisesRegex(ValueError, name.split('.data')[0][:6]):
                read()

    @parameterized.parameters('model.json', 'vocabulary.json')
    def test_a_flipped_bit_of_a_description_is_noticed(self, name):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, name)
        content = path.read_bytes()
        expected, _ = checkpoints.load_model(self.model_dir)
        for place in range(len(content)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 7
            path.write_bytes(flipped)
            try:
                loaded, vocabulary = checkpoints.load_model(self.model_dir)
            except ValueError as error:
                self.assertIn(name, str(error))
            else:
                self.assertEqual(loaded.config, expected.config)
                self.assertEqual(vocabulary, CHARACTERS)

    @parameterized.parameters('model.json', 'vocabulary.json')
    def test_a_description_without_a_checksum_is_read(self, name):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, name)
        document = json.loads(path.read_text())
        del document['sha256']
        path.write_text(json.dumps(document))
        self.assertEqual(self.loaded_step(), 1)

    def test_a_description_of_another_model_is_refused(self):
        self.save_at(1)
        Vocabulary('edcba').save(
            os.path.join(self.model_dir, 'vocabulary.json')
        )
        with self.assertRaisesRegex(ValueError, 'another .*vocabulary.json'):
            checkpoints.load_model(self.model_dir)

    @parameterized.parameters(
        ('rnn_units', 10**9),
        ('rnn_units', 3000),
        ('num_layers', 10**9),
        ('embedding_dim', 10**12),
    )
    def test_a_size_is_checked_before_memory_is_taken(self, name, value):
        self.save_at(1)
        path = os.path.join(self.model_dir, 'model.json')
        config = {**checkpoints.read_config(path), name: value}
        files.write_json(
            path, {'format': 'tfcharrnn model', 'version': 1, 'model': config}
        )
        with self.assertRaisesRegex(ValueError, 'model.json.*bytes'):
            checkpoints.load_model(self.model_dir)

    @parameterized.parameters('checkpoint', 'model.json', 'metrics.jsonl')
    def test_a_link_that_leads_out_is_refused(self, name):
        self.save_at(1)
        outside = pathlib.Path(self.get_temp_dir(), 'outside')
        path = pathlib.Path(self.model_dir, name)
        if path.exists():
            path.rename(outside)
        path.symlink_to(outside)
        for read in (self.loaded_step, self.checkpointer):
            with self.assertRaisesRegex(ValueError, f'{name}.* leads out'):
                read()

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
        checkpointer.trainer.record['more'] = True
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
        before = contents(self.model_dir)
        self.go_to(checkpointer, 2)
        checkpointer.trainer.model.bias.assign([value] * toys.VOCAB)
        for save in (
            checkpointer.save,
            lambda: checkpointer(checkpointer.trainer, {'valid_loss': 1.0}),
        ):
            with self.assertRaisesRegex(FloatingPointError, 'bias.*step 2'):
                save()
        self.assertEqual(contents(self.model_dir), before)

    @parameterized.parameters(*FILES[1:3])
    def test_a_flipped_bit_is_noticed_or_does_no_harm(self, name):
        self.save_at(2)
        expected, _ = checkpoints.load_model(self.model_dir)
        path = pathlib.Path(self.model_dir, name)
        content, rng = path.read_bytes(), np.random.default_rng(0)
        noticed = 0
        for place in rng.integers(len(content), size=20):
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            try:
                loaded, _ = checkpoints.load_model(self.model_dir)
                self.assertAllEqual(loaded.kernel, expected.kernel)
                self.assertAllEqual(
                    loaded.cells[0].kernel, expected.cells[0].kernel
                )
            except ValueError:
                noticed += 1
        self.assertGreater(noticed, 0)

    def test_a_newer_version(self):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, 'model.json')
        files.write_json(
            path, {'format': 'tfcharrnn model', 'version': 2, 'model': {}}
        )
        for read in (checkpoints.read_config, lambda _: self.checkpointer()):
            with self.assertRaisesRegex(ValueError, 'model.json.*version 2'):
                read(path)

    def test_a_pickle_is_not_executed(self):
        class Intruder:
            def __reduce__(self):
                return pathlib.Path.touch, (pathlib.Path(proof),)

        proof = os.path.join(self.get_temp_dir(), 'proof')
        trained = make_toy()
        state = [np.array([Intruder()])]
        trained.progress = {**trained.progress, 'state': state}
        with self.assertRaisesRegex(ValueError, 'Object arrays|pickle'):
            self.checkpointer(trained).save()
            self.checkpointer(make_toy()).restore()
        self.assertFalse(os.path.exists(proof))


class LoadModelTest(CheckpointsTest):
    def test_the_model_has_the_averages_where_there_are_some(self):
        trained = make()
        rnn, optimizer = trained.model, trained.optimizer
        trained = trainer.Trainer(rnn, optimizer, average=0.5)
        trained.train(toys.streams(), 3)
        self.checkpointer(trained).save()
        loaded, _ = checkpoints.load_model(self.model_dir)
        self.assertAllClose(loaded.trainable_variables, trained.averages, 0, 0)
        self.assertNotAllEqual(loaded.kernel, trained.model.kernel)

    def test_averages_go_on(self):
        def start():
            return trainer.Trainer(
                toys.FrequencyModel(), OPTIMIZERS['adam'](), average=0.9
            )

        dataset, once = toys.streams(), start()
        once.train(dataset, 2)
        self.checkpointer(once).save()
        once.train(dataset, 4)
        again = start()
        self.checkpointer(again).restore()
        again.train(toys.streams(), 4)
        self.assertAllClose(once.averages, again.averages, 0, 0)

    def test_latest_best_or_a_path(self):
        checkpointer = self.save_at(1, 2)
        self.go_to(checkpointer, 3)
        checkpointer(checkpointer.trainer, {'valid_loss': 1.0})
        self.save_at(4)
        path = os.path.join(self.model_dir, 'ckpt-1')
        for checkpoint, step in {
            None: 4,
            'latest': 4,
            'best': 3,
            path: 1,
            f'{path}.index': 1,
            pathlib.Path(path): 1,
        }.items():
            self.assertEqual(self.loaded_step(checkpoint), step)

    @parameterized.parameters(
        {'cell': 'gru', 'layer_norm': True},
        {'cell': 'lstm', 'residual': True},
        {'cell': 'mingru', 'activation_penalty': 1.0},
        {'cell': 'vanilla', 'dropout': 'rows:0.1,locked'},
        {'embedding_dim': 8, 'rnn_units': 8, 'tied': True},
    )
    def test_has_the_weights_and_the_vocabulary(self, **options):
        trained = make(num_layers=2, **options)
        self.checkpointer(trained).save()
        rnn, vocabulary = checkpoints.load_model(self.model_dir)
        self.assertEqual(rnn.config, trained.model.config)
        self.assertEqual(vocabulary, CHARACTERS)
        for ours, theirs in zip(
            rnn.variables, trained.model.variables, strict=True
        ):
            self.assertAllEqual(ours, theirs)

    def test_builds_a_cell_of_your_own(self):
        class Scaled(cells.VanillaRNN):
            pass

        def build(**config):
            return model.CharRNN(**{**config, 'cell': Scaled})

        trained = make(cell=Scaled)
        self.checkpointer(trained).save()
        with self.assertRaisesRegex(ValueError, "model.json.*'Scaled'"):
            checkpoints.load_model(self.model_dir)
        rnn, _ = checkpoints.load_model(self.model_dir, build=build)
        self.assertIsInstance(rnn.cells[0], Scaled)
        self.assertAllEqual(rnn.cells[0].kernel, trained.model.cells[0].kernel)

    def test_builds_a_model_of_your_own(self):
        trained = make_toy()
        self.checkpointer(trained).save()
        loaded, _ = checkpoints.load_model(
            self.model_dir, build=toys.FrequencyModel
        )
        self.assertAllEqual(loaded.table, trained.model.table)

    @parameterized.parameters(None, 'best', 'ckpt-5')
    def test_says_what_is_missing(self, checkpoint):
        with self.assertRaisesRegex(FileNotFoundError, 'no trained model'):
            checkpoints.load_model(self.model_dir, checkpoint)
        self.save_at(1)
        for path in pathlib.Path(self.model_dir).glob('c*'):
            path.unlink()
        with self.assertRaisesRegex(FileNotFoundError, 'no checkpoint'):
            checkpoints.load_model(self.model_dir, checkpoint)

    def test_a_vocabulary_of_another_model(self):
        self.save_at(1)
        Vocabulary('ab').save(os.path.join(self.model_dir, 'vocabulary.json'))
        with self.assertRaisesRegex(ValueError, 'vocabulary.json.*2 .* has 5'):
            checkpoints.load_model(self.model_dir)


if __name__ == '__main__':
    tf.test.main()
