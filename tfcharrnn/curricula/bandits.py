"""Bandits: policies that learn from rewards which source to read next."""

from __future__ import annotations

import random
from typing import Protocol

import numpy as np

from tfcharrnn import checks
from tfcharrnn.training.record import Choices


class Policy(Protocol):
    """Chooses among sources, by what it has seen so far.

    All that it knows is in the `Choices`, which a checkpoint saves; so a run
    that goes on chooses as it would have without the interruption.
    """

    def begin(self, num_sources: int) -> Choices:
        """Returns what the policy knows at first."""
        ...

    def choose(self, choices: Choices, draw: random.Random) -> int:
        """Returns a source. It changes nothing but the state of `draw`."""
        ...

    def update(
        self, choices: Choices, source: int, values: list[float]
    ) -> None:
        """Learns from what the batches since the last choice have brought.

        Args:
            choices: What the policy knows; it is changed.
            source: The source that was chosen.
            values: A reward or a score for each batch, in order.
        """
        ...


class Exp3S:
    """The bandit for rewards that change: Exp3.S, as Graves et al. use it.

        p(i)  =  (1 - epsilon) softmax(w)(i) + epsilon / N
        r     =  the reward, scaled so that its quantiles are -1 and 1
        u(i)  =  w(i) + rate * (r if i was chosen else 0) / p(i)
        w(i)  =  log((1 - a) exp(u(i)) + a / (N - 1) sum(exp(u(j)), j != i))

    with a = 1 / t at choice t. From Graves et al., "Automated Curriculum
    Learning for Neural Networks" (2017, https://arxiv.org/abs/1704.03003).
    What a reward is worth changes as a model learns, so it is scaled by the
    20th and the 80th percentile of those before it; a random sample of them is
    kept (reservoir sampling).

    >>> bandit = Exp3S(rate=0.5)
    >>> choices = bandit.begin(2)
    >>> for reward in (0.0, 1.0, 1.0, 0.0, 1.0, 0.0):
    ...     bandit.update(choices, int(reward), [reward])
    >>> [round(float(p), 2) for p in bandit.probabilities(choices)]
    [0.24, 0.76]
    """

    def __init__(
        self,
        *,
        rate: float = 1e-3,
        epsilon: float = 0.05,
        num_kept: int = 1000,
        seed: int = 0,
    ):
        """Takes what the paper calls eta and epsilon, with its values.

        Args:
            rate: How much a reward changes the weights.
            epsilon: The share of the choices that are random.
            num_kept: Rewards that are kept for the quantiles.
            seed: Seed of which ones are kept.

        Raises:
            ValueError: If a number is out of range.
        """
        self._rate = checks.number('rate', rate, above=0.0)
        self._epsilon = checks.number('epsilon', epsilon, 0.0, 1.0)
        self._num_kept = checks.whole_number('num_kept', num_kept)
        self._seed = seed

    def begin(self, num_sources: int) -> Choices:
        """Begins with equal weights; see `Policy`."""
        return Choices(
            taken=[0] * num_sources, values=[0.0] * num_sources, history=[[]]
        )

    def probabilities(self, choices: Choices) -> np.ndarray:
        """Returns the probability of each source, [N]."""
        weights = np.exp(choices.values - np.max(choices.values))
        shares = weights / np.sum(weights)
        return (1.0 - self._epsilon) * shares + self._epsilon / len(shares)

    def choose(self, choices: Choices, draw: random.Random) -> int:
        """Draws a source; see `Policy`."""
        bounds = np.cumsum(self.probabilities(choices))
        at = np.searchsorted(bounds, draw.random() * bounds[-1], 'right')
        return int(min(at, len(bounds) - 1))

    def update(
        self, choices: Choices, source: int, values: list[float]
    ) -> None:
        """Learns from the mean reward; see `Policy`."""
        reward = self._scaled(choices, float(np.mean(values)))
        count = len(choices.values)
        estimate = np.zeros(count)
        estimate[source] = reward / self.probabilities(choices)[source]
        raised = np.asarray(choices.values) + self._rate * estimate
        highest = np.max(raised)
        exps = np.exp(raised - highest)
        share = 1.0 / choices.seen
        others = (np.sum(exps) - exps) / (count - 1)
        new = (1.0 - share) * exps + share * others
        choices.values = (highest + np.log(new)).tolist()

    def _scaled(self, choices, reward):
        """Keeps the reward, perhaps, and scales it to -1 ... 1."""
        (kept,) = choices.history
        choices.seen += 1
        if len(kept) < self._num_kept:
            kept.append(reward)
        else:
            draw = random.Random(f'{self._seed} kept {choices.seen}')
            place = draw.randrange(choices.seen)
            if place < self._num_kept:
                kept[place] = reward
        low, high = np.quantile(kept, [0.2, 0.8])
        if high <= low:
            return 0.0
        return float(np.clip(2.0 * (reward - low) / (high - low) - 1.0, -1, 1))
