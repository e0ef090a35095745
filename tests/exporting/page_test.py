import contextlib
import pathlib

import chromium
import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import exporting
from tfcharrnn.exporting import page

TEXT = 'To be, or not to be: that is the question.\n"Whether", he said.\n'
ALPHABET = ''.join(sorted(set(TEXT)))
LAYERS = {'embedding_dim': 16, 'rnn_units': 16, 'num_layers': 2}
# Each kind of model that a page must run; the first letter's table aside.
MODELS = {
    'gru': {'embedding_dim': 48, 'rnn_units': 24},
    'gru, two layers': {'embedding_dim': 8, 'num_layers': 2, 'rnn_units': 12},
    'lstm': {'cell': 'lstm', 'embedding_dim': 40, 'rnn_units': 16},
    'mingru': {'cell': 'mingru', **LAYERS, 'residual': True},
    'vanilla': {'cell': 'vanilla', 'embedding_dim': None, 'rnn_units': 16},
    'tied': {**LAYERS, 'tied': True, 'layer_norm': True},
    'tied table': {'embedding_dim': 64, 'rnn_units': 64, 'tied': True},
    'lstm, all': {
        **LAYERS,
        'cell': 'lstm',
        'tied': True,
        'residual': True,
        'layer_norm': True,
    },
}


def build(vocab_size, **config):
    """Returns a model with weights that say something."""
    model = tfcharrnn.CharRNN(vocab_size, **config)
    random = np.random.default_rng(1)
    for variable in model.variables:
        noise = random.normal(size=variable.shape, scale=0.3)
        variable.assign_add(noise.astype(np.float32))
    return model


class PageTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.driver = stack.enter_context(chromium.opened())

    def open(self, model, vocabulary, name='model'):
        path = pathlib.Path(self.get_temp_dir(), f'{name}.html')
        page.write(model, vocabulary, path)
        chromium.requests(self.driver)
        chromium.complaints(self.driver)
        chromium.open_page(self.driver, path)
        return path

    def call(self, expression, *arguments):
        return chromium.call(self.driver, expression, *arguments)

    def generate(self, prompt, length, **settings):
        names = {'top_k': 'topK', 'top_p': 'topP'}
        request = {names.get(name, name): v for name, v in settings.items()}
        request.update(prompt=prompt, length=length)
        return self.call('tfcharrnn.generate(given[0])', request)

    @parameterized.named_parameters(
        (name.replace(' ', '_'), config) for name, config in MODELS.items()
    )
    def test_it_computes_what_python_does(self, config):
        vocabulary = tfcharrnn.Vocabulary(ALPHABET)
        model = build(len(vocabulary), **config)
        self.open(model, vocabulary)
        exact = tfcharrnn.Generator(model, vocabulary)
        generator = tfcharrnn.Generator(exporting.quantized(model), vocabulary)

        scores = self.call('tfcharrnn.logProbs(given[0])', TEXT)
        self.assertAllClose(scores, generator.score(TEXT), atol=1e-3)
        difference = abs(np.array(scores) - exact.score(TEXT))
        self.assertLess(difference.mean(), 0.002)
        self.assertLess(difference.max(), 0.1)

        for settings in (
            {'temperature': 0},
            {'temperature': 0.9, 'seed': 7, 'top_k': 5},
            {'temperature': 1.1, 'seed': 8, 'top_p': 0.8, 'stop': 'e'},
        ):
            text = self.generate('To ', 100, **settings)
            self.assertEqual(text, generator.generate('To ', 100, **settings))

        states = generator.states(TEXT)
        for layer in range(config.get('num_layers', 1)):
            seen = self.call(
                'tfcharrnn.states(given[0], given[1]).then(s => [s.names, '
                's.steps, s.units, s.names.map(n => [...s.values[n]])])',
                TEXT,
                layer,
            )
            names, steps, units, values = seen
            self.assertEqual(names, list(states))
            for name, value in zip(names, values, strict=True):
                value = np.reshape(value, [steps, units])
                self.assertAllClose(value, states[name][:, layer], atol=1e-3)
        self.assertEmpty(chromium.complaints(self.driver))
