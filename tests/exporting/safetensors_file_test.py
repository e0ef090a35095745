import json
import pathlib
import pickle
import struct
from unittest import mock

import elsewhere
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import Vocabulary, exporting
from tfcharrnn.exporting import layers

safetensors_numpy = pytest.importorskip('safetensors.numpy')

# What a user of PyTorch writes.
TORCH = """
    import json, torch
    import numpy as np
    from safetensors import safe_open
    from safetensors.torch import load_file

    class Model(torch.nn.Module):
        def __init__(self, config):
            super().__init__()
            size = config['vocab_size']
            width = config['embedding_dim']
            if width:
                self.embedding = torch.nn.Embedding(size, width)
            kind = {'gru': torch.nn.GRU, 'lstm': torch.nn.LSTM,
                    'vanilla': torch.nn.RNN}[config['cell']]
            self.rnn = kind(width or size, config['rnn_units'],
                            config['num_layers'], batch_first=True)
            self.decoder = torch.nn.Linear(config['rnn_units'], size)

        def forward(self, ids):
            if hasattr(self, 'embedding'):
                x = self.embedding(ids)
            else:
                size = self.decoder.out_features
                x = torch.nn.functional.one_hot(ids, size).float()
            return self.decoder(self.rnn(x)[0])

    worst, arrays = {}, np.load('logits.npz')
    ids = torch.from_numpy(arrays['ids'])
    for name in set(arrays) - {'ids'}:
        path = f'{name}.safetensors'
        with safe_open(path, 'pt') as file:
            config = json.loads(file.metadata()['config'])
        model = Model(config)
        model.load_state_dict(load_file(path))
        with torch.no_grad():
            logits = model(ids).numpy()
        worst[name] = float(abs(logits - arrays[name]).max())
    print(json.dumps(worst))
"""


class SafetensorsTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir())
        self.path = self.folder / 'model.safetensors'

    def save(self, model, path=None):
        exporting.save(
            model,
            elsewhere.VOCABULARY,
            path or self.path,
            format='safetensors',
            overwrite=True,
        )

    def tensors(self):
        self.save(elsewhere.build())
        return safetensors_numpy.load_file(self.path)

    def test_pytorch_computes_the_same_logits(self):
        pytest.importorskip('torch')
        ids = elsewhere.random_ids()
        arrays = {'ids': ids}
        for name, config in elsewhere.SHARED.items():
            model = elsewhere.build(**config)
            self.save(model, self.folder / f'{name}.safetensors')
            arrays[name] = elsewhere.logits(model, ids)
        np.savez(self.folder / 'logits.npz', **arrays)
        worst = elsewhere.run(TORCH, self.folder)
        self.assertEqual(set(worst), set(elsewhere.SHARED))
        self.assertLess(max(worst.values()), 1e-5, worst)

    @parameterized.named_parameters(elsewhere.SHARED.items())
    def test_comes_back_exactly(self, config):
        model = elsewhere.build(**config)
        self.save(model)
        twin, vocabulary = exporting.load(self.path)
        self.assertEqual(vocabulary, elsewhere.VOCABULARY)
        before = {k: v for k, v in model.config.items() if k != 'tied'}
        self.assertEqual(twin.config, before)
        ours = [v.numpy() for v in model.variables]
        theirs = [v.numpy() for v in twin.variables]
        if 'tied' in config:
            self.assertAllEqual(theirs.pop(2), model.embedding.numpy().T)
        self.assertAllEqual(len(ours), len(theirs))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_settings_may_say_that_weights_are_tied(self):
        model = elsewhere.build(embedding_dim=16, rnn_units=16, tied=True)
        with mock.patch.object(layers, 'shared_config', lambda x: x.config):
            self.save(model)
        twin, _ = exporting.load(self.path)
        ids = elsewhere.random_ids()
        self.assertAllClose(
            elsewhere.logits(twin, ids), elsewhere.logits(model, ids)
        )

    @parameterized.parameters('BF16', 'I16')
    def test_names_a_type_that_it_cannot_read(self, kind):
        halves = {k: v.astype(np.float16) for k, v in self.tensors().items()}
        content = safetensors_numpy.save(halves)
        (size,) = struct.unpack('<Q', content[:8])
        text = content[8 : 8 + size].replace(b'"F16"', f'"{kind}"'.encode())
        header = struct.pack('<Q', len(text)) + text
        self.path.write_bytes(header + content[8 + size :])
        with self.assertRaisesRegex(ValueError, f'{kind}.*F16, F32, F64'):
            exporting.load(self.path, elsewhere.VOCABULARY)

    def test_a_vocabulary_of_lines_comes_back(self):
        vocabulary = elsewhere.VOCABULARY.with_lines(True)
        exporting.save(
            elsewhere.build(), vocabulary, self.path, format='safetensors'
        )
        self.assertTrue(exporting.load(self.path)[1].lines)

    @parameterized.parameters('encoder', 'emb', 'model.wte')
    def test_takes_the_names_of_any_module(self, name):
        model = elsewhere.build(cell='lstm', num_layers=2)
        self.save(model)
        tensors = safetensors_numpy.load_file(self.path)
        renamed = {
            key.replace('embedding', name)
            .replace('rnn.', 'net.lstm.')
            .replace('decoder', 'fc'): value.astype(np.float16)
            for key, value in tensors.items()
        }
        safetensors_numpy.save_file(renamed, self.path)
        twin, _ = exporting.load(self.path, elsewhere.VOCABULARY)
        self.assertEqual(twin.config, model.config)
        self.assertAllClose(twin.kernel, model.kernel, atol=1e-3, rtol=1e-3)

    def test_tokens_that_are_not_characters_are_left_out(self):
        model = elsewhere.build()
        self.save(model)
        tokens = ['[UNK]', *elsewhere.VOCABULARY.tokens[1:]]
        twin, vocabulary = exporting.load(self.path, tokens)
        self.assertEqual(vocabulary.tokens, elsewhere.VOCABULARY.tokens[1:])
        ids = elsewhere.random_ids() % (elsewhere.V - 1)
        self.assertAllClose(
            elsewhere.logits(twin, ids),
            elsewhere.logits(model, ids + 1)[..., 1:],
            atol=1e-5,
        )

    @parameterized.parameters(
        ({'cell': 'mingru'}, "`cell` 'mingru'"),
        ({'residual': True, 'num_layers': 2}, '`residual`'),
        ({'layer_norm': True}, '`layer_norm`'),
    )
    def test_refuses_what_pytorch_lacks(self, config, message):
        with self.assertRaisesRegex(ValueError, message):
            self.save(elsewhere.build(**config))
        self.assertEqual(list(self.folder.iterdir()), [])

    def assert_refused(self, message, vocabulary=None):
        with self.assertRaisesRegex(ValueError, message) as caught:
            exporting.load(self.path, vocabulary)
        self.assertIn(self.path.name, str(caught.exception))
        self.assertNotIn('\n', str(caught.exception))

    @parameterized.parameters(0, 4, 100, 2000)
    def test_refuses_a_truncated_file(self, size):
        self.tensors()
        self.path.write_bytes(self.path.read_bytes()[:size])
        self.assert_refused('is not a safetensors file')

    def test_refuses_a_pickle_without_reading_it(self):
        class Touch:
            def __reduce__(self):
                return pathlib.Path.touch, (marker,)

        marker = self.folder / 'touched'
        content = pickle.dumps(Touch())
        self.path.write_bytes(content)
        self.assert_refused('is not a safetensors file')
        self.path = self.folder / 'model.pt'
        self.path.write_bytes(content)
        self.assert_refused('pickle.*safetensors')
        self.assertFalse(marker.exists())

    @parameterized.parameters(
        ('bias_hh_l0', None, 'layer 0 needs'),
        ('weight_ih_l0', (48, 9), 'kernel of layer 1.*9.*8'),
        ('weight_hh_l0', (32, 16), '2 gates'),
        ('weight_hh_l0', (48,), r'weight_hh_l0 has the shape \[48\]'),
        ('bias_hh_l0', (47,), 'differ in size'),
        ('decoder.weight', None, 'decoder.weight'),
        ('decoder.weight', (elsewhere.V, 15), 'kernel of layer 1.*45'),
        ('embedding.weight', (5, 8), 'embedding'),
    )
    def test_refuses_another_architecture(self, name, shape, message):
        tensors = self.tensors()
        (key,) = (key for key in tensors if key.endswith(name))
        del tensors[key]
        if shape:
            tensors[key] = np.zeros(shape, np.float32)
        safetensors_numpy.save_file(tensors, self.path)
        self.assert_refused(message, elsewhere.VOCABULARY)

    @parameterized.parameters(
        'rnn.weight_ih_l0_reverse', 'rnn.weight_hr_l0', 'conv.weight', 'x.bias'
    )
    def test_refuses_a_tensor_that_it_has_no_place_for(self, name):
        tensors = self.tensors()
        tensors[name] = np.zeros((48, 8), np.float32)
        safetensors_numpy.save_file(tensors, self.path)
        self.assert_refused('must have', elsewhere.VOCABULARY)

    @parameterized.parameters(np.nan, np.inf)
    def test_refuses_numbers_that_are_not_finite(self, value):
        tensors = self.tensors()
        tensors['rnn.bias_hh_l0'][3] = value
        safetensors_numpy.save_file(tensors, self.path)
        self.assert_refused('not finite', elsewhere.VOCABULARY)

    def test_refuses_a_vocabulary_of_another_size_or_none(self):
        tensors = self.tensors()
        self.assert_refused('12 characters.*has 3', Vocabulary('abc'))
        self.assert_refused("'to'.*not a character", ['to'] * elsewhere.V)
        self.assert_refused('list of strings', [3] * elsewhere.V)
        safetensors_numpy.save_file(tensors, self.path)
        self.assert_refused('no vocabulary')

    @parameterized.parameters(
        ('config', '{', 'not JSON'),
        ('config', '[]', 'not a JSON object'),
        ('config', '[' * 100_000, 'not JSON'),
        ('config', '{"rnn_units": 1000000000}', 'settings say'),
        ('vocabulary', '{"characters": 5}', 'list'),
        ('vocabulary', '{"characters": ["ab"]}', 'single characters'),
    )
    def test_refuses_metadata_that_do_not_fit(self, name, text, message):
        tensors = self.tensors()
        metadata = {'vocabulary': json.dumps(elsewhere.VOCABULARY.to_json())}
        safetensors_numpy.save_file(
            tensors, self.path, {**metadata, name: text}
        )
        self.assert_refused(message)

    def test_refuses_unknown_settings(self):
        model = elsewhere.build()
        tensors = self.tensors()
        metadata = {
            'vocabulary': json.dumps(elsewhere.VOCABULARY.to_json()),
            'config': json.dumps({**model.config, 'attention': True}),
        }
        safetensors_numpy.save_file(tensors, self.path, metadata)
        self.assert_refused('attention')

    def test_sizes_are_checked_before_memory_is_taken(self):
        shape = [3, 1 << 40]
        header = {
            name: {
                'dtype': 'F32',
                'shape': shape,
                'data_offsets': [0, 12 << 40],
            }
            for name in ('rnn.weight_ih_l0',)
        }
        text = json.dumps(header).encode()
        self.path.write_bytes(struct.pack('<Q', len(text)) + text)
        self.assert_refused('is not a safetensors file')


if __name__ == '__main__':
    tf.test.main()
