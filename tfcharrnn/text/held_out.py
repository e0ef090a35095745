"""Held out: the start of the training part, on which mixtures are fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np

from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from tfcharrnn.config import TextConfig


def load(
    config: TextConfig,
    *,
    vocabulary: Vocabulary | None = None,
    characters: Collection[str] = (),
    report: Callable[[float], None] | None = None,
) -> tuple[Corpus, np.ndarray]:
    """Reads the text that a config names, without what it holds out.

    Args:
        config: Which text, how it is read, and its `fit_fraction`.
        vocabulary: As for `Corpus.load`.
        characters: As for `Corpus.from_config`.
        report: As for `Corpus.load`.

    Returns:
        The corpus to train on, and the ids held out, empty by default.

    Raises:
        OSError, ValueError: As `Corpus.from_config`, or too little is left.
    """
    corpus = Corpus.from_config(
        config, vocabulary=vocabulary, characters=characters, report=report
    )
    return hold_out(corpus, config.fit_fraction)


def hold_out(corpus: Corpus, fraction: float) -> tuple[Corpus, np.ndarray]:
    """Cuts off the start of the training part.

        |-- held out --|---------- train ----------|---- valid ----|

    Not its end: what follows is often of the same chapter or play, whose names
    a model should know. The vocabulary stays as it is. A line is never cut.

        >>> corpus = Corpus.from_text('to be, or not to be', (0.7, 0.3, 0.0))
        >>> shorter, ids = hold_out(corpus, 0.4)
        >>> shorter
        <Corpus text: 8 distinct characters; 8 train, 6 valid, 0 test>
        >>> corpus.vocabulary.decode(ids)
        'to be'

    Args:
        corpus: The corpus, which stays as it is.
        fraction: The share of its training part, from 0 up to 1.

    Returns:
        A corpus with a shorter training part, and what was cut off, [N] ids.

    Raises:
        ValueError: One of the two would have fewer than 2 characters.
    """
    start = int(len(corpus.train) * fraction)
    if corpus.has_lines and fraction:
        end = corpus.vocabulary.encode('\n')[0]
        ends = np.flatnonzero(corpus.train[:start] == end)
        start = int(ends[-1]) + 1 if len(ends) else 0
    rest, train = corpus.train[:start], corpus.train[start:]
    if fraction and min(len(train), len(rest)) < 2:
        raise ValueError(
            f'`fit_fraction` is {fraction}, which cuts the training part of '
            f"'{corpus.source}' into {len(train)} and {len(rest)} characters. "
            'Use a longer text, or another fraction.'
        )
    return dataclasses.replace(corpus, train=train), rest
