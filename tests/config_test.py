import dataclasses
import json
import math
import os
import pathlib
import tempfile
import types

import running_commands
from absl.testing import absltest, parameterized
from hypothesis import given
from hypothesis import strategies as st

from tfcharrnn import commands, config, evaluate, experiment, fields, train
from tfcharrnn.config import RunConfig
from tfcharrnn.training import model_dir

GOLDEN = pathlib.Path(__file__).parent / 'golden'
SETTINGS = fields.settings_of(RunConfig)
# A flagfile holds no line ends, but where they are escaped.
TEXT = st.text(st.characters(exclude_characters='\r\n', codec='utf-8'))


def default_of(name):
    return SETTINGS[name][1]


def those_of(kind):
    """Returns the names of the settings whose default or help is of a kind."""
    hints = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    return [name for name in SETTINGS if hints[name].split(' ')[0] == kind]


WRONG = [
    *((name, value) for name in those_of('int') for value in (-1, 1.5, 'x')),
    *((name, math.nan) for name in those_of('int')),
    *(
        (name, value)
        for name in those_of('float')
        for value in (-0.5, math.nan, math.inf, 'x')
    ),
    *((name, 'perhaps') for name in those_of('bool')),
    *((name, 0) for name in ('rnn_units', 'num_layers', 'batch_size')),
    *((name, 0) for name in ('seq_length', 'max_to_keep', 'steps', 'epochs')),
    *((name, 0) for name in ('csv_column', 'num_words')),
    *((name, 1.0) for name in ('average', 'beta_2')),
    *((name, 'x') for name in ('cell', 'optimizer', 'level', 'precision')),
    *((name, 'x') for name in ('strategy', 'on_nonfinite', 'temperatures')),
    *(('dropout', value) for value in ('x', 'layers:2', '1', 'nan', '')),
    *(('lr_schedule', f'cycles:{n}') for n in ('', '0', '-1', '1.5')),
    *(('average', value) for value in ('tail:0', 'tail:2', 'tail:.5.')),
    ('seed', 1 << 31),
]


class FlagsTest(parameterized.TestCase):
    def test_each_setting_is_a_flag_and_each_flag_a_setting(self):
        self.assertEqual(
            {*train.FLAGS} - {'verbosity', 'v', 'members'}, {*SETTINGS}
        )
        self.assertEqual(
            {*experiment.FLAGS} - {'verbosity', 'v'},
            {*SETTINGS, 'seeds', 'variant', 'jobs', 'target_loss'},
        )
        self.assertEqual(
            {*evaluate.FLAGS} - {'verbosity', 'v'},
            {*fields.settings_of(evaluate.MeasureConfig), 'text', 'text_file'},
        )

    def test_each_setting_is_of_one_part(self):
        parts = RunConfig.__bases__
        counts = [len(fields.settings_of(part)) for part in parts]
        own = [name for name in SETTINGS if name in RunConfig.__annotations__]
        self.assertEqual(sum(counts) + len(own), len(SETTINGS))

    def test_help_lists_each_with_its_default(self):
        status, out, err = running_commands.run(train, '--help')
        self.assertEqual((status, err), (0, ''))
        text = ' '.join(out.split())
        for name, (setting, default) in SETTINGS.items():
            switch = r'\[no\]' if isinstance(default, bool) else ''
            self.assertRegex(out, rf'\n  --{switch}{name} +\S')
            told = ' '.join(setting.help.split())
            if default not in (None, ''):
                told += f' Default: {setting.write(default)}.'
            self.assertIn(told, text)

    def test_help_is_of_whole_sentences(self):
        for name, (setting, _) in SETTINGS.items():
            self.assertRegex(setting.help, r'(?s)\A\S.*\.\Z', name)
            self.assertNotIn('  ', setting.help)

    @parameterized.parameters(*WRONG)
    def test_a_wrong_value_is_the_same_sentence_everywhere(self, name, value):
        flag_values = commands.define(RunConfig)
        module = types.SimpleNamespace(
            main=lambda: RunConfig(**commands.given(flag_values)),
            FLAGS=flag_values,
        )
        status, out, err = running_commands.run(module, f'--{name}={value}')
        self.assertEqual((status, out), (2, ''))
        sentence = err.removeprefix('Error: ').removesuffix(
            '. --help lists the flags.\n'
        )
        # A flag whose text cannot be parsed keeps the text.
        made = SETTINGS[name][0].parse(str(value))
        same = isinstance(value, str) and isinstance(made, str)
        for wrong in {value, made} if same else {made}:
            with self.assertRaises(fields.SettingError) as caught:
                RunConfig(**{name: wrong})
            told = str(caught.exception).rstrip('.')
            self.assertEqual(told, sentence)
        one = made[0] if isinstance(made, tuple) else made
        self.assertStartsWith(sentence, f'`{name}` is {one!r}')

    @parameterized.parameters(
        ({'epochs': 1, 'steps': 1}, '`epochs` or `steps`, not both'),
        ({'early_stopping': 1, 'eval_every': 0}, '`early_stopping` needs'),
        ({'early_stopping': 1, 'average': 'tail:0.2'}, '`early_stopping` may'),
        (
            {'early_stopping': 1, 'lr_schedule': 'cycles:2'},
            '`early_stopping` may',
        ),
        ({'distill_from': 'a,,b'}, '`distill_from` is .a,,b.'),
        ({'beta_2': 0.9, 'optimizer': 'sgd'}, 'sgd, which does not take it'),
        ({'lines': True, 'shift': True}, 'for a text in one piece'),
    )
    def test_a_contradiction_too(self, values, message):
        with self.assertRaisesRegex(fields.SettingError, message) as caught:
            RunConfig(**values)
        status, _, err = running_commands.run(
            train, *fields.as_flags(RunConfig, values)
        )
        sentence = str(caught.exception).rstrip('.')
        self.assertEqual(status, 2)
        self.assertEqual(err, f'Error: {sentence}. --help lists the flags.\n')

    @parameterized.parameters(
        'num_words', 'beta_2', 'residual', 'learning_rate'
    )
    def test_what_has_its_default_contradicts_nothing(self, name):
        RunConfig(
            level='char',
            optimizer='sgd',
            num_layers=1,
            lr_schedule='1e-3@5,1e-4',
            **{name: default_of(name)},
        )


def _configs():
    """Returns a strategy of configs in which no two settings contradict."""
    numbers = st.floats(0, 1e300)
    shares = st.floats(0, 1, exclude_max=True)
    counts = st.integers(0, 10**12)
    sizes = st.integers(1, 10**12)
    names = TEXT.filter(lambda text: text == text.strip() and text)
    free = {
        'corpus': names,
        'valid_fraction': st.floats(0, 0.5),
        'test_fraction': st.floats(0, 0.49),
        'encoding': names,
        'lowercase': st.booleans(),
        'normalize_newlines': st.booleans(),
        'batch_size': sizes,
        'seq_length': sizes,
        'shuffle': st.booleans(),
        'shift': st.booleans(),
        'sampling_probability': st.none() | names,
        'cell': st.sampled_from([*config.CELLS]),
        'rnn_units': sizes,
        'num_layers': sizes,
        'embedding_dim': counts,
        'dropout': st.sampled_from(['0.3', 'rows:0.1,weights:.2']),
        'tied': st.booleans(),
        'layer_norm': st.booleans(),
        'activation_penalty': numbers,
        'slowness_penalty': numbers,
        'precision': st.sampled_from(['auto', 'float32', 'bfloat16']),
        'optimizer': st.sampled_from([*config.OPTIMIZERS]),
        'weight_decay': st.none() | numbers | st.just('linear:1:0:9'),
        'clip_norm': numbers,
        'average': shares | st.just('tail:0.25'),
        'curriculum': st.sampled_from([None, 'length:25@1000,50']),
        'dropout_schedule': st.none() | names,
        'lr_schedule': st.sampled_from(config.LR_SCHEDULES),
        'learning_rate': numbers,
        'warmup_steps': counts,
        'epochs': st.none() | sizes,
        'seed': st.integers(0, (1 << 31) - 1),
        'on_nonfinite': st.sampled_from(['stop', 'rollback']),
        'eval_every': st.none() | counts,
        'save_every': st.none() | counts,
        'sample_every': st.none() | counts,
        'max_to_keep': sizes,
        'prompt': st.text(st.characters(codec='utf-8')),
        'sample_length': counts,
        'temperatures': st.lists(numbers, min_size=1, max_size=4),
        'deterministic': st.booleans(),
    }
    return st.builds(RunConfig, **free)


class RunFlagsTest(parameterized.TestCase):
    @parameterized.parameters('corpus', 'model_dir', 'encoding', 'curriculum')
    def test_a_text_of_two_lines_is_refused(self, name):
        for text in ('a\nb', 'a\r', '\n'):
            with self.assertRaisesRegex(
                fields.SettingError, f'`{name}` is .*, but must be one line'
            ):
                RunConfig(**{name: text})

    @given(_configs())
    def test_what_is_written_is_read(self, made):
        with tempfile.TemporaryDirectory() as folder:
            model_dir.write_settings(folder, made)
            read = model_dir.read_settings(folder)
        self.assertEqual(read, made.replace(model_dir=folder))
        self.assertEqual(read.digest(), made.digest())

    def test_a_run_is_not_repeated_with_overwrite(self):
        with tempfile.TemporaryDirectory() as folder:
            model_dir.write_settings(folder, RunConfig(overwrite=True))
            self.assertFalse(model_dir.read_settings(folder).overwrite)


class DigestTest(parameterized.TestCase):
    @parameterized.parameters(
        *(name for name in SETTINGS if SETTINGS[name][0].may_change)
    )
    def test_is_not_of_what_may_change(self, name):
        others = {
            int: 7, bool: not default_of(name), str: 'stop', tuple: (3.0,)
        }  # fmt: skip
        values = {'strategy': 'mirrored', 'on_nonfinite': 'rollback'}
        value = values.get(name, others.get(type(default_of(name)), 7))
        value = {'model_dir': 'other', 'tracker': 'wandb'}.get(name, value)
        other = RunConfig(**{name: value})
        self.assertNotEqual(other, RunConfig())
        self.assertEqual(other.digest(), RunConfig().digest())

    def test_is_of_what_makes_the_run(self):
        digests = {RunConfig(**values).digest() for values in CHANGES}
        self.assertLen(digests, len(CHANGES))

    @parameterized.parameters('gru', 'lstm', 'lengths')
    def test_is_that_of_version_0_1(self, name):
        folder = GOLDEN / '0.1' / name
        record = model_dir.load_record(folder)
        self.assertEqual(
            record.settings, model_dir.read_settings(folder).digest()
        )


# Each makes another run.
CHANGES = [
    {'init_from': 'runs/bard'},
    *({name: not default_of(name)} for name in those_of('bool')
      if not SETTINGS[name][0].may_change
      and name not in ('residual', 'control')),
    *({name: 77} for name in ('seed', 'rnn_units', 'num_layers', 'seq_length')),
    *({name: 77} for name in ('batch_size', 'embedding_dim', 'csv_column')),
    {'level': 'word'},
    {'level': 'word', 'num_words': 77},
    {'num_layers': 2, 'residual': True},
    {'cell': 'lstm'},
    {'optimizer': 'sgd'},
    {'learning_rate': 0.5},
    {'weight_decay': 0.0},
    {'weight_decay': 'linear:0:1:9'},
    {'dropout': '0.5'},
    {'precision': 'float32'},
    {'curriculum': 'length:5@9,10'},
    {'curriculum': 'length:5@9,10', 'control': True},
]  # fmt: skip


class GoOnTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.run = RunConfig(
            corpus='a.txt', model_dir='runs/a', steps=30, num_layers=2
        )

    @parameterized.parameters(
        *(name for name in SETTINGS if not SETTINGS[name][0].may_change)
    )
    def test_what_makes_the_run_is_refused(self, name):
        value = next(
            (x[name] for x in CHANGES if name in x and name != 'num_layers'),
            0.123,
        )
        self.run.go_on({name: getattr(self.run, name)})
        with self.assertRaisesRegex(
            ValueError,
            rf"'{os.path.join('runs', 'a')}' holds .* `{name}` is {value}, "
            rf'but was {getattr(self.run, name)}\. Leave these out',
        ):
            self.run.go_on({name: value})

    def test_all_that_differs_is_told(self):
        with self.assertRaisesRegex(
            ValueError, '`cell` is lstm, but was gru; `seed` is 5, but was 0'
        ):
            self.run.go_on({'cell': 'lstm', 'seed': 5, 'prompt': 'a'})

    def test_the_rest_may_change(self):
        later = self.run.go_on({'corpus': 'moved.txt', 'max_to_keep': 1})
        expected = self.run.replace(corpus='moved.txt', max_to_keep=1)
        self.assertEqual(later, expected)
        self.assertEqual(later.digest(), self.run.digest())

    def test_epochs_and_steps_take_the_place_of_each_other(self):
        self.assertEqual(self.run.go_on({'epochs': 3}).steps, None)
        self.assertEqual(self.run.go_on({'epochs': 3}).epochs, 3)
        self.assertEqual(self.run.go_on({'steps': 40}).steps, 40)
        self.assertEqual(self.run.go_on({}).steps, 30)

    def test_auto_is_the_precision_of_the_run(self):
        run = self.run.replace(precision='bfloat16')
        self.assertEqual(run.go_on({'precision': 'auto'}), run)

    def test_changes_are_checked(self):
        with self.assertRaises(fields.SettingError):
            self.run.go_on({'early_stopping': 3, 'eval_every': 0})


class RunConfigTest(parameterized.TestCase):
    @parameterized.parameters(
        ('a/play.txt', 'play'),
        ('*.txt', 'text'),
        ('-', 'text'),
        ('shakespeare', 'shakespeare'),
        ('my texts/*.en.gz', 'text'),
        ('my text.en.gz', 'mytext'),
    )
    def test_a_folder_is_named_after_the_corpus(self, corpus, name):
        folder = RunConfig(corpus=corpus).folder
        self.assertEqual(folder, pathlib.Path('runs', name))
        folder = RunConfig(corpus=corpus, model_dir='x').folder
        self.assertEqual(folder, pathlib.Path('x'))

    @parameterized.parameters(
        ({}, True),
        ({'eval_every': 5}, True),
        ({'eval_every': 0}, False),
        ({'valid_fraction': 0.0}, False),
    )
    def test_validates_where_there_is_something_to(self, values, expected):
        self.assertEqual(RunConfig(**values).validates, expected)

    @parameterized.parameters(
        ({}, False), ({'lines': True}, True), ({'csv_column': 2}, True)
    )
    def test_lines_are_lines_or_a_column(self, values, expected):
        self.assertEqual(RunConfig(**values).has_lines, expected)

    @parameterized.product(
        cell=[*config.CELLS], num_layers=[1, 3], embedding_dim=[0, 5],
        tied=[False, True],
    )  # fmt: skip
    def test_a_model_has_at_least_as_many_parameters(self, **sizes):
        from tfcharrnn.nn.char_rnn import CharRNN

        made = config.ModelConfig(rnn_units=5, **sizes)
        if sizes['tied'] and not sizes['embedding_dim']:
            return
        sizes['embedding_dim'] = sizes['embedding_dim'] or None
        model = CharRNN(7, rnn_units=5, **sizes)
        least = made.least_parameters(vocab_size=7)
        weights = [x for x in model.trainable_variables if 'bias' not in x.name]
        counts = [int(math.prod(x.shape)) for x in weights]
        self.assertEqual(least, sum(counts))

    def test_settings_are_json(self):
        json.dumps(RunConfig().values())


if __name__ == '__main__':
    absltest.main()
