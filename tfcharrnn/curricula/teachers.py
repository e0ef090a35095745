"""Teachers: policies that choose the source on which the score changes most."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from tfcharrnn import checks
from tfcharrnn.curricula.adaptive import AdaptiveMixture
from tfcharrnn.data import Batches
from tfcharrnn.training.record import Choices

VARIANTS = ('online', 'naive', 'window', 'sampling')


def teacher(
    sources: Sequence[Batches],
    *,
    variant: str = 'online',
    every: int | None = None,
    rate: float = 0.1,
    epsilon: float = 0.1,
    window: int = 10,
    seed: int = 0,
) -> AdaptiveMixture:
    """Reads the sources on which the model gets better, or worse, fastest.

        score     the accuracy on the batches of the source
        progress  how fast the score changes
        source    that of the largest |progress|, or a random one now and then

    A source that the model has not learnt yet, or begins to forget, comes more
    often. From Matiisen et al., "Teacher-Student Curriculum Learning" (2017,
    https://arxiv.org/abs/1707.00183).

    >>> from tfcharrnn import data
    >>> a, b = (
    ...     data.windows(np.full(99, i), seq_length=3, batch_size=2)
    ...     for i in (0, 1)
    ... )
    >>> teacher([a, b], variant='window').batch_size
    2

    Args:
        sources: As for `bandit`.
        variant: How progress is measured; see `Teacher`.
        every: Batches of a source before the next choice. None: 1, and
            `window` for 'naive', which needs several.
        rate: How fast progress follows the last change ('online', 'naive').
        epsilon: The share of the choices that are random (not 'sampling').
        window: How much of the past is kept ('window', 'sampling').
        seed: Seed of the choices.

    Returns:
        As `bandit`; its 'gain' is the accuracy.

    Raises:
        ValueError: As for `bandit`.
    """
    policy = Teacher(variant, rate=rate, epsilon=epsilon, window=window)
    if every is None:
        every = window if variant == 'naive' else 1
    if variant == 'naive':
        every = checks.whole_number('every', every, low=2)
    return AdaptiveMixture(
        sources, policy, gain='accuracy', every=every, seed=seed
    )


class Teacher:
    """The four algorithms of the paper, as a `Policy`.

        online     Q(i) = rate * (score - last score) + (1 - rate) * Q(i)
        naive      Q(i) = rate * slope of the scores since the choice + ...
        window     Q(i) = slope of the last scores of i over time
        sampling   draws one of the last changes of each source, 1 where there
                   are few, and takes the largest

    The first three take the largest `|Q|`, or with probability epsilon any one.

    >>> policy = Teacher('online')
    >>> choices = policy.begin(2)
    >>> policy.update(choices, 1, [0.5])
    >>> policy.update(choices, 1, [0.7])
    >>> [round(q, 3) for q in choices.values]
    [0.0, 0.065]
    """

    def __init__(
        self,
        variant: str,
        *,
        rate: float = 0.1,
        epsilon: float = 0.1,
        window: int = 10,
    ):
        """Takes the arguments of `teacher`."""
        self._variant = checks.choice('variant', variant, VARIANTS)
        self._rate = checks.number('rate', rate, 0.0, 1.0)
        self._epsilon = checks.number('epsilon', epsilon, 0.0, 1.0)
        self._window = checks.whole_number('window', window, low=2)

    def begin(self, num_sources: int) -> Choices:
        """Begins with no progress anywhere; see `Policy`."""
        return Choices(
            taken=[0] * num_sources,
            values=[0.0] * num_sources,
            scores=[0.0] * num_sources,
            history=[[] for _ in range(num_sources)],
        )

    def choose(self, choices: Choices, draw: random.Random) -> int:
        """Takes the source of the largest progress; see `Policy`."""
        if self._variant == 'sampling':
            progress = [
                draw.choice(kept) if len(kept) == self._window else 1.0
                for kept in choices.history
            ]
        elif draw.random() < self._epsilon:
            return draw.randrange(len(choices.values))
        else:
            progress = choices.values
        sizes = [abs(value) for value in progress]
        largest = [i for i, size in enumerate(sizes) if size == max(sizes)]
        return draw.choice(largest)

    def update(
        self, choices: Choices, source: int, values: list[float]
    ) -> None:
        """Learns from the scores since the choice; see `Policy`."""
        choices.seen += 1
        score, kept = float(np.mean(values)), choices.history[source]
        change = score - choices.scores[source]
        choices.scores[source] = score
        if self._variant == 'sampling':
            kept.append(change)
        elif self._variant == 'window':
            kept.append([choices.seen, score])
        del kept[: -self._window]
        if self._variant == 'window':
            choices.values[source] = _slope(kept)
        elif self._variant != 'sampling':
            if self._variant == 'naive':
                change = _slope(list(enumerate(values)))
            old = choices.values[source]
            choices.values[source] = (
                self._rate * change + (1.0 - self._rate) * old
            )


def _slope(points):
    """Returns the slope of the line nearest to points (time, score)."""
    times, scores = np.array(points, float).T
    times -= np.mean(times)
    spread = float(times @ times)
    return float(times @ scores) / spread if spread else 0.0
