"""Report: all files that a comparison is written to."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import pathlib
import platform
import re
from collections.abc import Mapping, Sequence

from tfcharrnn import __version__, files
from tfcharrnn.benchmarking.report import processor
from tfcharrnn.comparing import figure, hparams, page, tables
from tfcharrnn.comparing.comparison import Comparison

TABLE = 'table.txt'
FIGURE = 'figure.png'
PAGE = 'report.html'
_PACKAGES = 'tensorflow', 'keras', 'numpy'


def write(
    folder: str | os.PathLike,
    comparison: Comparison,
    *,
    flags: Sequence[str] = (),
    variants: Mapping[str, Sequence[str]] | None = None,
) -> tuple[str, list[pathlib.Path]]:
    """Writes a comparison in every form.

        table.txt table.md table.csv   means, differences, conclusions
        runs.csv                       a line for each run
        figure.png                     curves and differences, with matplotlib
        report.html                    all of it in one file, with the flags,
                                       the machine and samples
        VARIANT/SEED/hparams           for TensorBoard, if that is installed

    Args:
        folder: Holds the runs, in `VARIANT/SEED`, and gets the files.
        comparison: The runs.
        flags: Those of all variants, for the page.
        variants: The flags of each variant.

    Returns:
        The text of `table.txt`, and the paths of all files but those of
        TensorBoard.

    Raises:
        OSError: If a file cannot be written.
    """
    folder = pathlib.Path(folder)
    text = tables.as_text(comparison)
    contents = {
        TABLE: text,
        'table.md': tables.as_markdown(comparison),
        'table.csv': tables.as_csv(comparison),
        'runs.csv': tables.runs_as_csv(comparison),
    }
    drawn = None
    if figure.can_draw():
        with files.replacing(folder / FIGURE) as file:
            figure.draw(comparison, file)
        drawn = (folder / FIGURE).read_bytes()
    contents[PAGE] = page.as_html(
        comparison,
        flags=flags,
        variants=variants,
        samples=_samples(folder, comparison),
        machine=machine(),
        figure=drawn,
    )
    for name, content in contents.items():
        files.write(folder / name, content)
    if hparams.can_write():
        hparams.write(folder, comparison, variants or {})
    names = [*contents, FIGURE] if drawn else [*contents]
    return text, [folder / name for name in names]


def machine() -> dict[str, str]:
    """Returns what runs here are measured on and with, by name.

    >>> machine()['tfcharrnn'] == tfcharrnn.__version__
    True
    """
    result = {
        'processor': processor(),
        'cores': str(os.cpu_count()),
        'system': f'{platform.system()} {platform.release()}',
        'Python': platform.python_version(),
        'tfcharrnn': __version__,
    }
    for name in _PACKAGES:
        # Not those of another name, such as tensorflow-cpu.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            result[name] = importlib.metadata.version(name)
    return result


def _samples(folder, comparison):
    """Returns the last samples of the first run of each variant."""
    result = {}
    for name, runs in comparison.curves.items():
        for seed in list(runs)[:1]:
            path = folder / name / str(seed) / 'samples.txt'
            text = ''
            if path.exists():
                text = path.read_text('utf-8', 'replace')
            heads = list(re.finditer(r'^==> step (\d+),', text, re.MULTILINE))
            # All temperatures of the last step.
            last = [head for head in heads if head[1] == heads[-1][1]]
            if last:
                result[f'{name}, seed {seed}'] = text[last[0].start() :]
    return result
