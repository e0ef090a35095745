"""Orders: the named curricula over lines, by difficulty or by vocabulary."""

from __future__ import annotations

import hashlib
import math

from tfcharrnn import data
from tfcharrnn.config import RunConfig
from tfcharrnn.curricula import pools
from tfcharrnn.curricula.grammar import Expression
from tfcharrnn.curricula.self_pacing import SelfPaced
from tfcharrnn.curricula.stages import Stage
from tfcharrnn.fields import SettingError
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.training import schedules
from tfcharrnn.training.schedules import Schedule

# Thresholds are looked at up to this step.
_CHECKED_STEPS = 1_000_000


def ordered_lines(
    expression: Expression, config: RunConfig, corpus: Corpus
) -> list[Stage]:
    """Draws from a growing share: easiest:rarity,competence=0.1@5000."""
    lines = _lines(expression, corpus)
    plain = Stage(data.batches_from_config(config, corpus))
    if expression.words[:1] == ('loss',) and expression.kind != 'random':
        drawn, end = _self_paced(expression, lines, config, corpus)
    else:
        drawn, end = _pooled(expression, lines, config, corpus)
    if end is not None:
        return [Stage(drawn, end), plain]
    # No stage has all lines, so a control has another.
    return [plain if config.control else Stage(drawn)]


def _pooled(expression, lines, config, corpus):
    """Returns batches in an order that is known, and the step that ends it."""
    expression.only(
        *('competence', 'degree'), num_words=int(expression.kind != 'random')
    )
    share, end = _competence(expression, config)
    drawn = pools.easiest_first(
        lines,
        corpus.vocabulary,
        config.batch_size,
        share=share,
        difficulty=_difficulty(expression, lines, config.seed),
        seed=config.seed,
    )
    return drawn, end


def _self_paced(expression, lines, config, corpus):
    """Does the same in the order of the losses; no step may end it."""
    check_one_device(config)
    expression.only('competence', 'degree', 'threshold', 'every', num_words=1)
    share = threshold = end = every = None
    if 'threshold' not in expression.values:
        share, end = _competence(expression, config)
    elif {'competence', 'degree'} & {*expression.values}:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but lines are drawn '
            'either by a `threshold` or by a `competence`: give one of the two.'
        )
    else:
        threshold = _threshold(expression.values['threshold'])
    if 'every' in expression.values:
        every = expression.whole('every', 1)
    drawn = SelfPaced(
        lines,
        corpus.vocabulary,
        config.batch_size,
        share=share,
        threshold=threshold,
        every=every,
        hardest=expression.kind == 'hardest',
        seed=config.seed,
    )
    return drawn, end


def growing_vocabulary(
    expression: Expression, config: RunConfig, corpus: Corpus
) -> list[Stage]:
    """Lets the vocabulary grow: vocabulary:20@1000,40@3000,all."""
    lines = _lines(expression, corpus)
    expression.only()
    *begun, last = expression.words
    pairs = [item.partition('@')[::2] for item in begun]
    everything = len(corpus.vocabulary)
    try:
        sizes = [int(size) for size, _ in pairs]
        if last != 'all':
            sizes.append(int(last))
        if sizes != sorted(sizes) or min(sizes, default=1) < 1:
            raise ValueError
        if last == 'all':  # It may be fewer than the sizes before it.
            sizes.append(everything)
        boundaries = [int(step) for _, step in pairs]
        size = schedules.stepwise(sizes, boundaries)
    except ValueError:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, but a vocabulary grows by '
            'sizes and steps that rise, as in vocabulary:20@1000,40@3000,all.'
        ) from None
    if config.control and last != 'all':  # Each stage has a limit.
        size = schedules.constant(float(sizes[-1]))
    drawn = pools.growing_vocabulary(
        lines, corpus.vocabulary, config.batch_size, size=size, seed=config.seed
    )
    if last != 'all' or not boundaries:
        return [Stage(drawn)]
    return [
        Stage(drawn, boundaries[-1]),
        Stage(data.batches_from_config(config, corpus)),
    ]


def check_one_device(config: RunConfig) -> None:
    """Refuses several devices for a curriculum that teaches itself."""
    if config.strategy != 'none':
        raise SettingError(
            '`curriculum` teaches itself, which it can on one device only: '
            'leave `strategy` out.'
        )


def _competence(expression, config):
    """Returns the share of the lines by step, and the step when it is 1."""
    pace = expression.at('competence')
    if pace is None:
        raise SettingError(
            f'`curriculum` is {config.curriculum!r}, which does not say how '
            'fast: add the share at the start and the step from which it is '
            'all, as in competence=0.1@5000.'
        )
    start, end = pace
    degree = expression.number('degree', 2.0, high=math.inf)
    try:
        return pools.competence(start, end, degree), end
    except ValueError as error:
        raise SettingError(f'In `curriculum`: {error}') from None


def _threshold(text: str) -> Schedule:
    """Reads a loss in nats per character, a schedule."""
    try:
        schedule = schedules.parse(text)
        schedules.check_range('threshold', schedule, _CHECKED_STEPS)
    except ValueError as error:
        raise SettingError(
            f'`curriculum` has threshold={text}, which is not a loss in nats '
            f'per character: {error}'
        ) from None
    return schedule


def _lines(expression, corpus):
    if not corpus.has_lines:
        raise SettingError(
            f'`curriculum` is {expression.kind}:, which chooses among lines, '
            'but the text is in one piece: give `lines` or `csv_column`.'
        )
    return corpus.lines('train')


def _difficulty(expression, lines, seed):
    """Returns what ranks lines, the first ones first."""
    if expression.kind == 'random':
        return lambda line: _number(f'{seed}\n{line}')
    (word,) = expression.words or ('nothing',)
    if word not in ('length', 'rarity'):
        raise SettingError(
            f'`curriculum` has the difficulty {word!r}, but it must be length, '
            'rarity or loss.'
        )
    measure = len if word == 'length' else pools.rarity(lines)
    if expression.kind == 'easiest':
        return measure
    return lambda line: -measure(line)


def _number(text):
    """Returns a number that is a function of the text, and looks random."""
    digest = hashlib.sha256(text.encode('utf-8', 'surrogatepass')).digest()
    return float(int.from_bytes(digest[:6], 'big'))
