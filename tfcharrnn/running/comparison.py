"""Comparison: runs of several variants and seeds, side by side."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence

from tfcharrnn import files

TABLE = 'table.txt'
FIGURE = 'figure.png'


@dataclasses.dataclass
class Curve:
    """What a run has measured, evaluation by evaluation.

    Attributes:
        steps: The steps of the evaluations.
        num_chars: Characters trained on up to each.
        seconds: Time of training up to each, evaluations left out.
        values: The metric at each.
    """

    steps: list[int]
    num_chars: list[int]
    seconds: list[float]
    values: list[float]


def report(
    folder: pathlib.Path,
    variants: Iterable[str],
    seeds: Sequence[int],
    *,
    metric: str = 'valid_loss',
) -> tuple[str, pathlib.Path | None]:
    """Compares runs in a table, and in a figure if matplotlib is installed.

    Args:
        folder: Holds `VARIANT/SEED/metrics.jsonl`, as `JsonLines` writes it;
            `table.txt` and `figure.png` are written there.
        variants: Their names.
        seeds: The seeds of each.
        metric: What is compared.

    Returns:
        The table, a line for each variant, and the path of the figure; None
        without matplotlib.

    Raises:
        ValueError: If a run has not measured this, or its file is damaged.
    """
    curves = {
        name: [_read(folder / name / str(seed), metric) for seed in seeds]
        for name in variants
    }
    table = _table(curves, metric)
    files.write(folder / TABLE, table)
    if importlib.util.find_spec('matplotlib') is None:
        return table, None
    _draw(curves, metric, folder / FIGURE)
    return table, folder / FIGURE


def _read(model_dir, metric):
    """Reads the curve of a run from its metrics."""
    curve = Curve([], [], [], [])
    num_chars, seconds = 0, 0.0
    path = model_dir / 'metrics.jsonl'
    try:
        for line in map(json.loads, path.read_text('utf-8').splitlines()):
            num_chars += line['num_chars']
            seconds += line['num_chars'] / line['chars_per_second']
            if line.get(metric) is not None:
                curve.steps.append(line['step'])
                curve.num_chars.append(num_chars)
                curve.seconds.append(seconds)
                curve.values.append(line[metric])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"'{path}' is damaged: {error!r}. Delete '{model_dir}', and start "
            'the same command again.'
        ) from error
    if not curve.values:
        raise ValueError(
            f"The run in '{model_dir}' has not measured {metric!r}. Give an "
            '--eval_every and a --valid_fraction above 0.'
        )
    return curve


def _table(curves: Mapping[str, Sequence[Curve]], metric: str) -> str:
    """Returns a line for each variant."""
    best = max if 'accuracy' in metric else min
    columns = {
        f'{metric}, last': (lambda c: c.values[-1], '.4f'),
        'best': (lambda c: best(c.values), '.4f'),
        'characters': (lambda c: c.num_chars[-1], ',.0f'),
        'seconds': (lambda c: c.seconds[-1], ',.1f'),
    }
    rows = [['variant', 'runs', *columns]]
    for name, runs in curves.items():
        rows.append([name, str(len(runs))])
        for value, form in columns.values():
            rows[-1].append(_mean_and_deviation(map(value, runs), form))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append('  '.join(cell.ljust(width) for cell, width in cells))
    return ''.join(f'{line.rstrip()}\n' for line in lines)


def _mean_and_deviation(values, form):
    values = list(values)
    mean = format(statistics.fmean(values), form)
    if len(set(values)) < 2:
        return mean
    return f'{mean} ± {statistics.stdev(values):{form}}'


def _draw(curves, metric, path):
    """Draws the metric against characters and time, with its spread."""
    from matplotlib import figure  # pyright: ignore[reportMissingImports]

    drawing = figure.Figure(figsize=(10, 4), layout='constrained')
    by_chars, by_time = drawing.subplots(1, 2, sharey=True)
    for name, runs in curves.items():
        length = min(len(run.values) for run in runs)
        values = [run.values[:length] for run in runs]
        mean, low, high = (
            [f(at) for at in zip(*values, strict=True)]
            for f in (statistics.fmean, min, max)
        )
        for axes, field in ((by_chars, 'num_chars'), (by_time, 'seconds')):
            places = [getattr(run, field)[:length] for run in runs]
            x = [statistics.fmean(at) for at in zip(*places, strict=True)]
            axes.plot(x, mean, label=name)
            axes.fill_between(x, low, high, alpha=0.2)
    by_chars.set(xlabel='characters', ylabel=metric)
    by_time.set(xlabel='seconds of training')
    by_chars.legend()
    drawing.savefig(path, dpi=150)
