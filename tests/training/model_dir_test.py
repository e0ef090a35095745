import json
import os
import pathlib
import shutil

import saving
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import files
from tfcharrnn.kinds import CELLS
from tfcharrnn.nn.cells import VanillaRNN
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir
from tfcharrnn.training.model_dir import load_model, read_config
from tfcharrnn.training.trainer import Trainer
from tfcharrnn.training.transfer import init_from


class NamesTest(saving.FolderTest):
    def test_a_checkpoint_in_a_folder_names_its_model(self):
        checkpointer = self.save_at(1, 2)
        self.go_to(checkpointer, 3)
        checkpointer.keep(checkpointer.trainer, {})
        checkpointer.keep_best(checkpointer.trainer, {'valid_loss': 1.0})
        self.go_to(checkpointer, 4)
        checkpointer.save()
        for name, step in {
            '': 4,
            'ckpt-1': 1,
            'ckpt-2.index': 2,
            'best': 3,
            'history/ckpt-3': 3,
        }.items():
            path = os.path.join(self.model_dir, name)
            rnn, _ = load_model(path)
            self.assertEqual(int(rnn.bias[0]), step, name)
            model_dir.load_record(path)

    def test_two_checkpoints_are_one_too_many(self):
        self.save_at(1, 2)
        one, other = (os.path.join(self.model_dir, f'ckpt-{i}') for i in (1, 2))
        rnn, _ = load_model(one, one)
        self.assertEqual(int(rnn.bias[0]), 1)
        for read in (load_model, model_dir.load_record, model_dir.find):
            with self.assertRaisesRegex(ValueError, 'names .*ckpt-1'):
                read(one, other)

    def test_a_model_in_the_folder_of_another_is_its_own(self):
        self.save_at(1)
        inner = os.path.join(self.model_dir, 'inner')
        shutil.copytree(self.model_dir, inner)
        self.save_at(2)
        rnn, _ = load_model(inner)
        self.assertEqual(int(rnn.bias[0]), 1)

    @parameterized.parameters('ckpt-7', 'history/ckpt-7', 'history')
    def test_a_checkpoint_that_is_not_there_is_named(self, name):
        self.save_at(1)
        path = os.path.join(self.model_dir, name)
        with self.assertRaisesRegex(FileNotFoundError, f"'{path}'"):
            load_model(path)


class DescriptionTest(saving.FolderTest):
    @parameterized.parameters('model.json', 'vocabulary.json')
    def test_a_flipped_bit_of_a_description_is_noticed(self, name):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, name)
        content = path.read_bytes()
        expected, _ = load_model(self.model_dir)
        for place in range(len(content)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 7
            path.write_bytes(flipped)
            try:
                loaded, vocabulary = load_model(self.model_dir)
            except ValueError as error:
                self.assertIn(name, str(error))
            else:
                self.assertEqual(loaded.config, expected.config)
                self.assertEqual(vocabulary, saving.CHARACTERS)

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
            load_model(self.model_dir)

    @parameterized.parameters(
        ('rnn_units', 10**9),
        ('rnn_units', 3000),
        ('num_layers', 10**9),
        ('embedding_dim', 10**12),
    )
    def test_a_size_is_checked_before_memory_is_taken(self, name, value):
        self.save_at(1)
        path = os.path.join(self.model_dir, 'model.json')
        config = {**read_config(path), name: value}
        files.write_json(
            path, {'format': 'tfcharrnn model', 'version': 1, 'model': config}
        )
        with self.assertRaisesRegex(ValueError, 'model.json.*bytes'):
            load_model(self.model_dir)

    @parameterized.product(
        cell=tuple(CELLS),
        options=(
            {},
            {'num_layers': 3, 'embedding_dim': None},
            {'num_layers': 2, 'residual': True, 'layer_norm': True},
            {'tied': True, 'embedding_dim': 3},
        ),
    )
    def test_no_model_is_refused_that_fits(self, cell, options):
        try:
            rnn = saving.make(cell=cell, **options).model
        except ValueError:  # Not each cell has a layer norm.
            self.skipTest('There is no such model.')
        needed = sum(4 * v.shape.num_elements() for v in rnn.variables)
        least = model_dir._least_bytes(rnn.config)
        self.assertBetween(least, needed // 2, needed)

    def test_a_model_of_your_own_may_be_of_any_size(self):
        config = {'vocab_size': 10, 'rnn_units': 10, 'num_layers': 1}
        self.assertEqual(model_dir._least_bytes(config), 0)
        self.assertEqual(model_dir._least_bytes({**config, 'cell': 'Own'}), 400)

    def test_a_size_is_checked_without_a_model(self):
        self.save_at(1)
        path = os.path.join(self.model_dir, 'model.json')
        config = {**read_config(path), 'rnn_units': 3000}
        files.write_json(
            path, {'format': 'tfcharrnn model', 'version': 1, 'model': config}
        )
        with self.assertRaisesRegex(ValueError, 'model.json.*bytes'):
            load_model(self.model_dir, build=self.fail)

    @parameterized.parameters(*model_dir.SIZES)
    def test_a_size_that_is_missing_is_no_default(self, name):
        self.save_at(1)
        path = os.path.join(self.model_dir, 'model.json')
        config = dict(read_config(path))
        del config[name]
        files.write_json(
            path, {'format': 'tfcharrnn model', 'version': 1, 'model': config}
        )
        for read in (
            load_model,
            lambda source: init_from(
                source, saving.make().model, saving.CHARACTERS
            ),
        ):
            with self.assertRaisesRegex(ValueError, f'model.json.*`{name}`'):
                read(self.model_dir)

    @parameterized.parameters('emptied', 'deleted')
    def test_without_data_no_model_is_built(self, damage):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, 'ckpt-1.data-00000-of-00001')
        path.write_bytes(b'') if damage == 'emptied' else path.unlink()
        with self.assertRaisesRegex(ValueError, "ckpt-1' is damaged.* 0"):
            load_model(self.model_dir, build=self.fail)

    def test_settings_are_not_read_through_a_link_or_without_end(self):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, 'run.flags')
        path.symlink_to('/dev/zero')
        with self.assertRaisesRegex(ValueError, 'run.flags.* leads out'):
            model_dir.read_settings(self.model_dir)
        path.unlink()
        path.write_text('#' * (1 << 20) + '\n')
        with self.assertRaisesRegex(ValueError, 'run.flags.* more than'):
            model_dir.read_settings(self.model_dir)

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

    def test_a_newer_version(self):
        self.save_at(1)
        path = pathlib.Path(self.model_dir, 'model.json')
        files.write_json(
            path, {'format': 'tfcharrnn model', 'version': 2, 'model': {}}
        )
        for read in (read_config, lambda _: self.checkpointer()):
            with self.assertRaisesRegex(ValueError, 'model.json.*version 2'):
                read(path)


class LoadModelTest(saving.FolderTest):
    def test_the_model_has_the_averages_where_there_are_some(self):
        trained = saving.make()
        rnn, optimizer = trained.model, trained.optimizer
        trained = Trainer(rnn, optimizer, average=0.5)
        trained.train(toys.streams(), 3)
        self.checkpointer(trained).save()
        loaded, _ = load_model(self.model_dir)
        self.assertAllClose(
            loaded.trainable_variables, trained.averages.variables, 0, 0
        )
        self.assertNotAllEqual(loaded.kernel, trained.model.kernel)

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
        trained = saving.make(num_layers=2, **options)
        self.checkpointer(trained).save()
        rnn, vocabulary = load_model(self.model_dir)
        self.assertEqual(rnn.config, trained.model.config)
        self.assertEqual(vocabulary, saving.CHARACTERS)
        for ours, theirs in zip(
            rnn.variables, trained.model.variables, strict=True
        ):
            self.assertAllEqual(ours, theirs)

    def test_builds_a_cell_of_your_own(self):
        class Scaled(VanillaRNN):
            pass

        def build(**config):
            return CharRNN(**{**config, 'cell': Scaled})

        trained = saving.make(cell=Scaled)
        self.checkpointer(trained).save()
        with self.assertRaisesRegex(ValueError, "model.json.*'Scaled'"):
            load_model(self.model_dir)
        rnn, _ = load_model(self.model_dir, build=build)
        self.assertIsInstance(rnn.cells[0], Scaled)
        self.assertAllEqual(rnn.cells[0].kernel, trained.model.cells[0].kernel)

    def test_builds_a_model_of_your_own(self):
        trained = saving.make_toy()
        self.checkpointer(trained).save()
        loaded, _ = load_model(self.model_dir, build=toys.FrequencyModel)
        self.assertAllEqual(loaded.table, trained.model.table)

    @parameterized.parameters(None, 'best', 'ckpt-5')
    def test_says_what_is_missing(self, checkpoint):
        with self.assertRaisesRegex(FileNotFoundError, 'no trained model'):
            load_model(self.model_dir, checkpoint)
        self.save_at(1)
        for path in pathlib.Path(self.model_dir).glob('c*'):
            path.unlink()
        with self.assertRaisesRegex(FileNotFoundError, 'no checkpoint'):
            load_model(self.model_dir, checkpoint)

    def test_a_vocabulary_of_another_model(self):
        self.save_at(1)
        Vocabulary('ab').save(os.path.join(self.model_dir, 'vocabulary.json'))
        with self.assertRaisesRegex(ValueError, 'vocabulary.json.*2 .* has 5'):
            load_model(self.model_dir)


if __name__ == '__main__':
    tf.test.main()
