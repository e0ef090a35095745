"""Differences: whether a variant beats its control, or chance does."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import math
import statistics
from collections.abc import Mapping

from tfcharrnn import checks

COVERAGE = 0.95
POWER = 0.8
MOST_PAIRS = 1000


@dataclasses.dataclass(frozen=True)
class Difference:
    """How a variant differs from its control, over pairs of one seed each.

    Attributes:
        mean: Of variant - control.
        deviation: The standard deviation; None of a single pair.
        num_pairs: Seeds of which both runs are there.
        num_better: Pairs in which the variant is the better one.
        falls: Whether less is better.
    """

    mean: float
    deviation: float | None
    num_pairs: int
    num_better: int
    falls: bool = True

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean; None of a single pair.

        It is Student's, which is right for few seeds if differences are about
        normal. A bootstrap over three to five seeds would be too narrow: it
        knows no deviation but that of the few that it draws from.
        """
        if self.deviation is None:
            return None
        half = quantile(COVERAGE, self.num_pairs - 1) * self.deviation
        half /= math.sqrt(self.num_pairs)
        return self.mean - half, self.mean + half

    @property
    def conclusion(self) -> str | None:
        """What the interval allows to say: better, worse, or None: nothing."""
        if self.interval is None:
            return None
        low, high = self.interval
        if low <= 0.0 <= high:
            return None
        return 'better' if (high < 0.0) == self.falls else 'worse'

    @property
    def num_more(self) -> int | None:
        """How many more pairs would show a difference like this one.

            (t(0.95, n - 1) + t(one-sided 0.8, n - 1)) * deviation / sqrt(n)
                <=  |mean|

        The smallest such n gives an interval without 0 in about four of five
        experiments, if the true difference and deviation are the measured
        ones. None if it is more than `MOST_PAIRS`, or cannot be foreseen.
        """
        if not self.deviation or not self.mean:
            return None
        size = abs(self.mean) / self.deviation

        def is_enough(n):
            t = quantile(COVERAGE, n - 1) + quantile(2 * POWER - 1, n - 1)
            return t / math.sqrt(n) <= size

        n = bisect.bisect_left(range(2, MOST_PAIRS + 1), True, key=is_enough)
        if n + 2 > MOST_PAIRS:
            return None
        # An interval with 0 in it has shown that these are not enough.
        return max(1, n + 2 - self.num_pairs)


def paired(
    variant: Mapping[int, float],
    control: Mapping[int, float],
    *,
    falls: bool = True,
) -> Difference | None:
    """Compares the values of two variants seed by seed.

    Runs of one seed share initial weights and, where the variants allow it,
    the order of the data. What these do to both drops out of the difference.

    >>> control = {0: 1.50, 1: 1.53, 2: 1.47}
    >>> difference = paired({0: 1.48, 1: 1.50, 2: 1.46}, control)
    >>> low, high = difference.interval
    >>> print(f'{difference.mean:.3f} ({low:.3f} to {high:.3f})')
    -0.020 (-0.045 to 0.005)
    >>> difference.num_better, difference.conclusion, difference.num_more
    (3, None, 2)

    Args:
        variant: Value of each seed.
        control: The same of the control.
        falls: Whether less is better, as of a loss.

    Returns:
        The difference; None if no seed is in both.
    """
    changes = [variant[s] - control[s] for s in variant if s in control]
    if not changes:
        return None
    # What differs by rounding alone is equal.
    size = max(abs(control[s]) for s in variant if s in control)
    changes = [0.0 if abs(c) < 1e-12 * size else c for c in changes]
    return Difference(
        statistics.fmean(changes),
        statistics.stdev(changes) if len(changes) > 1 else None,
        len(changes),
        sum(c < 0.0 if falls else c > 0.0 for c in changes),
        falls,
    )


@functools.cache
def quantile(coverage: float, freedom: int) -> float:
    """Returns t such that |T| < t with a probability, of Student's T.

    The distribution of a whole number of degrees of freedom is a finite sum
    (Abramowitz and Stegun, 26.7.3 and 26.7.4), and t is found by bisection.

    >>> [round(quantile(0.95, n), 3) for n in (1, 2, 4, 30)]
    [12.706, 4.303, 2.776, 2.042]

    Args:
        coverage: The probability, above 0 and below 1.
        freedom: Degrees of freedom, one fewer than the values of a mean.

    Raises:
        ValueError: If an argument is out of range.
    """
    checks.number('coverage', coverage, above=0.0, below=1.0)
    freedom = checks.whole_number('freedom', freedom)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        below = _within(angle, freedom) < coverage
        low, high = (angle, high) if below else (low, angle)
    return math.sqrt(freedom) * math.tan(low)


def _within(angle, freedom):
    """Returns P(|T| < sqrt(freedom) * tan(angle))."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
