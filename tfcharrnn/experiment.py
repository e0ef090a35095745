r"""Trains variants over several seeds, and compares them.

  python -m tfcharrnn.experiment --corpus=bard.txt --epochs=4 --seeds=0,1,2 \
      --model_dir=runs/lengths --variant=plain: \
      --variant='growing: --curriculum=length:25@1000,50@3000,100'

A variant is a name and the flags in which it differs. All other flags are
those of `python -m tfcharrnn.train`, and hold for all variants. That command
makes each run, in MODEL_DIR/NAME/SEED. Started again, the experiment goes on
where it stopped; with more seeds or variants, it adds their runs.

All variants train on the same number of characters, whatever the length of
their rows: --epochs is a budget in characters. (--steps is one in updates.)
The results are MODEL_DIR/table.txt, with means and standard deviations over
the seeds, and MODEL_DIR/figure.png, if matplotlib is installed:
pip install 'tfcharrnn[plots]'.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys

from absl import flags

from tfcharrnn import commands, fields
from tfcharrnn.config import RunConfig
from tfcharrnn.running import comparison

FLAGS = commands.define(RunConfig)
flags.DEFINE_list(
    'seeds', ['0', '1', '2'], 'The seeds of each variant.', flag_values=FLAGS
)
flags.DEFINE_multi_string(
    'variant',
    [],
    'NAME: FLAGS, as in "small: --rnn_units=64"; once for each variant.',
    flag_values=FLAGS,
)
# What the experiment itself needs to know.
_OF_ALL = (
    *('corpus', 'model_dir', 'overwrite', 'seed'),
    *('valid_fraction', 'eval_every'),
)
# What is the same for all variants, or is set for each run.
_NOT_IN_VARIANTS = (
    *('seed', 'model_dir', 'overwrite', 'epochs', 'steps'),
    *('valid_fraction', 'test_fraction'),
)


def main() -> None:
    """Makes all runs that are not finished, and reports."""
    variants = _read_variants(FLAGS.variant)
    seeds = _read_seeds(FLAGS.seeds)
    given = commands.given(FLAGS)
    given.pop('seeds', None)
    given.pop('variant', None)
    config = RunConfig(**{k: given[k] for k in _OF_ALL if k in given})
    if given.pop('seed', 0):  # A run.flags has that one.
        raise fields.SettingError(
            f'`seed` is {config.seed}, but is that of a single run: give '
            '`seeds`.'
        )
    if not config.validates:
        raise fields.SettingError(
            'There would be nothing to compare: give a `valid_fraction` and an '
            '`eval_every` above 0.'
        )
    given.pop('model_dir', None)
    for name, arguments in variants.items():  # All, before the first is made.
        for seed in seeds:
            _check_run(name, {**given, **_parse(name, arguments), 'seed': seed})
    common = fields.as_flags(RunConfig, given)
    for name, arguments in variants.items():
        for seed in seeds:
            print(f'=== {name}, seed {seed}', flush=True)
            folder = config.folder / name / str(seed)
            run = f'--seed={seed}', f'--model_dir={folder}'
            _train([*common, *arguments, *run], config.overwrite)
    table, figure = comparison.report(config.folder, variants, seeds)
    print(f'\n{table}')
    if figure is None:
        print("For the figure: pip install 'tfcharrnn[plots]'")
    else:
        print(f'Drawn {figure}')


def _read_variants(texts):
    """Returns {name: flags}."""
    variants = {}
    for text in texts:
        name, colon, rest = text.partition(':')
        name = name.strip()
        if not colon or not re.fullmatch(r'[\w.-]*\w', name):
            raise fields.SettingError(
                'A --variant is a name, a colon and flags, as in '
                f"--variant='small: --rnn_units=64', but got {text!r}."
            )
        if name in variants:
            raise fields.SettingError(
                f'There are two variants {name!r}: rename one.'
            )
        try:
            variants[name] = shlex.split(rest)
        except ValueError as error:
            raise fields.SettingError(
                f'In the variant {name!r}: {error}.'
            ) from error
        _check(name, variants[name])
    if not variants:
        raise fields.SettingError(
            'There is nothing to compare: give a --variant for each, such as '
            "--variant=plain: --variant='small: --rnn_units=64'."
        )
    return variants


def _check_run(name, given):
    """Raises if the settings of a variant contradict those of all."""
    try:
        RunConfig(**given)
    except fields.SettingError as error:
        raise fields.SettingError(
            f'In the variant {name!r}: {error}'
        ) from error


def _parse(name, arguments):
    """Returns the flags of a variant by name, if they are those of a run."""
    values = commands.define(RunConfig)
    try:
        rest = values(['', *arguments])[1:]
    except flags.Error as error:
        raise fields.SettingError(
            f'In the variant {name!r}: {commands.sentence(error)}'
        ) from error
    if rest:
        raise fields.SettingError(
            f'In the variant {name!r}, {rest[0]!r} is not a flag: write '
            '--name=value.'
        )
    return commands.given(values)


def _check(name, arguments):
    """Raises if the flags of a variant are not those of a run."""
    given = _parse(name, arguments)
    fixed = [flag for flag in _NOT_IN_VARIANTS if flag in given]
    if fixed:
        raise fields.SettingError(
            f'In the variant {name!r}, --{fixed[0]} is the same for all '
            'variants: give it to the experiment.'
        )
    if given.get('eval_every') == 0:
        raise fields.SettingError(
            f'In the variant {name!r}, --eval_every is 0: without evaluations '
            'there is nothing to compare.'
        )


def _read_seeds(texts):
    try:
        return [int(text) for text in texts]
    except ValueError:
        raise fields.SettingError(
            f'--seeds are whole numbers with commas between them, as in '
            f'0,1,2, but got {",".join(texts)!r}.'
        ) from None


def _train(arguments, overwrite):
    """Trains in another process, to which signals are passed on."""
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
        but = ', but without --overwrite' if overwrite else ''
        print(f'Stopped. To go on, start the same command again{but}.')
    sys.exit(status)


if __name__ == '__main__':
    commands.run(main, FLAGS)
