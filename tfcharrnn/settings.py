"""The settings of a training run: its flags, and `run.flags`, their file."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import math
import os
import pathlib
import re
import sys

from absl import flags

from tfcharrnn import commands, files

MAX_ROLLBACKS = 5
HAVE_BETA_2 = 'adam', 'adamw', 'nadam'

# Flags of its own, so that several commands can be imported side by side.
FLAGS = flags.FlagValues()
_string = functools.partial(flags.DEFINE_string, flag_values=FLAGS)
_bool = functools.partial(flags.DEFINE_bool, flag_values=FLAGS)
_enum = functools.partial(flags.DEFINE_enum, flag_values=FLAGS)
_float = functools.partial(
    flags.DEFINE_float, lower_bound=0.0, flag_values=FLAGS
)
_integer = functools.partial(
    flags.DEFINE_integer, lower_bound=0, flag_values=FLAGS
)
_positive = functools.partial(_integer, lower_bound=1)

_string(
    'corpus',
    'python',
    'The text: a file, a pattern in quotes, a .gz file, - for standard input, '
    'python for the language reference that comes with Python, or one that is '
    'downloaded once: shakespeare, nietzsche.',
)
_string('model_dir', None, 'Where the run lies. Default: runs/CORPUS.')
_bool('overwrite', False, 'Deletes the run in --model_dir and starts anew.')
_float('valid_fraction', 0.1, 'Share of the text to validate on.')
_float('test_fraction', 0.0, 'Share of the text, its end, to leave alone.')
_string('encoding', 'utf-8', 'The encoding of the text.')
_bool('lowercase', False, 'Turns the text into lower case.')
_bool(
    'lines',
    False,
    'Each line is a text of its own, with a beginning and an end: headlines, '
    'names. Rows are lines then, from the zero state, each in full: '
    '--seq_length does not matter.',
)
_positive(
    'csv_column',
    None,
    'The texts are the fields of a column of CSV files, the first of which is '
    '1; otherwise as --lines.',
)
_enum(
    'level',
    'char',
    ['char', 'word'],
    'What the model reads and writes one by one. With word, all that is per '
    'character is per token: a word or a mark, or white space.',
)
_positive('num_words', 10_000, 'With --level=word, how many to know.')
_bool('normalize_newlines', False, r'Turns \r\n and \r into \n.')
_positive('batch_size', 64, 'Rows of a batch.')
_positive('seq_length', 100, 'Characters of a row: how far gradients go back.')
_bool(
    'shuffle',
    False,
    'Chunks in random order, each from the zero state, instead of streams that '
    'carry their state on.',
)
_bool(
    'shift',
    False,
    'In each pass the streams are cut into chunks at other places.',
)
_string(
    'curriculum',
    None,
    'Rows that grow, instead of --seq_length: length:25@1000,50@3000,100 has '
    'rows of 25 characters up to step 1000, of 50 up to step 3000, then of '
    '100. With --epochs it sees as many characters as without.',
)
_string(
    'sampling_probability',
    None,
    "Scheduled sampling: how often an input is the model's own sample instead "
    "of the text's. A number, or a schedule such as linear:0:0.5:5000, from 0 "
    'to 0.5 in 5000 steps.',
)
_enum(
    'cell', 'gru', ['gru', 'lstm', 'mingru', 'vanilla'], 'The recurrent cell.'
)
_positive('rnn_units', 1024, 'Units of a layer.')
_positive('num_layers', 1, 'Recurrent layers.')
_integer('embedding_dim', 256, 'Size of an embedding; 0 for one-hot.')
_string(
    'dropout',
    '0',
    "Share of each layer's outputs to drop in training; or shares by name, "
    'such as output:0.5,embedding:0.15,locked, of rows (characters), '
    'embedding, layers, output, weights.',
)
_string(
    'dropout_schedule',
    None,
    'The share of the dropout that is in force at a step: linear:0:1:2000 '
    'lets it rise from nothing in 2000 steps.',
)
_bool('tied', False, 'The logits have the weights of the embedding.')
_bool('residual', False, 'Each layer but the first adds to its inputs.')
_bool('layer_norm', False, "Normalises each layer's outputs.")
_float('activation_penalty', 0.0, 'Weight of the mean square of the outputs.')
_float('slowness_penalty', 0.0, 'Weight of their change from one to the next.')
_enum(
    'precision',
    'auto',
    ['auto', 'float32', 'bfloat16'],
    'Type of the operands of matrix products; auto takes bfloat16 where the '
    'hardware multiplies it.',
)
_positive('epochs', None, 'Passes over the text. Default: 10.')
_positive('steps', None, 'Steps, instead of --epochs.')
_enum(
    'optimizer',
    'adam',
    ['adam', 'adamw', 'adagrad', 'lion', 'nadam', 'rmsprop', 'sgd'],
    'The optimizer, of Keras.',
)
_float('learning_rate', 1e-3, 'The learning rate, at its highest.')
_string(
    'lr_schedule',
    'constant',
    'constant; linear or cosine, down to a twentieth at the last step; or a '
    'schedule of its own values, such as 1e-3@2000,1e-4, beside which there is '
    'no --learning_rate and no --warmup_steps.',
)
_float(
    'beta_2',
    0.999,
    'Of adam, adamw and nadam: their memory of squares, below 1.',
)
_float(
    'weight_decay',
    None,
    'Of matrices, not of biases, times the learning rate (arXiv 1711.05101). '
    'Default: 0, but 0.004 for adamw.',
)
_float(
    'average',
    0.0,
    'Evaluate, sample and generate with the exponential moving average of the '
    'weights: its memory, such as 0.999; 0 for the weights themselves.',
)
_integer('warmup_steps', 0, 'Steps in which the learning rate rises.')
_float('clip_norm', 5.0, 'The largest norm of the gradient; 0: no limit.')
_enum(
    'on_nonfinite',
    'stop',
    ['stop', 'rollback'],
    'What to do when the loss is no number any more: stop, or go on from the '
    f'last checkpoint at half of the learning rate, at most {MAX_ROLLBACKS} '
    'times in a run.',
)
_enum(
    'strategy',
    'none',
    ['none', 'mirrored', 'multi_worker_mirrored'],
    "Share the rows of a batch out: among this machine's GPUs, or among the "
    'machines that the variable TF_CONFIG names.',
)
_bool(
    'deterministic',
    False,
    'Take operations that add up in one order only, where there is a choice.',
)
_integer(
    'seed',
    0,
    'Of initial weights, order and dropout.',
    upper_bound=(1 << 31) - 1,
)
_integer(
    'early_stopping',
    0,
    'Stop after so many evaluations without a better one; 0: never.',
)
_integer('eval_every', None, 'Steps between evaluations. Default: a pass.')
_integer('save_every', None, 'Steps between checkpoints. Default: a pass.')
_integer('sample_every', None, 'Steps between samples. Default: a pass.')
_positive('max_to_keep', 5, 'Checkpoints to keep, next to the best.')
_string('prompt', '', r'What samples start with; \n is a newline.')
_integer('sample_length', 300, 'Characters of a sample.')
flags.DEFINE_list(
    'temperatures', ['0.5', '0.8', '1.0'], 'Of the samples.', flag_values=FLAGS
)

flags.register_multi_flags_validator(
    ['epochs', 'steps'],
    lambda given: None in given.values(),
    message='Give --epochs or --steps, not both',
    flag_values=FLAGS,
)


@flags.validator(
    'temperatures',
    message='Give numbers from 0 up with commas between them, such as 0.5,1.0',
    flag_values=FLAGS,
)
def _are_temperatures(values):
    try:
        return all(0 <= float(value) < math.inf for value in values)
    except ValueError:
        return False


@flags.validator(
    'dropout',
    message='Give a share such as 0.3, or shares by name, such as '
    'output:0.5,embedding:0.15,locked',
    flag_values=FLAGS,
)
def _is_dropout(value):
    number = r'\d*\.?\d+(e-?\d+)?'
    part = rf'(rows|embedding|layers|output|weights):{number}|locked'
    return re.fullmatch(rf'{number}|({part})(,({part}))*', value)


for _name in ('average', 'beta_2'):
    flags.register_validator(
        _name,
        lambda value: value < 1.0,
        message='Give a number from 0 up to but not including 1',
        flag_values=FLAGS,
    )
for _name in (
    'activation_penalty',
    'clip_norm',
    'learning_rate',
    'slowness_penalty',
    'test_fraction',
    'valid_fraction',
    'weight_decay',
):
    flags.register_validator(
        _name,
        lambda value: value is None or math.isfinite(value),
        message='Give a number',
        flag_values=FLAGS,
    )

# What may be different when a run goes on. All else decides what it is. Of the
# corpus, only its name: a hash of the text is in the checkpoints.
_MAY_CHANGE = {
    'model_dir',
    'overwrite',
    'strategy',
    'deterministic',
    'corpus',
    'epochs',
    'steps',
    'early_stopping',
    'eval_every',
    'save_every',
    'sample_every',
    'max_to_keep',
    'on_nonfinite',
    'prompt',
    'sample_length',
    'temperatures',
}
RUN_FLAGS = 'run.flags'
_CHECKSUM = '# sha256: '

# Characters that a strip of an evaluation is read from before it is scored.
WARMUP = 256


def read(path: pathlib.Path | None) -> flags.FlagValues:
    """Reads a `run.flags`: all flags, with the values of that run.

    Args:
        path: The file; None for the values that all flags have by default.

    Raises:
        ValueError: If it is damaged.
    """
    saved = copy.deepcopy(FLAGS)
    for flag in _own_flags(saved):
        flag.unparse()
    if path is None:
        saved([''])
        return saved
    _check_checksum(path)
    try:
        rest = saved(['', f'--flagfile={path}'])[1:]
    except (flags.Error, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is damaged: {error}") from error
    if rest:
        raise ValueError(f"'{path}' is damaged: {rest[0]!r} is no flag.")
    if not saved['corpus'].present:
        raise ValueError(f"'{path}' is damaged: it does not name the text.")
    return saved


def take_over(model_dir: pathlib.Path) -> None:
    """Takes what is not given from the run that goes on.

    Raises:
        ValueError: If a flag that decides what the run is has another value.
    """
    path = model_dir / RUN_FLAGS
    if not path.exists():
        return
    saved = read(path)
    if FLAGS.epochs or FLAGS.steps:
        for name in ('epochs', 'steps'):
            saved[name].value = FLAGS[name].value
    if FLAGS.precision == 'auto':
        FLAGS['precision'].present = 0
    differences = []
    for name in (flag.name for flag in _own_flags(FLAGS)):
        if name == 'model_dir':
            continue
        if not FLAGS[name].present:
            # What is not in the file has its default there and here.
            if saved[name].present:
                FLAGS[name].value = saved[name].value
        elif FLAGS[name].value != saved[name].value and name not in _MAY_CHANGE:
            differences.append(
                f'--{name} is {FLAGS[name].value}, but was {saved[name].value}'
            )
    if differences:
        raise ValueError(
            f"'{model_dir}' holds a run with other settings: "
            f'{"; ".join(differences)}. Leave them out to go on with it, give '
            'another --model_dir, or --overwrite to delete it.'
        )


def write(model_dir: pathlib.Path) -> None:
    """Writes all settings as a flagfile."""
    model_dir.mkdir(parents=True, exist_ok=True)
    lines = ['# Repeat this run elsewhere: --flagfile=THIS --model_dir=OTHER']
    for flag in _own_flags(FLAGS):
        name, value = flag.name, flag.value
        value = str(model_dir) if name == 'model_dir' else value
        if value is None or name == 'overwrite':
            continue
        value = ','.join(value) if isinstance(value, list) else value
        value = _escape(value) if name == 'prompt' else value
        lines.append(f'--{name}={value}')
    lines.append(_CHECKSUM + files.checksum(lines))
    files.write(model_dir / RUN_FLAGS, '\n'.join(lines) + '\n')


def digest() -> str:
    """Tells settings that decide what a run is from all others."""
    return files.checksum(
        {
            flag.name: flag.value
            for flag in _own_flags(FLAGS)
            # So that settings of later versions change nothing.
            if flag.name not in _MAY_CHANGE and flag.value != flag.default
        }
    )


def check() -> None:
    """Refuses settings that contradict each other."""
    if FLAGS.strategy == 'multi_worker_mirrored':
        if not os.environ.get('TF_CONFIG'):
            raise ValueError(
                '--strategy=multi_worker_mirrored needs the variable '
                'TF_CONFIG, which names all machines and this one.'
            )
        if FLAGS.overwrite or FLAGS.on_nonfinite == 'rollback':
            raise ValueError(
                '--overwrite and --on_nonfinite=rollback are for one machine, '
                'not for --strategy=multi_worker_mirrored.'
            )
    if has_lines(FLAGS) and (FLAGS.shuffle or FLAGS.shift or FLAGS.curriculum):
        raise ValueError(
            '--shuffle, --shift and --curriculum are for a text in one piece; '
            'with --lines or --csv_column, whose rows are shuffled lines, '
            'leave them out.'
        )
    _check_dropout()
    _check_ignored()
    if FLAGS.early_stopping and not validates(FLAGS):
        raise ValueError(
            '--early_stopping needs evaluations: give a --valid_fraction, and '
            'an --eval_every, above 0.'
        )


def _check_dropout():
    dropped = re.findall(r'(?:^|,)\s*(\w*):?[0.]*[1-9]', FLAGS.dropout)
    if FLAGS.num_layers == 1 and 'layers' in dropped:
        raise ValueError(
            f'--dropout is {FLAGS.dropout!r}, but --num_layers is 1: there is '
            'nothing between layers to drop. Say output: for the last one.'
        )
    if 'locked' in FLAGS.dropout and not {*dropped} - {'rows', 'weights'}:
        raise ValueError(
            f'--dropout is {FLAGS.dropout!r}, where there is nothing to lock: '
            'say how much of the embedding, layers or output, as in '
            'output:0.5,locked.'
        )
    if dropped:
        return
    if FLAGS.dropout_schedule is not None:
        raise ValueError(
            '--dropout_schedule is of a --dropout, which is 0: give one above '
            '0, or leave the schedule out.'
        )


def _check_ignored():
    """Refuses a flag that would change nothing beside another."""
    whole = FLAGS.lr_schedule not in ('constant', 'linear', 'cosine')
    for name, ignored, reason in (
        ('learning_rate', whole, '--lr_schedule has values of its own'),
        ('warmup_steps', whole, '--lr_schedule has values of its own'),
        (
            'beta_2',
            FLAGS.optimizer not in HAVE_BETA_2,
            f'--optimizer={FLAGS.optimizer} does not take it',
        ),
        ('num_words', FLAGS.level != 'word', '--level is not word'),
        ('residual', FLAGS.num_layers == 1, '--num_layers is 1'),
    ):
        if ignored and FLAGS[name].value != FLAGS[name].default:
            raise ValueError(
                f'--{name} is {FLAGS[name].value}, but {reason}: leave one '
                'of the two out.'
            )


def default_model_dir(corpus: str) -> pathlib.Path:
    """Returns where a run lies if nothing is said, after its corpus.

    >>> default_model_dir('texts/bard.txt').as_posix()
    'runs/bard'
    """
    name = pathlib.PurePath(corpus).name.split('.')[0]
    name = re.sub(r'[^\w-]+', '', name).strip('-') or 'text'
    return pathlib.Path('runs', name)


def validates(run: flags.FlagValues) -> bool:
    """Whether a run measures itself on a part of its text."""
    return run.valid_fraction > 0 and run.eval_every != 0


def has_lines(run: flags.FlagValues) -> bool:
    """Whether the texts of a run are lines, or fields of a CSV file."""
    return run.lines or run.csv_column is not None


def load_corpus(run: flags.FlagValues, vocabulary=None):
    """Loads the text that the flags of a run name, split as they say."""
    from tfcharrnn.text import corpus
    from tfcharrnn.text import vocabulary as vocabularies

    train = 1.0 - run.valid_fraction - run.test_fraction
    split = train, run.valid_fraction, run.test_fraction
    if vocabulary is None and run.level == 'word':
        vocabulary = functools.partial(
            vocabularies.WordVocabulary.from_text, num_words=run.num_words
        )
    options = {
        'vocabulary': vocabulary,
        'lowercase': run.lowercase,
        'encoding': run.encoding,
    }
    if has_lines(run):
        return corpus.Corpus.load_lines(
            run.corpus, split, csv_column=run.csv_column, **options
        )
    return corpus.Corpus.load(
        run.corpus,
        split,
        normalize_newlines=run.normalize_newlines,
        report=commands.ProgressBar('Reading a large text'),
        **options,
    )


def digest_text(corpus) -> str:
    """Tells a text, and how it is split, from all others."""
    from tfcharrnn.text import idfile

    tokens = ''.join(corpus.vocabulary.tokens)
    text = hashlib.sha256(tokens.encode('utf-8', 'surrogatepass'))
    parts = [corpus.train, corpus.valid]
    if len(corpus.test):  # As it was before this was added.
        parts.append(corpus.test)
    for ids in parts:
        text.update(len(ids).to_bytes(8, 'big'))
        for piece in idfile.pieces(ids):
            text.update(piece)
    return text.hexdigest()


def batches_to_measure(run: flags.FlagValues, corpus, part: str, batch_size):
    """Cuts a part of a corpus in lines, or in strips, as the run does."""
    from tfcharrnn.data import batches as data

    if not has_lines(run):
        ids = getattr(corpus, part)
        return evaluation_batches(ids, run.seq_length, batch_size)
    lines = corpus.lines(part)
    if not lines:
        raise ValueError(
            f'There is no line to measure on in the {part} part of '
            f"'{corpus.source}'. Give more lines, or another split."
        )
    batch_size = min(batch_size or run.batch_size, len(lines))
    return data.lines(lines, corpus.vocabulary, batch_size, shuffle=False)


def evaluation_batches(ids, seq_length: int, batch_size: int | None = None):
    """Cuts a text in strips to measure on, also where there is little of it.

    Each strip is read from up to 256 characters before it on.

    >>> batches = evaluation_batches(np.zeros(50, np.uint8), seq_length=100)
    >>> batches.batch_size, batches.seq_length
    (1, 49)
    """
    from tfcharrnn.data import batches as data

    num_targets = len(ids) - 1
    if batch_size is None:  # Long strips, beside what comes before each.
        batch_size = max(1, min(32, num_targets // seq_length // 10))
    batch_size = min(batch_size, num_targets)
    seq_length = min(seq_length, num_targets // batch_size)
    return data.sequences(ids, seq_length, batch_size, warmup=WARMUP)


def _own_flags(values):
    """Returns the flags that are defined here; not --verbosity."""
    return values.get_key_flags_for_module(sys.modules[__name__])


def _check_checksum(path):
    """Raises if a `run.flags` was changed since it was written."""
    # Not `splitlines`: a value may have what Unicode takes for a line's end.
    lines = path.read_text('utf-8', 'replace').removesuffix('\n').split('\n')
    last = lines.pop()
    if last.startswith(_CHECKSUM) and last != _CHECKSUM + files.checksum(lines):
        raise ValueError(
            f"'{path}' is damaged: its last line, a checksum, does not fit. "
            'Restore it from a copy; or, if you have changed it on purpose, '
            'delete that line.'
        )


@contextlib.contextmanager
def blaming(model_dir: pathlib.Path):
    """Lets an error say so where the settings of the run are gone.

    Raises:
        ValueError: The one inside, and that `run.flags` is not whole.
    """
    try:
        yield
    except ValueError as error:
        path = model_dir / RUN_FLAGS
        if path.exists() and f'\n{_CHECKSUM}' in path.read_text(
            'utf-8', 'replace'
        ):
            raise
        raise ValueError(
            f"{error} This may be since '{path}' is missing or damaged: give "
            'all settings that were given then.'
        ) from error


def _escape(text):
    """Writes what a flagfile would lose: line ends, and a space at the end."""
    return re.sub(
        r'[\x00-\x1f\x7f-\xa0]| $', lambda x: f'\\x{ord(x[0]):02x}', text
    )
