"""Strategies: in which proportions the levels of a task are trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfcharrnn import checks
from tfcharrnn.curricula.stages import Stage
from tfcharrnn.data import Dataset
from tfcharrnn.training.metrics import Metrics

STRATEGIES = ('none', 'naive', 'mix', 'combined')


def levels(
    strategy: str,
    make_dataset: Callable[[np.ndarray], Dataset],
    num_levels: int,
    *,
    until: Callable[[Metrics], bool] | None = None,
    every: int | None = None,
    steps_per_level: int | None = None,
) -> Iterator[Stage]:
    """Goes through the levels of a task; the last level is the goal.

        none       the last level only
        naive      level 0, then level 1, and so on
        mix        all levels alike, all the time
        combined   half of the examples as in naive, half as in mix

    The strategies of Zaremba and Sutskever, "Learning to Execute" (2014,
    https://arxiv.org/abs/1410.4615).

    >>> def make_dataset(probabilities):
    ...     print(probabilities)
    >>> stages = list(levels('combined', make_dataset, 2, steps_per_level=100))
    [0.75 0.25]
    [0.25 0.75]
    >>> [stage.steps for stage in stages]
    [100, None]

    Args:
        strategy: One of `STRATEGIES`.
        make_dataset: Makes a dataset from the probability of each level.
        num_levels: Number of levels.
        until: Ends every level but the last; see `Stage`.
        every: Steps between calls of `until`.
        steps_per_level: Ends level n at GLOBAL step (n + 1) times this.

    Yields:
        One stage per level, or a single one for 'none' and 'mix'. The last
        stage has no end.

    Raises:
        ValueError: If the strategy is unknown, or its levels have no end.
    """
    checks.choice('strategy', strategy, STRATEGIES)
    target, alike = np.eye(num_levels)[-1], np.full(num_levels, 1 / num_levels)
    if strategy in ('none', 'mix'):
        yield Stage(make_dataset(target if strategy == 'none' else alike))
        return
    if until is None and steps_per_level is None and num_levels > 1:
        raise ValueError(
            f'Each level of the strategy {strategy!r} needs an end: give '
            '`until` and `every`, or `steps_per_level`.'
        )
    for level, weights in enumerate(np.eye(num_levels)):
        if strategy == 'combined':
            weights = (weights + alike) / 2
        dataset = make_dataset(weights)
        if level == num_levels - 1:
            yield Stage(dataset)
        else:
            last = steps_per_level and (level + 1) * steps_per_level
            yield Stage(dataset, last, until, every)
