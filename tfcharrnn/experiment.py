r"""Trains variants over several seeds, and compares them.

  python -m tfcharrnn.experiment --corpus=bard.txt --epochs=4 --seeds=0,1,2 \
      --model_dir=runs/lengths --variant=plain: \
      --variant='growing: --curriculum=length:25@1000,50@3000,100'

A variant is a name and the flags in which it differs; all other flags are
those of `python -m tfcharrnn.train`, for all variants. Every run is one of
that command, in MODEL_DIR/NAME/SEED. Started again, the experiment goes on
where it stopped, and with more seeds or variants it makes those as well.

All see the same characters: --epochs is a budget in characters, whatever the
length of the rows. (--steps is one in updates instead.) In MODEL_DIR are then
table.txt, with means and standard deviations over the seeds, and figure.png,
if matplotlib is installed: pip install 'tfcharrnn[plots]'.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import json
import pathlib
import re
import shlex
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

from absl import flags

from tfcharrnn import commands, files, settings

FLAGS = copy.deepcopy(settings.FLAGS)
flags.adopt_module_key_flags(settings, FLAGS)
flags.DEFINE_list(
    'seeds', ['0', '1', '2'], 'The seeds of each variant.', flag_values=FLAGS
)
flags.DEFINE_multi_string(
    'variant',
    [],
    'NAME: FLAGS, as in "small: --rnn_units=64"; once for each variant.',
    flag_values=FLAGS,
)
# What is the same for all variants, or is set for each run.
_NOT_IN_VARIANTS = (
    *('seed', 'model_dir', 'overwrite', 'epochs', 'steps'),
    *('valid_fraction', 'test_fraction'),
)
_OWN = (
    *('seeds', 'variant', 'seed', 'model_dir', 'flagfile'),
    *('verbosity', 'v'),
)


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


def main() -> None:
    """Makes all runs that are not finished, and reports."""
    variants = _read_variants(FLAGS.variant)
    seeds = _read_seeds(FLAGS.seeds)
    if FLAGS.seed != FLAGS['seed'].default:  # A run.flags has that one.
        raise ValueError(
            f'--seed={FLAGS.seed} is of a single run: give --seeds.'
        )
    if not settings.validates(FLAGS):
        raise ValueError(
            'There would be nothing to compare: give a --valid_fraction, and '
            'an --eval_every, above 0.'
        )
    folder = pathlib.Path(
        FLAGS.model_dir or settings.default_model_dir(FLAGS.corpus)
    )
    given = [name for name in FLAGS if FLAGS[name].present]
    common = [FLAGS[name].serialize() for name in given if name not in _OWN]
    for name, arguments in variants.items():
        for seed in seeds:
            print(f'=== {name}, seed {seed}', flush=True)
            run = f'--seed={seed}', f'--model_dir={folder / name / str(seed)}'
            _train([*common, *arguments, *run])
    report(folder, variants, seeds)


def report(
    folder: pathlib.Path,
    variants: Iterable[str],
    seeds: Sequence[int],
    metric: str = 'valid_loss',
) -> None:
    """Prints and writes the table, and draws the figure if it can.

    Args:
        folder: Holds `VARIANT/SEED/metrics.jsonl`, as `JsonLines` writes it.
        variants: Their names.
        seeds: The seeds of each.
        metric: What is compared.

    Raises:
        ValueError: If runs have not measured this.
    """
    curves = {
        name: [_read(folder / name / str(seed), metric) for seed in seeds]
        for name in variants
    }
    table = _table(curves, metric)
    files.write(folder / 'table.txt', table)
    print(f'\n{table}')
    if importlib.util.find_spec('matplotlib') is None:
        print("For the figure: pip install 'tfcharrnn[plots]'")
    else:
        _draw(curves, metric, folder / 'figure.png')
        print(f'Drawn {folder / "figure.png"}')


def _read_variants(texts):
    """Returns {name: flags}."""
    variants = {}
    for text in texts:
        name, colon, rest = text.partition(':')
        name = name.strip()
        if not colon or not re.fullmatch(r'[\w.-]*\w', name):
            raise ValueError(
                'A --variant is a name, a colon and flags, as in '
                f"--variant='small: --rnn_units=64', but got {text!r}."
            )
        if name in variants:
            raise ValueError(f'There are two variants {name!r}: rename one.')
        arguments = shlex.split(rest)
        _check(name, arguments)
        variants[name] = arguments
    if not variants:
        raise ValueError(
            'There is nothing to compare: give a --variant for each, such as '
            "--variant=plain: --variant='small: --rnn_units=64'."
        )
    return variants


def _check(name, arguments):
    """Raises if the flags of a variant are none of those of a run."""
    values = copy.deepcopy(settings.FLAGS)
    try:
        values.unparse_flags()
        for flag in values:
            values[flag].present = 0
        rest = values(['', *arguments])[1:]
    except flags.Error as error:
        raise ValueError(f'In the variant {name!r}: {error}') from error
    if rest:
        raise ValueError(
            f'In the variant {name!r}, {rest[0]!r} is no flag: write --name='
            'value.'
        )
    fixed = [flag for flag in _NOT_IN_VARIANTS if values[flag].present]
    if fixed:
        raise ValueError(
            f'In the variant {name!r}, --{fixed[0]} is the same for all '
            'variants: give it to the experiment.'
        )
    if values.eval_every == 0:
        raise ValueError(
            f'In the variant {name!r}, --eval_every is 0: without evaluations '
            'there is nothing to compare.'
        )


def _read_seeds(texts):
    try:
        return [int(text) for text in texts]
    except ValueError:
        raise ValueError(
            f'--seeds are whole numbers with commas between them, as in '
            f'0,1,2, but got {",".join(texts)!r}.'
        ) from None


def _train(arguments):
    """Trains in a process of its own, which gets the signals that we get."""
    command = [sys.executable, '-m', 'tfcharrnn.train', *arguments]
    process = None

    def pass_on(number, _):
        # Ctrl-C reaches all processes of a terminal by itself.
        if process is not None and number == signal.SIGTERM:
            process.send_signal(number)

    numbers = signal.SIGINT, signal.SIGTERM
    usual = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        process = subprocess.Popen(command)
        status = process.wait()
    finally:
        for number in numbers:
            signal.signal(number, usual[number])
    if not status:
        return
    status = status if status > 0 else 128 - status
    if status > 128:  # By a signal.
        but = ', but without --overwrite' if FLAGS.overwrite else ''
        print(f'Stopped. To go on, start the same command again{but}.')
    sys.exit(status)


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
    from matplotlib import figure

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


if __name__ == '__main__':
    commands.run(main, FLAGS)
