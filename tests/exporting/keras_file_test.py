import io
import json
import pathlib
import pickle
import struct
import tracemalloc
import zipfile

import elsewhere
import h5py
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import Vocabulary, exporting

MODELS = 'two_layers', 'two_lstms', 'vanilla', 'one_hot', 'tied'
# What a user of Keras writes.
PROGRAM = """
    import json
    import keras
    import numpy as np

    worst, arrays = {}, np.load('logits.npz')
    ids = arrays['ids']
    for name in set(arrays) - {'ids'}:
        with open(f'{name}.vocabulary.json') as file:
            tokens = json.load(file)['characters']
        lookup = keras.layers.StringLookup(vocabulary=tokens, num_oov_indices=0)
        texts = np.array(tokens)[ids]
        inputs = np.array(lookup(texts))
        assert (inputs == ids).all()
        model = keras.models.load_model(f'{name}.keras', safe_mode=True)
        if model.inputs[0].ndim == 3:
            inputs = np.eye(len(tokens), dtype=np.float32)[inputs]
        worst[name] = float(abs(np.array(model(inputs)) - arrays[name]).max())
    print(json.dumps(worst))
"""
# The models of two well-known examples, as their users have them on disk.
EXAMPLES = """
    import json, sys
    import keras
    import numpy as np
    import tensorflow as tf

    text = 'to be, or not to be\\n' * 9
    ids_from_chars = tf.keras.layers.StringLookup(
        vocabulary=sorted(set(text)), mask_token=None)
    tokens = ids_from_chars.get_vocabulary()
    V = len(tokens)

    class MyModel(tf.keras.Model):  # www.tensorflow.org/text/tutorials
        def __init__(self, vocab_size, width, rnn_units):
            super().__init__()
            self.embedding = tf.keras.layers.Embedding(vocab_size, width)
            self.gru = tf.keras.layers.GRU(
                rnn_units, return_sequences=True, return_state=True)
            self.dense = tf.keras.layers.Dense(vocab_size)

        def call(self, inputs, states=None, return_state=False, training=False):
            x = self.embedding(inputs, training=training)
            x, states = self.gru(x, initial_state=states, training=training)
            x = self.dense(x, training=training)
            return (x, states) if return_state else x

    ids = np.array(ids_from_chars(tf.strings.unicode_split(text, 'UTF-8')))
    ids = ids[None, :21]
    tutorial = MyModel(V, 8, 16)
    tutorial.compile('adam', tf.losses.SparseCategoricalCrossentropy(True))
    tutorial.fit(ids[:, :-1], ids[:, 1:], verbose=0)
    tutorial.save_weights('tutorial.weights.h5')
    same = keras.Sequential([
        keras.Input([None]),
        keras.layers.Embedding(V, 8),
        keras.layers.GRU(16, return_sequences=True),
        keras.layers.Dense(V),
    ])
    same.set_weights(tutorial.get_weights())
    same.save('tutorial.keras')

    nietzsche = keras.Sequential([  # keras.io/examples, Chollet
        keras.Input(shape=(20, V)),
        keras.layers.LSTM(16),
        keras.layers.Dense(V, activation='softmax'),
    ])
    x, y = np.eye(V, dtype='float32')[ids[:, :-1]], np.eye(V)[ids[:, -1]]
    nietzsche.compile('adam', 'categorical_crossentropy')
    nietzsche.fit(x, y, verbose=0)
    nietzsche.save('nietzsche.keras')
    nietzsche.save_weights('nietzsche.weights.h5')
    np.savez('expected.npz', ids=ids, tutorial=tutorial(ids[:, :-1]),
             nietzsche=nietzsche(x))
    print(json.dumps(tokens))
"""


class KerasTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir())
        self.path = self.folder / 'model.keras'

    def save(self, model, path=None):
        return exporting.save(
            model,
            elsewhere.VOCABULARY,
            path or self.path,
            format='keras',
            overwrite=True,
        )

    def test_keras_computes_the_same_logits(self):
        ids = elsewhere.random_ids()
        arrays = {'ids': ids}
        for name in MODELS:
            model = elsewhere.build(**elsewhere.SHARED[name])
            self.save(model, self.folder / f'{name}.keras')
            arrays[name] = elsewhere.logits(model, ids)
        np.savez(self.folder / 'logits.npz', **arrays)
        worst = elsewhere.run(PROGRAM, self.folder)
        self.assertEqual(set(worst), set(MODELS))
        self.assertLess(max(worst.values()), 1e-5, worst)

    @parameterized.named_parameters(elsewhere.SHARED.items())
    def test_comes_back_exactly(self, config):
        model = elsewhere.in_float32(elsewhere.build(**config))
        self.save(model)
        twin, vocabulary = exporting.load(self.path)
        self.assertEqual(vocabulary, elsewhere.VOCABULARY)
        before = {**model.config, 'dropout': 0.0}
        before.pop('tied', None)
        self.assertEqual(twin.config, before)
        self.assertAllEqual(
            elsewhere.logits(model, elsewhere.random_ids()),
            elsewhere.logits(twin, elsewhere.random_ids()),
        )
        for one, other in zip(model.cells, twin.cells, strict=True):
            for ours, theirs in zip(
                one.variables, other.variables, strict=True
            ):
                self.assertAllEqual(ours, theirs)

    def test_reads_the_models_of_well_known_examples(self):
        tokens = elsewhere.run(EXAMPLES, self.folder)
        expected = np.load(self.folder / 'expected.npz')
        ids = expected['ids'][:, :-1] - 1  # [UNK] is left out.
        for name in ('tutorial.weights.h5', 'tutorial.keras'):
            model, vocabulary = exporting.load(self.folder / name, tokens)
            self.assertEqual(list(vocabulary.tokens), tokens[1:])
            self.assertEqual(model.config['cell'], 'gru')
            self.assertAllClose(
                elsewhere.logits(model, ids),
                expected['tutorial'][..., 1:],
                rtol=0,
                atol=1e-5,
            )
        for name in ('nietzsche.weights.h5', 'nietzsche.keras'):
            model, _ = exporting.load(self.folder / name, tokens)
            self.assertIsNone(model.config['embedding_dim'])
            logits = elsewhere.logits(model, ids)[:, -1]
            probabilities = expected['nietzsche'][:, 1:]
            probabilities /= probabilities.sum()
            self.assertAllClose(
                tf.nn.softmax(logits), probabilities, rtol=0, atol=1e-5
            )
        with self.assertRaisesRegex(
            ValueError, r'10 characters.*has 9.*\[UNK\]'
        ):
            exporting.load(
                self.folder / 'tutorial.keras', Vocabulary(tokens[1:])
            )
        with self.assertRaisesRegex(FileNotFoundError, 'no vocabulary beside'):
            exporting.load(self.folder / 'tutorial.keras')

    def test_a_class_of_ones_own_is_known_by_its_weights(self):
        model = elsewhere.build(num_layers=2)
        self.save(model)
        with zipfile.ZipFile(self.path) as archive:
            content = archive.read('model.weights.h5')
        config = json.dumps({'class_name': 'MyModel', 'config': {}})
        with zipfile.ZipFile(self.path, 'w') as archive:
            archive.writestr('config.json', config)
            archive.writestr('model.weights.h5', content)
        twin, _ = exporting.load(self.path)
        self.assertEqual(twin.config, model.config)

    def test_an_order_that_only_a_program_knows_is_refused(self):
        class Tower(tf.keras.Model):
            def __init__(self):
                super().__init__()
                self.embedding = tf.keras.layers.Embedding(3, 4)
                self.lower = tf.keras.layers.GRU(4, return_sequences=True)
                self.higher = tf.keras.layers.GRU(4, return_sequences=True)
                self.head = tf.keras.layers.Dense(3)

            def call(self, ids):
                return self.head(self.higher(self.lower(self.embedding(ids))))

        tower = Tower()
        tower(tf.zeros([1, 1], tf.int32))
        path = self.folder / 'tower.weights.h5'
        tower.save_weights(path)
        with self.assertRaisesRegex(
            ValueError, 'named higher, .* and does not say'
        ):
            exporting.load(path, ['a', 'b', 'c'])

    def test_what_exists_beside_it_stays(self):
        beside = self.folder / 'model.vocabulary.json'
        beside.write_text('mine')
        with self.assertRaisesRegex(FileExistsError, 'model.vocabulary.json'):
            exporting.save(
                elsewhere.build(),
                elsewhere.VOCABULARY,
                self.path,
                format='keras',
            )
        self.assertEqual([*self.folder.iterdir()], [beside])
        self.assertEqual(self.save(elsewhere.build()), [self.path, beside])

    @parameterized.parameters(
        ({'cell': 'mingru'}, "`cell` 'mingru'"),
        ({'residual': True, 'num_layers': 2}, '`residual`'),
    )
    def test_refuses_what_keras_lacks(self, config, message):
        with self.assertRaisesRegex(ValueError, message):
            self.save(elsewhere.build(**config))
        self.assertEqual(list(self.folder.iterdir()), [])

    def assert_refused(self, message, vocabulary=None):
        with self.assertRaisesRegex(ValueError, message) as caught:
            exporting.load(self.path, vocabulary)
        self.assertIn(self.path.name, str(caught.exception))
        self.assertNotIn('\n', str(caught.exception))

    def rewrite(self, change=None, weights=None):
        """Saves a model, then changes its settings or its arrays."""
        self.save(elsewhere.build(num_layers=2))
        with zipfile.ZipFile(self.path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        if change:
            config = json.loads(files['config.json'])
            change({x['class_name']: x for x in config['config']['layers']})
            files['config.json'] = json.dumps(config)
        if weights:
            content = io.BytesIO(files['model.weights.h5'])
            with h5py.File(content, 'r+') as file:
                weights(file['layers'])
            files['model.weights.h5'] = content.getvalue()
        with zipfile.ZipFile(self.path, 'w') as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    @parameterized.parameters(
        (lambda x: x['GRU'].update(class_name='Bidirectional'), 'Bidirection'),
        (lambda x: x['GRU'].update(class_name='Lambda'), "layer 'Lambda'"),
        (lambda x: x['GRU'].update(class_name='LSTM'), 'lists the layers'),
        (lambda x: x['GRU']['config'].update(reset_after=False), 'reset_after'),
        (lambda x: x['GRU']['config'].update(activation='relu'), 'relu.*tanh'),
        (lambda x: x['GRU']['config'].update(go_backwards=True), 'backwards'),
        (
            lambda x: x['GRU']['config'].update(recurrent_activation='relu'),
            'recurrent_activation',
        ),
        (lambda x: x['Embedding']['config'].update(mask_zero=True), 'mask_zer'),
        (
            lambda x: x['Dense']['config'].update(activation='relu'),
            'Dense.*rel',
        ),
        (lambda x: x['Dense'].update(config=None), 'Dense'),
        (lambda x: x['Dense'].update(class_name=[]), 'a layer \\[\\]'),
    )
    def test_refuses_settings_that_compute_something_else(self, change, part):
        self.rewrite(change)
        self.assert_refused(part)

    @parameterized.parameters(
        (lambda x: x.pop('gru_1'), 'lists the layers'),
        (lambda x: x.pop('dense'), '0 dense layers'),
        (lambda x: x['gru/cell/vars'].pop('2'), 'gru has arrays of the ranks'),
        (lambda x: x['gru/cell/vars/2'].__setitem__(0, np.nan), 'not finite'),
        (lambda x: replace(x, 'gru/cell/vars/2', [48]), 'reset_after'),
        (lambda x: replace(x, 'gru/cell/vars/1', [16, 32]), '2 gates'),
        (lambda x: replace(x, 'gru_1/cell/vars/0', [9, 48]), 'layer 2.*9.*16'),
        (lambda x: replace(x, 'embedding/vars/0', [3, 8]), 'embedding.*3.*12'),
        (lambda x: replace(x, 'dense/vars/1', [13]), 'embedding.*12.*13'),
        (lambda x: replace(x, 'dense/vars/1', [12], 'S3'), 'plain numbers'),
        # A file may claim what it does not hold.
        (lambda x: replace(x, 'embedding/vars/0', [1 << 40, 8]), 'would becom'),
    )
    def test_refuses_arrays_that_do_not_fit(self, change, message):
        self.rewrite(weights=change)
        self.assert_refused(message)

    def test_refuses_an_array_that_lies_in_another_file(self):
        secret = self.folder / 'secret'
        secret.write_bytes(b'1234' * 96)

        def change(layers):
            del layers['embedding/vars/0']
            layers.create_dataset(
                'embedding/vars/0',
                (12, 8),
                'float32',
                external=[(str(secret), 0, 384)],
            )

        self.rewrite(weights=change)
        self.assert_refused('plain numbers')

    @parameterized.parameters(0, 100, 5000, -200)
    def test_refuses_a_truncated_file(self, size):
        self.save(elsewhere.build())
        content = self.path.read_bytes()
        self.path.write_bytes(content[:size])
        self.assert_refused('is not a Keras file')

    @parameterized.parameters(0, 100, 5000)
    def test_refuses_truncated_weights(self, size):
        self.save(elsewhere.build())
        with zipfile.ZipFile(self.path) as archive:
            content = archive.read('model.weights.h5')
        self.path = self.folder / 'model.weights.h5'
        self.path.write_bytes(content[:size])
        self.assert_refused('is not a Keras file')

    def test_refuses_what_cannot_be_unpacked(self):
        self.save(elsewhere.build())
        with zipfile.ZipFile(self.path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('config.json', '{"config": {}}')
            archive.writestr('model.weights.h5', bytes(range(256)) * 9)
            start = archive.getinfo('model.weights.h5').header_offset
        content = self.path.read_bytes()
        packed = start + 30 + len('model.weights.h5')
        flags = content.index(b'PK\x01\x02') + 8
        for at, value in (packed, 0xFF), (flags, content[flags] | 1):
            damaged = bytearray(content)
            damaged[at] = value
            self.path.write_bytes(damaged)
            self.assert_refused('is not a Keras file')

    def test_refuses_what_grows_beyond_its_size(self):
        self.save(elsewhere.build())
        with zipfile.ZipFile(self.path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('config.json', '{"config": {}}')
            archive.writestr('model.weights.h5', bytes(1 << 24))
        self.assert_refused('would become')
        with zipfile.ZipFile(self.path, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.writestr('config.json', ' ' * (1 << 23))
        self.assert_refused('config.json is larger')

    @parameterized.parameters('config.json', 'model.weights.h5')
    def test_unpacks_no_more_than_the_size_that_is_claimed(self, name):
        self.save(elsewhere.build())
        size = 12_345_678
        with zipfile.ZipFile(self.path, 'w', zipfile.ZIP_DEFLATED) as archive:
            if name != 'config.json':
                archive.writestr('config.json', '{"config": {}}')
            archive.writestr(name, bytes(size))
        content = self.path.read_bytes()
        claimed = struct.pack('<I', 1000)
        self.path.write_bytes(content.replace(struct.pack('<I', size), claimed))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assert_refused('is not a Keras file', elsewhere.VOCABULARY)
        self.assertLess(tracemalloc.get_traced_memory()[1], size // 2)

    @parameterized.parameters(zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    def test_refuses_methods_that_unpack_without_a_limit(self, method):
        self.save(elsewhere.build())
        with zipfile.ZipFile(self.path, 'w', method) as archive:
            archive.writestr('config.json', '{"config": {}}')
        self.assert_refused('another method than deflate')

    def test_refuses_arrays_behind_filters(self):
        def change(layers):
            values = layers['dense/vars/1'][...]
            del layers['dense/vars/1']
            layers.create_dataset('dense/vars/1', data=values, compression=9)

        self.rewrite(weights=change)
        self.assert_refused('dense/vars/1 is compressed')

    def test_refuses_an_array_that_is_empty(self):
        def change(layers):
            del layers['dense/vars/1']
            layers['dense/vars/1'] = h5py.Empty('float32')

        self.rewrite(weights=change)
        self.assert_refused('dense/vars/1 is empty')

    @parameterized.parameters('[]', '{', '{"config": 3}', '[' * 100_000)
    def test_refuses_settings_that_are_none(self, text):
        self.save(elsewhere.build())
        with zipfile.ZipFile(self.path, 'w') as archive:
            archive.writestr('config.json', text)
        self.assert_refused('is not a Keras file')

    def test_a_pickle_is_not_read(self):
        self.save(elsewhere.build())
        self.path.write_bytes(pickle.dumps({'gru': np.zeros(3)}))
        self.assert_refused('is not a Keras file')


def replace(layers, name, shape, kind='float32'):
    del layers[name]
    layers.create_dataset(name, shape, kind)


if __name__ == '__main__':
    tf.test.main()
