import json
import pathlib
import shutil
import subprocess
import sys

import elsewhere
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import exporting
from tfcharrnn.generation.generator import Generator

LENGTH, SEED = 60, (1 << 40) + 7
PROMPTS = ["é ca'b", 'a', '', 'a bad cab, 中!']
OPTIONS = [
    {},
    {'temperature': 0.0},
    {'temperature': 0.7, 'top_k': 3},
    {'top_k': 100, 'top_p': 0.8},
    {'top_p': 1e-9},
]
# Models, and whether they write lines.
MODELS = {
    'gru': ({'num_layers': 2, 'compute_dtype': 'bfloat16'}, False),
    'lines': (
        {'cell': 'lstm', 'layer_norm': True, 'residual': True, 'num_layers': 2},
        True,
    ),
    'mingru': ({'cell': 'mingru', 'embedding_dim': None}, False),
    'mogrified': ({'cell': 'mogrified_lstm'}, False),
}
PROGRAM = """
    import json
    import tensorflow as tf

    given, found = json.load(open('given.json')), {}
    prompts = tf.constant(given['prompts'])
    for name in given['models']:
        model = tf.saved_model.load(name)
        texts = [
            model.generate(
                prompts, length=given['length'], seed=given['seed'], **options
            )['texts'].numpy()
            for options in given['options']
        ]
        scores = model.score(prompts)
        scores = {key: scores[key].numpy().tolist() for key in scores}
        found[name] = [[t.decode() for t in row] for row in texts], scores
    empty = tf.zeros([0], tf.string)
    found['empty'] = [
        model.generate(empty)['texts'].shape.as_list(),
        model.generate(['a'], length=0)['texts'].numpy()[0].decode(),
        model.score(empty)['scores'].shape.as_list(),
        model.score([''])['scores'].shape.as_list(),
    ]

    def error(prompts=('a',), **options):
        try:
            model.generate(tf.constant(prompts), **options)
        except tf.errors.InvalidArgumentError as error:
            return str(error)

    found['errors'] = {
        r'lacks these.*\\[@ # \\u03b1\\]': error(['a', '@a#@', '\\u03b1']),
        'Invalid formatting': error([b'a\\xff']),
        r'length must be.*\\[-1\\]': error(length=-1),
        r'temperature must.*\\[-1\\]': error(temperature=-1.0),
        r'temperature must.*nan': error(temperature=float('nan')),
        r'temperature must.*inf': error(temperature=float('inf')),
        r'top_k must.*\\[-2\\]': error(top_k=-2),
        r'top_p must.*\\[0\\]': error(top_p=0.0),
        r'top_p must.*\\[1.5\\]': error(top_p=1.5),
    }
    print(json.dumps(found))
"""


class Compiled(tfcharrnn.RNNCell):
    """A cell of a user's own that is compiled."""

    @tf.function(jit_compile=True)
    def __call__(self, inputs, state):
        state = 0.9 * state + tf.reduce_mean(inputs)
        return state, state


class Clock(tfcharrnn.RNNCell):
    """One whose state is a dict, with integers in it."""

    def initial_state(self, batch_size):
        return {
            'time': tf.zeros([batch_size], tf.int32),
            'mean': tf.zeros([batch_size, self.units]),
        }

    def __call__(self, inputs, state):
        time = state['time'] + 1
        mean = 0.9 * state['mean'] + tf.reduce_mean(inputs)
        hand = tf.sin(tf.cast(time, tf.float32))[:, tf.newaxis]
        return mean * hand, {'time': time, 'mean': mean}


def vocabulary(has_lines):
    return elsewhere.VOCABULARY.with_lines(has_lines)


class SavedModelTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        """Writes the models, and runs them in another process."""
        super().setUpClass()
        tf.random.set_seed(1)
        cls.folder = pathlib.Path(tf.compat.v1.test.get_temp_dir(), 'models')
        cls.folder.mkdir()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.models = {}
        for name, (config, has_lines) in MODELS.items():
            model = elsewhere.build(**config)
            if name == 'gru':  # Graphs that are compiled stay at home.
                Generator(model, vocabulary(has_lines)).generate('a', 2)
            exporting.save(
                model,
                vocabulary(has_lines),
                cls.folder / name,
                format='saved_model',
            )
            cls.models[name] = Generator(
                elsewhere.in_float32(model), vocabulary(has_lines)
            )
        given = {
            'prompts': PROMPTS,
            'models': list(MODELS),
            'options': OPTIONS,
            'length': LENGTH,
            'seed': SEED,
        }
        (cls.folder / 'given.json').write_text(json.dumps(given))
        cls.found = elsewhere.run(PROGRAM, cls.folder)

    @parameterized.parameters(*MODELS.items())
    def test_writes_the_texts_of_a_generator_with_the_same_seed(self, name, _):
        texts, _ = self.found[name]
        for options, found in zip(OPTIONS, texts, strict=True):
            for row, prompt in enumerate(PROMPTS):
                expected = self.models[name].generate(
                    prompt,
                    LENGTH,
                    seed=SEED,
                    num_samples=len(PROMPTS),
                    **options,
                )
                self.assertEqual(found[row], expected[row], options)

    def test_a_line_ends_with_itself(self):
        texts, _ = self.found['lines']
        self.assertNotIn('\n', ''.join(texts[0]))
        self.assertLess(min(map(len, texts[0])), LENGTH)

    @parameterized.parameters(*MODELS.items())
    def test_scores_as_a_generator_does(self, name, _):
        _, scores = self.found[name]
        self.assertEqual(scores['lengths'], [len(text) for text in PROMPTS])
        for text, found in zip(PROMPTS, scores['scores'], strict=True):
            expected = self.models[name].score(text) if text else []
            self.assertAllClose(found[: len(text)], expected, atol=1e-5)
            self.assertAllEqual(found[len(text) :], [0] * (13 - len(text)))

    def test_no_text_is_a_batch_too(self):
        self.assertEqual(self.found['empty'], [[0], 'a', [0, 0], [1, 0]])

    def test_says_what_is_wrong(self):
        for message, error in self.found['errors'].items():
            self.assertRegex(error, message)

    def test_saved_model_cli_runs_it_with_its_defaults(self):
        done = subprocess.run(
            [
                pathlib.Path(sys.executable).with_name('saved_model_cli'),
                *('run', '--dir', self.folder / 'gru', '--tag_set', 'serve'),
                *('--signature_def', 'generate'),
                *('--input_exprs', 'prompts=["a","bad"];length=3'),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and 'No such file' in done.stderr:
            self.skipTest('saved_model_cli is not installed.')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('Result for output key texts', done.stdout)
        expected = self.models['gru'].generate('a', 3, seed=0).encode()
        self.assertIn(repr(expected), done.stdout)

    def test_a_cell_of_ones_own_goes_out_unless_xla_compiles_it(self):
        model = elsewhere.build(cell=Clock)
        out = self.folder / 'clock'
        exporting.save(model, vocabulary(False), out, format='saved_model')
        loaded = tf.saved_model.load(str(out))
        text = loaded.generate(['a', 'abc'], length=9, seed=3)['texts']
        expected = Generator(model, vocabulary(False)).generate('a', 9, seed=3)
        self.assertEqual(text.numpy()[0].decode(), expected)
        out = self.folder / 'compiled'
        with self.assertRaisesRegex(ValueError, 'XLA.*jit_compile'):
            exporting.save(
                elsewhere.build(cell=Compiled),
                vocabulary(False),
                out,
                format='saved_model',
            )
        self.assertEmpty(list(self.folder.glob('*compiled*')))

    def test_words_and_half_characters_are_refused(self):
        words = tfcharrnn.WordVocabulary(['a', ' b'])
        for tokens, message in ((words, 'word'), (('\ud800', 'a', 'b'), 'UTF')):
            if isinstance(tokens, tuple):
                tokens = tfcharrnn.Vocabulary(tokens)
            with self.assertRaisesRegex(ValueError, message):
                exporting.save(
                    elsewhere.build(vocab_size=3),
                    tokens,
                    self.folder / 'refused',
                    format='saved_model',
                )
        self.assertFalse((self.folder / 'refused').exists())

    def test_replaces_a_saved_model_and_nothing_else(self):
        out = pathlib.Path(self.get_temp_dir(), 'out')
        out.mkdir()
        options = {'format': 'saved_model', 'overwrite': True}
        model = elsewhere.build()
        exporting.save(model, vocabulary(False), out, **options)
        exporting.save(model, vocabulary(False), out, **options)
        self.assertEqual([path.name for path in out.parent.iterdir()], ['out'])
        (out / 'saved_model.pb').rename(out / 'diary.pb')
        before = sorted(out.rglob('*'))
        with self.assertRaisesRegex(ValueError, 'not replaced'):
            exporting.save(model, vocabulary(False), out, **options)
        with self.assertRaisesRegex(ValueError, 'not replaced'):
            exporting.save(
                model, vocabulary(False), out / 'diary.pb', **options
            )
        self.assertEqual(sorted(out.rglob('*')), before)


if __name__ == '__main__':
    tf.test.main()
