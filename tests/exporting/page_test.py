import contextlib
import pathlib

import chromium
import numpy as np
import running_commands
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import exporting
from tfcharrnn.exporting import page

TEXT = 'To be, or not to be: that is the question.\n"Whether", he said.\n'
ALPHABET = ''.join(sorted(set(TEXT)))
LAYERS = {'embedding_dim': 16, 'rnn_units': 16, 'num_layers': 2}
# Each kind of model that a page must run, with a table of inputs and without.
MODELS = {
    'gru': {'embedding_dim': 48, 'rnn_units': 24},
    'gru, two layers': {'embedding_dim': 8, 'num_layers': 2, 'rnn_units': 12},
    'mingru': {'cell': 'mingru', **LAYERS, 'residual': True},
    'vanilla': {'cell': 'vanilla', 'embedding_dim': None, 'rnn_units': 16},
    'tied': {'embedding_dim': 64, 'rnn_units': 64, 'tied': True},
    'lstm, all': {
        **LAYERS,
        'cell': 'lstm',
        'tied': True,
        'residual': True,
        'layer_norm': True,
    },
}
HOSTILE = '</script><img src=x onerror=alert(1)>&amp;"\'\u2028\u202e\U0001f600'


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
        generator = tfcharrnn.Generator(exporting.quantized(model), vocabulary)
        scores = self.call('tfcharrnn.logProbs(given[0])', TEXT)
        self.assertAllClose(scores, generator.score(TEXT), atol=1e-3)
        for settings in (
            {'temperature': 0},
            {'temperature': 1.1, 'seed': 8, 'stop': 'e'},
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

    def test_a_trained_run_is_as_exact_as_promised(self):
        folder, _ = running_commands.finished()
        run = pathlib.Path(folder, 'bard')
        path = pathlib.Path(self.get_temp_dir(), 'run.html')
        with running_commands.in_folder(folder):
            exporting.save_run(
                run, path, format='page', options={'checkpoints': 5}
            )
        chromium.open_page(self.driver, path)
        text = pathlib.Path(folder, running_commands.CORPUS).read_text()[-3000:]
        exact = tfcharrnn.Generator.from_checkpoint(run)
        scores = self.call('tfcharrnn.logProbs(given[0])', text)
        difference = abs(np.array(scores) - exact.score(text))
        self.assertLess(difference.mean(), 0.002)
        self.assertLess(difference.max(), 0.1)
        greedy = tfcharrnn.Generator(
            exporting.quantized(exact.model), exact.vocabulary
        )
        for settings in (
            {'temperature': 0},
            {'temperature': 0.9, 'seed': 7, 'top_k': 3},
            {'temperature': 1.1, 'seed': -8, 'top_p': 0.8},
        ):
            self.assertEqual(
                self.generate('to ', 500, **settings),
                greedy.generate('to ', 500, **settings),
            )

    def test_questions_that_are_asked_at_once_do_not_mix(self):
        vocabulary = tfcharrnn.Vocabulary(ALPHABET)
        # Without noise, which is chaos in so many units.
        model = tfcharrnn.CharRNN(len(vocabulary), 8, rnn_units=400)
        path = pathlib.Path(self.get_temp_dir(), 'busy.html')
        page.write(model, vocabulary, path)
        self.driver.get(path.resolve().as_uri())  # Do not wait.
        texts = [TEXT * 20, TEXT[::-1] * 20, TEXT[5:] * 20]
        scores = self.call(
            'Promise.all(given[0].map((text) => tfcharrnn.logProbs(text)))',
            texts,
        )
        generator = tfcharrnn.Generator(exporting.quantized(model), vocabulary)
        for text, score in zip(texts, scores, strict=True):
            self.assertFalse(any(value is None for value in score))
            self.assertAllClose(score, generator.score(text), atol=1e-3)

    @parameterized.parameters(False, True)
    def test_words_and_lines(self, lines):
        text = "To be, or not to be:\nthat's the question.\n"
        vocabulary = tfcharrnn.WordVocabulary.from_text(text, 9, lines=lines)
        model = build(len(vocabulary), embedding_dim=4, rnn_units=8)
        self.open(model, vocabulary)
        generator = tfcharrnn.Generator(exporting.quantized(model), vocabulary)
        text += ' To\u2003b\u00e9, it\u2019s 1st _x\x1c\u0301.'
        scores = self.call('tfcharrnn.logProbs(given[0])', text)
        self.assertAllClose(scores, generator.score(text), atol=1e-3)
        self.assertEqual(
            self.generate('To', 30, seed=3),
            generator.generate('To', 30, seed=3),
        )

    def test_a_page_asks_for_nothing_and_runs_nothing_of_its_texts(self):
        vocabulary = tfcharrnn.Vocabulary(sorted(set(HOSTILE + '\n ')))
        model = build(len(vocabulary), embedding_dim=4, rnn_units=8)
        name = HOSTILE.replace('/', '\u2215')
        path = self.open(model, vocabulary, name)
        self.assertIn(name, self.driver.execute_script('return document.title'))
        for id_ in ('prompt', 'surprise-text', 'neuron-text'):
            self.driver.execute_script(
                """
                const place = document.getElementById(arguments[0]);
                if ('value' in place) place.value = arguments[1];
                else place.textContent = arguments[1];
                place.dispatchEvent(new Event('input', {bubbles: true}));
                """,
                id_,
                HOSTILE,
            )
        scores = self.call('tfcharrnn.logProbs(given[0])', HOSTILE)
        generator = tfcharrnn.Generator(exporting.quantized(model), vocabulary)
        self.assertAllClose(scores, generator.score(HOSTILE), atol=1e-3)
        self.assertEqual(self.generate(HOSTILE, 5)[: len(HOSTILE)], HOSTILE)
        images = self.driver.execute_script('return document.images.length')
        self.assertEqual(images, 0)
        urls = chromium.requests(self.driver)
        others = [url for url in urls if not url.startswith('blob:')]
        self.assertEqual(others, [path.resolve().as_uri()])
        self.assertEmpty(chromium.complaints(self.driver))

    def test_the_policy_stops_a_request_and_a_script(self):
        model = build(3, embedding_dim=4, rnn_units=8)
        self.open(model, tfcharrnn.Vocabulary('abc'))
        answer = self.call(
            "fetch('https://localhost/').then(() => 1, () => 'refused')"
        )
        self.assertEqual(answer, 'refused')
        self.driver.execute_script(
            """
            const script = document.createElement('script');
            script.textContent = 'window.got_in = true';
            document.body.append(script);
            """
        )
        got_in = self.driver.execute_script('return window.got_in')
        self.assertIsNone(got_in)
        complaints = '\n'.join(chromium.complaints(self.driver))
        self.assertIn('Executing inline script violates', complaints)


if __name__ == '__main__':
    tf.test.main()
