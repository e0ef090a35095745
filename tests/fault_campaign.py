"""Injects faults into runs of the commands and counts what becomes of them.

  python tests/fault_campaign.py                      all of it; many minutes
  python tests/fault_campaign.py --kills=3 --parts=kills,signals
  python tests/fault_campaign.py --parts=kinds --kills=200

A fault is survived where the command says in one sentence what is wrong, or
goes on to the same weights, bit for bit, as a run without the fault. It is lost
where there is a traceback, or another model and no word about it.
"""

import collections
import functools
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence

import odd_machines
import running_commands
from absl import flags
from damages import (
    DAMAGES,
    KINDS,
    REPORTS,
    USES,
    judge,
    list_files,
    pattern_of,
    use,
)
from running_commands import Process, is_sentence, run, weights

from tfcharrnn import commands, startup, train

FLAGS = flags.FlagValues()
flags.DEFINE_integer('kills', 30, 'Moments to kill at.', flag_values=FLAGS)
flags.DEFINE_integer(
    'worker_kills', 20, 'The same, of one of two workers.', flag_values=FLAGS
)
flags.DEFINE_integer(
    'sizes', 20, 'Random bytes at which a disk is full.', flag_values=FLAGS
)
flags.DEFINE_list(
    'parts',
    [
        'kills',
        'kinds',
        'workers',
        'signals',
        'disk',
        'full_disks',
        'machines',
        'others',
        'damages',
    ],
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
    '--eval_every=50',
)
# Samples are slow: they are made where they, or their events, are damaged.
NO_SAMPLES = '--sample_every=0'
LONG = (*SETTINGS, NO_SAMPLES, '--save_every=5', '--steps=500')
SHORT = (*SETTINGS, NO_SAMPLES, '--save_every=10')
# Runs that remember more than weights; each on its machine.
LINES = ('--lines', '--curriculum=easiest:rarity,competence=0.1@200')
KINDS_OF_RUNS = {
    'length': ('sound', '--curriculum=length:3@150,6@300,10'),
    'easiest': ('sound', *LINES),
    'bandit': ('sound', '--curriculum=bandit:prediction,play.txt,b.txt'),
    'rollbacks': ('poisoned', '--on_nonfinite=rollback'),
    'averages': ('sound', '--average=0.9'),
}
SAMPLES = ('--sample_every=20', '--sample_length=9', '--temperatures=1')
LIMIT = 20_000  # Bytes; a checkpoint of this model has more.


def write_texts() -> None:
    """Writes the texts that runs are trained on."""
    pathlib.Path('play.txt').write_text(running_commands.make_text())
    pathlib.Path('b.txt').write_text(running_commands.make_text(seed=2))


@functools.cache
def undisturbed(machine: str = 'sound', *more: str) -> str:
    """Trains a long run without a fault; returns a hash of its weights."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_commands.in_folder(folder),
    ):
        write_texts()
        with odd_machines.MACHINES[machine]():
            status, _, err = run(train, *LONG, *more, '--model_dir=undisturbed')
        if status:
            raise RuntimeError(err)
        return weights('undisturbed')


class Campaign:
    """Faults, one after the other, in a folder of their own.

    Attributes:
        results: For each kind of fault, how often each outcome was.
        damaged: The same for each file that was damaged.
        lost: A line for each fault that was not survived.
    """

    def __init__(self, folder: str, seed: int = 0):
        """Takes where to work, and the seed of moments and places."""
        os.chdir(folder)
        write_texts()
        self.results = collections.defaultdict(collections.Counter)
        self.damaged = collections.defaultdict(collections.Counter)
        self.lost: list[str] = []
        self._draw = random.Random(seed)

    def __str__(self) -> str:
        tables = {'fault': self.results, 'damaged file': self.damaged}
        lines = []
        for title, table in tables.items():
            lines += [f'{title:28} {"outcome":24} times'] if table else []
            lines += [
                f'{kind:28} {outcome:24} {count:5}'
                for kind, outcomes in table.items()
                for outcome, count in sorted(outcomes.items())
            ]
        return '\n'.join(lines)

    def kills(self, number: int, kind: str = 'kill -9', *more: str) -> None:
        """Kills runs at random moments; every second one while it saves.

        Args:
            number: How many kills.
            kind: The row of the table.
            more: The machine, as in `odd_machines`, and more flags.
        """
        machine, *given = more or ('sound',)
        expected = undisturbed(machine, *given)
        arguments = (*LONG, *given)
        round_ = 0
        while number > 0:
            round_ += 1
            model_dir = f'{kind} {round_}'.replace(' ', '_')
            start = functools.partial(
                Process,
                odd_machines.train_on,
                machine,
                *arguments,
                f'--model_dir={model_dir}',
            )
            while number > 0 and self._kill(
                kind, model_dir, start, in_save=number % 2
            ):
                number -= 1
            with odd_machines.MACHINES[machine]():
                self._compare(kind, model_dir, expected, *arguments)

    def kinds(self, number: int) -> None:
        """Kills runs of each of the kinds that remember more."""
        for i, (name, more) in enumerate(KINDS_OF_RUNS.items()):
            share = len(range(i, number, len(KINDS_OF_RUNS)))
            self.kills(share, f'kill -9, {name}', *more)

    def machines(self, number: int = 2) -> None:
        """Kills runs where the clock jumps, or the file system has no locks."""
        for machine in ('jumping clock', 'no locks'):
            self.kills(number, machine, machine)

    def workers(self, number: int) -> None:
        """Kills one of two workers, and starts both again."""
        flags = (*SHORT, '--steps=60', '--save_every=5')
        kind = 'kill -9 of a worker'
        expected = None
        for i in range(number + 1):
            arguments = (*flags, f'--model_dir=workers_{i}')
            both = running_commands.start_workers(*arguments)
            if i:
                self._wait_for_save(both[0], f'workers_{i}')
                time.sleep(self._draw.uniform(0.0, 0.5))
                both[i % 2].kill()
                said = [worker.communicate()[1] for worker in both]
                left = both[1 - i % 2]
                fine = left.returncode in (0, 1)
                if not fine or 'Traceback' in ''.join(said):
                    self._note(kind, 'lost', f'{left.returncode}: {said}')
                both = running_commands.start_workers(*arguments)
            said = [worker.communicate()[1] for worker in both]
            same = all(worker.returncode == 0 for worker in both)
            found = weights(f'workers_{i}') if same else str(said)
            expected = expected or found
            if i:
                same = found == expected
                self._note(kind, 'same weights' if same else 'lost', found)
            elif not same:
                raise RuntimeError(found)

    def full_disks(self, number: int) -> None:
        """Fills a disk at random bytes of a save."""
        self.disk([self._draw.randrange(LIMIT) for _ in range(number)])

    def _kill(self, kind, model_dir, start, in_save):
        """Starts and kills a run; returns False if it was done before."""
        process = start()
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
                self._note(kind, 'lost', f'{model_dir}: {err}')
            return False
        left = any(pathlib.Path(model_dir).glob('**/ckpt-*_temp'))
        self._note(kind, 'in a save' if left else 'between saves')
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
        expected = undisturbed()
        for number in (signal.SIGINT, signal.SIGTERM):
            for times in (1, 2):
                name = f'{signal.Signals(number).name} {times} times'
                model_dir = name.replace(' ', '_')
                process = running_commands.start(
                    *LONG, f'--model_dir={model_dir}'
                )
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
        before = weights('small')
        for size in sizes:
            name = 'file-size limit'
            shutil.copytree('small', 'full', dirs_exist_ok=True)
            process = running_commands.start(
                '--model_dir=full', '--steps=40', limit=size
            )
            _, err = process.communicate()
            # AutoGraph, too, wants to write, and warns in several lines.
            last = ''.join(err.splitlines()[-1:])
            clear = is_sentence(last) and 'Traceback' not in err
            if process.returncode != 1 or not clear:
                self._note(name, 'lost', f'{size}: {err}')
            elif weights('full') != before:
                self._note(name, 'lost', f'{size}: not as it was before')
            else:
                self._compare(name, 'full', expected, '--steps=40')
            shutil.rmtree('full')

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
        process = running_commands.start(*LONG, '--model_dir=used')
        self._wait_for_save(process, 'used')
        self._expect_error('in use', 'Another process', '--model_dir=used')
        process.kill()
        process.communicate()
        expected = undisturbed()
        self._compare('in use', 'used', expected)

    def damages(
        self, names: Sequence[str] = (), kinds: Sequence[str] = KINDS
    ) -> None:
        """Damages every file of a run in turn, and then uses the run."""
        self._train('damaged', *SHORT, *SAMPLES, '--steps=20')
        pathlib.Path('other.txt').write_text(
            running_commands.make_text(seed=1)[::-1]
        )
        other = ('--corpus=other.txt', '--seed=1', '--steps=20')
        self._train('other', *SHORT, *SAMPLES, *other)
        expected = {kind: use(kind, 'damaged')[1] for kind in (*USES,)[1:]}
        expected['train'] = self._train('more', *SHORT, '--steps=30')
        for name in list_files('damaged'):
            for damage in kinds:
                if not names or name in names:
                    self._damage(name, damage, expected)

    def _damage(self, name, damage, expected):
        for kind in USES:
            only_for = {'best': name.startswith('best/')}
            only_for['evaluate'] = name == 'run.flags'
            if not only_for.get(kind, True):
                continue
            self._copy_damaged(name, damage)
            # Samples are slow, so only where they are what is damaged.
            with_samples = pattern_of(name) in REPORTS and kind == 'train'
            result = use(kind, 'hurt', *(SAMPLES if with_samples else ()))
            outcome = judge(kind, name, result, result[1] == expected[kind])
            details = f'{name}, {damage}, {kind}: {result}'
            self._note(f'{damage} file', outcome, details)
            self.damaged[pattern_of(name)][outcome] += 1

    def _copy_damaged(self, name, damage):
        shutil.rmtree('hurt', ignore_errors=True)
        shutil.copytree('damaged', 'hurt')
        path = pathlib.Path('hurt', name)
        if damage == 'deleted':
            path.unlink()
        elif damage == "another run's":
            [source] = pathlib.Path('other').glob(pattern_of(name))
            shutil.copy(source, path)
        else:
            path.write_bytes(DAMAGES[damage](path.read_bytes(), self._draw))

    def _expect_error(self, kind, part, *arguments):
        status, _, err = run(train, *arguments)
        fine = status == 1 and is_sentence(err) and part in err
        self._note(kind, 'a clear error' if fine else 'lost', err)

    def _train(self, model_dir, *arguments):
        """Trains without a fault; returns a hash of the weights."""
        status, err = self._go(f'--model_dir={model_dir}', *arguments)
        if status:
            raise RuntimeError(err)
        return weights(model_dir)

    def _go(self, *arguments):
        """Trains here, with as many threads as in another process."""
        status, _, err = run(train, *arguments)
        return status, err

    def _compare(self, kind, model_dir, expected, *arguments):
        """Lets a run go on to its end, and compares the weights."""
        arguments = arguments or LONG
        status, err = self._go(f'--model_dir={model_dir}', *arguments)
        same = not status and weights(model_dir) == expected
        details = f'status {status}, other weights {not same}. {err}'
        self._note(kind, 'same weights' if same else 'lost', details)

    def _note(self, kind, outcome, details=''):
        self.results[kind][outcome] += 1
        if outcome == 'lost':
            self.lost.append(f'{kind}: {details.strip()}')


def main() -> None:
    """Runs the parts, prints a table, and fails if something was lost."""
    startup.set_threads()
    startup.import_tensorflow().get_logger().setLevel('ERROR')
    # A campaign that is told to end tells what it has found so far.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = {
        'kills': [FLAGS.kills],
        'kinds': [FLAGS.kills],
        'workers': [FLAGS.worker_kills],
        'full_disks': [FLAGS.sizes],
        'damages': [FLAGS.files],
    }
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
