"""Longer and longer sequences of one text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy import typing as npt

from tfcharrnn.curricula.stages import Stage
from tfcharrnn.data import sequences
from tfcharrnn.training import schedules


def growing_length(
    ids: npt.ArrayLike,
    batch_size: int,
    lengths: Sequence[int],
    *,
    boundaries: Sequence[int],
) -> list[Stage]:
    """Lets sequences grow: gradients go ever further back in one stream.

        lengths      25        50           100
        boundaries       1000      3000
        step         0 ...     1000 ...     3000 ...

    Rows and states go on at a change of length, so every character is a target
    exactly once per pass, as without a curriculum. Each length takes a few
    seconds to compile. Li et al. (arXiv 2108.06084) warm up the length for
    stability and speed.

    >>> stages = growing_length(
    ...     np.arange(999), 4, [5, 10, 20], boundaries=[30, 50]
    ... )
    >>> [(stage.dataset.seq_length, stage.steps) for stage in stages]
    [(5, 30), (10, 50), (20, None)]

    Args:
        ids: The text, as in `data.sequences`.
        batch_size: Rows of a batch.
        lengths: Characters per row, in order.
        boundaries: The GLOBAL steps at which the second, third, ... length
            begins.

    Returns:
        The stages; the last one has no end.

    Raises:
        ValueError: As `data.sequences` does; or if the boundaries do not rise,
            or are not one fewer than the lengths.
    """
    schedules.stepwise(lengths, boundaries)  # Raises where they do not fit.
    # One array for all, so that the rows are seen to be those of one text.
    ids = np.asanyarray(ids)
    return [
        Stage(sequences(ids, length, batch_size), steps)
        for length, steps in zip(lengths, [*boundaries, None], strict=True)
    ]


def parse(text: str) -> tuple[list[int], list[int]]:
    """Reads lengths and boundaries from the text of a flag.

    >>> parse('length:25@1000,50@3000,100')
    ([25, 50, 100], [1000, 3000])

    Args:
        text: `length:` and the lengths, separated by commas. Each but the last
            is followed by `@` and the step at which it ends.

    Returns:
        The lengths and the boundaries of `growing_length`.

    Raises:
        ValueError: If the text is anything else.
    """
    kind, _, pieces = text.partition(':')
    *begun, last = pieces.split(',')
    pairs = [piece.split('@') for piece in begun]
    try:
        if kind.strip() != 'length' or any(len(pair) != 2 for pair in pairs):
            raise ValueError
        lengths = [*(int(length) for length, _ in pairs), int(last)]
        boundaries = [int(boundary) for _, boundary in pairs]
        if min(lengths) < 1 or sorted({0, *boundaries}) != [0, *boundaries]:
            raise ValueError
    except ValueError:
        raise ValueError(
            'A curriculum is length:25@1000,50@3000,100 (rows of 25 characters '
            'up to step 1000, of 50 up to step 3000, then of 100), but got '
            f'`{text}`.'
        ) from None
    return lengths, boundaries
