"""Metrics: pairs (sum, count) that add up, and their means.

A mean of means is wrong if batches differ in size. So each loss travels as a
sum over characters together with their number. Pairs add up over batches,
passes and replicas; one division at the end is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

Metrics = dict[str, float]
# By name: a sum and a count, scalar tensors or numbers.
Pairs = dict[str, tuple[Any, Any]]


class Sums:
    """Adds up pairs (sum, count) by name; divides at the end.

    >>> sums = Sums()
    >>> sums.add({'loss': (30.0, 10), 'accuracy': (4, 10)})
    >>> sums.add({'loss': (0.0, 30), 'accuracy': (30, 30)})
    >>> sums.means()['loss'], sums.means()['accuracy']
    (0.75, 0.85)
    """

    def __init__(self, pairs: Mapping[str, tuple[float, float]] | None = None):
        """Starts empty, or from the `pairs` of another `Sums`."""
        self.pairs: dict[str, tuple[float, float]] = {}
        self.add(pairs or {})

    def add(self, pairs: Mapping[str, tuple[float, float]]) -> None:
        """Adds a pair (sum, count) for each name, in double precision."""
        for name, (total, count) in pairs.items():
            old_total, old_count = self.pairs.get(name, (0.0, 0.0))
            new = old_total + float(total), old_count + float(count)
            self.pairs[name] = new

    def add_all(
        self, all_pairs: Iterable[Mapping[str, tuple[float, float]]]
    ) -> None:
        """Adds the pairs of some steps, one after the other."""
        for pairs in all_pairs:
            self.add(pairs)

    def means(self) -> Metrics:
        """Divides sums by counts, and derives metrics from the loss.

        Returns:
            The mean for each name, NaN if nothing was counted. With a 'loss'
            in nats per character, also 'bits_per_char', 'perplexity' and
            'num_chars'. With a pair of 'seconds' per step, 'chars_per_second'
            in its place.
        """
        means: Metrics = {
            name: total / count if count else math.nan
            for name, (total, count) in self.pairs.items()
        }
        if 'loss' in means:
            means['bits_per_char'] = means['loss'] / math.log(2.0)
            means['perplexity'] = _exp(means['loss'])
            means['num_chars'] = int(self.pairs['loss'][1])
        if 'seconds' in means:
            del means['seconds']
            seconds, _ = self.pairs['seconds']
            means['chars_per_second'] = means['num_chars'] / seconds
        return means


class Windows:
    """Sums since the last call of each periodic callback.

        steps      1  2  3  4  5  6  7
        period 2   [--]  [--]  [--]  [-
        period 3   [-----]  [-----]  [-

    >>> windows = Windows()
    >>> for step in (1, 2, 3):
    ...     due = windows.add([{'loss': (step, 1)}], [2], step)
    ...     print(step, {period: sums.means()['loss'] for period, sums in due})
    1 {}
    2 {2: 1.5}
    3 {}
    >>> windows.since(2).means()['loss']
    3.0
    """

    def __init__(self, pairs: Mapping[str, Any] | None = None):
        """Starts empty, or from `pairs` that were saved as JSON."""
        self._sums: dict[int | None, Sums] = {
            int(k): Sums(v) for k, v in (pairs or {}).items()
        }

    @property
    def pairs(self) -> dict[int | None, Any]:
        """The pairs of each period, to be saved."""
        return {period: sums.pairs for period, sums in self._sums.items()}

    def keep(self, periods: Iterable[int | None]) -> None:
        """Drops the windows of other periods, which would miss steps."""
        wanted = set(periods)
        self._sums = {k: v for k, v in self._sums.items() if k in wanted}

    def add(
        self,
        all_pairs: Iterable[Pairs],
        periods: Iterable[int | None],
        step: int,
    ) -> list[tuple[int | None, Sums]]:
        """Adds the pairs of some steps, and closes the windows that end.

        Args:
            all_pairs: The pairs of each step since the last call.
            periods: All periods, in steps; none of them ends before `step`.
                The period None ends at each call.
            step: The number of the last of the steps.

        Returns:
            (period, sums) of each period that ends at `step`.
        """
        all_pairs, due = list(all_pairs), []
        for period in set(periods):
            sums = self._sums.setdefault(period, Sums())
            sums.add_all(all_pairs)
            if period is None or step % period == 0:
                due.append((period, self._sums.pop(period)))
        return due

    def since(self, period: int) -> Sums:
        """Returns the sums since the last multiple of a period."""
        return self._sums.get(period, Sums())


class Layout:
    """Packs pairs into a vector in a graph, and unpacks them outside.

    A compiled loop returns one matrix; the names are those found in tracing.
    """

    def __init__(self):
        """Begins without names; `pack` finds them."""
        self._names: list[str] = []

    def pack(self, pairs: Pairs) -> tf.Tensor:
        """Packs the pairs of N names into one vector [2N]."""
        self._names = sorted(pairs)
        flat = [x for name in self._names for x in pairs[name]]
        return tf.stack([tf.cast(x, tf.float32) for x in flat])

    def unpack(self, vectors: tf.Tensor) -> list[Pairs]:
        """Unpacks a matrix of such vectors, one for each step."""
        return [
            dict(
                zip(
                    self._names,
                    zip(row[::2], row[1::2], strict=True),
                    strict=True,
                )
            )
            for row in vectors.numpy().tolist()
        ]


def _exp(nats: float) -> float:
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf
