import contextlib
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation import conversion
from tfcharrnn.generation.generator import Generator

CHARS = ''.join(map(chr, range(ord(' '), ord(' ') + 40)))
VOCABULARY = tfcharrnn.Vocabulary(CHARS)
LENGTH, SEED = 200, 3
SIZES = {'vocab_size': len(CHARS), 'embedding_dim': 48, 'rnn_units': 48}


class Elman(tfcharrnn.RNNCell):
    """A cell of a user's own."""

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        self.w = tf.Variable(tf.zeros([input_size, units]))
        self.u = tf.Variable(tf.zeros([units, units]))

    def __call__(self, inputs, state):
        products = self._product(inputs, self.w), self._product(state, self.u)
        state = tf.tanh(sum(products))
        return state, state


class Clock(tfcharrnn.RNNCell):
    """A cell whose state is a dict, with integers in it."""

    def initial_state(self, batch_size):
        return {
            'time': tf.zeros([batch_size], tf.int32),
            'mean': tf.zeros([batch_size, self.units]),
        }

    def __call__(self, inputs, state):
        time = state['time'] + 1
        mean = 0.9 * state['mean'] + 0.1 * inputs
        hand = tf.sin(tf.cast(time, tf.float32))[:, tf.newaxis]
        return mean * hand, {'time': time, 'mean': mean}


class Inverse(tfcharrnn.RNNCell):
    """A cell with an operation that LiteRT lacks."""

    def __call__(self, inputs, state):
        square = tf.einsum('bi,bj->bij', inputs, inputs)
        state += tf.linalg.inv(square + tf.eye(self.units))[:, 0]
        return state, state


class Bigrams(tf.Module):
    """A model of a user's own, without a recurrent network."""

    def __init__(self):
        super().__init__()
        self.vocab_size = len(CHARS)
        size = [self.vocab_size, self.vocab_size]
        self.table = tf.Variable(tf.random.stateless_normal(size, [1, 2]))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 2, 3])

    def __call__(self, inputs, state):
        return tf.gather(self.table, inputs), state + 1.0

    def step(self, ids, state):
        return self(ids, state)


# Each with the largest difference of a log-probability, in nats.
MODELS = {
    'gru': ({}, 0.01),
    'lstm': ({'cell': 'lstm'}, 0.01),
    'mingru': ({'cell': 'mingru'}, 0.01),
    'vanilla': ({'cell': 'vanilla'}, 0.1),
    'mogrified': ({'cell': 'mogrified_gru'}, 0.02),
    'one_hot_mogrified': (
        {'cell': 'mogrified_lstm', 'embedding_dim': None, 'num_layers': 2},
        0.02,
    ),
    'layers': ({'num_layers': 3, 'cell': 'lstm'}, 0.02),
    'residual': ({'num_layers': 3, 'residual': True}, 0.02),
    'tied': ({'tied': True}, 0.02),
    'layer_norm': ({'num_layers': 2, 'layer_norm': True}, 0.15),
    'one_hot': ({'embedding_dim': None}, 0.01),
    'one_hot_lstm': ({'embedding_dim': None, 'cell': 'lstm'}, 0.01),
    'bfloat16': ({'compute_dtype': 'bfloat16'}, 0.02),
    'bfloat16_norm': (
        {'compute_dtype': 'bfloat16', 'cell': 'mingru', 'layer_norm': True},
        0.1,
    ),
    'elman': ({'cell': Elman}, 0.05),
    'bfloat16_elman': ({'cell': Elman, 'compute_dtype': 'bfloat16'}, 0.05),
    'one_hot_elman': ({'cell': Elman, 'embedding_dim': None}, 0.05),
    'clock': ({'cell': Clock}, 0.05),
}
FEW = 'gru', 'lstm', 'layer_norm', 'clock'
OPTIONS = (
    {},
    {'temperature': 0.0},
    {'top_k': 3},
    {'top_p': 0.6},
    {'temperature': 2.0, 'top_k': 9, 'top_p': 0.9, 'stop': 'A'},
)


def setUpModule():
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    patch = mock.patch.dict(os.environ, {'XDG_CACHE_HOME': folder.name})
    patch.start()
    unittest.addModuleCleanup(patch.stop)


def build(**config):
    model = tfcharrnn.CharRNN(**SIZES | config)
    for number, variable in enumerate(model.variables):
        noise = tf.random.stateless_normal(variable.shape, [1, number])
        variable.assign(variable + 0.1 * noise)
    return model


@functools.cache
def the_generators(name):
    """The float32 and the int8 generator of a model."""
    tf.keras.utils.set_random_seed(0)
    model = Bigrams() if name == 'bigrams' else build(**MODELS[name][0])
    return (
        Generator(model, VOCABULARY),
        Generator(model, VOCABULARY, precision='int8'),
    )


def without_litert():
    """As if neither the package nor TensorFlow had the interpreter."""
    missing = {'ai_edge_litert': None, 'ai_edge_litert.interpreter': None}
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.dict(sys.modules, missing))
    stack.enter_context(mock.patch.object(tf, 'lite', object()))
    return stack


def random_text(length):
    rng = np.random.default_rng(length)
    return ''.join(rng.choice(list(CHARS), length))


class ScoreTest(parameterized.TestCase):
    @parameterized.parameters(*MODELS)
    def test_is_that_of_float32_within_a_bound(self, name):
        float32, int8 = the_generators(name)
        text = random_text(LENGTH)
        expected, scores = float32.score(text), int8.score(text)
        bound = MODELS[name][1]
        self.assertEqual(scores.dtype, np.float32)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=bound)
        self.assertLess(abs(np.mean(scores - expected)), bound / 10)
        # The weights are large enough to be quantized.
        self.assertGreater(abs(scores - expected).max(), 1e-6)

    def test_of_a_model_of_a_users_own(self):
        float32, int8 = the_generators('bigrams')
        text = random_text(LENGTH)
        np.testing.assert_allclose(
            int8.score(text), float32.score(text), rtol=0, atol=0.05
        )

    @parameterized.parameters(0, 1, 2, 256, 257, 600)
    def test_of_pieces_is_that_of_the_written_text(self, length):
        _, int8 = the_generators('gru')
        text = random_text(600)
        scores = int8.score(text[:length])
        self.assertEqual(scores.shape, (length,))
        np.testing.assert_array_equal(scores, int8.score(text)[:length])

    def test_all_texts_together_are_certain(self):
        _, int8 = the_generators('gru')
        probabilities = [np.exp(int8.score('AB' + char)[-1]) for char in CHARS]
        self.assertAlmostEqual(sum(probabilities), 1.0, places=5)


class GenerateTest(parameterized.TestCase):
    @parameterized.parameters(*FEW)
    def test_one_seed_writes_nearly_one_text(self, name):
        float32, int8 = the_generators(name)
        expected = float32.generate('AB', LENGTH, num_samples=9, seed=SEED)
        texts = int8.generate('AB', LENGTH, num_samples=9, seed=SEED)
        same = np.mean(
            [
                a == b
                for text in zip(texts, expected, strict=True)
                for a, b in zip(*text, strict=True)
            ]
        )
        self.assertGreater(same, 0.8)

    @parameterized.product(name=FEW, options=OPTIONS)
    def test_same_seed_same_text_whatever_the_number_of_samples(
        self, name, options
    ):
        _, int8 = the_generators(name)
        options = {'seed': SEED, **options}
        alone = int8.generate('AB', LENGTH, **options)
        five = int8.generate('AB', LENGTH, num_samples=5, **options)
        self.assertLen(five, 5)
        self.assertEqual(five[0], alone)
        self.assertEqual(alone, int8.generate('AB', LENGTH, **options))
        for count in (1, 2, 37):
            texts = int8.generate('AB', LENGTH, num_samples=count, **options)
            self.assertEqual(texts[:5], five[:count])
        self.assertEqual(len(set(five)) == 1, options.get('temperature') == 0.0)

    def test_same_seed_same_text_from_another_generator(self):
        texts = {
            Generator(
                the_generators('gru')[0].model, VOCABULARY, precision='int8'
            ).generate('AB', LENGTH, seed=SEED)
            for _ in range(2)
        }
        self.assertLen(texts, 1)

    def test_greedy_is_the_most_probable_character_each_time(self):
        _, int8 = the_generators('gru')
        text = int8.generate('AB', 20, temperature=0.0)
        for end in range(2, len(text)):
            best = max(CHARS, key=lambda c: int8.score(text[:end] + c)[-1])
            self.assertEqual(text[end], best)

    @parameterized.product(name=FEW, options=OPTIONS)
    def test_a_stream_is_the_generated_text(self, name, options):
        _, int8 = the_generators(name)
        for prompt in ('', 'AB'):
            pieces = list(int8.stream(prompt, LENGTH, seed=SEED, **options))
            self.assertNotIn('', pieces)
            self.assertGreater(len(pieces), 1)
            self.assertEqual(
                ''.join(pieces),
                int8.generate(prompt, LENGTH, seed=SEED, **options),
            )

    def test_streams_do_not_disturb_each_other(self):
        _, int8 = the_generators('clock')
        expected = [int8.generate(p, LENGTH, seed=SEED) for p in 'AB']
        streams = [int8.stream(p, LENGTH, seed=SEED) for p in 'AB']
        texts = ['', '']
        for pieces in zip(*streams, strict=True):
            int8.generate('C', 9, num_samples=3)
            texts = [a + b for a, b in zip(texts, pieces, strict=True)]
        self.assertEqual(texts, expected)

    def test_the_text_ends_before_the_stop(self):
        _, int8 = the_generators('gru')
        options = {'num_samples': 5, 'seed': SEED}
        endless = int8.generate('AB', LENGTH, **options)
        for stop in ('C', endless[0][9:11]):
            self.assertEqual(
                int8.generate('AB', LENGTH, stop=stop, **options),
                ['AB' + text[2:].split(stop)[0] for text in endless],
            )

    def test_of_length_0_is_the_prompt(self):
        _, int8 = the_generators('gru')
        self.assertEqual(int8.generate('AB', 0), 'AB')
        self.assertEqual(int8.generate('AB', 0, num_samples=2), ['AB'] * 2)

    def test_the_weights_are_those_of_when_it_was_made(self):
        model = build(embedding_dim=8, rnn_units=8)
        before = Generator(model, VOCABULARY, precision='int8')
        text = before.generate('A', 20, seed=SEED)
        model.bias.assign(1e6 * tf.one_hot(1, len(CHARS)))
        self.assertEqual(before.generate('A', 20, seed=SEED), text)
        after = Generator(model, VOCABULARY, precision='int8')
        self.assertEqual(after.generate('A', 3), 'A' + 3 * CHARS[1])

    @parameterized.parameters(8, None)
    def test_of_a_large_vocabulary(self, size):
        # No table of products is made; each character is embedded.
        chars = ''.join(map(chr, range(0x4E00, 0x4E00 + 1100)))
        vocabulary = tfcharrnn.Vocabulary(chars)
        model = build(vocab_size=1100, embedding_dim=size, rnn_units=32)
        int8 = Generator(model, vocabulary, precision='int8')
        np.testing.assert_allclose(
            int8.score(chars[:99]),
            Generator(model, vocabulary).score(chars[:99]),
            rtol=0,
            atol=0.05,
        )


class PrecisionTest(parameterized.TestCase):
    def test_says_what_was_taken(self):
        float32, int8 = the_generators('gru')
        self.assertEqual(float32.precision, 'float32')
        self.assertEqual(int8.precision, 'int8')
        auto = Generator(float32.model, VOCABULARY, precision='auto')
        self.assertEqual(auto.precision, 'int8')
        self.assertEqual(
            auto.generate('A', LENGTH, seed=SEED),
            int8.generate('A', LENGTH, seed=SEED),
        )

    def test_is_one_of_three(self):
        for make in (
            lambda p: Generator(
                the_generators('gru')[0].model, VOCABULARY, precision=p
            ),
            lambda p: Generator.from_checkpoint('/there/is/none', precision=p),
        ):
            with self.assertRaisesRegex(ValueError, "`precision` is 'int4'"):
                make('int4')

    def test_of_a_checkpoint(self):
        float32, int8 = the_generators('gru')
        with tempfile.TemporaryDirectory() as model_dir:
            trainer = tfcharrnn.Trainer(
                float32.model, tf.keras.optimizers.SGD(0.1)
            )
            tfcharrnn.Checkpointer(model_dir, trainer, VOCABULARY).save()
            for precision in ('float32', 'int8', 'auto'):
                after = Generator.from_checkpoint(
                    model_dir, precision=precision
                )
                expected = float32 if precision == 'float32' else int8
                self.assertEqual(after.precision, expected.precision)
                self.assertEqual(
                    after.generate('A', LENGTH, seed=SEED),
                    expected.generate('A', LENGTH, seed=SEED),
                )

    def test_a_second_start_does_not_convert(self):
        model = the_generators('gru')[0].model
        int8 = Generator(model, VOCABULARY, precision='int8')
        with mock.patch.object(conversion, 'convert', side_effect=self.fail):
            again = Generator(model, VOCABULARY, precision='int8')
        text = random_text(50)
        np.testing.assert_array_equal(again.score(text), int8.score(text))

    def test_without_litert_int8_says_what_to_type(self):
        model = the_generators('gru')[0].model
        with without_litert():
            with self.assertRaisesRegex(
                ValueError, r"pip install 'tfcharrnn\[int8\]'"
            ):
                Generator(model, VOCABULARY, precision='int8')

    def test_without_litert_auto_is_float32(self):
        float32 = the_generators('gru')[0]
        with without_litert():
            auto = Generator(float32.model, VOCABULARY, precision='auto')
        self.assertEqual(auto.precision, 'float32')
        self.assertEqual(
            auto.generate('A', 30, seed=SEED),
            float32.generate('A', 30, seed=SEED),
        )

    @unittest.skipUnless(hasattr(tf.lite, 'Interpreter'), 'TensorFlow has none')
    def test_the_interpreter_of_tensorflow_serves_as_well(self):
        float32, int8 = the_generators('gru')
        missing = {'ai_edge_litert': None, 'ai_edge_litert.interpreter': None}
        with mock.patch.dict(sys.modules, missing):
            other = Generator(float32.model, VOCABULARY, precision='int8')
        text = random_text(50)
        np.testing.assert_allclose(
            other.score(text), int8.score(text), rtol=0, atol=0.01
        )

    def test_a_step_that_cannot_be_converted_says_to_use_float32(self):
        model = build(cell=Inverse, embedding_dim=8, rnn_units=8)
        with self.assertRaisesRegex(
            ValueError, "step of CharRNN cannot be converted.* Use 'float32'"
        ):
            Generator(model, VOCABULARY, precision='int8')
        auto = Generator(model, VOCABULARY, precision='auto')
        self.assertEqual(auto.precision, 'float32')

    def test_a_mixture_writes_in_float32(self):
        model = build(embedding_dim=8, rnn_units=8)
        mixture = tfcharrnn.Mixture([model, model])
        with self.assertRaisesRegex(ValueError, 'mixtures write in float32'):
            Generator(mixture, VOCABULARY, precision='int8')
        auto = Generator(mixture, VOCABULARY, precision='auto')
        self.assertEqual(auto.precision, 'float32')

    def test_nothing_is_printed(self):
        code = (
            'import tfcharrnn\n'
            'model = tfcharrnn.CharRNN(40, 48, 48)\n'
            'vocabulary = tfcharrnn.Vocabulary(map(chr, range(32, 72)))\n'
            'tfcharrnn.Generator(model, vocabulary, precision="int8")'
            '.generate("A", 9)\n'
        )
        done = subprocess.run(
            [sys.executable, '-c', 'from tfcharrnn import startup\n'
             'startup.import_tensorflow()\n' + code],
            capture_output=True,
            check=False,
            cwd=pathlib.Path(tfcharrnn.__file__).parent.parent,
        )  # fmt: skip
        self.assertEqual(done.stdout + done.stderr, b'')


if __name__ == '__main__':
    unittest.main()
