"""Card: what a reader of a page should know about the model, in words.

Reference: Mitchell et al., "Model Cards for Model Reporting", arXiv 1810.03993.
"""

from __future__ import annotations

import datetime
import math
import os
import pathlib

import tensorflow as tf

from tfcharrnn import __version__, data
from tfcharrnn.exporting.snapshots import Snapshot
from tfcharrnn.generation.generator import Generator
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.training.evaluator import WINDOW, Evaluator

# The text that is looked for in the training text, and its pieces.
_LENGTH = 1000
_PIECE = 20
_SEED = 0
# Larger texts take too long to measure, or to look through: characters.
_MAX_MEASURED = 1_000_000
_MAX_SEARCHED = 50_000_000

Card = list[tuple[str, str]]


def describe(
    snapshot: Snapshot,
    generator: Generator,
    corpus: Corpus | None,
    *,
    loss: float | None = None,
) -> Card:
    """Returns the rows of a card: labels and texts.

    Args:
        snapshot: The model that is described.
        generator: It writes with that model.
        corpus: The text that it was trained on; None: that is not known.
        loss: Its validation loss in nats, if it is known.
    """
    model, unit = snapshot.model, generator.vocabulary.unit
    rows: Card = []
    if corpus is None:
        rows.append(('Trained on', 'a text that was not at hand'))
    else:
        name = pathlib.PurePath(corpus.source).name
        size = f'{len(corpus.train):,} {unit}s'
        rows.append(('Trained on', f'{name}, {size}'))
    if snapshot.step is not None:
        rows.append(('Training', f'{snapshot.step:,} steps'))
    rows.append(('Parameters', f'{model.num_parameters:,}'))
    rows.append(('Knows', f'{len(generator.vocabulary):,} {unit}s'))
    rows += _losses(model, corpus, loss, unit)
    rows.append(('Copies', _copies(generator, corpus)))
    if date := _date(snapshot.path):
        rows.append(('Saved', date))
    tensorflow = f'TensorFlow {tf.__version__}'
    rows.append(('Versions', f'tfcharrnn {__version__}, {tensorflow}'))
    return rows


def python(name: str, checkpoint: str | None) -> str:
    """Returns lines of Python that load the model of a run.

    >>> print(python('bard', 'best'))
    import tfcharrnn
    <BLANKLINE>
    generator = tfcharrnn.Generator.from_checkpoint('bard', 'best')
    print(generator.generate('', length=500, temperature=0.8))
    """
    given = repr(name) + (f', {checkpoint!r}' if checkpoint else '')
    return (
        'import tfcharrnn\n\n'
        f'generator = tfcharrnn.Generator.from_checkpoint({given})\n'
        "print(generator.generate('', length=500, temperature=0.8))"
    )


def count_copies(written: str, text: str) -> tuple[int, int]:
    """Counts the pieces of 20 characters that stand in another text.

        >>> count_copies('to be or not to be, that is', 'or not to be, that')
        (0, 8)
        >>> count_copies('to be or not to be, that', 'to be or not to be, ')
        (1, 5)

    Args:
        written: The text whose pieces are looked for; they overlap.
        text: The text that they are looked for in.

    Returns:
        How many were found, and how many there are.
    """
    starts = range(max(0, len(written) - _PIECE + 1))
    found = sum(written[i : i + _PIECE] in text for i in starts)
    return found, len(starts)


def _losses(model, corpus, loss, unit) -> Card:
    """Returns the validation losses, by both protocols."""
    valid = () if corpus is None else corpus.valid
    is_measured = 1 < len(valid) <= _MAX_MEASURED
    rows: Card = []
    evaluator = Evaluator(model)
    if loss is None and corpus is not None and is_measured:
        batches = data.evaluation_batches(corpus, 'valid', seq_length=100)
        loss = evaluator.evaluate(batches)['loss']
    if loss is not None:
        rows.append(('Loss on held-out text', _in_words(loss, unit)))
    if corpus is not None and is_measured and not corpus.has_lines:
        if len(valid) > WINDOW:
            windows = data.sequences(valid, WINDOW, 32, shuffle=True)
            loss = evaluator.evaluate(windows)['loss']
            label = f'The same, in windows of {WINDOW} {unit}s'
            rows.append((label, _in_words(loss, unit)))
    return rows


def _in_words(nats, unit):
    bits = nats / math.log(2)
    return f'{nats:.3f} nats, {bits:.3f} bits per {unit}'


def _copies(generator, corpus):
    if corpus is None:
        return 'not looked for, as the training text was not at hand'
    if len(corpus.train) > _MAX_SEARCHED:
        return 'not looked for, as the training text is too long'
    written = generator.generate('', _LENGTH, seed=_SEED)
    text = generator.vocabulary.decode(corpus.train)
    found, number = count_copies(written, text)
    return (
        f'{found:,} of {number:,} pieces of {_PIECE} characters that it wrote '
        f'(temperature 1, seed {_SEED}) stand in the training text'
    )


def _date(path: str) -> str | None:
    """Returns the day on which a checkpoint was written."""
    try:
        seconds = os.path.getmtime(f'{path}.index')
    except OSError:
        return None
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime('%Y-%m-%d')
