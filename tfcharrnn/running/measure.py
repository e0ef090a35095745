"""Measure: trained models on a text; what the evaluate command does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from tfcharrnn import data
from tfcharrnn.running import texts
from tfcharrnn.running.measure_config import MeasureConfig
from tfcharrnn.running.mixing import load_mixture
from tfcharrnn.text import held_out
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.adaptation import SEGMENT, Adaptation, restored
from tfcharrnn.training.evaluator import WINDOW, Evaluator
from tfcharrnn.training.metrics import Metrics


def measure(
    model_dir: str | os.PathLike,
    checkpoint: str | None = None,
    *,
    split: str | None = None,
    corpus: str | None = None,
    encoding: str | None = None,
    batch_size: int | None = None,
    ngram: int | None = None,
    weights: Sequence[float] | None = None,
    dynamic: bool = False,
) -> Metrics:
    """Measures a trained model on a part of its text, or on another text.

    Args:
        model_dir: The directory of the run; or several, separated by commas,
            whose mixture is measured, on a part of the text of the first.
        checkpoint: As for `load_model`.
        split: The part of the text of the run: 'train', 'valid' or 'test';
            None: 'valid'.
        corpus: Another text, all of it, instead of a part. It is read as in
            training: as lines, or as CSV, where the run was.
        encoding: Of `corpus`; None: as in training.
        batch_size: Strips of the text, or lines, that are read at once; None:
            as in training.
        ngram: As for `load_mixture`.
        weights: As for `load_mixture`.
        dynamic: Whether to measure 'dynamic_loss', too: the loss while the
            model learns from what it has read; see `Adaptation`.

    Returns:
        As from `Evaluator.evaluate`, with the state carried on, in strips that
        are each read from the 256 characters before it on. And, where the text
        is longer than a window and not of lines, 'window_loss', in nats per
        character: with the text in windows of 256 characters that each begin
        with an empty context, as models of limited context are measured.

    Raises:
        FileNotFoundError: If there is no model, checkpoint or text.
        ValueError: If an argument is out of bounds or contradicts another one,
            a file is damaged, the text is not that of the run, or there is too
            little of it.
    """
    measured = MeasureConfig(  # Which checks them.
        model_dir=os.fspath(model_dir),
        checkpoint=checkpoint or 'latest',
        split=split,
        corpus=corpus,
        encoding=encoding,
        batch_size=batch_size,
        ngram=ngram,
        weights=None if weights is None else tuple(weights),
        dynamic=dynamic,
    )
    model, vocabulary = load_mixture(
        measured.model_dirs, checkpoint, ngram=ngram, weights=weights
    )
    return measure_model(model, vocabulary, measured)


def measure_model(
    model: Any,
    vocabulary: Vocabulary,
    settings: MeasureConfig,
    *,
    report: Callable[[float], None] | None = None,
) -> Metrics:
    """Measures a model that is loaded already.

    Args:
        model: As for `Evaluator`. It is the same afterwards.
        vocabulary: Its vocabulary.
        settings: The run whose text is measured, and the arguments of
            `measure`.
        report: Called with the share that is done of the dynamic evaluation,
            which takes long.

    Returns:
        As from `measure`.

    Raises:
        FileNotFoundError, ValueError: As from `measure`.
    """
    model_dir, corpus = settings.model_dirs[0], settings.corpus
    config = texts.settings(model_dir, corpus, settings.encoding)
    text, _ = held_out.load(config, vocabulary=vocabulary)
    part = 'train' if corpus else settings.split or 'valid'
    ids = getattr(text, part)
    if len(ids) < 2:
        raise ValueError(
            f'There are {len(ids)} characters to measure, but it takes 2 to '
            'predict one from the other. Give another `split` or `corpus`.'
        )
    for run in () if corpus else settings.model_dirs:
        mend = 'Give a `corpus` to measure another.'
        texts.check_same(text, run, settings.checkpoint, mend=mend)
    training = None
    if settings.dynamic:  # Its errors come before the minutes of reading.
        training = texts.training_batches(
            model_dir, vocabulary, settings.checkpoint
        )
    evaluator = Evaluator(model)
    metrics = evaluator.evaluate(
        data.evaluation_batches(
            text,
            part,
            seq_length=config.seq_length,
            batch_size=settings.batch_size,
            lines_per_batch=config.batch_size,
        )
    )
    if len(ids) > WINDOW and not text.has_lines:
        # Each character once: what the mean over random windows tends to.
        windows = data.sequences(ids, WINDOW, batch_size=32, shuffle=True)
        metrics['window_loss'] = evaluator.evaluate(windows)['loss']
    if training is not None:
        segments = texts.segments(text, part, SEGMENT)
        with restored(model):
            adaptation = Adaptation(model, training)
            dynamic = adaptation.read(segments, report=report)
        metrics['dynamic_loss'] = dynamic['loss']
    return metrics
