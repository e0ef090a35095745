import os
import pathlib
import random
import shutil
import tempfile

import numpy as np
import tensorflow as tf
from absl.testing import parameterized
from running_commands import in_folder

import tfcharrnn
from tfcharrnn import data
from tfcharrnn.running import mixing, mixture_config

SMALL = {
    'batch_size': 4,
    'seq_length': 20,
    'rnn_units': 8,
    'embedding_dim': 4,
    'precision': 'float32',
    'sample_every': 0,
    'eval_every': 0,
    'learning_rate': 0.02,
    'steps': 40,
    'fit_fraction': 0.1,
}


def make_text(words, num_words=1200, seed=0):
    draw = random.Random(seed)
    return ' '.join(draw.choices(words, k=num_words))


def train(model_dir, **settings):
    config = tfcharrnn.RunConfig(
        **{**SMALL, 'model_dir': model_dir, **settings}
    )
    tf.keras.utils.set_random_seed(config.seed)
    tfcharrnn.Run(config).train()


class Constant:
    """Predicts the same, whatever comes before."""

    def __init__(self, probabilities):
        self.vocab_size = len(probabilities)
        self._logits = tf.math.log(tf.constant(probabilities, tf.float32))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 1])

    def __call__(self, inputs, state):
        shape = [*inputs.shape, self.vocab_size]
        return tf.broadcast_to(self._logits, shape), state


def batches(probabilities, length=20_000):
    draw = np.random.default_rng(0)
    ids = draw.choice(len(probabilities), size=length, p=probabilities)
    return data.sequences(ids, seq_length=100, batch_size=10)


class FitTest(tf.test.TestCase):
    def test_finds_the_weights_that_a_text_was_drawn_with(self):
        one, other = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.2, 0.7])
        weights, _ = mixing.fit(
            [Constant(one), Constant(other)],
            batches(0.8 * one + 0.2 * other),
            [False, False],
        )
        self.assertAllClose(weights, [0.8, 0.2], atol=0.02)

    def test_finds_the_temperature_that_a_text_was_drawn_at(self):
        probabilities = np.array([0.9, 0.08, 0.02])
        tempered = probabilities ** (1 / 1.25)
        weights, temperatures = mixing.fit(
            [Constant(probabilities), Constant([1e-6, 1e-6, 1.0])],
            batches(tempered / tempered.sum()),
            [True, False],
        )
        self.assertAllClose(temperatures, [1.25, 1.0], atol=0.051)
        self.assertAllClose(weights, [1.0, 0.0], atol=0.01)

    def test_models_that_are_sure_of_something_else_are_weighed_too(self):
        wrong = [Constant([1e-30, 1e-30, 1.0]), Constant([1e-35, 1e-35, 1.0])]
        for member in wrong:  # Beyond what float32 has: exp(-200) and less.
            member._logits *= 3.0
        weights, temperatures = mixing.fit(
            wrong, batches(np.array([0.5, 0.5, 0.0])), [False, False]
        )
        self.assertAllClose(weights, [1.0, 0.0], atol=0.01)
        self.assertEqual(temperatures, [1.0, 1.0])


class LoadMixtureTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.addClassCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        words = 'to be or not that is the question'.split()
        text = make_text(words)
        pathlib.Path('play.txt').write_text(text)
        for seed in (0, 1):
            train(f'run{seed}', corpus='play.txt', seed=seed)
        # The same, but for its validation part.
        cut = int(0.9 * len(text))
        other = make_text(words[::-1], seed=1)
        pathlib.Path('other.txt').write_text(
            text[:cut] + other[: len(text) - cut]
        )
        train('twin0', corpus='other.txt', seed=0)
        train('seen', corpus='play.txt', fit_fraction=0.0)
        pathlib.Path('letters.txt').write_text(make_text(['abc', 'xyz']))
        train('letters', corpus='letters.txt', steps=1)

    def test_the_history_of_a_run_is_a_mixture_of_its_checkpoints(self):
        train('run', corpus='play.txt', lr_schedule='cycles:2')
        names = [f'run/history/ckpt-{step}' for step in (20, 40)]
        mixture, vocabulary = tfcharrnn.load_mixture(names, weights=[1, 1])
        one, other = (tfcharrnn.load_model(name)[0] for name in names)
        self.assertNotAllClose(one.kernel, other.kernel)
        ids = vocabulary.encode('to be or not')[None]
        expected = [
            tf.nn.softmax(model(ids, model.initial_state(1))[0])
            for model in (one, other)
        ]
        logits, _ = mixture(ids, mixture.initial_state(1))
        self.assertAllClose(
            tf.exp(logits), (expected[0] + expected[1]) / 2.0, 1e-5
        )
        whole, _ = tfcharrnn.load_mixture(['run/history'], weights=[1, 1])
        self.assertAllClose(whole(ids, whole.initial_state(1))[0], logits, 1e-5)
        whole = tfcharrnn.measure('run/history')
        self.assertEqual(whole, tfcharrnn.measure(','.join(names)))
        last = tfcharrnn.measure(names[-1])
        self.assertEqual(last, tfcharrnn.measure('run'))
        self.assertEqual(last, tfcharrnn.measure('run', names[-1]))
        self.assertNotEqual(last, tfcharrnn.measure(names[0]))

    def test_validation_text_changes_no_weight(self):
        model, _ = tfcharrnn.load_mixture(['run0'], ngram=4)
        twin, _ = tfcharrnn.load_mixture(['twin0'], ngram=4)
        self.assertAllEqual(model.weights, twin.weights)
        self.assertAllEqual(model.temperatures, twin.temperatures)

    def test_a_mixture_is_better_than_its_members(self):
        single = tfcharrnn.measure('run0')
        mixed = tfcharrnn.measure('run0,run1')
        with_ngrams = tfcharrnn.measure('run0,run1', ngram=4)
        self.assertLess(mixed['loss'], single['loss'])
        self.assertLess(with_ngrams['loss'], mixed['loss'])
        self.assertEqual(mixed['num_chars'], single['num_chars'])

    def test_the_sum_over_characters_is_1_at_every_position(self):
        model, vocabulary = tfcharrnn.load_mixture(['run0', 'run1'], ngram=5)
        corpus = tfcharrnn.Corpus.load('play.txt', vocabulary=vocabulary)
        ids = tf.constant([corpus.valid], tf.int32)
        logits, _ = model(ids, model.initial_state(1))
        sums = tf.reduce_sum(tf.exp(logits), axis=-1)
        self.assertAllClose(sums, tf.ones_like(sums), 1e-5)

    def test_one_run_without_ngrams_is_the_model_itself(self):
        model, _ = tfcharrnn.load_mixture(['run0'])
        self.assertIsInstance(model, tfcharrnn.CharRNN)

    def test_given_weights_need_no_text(self):
        with in_folder(tempfile.mkdtemp(dir='.')):
            runs = ['../run0', '../letters/../run1']
            model, _ = tfcharrnn.load_mixture(runs, weights=[1, 3])
        self.assertAllClose(model.weights, [0.25, 0.75])

    def test_a_text_that_training_has_read_is_warned_of(self):
        with self.assertLogs(level='WARNING') as logs:
            tfcharrnn.load_mixture(['seen'], ngram=4)
        self.assertIn('Train with `fit_fraction`', logs.output[0])

    def test_ngrams_are_counted_on_all_that_may_be_trained_on(self):
        model, vocabulary = tfcharrnn.load_mixture(['run0'], ngram=3)
        corpus = tfcharrnn.Corpus.load('play.txt', vocabulary=vocabulary)
        expected = tfcharrnn.NGram(corpus.train, len(vocabulary), 3)
        ids = tf.constant([corpus.valid], tf.int32)
        logits, _ = model.members[1](ids, expected.initial_state(1))
        wanted, _ = expected(ids, expected.initial_state(1))
        self.assertAllClose(logits, wanted, 1e-6)

    @parameterized.parameters(
        (['run0', 'letters'], "'letters' and 'run0' have different vocabul"),
        (
            ['run0', 'seen'],
            "'play.txt', as .* not the one that the model in 'seen' was",
        ),
        (['run0', 'none'], "'none' holds no trained model"),
    )
    def test_what_does_not_fit_is_one_sentence(self, runs, message):
        with self.assertRaisesRegex((ValueError, OSError), message):
            tfcharrnn.load_mixture(runs, ngram=3)

    def test_lines_are_mixed_too(self):
        lines = make_text(['to be', 'or not', 'the question']).split(' ')
        pathlib.Path('lines.txt').write_text('\n'.join(lines))
        train('lines', corpus='lines.txt', lines=True)
        single = tfcharrnn.measure('lines')
        mixed = tfcharrnn.measure('lines', ngram=4)
        self.assertLess(mixed['loss'], single['loss'])
        model, vocabulary = tfcharrnn.load_mixture(['lines'], ngram=4)
        text = tfcharrnn.Generator(model, vocabulary).generate('', 20, seed=0)
        self.assertNotIn('\n', text)
        train('stream', corpus='lines.txt', steps=1)
        with self.assertRaisesRegex(ValueError, 'only one is of lines'):
            tfcharrnn.load_mixture(['lines', 'stream'], weights=[1, 1])


class MembersTest(tf.test.TestCase):
    def test_a_member_that_lies_elsewhere_is_refused(self):
        folder, other = (
            pathlib.Path(self.get_temp_dir(), name) for name in ('run', 'other')
        )
        other.mkdir()
        mixture_config.member(folder, 1).mkdir(parents=True)
        self.assertLen(mixture_config.members_in(folder), 1)
        mixture_config.member(folder, 2).symlink_to(other)
        with self.assertRaisesRegex(ValueError, "member-2' is .* leads out"):
            mixture_config.models_in(folder)


if __name__ == '__main__':
    tf.test.main()
