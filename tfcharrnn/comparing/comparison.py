"""Comparison: the runs of several variants, beside those of a control."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from tfcharrnn.comparing import curves
from tfcharrnn.comparing.curves import Curve
from tfcharrnn.comparing.differences import MOST_PAIRS, Difference, paired

MEASURES = 'last', 'best', 'area', 'matched'


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The curves of all runs that are there, and what is missing.

    Attributes:
        metric: What is compared, such as 'valid_loss'.
        curves: Those of each variant, by seed; the first is the control.
        missing: Why a run is missing, by variant and seed.
        target: A value of the metric; how long each run took to reach it is
            compared, too. None: it is not.
    """

    metric: str
    curves: Mapping[str, Mapping[int, Curve]]
    missing: Mapping[tuple[str, int], str] = dataclasses.field(
        default_factory=dict
    )
    target: float | None = None

    @property
    def control(self) -> str:
        """The name of the first variant."""
        return next(iter(self.curves))

    @property
    def is_even(self) -> bool:
        """Whether all runs have read the same number of characters."""
        runs = [run for each in self.curves.values() for run in each.values()]
        return len({run.num_chars[-1] for run in runs}) < 2

    @property
    def falls(self) -> bool:
        """Whether less is better."""
        return 'accuracy' not in self.metric

    def values(self, name: str, measure: str) -> dict[int, float]:
        """Returns one number for each run of a variant, by seed.

        Args:
            name: The variant.
            measure: One of `MEASURES`: the metric at the last evaluation; at
                the best one; its mean over the characters that all runs were
                measured on, which is the area under the curve; or the metric
                at the number of characters of the run that has read the fewest.
                The last two are empty if one run ends before another is first
                measured.
        """
        runs = self.curves[name]
        begin, end = self._range()
        if measure in ('area', 'matched'):
            start = begin if measure == 'area' else end
            return {
                seed: run.area(start, end)
                for seed, run in runs.items()
                if begin <= end
            }
        best = min if self.falls else max
        return {
            seed: run.values[-1] if measure == 'last' else best(run.values)
            for seed, run in runs.items()
        }

    def difference(self, name: str, measure: str) -> Difference | None:
        """Compares a variant with the control, seed by seed.

        Args:
            name: The variant.
            measure: As for `values`.

        Returns:
            None if no seed is in both.
        """
        values, control = (
            self.values(each, measure) for each in (name, self.control)
        )
        return paired(values, control, falls=self.falls)

    def reached(self, name: str) -> dict[int, tuple[float, float]]:
        """Returns the characters and seconds to the target, by seed.

        Runs that did not reach it are left out.

        Args:
            name: The variant.
        """
        if self.target is None:
            return {}
        reached = {
            seed: run.reach(self.target, falls=self.falls)
            for seed, run in self.curves[name].items()
        }
        return {seed: pair for seed, pair in reached.items() if pair}

    def slow_down(self, name: str) -> tuple[Difference | None, ...]:
        """Compares how long a variant and the control took to the target.

            exp(-mean) = geometric mean of  (control's time / variant's time)

        Args:
            name: The variant.

        Returns:
            The difference of the logarithms, of characters and of seconds,
            over the seeds of which both runs reached it.
        """
        variant, control = self.reached(name), self.reached(self.control)
        return tuple(
            paired(
                {s: math.log(pair[i]) for s, pair in variant.items()},
                {s: math.log(pair[i]) for s, pair in control.items()},
            )
            for i in (0, 1)
        )

    def _range(self):
        """Returns the characters between which all runs were measured."""
        runs = [run for each in self.curves.values() for run in each.values()]
        begin = max(run.num_chars[0] for run in runs)
        return begin, min(run.num_chars[-1] for run in runs)


def read(
    folder: pathlib.Path,
    variants: Iterable[str],
    seeds: Sequence[int],
    *,
    metric: str = 'valid_loss',
    missing: Mapping[tuple[str, int], str] | None = None,
    target: float | None = None,
) -> Comparison:
    """Reads the runs in `FOLDER/VARIANT/SEED`.

    Args:
        folder: Holds the runs.
        variants: Their names; the first is the control.
        seeds: The seeds of each.
        metric: What is compared.
        missing: Runs that failed, and why: these are not read.
        target: See `Comparison`.

    Returns:
        The comparison. A run whose metrics cannot be read is missing, too.

    Raises:
        ValueError: If no run at all can be read; it says why of one.
    """
    missing = dict(missing or {})
    found: dict[str, dict[int, Curve]] = {}
    for name in variants:
        found[name] = {}
        for seed in seeds:
            if (name, seed) in missing:
                continue
            try:
                found[name][seed] = curves.read(
                    folder / name / str(seed), metric
                )
            except (OSError, ValueError) as error:
                missing[name, seed] = str(error)
    if not any(found.values()):
        raise ValueError(
            f'There is nothing to compare. {next(iter(missing.values()))}'
        )
    return Comparison(metric, found, missing, target)


def conclusions(comparison: Comparison) -> list[str]:
    """Says in words what the last evaluations show, and what they do not.

    Args:
        comparison: The runs.

    Returns:
        A sentence or two for each variant but the control, what holds for all
        of them, and what is missing.
    """
    control = comparison.control
    lines = []
    others = [name for name in comparison.curves if name != control]
    for name in others:
        lines.append(_conclude(name, control, comparison))
    differences = [comparison.difference(name, 'last') for name in others]
    num_intervals = len([x for x in differences if x and x.interval])
    if num_intervals > 2:
        lines.append(
            f'These are {num_intervals} intervals of 95 % each: where no '
            'variant differs, about one in twenty would still say so.'
        )
    if early := [
        name for name in comparison.curves if _is_early(name, comparison)
    ]:
        lines.append(
            f'At the first evaluation, {", ".join(early)} had reached '
            f'{comparison.target} already, so it took fewer characters than '
            'the table says. Evaluate more often, or choose another target.'
        )
    for (name, seed), reason in sorted(comparison.missing.items()):
        lines.append(f'Missing: {name}, seed {seed}: {reason}')
    return lines


def _is_early(name, comparison):
    """Returns whether a run had reached the target when it was first asked."""
    reached = comparison.reached(name)
    runs = comparison.curves[name]
    return any(reached[seed][0] <= runs[seed].num_chars[0] for seed in reached)


def _conclude(name, control, comparison):
    difference = comparison.difference(name, 'last')
    if difference is None:
        return f'{name}: no seed is there of both it and {control}.'
    size, metric = abs(difference.mean), comparison.metric
    counts = f'in {difference.num_better} of {difference.num_pairs} seeds'
    if difference.interval is None:
        return (
            f'{name}: nothing can be concluded from a single seed (it differs '
            f'by {difference.mean:+.4f}). Give at least two more.'
        )
    if not difference.mean and not difference.deviation:
        return f'{name} equals {control} in each of the seeds.'
    low, high = difference.interval
    if difference.conclusion:
        return (
            f'{name} is {difference.conclusion} than {control}: its {metric} '
            f'differs by {difference.mean:+.4f} ({low:+.4f} to {high:+.4f}), '
            f'and is better {counts}.'
        )
    more = difference.num_more
    if more is None:
        needs = f'more than {MOST_PAIRS:,} seeds'
    else:
        needs = f'about {more:,} more seed{"s" * (more > 1)}'
    return (
        f'{name}: nothing can be concluded (better {counts}). To show a '
        f'difference of {size:.4g}, if there is one, takes {needs}.'
    )
