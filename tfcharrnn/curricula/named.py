"""Named curricula: what the setting `curriculum` may say, and what it makes."""

from __future__ import annotations

from collections.abc import Callable

from tfcharrnn import data
from tfcharrnn.config import RunConfig
from tfcharrnn.curricula import lengths
from tfcharrnn.curricula.stages import Stage
from tfcharrnn.fields import SettingError
from tfcharrnn.text.corpus import Corpus


def make(config: RunConfig, corpus: Corpus) -> list[Stage]:
    """Makes the stages of a run: those of its curriculum, or a single one.

    >>> corpus = tfcharrnn.Corpus.from_text('to be or not to be, ' * 9)
    >>> config = RunConfig(batch_size=2, curriculum='length:5@10,8')
    >>> [stage.steps for stage in make(config, corpus)]
    [10, None]

    Args:
        config: The settings.
        corpus: The text, of which the training part is taken.

    Returns:
        The stages; the last one has no end.

    Raises:
        SettingError: If the curriculum does not fit the corpus, or contradicts
            another setting.
    """
    if config.curriculum is None:
        batches = data.training_batches(
            corpus,
            batch_size=config.batch_size,
            seq_length=config.seq_length,
            shuffle=config.shuffle,
            shift=config.shift,
            seed=config.seed,
        )
        return [Stage(batches)]
    kind, _, _ = config.curriculum.partition(':')
    return KINDS[kind](config, corpus)


def growing_length(config: RunConfig, corpus: Corpus) -> list[Stage]:
    """Lets rows grow: length:25@1000,50@3000,100."""
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


# By the names in `kinds.CURRICULA`.
KINDS: dict[str, Callable[[RunConfig, Corpus], list[Stage]]] = {
    'length': growing_length,
}
