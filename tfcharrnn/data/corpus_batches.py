"""Batches of a part of a corpus: streams of a text, or lines."""

import numpy as np

from tfcharrnn.checks import choice, whole_number
from tfcharrnn.config import RunConfig
from tfcharrnn.data.batches import Batches
from tfcharrnn.data.line_batches import lines
from tfcharrnn.data.streams import sequences
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.splitting import PARTS

# Characters that a strip of an evaluation reads before those that are scored.
WARMUP = 256

_MAX_STRIPS = 32


def batches_from_config(config: RunConfig, corpus: Corpus) -> Batches:
    """Makes the batches that a run without a curriculum trains on.

        >>> corpus = tfcharrnn.Corpus.from_text('to be or not to be')
        >>> config = tfcharrnn.RunConfig(batch_size=2, seq_length=4)
        >>> len(batches_from_config(config, corpus))
        2

    Args:
        config: The settings.
        corpus: The text, of which the training part is taken.

    Returns:
        As `training_batches`.

    Raises:
        ValueError: As `training_batches` does.
    """
    return training_batches(
        corpus,
        batch_size=config.batch_size,
        seq_length=config.seq_length,
        shuffle=config.shuffle,
        shift=config.shift,
        seed=config.seed,
    )


def training_batches(
    corpus: Corpus,
    *,
    batch_size: int,
    seq_length: int,
    shuffle: bool = False,
    shift: bool = False,
    seed: int = 0,
) -> Batches:
    """Makes the batches to train on: lines if the corpus has them.

        >>> corpus = tfcharrnn.Corpus.from_text('to be or not to be')
        >>> len(training_batches(corpus, batch_size=2, seq_length=4))
        2

    Args:
        corpus: The corpus, of which the training part is taken.
        batch_size: Rows (B).
        seq_length: Characters of a row (T). Lines are as long as they are.
        shuffle: As for `sequences`. Lines are shuffled in any case.
        shift: As for `sequences`; not for lines.
        seed: Seed of the random order.

    Returns:
        The batches.

    Raises:
        ValueError: The text is too short, or an argument is invalid.
    """
    if corpus.has_lines:
        if shuffle or shift:
            raise ValueError(
                '`shuffle` and `shift` are for a text in one piece, but the '
                'corpus has lines, which are shuffled anyway. Leave them out.'
            )
        return lines(
            corpus.lines('train'), corpus.vocabulary, batch_size, seed=seed
        )
    return sequences(
        corpus.train,
        seq_length,
        batch_size,
        shuffle=shuffle,
        shift=shift,
        seed=seed,
    )


def evaluation_batches(
    corpus: Corpus,
    part: str,
    *,
    seq_length: int,
    batch_size: int | None = None,
    lines_per_batch: int = 64,
) -> Batches:
    """Makes the batches of a part to measure on: lines, or long strips.

        >>> corpus = tfcharrnn.Corpus.from_lines(['ab', 'ba', 'b'], (1, 0, 0))
        >>> evaluation_batches(corpus, 'train', seq_length=5).batch_size
        3

    Args:
        corpus: The corpus.
        part: 'train', 'valid' or 'test'.
        seq_length: Characters of a row (T), fewer if the text is short. Lines
            are as long as they are.
        batch_size: Rows (B), fewer if the text is short. None: for a text, as
            `evaluation_streams` says; for lines, `lines_per_batch`.
        lines_per_batch: Lines of a batch if `batch_size` is None.

    Returns:
        The batches, in which every target of the part is scored once.

    Raises:
        ValueError: The part is too short, or an argument is invalid.
    """
    choice('part', part, PARTS)
    if not corpus.has_lines:
        return evaluation_streams(getattr(corpus, part), seq_length, batch_size)
    texts = corpus.lines(part)
    if not texts:
        raise ValueError(
            f'There is no line to measure on in the {part} part of '
            f"'{corpus.source}'. Use more lines, or another split."
        )
    batch_size = min(batch_size or lines_per_batch, len(texts))
    return lines(texts, corpus.vocabulary, batch_size, shuffle=False)


def evaluation_streams(
    ids: np.ndarray, seq_length: int, batch_size: int | None = None
) -> Batches:
    """Cuts a text into strips to measure on, however short it is.

    Each strip but the first is read from up to `WARMUP` (256) characters before
    it, so that the model has a context.

        >>> batches = evaluation_streams(np.zeros(50, np.uint8), 100)
        >>> batches.batch_size, batches.seq_length
        (1, 49)

    Args:
        ids: The text, [N] integers.
        seq_length: Characters of a row (T), fewer if the text is short.
        batch_size: Strips (B), fewer if the text is short. None: up to 32, few
            enough that a strip is long beside the characters before it.

    Returns:
        Streams in which N - 1 targets are scored.

    Raises:
        ValueError: The text has fewer than 2 characters, or an argument is
            invalid.
    """
    if len(ids) < 2:
        raise ValueError(
            f'There are {len(ids)} characters to measure, but it takes 2 to '
            f'predict one from the other. Use a longer text.'
        )
    num_targets = len(ids) - 1
    seq_length = whole_number('seq_length', seq_length)
    if batch_size is None:
        batch_size = max(1, min(_MAX_STRIPS, num_targets // seq_length // 10))
    batch_size = min(whole_number('batch_size', batch_size), num_targets)
    seq_length = min(seq_length, num_targets // batch_size)
    return sequences(ids, seq_length, batch_size, warmup=WARMUP)
