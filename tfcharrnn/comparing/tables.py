"""Tables: a comparison as text, Markdown and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import statistics
from collections.abc import Sequence

from tfcharrnn.comparing.comparison import MEASURES, Comparison, conclusions
from tfcharrnn.comparing.differences import Difference

_METRIC = '.4f'
# From here on, a metric is of a run that diverged.
_LARGE = 1e4


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells, the first of them the head.

    Attributes:
        title: What it shows.
        rows: The cells.
    """

    title: str
    rows: list[list[str]]


def tables(comparison: Comparison) -> list[Table]:
    """Makes the tables of a comparison.

    Args:
        comparison: The runs.

    Returns:
        What each variant reached; how it differs from the control, if there
        are others; and how long it took to the target, if there is one.
    """
    result = [_means(comparison)]
    if len(comparison.curves) > 1:
        result.append(_differences(comparison))
    if comparison.target is not None:
        result.append(_times(comparison))
    return result


def as_text(comparison: Comparison) -> str:
    """Writes the tables with their columns aligned, and the conclusions."""
    parts = []
    for table in tables(comparison):
        columns = zip(*table.rows, strict=True)
        widths = [max(map(len, column)) for column in columns]
        lines = [f'{table.title}:'] if parts else []
        for row in table.rows:
            cells = zip(row, widths, strict=True)
            line = '  '.join(cell.ljust(width) for cell, width in cells)
            lines.append(line.rstrip())
        parts.append('\n'.join(lines))
    if lines := conclusions(comparison):
        parts.append('\n'.join(lines))
    return '\n\n'.join(parts) + '\n'


def as_markdown(comparison: Comparison) -> str:
    """Writes the tables and the conclusions for a Markdown document."""
    parts = []
    for table in tables(comparison):
        head, *rows = (f'| {" | ".join(row)} |' for row in table.rows)
        rule = f'|{" --- |" * len(table.rows[0])}'
        parts += [f'{table.title}:', '\n'.join([head, rule, *rows])]
    if lines := conclusions(comparison):
        parts.append('\n'.join(f'- {line}' for line in lines))
    return '\n\n'.join(parts) + '\n'


def as_csv(comparison: Comparison) -> str:
    """Writes a line for each variant, with plain numbers.

    The columns `difference_...`, `low_...` and `high_...` are those of the
    intervals; they are empty for the control.
    """
    head = ['variant', 'runs', 'missing']
    for measure in MEASURES:
        parts = 'mean', 'deviation', 'difference', 'low', 'high', 'better'
        head += [f'{part}_{measure}' for part in parts]
    rows: list[list[object]] = [[*head]]
    for name in comparison.curves:
        gone = sum(other == name for other, _ in comparison.missing)
        row: list[object] = [name, len(comparison.curves[name]), gone]
        rows.append(row)
        for measure in MEASURES:
            values = list(comparison.values(name, measure).values())
            row += [statistics.fmean(values) if values else '']
            row += [statistics.stdev(values) if len(values) > 1 else '']
            difference = comparison.difference(name, measure)
            if difference is None or name == comparison.control:
                row += [''] * 4
                continue
            low, high = difference.interval or ('', '')
            row += [difference.mean, low, high, difference.num_better]
    return _write_csv(rows)


def runs_as_csv(comparison: Comparison) -> str:
    """Writes a line for each run, also for those that are missing."""
    rows: list[list[object]] = [
        ['variant', 'seed', *MEASURES, 'characters', 'seconds']
    ]
    rows[0] += ['characters_to_target', 'seconds_to_target', 'missing']
    for name, runs in comparison.curves.items():
        values = [comparison.values(name, measure) for measure in MEASURES]
        reached = comparison.reached(name)
        for seed, run in runs.items():
            rows.append([name, seed, *(each.get(seed, '') for each in values)])
            rows[-1] += [run.num_chars[-1], run.seconds[-1]]
            rows[-1] += [*reached.get(seed, ('', '')), '']
        for (other, seed), reason in sorted(comparison.missing.items()):
            if other == name:
                rows.append([name, seed, *[''] * (len(rows[0]) - 3), reason])
    return _write_csv(rows)


def _write_csv(rows):
    file = io.StringIO()
    csv.writer(file, lineterminator='\n').writerows(rows)
    return file.getvalue()


def _means(comparison):
    metric = comparison.metric
    rows = [['variant', 'runs', f'{metric}, last', 'best']]
    rows[0] += ['characters', 'seconds']
    for name, runs in comparison.curves.items():
        columns = [
            (list(comparison.values(name, 'last').values()), _METRIC),
            (list(comparison.values(name, 'best').values()), _METRIC),
            ([run.num_chars[-1] for run in runs.values()], ',.0f'),
            ([run.seconds[-1] for run in runs.values()], ',.1f'),
        ]
        cells = [_mean_and_deviation(*column) for column in columns]
        rows.append([name, _count(comparison, name), *cells])
    return Table(f'{metric}, mean and standard deviation', rows)


def _differences(comparison):
    control, metric = comparison.control, comparison.metric
    more = {'best': 'best', 'area': 'area'}
    if not comparison.is_even:
        more['matched'] = 'at equal characters'
    rows = [['variant', 'last', 'better in', *more.values()]]
    for name in comparison.curves:
        if name == control:
            continue
        last, *others = (
            comparison.difference(name, measure) for measure in ('last', *more)
        )
        counts = f'{last.num_better} of {last.num_pairs}' if last else ''
        rows.append([name, _interval(last), counts, *map(_interval, others)])
    title = f'{metric}, difference from {control} and its 95 % interval'
    return Table(title, rows)


def _times(comparison):
    rows = [['variant', 'runs', 'characters', 'seconds']]
    rows[0] += ['speed-up in characters', 'in seconds']
    for name, runs in comparison.curves.items():
        reached = list(comparison.reached(name).values())
        cells = [
            _mean_and_deviation([pair[i] for pair in reached], form)
            for i, form in ((0, ',.0f'), (1, ',.1f'))
        ]
        if name == comparison.control:
            cells += ['', '']
        else:
            cells += map(_speed_up, comparison.slow_down(name))
        rows.append([name, f'{len(reached)} of {len(runs)}', *cells])
    return Table(f'To reach a {comparison.metric} of {comparison.target}', rows)


def _count(comparison, name):
    there = len(comparison.curves[name])
    gone = sum(other == name for other, _ in comparison.missing)
    return f'{there} of {there + gone}' if gone else str(there)


def _mean_and_deviation(values: Sequence[float], form: str) -> str:
    if not values:
        return '-'
    mean = statistics.fmean(values)
    if form == _METRIC and abs(mean) >= _LARGE:
        form = '.3g'
    if len(set(values)) < 2:
        return format(mean, form)
    return f'{mean:{form}} ± {statistics.stdev(values):{form}}'


def _interval(difference: Difference | None) -> str:
    if difference is None:
        return '-'
    form = '+.4f' if abs(difference.mean) < _LARGE else '+.3g'
    if difference.interval is None:
        return format(difference.mean, form)
    low, high = difference.interval
    return f'{difference.mean:{form}} ({low:{form}} to {high:{form}})'


def _speed_up(difference: Difference | None) -> str:
    """Writes a difference of logarithms as how many times faster it is."""
    if difference is None:
        return '-'
    mean = f'{math.exp(-difference.mean):.2f}'
    if difference.interval is None:
        return mean
    low, high = (_ratio(-x) for x in reversed(difference.interval))
    return f'{mean} ({low} to {high})'


def _ratio(logarithm):
    """Writes a ratio that may be too large to compute."""
    return f'{math.exp(min(max(logarithm, -99.0), 99.0)):.3g}'
