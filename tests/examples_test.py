import contextlib
import copy
import importlib.util
import io
import pathlib
import random
import re
import runpy
import sys
import tempfile
import types
from unittest import mock

import numpy as np
import running_commands
import tensorflow as tf
import toys
from absl import flags
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import commands, experiment
from tfcharrnn import train as train_command

FOLDER = pathlib.Path(__file__).parents[1] / 'examples'
PROGRAMS = sorted(path.name for path in FOLDER.glob('*.py'))
# A validation loss, as the examples print it.
VALIDATION = re.compile(r'validation (\d\.\d+)')
# With all characters of the prompts.
NAMES = (
    'Today On Sunday Moscow, President Little red riding hood ROMEO: The'
).split()
WORDS = 'the king of wind and rain went home'.split()
NIETZSCHE_CHARS, NIETZSCHE_DISTINCT = 600_893, 57


def make_lines(number, seed=0):
    """Lines of random length that begin with a name and go on with words."""
    draw = random.Random(seed)
    return [
        ' '.join(
            [draw.choice(NAMES), *draw.choices(WORDS, k=draw.randint(3, 9))]
        )
        for _ in range(number)
    ]


@contextlib.contextmanager
def flags_that_go_away():
    """Removes the flags defined inside: examples share their names."""
    before = set(flags.FLAGS)
    try:
        yield
    finally:
        new = {key: flags.FLAGS[key] for key in set(flags.FLAGS) - before}
        flags.FLAGS.remove_flag_values(new)
        flags.FLAGS.unparse_flags()


def read_flags(name):
    """Reads a flagfile of the command `train`."""
    values = copy.deepcopy(train_command.FLAGS)
    values(['', f'--flagfile={FOLDER / name}.flags'])
    return values


class ExampleTest(tf.test.TestCase, parameterized.TestCase):
    """Runs examples in this process, with flags as on a command line."""

    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)
        self.corpus = self.folder / 'corpus.txt'
        self.lines = make_lines(600)
        self.corpus.write_text('\n'.join(self.lines), 'utf-8')

    def load(self, name):
        """Imports an example."""
        path = FOLDER / f'{name}.py'
        spec = importlib.util.spec_from_file_location(f'{name}_example', path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        self.addCleanup(sys.modules.pop, spec.name)
        self.enter_context(flags_that_go_away())
        spec.loader.exec_module(module)
        return module

    def run_main(self, module, *args, **values):
        """Returns what the example prints."""
        if 'corpus' in flags.FLAGS:
            values = {'corpus': self.corpus, **values}
        if 'model_dir' in flags.FLAGS:
            values = {'model_dir': self.folder / 'run', **values}
        flags.FLAGS(['', *args, *(f'--{key}={values[key]}' for key in values)])
        with contextlib.redirect_stdout(io.StringIO()) as output:
            module.main()
        return output.getvalue()

    def assert_falls(self, output):
        losses = [float(loss) for loss in VALIDATION.findall(output)]
        self.assertLen(losses, 2, output)
        self.assertLess(losses[1], losses[0])


class EveryExampleTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*PROGRAMS)
    def test_docstring_and_readme_tell_how_to_run_it(self, name):
        docstring = (FOLDER / name).read_text('utf-8').split('"""')[1]
        self.assertIn(f'python examples/{name}', docstring)
        self.assertIn(f'python examples/{name}', self._readme())

    def test_the_readme_names_files_that_are_there(self):
        for path in re.findall(r'examples/\w+\.\w+', self._readme()):
            self.assertTrue((FOLDER.parent / path).exists(), path)

    @parameterized.parameters(
        'shakespeare',
        *(
            f'{corpus}_{budget}'
            for corpus in ('shakespeare', 'python')
            for budget in ('1min', '10min', 'best')
        ),
    )
    def test_a_flagfile_of_train_names_text_and_folder(self, name):
        values = read_flags(name)
        self.assertEqual(values.corpus, name.split('_')[0])
        self.assertEqual(values.model_dir, f'runs/{name}')

    @parameterized.parameters(*PROGRAMS)
    def test_help_is_the_docstring_and_the_flags(self, name):
        path = str(FOLDER / name)
        with (
            flags_that_go_away(),
            mock.patch.object(sys, 'argv', [path, '--help']),
            contextlib.redirect_stdout(io.StringIO()) as output,
            self.assertRaises(SystemExit),
        ):
            runpy.run_path(path, run_name='__main__')
        self.assertIn(f'python examples/{name}', output.getvalue())
        self.assertRegex(output.getvalue(), r'\nFlags:\n  --\w+ ')

    def _readme(self):
        return (FOLDER / 'README.md').read_text('utf-8')


class ShakespeareTest(ExampleTest):
    def test_learns_then_only_writes(self):
        example = self.load('shakespeare')
        output = self.run_main(example, rnn_units=16, epochs=2)
        self.assert_falls(output)
        text = output[output.index('\nROMEO: ') :]
        self.assertLen(text, len('\nROMEO: ') + 500 + len('\n'))
        # Started again, it finds nothing to train.
        again = self.run_main(example, rnn_units=16, epochs=2)
        self.assertNotRegex(again, VALIDATION)
        self.assertEndsWith(again, text)

    def test_the_flags_make_the_model_of_the_tutorial(self):
        saved = read_flags('shakespeare')
        model = tfcharrnn.CharRNN(
            65, saved.embedding_dim, saved.rnn_units, saved.num_layers
        )
        self.assertEqual(model.num_parameters, 4_021_569)
        self.assertEqual((saved.batch_size, saved.seq_length), (64, 100))
        self.assertFalse(saved.shuffle)


class CustomCellTest(ExampleTest):
    def test_a_step_is_that_of_the_paper(self):
        example = self.load('custom_cell')
        cell = example.MinimalGatedUnit(input_size=3, units=2)
        rng = np.random.default_rng(0)
        cell.bias.assign(rng.normal(size=4))
        x, h = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
        w_f, w_h = np.split(cell.kernel.numpy(), 2, axis=1)
        b_f, b_h = np.split(cell.bias.numpy(), 2)
        f = x @ w_f + h @ cell.gate_kernel.numpy() + b_f
        f = 1.0 / (1.0 + np.exp(-f))
        candidate = x @ w_h + (f * h) @ cell.candidate_kernel.numpy() + b_h
        expected = (1.0 - f) * h + f * np.tanh(candidate)
        outputs, state = cell(np.float32(x), np.float32(h))
        self.assertAllClose(outputs, expected)
        self.assertAllEqual(outputs, state)

    def test_learns_and_the_restored_model_is_the_trained_one(self):
        example = self.load('custom_cell')
        output = self.run_main(example, rnn_units=16, epochs=2)
        self.assert_falls(output)
        own, gru = re.search(r'([\d,]+) param.* ([\d,]+)\n', output).groups()
        self.assertLess(int(own.replace(',', '')), int(gru.replace(',', '')))

        model, vocabulary = tfcharrnn.load_model(
            self.folder / 'run', build=example.build
        )
        self.assertIsInstance(model.cells[0], example.MinimalGatedUnit)
        optimizer = tf.keras.optimizers.Adam()
        trainer = tfcharrnn.Trainer(example.build(**model.config), optimizer)
        tfcharrnn.Checkpointer(
            self.folder / 'run', trainer, vocabulary
        ).restore()
        ids = np.int32([vocabulary.encode('The wind went home')])
        logits, _ = model(ids, model.initial_state(1))
        expected, _ = trainer.model(ids, model.initial_state(1))
        self.assertAllEqual(logits, expected)
        self.assertNotAllClose(logits, tf.zeros_like(logits))


class CustomTrainStepTest(ExampleTest):
    def make(self, trainer_class, **attributes):
        tf.random.set_seed(0)
        optimizer = tf.keras.optimizers.SGD(1.0)
        trainer = trainer_class(toys.FrequencyModel(), optimizer)
        for name, value in attributes.items():
            setattr(trainer, name, value)
        return trainer

    def weights(self, trainer):
        return [variable.numpy() for variable in trainer.model.variables]

    def test_smoothing_expects_a_mixture_with_the_uniform_distribution(self):
        example = self.load('custom_train_step')
        trainer = self.make(example.LabelSmoothing, smoothing=0.1)
        (batch,) = toys.random_batches(number=1)
        state = trainer.model.initial_state(4)
        pairs, _ = trainer.compute_loss(batch, state, training=True)
        logits, _ = trainer.model(batch.inputs, state)
        expected = 0.9 * tf.one_hot(batch.targets, toys.VOCAB)
        expected += 0.1 / toys.VOCAB
        nats = tf.nn.softmax_cross_entropy_with_logits(expected, logits)
        total = tf.reduce_sum(nats[batch.mask])
        self.assertAllClose(pairs['loss'][0], total)
        plain, _ = trainer.compute_loss(batch, state, training=False)
        self.assertAllClose(plain['loss'], pairs['cross_entropy'])

    def test_a_sharpness_aware_step_is_by_the_gradient_uphill(self):
        example = self.load('custom_train_step')
        trainer = self.make(example.SharpnessAware, radius=0.3)
        batches = toys.random_batches(number=1)
        (batch,) = batches
        before = self.weights(trainer)

        def gradients():
            with tf.GradientTape() as tape:
                zero = trainer.model.initial_state(4)
                pairs, _ = trainer.compute_loss(batch, zero, False)
                loss = pairs['loss'][0] / pairs['loss'][1]
            return tape.gradient(loss, trainer.model.trainable_variables)

        first = gradients()
        norm = tf.linalg.global_norm(first)
        for variable, gradient in zip(
            trainer.model.trainable_variables, first, strict=True
        ):
            variable.assign_add(0.3 * tf.convert_to_tensor(gradient) / norm)
        expected = [
            weight - tf.convert_to_tensor(gradient)
            for weight, gradient in zip(before, gradients(), strict=True)
        ]
        for variable, weight in zip(
            trainer.model.variables, before, strict=True
        ):
            variable.assign(weight)
        trainer.train(batches, steps=1)
        self.assertAllClose(self.weights(trainer), expected)

    def test_a_radius_of_zero_is_the_ordinary_step(self):
        example = self.load('custom_train_step')
        flat = self.make(example.SharpnessAware, radius=0.0)
        plain = self.make(tfcharrnn.Trainer)
        for trainer in flat, plain:
            trainer.train(toys.streams(), steps=5)
        self.assertAllClose(self.weights(flat), self.weights(plain))

    def test_each_trainer_learns_in_its_own_way(self):
        example = self.load('custom_train_step')
        example.TRAINERS = tfcharrnn.Trainer, example.Both
        output = self.run_main(
            example, num_chars=2_000, seq_length=5, rnn_units=8, epochs=1
        )
        losses = re.findall(r'^\w+ +\d\.\d+ +(\d\.\d+)', output, re.MULTILINE)
        self.assertLen(set(losses), 2)
        vocab_size = len(set(self.corpus.read_text('utf-8')))
        self.assertAllLess(np.float32(losses), np.log(vocab_size))


class LearningToExecuteTest(ExampleTest):
    def test_compares_the_strategies_and_goes_on(self):
        example = self.load('learning_to_execute')
        settings = {
            'task': 'copy', 'size': 2, 'steps': 8, 'eval_every': 2,
            'batch_size': 4, 'rnn_units': 8, 'num_layers': 1, 'seeds': '0,1',
            'strategies': 'combined,uniform,bandit-prediction',
        }  # fmt: skip
        output = self.run_main(example, **settings)
        for name in settings['strategies'].split(','):
            self.assertRegex(output, rf'\n{name} +2 +0\.\d{{4}}')
        for metric in example.METRICS:
            (table,) = self.folder.rglob(f'{metric}/table.txt')
            self.assertIn(table.read_text('utf-8'), output)
        again = self.run_main(example, **settings)
        self.assertEqual(*(o[o.index('\nvariant') :] for o in (output, again)))


class CurriculaTest(ExampleTest):
    """The flagfiles and the script of `examples/curricula.md`."""

    @parameterized.parameters(
        *sorted(path.name for path in (FOLDER / 'curricula').glob('*.flags'))
    )
    def test_a_flagfile_is_an_experiment_of_valid_runs(self, name):
        self.enter_context(running_commands.in_folder(FOLDER.parent))
        path = f'examples/curricula/{name}'
        self.assertIn(name, (FOLDER / 'curricula.md').read_text('utf-8'))
        values = copy.deepcopy(experiment.FLAGS)
        values(['', f'--flagfile={path}'])
        given = commands.given(values)
        variants = experiment._read_variants(given.pop('variant'))
        self.assertGreater(len(variants), 1)
        experiment.ExperimentConfig(**given)
        for own in ('seeds', 'target_loss'):
            given.pop(own, None)
        for variant, arguments in variants.items():
            flags_of_run = experiment._parse(variant, arguments)
            experiment._check_run(variant, {**given, **flags_of_run})

    def test_noise_is_in_a_share_of_the_lines_and_not_at_the_end(self):
        example = self.load('curricula/noisy_lines')
        output = self.folder / 'noisy.txt'
        arguments = {'share': 0.5, 'clean': 0.25, 'output': output}
        self.run_main(example, **arguments)
        noisy = output.read_text('utf-8').split('\n')
        same = [a == b for a, b in zip(self.lines, noisy, strict=True)]
        self.assertEqual([*map(len, noisy)], [*map(len, self.lines)])
        self.assertTrue(all(same[-140:]))
        self.assertBetween(sum(same[:440]) / 440, 0.4, 0.6)
        with self.assertRaisesRegex(ValueError, '--overwrite'):
            self.run_main(example, **arguments)


class ProfessorForcingTest(ExampleTest):
    def make(self, example, units=8):
        tf.random.set_seed(0)
        flags.FLAGS(['', '--judge_units=4'])
        model = tfcharrnn.CharRNN(toys.VOCAB, 3, units)
        return example.ProfessorForcing(model, tf.keras.optimizers.SGD(0.1))

    def test_what_is_written_begins_as_the_text_and_goes_on_as_the_model(self):
        example = self.load('professor_forcing')
        trainer = self.make(example)
        trainer.model.bias.assign(100.0 * tf.one_hot(3, toys.VOCAB))
        (batch,) = toys.random_batches(number=1)
        written = trainer.write(batch, trainer.model.initial_state(4))
        self.assertAllEqual(written[:, 0], batch.inputs[:, 0])
        self.assertAllEqual(written[:, 1:], tf.fill([4, 4], 3))

    def test_without_weight_it_is_teacher_forcing_and_the_judge_learns(self):
        example = self.load('professor_forcing')
        trainer = self.make(example)
        trainer.weight = 0.0
        judge = [v.numpy() for v in trainer.judge.trainable_variables]
        tf.random.set_seed(0)
        plain = tfcharrnn.Trainer(
            copy.deepcopy(trainer.model), tf.keras.optimizers.SGD(0.1)
        )
        for each in trainer, plain:
            metrics = each.train(toys.streams(), steps=4)
            self.assertGreater(metrics['accuracy'], 0.0)
        self.assertAllClose(
            [v.numpy() for v in trainer.model.trainable_variables],
            [v.numpy() for v in plain.model.trainable_variables],
        )
        for old, new in zip(
            judge, trainer.judge.trainable_variables, strict=True
        ):
            self.assertNotAllClose(old, new)

    def test_compares_three_ways_of_training(self):
        example = self.load('professor_forcing')
        example.OPEN_LOOP, example.NUM_TEXTS = 20, 2
        output = self.run_main(
            example, num_chars=2_000, seq_length=5, rnn_units=8, epochs=1
        )
        rows = re.findall(r'^(\w+ \w+) +\d+\.\d+', output, re.MULTILINE)
        self.assertEqual(rows, [*example.TRAINERS, 'true text'])


class CallbacksTest(ExampleTest):
    def test_halves_the_rate_after_so_many_evaluations_in_vain(self):
        halve = self.load('callbacks').HalveOnPlateau(patience=2)
        trainer = types.SimpleNamespace(
            step=0,
            record=types.SimpleNamespace(notes={}),
            optimizer=tf.keras.optimizers.SGD(1.0),
        )
        rates = []
        for loss in (3.0, 2.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5):
            rate = float(trainer.optimizer.learning_rate)
            with contextlib.redirect_stdout(io.StringIO()):
                halve(trainer, {'valid_loss': loss, 'learning_rate': rate})
            rates.append(float(trainer.optimizer.learning_rate))
        self.assertEqual(rates, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25])

    def test_a_restart_changes_nothing_in_the_end(self):
        example = self.load('callbacks')
        settings = {'seq_length': 5, 'rnn_units': 8, 'eval_every': 4}
        through = self.run_main(
            example, steps=12, model_dir=self.folder / 'through', **settings
        )
        self.run_main(example, steps=4, **settings)
        restarted = self.run_main(example, steps=12, **settings)
        chart = through.splitlines()[-1]
        self.assertRegex(chart, r'Norm of the gradient: [▁-█]{3}  from')
        self.assertEqual(restarted.splitlines()[-1], chart)

    def test_the_chart_draws_the_smallest_and_the_largest_in_full(self):
        chart = self.load('callbacks').chart
        self.assertEqual(chart([1.0, 128.0, 2.0]), '▁█▂  from 1.00 to 128.00')
        self.assertEqual(chart([2.0, 2.0]), '▁▁  from 2.00 to 2.00')


class Rereading:
    """A law of `tfcharrnn.Rereading`, which two examples use."""

    def check_rereading(self, model, maxlen):
        """Each prediction is that of the last `maxlen` characters."""
        reader = tfcharrnn.Rereading(model, maxlen)
        ids = tf.random.stateless_uniform(
            [2, 3 * maxlen], [0, 0], maxval=model.vocab_size, dtype=tf.int32
        )
        logits, state = reader(ids, reader.initial_state(2))
        for end in range(maxlen, 3 * maxlen + 1):
            window = ids[:, end - maxlen : end]
            expected, _ = model(window, model.initial_state(2))
            self.assertAllClose(logits[:, end - 1], expected[:, -1], 1e-5)
        self.assertAllEqual(state, ids[:, -maxlen:])
        following, _ = reader.step(ids[:, 0], state)
        window = tf.concat([state[:, 1:], ids[:, :1]], axis=1)
        expected, _ = model(window, model.initial_state(2))
        self.assertAllClose(following, expected[:, -1], 1e-5)


class NietzscheWindowsTest(ExampleTest, Rereading):
    @parameterized.parameters((40, 200_285), (60, 200_278))
    def test_the_windows_are_as_many_as_published(self, maxlen, expected):
        ids = np.zeros(NIETZSCHE_CHARS, np.uint8)
        windows = tfcharrnn.data.windows(ids, maxlen, 128, stride=3)
        self.assertEqual(windows.num_chars, expected)

    def test_the_parameters_are_as_many_as_published(self):
        model = tfcharrnn.CharRNN(NIETZSCHE_DISTINCT, None, 128, cell='lstm')
        self.assertEqual(model.num_parameters, 102_585)

    def test_learns_and_writes_in_both_ways(self):
        example = self.load('nietzsche_windows')
        example.LENGTH = 40
        output = self.run_main(
            example,
            f'--flagfile={FOLDER / "nietzsche_windows.flags"}',
            maxlen=12,
            rnn_units=16,
            epochs=2,
            valid_fraction=0.1,
            reread=True,
        )
        num_chars = len(self.corpus.read_text('utf-8')) * 9 // 10
        self.assertStartsWith(output, f'{-(-(num_chars - 12) // 3):,} windows')
        self.assert_falls(output)
        self.assertEqual(output, output.lower())
        for way in ('carried state', 're-reading'):
            self.assertLen(re.findall(f'=== {way}: [\\d,]+ char', output), 2)
        self.assertLen(re.findall('--- temperature', output), 2 * 2 * 4)

    def test_rereading(self):
        model = tfcharrnn.CharRNN(5, None, rnn_units=4, cell='lstm')
        self.check_rereading(model, maxlen=3)


class ConvWindowTest(ExampleTest, Rereading):
    def test_learns_and_the_restored_model_is_the_trained_one(self):
        example = self.load('conv_window')
        output = self.run_main(example, filters=16, epochs=2)
        self.assert_falls(output)
        model, vocabulary = tfcharrnn.load_model(
            self.folder / 'run', build=example.ConvWindow
        )
        num_parameters = sum(tf.size(v) for v in model.trainable_variables)
        size = len(vocabulary)
        expected = (5 * size * 16 + 16) + (16 * size + size)
        self.assertEqual(num_parameters, expected)
        self.assertIn(f'; {expected:,} parameters', output)
        self.assertLen(re.split(r'^The ', output, flags=re.MULTILINE)[-1], 301)

    def test_the_config_makes_the_same_model(self):
        example = self.load('conv_window')
        model = example.ConvWindow(7, filters=3, kernel_size=2)
        twin = example.ConvWindow(**model.config)
        self.assertEqual(twin.config, model.config)
        shapes = [variable.shape for variable in model.variables]
        self.assertEqual([v.shape for v in twin.variables], shapes)

    def test_the_mean_over_time_knows_no_order_of_the_kernels(self):
        example = self.load('conv_window')
        model = example.ConvWindow(7, filters=3, kernel_size=1)
        ids = tf.constant([[1, 5, 2, 6, 0]])
        logits, state = model(ids, model.initial_state(1))
        backwards, _ = model(ids[:, ::-1], state)
        self.assertEqual(state, ())
        self.assertAllClose(logits, backwards)

    def test_rereading(self):
        example = self.load('conv_window')
        self.check_rereading(example.ConvWindow(6, 4, 2), maxlen=4)


class TutorialTest(ExampleTest):
    @parameterized.parameters('', '--as_published')
    def test_learns_and_tells_what_is_published(self, flag):
        example = self.load('tutorial')
        self.enter_context(mock.patch.object(example, 'BATCH_SIZE', 4))
        flag = [flag] if flag else []
        output = self.run_main(example, *flag, rnn_units=8, epochs=2)
        self.assert_falls(output)
        text = self.corpus.read_text('utf-8')
        self.assertRegex(output, rf'characters +1115394  {len(text)}\n')
        self.assertIn('\nROMEO: ', output)
        saved = sorted((self.folder / 'run').glob('*.index'))
        self.assertNotEmpty(saved)

    def test_the_parameters_are_as_many_as_published(self):
        published = self.load('tutorial').PUBLISHED
        model = tfcharrnn.CharRNN(published['distinct characters'])
        self.assertEqual(model.num_parameters, published['parameters'])

    def test_published_batches_leave_one_transition_in_each_chunk_out(self):
        ids = np.arange(65, dtype=np.uint8)
        batches = self.load('tutorial').published_batches(ids, 3, 2)
        trained, resets = [], []
        for batch in batches:
            trained += zip(
                batch.inputs.numpy().ravel(),
                batch.targets.numpy().ravel(),
                strict=True,
            )
            resets += [batch.reset.numpy().any()]
        expected = [(i, i + 1) for i in range(64) if i % 4 < 3]
        self.assertEqual(sorted(trained), expected)
        self.assertNotEqual(trained, expected)
        self.assertEqual(resets, [True] + [False] * (len(batches) - 1))


class HeadlinesTest(ExampleTest):
    def test_the_parameters_are_as_many_as_published(self):
        model = tfcharrnn.CharRNN(84, None, 128, cell='lstm')
        self.assertEqual(model.num_parameters, 119_892)

    @parameterized.parameters((['ab', 'cd'], 0.0), (['abc', 'd'], 0.25))
    def test_padding_is_what_is_past_the_ends(self, lines, expected):
        vocabulary = tfcharrnn.Vocabulary('\nabcd')
        batches = tfcharrnn.data.lines(lines, vocabulary, batch_size=2)
        self.assertAllClose(self.load('headlines').padding(batches), expected)

    def test_learns_and_writes_one_line_for_each_beginning(self):
        path = self.folder / 'titles.csv'
        path.write_text(
            ''.join(f'"1","{line}","..."\r\n' for line in self.lines), 'utf-8'
        )
        example = self.load('headlines')
        output = self.run_main(
            example, corpus=path, csv_column=2, rnn_units=16, epochs=2
        )
        self.assertStartsWith(output, '540 lines to train on, ')
        self.assert_falls(output)
        written = output.splitlines()[3:]
        expected = [
            f'{temperature:4} {prompt}'
            for prompt in example.PROMPTS
            for temperature in example.TEMPERATURES
        ]
        self.assertLen(written, len(expected))
        for line, beginning in zip(written, expected, strict=True):
            self.assertStartsWith(line, beginning)


class NgramBaselineTest(ExampleTest):
    @parameterized.parameters(1, 2, 3)
    def test_probabilities_of_all_next_characters_sum_to_one(self, order):
        example = self.load('ngram_baseline')
        rng = np.random.default_rng(0)
        base = 4
        train = rng.integers(base, size=200)
        context = rng.integers(base, size=order - 1)
        total = sum(
            np.exp(-list(example.losses(train, text, base, order))[-1])
            for text in ([*context, c] for c in range(base))
            for text in [np.array(text)]
        )
        self.assertAllClose(total, 1.0)

    def test_one_character_has_its_share_interpolated_with_uniform(self):
        example = self.load('ngram_baseline')
        train = np.array([0, 0, 1])
        [loss] = example.losses(train, np.array([0]), base=4, order=1)
        self.assertAllClose(np.exp(-loss), (2 + 2 * 1 / 4) / (3 + 2))

    def test_prints_a_loss_for_each_order(self):
        example = self.load('ngram_baseline')
        output = self.run_main(example, order=4)
        losses = [float(x) for x in re.findall(r': (\d\.\d+) nats', output)]
        self.assertLen(losses, 4)
        self.assertLess(losses[3], losses[0])


class MemorisationTest(ExampleTest):
    def test_finds_what_was_copied(self):
        example = self.load('memorisation')
        known = 'to be or not to be'
        self.assertEqual(
            example.longest_shared('xx or not xx', known), ' or not '
        )
        self.assertEqual(example.longest_shared('zz', known), '')
        self.assertEqual(example.share_known('to bexx', known, 2), 4 / 6)

    def test_says_it_of_a_text_and_of_the_validation_part(self):
        example = self.load('memorisation')
        text = self.folder / 'text.txt'
        text.write_text('\n'.join(self.lines)[:200], 'utf-8')
        output = self.run_main(example, text=text).splitlines()
        self.assertLen(output, 2)
        self.assertStartsWith(output[0], f'{text}: 100.0% of the 20-grams')
        self.assertStartsWith(output[1], 'validation: ')


class DemoTest(ExampleTest):
    def test_weights_are_few_values_a_power_of_two_apart(self):
        example = self.load('demo')
        weights = np.random.default_rng(0).normal(size=(500, 3)) * [1, 9, 0]
        rounded = example.round_weights(weights.astype(np.float32))
        step = 2.0 ** np.ceil(np.log2(np.abs(weights).max(axis=0)[:2] / 63))
        for column in range(2):
            values = np.unique(rounded[:, column] / step[column])
            self.assertAllEqual(values, np.round(values))
            self.assertLessEqual(np.abs(values).max(), 63)
        self.assertAllClose(rounded[:, :2], weights[:, :2], atol=step / 2)
        self.assertAllEqual(rounded[:, 2], np.zeros(500))

    def test_makes_a_small_model_dir_that_writes_and_is_measured(self):
        example = self.load('demo')
        config = tfcharrnn.RunConfig(
            corpus=str(self.corpus),
            model_dir=str(self.folder / 'run'),
            rnn_units=8,
            embedding_dim=4,
            batch_size=8,
            steps=5,
            sample_every=0,
            dropout=0.5,
        )
        tfcharrnn.Run(config).train()
        out = self.folder / 'demo'
        values = {'model_dir': config.model_dir, 'out': out}
        output = self.run_main(example, **values)
        before, after = map(float, re.findall(r'\d\.\d{4}', output))
        self.assertAlmostEqual(before, after, delta=0.01)
        self.assertAlmostEqual(
            tfcharrnn.measure(out)['loss'], after, delta=0.0001
        )
        generator = tfcharrnn.Generator.from_checkpoint(out)
        self.assertLen(generator.generate('The ', length=9), 13)


if __name__ == '__main__':
    tf.test.main()
