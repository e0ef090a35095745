import os
import pathlib
import tempfile
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation import cache, conversion


class Elman(tfcharrnn.RNNCell):
    def __call__(self, inputs, state):
        state = tf.tanh(inputs + state)
        return state, state


class CacheTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.home = pathlib.Path(folder, 'cache')
        variables = {'XDG_CACHE_HOME': str(self.home)}
        self.enter_context(mock.patch.dict(os.environ, variables))
        self.convert = self.enter_context(
            mock.patch.object(conversion, 'convert', side_effect=self.fake)
        )
        self.num_made = 0
        tf.keras.utils.set_random_seed(0)
        self.model = tfcharrnn.CharRNN(5, embedding_dim=4, rnn_units=4)

    def fake(self, model):
        self.num_made += 1
        return b'model %d' % self.num_made

    @property
    def files(self):
        return sorted(self.home.rglob('*.tflite'))

    def test_the_second_start_does_not_convert(self):
        first = cache.converted(self.model)
        self.assertEqual(cache.converted(self.model), first)
        self.assertEqual(self.num_made, 1)
        self.assertLen(self.files, 1)

    def test_others_cannot_read_it(self):
        cache.converted(self.model)
        (path,) = self.files
        self.assertEqual(path.parent.stat().st_mode & 0o077, 0)

    @parameterized.parameters(b'', b'short', b'x' * 40)
    def test_a_damaged_file_is_made_again(self, data):
        cache.converted(self.model)
        (path,) = self.files
        path.write_bytes(data)
        self.assertEqual(cache.converted(self.model), b'model 2')
        self.assertEqual(cache.converted(self.model), b'model 2')

    def test_a_file_with_one_wrong_bit_is_made_again(self):
        cache.converted(self.model)
        (path,) = self.files
        whole = path.read_bytes()
        for index in (0, len(whole) // 2, len(whole) - 1):
            data = bytearray(whole)
            data[index] ^= 1
            path.write_bytes(data)
            made = self.num_made
            cache.converted(self.model)
            self.assertEqual(self.num_made, made + 1)

    def test_other_weights_are_another_file(self):
        cache.converted(self.model)
        self.model.bias.assign_add(np.ones(5))
        self.assertEqual(cache.converted(self.model), b'model 2')
        self.assertLen(self.files, 2)

    def test_another_config_is_another_file(self):
        cache.converted(self.model)
        other = tfcharrnn.CharRNN(5, 4, 4, compute_dtype='bfloat16')
        for theirs, ours in zip(
            self.model.variables, other.variables, strict=True
        ):
            ours.assign(theirs)
        self.assertEqual(cache.converted(other), b'model 2')

    @parameterized.parameters(
        'tfcharrnn.generation.cache._VERSION',
        'tfcharrnn.generation.cache.__version__',
        'tensorflow.__version__',
    )
    def test_another_version_is_another_file(self, name):
        cache.converted(self.model)
        with mock.patch(name, '99'):
            self.assertEqual(cache.converted(self.model), b'model 2')
            self.assertEqual(cache.converted(self.model), b'model 2')
        self.assertEqual(cache.converted(self.model), b'model 1')

    def test_a_folder_that_cannot_be_written_is_no_cache(self):
        self.home.write_text('a file, where a folder should be')
        self.assertEqual(cache.converted(self.model), b'model 1')
        self.assertEqual(cache.converted(self.model), b'model 2')

    def test_a_full_disk_leaves_nothing_behind(self):
        with mock.patch('os.fsync', side_effect=OSError(28, 'full')):
            self.assertEqual(cache.converted(self.model), b'model 1')
        self.assertEmpty([p for p in self.home.rglob('*') if p.is_file()])

    def test_files_that_were_not_used_for_long_are_deleted(self):
        paths = [self.home / f'{i}.tflite' for i in range(cache._MAX_FILES)]
        for age, path in enumerate(paths):
            cache.load(path, lambda: b'')
            os.utime(path, (1000 - age, 1000 - age))
        cache.load(paths[-1], self.fail)  # The oldest is used again.
        cache.load(self.home / 'new.tflite', lambda: b'')
        self.assertLen(self.files, cache._MAX_FILES)
        self.assertIn(paths[-1], self.files)
        self.assertNotIn(paths[-2], self.files)

    def test_a_cell_of_a_users_own_is_converted_each_time(self):
        model = tfcharrnn.CharRNN(5, 4, 4, cell=Elman)
        self.assertEqual(cache.converted(model), b'model 1')
        self.assertEqual(cache.converted(model), b'model 2')
        self.assertEmpty(self.files)
