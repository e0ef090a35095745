"""Named curricula: what the setting `curriculum` may say, and what it makes.

    length:25@1000,50@3000,100          rows grow: 25 characters up to step 1000
    vocabulary:20@1000,40@3000,all      lines of the 20 most frequent characters
    easiest:rarity,competence=0.1@5000  lines: the easiest tenth at first, all
                                        from step 5000 on
    hardest:..., random:competence=...  other orders, at the same pace
    easiest:loss,threshold=exponential:1:4:5000     lines that the model itself
                                        predicts well, then others, too
    mix:a.txt=linear:1:0.2:4000,b.txt=0.5   files, by weights
    bandit:prediction,a.txt,b.txt       files, as a bandit finds best
    teacher:online,a.txt,b.txt          files, where the accuracy changes most
    lessons.py:function,name=value      stages that a function makes

The difficulty of a line is its `length`, its `rarity`, or its `loss` under the
model itself, which is measured again at the multiples of `every` steps (a pass
if it is not given). With `control`, the same data comes without the order.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable

import numpy as np

from tfcharrnn import data
from tfcharrnn.config import RunConfig
from tfcharrnn.curricula import (
    adaptive,
    grammar,
    lengths,
    lessons,
    mixtures,
    orders,
    teachers,
)
from tfcharrnn.curricula.adaptive import GAINS
from tfcharrnn.curricula.grammar import Expression
from tfcharrnn.curricula.stages import Stage
from tfcharrnn.data import Batches
from tfcharrnn.fields import SettingError
from tfcharrnn.text import held_out, sources
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.training import schedules
from tfcharrnn.training.schedules import Schedule

# Kinds whose first word says how, and whose other words are files.
_CHOOSING = ('bandit', 'teacher')
# Weights are looked at up to this step.
_CHECKED_STEPS = 1_000_000


def make(config: RunConfig, corpus: Corpus) -> list[Stage]:
    """Makes the stages of a run: those of its curriculum, or a single one.

    >>> corpus = tfcharrnn.Corpus.from_text('to be or not to be, ' * 9)
    >>> config = RunConfig(batch_size=2, curriculum='length:5@10,8')
    >>> [stage.steps for stage in make(config, corpus)]
    [10, None]
    >>> [stage.steps for stage in make(config.replace(control=True), corpus)]
    [None]

    Args:
        config: The settings.
        corpus: The text, of which the training part is taken.

    Returns:
        The stages; the last one has no end.

    Raises:
        OSError: If a file that the curriculum names cannot be read.
        SettingError: If the curriculum does not fit the corpus, or contradicts
            another setting.
        ValueError: If a file of lessons is wrong; see `lessons.stages`.
    """
    if config.curriculum is None:
        return [Stage(data.batches_from_config(config, corpus))]
    if config.runs_code:
        stages = _lessons(config, corpus)
    else:
        expression = grammar.parse(config.curriculum)
        stages = KINDS[expression.kind](expression, config, corpus)
    # What differs in a control but is of one stage has looked at it itself.
    return [Stage(stages[-1].dataset)] if config.control else stages


def characters(config: RunConfig) -> set[str]:
    """Returns the characters of the files that a curriculum names.

    They are those of the training parts, so that a run on several texts has
    ids for all of them. There are none if the curriculum names no files, or if
    the model reads words.
    """
    if config.level == 'word':
        return set()
    tokens = set()
    for name in _files(config):
        if name != config.corpus:
            tokens.update(_corpus(name, config).vocabulary.tokens)
    return tokens


def digests(config: RunConfig) -> dict[str, str]:
    """Returns the SHA-256 of each file that a curriculum names, by its name.

    A run goes on only with the same ones.
    """
    if config.runs_code:
        names = [grammar.parse(config.curriculum or '').kind]
    else:
        names = _files(config)
    found = {}
    for name in names:
        digest = hashlib.sha256()
        for path in sources.expand(name):
            # Texts that have names come with the library, or are verified.
            if name != config.corpus and isinstance(path, pathlib.Path):
                digest.update(path.read_bytes())
        found[name] = digest.hexdigest()
    return found


def growing_length(
    expression: Expression, config: RunConfig, corpus: Corpus
) -> list[Stage]:
    """Lets rows grow: length:25@1000,50@3000,100."""
    del expression  # It is that of a schedule.
    try:
        sizes, boundaries = lengths.parse(config.curriculum or '')
    except ValueError as error:
        raise SettingError(str(error)) from None
    if corpus.has_lines:
        raise SettingError(
            '`curriculum` lets the rows of a text in one piece grow; with '
            '`lines` or `csv_column`, leave it out.'
        )
    if config.shuffle or config.shift:
        raise SettingError(
            '`curriculum` lets the rows of streams grow, each from where it '
            'is; leave `shuffle` and `shift` out.'
        )
    if config.seq_length not in (sizes[-1], RunConfig.seq_length):
        raise SettingError(
            f'`seq_length` is {config.seq_length}, but the last length of '
            f'`curriculum` is {sizes[-1]}. Leave `seq_length` out.'
        )
    return lengths.growing_length(
        corpus.train, config.batch_size, sizes, boundaries=boundaries
    )


def mix(
    expression: Expression, config: RunConfig, corpus: Corpus
) -> list[Stage]:
    """Mixes files: mix:a.txt=linear:1:0.2:4000,b.txt=0.5."""
    if expression.words or len(expression.values) < 2:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but a mixture is of two '
            'files or more, each with its weight, as in mix:a.txt=0.5,'
            'b.txt=linear:0:1:4000.'
        )
    weights = [_weight(*item) for item in expression.values.items()]
    if config.control:
        weights = [
            schedules.constant(float(weight(_CHECKED_STEPS)))
            for weight in weights
        ]
    some = np.linspace(0, _CHECKED_STEPS, 10_001, dtype=np.int64)
    totals = sum(
        np.broadcast_to(weight(some), some.shape) for weight in weights
    )
    if not np.all(totals > 0.0):
        step = some[np.argmin(totals > 0.0)]
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, whose weights are all 0 '
            f'at step {step:,}. Leave one above 0.'
        )
    batches = [_file_batches(name, config, corpus) for name in _files(config)]
    return [Stage(mixtures.mix(batches, weights, seed=config.seed))]


def bandit(
    expression: Expression, config: RunConfig, corpus: Corpus
) -> list[Stage]:
    """Lets a bandit choose among files: bandit:prediction,a.txt,b.txt."""
    expression.only('every', 'rate', 'epsilon')
    gain = expression.words[0] if expression.words else ''
    if gain not in GAINS or len(expression.words) < 3:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but a bandit has a gain '
            f'({", ".join(GAINS)}) and chooses among two files or more, as in '
            'bandit:prediction,a.txt,b.txt.'
        )
    return _chosen(
        config,
        corpus,
        lambda batches: adaptive.bandit(
            batches,
            gain=gain,
            every=expression.whole('every', 1),
            rate=expression.number('rate', 1e-3, high=1e3),
            epsilon=expression.number('epsilon', 0.05, high=1.0),
            seed=config.seed,
        ),
    )


def teacher(
    expression: Expression, config: RunConfig, corpus: Corpus
) -> list[Stage]:
    """Lets a teacher choose among files: teacher:online,a.txt,b.txt."""
    expression.only('every', 'rate', 'epsilon', 'window')
    variant = expression.words[0] if expression.words else ''
    if variant not in teachers.VARIANTS or len(expression.words) < 3:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but a teacher has a '
            f'variant ({", ".join(teachers.VARIANTS)}) and chooses among two '
            'files or more, as in teacher:online,a.txt,b.txt.'
        )
    window = expression.whole('window', 10)
    every = expression.whole('every', window if variant == 'naive' else 1)
    if window < 2 or (variant == 'naive' and every < 2):
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but `window`, and `every` '
            'of naive, must be 2 or more: a slope needs two scores.'
        )
    return _chosen(
        config,
        corpus,
        lambda batches: teachers.teacher(
            batches,
            variant=variant,
            every=every,
            rate=expression.number('rate', 0.1, high=1.0),
            epsilon=expression.number('epsilon', 0.1, high=1.0),
            window=window,
            seed=config.seed,
        ),
    )


def _chosen(config, corpus, choose):
    """Returns a stage in which a policy chooses, or all come alike."""
    orders.check_one_device(config)
    batches = [_file_batches(name, config, corpus) for name in _files(config)]
    if config.control:
        alike = [1.0] * len(batches)
        return [Stage(mixtures.mix(batches, alike, seed=config.seed))]
    return [Stage(choose(batches))]


def _lessons(config, corpus):
    expression = grammar.parse(config.curriculum)
    if len(expression.words) != 1:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but must name one '
            'function, and then values, as in lessons.py:function,name=value.'
        )
    settings = ('batch_size', 'seq_length', 'seed')
    return lessons.stages(
        expression.kind,
        expression.words[0],
        corpus,
        values=expression.values,
        settings={name: getattr(config, name) for name in settings},
    )


def _files(config):
    """Returns the names of the texts that a curriculum reads, in order."""
    if config.curriculum is None or config.runs_code:
        return []
    expression = grammar.parse(config.curriculum)
    if expression.kind == 'mix':
        return [*expression.values]
    return [*expression.words[1:]] if expression.kind in _CHOOSING else []


def _corpus(name, config, vocabulary=None):
    """Reads a file that a curriculum names, as the corpus itself is read."""
    files = sources.expand(name)
    of_run = sources.expand(config.corpus)
    if files != of_run and set(files) & set(of_run):
        both = sorted(map(str, set(files) & set(of_run)))[0]
        raise SettingError(
            f"`curriculum` reads '{both}' in {name!r}, but it is a part of "
            f'`corpus` {config.corpus!r}, too, so it could be trained on and '
            'validated on at once. Name the same files in both, or others.'
        )
    config = dataclasses.replace(
        config, corpus=name, curriculum=None, control=False
    )
    return held_out.load(config, vocabulary=vocabulary)[0]


def _file_batches(name: str, config: RunConfig, corpus: Corpus) -> Batches:
    if name == config.corpus:
        return data.batches_from_config(config, corpus)
    source = _corpus(name, config, corpus.vocabulary)
    try:
        return data.batches_from_config(config, source)
    except ValueError as error:
        raise ValueError(f"In '{name}': {error}") from None


def _weight(name: str, text: str) -> Schedule:
    """Reads the weight of a file, a schedule."""
    try:
        schedule = schedules.parse(text)
        schedules.check_range('weight', schedule, _CHECKED_STEPS)
    except ValueError as error:
        raise SettingError(
            f'`curriculum` has {name}={text}, which is not a weight: {error}'
        ) from None
    if not np.any(schedule(np.linspace(0, _CHECKED_STEPS, 10_001))):
        raise SettingError(
            f'`curriculum` has {name}={text}: with a weight of 0 it is never '
            'read. Leave it out.'
        )
    return schedule


# By the names in `kinds.CURRICULA`.
KINDS: dict[str, Callable[[Expression, RunConfig, Corpus], list[Stage]]] = {
    'length': growing_length,
    'easiest': orders.ordered_lines,
    'hardest': orders.ordered_lines,
    'random': orders.ordered_lines,
    'vocabulary': orders.growing_vocabulary,
    'mix': mix,
    'bandit': bandit,
    'teacher': teacher,
}
