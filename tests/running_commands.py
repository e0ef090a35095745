"""Commands run in tests: here, or in a process of their own.

A process is forked from a server that has imported TensorFlow, so that it
starts at once; it knows nothing of what this process did before.
"""

import atexit
import contextlib
import functools
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import socket
import sys
import tempfile
import threading
import traceback
import types
from importlib import metadata
from unittest import mock

from absl.testing import flagsaver

import tfcharrnn
from tfcharrnn import commands

ROOT = pathlib.Path(tfcharrnn.__file__).parent.parent
CORPUS = 'play.txt'
# The smallest run in which everything happens, most of it twice.
TINY = (
    '--batch_size=4',
    '--seq_length=10',
    '--rnn_units=4',
    '--embedding_dim=2',
    '--precision=float32',
    '--eval_every=10',
    '--save_every=10',
    '--sample_every=20',
    '--sample_length=12',
    '--temperatures=0.5,1',
)
# Without samples, which take the longest.
QUICK = (*TINY, '--sample_every=0', '--optimizer=sgd')
TEN = (*QUICK, '--steps=10')
PROMPT = 'a\n '


def run(
    module: types.ModuleType,
    *arguments: str,
    stdin: str | None = '',
    stdout: io.TextIOBase | None = None,
) -> tuple[int, str, str]:
    """Runs a command here.

    Args:
        module: Its module, such as `tfcharrnn.train`.
        arguments: Its flags.
        stdin: What it reads there; None for what is there already.
        stdout: Where it writes; None for a new stream.

    Returns:
        The status, what it wrote (to a new stream) and its errors. A mistake
        of ours is a status of 1 with its traceback.
    """
    return run_main(
        module.main,
        *arguments,
        flag_values=module.FLAGS,
        stdin=stdin,
        stdout=stdout,
    )


def run_main(main, *arguments, flag_values, stdin='', stdout=None):
    """Does the same with a function and its flags."""
    stdout, stderr = stdout or io.StringIO(), io.StringIO()
    reader = sys.stdin
    if stdin is not None:
        reader = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    saved = flagsaver.save_flag_values(flag_values)
    status = None
    with (
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        mock.patch('sys.stdin', reader),
    ):
        try:
            commands.run(main, flag_values, ['command', *arguments])
        except SystemExit as exit_:
            status = exit_.code
        except Exception:
            status = 1
            stderr.write(traceback.format_exc())
        finally:
            flagsaver.restore_flag_values(saved, flag_values)
    out = stdout.getvalue() if isinstance(stdout, io.StringIO) else ''
    return status, out, stderr.getvalue()


def is_sentence(err: str) -> bool:
    """Whether it is one line that says what is wrong, after warnings."""
    lines = [x for x in err.splitlines() if not x.startswith('Warning: ')]
    return len(lines) == 1 and lines[0].startswith('Error: ')


def without_logs(err: str) -> str:
    """Leaves out what TensorFlow before 2.19 logs of XLA at any log level."""
    number = tuple(map(int, metadata.version('tensorflow').split('.')[:2]))
    if number >= (2, 19):
        return err
    logged = re.compile(r'I0000 00:00:|WARNING: All log messages before absl')
    lines = err.splitlines(keepends=True)
    return ''.join(x for x in lines if not logged.match(x))


@functools.cache
def _server():
    """Returns what starts processes in which TensorFlow is imported."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['tensorflow', 'keras', 'tensorboard'])
    return context


class Process:
    """What `subprocess.Popen` would be for a command, but sooner there."""

    def __init__(self, main, *arguments, limit=None, environment=None):
        """Starts it in the folder that is the current one.

        Args:
            main: A function of a module, called with the arguments.
            arguments: Strings.
            limit: The size of the largest file that it may write, in bytes.
            environment: More variables.
        """
        self._texts, self._readers, ends = {}, [], []
        for name in ('out', 'err'):
            read, write = multiprocessing.Pipe(duplex=False)
            reader = threading.Thread(target=self._read, args=(name, read))
            self._readers.append(reader)
            ends.append(write)
        self._process = _server().Process(
            target=_run_in_process,
            args=(main, arguments, os.getcwd(), environment, limit, *ends),
        )
        self._process.start()
        for end in ends:
            end.close()
        for reader in self._readers:
            reader.start()

    @property
    def pid(self):
        """The number of the process."""
        return self._process.pid

    @property
    def returncode(self):
        """Its status; negative: by a signal; None while it runs."""
        return self._process.exitcode

    def poll(self):
        """Returns `returncode`."""
        return self.returncode

    def send_signal(self, number):
        """Sends a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self._process.pid, number)

    def kill(self):
        """Kills it."""
        self._process.kill()

    def communicate(self, timeout=None):
        """Waits for its end; returns its output and its errors."""
        self._process.join(timeout)
        for reader in self._readers:
            reader.join(timeout)
        if self.returncode is None:
            raise TimeoutError('The process goes on and on.')
        return self._texts['out'], without_logs(self._texts['err'])

    def _read(self, name, connection):
        with os.fdopen(os.dup(connection.fileno()), 'rb') as file:
            connection.close()
            self._texts[name] = file.read().decode('utf-8', 'replace')


def start(*arguments: str, **options) -> Process:
    """Starts `train` in a process of its own."""
    return Process(run_command, 'train', *arguments, **options)


def start_workers(*arguments: str) -> list[Process]:
    """Starts two processes of `train` that train together."""
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(('localhost', 0))
        names = [f'localhost:{x.getsockname()[1]}' for x in (first, second)]
    configs = (
        {
            'cluster': {'worker': names},
            'task': {'type': 'worker', 'index': index},
        }
        for index in range(2)
    )
    return [
        start(
            *arguments,
            '--strategy=multi_worker_mirrored',
            environment={'TF_CONFIG': json.dumps(config)},
        )
        for config in configs
    ]


def run_command(name, *arguments):
    """Runs a command by its name, and exits; for a `Process`."""
    module = importlib.import_module(f'tfcharrnn.{name}')
    commands.run(module.main, module.FLAGS, [name, *arguments])


def _run_in_process(main, arguments, folder, environment, limit, *ends):
    os.chdir(folder)
    os.environ.update({'CUDA_VISIBLE_DEVICES': '-1', **(environment or {})})
    for number, end in enumerate(ends, 1):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout, sys.stderr = (
        open(number, 'w', encoding='utf-8', closefd=False)  # noqa: SIM115
        for number in (1, 2)
    )
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        main(*arguments)
    finally:
        # Such a process ends without them.
        atexit._run_exitfuncs()


def make_text(num_lines: int = 80, seed: int = 0) -> str:
    """Returns a play of a few KB."""
    draw = random.Random(seed)
    words = 'to be or not that is the question quick brown fox dog'.split()
    lines = (' '.join(draw.choices(words, k=8)) for _ in range(num_lines))
    return '\n'.join(lines) + '\n'


def contents(folder: str | os.PathLike) -> dict[str, bytes | bool]:
    """Returns {path: bytes} of all that is in a folder."""
    return {
        str(path.relative_to(folder)): path.is_file() and path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob('*'))
    }


def weights(model_dir: str | os.PathLike, checkpoint: str | None = None) -> str:
    """Returns a hash of all weights of a run."""
    model, _ = tfcharrnn.load_model(model_dir, checkpoint)
    data = b''.join(v.numpy().tobytes() for v in model.trainable_variables)
    return hashlib.sha256(data).hexdigest()


def metrics(path: str | os.PathLike) -> list[dict[str, float]]:
    """Reads the metrics of a run, or a file of them; times aside."""
    path = pathlib.Path(path)
    path = path / 'metrics.jsonl' if path.is_dir() else path
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line['chars_per_second']
    return lines


def steps(model_dir: str | os.PathLike) -> list[int]:
    """Returns the steps at which a run reported metrics."""
    return [line['step'] for line in metrics(model_dir)]


def flags_text(model_dir: str | os.PathLike) -> str:
    """Reads `run.flags`, its checksum aside."""
    text = pathlib.Path(model_dir, 'run.flags').read_text()
    return text[: text.rindex('# sha256: ')]


def samples(model_dir: str | os.PathLike) -> str:
    """Reads the samples of a run."""
    return pathlib.Path(model_dir, 'samples.txt').read_text('utf-8')


@functools.cache
def finished() -> tuple[str, tuple[int, str, str]]:
    """Makes a run of 20 steps; for tests that copy it, not for each anew.

    Returns:
        A folder with the text and the run, 'bard'; and how the command ended.
    """
    from tfcharrnn import train

    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with in_folder(folder):
        pathlib.Path(CORPUS).write_text(make_text())
        result = run(
            train,
            f'--corpus={CORPUS}',
            '--model_dir=bard',
            '--steps=20',
            f'--prompt={PROMPT}',
            *TINY,
        )
    return folder, result


@contextlib.contextmanager
def in_folder(folder: str | os.PathLike):
    """As contextlib.chdir, which Python 3.10 lacks."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
