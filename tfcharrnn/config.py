"""Every setting of a training run, once.

    TextConfig       what is read, and how it is split
    BatchConfig      how it is cut into batches, and in which order they come
    ModelConfig      what is trained
    OptimizerConfig  how its weights are updated
    RunConfig        all of these, and how a run goes: one flag for each field

The flags of the commands, `run.flags`, its digest and the message about what
differs from an earlier run are derived from these fields. TensorFlow is not
needed.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import Any

from tfcharrnn import fields
from tfcharrnn.fields import number, numbers, switch, text, whole, word
from tfcharrnn.kinds import (
    CELLS,
    CURRICULA,
    CURRICULA_HELP,
    CYCLES,
    HAVE_BETA_2,
    LR_SCHEDULES,
    OPTIMIZERS,
    TRACKERS,
)
from tfcharrnn.rates import Dropout

MAX_ROLLBACKS = 5
DEFAULT_EPOCHS = 10
HISTORY = 'history'  # The folder of the weights that are kept.
TAIL = 'tail:'  # The mean of the last weights, as `average`.


def _dropout(name: str, value: Any) -> str:
    """Checks dropout rates, and writes them as a flag has them."""
    try:
        Dropout.of(value)
    except ValueError as error:
        raise ValueError(f'`{name}` is {value!r}: {error}') from None
    return str(value)


def _curriculum(name: str, value: Any) -> str:
    """Checks the kind of a curriculum; `curricula.make` reads the rest."""
    kind, colon, _ = str(value).partition(':')
    if not _is_code(value) and (not colon or kind not in CURRICULA):
        raise ValueError(
            f'`{name}` is {value!r}, but must be one of '
            f'{"; ".join(CURRICULA_HELP)}.'
        )
    return value


def _lr_schedule(name: str, value: str) -> str:
    """Checks the number of cycles; `read_schedule` reads what has values."""
    if value.startswith(CYCLES):
        number = value.removeprefix(CYCLES)
        if not re.fullmatch('[1-9][0-9]{0,5}', number):
            raise ValueError(
                f'`{name}` is {value!r}, but must have a whole number of '
                f'cycles, such as {CYCLES}4.'
            )
    return value


def _several_models(name: str, value: str) -> str:
    """Checks names of trained models."""
    if not all(value.split(',')):
        raise ValueError(
            f'`{name}` is {value!r}, but must name a trained model, or several '
            'with commas between them.'
        )
    return value


def _schedule(name: str, value: str) -> str:
    """Checks what might be a schedule; `read_schedule` reads it."""
    if not re.search('[:@]', value):
        raise ValueError(
            f'`{name}` is {value!r}, but must be a number from 0 up, or a '
            'schedule such as linear:0.3:0:2000.'
        )
    return value


def _tail(name: str, value: str) -> str:
    """Checks a text that says how many of the last steps are averaged."""
    found = re.fullmatch(rf'{TAIL}([0-9.]+)', value)
    try:
        share = float(found[1]) if found else 0.0
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        raise ValueError(
            f'`{name}` is {value!r}, but must be a number from 0 up, below 1, '
            f'or a share of the steps up to 1, such as {TAIL}0.25.'
        )
    return value


def _is_code(curriculum: str) -> bool:
    return re.fullmatch(r'.*\.py:.*', curriculum) is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextConfig(fields.Settings):
    """What is read, and how it is split; see `Corpus.load`."""

    corpus: str = text(
        'python',
        'The text: a file, a pattern in quotes, a .gz file, - for standard '
        "input, python for Python's language reference, or a text that is "
        'downloaded once: shakespeare, nietzsche.',
        may_change=True,  # A hash of the text is in the checkpoints.
    )
    valid_fraction: float = number(0.1, 'Share of the text to validate on.')
    test_fraction: float = number(
        0.0, 'Share of the text, at its end, to leave unread.'
    )
    fit_fraction: float = number(
        0.0,
        'Share of the training part, at its start, that is not trained on, so '
        'that a mixture of models can fit its weights there (0.02 is enough).',
        below=1.0,
    )
    encoding: str = text('utf-8', 'The encoding of the text.')
    lowercase: bool = switch(False, 'Turns the text into lower case.')
    lines: bool = switch(
        False,
        'Trains on separate lines, such as headlines or names: a row is a '
        'whole line, read from the zero state, and --seq_length is not used.',
    )
    csv_column: int | None = whole(
        None,
        'Trains on a column of CSV files, counted from 1. Each field is a '
        'line, as with --lines.',
    )
    level: str = word(
        'char',
        'What the model reads and writes one by one. With word, everything '
        'counted in characters is counted in words, marks and white space.',
        ['char', 'word'],
    )
    num_words: int = whole(10_000, 'Size of the vocabulary, with --level=word.')
    normalize_newlines: bool = switch(False, r'Turns \r\n and \r into \n.')

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        self.refuse_ignored(
            'num_words', self.level != 'word', '`level` is not word'
        )
        if not self.valid_fraction + self.test_fraction < 1.0:
            raise ValueError(
                f'`valid_fraction` ({self.valid_fraction}) and `test_fraction` '
                f'({self.test_fraction}) leave nothing to train on.'
            )
        super().check_together()

    @property
    def has_lines(self) -> bool:
        """Whether the texts are lines, or fields of a CSV file."""
        return self.lines or self.csv_column is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchConfig(fields.Settings):
    """How a text is cut into batches, and in which order they come."""

    batch_size: int = whole(64, 'Rows of a batch.')
    seq_length: int = whole(
        100, 'Characters of a row: how far gradients flow back.'
    )
    shuffle: bool = switch(
        False,
        'Chunks in random order, each from the zero state, instead of streams '
        'that carry their state on.',
    )
    shift: bool = switch(
        False, 'Cuts the streams at different places in each pass.'
    )
    curriculum: str | None = text(
        None,
        'Changes the batches in the course of training:\n'
        + '\n'.join(CURRICULA_HELP)
        + '\nOf lines: vocabulary; easiest or hardest, by loss, rarity or '
        'length; random:competence=0.1@5000, at their pace. Of files: mix, '
        'bandit, teacher. With --epochs, it sees as many characters as '
        'without.',
        check=_curriculum,
    )
    control: bool = switch(
        False,
        'Trains without the order of --curriculum, on its last stage alone (or '
        'its last weights), for as many characters.',
    )
    sampling_probability: str | None = text(
        None,
        "Scheduled sampling: how often an input is the model's own sample "
        "instead of the text's character. A number, or a schedule such as "
        'linear:0:0.5:5000, from 0 to 0.5 in 5000 steps.',
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        self.refuse_ignored(
            'control', self.curriculum is None, 'there is no `curriculum`'
        )
        super().check_together()

    @property
    def runs_code(self) -> bool:
        """Whether the curriculum is a function in a file of Python."""
        return self.curriculum is not None and _is_code(self.curriculum)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig(fields.Settings):
    """What is trained; see `CharRNN`."""

    cell: str = word('gru', 'The recurrent cell.', CELLS)
    rnn_units: int = whole(1024, 'Units of a layer.')
    num_layers: int = whole(1, 'Recurrent layers.')
    embedding_dim: int = whole(
        256, 'Size of an embedding; 0 for one-hot inputs.', low=0
    )
    dropout: str = text(
        '0',
        "Dropout rate of each layer's outputs; or rates by location (rows of "
        'the embedding, inputs, embedding, layers, output, weights, state), '
        'such as output:0.5,embedding:0.15,locked.',
        check=_dropout,
    )
    tied: bool = switch(False, 'The logits share the weights of the embedding.')
    residual: bool = switch(
        False, 'Each layer but the first adds its inputs to its outputs.'
    )
    layer_norm: bool = switch(False, "Normalizes each layer's outputs.")
    activation_penalty: float = number(
        0.0, 'Weight of the mean square of the outputs.'
    )
    slowness_penalty: float = number(
        0.0, 'Weight of the mean square of their change between characters.'
    )
    precision: str = word(
        'auto',
        'Type of the operands of matrix products; auto takes bfloat16 where '
        'the hardware multiplies it.',
        ['auto', 'float32', 'bfloat16'],
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        self.refuse_ignored(
            'residual', self.num_layers == 1, '`num_layers` is 1'
        )
        rates = Dropout.of(self.dropout)
        if rates.layers and self.num_layers == 1 and 'layers' in self.dropout:
            raise ValueError(
                f'`dropout` is {self.dropout!r}, but `num_layers` is 1: there '
                'is nothing between layers to drop. Say output: for the last '
                'one.'
            )
        lockable = rates.embedding or rates.layers or rates.output
        if rates.locked and not lockable:
            raise ValueError(
                f'`dropout` is {self.dropout!r}, where there is nothing to '
                'lock: give a rate of embedding, layers or output, as in '
                'output:0.5,locked.'
            )
        super().check_together()

    def least_parameters(self, vocab_size: int) -> int:
        """Counts the parameters of a model, its biases and norms left out.

        >>> ModelConfig().least_parameters(vocab_size=65)
        4015360
        """
        cell, units = CELLS[self.cell], self.rnn_units
        inputs = self.embedding_dim or vocab_size
        width = inputs + units * (self.num_layers - 1)
        width += units * self.num_layers if cell.is_recurrent else 0
        # Of each layer, the inputs and the units.
        factors = cell.rank * (inputs + units * (2 * self.num_layers - 1))
        embedding = vocab_size * self.embedding_dim
        logits = 0 if self.tied else units * vocab_size
        weights = cell.num_gates * units * width + cell.rounds * factors
        return weights + embedding + logits


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig(fields.Settings):
    """How weights are updated."""

    optimizer: str = word('adam', 'The optimizer, from Keras.', OPTIMIZERS)
    learning_rate: float = number(1e-3, 'The highest learning rate.')
    lr_schedule: str = text(
        'constant',
        'constant; linear or cosine, down to a twentieth at the last step; '
        'cycles:4, which falls four times and, unless --keep_every is given, '
        'keeps the weights at the end of each cycle in the folder history, for '
        'evaluate and generate to average (arXiv 1704.00109); or a schedule of '
        'values, such as 1e-3@2000,1e-4, which replaces --learning_rate and '
        '--warmup_steps.',
        check=_lr_schedule,
    )
    warmup_steps: int = whole(
        0, 'Steps in which the learning rate rises to its highest.', low=0
    )
    beta_2: float = number(
        0.999,
        'Decay rate of the second-moment estimate '
        f'({", ".join(HAVE_BETA_2)}), below 1.',
        below=1.0,
    )
    weight_decay: float | str | None = number(
        None,
        'Decay of matrices, not of biases, times the learning rate (arXiv '
        '1711.05101): a number, or a schedule such as linear:0.3:0:2000, from '
        '0.3 to 0 in 2000 steps. Default: 0, but 0.004 for adamw.',
        or_text=_schedule,
    )
    clip_norm: float = number(
        5.0, 'The largest norm of the gradient; 0 for no limit.'
    )
    average: float | str = number(
        0.0,
        'Evaluates, samples and generates with an exponential moving average '
        'of the weights that decays by this factor, such as 0.999; or with '
        'their mean over the last share of the steps, tail:0.25 (arXiv '
        '2209.14981; do not raise --steps later); 0 for the weights '
        'themselves.',
        below=1.0,
        or_text=_tail,
    )
    dropout_schedule: str | None = text(
        None,
        'A schedule that multiplies all dropout rates: linear:0:1:2000 raises '
        'them from nothing in 2000 steps.',
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        has_values = not self.num_cycles
        has_values &= self.lr_schedule not in LR_SCHEDULES
        reason = '`lr_schedule` already sets the learning rate'
        self.refuse_ignored('learning_rate', has_values, reason)
        self.refuse_ignored('warmup_steps', has_values, reason)
        self.refuse_ignored(
            'beta_2',
            self.optimizer not in HAVE_BETA_2,
            f'`optimizer` is {self.optimizer}, which does not take it',
        )
        super().check_together()

    @property
    def num_cycles(self) -> int:
        """How often the learning rate falls in cycles; 0: it does not.

        >>> OptimizerConfig(lr_schedule='cycles:4').num_cycles
        4
        """
        if not self.lr_schedule.startswith(CYCLES):
            return 0
        return int(self.lr_schedule.removeprefix(CYCLES))


# Dataclasses list the fields of the last base first.
@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig(OptimizerConfig, ModelConfig, BatchConfig, TextConfig):
    """A training run: what `python -m tfcharrnn.train` takes as flags.

    >>> config = RunConfig(corpus='bard.txt', rnn_units=512, epochs=4)
    >>> config.folder.as_posix()
    'runs/bard'
    >>> RunConfig(rnn_units=0)
    Traceback (most recent call last):
    tfcharrnn.fields.SettingError: `rnn_units` is 0, but must be a whole \
number from 1 up.
    """

    model_dir: str | None = text(
        None, 'Folder of the run. Default: runs/CORPUS.', may_change=True
    )
    init_from: str | None = text(
        None,
        'Begins with the weights of a trained model: a model_dir, its folder '
        'best, or a checkpoint in it. The layers are the same, and the '
        'vocabulary is mapped. Optimizer and step start anew.',
    )
    distill_from: str | None = text(
        None,
        'Learns from the probabilities of a trained model, too (arXiv '
        '1503.02531): a model_dir, its folder best, or a checkpoint in it; or '
        'several, separated by commas, whose probabilities are averaged. The '
        'text is the same. A resumed run needs the same models, unchanged.',
        check=_several_models,
    )
    distill_weight: float = number(
        0.5,
        "Weight of the teacher's probabilities in the target; the rest goes to "
        "the text's own character.",
        above=0.0,
        high=1.0,
    )
    overwrite: bool = switch(
        False,
        'Deletes the run in --model_dir and starts anew.',
        may_change=True,
    )
    epochs: int | None = whole(
        None,
        f'Passes over the text. Default: {DEFAULT_EPOCHS}.',
        may_change=True,
    )
    steps: int | None = whole(
        None, 'Number of steps, instead of --epochs.', may_change=True
    )
    seed: int = whole(
        0,
        'Seed of initial weights, order and dropout.',
        low=0,
        high=(1 << 31) - 1,
    )
    on_nonfinite: str = word(
        'stop',
        'What to do when the loss or a gradient is not finite: stop; or go '
        'back to the last checkpoint and halve the learning rate, at most '
        f'{MAX_ROLLBACKS} times in a run.',
        ['stop', 'rollback'],
        may_change=True,
    )
    early_stopping: int = whole(
        0,
        'Stops after this many evaluations without an improvement; 0: never.',
        low=0,
        may_change=True,
    )
    eval_every: int | None = whole(
        None,
        'Steps between evaluations; 0: never. Default: a pass.',
        low=0,
        may_change=True,
    )
    save_every: int | None = whole(
        None,
        'Steps between checkpoints; 0: at the end only. Default: a pass.',
        low=0,
        may_change=True,
    )
    max_to_keep: int = whole(
        5, 'Checkpoints to keep, besides the best.', may_change=True
    )
    keep_every: int = whole(
        0,
        'Steps between weights that are kept for good, in the folder history, '
        'for a page that shows how the model learned, or a mixture; 0: none, '
        'but those at the end of each cycle of --lr_schedule.',
        low=0,
        may_change=True,
    )
    sample_every: int | None = whole(
        None,
        'Steps between samples; 0: never. Default: a pass.',
        low=0,
        may_change=True,
    )
    prompt: str = text(
        '',
        r'How samples begin; \n is a newline.',
        escaped=True,
        may_change=True,
    )
    sample_length: int = whole(
        300, 'Characters of a sample.', low=0, may_change=True
    )
    temperatures: tuple[float, ...] = numbers(
        (0.5, 0.8, 1.0), 'Temperatures of the samples.', may_change=True
    )
    tracker: str | None = word(
        None,
        'Sends settings and metrics there, too, if the package is installed.',
        TRACKERS,
        may_change=True,
    )
    strategy: str = word(
        'none',
        "Shares the rows of a batch among this machine's GPUs (mirrored), or "
        'among the machines in the variable TF_CONFIG.',
        ['none', 'mirrored', 'multi_worker_mirrored'],
        may_change=True,
    )
    deterministic: bool = switch(
        False,
        'Uses deterministic operations, which are slower on a GPU.',
        may_change=True,
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if self.epochs is not None and self.steps is not None:
            raise ValueError('Give `epochs` or `steps`, not both.')
        if self.has_lines and (self.shuffle or self.shift):
            raise ValueError(
                '`shuffle` and `shift` are for a text in one piece; with '
                '`lines` or `csv_column`, whose rows are shuffled lines, leave '
                'them out.'
            )
        self.refuse_ignored(
            'distill_weight',
            self.distill_from is None,
            'there is no `distill_from`',
        )
        if self.dropout_schedule is not None and not Dropout.of(self.dropout):
            raise ValueError(
                '`dropout_schedule` multiplies `dropout`, which is 0: give a '
                'dropout above 0, or leave the schedule out.'
            )
        if self.early_stopping and not self.validates:
            raise ValueError(
                '`early_stopping` needs evaluations: give a `valid_fraction` '
                'and an `eval_every` above 0.'
            )
        ends_late = self.num_cycles or str(self.average).startswith(TAIL)
        if self.early_stopping and ends_late:
            raise ValueError(
                '`early_stopping` may end a run before what its last steps are '
                'for, a `lr_schedule` of cycles or an `average` of the tail: '
                'leave one of the two out.'
            )
        workers = self.strategy == 'multi_worker_mirrored'
        if workers and (self.overwrite or self.on_nonfinite == 'rollback'):
            raise ValueError(
                '`overwrite` and `on_nonfinite=rollback` are for one machine, '
                'not for `strategy=multi_worker_mirrored`.'
            )
        super().check_together()

    @property
    def folder(self) -> pathlib.Path:
        """Where the run lies: `model_dir`, or a folder named after the text."""
        if self.model_dir:
            return pathlib.Path(self.model_dir)
        name = pathlib.PurePath(self.corpus).name.split('.')[0]
        name = re.sub(r'[^\w-]+', '', name).strip('-') or 'text'
        return pathlib.Path('runs', name)

    @property
    def validates(self) -> bool:
        """Whether the run measures itself on a part of its text."""
        return self.valid_fraction > 0 and self.eval_every != 0

    def go_on(self, given: dict[str, Any]) -> RunConfig:
        """Returns these settings for a run that goes on, changed as given.

        Args:
            given: New values by name.

        Raises:
            ValueError: If a setting that decides what the run is differs.
        """
        if given.get('precision') == 'auto':
            given = {k: v for k, v in given.items() if k != 'precision'}
        changes = dict(given)
        if {'epochs', 'steps'} & set(given):
            changes = {'epochs': None, 'steps': None, **given}
        if differences := fields.differences(self, given):
            raise ValueError(
                f"'{os.fspath(self.folder)}' holds a run with other settings: "
                f'{"; ".join(differences)}. Leave these out to go on with it '
                '(`Run.resume` in Python), give another `model_dir`, or '
                '`overwrite` to delete it.'
            )
        return self.replace(**changes)
