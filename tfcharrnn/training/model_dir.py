"""The contents of a `model_dir`: a model that describes itself, and its run.

    model.json  vocabulary.json   what was trained
    run.flags                     with which settings
    checkpoint  ckpt-*  best/     see `training.checkpoint`
    history/                      weights of some steps, to look back at
    metrics.jsonl  samples.txt    what it measured and wrote in training
    train/  valid/                events for TensorBoard

Damage to a file is detected by

    model.json, vocabulary.json  a SHA-256 in each of them
    run.flags                    a SHA-256 in its last line
    ckpt-*.index, ckpt-*.data-*  TensorFlow's CRC-32C of each block and tensor
    a file of another model      a SHA-256 of model and vocabulary in ckpt-*
    checkpoint (the list)        a comparison with the files

If the newest checkpoint is damaged, the one before it is used, with a warning.
Any other damage is an error that names the file.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tfcharrnn import checks, fields, files
from tfcharrnn.config import HISTORY, ModelConfig, RunConfig
from tfcharrnn.kinds import CELLS
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import checkpoint as checkpoints
from tfcharrnn.training import packaged
from tfcharrnn.training.record import Record

MODEL = 'model.json'
VOCABULARY = 'vocabulary.json'
RUN_FLAGS = 'run.flags'
METRICS = 'metrics.jsonl'
SAMPLES = 'samples.txt'
BEST = 'best'
_FORMAT = 'tfcharrnn model'
_VERSION = 1
_CHECKSUM = '# sha256: '
_MAX_FLAGS = 1 << 20  # characters of `run.flags`
# What every description of a `CharRNN` has.
SIZES = 'vocab_size', 'embedding_dim', 'rnn_units', 'num_layers', 'cell'
# The files that a run writes, and that `delete_run` deletes.
_WRITTEN = (
    *(RUN_FLAGS, MODEL, VOCABULARY, METRICS, SAMPLES),
    '.*.[0-9]*.partial',
    'checkpoint',
    'ckpt-[0-9]*.index',
    'ckpt-[0-9]*.data-*',
    'best/checkpoint',
    'best/ckpt-[0-9]*.index',
    'best/ckpt-[0-9]*.data-*',
    'history/checkpoint',
    'history/ckpt-[0-9]*.index',
    'history/ckpt-[0-9]*.data-*',
    'train/events.out.tfevents.*',
    'valid/events.out.tfevents.*',
)
_FOLDERS = (BEST, HISTORY, 'train', 'valid')


def load_model(
    model_dir: str | os.PathLike,
    checkpoint: str | None = None,
    *,
    build: Callable[..., Any] = CharRNN,
) -> tuple[Any, Vocabulary]:
    """Rebuilds a trained model from its directory.

    If training averaged the weights, the model has the averages.
    Nothing in the directory is executed: it holds JSON and arrays.

    Args:
        model_dir: The directory of a `Checkpointer`; 'demo' for the model in
            the package; or a checkpoint, such as 'runs/bard/history/ckpt-500'.
        checkpoint: None or 'latest', 'best' (on validation), or the path of a
            checkpoint, such as 'runs/bard/ckpt-500'.
        build: Makes the model from its `config`. For your own cell:
            `lambda **config: CharRNN(**{**config, 'cell': MyCell})`.

    Returns:
        The model and its vocabulary.

    Raises:
        FileNotFoundError: If there is no model or no such checkpoint.
        ValueError: If a file is damaged, or belongs to another model.
    """
    model_dir, checkpoint = split(model_dir, checkpoint)
    path = description(model_dir)
    files.check_inside(model_dir)
    config = read_config(path)
    vocabulary = _load_vocabulary(model_dir)
    if config.get('vocab_size', len(vocabulary)) != len(vocabulary):
        raise ValueError(
            f"'{os.path.join(model_dir, VOCABULARY)}' has {len(vocabulary)} "
            f"characters, but the model in '{path}' has "
            f'{config["vocab_size"]}. One of them belongs to another model.'
        )

    def load(checkpoint):
        checkpoints.opened(checkpoint)
        try:
            if build is CharRNN:
                checks.complete(config, SIZES)
            _check_size(config, checkpoint)
            model = build(**config)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"'{path}' does not fit the model: {error}"
            ) from error
        digest = checkpoints.digest(config, vocabulary)
        checkpoints.load_weights(model, checkpoint, digest)
        return model

    paths = find(model_dir, checkpoint)
    _, model = checkpoints.first_good(paths, load)
    return model, vocabulary


def load_record(
    model_dir: str | os.PathLike, checkpoint: str | None = None
) -> Record:
    """Reads the `Trainer.record` in a checkpoint.

    Args:
        model_dir: As for `load_model`.
        checkpoint: As for `load_model`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is damaged.
    """
    paths = find(model_dir, checkpoint)
    return checkpoints.first_good(paths, checkpoints.read_record)[1]


def find(model_dir: str | os.PathLike, checkpoint: str | None) -> list[str]:
    """Returns paths of existing checkpoints, the first choice first.

    Args:
        model_dir: As for `load_model`.
        checkpoint: As for `load_model`.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If `model_dir` names another one.
    """
    model_dir, checkpoint = split(model_dir, checkpoint)
    if checkpoint in ('latest', BEST):
        is_best = checkpoint == BEST
        directory = os.path.join(model_dir, BEST) if is_best else str(model_dir)
        paths = checkpoints.candidates(directory)
        if not paths:
            raise FileNotFoundError(
                f"'{directory}' has no checkpoint"
                + (': nothing was validated in training.' if is_best else '.')
            )
        return paths
    if not os.path.exists(f'{checkpoint}.index'):
        raise FileNotFoundError(
            f"There is no checkpoint '{checkpoint}'. Give 'latest', 'best', or "
            f"a path, such as '{os.path.join(model_dir, 'ckpt-500')}'."
        )
    return [checkpoint]


def split(
    source: str | os.PathLike, checkpoint: str | os.PathLike | None = None
) -> tuple[pathlib.Path, str]:
    """Returns the folder of a model and a checkpoint, for `load_model`.

    Args:
        source: A `model_dir`, its folder `best`, or a checkpoint in it.
        checkpoint: As for `load_model`.
    """
    path = pathlib.Path(packaged.located(source))
    given = os.fspath(checkpoint or 'latest').removesuffix('.index')
    for folder in () if (path / MODEL).exists() else path.parents[:2]:
        if (folder / MODEL).exists():
            own = str(path).removesuffix('.index')
            own = BEST if path.name == BEST else own
            if given not in ('latest', own):
                raise ValueError(
                    f"`checkpoint` is '{given}', but `model_dir` names "
                    f"'{own}': give one of the two."
                )
            return folder, own
    return path, given


def description(model_dir: str | os.PathLike) -> str:
    """Returns the path of the `model.json` of a trained model.

    Raises:
        FileNotFoundError: If the folder has no such file.
    """
    path = os.path.join(model_dir, MODEL)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"'{os.fspath(model_dir)}' holds no trained model: it has no "
            f'{MODEL}. Give the `model_dir` that training wrote.'
        )
    return path


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """Reads a model's `config` from its `model.json`.

    Raises:
        ValueError: If the file is damaged, or made by a newer version.
    """
    return _read_model(path)['model']


def describe(
    model_dir: str | os.PathLike,
    *,
    model: Any,
    optimizer: Any,
    vocabulary: Vocabulary,
) -> None:
    """Writes `model.json` and `vocabulary.json` if they are missing."""
    os.makedirs(model_dir, exist_ok=True)
    path = os.path.join(model_dir, VOCABULARY)
    if not os.path.exists(path):
        vocabulary.save(path)
    path = os.path.join(model_dir, MODEL)
    if not os.path.exists(path):
        document = {
            'model': model.config,
            'optimizer': type(optimizer).__name__,
        }
        files.write_document(path, document, format=_FORMAT, version=_VERSION)


def check_same(
    model_dir: str | os.PathLike,
    *,
    model: Any,
    optimizer: Any,
    vocabulary: Vocabulary,
) -> None:
    """Refuses a directory that holds another model.

    Raises:
        ValueError: If architecture, optimizer or vocabulary differ; the error
            says which. Also if a file is damaged, or a link leads out.
    """
    files.check_inside(model_dir)
    differences = []
    path = os.path.join(model_dir, MODEL)
    if os.path.exists(path):
        document = _read_model(path)
        ours, theirs = dict(model.config), document['model']
        ours['optimizer'] = type(optimizer).__name__
        theirs['optimizer'] = document.get('optimizer')
        differences += [
            f'`{name}` is {theirs.get(name)!r} there and '
            f'{ours.get(name)!r} here'
            for name in sorted({*ours, *theirs})
            if ours.get(name) != theirs.get(name)
        ]
    path = os.path.join(model_dir, VOCABULARY)
    if os.path.exists(path):
        theirs = Vocabulary.load(path)
        if theirs != vocabulary:
            differences.append(_vocabulary_difference(theirs, vocabulary))
    if differences:
        raise ValueError(
            f"'{os.fspath(model_dir)}' holds another model: "
            f'{"; ".join(differences)}. Use the same settings and text, '
            'or another `model_dir`.'
        )


def has_checkpoint(model_dir: str | os.PathLike) -> bool:
    """Whether there is a checkpoint to go on from, damaged or not."""
    return any(pathlib.Path(model_dir).glob('ckpt-*.index'))


def has_settings(model_dir: str | os.PathLike) -> bool:
    """Whether there is a `run.flags`, damaged or not."""
    return os.path.exists(os.path.join(model_dir, RUN_FLAGS))


def read_settings(model_dir: str | os.PathLike) -> RunConfig:
    """Reads the settings of a run from its `run.flags`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, a link leads out, or there is a pipe.
    """
    path = pathlib.Path(model_dir, RUN_FLAGS)
    if path.exists():
        files.check_inside(model_dir)
    with open(path, encoding='utf-8', errors='replace') as file:
        text = file.read(_MAX_FLAGS + 1)
    if len(text) > _MAX_FLAGS:
        raise ValueError(
            f"'{path}' is damaged: it has more than {_MAX_FLAGS:,} characters. "
            'Restore it from a copy.'
        )
    # Not `splitlines`: a value may contain Unicode's other line ends.
    lines = text.removesuffix('\n').split('\n')
    last = lines[-1]
    if last.startswith(_CHECKSUM) and last != _sign(lines[:-1]):
        raise ValueError(
            f"'{path}' is damaged: the checksum in its last line does not "
            'match. Restore it from a copy; or, if you changed it on purpose, '
            'delete that line.'
        )
    try:
        given = fields.parse_flags(RunConfig, lines)
        if 'corpus' not in given:
            raise ValueError('it does not name the text.')
        return RunConfig(**given)
    except ValueError as error:
        raise ValueError(f"'{path}' is damaged: {error}") from error


def write_settings(model_dir: str | os.PathLike, config: RunConfig) -> None:
    """Writes all settings of a run as a flagfile that repeats it."""
    os.makedirs(model_dir, exist_ok=True)
    values = {**config.values(), 'model_dir': os.fspath(model_dir)}
    del values['overwrite']
    lines = ['# Repeat this run elsewhere: --flagfile=THIS --model_dir=OTHER']
    lines += fields.as_flags(RunConfig, values)
    text = '\n'.join([*lines, _sign(lines)]) + '\n'
    files.write(os.path.join(model_dir, RUN_FLAGS), text)


@contextlib.contextmanager
def blaming_settings(model_dir: str | os.PathLike) -> Iterator[None]:
    """Adds to an error that the settings of the run are missing or damaged.

    Raises:
        ValueError: The error from inside, with a word about `run.flags`.
    """
    try:
        yield
    except ValueError as error:
        path = pathlib.Path(model_dir, RUN_FLAGS)
        if path.exists() and f'\n{_CHECKSUM}' in path.read_text(
            'utf-8', 'replace'
        ):
            raise
        raise ValueError(
            f"{error} The cause may be that '{path}' is missing or damaged: "
            'give all settings that were given then.'
        ) from error


def delete_run(model_dir: str | os.PathLike) -> None:
    """Deletes the files that a run writes, and nothing else."""
    model_dir = pathlib.Path(model_dir)
    for pattern in _WRITTEN:
        for path in model_dir.glob(pattern):
            path.unlink()
    for name in _FOLDERS:
        with contextlib.suppress(OSError):  # It holds other files.
            (model_dir / name).rmdir()


def _load_vocabulary(model_dir) -> Vocabulary:
    vocabulary = Vocabulary.load(os.path.join(model_dir, VOCABULARY))
    # In version 0.1, only the settings said that texts were lines.
    if not vocabulary.lines and has_settings(model_dir):
        if read_settings(model_dir).has_lines:
            return vocabulary.with_lines(True)
    return vocabulary


def _read_model(path):
    document = files.read_document(
        path,
        _FORMAT,
        _VERSION,
        what='a description of a model',
        mend='Restore it from a copy, or train into another `model_dir`.',
    )
    if not isinstance(document.get('model'), dict):
        raise files.damaged(
            path,
            ValueError('it has no "model".'),
            what='a description of a model',
            mend='Restore it from a copy, or train into another `model_dir`.',
        )
    return document


def _check_size(config: Mapping[str, Any], path: str) -> None:
    """Raises if a model needs more memory than its checkpoint has bytes."""
    size = checkpoints.size_in_bytes(path)
    needed = _least_bytes(config)
    for name, value in config.items():
        if isinstance(value, int) and value > size:
            raise ValueError(
                f"`{name}` is {value:,}, but the checkpoint '{path}' has "
                f'{size:,} bytes. One of the two is damaged.'
            )
    if needed > size:
        raise ValueError(
            f"it needs {needed:,} bytes, but the checkpoint '{path}' has "
            f'{size:,}. One of the two is damaged.'
        )


def _least_bytes(config: Mapping[str, Any]) -> int:
    """Returns a lower bound of the bytes that the weights of a model take."""
    sizes = {
        name: checks.whole_number(name, config[name])
        for name in ('vocab_size', 'rnn_units', 'num_layers')
        if name in config
    }
    if len(sizes) < 3 or 'cell' not in config:
        return 0  # Not a `CharRNN`.
    if config['cell'] not in CELLS:
        return 4 * sizes['rnn_units'] * sizes['vocab_size']  # The logits.
    model = ModelConfig(
        cell=config['cell'],
        rnn_units=sizes['rnn_units'],
        num_layers=sizes['num_layers'],
        embedding_dim=config.get('embedding_dim') or 0,
        tied=bool(config.get('tied')),
    )
    return 4 * model.least_parameters(sizes['vocab_size'])


def _sign(lines):
    return _CHECKSUM + files.checksum(lines)


def _vocabulary_difference(theirs, ours):
    if set(theirs.tokens) == set(ours.tokens):
        return f'the vocabulary has the same {ours.unit}s in another order'
    missing = ''.join(sorted(set(theirs.tokens) - set(ours.tokens)))
    extra = ''.join(sorted(set(ours.tokens) - set(theirs.tokens)))
    return (
        f'the vocabulary has {len(theirs)} {theirs.unit}s there and '
        f'{len(ours)} {ours.unit}s here (only there: {missing[:20]!r}, '
        f'only here: {extra[:20]!r})'
    )
