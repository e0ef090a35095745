r"""Trains a character model on a text.

  python -m tfcharrnn.train --corpus=shakespeare.txt --model_dir=runs/bard

Started again with the same --model_dir, it goes on where it stopped; settings
that are not given again are those of the run. Ctrl-C finishes the step and
saves. All settings of a run are in MODEL_DIR/run.flags, so this repeats it:

  python -m tfcharrnn.train --flagfile=runs/bard/run.flags --model_dir=runs/2

MODEL_DIR holds checkpoints, from which `python -m tfcharrnn.generate` writes
text, metrics.jsonl, samples.txt, and events for TensorBoard where that is
installed (tensorboard --logdir=runs).
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys

from tfcharrnn import commands, fields, startup
from tfcharrnn.config import RunConfig

FLAGS = commands.define(RunConfig)


def main() -> None:
    """Trains, or goes on training, as the flags say."""
    startup.set_threads()
    tf = startup.import_tensorflow()
    from tfcharrnn.running import run as running

    config = running.settle(commands.given(FLAGS))
    tf.random.set_seed(config.seed)  # Initial weights are drawn from it.
    bar = commands.ProgressBar('Reading a large text')
    run = running.Run(config, report=bar)
    with _silent_unless(run.is_chief), run.opened():
        _describe(run)
        _train(run)
        _report(run)


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
