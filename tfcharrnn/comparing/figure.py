"""Figure: the curves of a comparison and the differences, with intervals."""

from __future__ import annotations

import importlib.util
import math
import statistics
from typing import BinaryIO

import numpy as np

from tfcharrnn.comparing.comparison import Comparison
from tfcharrnn.comparing.differences import COVERAGE, quantile

# The drawing ends at the highest value of the control, times this.
_HIGHEST = 2.0


def can_draw() -> bool:
    """Returns whether matplotlib is installed."""
    return importlib.util.find_spec('matplotlib') is not None


def draw(comparison: Comparison, file: BinaryIO) -> None:
    """Draws a comparison as a PNG image; this needs matplotlib.

        metric by characters | by seconds | difference from the control

    Lines are means over the seeds, the bands around them 95 % intervals of the
    mean. On the right, each dot is a seed, and each bar a 95 % interval.

    Args:
        comparison: The runs.
        file: Where the image is written.
    """
    from matplotlib import figure  # pyright: ignore[reportMissingImports]

    several = len(comparison.curves) > 1
    drawing = figure.Figure(
        figsize=(15 if several else 10, 4), layout='constrained'
    )
    by_chars, by_time, *rest = drawing.subplots(1, 3 if several else 2)
    for number, (name, runs) in enumerate(comparison.curves.items()):
        if not runs:
            continue
        color = f'C{number}'
        for axes, field in ((by_chars, 'num_chars'), (by_time, 'seconds')):
            x, mean, half = _band(list(runs.values()), field)
            axes.plot(x, mean, label=name, color=color)
            low, high = mean - half, mean + half
            axes.fill_between(x, low, high, alpha=0.2, color=color)
    if comparison.target is not None:
        for axes in by_chars, by_time:
            axes.axhline(comparison.target, color='gray', linestyle=':')
    if comparison.falls:
        _limit(comparison, [by_chars, by_time])
    by_chars.set(xlabel='characters', ylabel=comparison.metric)
    by_time.set(xlabel='seconds of training')
    by_chars.legend()
    for axes in rest:
        _draw_differences(comparison, axes)
    drawing.savefig(file, format='png', dpi=150)


def _band(runs, field):
    """Returns where the runs were measured, their mean, half an interval."""
    length = min(len(run.values) for run in runs)
    x = np.mean([getattr(run, field)[:length] for run in runs], axis=0)
    values = np.array([run.values[:length] for run in runs])
    half = np.zeros_like(x)
    if len(runs) > 1:
        half = values.std(axis=0, ddof=1) / math.sqrt(len(runs))
        half *= quantile(COVERAGE, len(runs) - 1)
    return x, values.mean(axis=0), half


def _limit(comparison, both):
    """Keeps a run that diverged from hiding what the others did."""
    control = comparison.curves[comparison.control].values()
    highest = max((max(run.values) for run in control), default=math.inf)
    for axes in both:
        if axes.get_ylim()[1] > _HIGHEST * highest:
            axes.set_ylim(0.0, _HIGHEST * highest)


def _draw_differences(comparison, axes):
    """Draws the difference of each variant, seed by seed, with its interval."""
    control = comparison.values(comparison.control, 'last')
    names = [n for n in comparison.curves if n != comparison.control]
    for y, name in enumerate(names):
        values = comparison.values(name, 'last')
        changes = [v - control[s] for s, v in values.items() if s in control]
        if not changes:
            continue
        color = f'C{y + 1}'  # That of its curve.
        axes.plot(changes, [y + 0.15] * len(changes), '.', color=color)
        difference = comparison.difference(name, 'last')
        half = 0.0
        if difference.interval is not None:
            half = difference.interval[1] - difference.mean
        mean = statistics.fmean(changes)
        axes.errorbar(mean, y, xerr=half, fmt='o', capsize=4, color=color)
    axes.axvline(0.0, color='gray', linestyle=':')
    axes.set(
        xlabel=f'difference from {comparison.control}, at the last evaluation',
        yticks=range(len(names)),
        yticklabels=names,
        ylim=(len(names) - 0.5, -0.5),
    )
