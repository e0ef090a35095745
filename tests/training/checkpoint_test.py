import io
import os
import pathlib
import zipfile
from unittest import mock

import hypothesis
import numpy as np
import saving
import tensorflow as tf
from absl.testing import parameterized
from hypothesis import strategies

from tfcharrnn.training import checkpoint as checkpoints
from tfcharrnn.training.model_dir import load_model

NEWEST_FIRST = ['ckpt-10', 'ckpt-9']


class DamageTest(saving.FolderTest):
    def damage(self, name, damage):
        path = pathlib.Path(self.model_dir, name)
        if damage == 'deleted':
            path.unlink()
        else:
            path.write_bytes(saving.DAMAGES[damage](path.read_bytes()))

    def restored_step(self):
        checkpointer = self.checkpointer()
        checkpointer.restore()
        return checkpointer.trainer.step

    @parameterized.product(
        name=saving.FILES[1:3], damage=[*saving.DAMAGES, 'deleted']
    )
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

    @parameterized.named_parameters(
        ('empty', ''),
        ('garbled', 'model_checkpoint_path: "ckpt-9\n\0{[<'),
        ('other_field', 'model_checkpoint_path: "ckpt-9"\nto_be: "or not"\n'),
        ('nested', 'a {' * 100_000),
        ('bytes', 'model_checkpoint_path: "\\377"\n'),
        ('latest_only', 'model_checkpoint_path: "ckpt-9"\n'),
        ('two_latest', 'model_checkpoint_path: "ckpt-9"\n' * 2),
        ('no_latest', 'all_model_checkpoint_paths: "ckpt-9"\n'),
        (
            'latest_is_not_last',
            'model_checkpoint_path: "ckpt-9"\n'
            'all_model_checkpoint_paths: "ckpt-9"\n'
            'all_model_checkpoint_paths: "ckpt-10"\n',
        ),
        ('huge', 'all_model_checkpoint_paths: "ckpt-9"\n' * 50_000),
    )
    def test_of_a_damaged_list_nothing_is_taken(self, text):
        self.save_at(9, 10)
        path = pathlib.Path(self.model_dir, 'checkpoint')
        path.write_text(text)
        with self.assertLogs('absl', 'WARNING') as logs:
            paths = checkpoints.candidates(self.model_dir)
        self.assertEqual([os.path.basename(x) for x in paths], NEWEST_FIRST)
        self.assertRegex(logs.output[0], "checkpoint' is damaged.*ckpt-10'")
        for part in pathlib.Path(self.model_dir).glob('ckpt-*'):
            part.unlink()
        with self.assertRaisesRegex(ValueError, 'is damaged, and there is no'):
            checkpoints.candidates(self.model_dir)

    def test_names_that_are_gone_are_left_out(self):
        self.save_at(9, 10)
        path = pathlib.Path(self.model_dir, 'checkpoint')
        path.write_text(
            'model_checkpoint_path: "ckpt-12"\n'
            'all_model_checkpoint_paths: "ckpt-11"\n'
            'all_model_checkpoint_paths: "ckpt-12"\n'
        )
        with self.assertLogs('absl', 'WARNING') as logs:
            paths = checkpoints.candidates(self.model_dir)
        self.assertEqual([os.path.basename(x) for x in paths], NEWEST_FIRST)
        self.assertRegex(logs.output[0], "names '.*ckpt-12', which is gone")

    def test_the_list_decides_which_comes_first(self):
        self.save_at(9, 10)
        checkpoints.write_list(self.model_dir, '/elsewhere/ckpt-9')
        paths = checkpoints.candidates(self.model_dir)
        self.assertEqual(
            [os.path.basename(x) for x in paths], NEWEST_FIRST[::-1]
        )
        state = tf.train.get_checkpoint_state(self.model_dir)
        self.assertEqual(state.model_checkpoint_path, paths[0])
        self.assertEqual([*state.all_model_checkpoint_paths], paths[::-1])

    @hypothesis.given(strategies.text())
    def test_whatever_is_in_a_list_is_read_or_damaged(self, text):
        path = pathlib.Path(self.get_temp_dir(), 'list')
        path.write_text(text, 'utf-8', 'replace')
        names, problem = checkpoints._read_list(path)
        self.assertEqual(names, [])
        self.assertEqual(problem, 'is damaged')

    @parameterized.product(name=saving.FILES[1:], damage=list(saving.DAMAGES))
    def test_a_damaged_file_is_named(self, name, damage):
        self.save_at(2)
        self.damage(name, damage)
        for read in (self.loaded_step, self.restored_step):
            with self.assertRaisesRegex(ValueError, name.split('.data')[0][:6]):
                read()

    def test_a_tensor_that_its_file_cannot_hold_is_not_read(self):
        self.save_at(2)
        prefix = os.path.join(self.model_dir, 'ckpt-2')
        # Text, of which each character takes many bytes in memory.
        tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=['progress/.ATTRIBUTES/py_state'],
            shape_and_slices=[''],
            tensors=[tf.fill([1 << 20], '')],
        )
        data = pathlib.Path(f'{prefix}.data-00000-of-00001')
        data.write_bytes(data.read_bytes()[:100])
        for read in (checkpoints.read_record, checkpoints.opened):
            with self.assertRaisesRegex(
                ValueError, "ckpt-2' is damaged.* take 1,048,576 bytes"
            ):
                read(prefix)

    def test_a_folder_of_its_name_is_not_followed(self):
        checkpointer = self.checkpointer()
        checkpointer.trainer.record.notes['place'] = 'elsewhere'
        self.go_to(checkpointer, 1)
        checkpointer.save()
        elsewhere = os.path.join(self.get_temp_dir(), 'elsewhere')
        os.rename(self.model_dir, elsewhere)
        self.save_at(1)
        folder = pathlib.Path(self.model_dir, 'ckpt-1')
        folder.mkdir()
        for name in 'model_checkpoint_path', 'all_model_checkpoint_paths':
            with open(folder / 'checkpoint', 'a') as file:
                file.write(f'{name}: "{elsewhere}/ckpt-1"\n')
        self.assertEqual(checkpoints.read_record(str(folder)).notes, {})

    @parameterized.parameters(
        (b'{}', zipfile.ZIP_BZIP2, 'grow'),
        (b'{}', zipfile.ZIP_DEFLATED, 'grow'),
        (b'[' * 100_000, zipfile.ZIP_STORED, 'recursion'),
        (b'[]', zipfile.ZIP_STORED, 'attribute'),
    )
    def test_a_record_that_is_not_one(self, text, method, message):
        self.save_at(1)
        array = io.BytesIO()
        np.save(array, np.frombuffer(text, np.uint8))
        self.replace_record(array.getvalue(), method)
        for read in (self.loaded_step, self.restored_step):
            with self.assertRaisesRegex(ValueError, f'ckpt-1.*{message}'):
                read()

    def test_a_record_that_claims_more_than_it_has(self):
        self.save_at(1)
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            {'descr': '|u1', 'fortran_order': False, 'shape': (1 << 60,)},
        )
        self.replace_record(header.getvalue(), zipfile.ZIP_STORED)
        with self.assertRaisesRegex(ValueError, 'ckpt-1.*claims more'):
            self.loaded_step()

    def replace_record(self, array, method):
        """Writes a checkpoint whose record is an archive with an array."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, 'w', method) as archive:
            archive.writestr('progress.npy', array)
        with mock.patch.object(
            checkpoints.Progress, 'serialize', lambda _: content.getvalue()
        ):
            self.save_at(1)

    @parameterized.parameters(*saving.FILES[1:3])
    def test_a_flipped_bit_is_noticed_or_does_no_harm(self, name):
        self.save_at(2)
        expected, _ = load_model(self.model_dir)
        path = pathlib.Path(self.model_dir, name)
        content, rng = path.read_bytes(), np.random.default_rng(0)
        noticed = 0
        for place in rng.integers(len(content), size=20):
            flipped = bytearray(content)
            flipped[place] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            try:
                loaded, _ = load_model(self.model_dir)
                self.assertAllEqual(loaded.kernel, expected.kernel)
                self.assertAllEqual(
                    loaded.cells[0].kernel, expected.cells[0].kernel
                )
            except ValueError:
                noticed += 1
        self.assertGreater(noticed, 0)

    def test_a_pickle_is_not_executed(self):
        class Intruder:
            def __reduce__(self):
                return pathlib.Path.touch, (pathlib.Path(proof),)

        proof = os.path.join(self.get_temp_dir(), 'proof')
        trained = saving.make_toy()
        state = [np.array([Intruder()])]
        trained.restore(trained.record, trained.windows, state)
        with self.assertRaisesRegex(ValueError, 'Object arrays|pickle'):
            self.checkpointer(trained).save()
            self.checkpointer(saving.make_toy()).restore()
        self.assertFalse(os.path.exists(proof))


if __name__ == '__main__':
    tf.test.main()
