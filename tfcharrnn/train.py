r"""Trains a character model on a text.

  python -m tfcharrnn.train --corpus=shakespeare.txt --model_dir=runs/bard

Started again with the same --model_dir, it goes on where it stopped; settings
that are not given again are those of the run. Ctrl-C finishes the step and
saves. All settings of a run are in MODEL_DIR/run.flags, so this repeats it:

  python -m tfcharrnn.train --flagfile=runs/bard/run.flags --model_dir=runs/2

MODEL_DIR holds checkpoints, from which `python -m tfcharrnn.generate` writes
text, metrics.jsonl, samples.txt, and events for TensorBoard where that is
installed (tensorboard --logdir=runs).

--members=2 trains two models side by side, which differ in their seeds, in
MODEL_DIR/member-1 and so on. They share the cores of the machine, and are one
model for the other commands: a mixture, which predicts better than each.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import sys
from typing import Any

from tfcharrnn import commands, fields, startup
from tfcharrnn.comparing import jobs
from tfcharrnn.config import RunConfig
from tfcharrnn.running import mixture_config

# What members hold out to fit their weights on, unless a flag says otherwise.
_FIT_FRACTION = 0.02
# What says where the run is.
_NAMES = 'corpus', 'model_dir'


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """A training run, or several of a mixture."""

    members: int = fields.whole(
        1,
        'Trains so many models of a mixture side by side. Unless '
        f'--fit_fraction is given, it is {_FIT_FRACTION} for them.',
    )


FLAGS = commands.define(TrainConfig)


def main() -> None:
    """Trains, or goes on training, as the flags say."""
    given = commands.given(FLAGS)
    num_members = given.pop('members', 1)
    folder = RunConfig(**{k: given[k] for k in _NAMES if k in given}).folder
    if num_members > 1:
        _train_members(num_members, folder, given)
        return
    if found := mixture_config.members_in(folder):
        raise fields.SettingError(
            f"'{folder}' holds {len(found)} members of a mixture: give "
            f'--members={len(found)} to go on with them, or another '
            '`model_dir`.'
        )
    startup.set_threads()
    tf = startup.import_tensorflow()
    from tfcharrnn.running import run as running

    config = running.settle(given)
    tf.random.set_seed(config.seed)  # Initial weights are drawn from it.
    bar = commands.ProgressBar('Reading a large text')
    run = running.Run(config, report=bar)
    with _silent_unless(run.is_chief), run.opened():
        _describe(run)
        _train(run)
        _report(run)


def _train_members(number, folder, given) -> None:
    """Trains the members of a mixture, each in another process."""
    config = RunConfig(**given)
    if config.strategy != 'none':
        raise fields.SettingError(
            f'`strategy` is {config.strategy}, but members share one machine: '
            'leave out one of the two.'
        )
    if config.corpus == '-':
        raise fields.SettingError(
            '`corpus` is -, but each member reads the text anew: give a file.'
        )
    if os.path.exists(folder / 'model.json'):
        raise fields.SettingError(
            f"'{folder}' holds a run, not members of a mixture: give another "
            '`model_dir`.'
        )
    if len(mixture_config.members_in(folder)) > number:
        raise fields.SettingError(
            f"'{folder}' holds more than {number} members: give their number, "
            'or another `model_dir`.'
        )
    all_jobs = []
    for i, settings in enumerate(_settings_of_members(number, folder, given)):
        command = [sys.executable, '-m', 'tfcharrnn.train']
        command += fields.as_flags(RunConfig, settings)
        log = mixture_config.member(folder, i + 1).with_suffix('.log')
        all_jobs.append(jobs.Job(f'Member {i + 1}', command, log))
    cores = jobs.count_cores()
    at_once = min(cores, number)
    print(f'{number} members, {at_once} at a time', flush=True)
    ended = jobs.run(
        all_jobs,
        at_once,
        variables=jobs.environment(max(1, cores // at_once)),
        report=commands.ProgressBar('Training'),
    )
    if ended.signal is not None:
        but = ', but without --overwrite' if config.overwrite else ''
        print(f'Stopped. To go on, start the same command again{but}.')
        sys.exit(128 + ended.signal)
    for job in all_jobs:
        if ended.statuses[job.name]:
            raise ValueError(
                f"{job.name} failed: {job.error()} All of it is in '{job.log}'."
            )
    print(
        'To measure their mixture, and with n-grams:\n'
        f'  python -m tfcharrnn.evaluate --model_dir={shlex.quote(str(folder))}'
        ' --ngram=7'
    )


def _settings_of_members(number, folder, given) -> list[dict[str, Any]]:
    """Returns what each member is told: all settings, where it begins."""
    folders = [mixture_config.member(folder, i + 1) for i in range(number)]
    overwrite = given.get('overwrite', False)
    begun = [
        i
        for i, member in enumerate(folders)
        if (member / 'run.flags').exists() and not overwrite
    ]
    own = {k: v for k, v in given.items() if k not in ('model_dir', 'seed')}
    whole, seed = own, given.get('seed', 0)
    if begun and len(begun) < number:  # One begins later, as the others did.
        startup.import_tensorflow()
        from tfcharrnn.running import settling

        first = settling.settle({**own, 'model_dir': str(folders[begun[0]])})
        whole = {**first.changed(), 'fit_fraction': first.fit_fraction}
        seed = given.get('seed', first.seed - begun[0])
    told = []
    for i, member in enumerate(folders):
        settings = dict(own)
        if i not in begun:
            settings = {'fit_fraction': _FIT_FRACTION, **whole}
        if i not in begun or 'seed' in given:  # Those have their own.
            settings['seed'] = seed + i
        told.append({**settings, 'model_dir': str(member)})
    return told


def _describe(run) -> None:
    """Says what is trained, and from where it goes on."""
    print(run.corpus)
    print(
        f'{run.model.num_parameters:,} parameters in {run.config.precision}; '
        f'{run.steps:,} steps, {run.batches_per_pass:,} to a pass'
    )
    if run.transfer is not None:
        print(run.transfer)
    if run.restored is not None:
        print(f'Going on at step {run.trainer.step:,}, from {run.restored}')


def _train(run):
    """Trains with a line that shows how far it is."""
    from tfcharrnn.training import callbacks

    unit = run.corpus.vocabulary.unit
    progress = callbacks.Progress(run.steps, unit=unit)
    outcome = run.train(progress=progress)
    if outcome.checkpoint is None:
        print(f'Nothing is left to do. {outcome.reason}')
        return
    print(f'Saved {outcome.checkpoint}')
    if outcome.reason is None:
        again = f'--model_dir={shlex.quote(str(run.config.folder))}'
        if run.config.runs_code:  # A run that goes on asks for it again.
            again += f' --curriculum={shlex.quote(run.config.curriculum)}'
        print(
            f'Stopped at step {run.trainer.step:,}. To go on:\n'
            f'  python -m tfcharrnn.train {again}'
        )
        sys.exit(128 + outcome.signal if outcome.signal else 0)
    if run.trainer.step < run.steps:
        print(outcome.reason)


def _report(run) -> None:
    """Shows the last samples, and how to write more."""
    from tfcharrnn.training import model_dir

    path = run.config.folder / model_dir.SAMPLES
    if path.exists():
        text = path.read_text('utf-8', 'replace')
        for heading in re.findall(r'^==> step \d+,', text, re.MULTILINE)[-1:]:
            print(f'\n{text[text.index(heading) :].rstrip()}\n')
    prompt = fields.escape(run.config.prompt)
    prompt = f' --prompt={shlex.quote(prompt)}' if prompt else ''
    print(
        'To write more:\n  python -m tfcharrnn.generate '
        f'--model_dir={shlex.quote(str(run.config.folder))}{prompt}'
    )


@contextlib.contextmanager
def _silent_unless(is_chief: bool):
    """Sends the standard output of the other workers nowhere."""
    if is_chief:
        yield
        return
    with open(os.devnull, 'w') as nowhere:
        with contextlib.redirect_stdout(nowhere):
            yield


if __name__ == '__main__':
    commands.run(main, FLAGS)
