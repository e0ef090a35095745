r"""Trains variants over several seeds, and says whether they differ.

  python -m tfcharrnn.experiment --corpus=bard.txt --epochs=4 --seeds=0,1,2 \
      --model_dir=runs/lengths --target_loss=1.6 --variant=plain: \
      --variant='growing: --curriculum=length:25@1000,50@3000,100'

A variant is a name and the flags in which it differs. All other flags are
those of `python -m tfcharrnn.train`, and hold for all variants. That command
makes each run, in MODEL_DIR/NAME/SEED; what it says is in MODEL_DIR/NAME/
SEED.log. Started again, the experiment goes on where it stopped; with more
seeds or variants, it adds their runs. A run that fails leaves the others.

All variants train on the same number of characters, whatever the length of
their rows: --epochs is a budget in characters. (--steps is one in updates.)
Lines that a curriculum draws count as lines of mean length; the table has the
true numbers, and differences at equal characters.
Runs of the same seed have the same initial weights and, where the variants
allow it, the same data in the same order, so variants are compared with the
first one seed by seed. Each interval is the 95 % interval of Student's t.

Runs go side by side, one on each core. A run rounds differently with another
number of threads, so resume an experiment with the same --jobs.

The results are in MODEL_DIR: table.txt, table.md, table.csv, runs.csv (a line
for each run), report.html (all of it in one file, with flags and samples) and,
if matplotlib is installed, figure.png: pip install 'tfcharrnn[plots]'. The
HParams tab of TensorBoard shows them, too, if that is installed.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys

from absl import flags

from tfcharrnn import commands, fields
from tfcharrnn.comparing import comparison, figure, jobs, report
from tfcharrnn.config import RunConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentConfig(RunConfig):
    """What all runs have in common, and how they are made and compared."""

    seeds: tuple[int, ...] = fields.wholes(
        (0, 1, 2), 'The seeds of each variant.', low=0
    )
    jobs: int | None = fields.whole(
        None,
        'How many runs go side by side; each has its share of the cores. '
        'Default: one for each core.',
    )
    target_loss: float | None = fields.number(
        None,
        'Also compares how many characters and seconds it takes to reach this '
        'validation loss.',
        above=0.0,
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if self.seed:  # A run.flags has that one.
            raise ValueError(
                f'`seed` is {self.seed}, but is that of a single run: give '
                '`seeds`.'
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(
                f'`seeds` is {",".join(map(str, self.seeds))}, but must be '
                'different numbers.'
            )
        if not self.validates:
            raise ValueError(
                'There would be nothing to compare: give a `valid_fraction` '
                'and an `eval_every` above 0.'
            )
        if self.corpus == '-':
            raise ValueError(
                '`corpus` is -, but each run reads the text anew: give a file.'
            )
        super().check_together()


FLAGS = commands.define(ExperimentConfig)
flags.DEFINE_multi_string(
    'variant',
    [],
    'NAME: FLAGS, as in "small: --rnn_units=64"; once for each variant. The '
    'first is the control.',
    flag_values=FLAGS,
)
# What a run does not know.
_OWN = tuple(
    name
    for name in fields.settings_of(ExperimentConfig)
    if name not in fields.settings_of(RunConfig)
)
# What is the same for all variants, or is set for each run.
_NOT_IN_VARIANTS = (
    *('seed', 'model_dir', 'overwrite', 'epochs', 'steps'),
    *('valid_fraction', 'test_fraction'),
)
# What may change where variants have flags of their own.
_OF_ALL = (
    *('corpus', 'model_dir', 'overwrite', 'seed'),
    *('valid_fraction', 'eval_every', *_OWN),
)


def main() -> None:
    """Makes all runs that are not finished, and reports."""
    given = commands.given(FLAGS)
    variants = _read_variants(given.pop('variant', []))
    config = ExperimentConfig(**{k: given[k] for k in _OF_ALL if k in given})
    for name in ('seed', 'model_dir', *_OWN):
        given.pop(name, None)
    for name, arguments in variants.items():  # All, before the first is made.
        for seed in config.seeds:
            _check_run(name, {**given, **_parse(name, arguments), 'seed': seed})
    common = fields.as_flags(RunConfig, given)
    missing = _train(config, _make_jobs(config, common, variants))
    found = comparison.read(
        config.folder,
        variants,
        config.seeds,
        missing=missing,
        target=config.target_loss,
    )
    text, paths = report.write(
        config.folder, found, flags=common, variants=variants
    )
    print(f'\n{text}')
    if not figure.can_draw():
        print("For the figure: pip install 'tfcharrnn[plots]'")
    print(f'Written {", ".join(map(str, paths))}')
    if found.missing:
        (name, seed), *_ = found.missing
        number = len(variants) * len(config.seeds)
        log = config.folder / name / f'{seed}.log'
        raise ValueError(
            f'Only {number - len(found.missing)} of {number} runs can be '
            f"compared: see the table and '{log}'. The same command tries the "
            'others again.'
        )


def _make_jobs(config, common, variants):
    """Makes a job of each run, by variant and seed; seeds come in turn."""
    result = {}
    for seed in config.seeds:  # So that a part of them can be compared.
        for name, arguments in variants.items():
            folder = config.folder / name / str(seed)
            run = f'--seed={seed}', f'--model_dir={folder}'
            program = sys.executable, '-m', 'tfcharrnn.train'
            result[name, seed] = jobs.Job(
                f'{name}, seed {seed}',
                [*program, *common, *arguments, *run],
                folder.with_name(f'{seed}.log'),
            )
    return result


def _train(config, all_jobs):
    """Makes the runs; returns why some are missing, by variant and seed."""
    cores = jobs.count_cores()
    num_jobs = min(config.jobs or cores, len(all_jobs))
    print(f'{len(all_jobs)} runs, {num_jobs} at a time', flush=True)

    def tell(job, status):
        end = '\r\x1b[K' if sys.stderr.isatty() else ''  # Over the bar.
        what = f'failed: {job.error()}' if status else 'done'
        print(f'{end}{job.name}: {what}', flush=True)

    ended = jobs.run(
        list(all_jobs.values()),
        num_jobs,
        variables=jobs.environment(max(1, cores // num_jobs)),
        on_end=tell,
        report=commands.ProgressBar('Training'),
    )
    if ended.signal is not None:
        but = ', but without --overwrite' if config.overwrite else ''
        print(f'Stopped. To go on, start the same command again{but}.')
        sys.exit(128 + ended.signal)
    return {
        key: f'{job.error() or "it wrote nothing"} (status {status})'
        for key, job in all_jobs.items()
        if (status := ended.statuses[job.name])
    }


def _read_variants(texts):
    """Returns {name: flags}, each flag as --name=value."""
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
            arguments = shlex.split(rest)
        except ValueError as error:
            raise fields.SettingError(
                f'In the variant {name!r}: {error}.'
            ) from error
        variants[name] = _checked(name, arguments)
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


def _checked(name, arguments):
    """Returns the flags of a variant as --name=value, if they are a run's."""
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
    return fields.as_flags(RunConfig, given)


if __name__ == '__main__':
    commands.run(main, FLAGS)
