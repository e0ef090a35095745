"""Texts: what a run was trained on, and others that are read as it was."""

from __future__ import annotations

import os

from tfcharrnn import data
from tfcharrnn.config import RunConfig
from tfcharrnn.text import held_out
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs


def settings(
    model_dir: str | os.PathLike,
    corpus: str | None = None,
    encoding: str | None = None,
) -> RunConfig:
    """Returns the settings of a run, which say what its text is.

    Args:
        model_dir: The directory of the run.
        corpus: Another text: all of it, read as that of the run.
        encoding: Of `corpus`; None: as in training.

    Raises:
        FileNotFoundError: If it has no settings, and no `corpus` is given.
        ValueError: If they are damaged.
    """
    model_dir, _ = model_dirs.split(model_dir)
    if model_dirs.has_settings(model_dir):
        config = model_dirs.read_settings(model_dir)
    elif corpus is None:
        path = os.path.join(model_dir, model_dirs.RUN_FLAGS)
        raise FileNotFoundError(
            f"'{path}' is missing, which says what text the model was trained "
            'on. Give a `corpus`.'
        )
    else:
        config = RunConfig()
    if corpus is None:
        return config
    return config.replace(
        corpus=corpus,
        encoding=encoding or config.encoding,
        valid_fraction=0.0,
        test_fraction=0.0,
        fit_fraction=0.0,
        early_stopping=0,
    )


def training_batches(
    model_dir: str | os.PathLike, vocabulary: Vocabulary
) -> data.Batches:
    """Returns batches of the text that a run was trained on.

    Args:
        model_dir: The directory of the run.
        vocabulary: Its vocabulary.

    Raises:
        OSError, ValueError: If the text or the settings cannot be read.
    """
    config = settings(model_dir)
    corpus, _ = held_out.load(config, vocabulary=vocabulary)
    return data.training_batches(
        corpus, batch_size=config.batch_size, seq_length=config.seq_length
    )


def segments(corpus: Corpus, part: str, length: int) -> data.Batches:
    """Cuts a part of a corpus into segments that follow one another.

    >>> corpus = Corpus.from_text('to be or not to be')
    >>> len(segments(corpus, 'train', length=5))
    3

    Args:
        corpus: The corpus.
        part: 'train', 'valid' or 'test'.
        length: Characters of a segment. A line is always one segment.

    Returns:
        Batches of one row.

    Raises:
        ValueError: The part is too short.
    """
    return data.evaluation_batches(
        corpus, part, seq_length=length, batch_size=1, lines_per_batch=1
    )
