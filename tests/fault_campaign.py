"""Injects faults into runs of the commands and counts what becomes of them.

  python tests/fault_campaign.py                      all of it; many minutes
  python tests/fault_campaign.py --kills=3 --parts=kills,signals

A fault is survived where the command says in one sentence what is wrong, or
goes on to the same weights, bit for bit, as a run without the fault. It is lost
where there is a traceback, or another model and no word about it.
"""

import collections
import contextlib
import io
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Sequence

import train_test
from absl import flags
from absl.testing import flagsaver

from tfcharrnn import commands, generate, train

FLAGS = flags.FlagValues()
flags.DEFINE_integer('kills', 30, 'Moments to kill at.', flag_values=FLAGS)
flags.DEFINE_list(
    'parts',
    ['kills', 'signals', 'disk', 'others', 'damages'],
    'What to do.',
    flag_values=FLAGS,
)
flags.DEFINE_list(
    'files', [], 'Of a run, to damage. Default: all.', flag_values=FLAGS
)
flags.DEFINE_integer('seed', 0, 'Of moments and places.', flag_values=FLAGS)

# Small, but a save takes long enough to be killed in the middle of.
SETTINGS = (
    '--corpus=play.txt',
    '--batch_size=4',
    '--seq_length=10',
    '--rnn_units=32',
    '--embedding_dim=4',
    '--precision=float32',
    '--sample_every=0',
    '--eval_every=50',
)
LONG = (*SETTINGS, '--save_every=5', '--steps=1500')
SHORT = (
    *SETTINGS,
    '--save_every=10',
    '--sample_every=10',
    '--sample_length=9',
    '--temperatures=1',
)
LIMIT = 20_000  # Bytes; a checkpoint of this model has more.


def flip(content, draw):
    """Flips one bit."""
    flipped = bytearray(content)
    flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(flipped)


DAMAGES = {
    'truncated': lambda content, draw: content[: len(content) // 2],
    'emptied': lambda content, draw: b'',
    'bit flipped': flip,
    'replaced': lambda content, draw: b'to be or not to be\n' * 99,
}


def run(command: types.ModuleType, *arguments: str) -> tuple[int, str, str]:
    """Runs a command here; returns its status, output and errors."""
    stdout, stderr = io.StringIO(), io.StringIO()
    saved = flagsaver.save_flag_values(command.FLAGS)
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            commands.run(command.main, command.FLAGS, ['command', *arguments])
        except SystemExit as exit_:
            return exit_.code, stdout.getvalue(), stderr.getvalue()
        finally:
            flagsaver.restore_flag_values(saved, command.FLAGS)


def is_sentence(err: str) -> bool:
    """Whether it is one line that says what is wrong, after warnings."""
    lines = [x for x in err.splitlines() if not x.startswith('Warning: ')]
    return len(lines) == 1 and lines[0].startswith('Error: ')


class Campaign:
    """Faults, one after the other, in a folder of their own.

    Attributes:
        results: For each kind of fault, how often each outcome was.
        lost: A line for each fault that was not survived.
    """

    def __init__(self, folder: str, seed: int = 0):
        """Takes where to work, and the seed of moments and places."""
        os.chdir(folder)
        pathlib.Path('play.txt').write_text(train_test.make_text())
        self.results = collections.defaultdict(collections.Counter)
        self.lost: list[str] = []
        self._draw = random.Random(seed)

    def __str__(self) -> str:
        lines = [f'{"fault":20} {"outcome":24} times']
        lines += [
            f'{kind:20} {outcome:24} {count:5}'
            for kind, outcomes in self.results.items()
            for outcome, count in sorted(outcomes.items())
        ]
        return '\n'.join(lines)

    def kills(self, number: int) -> None:
        """Kills runs at random moments; every second one while it saves."""
        expected = self._train('undisturbed', *LONG)
        round_ = 0
        while number > 0:
            round_ += 1
            model_dir = f'killed_{round_}'
            while number > 0 and self._kill(model_dir, in_save=number % 2):
                number -= 1
            self._compare('kill -9', model_dir, expected)

    def _kill(self, model_dir, in_save):
        """Starts and kills a run; returns False if it was done before."""
        process = train_test.start(*LONG, f'--model_dir={model_dir}')
        first = self._wait_for_save(process, model_dir)
        if first:
            time.sleep(self._draw.uniform(0.0, 0.4))
        while first and in_save and process.poll() is None:
            if any(pathlib.Path(model_dir).glob('**/ckpt-*_temp')):
                break
        process.kill()
        out, err = process.communicate()
        if process.returncode != -signal.SIGKILL:
            if process.returncode or 'Traceback' in err:
                self._note('kill -9', 'lost', f'{model_dir}: {err}')
            return False
        left = any(pathlib.Path(model_dir).glob('**/ckpt-*_temp'))
        self._note('kill -9', 'in a save' if left else 'between saves')
        return True

    def _wait_for_save(self, process, model_dir):
        """Waits until a run saves; returns False if it ends before."""
        path = pathlib.Path(model_dir, 'checkpoint')
        before = path.read_bytes() if path.exists() else b''
        while process.poll() is None:
            if path.exists() and path.read_bytes() != before:
                return True
            time.sleep(0.005)
        return False

    def signals(self) -> None:
        """Ends runs by signals, once and twice, and lets them go on."""
        expected = self._train('undisturbed', *LONG)
        for number in (signal.SIGINT, signal.SIGTERM):
            for times in (1, 2):
                name = f'{signal.Signals(number).name} {times} times'
                model_dir = name.replace(' ', '_')
                process = train_test.start(*LONG, f'--model_dir={model_dir}')
                self._wait_for_save(process, model_dir)
                for _ in range(times):
                    process.send_signal(number)
                _, err = process.communicate()
                fine = process.returncode in (128 + number, -number)
                if not fine or 'Traceback' in err:
                    self._note(name, 'lost', f'{process.returncode}: {err}')
                self._compare(name, model_dir, expected)

    def disk(self, sizes: Sequence[int] = (LIMIT, 3_000, 100, 0)) -> None:
        """Lets files grow no more in the middle of a run."""
        self._train('small', *SHORT, '--steps=20')
        expected = self._train('whole', *SHORT, '--steps=40')
        before = train_test.weights('small')
        for size in sizes:
            name = 'file-size limit'
            shutil.copytree('small', 'full', dirs_exist_ok=True)
            done = self._limited(size, '--model_dir=full', '--steps=40')
            # AutoGraph, too, wants to write, and warns in several lines.
            last = ''.join(done.stderr.splitlines()[-1:])
            clear = is_sentence(last) and 'Traceback' not in done.stderr
            if done.returncode != 1 or not clear:
                self._note(name, 'lost', f'{size}: {done.stderr}')
            elif train_test.weights('full') != before:
                self._note(name, 'lost', f'{size}: not as it was before')
            else:
                self._compare(name, 'full', expected, '--steps=40')
            shutil.rmtree('full')

    def _limited(self, size, *arguments):
        quiet = {k: v for k, v in os.environ.items() if k[:3] != 'TF_'}
        return subprocess.run(
            [sys.executable, '-m', 'tfcharrnn.train', *arguments],
            env={**quiet, 'PYTHONPATH': str(train_test.ROOT)},
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (size, size)
            ),
            capture_output=True,
            text=True,
        )

    def others(self) -> None:
        """A directory that cannot be written, and one that is in use."""
        forbidden = pathlib.Path('forbidden')
        forbidden.mkdir()
        forbidden.chmod(0o555)
        if os.access(forbidden, os.W_OK):  # Nothing is forbidden to root.
            forbidden = pathlib.Path('/proc/forbidden')
        self._expect_error(
            'read-only', forbidden.name, *SHORT, f'--model_dir={forbidden}/run'
        )
        process = train_test.start(*LONG, '--model_dir=used')
        self._wait_for_save(process, 'used')
        self._expect_error('in use', 'Another process', '--model_dir=used')
        process.kill()
        process.communicate()
        expected = self._train('undisturbed', *LONG)
        self._compare('in use', 'used', expected)

    def damages(self, names: Sequence[str] = ()) -> None:
        """Damages every file of a run in turn, then trains and generates."""
        self._train('damaged', *SHORT, '--steps=20')
        expected = self._train('more', *SHORT, '--steps=30')
        self._text = self._generate('damaged')[1]
        other = '--corpus=other.txt'
        pathlib.Path('other.txt').write_text(train_test.make_text(seed=1)[::-1])
        self._train('other', *SHORT, '--steps=20', '--seed=1', other)
        for path in sorted(pathlib.Path('damaged').rglob('*')):
            name = str(path.relative_to('damaged'))
            if path.is_file() and (not names or name in names):
                for damage in (*DAMAGES, "another run's", 'deleted'):
                    self._damage(name, damage, expected)

    def _damage(self, name, damage, expected):
        kind = f'{damage} file'
        path = pathlib.Path('hurt', name)
        for command in (train, generate):
            shutil.rmtree('hurt', ignore_errors=True)
            shutil.copytree('damaged', 'hurt')
            if damage == 'deleted':
                path.unlink()
            elif damage == "another run's":
                source = pathlib.Path('other', name)
                if source.is_file():
                    shutil.copy(source, path)
            elif content := path.read_bytes():
                path.write_bytes(DAMAGES[damage](content, self._draw))
            if command is train:
                result = run(train, '--model_dir=hurt', '--steps=30')
                same = not result[0] and train_test.weights('hurt') == expected
            else:
                result = self._generate('hurt')
                same = result[1] == self._text
            outcome = self._judge(name, result, same)
            self._note(kind, outcome, f'{name}, {damage}: {result}')

    def _judge(self, name, result, same):
        """Names what became of a damaged file."""
        status, _, err = result
        # A checkpoint is named without its endings.
        named = re.sub(r'\.(index|data-.*)$', '', name) in err
        if status == 0 and same:
            return 'went back, said so' if 'Warning' in err else 'did no harm'
        if status == 0 and named and 'Warning' in err:
            return 'went back, said so'
        if status == 1 and is_sentence(err) and named:
            return 'an error that names it'
        return 'lost'

    def _generate(self, model_dir):
        return run(
            generate, f'--model_dir={model_dir}', '--seed=1', '--length=20'
        )

    def _expect_error(self, kind, part, *arguments):
        status, _, err = run(train, *arguments)
        fine = status == 1 and is_sentence(err) and part in err
        self._note(kind, 'a clear error' if fine else 'lost', err)

    def _train(self, model_dir, *arguments):
        """Trains without a fault; returns a hash of the weights."""
        status, err = self._go(f'--model_dir={model_dir}', *arguments)
        if status:
            raise RuntimeError(err)
        return train_test.weights(model_dir)

    def _go(self, *arguments):
        """Trains in a process of its own: one with as many threads."""
        process = train_test.start(*arguments)
        _, err = process.communicate()
        return process.returncode, err

    def _compare(self, kind, model_dir, expected, *arguments):
        """Lets a run go on to its end, and compares the weights."""
        arguments = arguments or LONG
        status, err = self._go(f'--model_dir={model_dir}', *arguments)
        same = not status and train_test.weights(model_dir) == expected
        details = f'status {status}, other weights {not same}. {err}'
        self._note(kind, 'same weights' if same else 'lost', details)

    def _note(self, kind, outcome, details=''):
        self.results[kind][outcome] += 1
        if outcome == 'lost':
            self.lost.append(f'{kind}: {details.strip()}')


def main() -> None:
    """Runs the parts, prints a table, and fails if something was lost."""
    commands.import_tensorflow().get_logger().setLevel('ERROR')
    # Who is told to end tells what there is so far.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = {'kills': [FLAGS.kills], 'damages': [FLAGS.files]}
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(folder, FLAGS.seed)
        try:
            for part in FLAGS.parts:
                getattr(campaign, part)(*arguments.get(part, ()))
        finally:
            os.chdir('/')
            print(campaign)
    if campaign.lost:
        raise ValueError('\n'.join(['Lost:', *campaign.lost]))


if __name__ == '__main__':
    commands.run(main, FLAGS)
