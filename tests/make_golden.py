"""Makes a golden run of this version, for `golden_test.py` of later ones.

  python tests/make_golden.py                            tests/golden/0.2/gru

The run is killed right after the save of step 30, as by kill -9. Beside it are
the metrics of the same run undisturbed, and a text that it writes. Commit all
of it, and never make it anew: it shows what this version wrote.
"""

import os
import pathlib
import shutil
import signal
import tempfile
from unittest import mock

import running_commands
from absl import flags
from running_commands import in_folder, run

import tfcharrnn
from tfcharrnn import commands, generate, startup, train
from tfcharrnn.training.checkpointer import Checkpointer

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    'name',
    None,
    'VERSION/NAME of the run. Default: that of this version, and gru.',
    flag_values=FLAGS,
)

GOLDEN = pathlib.Path(__file__).parent / 'golden'
TEXT = GOLDEN / 'text.txt'
# How `generate` writes the text.
WRITE = '--prompt=the ', '--length=80', '--temperature=0.5', '--seed=1'
# Besides what the runs of version 0.1 have: words, layers that are normalized,
# a tied embedding, penalties, a schedule of dropout, early stopping.
SETTINGS = (
    '--corpus=text.txt',
    '--level=word',
    '--num_words=150',
    '--lowercase',
    '--valid_fraction=0.2',
    '--batch_size=4',
    '--seq_length=10',
    '--shift',
    '--num_layers=2',
    '--rnn_units=8',
    '--embedding_dim=8',
    '--layer_norm',
    '--residual',
    '--tied',
    '--dropout=layers:0.3,weights:0.1',
    '--dropout_schedule=linear:0:1:40',
    '--activation_penalty=0.01',
    '--slowness_penalty=0.01',
    '--precision=float32',
    '--optimizer=nadam',
    '--lr_schedule=0.02@25,0.01',
    '--average=0.9',
    '--early_stopping=5',
    '--steps=60',
    '--eval_every=20',
    '--save_every=10',
    '--sample_every=0',
    '--max_to_keep=1',
)
KILLED_AT = 30
# Nothing is read of them, or they say where the run was.
_LEFT_OUT = 'train', 'valid', '.lock'


def make_killed(name: str) -> None:
    """Starts a run in a process that is killed right after a save."""
    process = running_commands.Process(_train_until_killed, name)
    _, err = process.communicate()
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError(f'It was not killed: {process.returncode}, {err}')


def _train_until_killed(name):
    save = Checkpointer.save

    def save_and_die(self):
        path = save(self)
        if self.trainer.step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return path

    with mock.patch.object(Checkpointer, 'save', save_and_die):
        run(train, f'--model_dir={name}', *SETTINGS)


def main() -> None:
    """Makes the run, its metrics and its text."""
    version = '.'.join(tfcharrnn.__version__.split('.')[:2])
    goal = GOLDEN / (FLAGS.name or f'{version}/gru')
    if goal.exists():
        raise ValueError(f"'{goal}' is there already: it shows what was.")
    startup.set_threads()
    startup.import_tensorflow().get_logger().setLevel('ERROR')
    name = goal.name
    with tempfile.TemporaryDirectory() as folder, in_folder(folder):
        shutil.copy(TEXT, 'text.txt')
        make_killed(name)
        for path in map(pathlib.Path(name).joinpath, _LEFT_OUT):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        status, _, err = run(train, '--model_dir=undisturbed', *SETTINGS)
        if status:
            raise ValueError(err)
        status, text, err = run(generate, f'--model_dir={name}', *WRITE)
        if status:
            raise ValueError(err)
        goal.parent.mkdir(exist_ok=True)
        shutil.copy('undisturbed/metrics.jsonl', f'{goal}.jsonl')
        pathlib.Path(f'{goal}.txt').write_text(text, 'utf-8')
        shutil.copytree(name, goal)
    size = sum(x.stat().st_size for x in goal.rglob('*') if x.is_file())
    print(f'Made {goal}, {size:,} bytes')


if __name__ == '__main__':
    commands.run(main, FLAGS)
