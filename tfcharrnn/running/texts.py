"""Texts: what a run was trained on, and others that are read as it was."""

from __future__ import annotations

import os

import tensorflow as tf

from tfcharrnn import data
from tfcharrnn.config import RunConfig
from tfcharrnn.text import held_out
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs

_NEEDS_TEXT = 'Only runs that the train command or `Run` made know it.'


def settings(
    model_dir: str | os.PathLike,
    corpus: str | None = None,
    encoding: str | None = None,
    *,
    mend: str = 'Give a `corpus`.',
) -> RunConfig:
    """Returns the settings of a run, which say what its text is.

    Args:
        model_dir: The directory of the run.
        corpus: Another text: all of it, read as that of the run.
        encoding: Of `corpus`; None: as in training.
        mend: What to do without settings.

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
            f'on. {mend}'
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


def check_same(
    corpus: Corpus,
    model_dir: str | os.PathLike,
    checkpoint: str | None = None,
    *,
    mend: str,
) -> None:
    """Raises if a text is not the one that a run was trained on.

    Args:
        corpus: The text, as it is read and split.
        model_dir: The directory of the run.
        checkpoint: As for `load_model`.
        mend: What to do about it.

    Raises:
        ValueError: If it is another text, or the checkpoint is damaged.
    """
    record = model_dirs.load_record(model_dir, checkpoint)
    if record.text not in (None, corpus.digest()):
        raise ValueError(
            f"The text '{corpus.source}', as {model_dirs.RUN_FLAGS} names and "
            f"splits it, is not the one that the model in '{model_dir}' was "
            f'trained on. {mend}'
        )


def training_batches(
    model_dir: str | os.PathLike,
    vocabulary: Vocabulary,
    checkpoint: str | None = None,
) -> data.Batches:
    """Returns batches of the text that a run was trained on.

    Args:
        model_dir: The directory of the run.
        vocabulary: Its vocabulary.
        checkpoint: As for `load_model`.

    Raises:
        OSError, ValueError: If the text or the settings cannot be read, or it
            is another text.
    """
    config = settings(model_dir, mend=_NEEDS_TEXT)
    corpus, _ = held_out.load(config, vocabulary=vocabulary)
    check_same(corpus, model_dir, checkpoint, mend='Put that text back.')
    return data.batches_from_config(config, corpus)


def segments(corpus: Corpus, part: str, length: int) -> data.Batches:
    """Cuts a part of a corpus into segments, in the order of the text.

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
    if corpus.has_lines:
        return data.chosen_lines(
            corpus.lines(part),
            corpus.vocabulary,
            batch_size=1,
            choose=lambda position: position[tf.newaxis],
        )
    return data.evaluation_streams(getattr(corpus, part), length, 1)
