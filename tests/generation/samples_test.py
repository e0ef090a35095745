import contextlib
import math
import pathlib
import re
import tempfile
import types
from unittest import mock

import tensorflow as tf
import toys
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation import samples
from tfcharrnn.training.callbacks import TensorBoard, every

CHARS = '\n\r abcdé'


def make_rnn_trainer():
    tf.random.set_seed(1)
    rnn = tfcharrnn.CharRNN(len(CHARS), embedding_dim=2, rnn_units=4)
    return tfcharrnn.Trainer(rnn, tf.keras.optimizers.Adam(0.01), seed=1)


def make_batches(length=200):
    ids = tfcharrnn.Vocabulary(CHARS).encode((CHARS * length)[:length])
    return tfcharrnn.data.sequences(ids, seq_length=5, batch_size=2)


class SampleTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vocabulary = tfcharrnn.Vocabulary(CHARS)
        cls.trainer = make_rnn_trainer()
        # Or else it makes no difference how warm it is.
        cls.trainer.model.bias.assign(tf.linspace(0.0, 4.0, len(CHARS)))

    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.path = pathlib.Path(folder, 'samples.txt')

    def make(self, path=None, **options):
        options = {'length': 30, 'temperatures': (0.5, 1.0, 2.0), **options}
        return samples.Sample(
            self.vocabulary, self.path if path is None else path, **options
        )

    def at(self, step):
        return types.SimpleNamespace(
            model=self.trainer.model, step=step, averaged=self.trainer.averaged
        )

    def test_writes_with_the_averaged_weights(self):
        bias = self.trainer.model.bias

        @contextlib.contextmanager
        def averaged():
            before = tf.identity(bias)
            bias.assign([100.0] + [0.0] * (len(CHARS) - 1))
            yield
            bias.assign(before)

        self.make()(
            types.SimpleNamespace(
                model=self.trainer.model, step=1, averaged=averaged
            ),
            {},
        )
        for text in self.read().values():
            self.assertEqual(text, CHARS[0] * 30)

    def read(self):
        """Returns {(step, temperature): text}."""
        text = self.path.read_bytes().decode('utf-8')
        parts = re.split(r'==> step (\d+), temperature (\S+)\n', text)
        self.assertEqual(parts[0], '')
        keys = zip(map(int, parts[1::3]), map(float, parts[2::3]), strict=True)
        keys = list(keys)
        self.assertLen(set(keys), len(keys))
        texts = [text.removesuffix('\n\n') for text in parts[3::3]]
        return dict(zip(keys, texts, strict=True))

    def test_writes_a_text_at_every_temperature(self):
        sample = self.make(prompt='abé')
        sample(self.at(10), {})
        sample(self.at(20), {})
        texts = self.read()
        expected = [(s, t) for s in (10, 20) for t in (0.5, 1.0, 2.0)]
        self.assertEqual(list(texts), expected)
        for text in texts.values():
            self.assertStartsWith(text, 'abé')
            self.assertLen(text, 3 + 30)
            self.assertContainsSubset(text, CHARS)
        self.assertLen(set(texts.values()), len(texts))

    def test_ends_where_it_is_to_stop(self):
        self.make(stop=CHARS[-1])(self.at(10), {})
        texts = self.read().values()
        self.assertTrue(any(len(text) < 30 for text in texts))
        for text in texts:
            self.assertNotIn(CHARS[-1], text)

    def test_of_lines_are_lines(self):
        vocabulary = self.vocabulary.with_lines(True)
        sample = samples.Sample(
            vocabulary, self.path, prompt='ab', length=200, temperatures=(2.0,)
        )
        generator = tfcharrnn.Generator(self.trainer.model, vocabulary)
        for step in (1, 2, 3):
            sample(self.at(step), {})
            line = generator.generate('ab', 200, temperature=2.0, seed=step)
            self.assertEqual(self.read()[step, 2.0], line)
            self.assertNotIn('\n', line)

    def test_the_text_is_a_function_of_weights_and_step(self):
        self.make()(self.at(10), {})
        first = self.read()
        self.path.unlink()
        sample = self.make()
        tf.random.set_seed(2)
        sample(self.at(5), {})
        sample(self.at(10), {})
        second = self.read()
        for key, text in first.items():
            self.assertEqual(second[key], text)

    def test_a_restart_tells_no_step_twice(self):
        sample = self.make()
        for step in (10, 20, 30):
            sample(self.at(step), {})
        before = self.path.read_bytes()
        sample = self.make()
        for step in (20, 30):
            sample(self.at(step), {})
        self.assertEqual(self.path.read_bytes(), before)

    def test_training_is_the_same_with_and_without(self):
        batches, snapshots = make_batches(), []
        for sampling in ([], [every(2, self.make())]):
            trainer = make_rnn_trainer()
            trainer.train(batches, 6, sampling + [every(2, toys.Recorder())])
            snapshots.append(toys.snapshot(trainer))
        toys.assert_same(*snapshots)
        self.assertLen(self.read(), 3 * 3)

    def test_tensorboard_gets_the_texts(self):
        board = mock.create_autospec(TensorBoard, instance=True)
        self.make(tensorboard=board, temperatures=(0.5, 2))(self.at(10), {})
        texts = self.read()
        self.assertEqual(
            [call.args[1:] for call in board.text.call_args_list],
            [
                ('temperature 0.5', texts[10, 0.5]),
                ('temperature 2', texts[10, 2.0]),
            ],
        )

    @parameterized.parameters(
        ({'prompt': 'abX'}, 'X'),
        ({'temperatures': (1.0, -1.0)}, 'temperature.*-1'),
        ({'temperatures': (math.nan,)}, 'temperature.*nan'),
        ({'stop': 'X'}, 'X'),
        ({'stop': ''}, 'stop'),
        ({'length': -1}, 'length.*-1'),
    )
    def test_what_cannot_be_written_is_refused_at_once(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            self.make(**options)


if __name__ == '__main__':
    tf.test.main()
