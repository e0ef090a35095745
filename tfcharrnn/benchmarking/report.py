"""Figures of a benchmark: a JSON-able report, and its tables."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tfcharrnn import __version__
from tfcharrnn.benchmarking import timing
from tfcharrnn.benchmarking.contenders import OURS
from tfcharrnn.benchmarking.settings import Settings, Task
from tfcharrnn.benchmarking.timing import Contender
from tfcharrnn.kinds import CELLS


def benchmark(
    settings: Settings, show: Callable[[str], Any] | None = None
) -> dict[str, Any]:
    """Measures the speed of this machine.

    >>> settings = Settings(what=('corpus',), corpus_size=100, rounds=1)
    >>> report = benchmark(settings)
    >>> [result['title'] for result in report['results']]
    ['corpus of 100']

    Args:
        settings: What to measure.
        show: Called with a line of progress after each round.

    Returns:
        A JSON-able report; `format_tables` writes it for people.

    Raises:
        ValueError: If there is nothing to measure, or all contenders failed.
    """
    peers = [p for p in settings.peers if importlib.util.find_spec(p)]
    left_out = {p: 'not installed' for p in settings.peers if p not in peers}
    groups = timing.groups(settings, peers)
    timing.measure(groups, settings.rounds, show)
    return summarize(settings, groups, left_out)


def summarize(
    settings: Settings,
    groups: Iterable[Sequence[Contender]],
    left_out: dict[str, str],
) -> dict[str, Any]:
    """Makes a report of contenders that have been measured.

    Args:
        settings: What was measured.
        groups: The contenders. Those with an `error` are left out.
        left_out: Why others were left out, by name.

    Returns:
        See `benchmark`.

    Raises:
        ValueError: If no contender is left.
    """
    versions: dict[str, Any] = {OURS: __version__}
    results = []
    for group in groups:
        failed = {f'{c.title}: {c}': c.error for c in group if c.error}
        left_out = {**left_out, **failed}
        group = [c for c in group if not c.error]
        for contender in group:
            versions |= contender.replies[0][0]
            results.append(result(contender, group))
    if not results:
        raise ValueError(f'Nothing was measured. {left_out or ""}'.rstrip())
    return {
        'processor': processor(),
        'cores': os.cpu_count(),
        'versions': versions,
        'flags': dataclasses.asdict(settings),
        'results': results,
        'left_out': left_out,
    }


def result(contender: Contender, group: Sequence[Contender]) -> dict[str, Any]:
    """Returns the figures of a contender, and how they compare with ours.

    Args:
        contender: A contender that has been measured.
        group: The contenders of the same rounds, itself among them.
    """
    s, what, speeds = contender.task, contender.what, contender.speeds
    figures: dict[str, Any] = {}
    ratios = {}
    if what == 'train':
        chars = s.batch_size * s.seq_length
        figures['ms_per_step'] = _summary(1e3 * chars / x for x in speeds)
        figures['chars_per_second'] = statistics.median(speeds)
    elif what == 'input':
        figures['ms_per_batch'] = _summary(1e3 / x for x in speeds)
    elif what == 'peak':
        figures['gflops'] = _summary(x / 1e9 for x in speeds)
    else:
        figures['chars_per_second'] = _summary(speeds)
    for other in group:
        pairs = list(zip(speeds, other.speeds, strict=True))
        if what == 'train' and str(other) == f'product {s.precision}':
            flops = flops_per_char(s)
            figures['peak_share'] = _summary(flops * a / b for a, b in pairs)
        if what == other.what and other.framework == OURS:
            ratios[str(other)] = _summary(b / a for a, b in pairs)
    _, figures['first_seconds'], _ = contender.replies[1]
    if memory := contender.replies[-1][2]:
        figures['memory_gb'] = memory / 1e9
    ratios = ratios if contender.framework != OURS else {}
    return {
        'title': contender.title,
        'name': str(contender),
        'what': what,
        'cell': s.cell,
        'precision': s.precision,
        'figures': figures,
        'ours_is_faster': ratios,
        'rounds': speeds,
    }


def processor() -> str:
    """Returns the name of this machine's processor."""
    with contextlib.suppress(OSError):
        text = pathlib.Path('/proc/cpuinfo').read_text('utf-8')
        if name := re.search(r'^model name\s*: (.*)$', text, re.MULTILINE):
            return name[1]
    return platform.processor() or platform.machine()


def flops_per_char(s: Task) -> int:
    """Counts the operations of training on one character.

        6 * (sum over layers of gates * U * (I + U) + U * V)

    For each weight of a product 2 operations forward and 4 backward; U units,
    I inputs (the embedding's size, then U), V characters.

    >>> flops_per_char(Task(cell='gru'))
    23992320
    """
    inputs = [s.embedding_dim] + [s.rnn_units] * (s.num_layers - 1)
    gates = CELLS[s.cell].num_gates * s.rnn_units
    weights = sum(gates * (size + s.rnn_units) for size in inputs)
    return 6 * (weights + s.rnn_units * s.vocab_size)


def format_tables(report: dict[str, Any]) -> str:
    """Writes a report as tables."""
    versions = ', '.join(f'{k} {v}' for k, v in report['versions'].items())
    lines = [f'{report["processor"]}, {report["cores"]} cores', versions]
    for title in dict.fromkeys(r['title'] for r in report['results']):
        table = [r for r in report['results'] if r['title'] == title]
        lines += _align(title, table, 'figures')
        lines += _align('ours is faster, times', table, 'ours_is_faster')
    lines += [f'Left out: {k}: {v}' for k, v in report['left_out'].items()]
    return '\n'.join(lines)


def format_figure(value: float | dict[str, float]) -> str:
    """Writes three digits; a summary as median (lowest-highest).

    >>> format_figure(0.01234), format_figure(12345.6)
    ('0.0123', '12,346')
    >>> format_figure({'median': 2.0, 'min': 1.0, 'max': 4.0})
    '2.00 (1.00-4.00)'
    """
    if isinstance(value, dict):
        median, low, high = map(format_figure, value.values())
        return f'{median} ({low}-{high})'
    return f'{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}'


def _summary(values):
    values = list(values)
    median = statistics.median(values)
    return {'median': median, 'min': min(values), 'max': max(values)}


def _align(title, results, part):
    """Writes one part of the results as a table, if any result has it."""
    rows = {r['name']: r[part] for r in results if r[part]}
    columns = [[title, *rows]]
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        cells = (
            format_figure(row[name]) if name in row else ''
            for row in rows.values()
        )
        columns.append([name, *cells])
    widths = [max(map(len, column)) for column in columns]
    columns[0] = [text.ljust(widths[0]) for text in columns[0]]
    lines = [
        '  '.join(map(str.rjust, row, widths))
        for row in zip(*columns, strict=True)
    ]
    return ['', *lines] if rows else []
