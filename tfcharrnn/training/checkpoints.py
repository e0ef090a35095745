"""What lies in a `model_dir`: a model that describes itself, and its run.

A file that was damaged is noticed, and what notices it is

    model.json, vocabulary.json  a SHA-256 in each of them
    ckpt-*.index, ckpt-*.data-*  TensorFlow's CRC-32C of each block and tensor
    a file of another model      a SHA-256 of model and vocabulary in ckpt-*
    checkpoint (the list)        its names against the files that are there

Where it is the newest checkpoint, the one before it takes its place, and a
warning says so; everything else is an error that names the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pathlib
import re
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfcharrnn import files
from tfcharrnn.nn import char_rnn as models
from tfcharrnn.text import vocabulary as vocabularies

_FORMAT = 'tfcharrnn model'
_VERSION = 1
_MODEL_FILE = 'model.json'
_VOCABULARY_FILE = 'vocabulary.json'
_BEST = 'best'
_AVERAGES = 'averages'
_LIST = 'checkpoint'
# A checkpoint, or what it was before it is written once more.
_BEFORE = '-before'
_NAME = re.compile(rf'ckpt-(\d{{1,18}})({_BEFORE})?')
_PROGRESS_KEY = 'progress/.ATTRIBUTES/py_state'


class Checkpointer:
    """Saves all that training goes on from, and restores it bit for bit.

        model_dir/  model.json  vocabulary.json     what was trained
                    checkpoint  ckpt-*              the latest few
                    best/                           the best on validation

    A checkpoint holds weights, the optimizer's slots, the step, the place in
    the data, the carried state, and the record of the callbacks. It is itself
    a callback, to be used with `callbacks.every`: then, where the metrics have
    a 'valid_loss' that is the smallest yet, the checkpoint is kept as the best
    one too. A crash in the middle of a save, a full disk included, leaves the
    checkpoints from before as they were.

        >>> import tempfile
        >>> from tfcharrnn.nn import char_rnn as model
        >>> from tfcharrnn.training import trainer
        >>> from tfcharrnn.text import vocabulary
        >>> characters = vocabulary.Vocabulary('abc')
        >>> def start():
        ...     rnn = model.CharRNN(3, embedding_dim=2, rnn_units=4)
        ...     return trainer.Trainer(rnn, tf.keras.optimizers.Adam())
        >>> model_dir = tempfile.mkdtemp()
        >>> checkpointer = Checkpointer(model_dir, start(), characters)
        >>> checkpointer.restore() is None
        True
        >>> path = checkpointer.save()
        >>> Checkpointer(model_dir, start(), characters).restore() == path
        True
    """

    def __init__(
        self,
        model_dir: str | os.PathLike,
        trainer: Any,
        vocabulary: vocabularies.Vocabulary,
        *,
        max_to_keep: int = 5,
    ):
        """Prepares saving to `model_dir`; nothing is written yet.

        Args:
            model_dir: A directory; made, with its parents, when first saved.
            trainer: The `Trainer`, whose model has a `config`.
            vocabulary: The characters that the model's ids stand for.
            max_to_keep: How many of the latest checkpoints to keep.

        Raises:
            ValueError: If `model_dir` holds a model with another vocabulary,
                architecture or optimizer; it says which differ. Or if one of
                its files is damaged, the vocabulary is not of the model's size,
                or nothing is to be kept.
        """
        if not max_to_keep >= 1:
            raise ValueError(
                f'`max_to_keep` is {max_to_keep!r}, but one at least is kept.'
            )
        self.model_dir = os.fspath(model_dir)
        self.trainer = trainer
        self.vocabulary = vocabulary
        self._check_same()
        known = getattr(trainer.model, 'vocab_size', len(vocabulary))
        if known != len(vocabulary):
            raise ValueError(
                f'The model knows {known} characters, but the vocabulary has '
                f'{len(vocabulary)}: make the model with '
                '`vocab_size=len(vocabulary)`.'
            )
        parts = {_AVERAGES: trainer.averages} if trainer.averages else {}
        self._checkpoint = tf.train.Checkpoint(
            model=trainer.model,
            optimizer=trainer.optimizer,
            step=trainer.step_variable,
            progress=_Progress(trainer, vocabulary),
            **parts,
        )
        self._max_to_keep = max_to_keep
        self._managers: dict[str, tf.train.CheckpointManager] = {}
        self._restored: str | None = None
        self._saved: tuple[int, str] | None = None

    def __call__(self, trainer: Any, metrics: dict[str, float]) -> None:
        """Saves, and keeps the best: a callback."""
        # The best first: whoever reads of it in the latest one finds it.
        self.keep_best(trainer, metrics)
        self.save()

    def keep_best(self, trainer: Any, metrics: dict[str, float]) -> None:
        """Saves in `best/` if 'valid_loss' is the smallest yet: a callback."""
        loss = metrics.get('valid_loss', math.inf)
        if loss < trainer.record.get('best_valid_loss', math.inf):
            trainer.record['best_valid_loss'] = loss
            trainer.record['best_step'] = trainer.step
            self._write(os.path.join(self.model_dir, _BEST), 1)

    def save(self) -> str:
        """Saves a checkpoint at the trainer's step and returns its path.

        Raises:
            FloatingPointError: If a weight is not finite; nothing is written.
            OSError: If it cannot be written, the disk being full for instance;
                the checkpoints from before are as they were.
        """
        if self._saved != self._now():
            self._restored = self._write(self.model_dir, self._max_to_keep)
            self._saved = self._now()
        return self._restored

    def restore(self) -> str | None:
        """Goes on from the latest checkpoint that is undamaged.

        Returns:
            Its path, or None where there is none: a fresh start. The learning
            rate is restored too; to go on with another one, assign it now.

        Raises:
            ValueError: If no checkpoint is undamaged and of this model and
                optimizer.
        """
        # Made now, so that nothing of the file is left over.
        self._checkpoint.save_counter  # noqa: B018
        paths = _candidates(self.model_dir)
        if not paths:
            return None
        self._restored, _ = _first_good(
            paths, lambda path: _read(self._checkpoint, path)
        )
        self._saved = self._now()
        logging.info('Restored %s', self._restored)
        return self._restored

    def _write(self, directory, max_to_keep):
        """Writes a checkpoint; those from before are safe until it is there."""
        self._check_finite()
        path = os.path.join(directory, f'ckpt-{self.trainer.step}')
        try:
            self._prepare()
            os.makedirs(directory, exist_ok=True)
            if directory not in self._managers:
                _write_list(directory, self._restored)
                self._managers[directory] = tf.train.CheckpointManager(
                    self._checkpoint, directory, max_to_keep
                )
            _keep_before(path)
            manager = self._managers[directory]
            manager.save(checkpoint_number=self.trainer.step)
        except tf.errors.UnavailableError:  # It is a worker that is missing.
            _sweep(directory, 'ckpt-*_temp')
            raise
        except (OSError, tf.errors.OpError) as error:
            _sweep(directory, 'ckpt-*_temp')
            raise OSError(
                f"The checkpoint '{path}' could not be written: "
                f'{_reason(error)} What was saved before is as it was.'
            ) from error
        _sweep(directory, 'ckpt-*_temp', f'ckpt-*{_BEFORE}.*')
        return path

    def _check_finite(self):
        """Raises if there is a weight with which nobody could go on."""
        trainer = self.trainer
        for variable in (
            *trainer.model.variables,
            *trainer.optimizer.variables,
        ):
            value = tf.convert_to_tensor(variable)
            if value.dtype.is_floating and not tf.reduce_all(
                tf.math.is_finite(value)
            ):
                raise FloatingPointError(
                    f'The variable {variable.name!r} is not finite at step '
                    f'{trainer.step}, so it was not saved; checkpoints are as '
                    'they were. Go on from the last one with a smaller '
                    'learning rate.'
                )

    def _now(self):
        """What has changed where a checkpoint needs to be saved anew."""
        return self.trainer.step, json.dumps(self.trainer.record)

    def _prepare(self):
        """Makes the directory, and writes what describes the model."""
        os.makedirs(self.model_dir, exist_ok=True)
        path = os.path.join(self.model_dir, _VOCABULARY_FILE)
        if not os.path.exists(path):
            self.vocabulary.save(path)
        path = os.path.join(self.model_dir, _MODEL_FILE)
        if not os.path.exists(path):
            document = {
                'format': _FORMAT,
                'version': _VERSION,
                'model': self.trainer.model.config,
                'optimizer': type(self.trainer.optimizer).__name__,
            }
            files.write_json(path, document)

    def _check_same(self):
        """Raises if the directory holds another model or vocabulary."""
        check_inside(self.model_dir)
        differences = []
        path = os.path.join(self.model_dir, _MODEL_FILE)
        if os.path.exists(path):
            document = _read_document(path)
            ours, theirs = dict(self.trainer.model.config), document['model']
            ours['optimizer'] = type(self.trainer.optimizer).__name__
            theirs['optimizer'] = document.get('optimizer')
            differences += [
                f'`{name}` is {theirs.get(name)!r} there and '
                f'{ours.get(name)!r} here'
                for name in sorted({*ours, *theirs})
                if ours.get(name) != theirs.get(name)
            ]
        path = os.path.join(self.model_dir, _VOCABULARY_FILE)
        if os.path.exists(path):
            theirs = vocabularies.Vocabulary.load(path)
            if theirs != self.vocabulary:
                differences.append(
                    _vocabulary_difference(theirs, self.vocabulary)
                )
        if differences:
            raise ValueError(
                f"'{self.model_dir}' holds another model: "
                f'{"; ".join(differences)}. Use the same settings and text, '
                'or another `model_dir`.'
            )


def load_model(
    model_dir: str | os.PathLike,
    checkpoint: str | None = None,
    *,
    build: Callable[..., Any] = models.CharRNN,
) -> tuple[Any, vocabularies.Vocabulary]:
    """Rebuilds a trained model from its directory.

    Where the training averaged the weights, the model has the averages.
    Nothing in the directory is executed: it holds JSON and arrays.

    Args:
        model_dir: The directory of a `Checkpointer`.
        checkpoint: None or 'latest', 'best' (on validation), or the path of a
            checkpoint, such as 'runs/bard/ckpt-500'.
        build: Makes the model from its `config`. For a cell of your own:
            `lambda **config: CharRNN(**{**config, 'cell': MyCell})`.

    Returns:
        The model and its vocabulary.

    Raises:
        FileNotFoundError: If there is no model or no such checkpoint.
        ValueError: If a file is damaged, or not of this model.
    """
    model_dir = os.fspath(model_dir)
    path = os.path.join(model_dir, _MODEL_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"'{model_dir}' holds no trained model: it has no {_MODEL_FILE}. "
            'Give the `model_dir` that training wrote.'
        )
    check_inside(model_dir)
    config = read_config(path)
    vocabulary_path = os.path.join(model_dir, _VOCABULARY_FILE)
    vocabulary = vocabularies.Vocabulary.load(vocabulary_path)
    if config.get('vocab_size', len(vocabulary)) != len(vocabulary):
        raise ValueError(
            f"'{vocabulary_path}' has {len(vocabulary)} characters, but the "
            f"model in '{path}' has {config['vocab_size']}. One of them is of "
            'another model.'
        )

    def load(checkpoint):
        try:
            _check_size(config, build, checkpoint)
            model = build(**config)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"'{path}' does not fit the model: {error}"
            ) from error
        _load_weights(model, checkpoint, _digest(config, vocabulary))
        return model

    _, model = _first_good(_find(model_dir, checkpoint), load)
    return model, vocabulary


def load_record(
    model_dir: str | os.PathLike, checkpoint: str | None = None
) -> dict[str, Any]:
    """Reads the `Trainer.record` that is in a checkpoint.

    Args:
        model_dir: As for `load_model`.
        checkpoint: As for `load_model`.

    Returns:
        The record; empty, if the checkpoint has none.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is damaged.
    """

    def load(path):
        with _naming(path):
            return (_read_progress(path) or {}).get('record', {})

    return _first_good(_find(os.fspath(model_dir), checkpoint), load)[1]


def check_inside(model_dir: str | os.PathLike) -> None:
    """Refuses a directory whose links lead out of it, to be read or written.

    Raises:
        ValueError: If there is such a link; it is named.
    """
    root = pathlib.Path(model_dir).resolve()
    for path in root.rglob('*') if root.is_dir() else ():
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise ValueError(
                f"'{path}' is a link that leads out of '{model_dir}'. Replace "
                'it by a copy of what it leads to.'
            )


def read_config(path: str) -> dict[str, Any]:
    """Reads a model's `config` from its `model.json`.

    Raises:
        ValueError: If the file is damaged, or made by a newer version.
    """
    return _read_document(path)['model']


def _read_document(path):
    try:
        with open(path, encoding='utf-8') as file:
            document = json.load(file)
        version = document['version']
        config = document['model']
        if document['format'] != _FORMAT or not isinstance(config, dict):
            raise KeyError('format')
        if version == _VERSION:
            files.check_json(document)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"'{path}' is damaged, or no description of a model: "
            f'{_reason(error)} Restore it from a copy, or train into '
            'another `model_dir`.'
        ) from error
    if version != _VERSION:
        raise ValueError(
            f"'{path}' has version {version!r}, but this version of tfcharrnn "
            f'reads version {_VERSION}. Install the one that wrote it.'
        )
    return document


class _Progress(tf.train.experimental.PythonState):
    """A trainer's `progress` as bytes: arrays and JSON, no pickle."""

    def __init__(self, trainer, vocabulary):
        super().__init__()
        self._trainer = trainer
        self._vocabulary = vocabulary

    def serialize(self) -> bytes:
        progress = self._trainer.progress
        progress['model'] = self._model()
        state = progress.pop('state')
        arrays = {f'state_{i}': array for i, array in enumerate(state)}
        text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, progress=text, **arrays)
        return buffer.getvalue()

    def deserialize(self, serialized: bytes) -> None:
        progress = _parse_progress(serialized)
        _check_digest(progress, self._model())
        self._trainer.progress = progress

    def _model(self):
        return _digest(self._trainer.model.config, self._vocabulary)


def _read_progress(path):
    """Returns the `progress` in a checkpoint; None if there is none."""
    reader = tf.train.load_checkpoint(path)
    if _PROGRESS_KEY not in reader.get_variable_to_shape_map():
        return None
    return _parse_progress(reader.get_tensor(_PROGRESS_KEY))


def _parse_progress(serialized):
    with np.load(io.BytesIO(serialized), allow_pickle=False) as arrays:
        progress = json.loads(arrays['progress'].tobytes())
        count = len(arrays.files) - 1
        progress['state'] = [arrays[f'state_{i}'] for i in range(count)]
    return progress


def _digest(config, vocabulary):
    """Tells a model and its vocabulary from all others."""
    return files.checksum([config, list(vocabulary.tokens)])


def _check_digest(progress, digest):
    if progress.pop('model', digest) != digest:
        raise ValueError(
            f'it was saved with another {_MODEL_FILE} or {_VOCABULARY_FILE}.'
        )


def _candidates(directory):
    """Returns paths of checkpoints, the one to go on from first."""
    names, problem = _names(directory)
    listed = os.path.join(directory, _LIST)
    if problem and names:
        logging.warning(
            "'%s' %s. Going on from '%s'.", listed, problem, names[0]
        )
    elif problem and os.path.exists(listed):
        raise ValueError(
            f"'{listed}' {problem}, and there is no checkpoint. Restore them "
            'from a copy, or delete this file to start anew.'
        )
    return [os.path.join(directory, name) for name in names]


def _names(directory):
    """Returns names of checkpoints, and what is wrong with their list."""
    numbers = {}
    for path in pathlib.Path(directory).glob('ckpt-*.index'):
        if match := _NAME.fullmatch(path.stem):
            numbers[path.stem] = int(match[1]), not match[2]
    by_number = sorted(numbers, key=numbers.get, reverse=True)
    listed, problem = _read_list(os.path.join(directory, _LIST))
    if not problem and listed[0] not in numbers:
        gone = os.path.join(directory, listed[0])
        problem = f"names '{gone}', which is gone"
    names = dict.fromkeys([*([] if problem else listed), *by_number])
    return [name for name in names if name in numbers], problem


def _read_list(path):
    """Returns the names in a list of checkpoints, and what is wrong with it."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            text = file.read(1 << 20)
    except FileNotFoundError:
        return [], 'is missing'
    latest = re.findall(r'^model_checkpoint_path: "(.*)"$', text, re.MULTILINE)
    names = re.findall(
        r'^all_model_checkpoint_paths: "(.*)"$', text, re.MULTILINE
    )[::-1]
    if not latest or latest != names[:1]:
        return [], 'is damaged'
    # Wherever the directory was when they were written.
    return [os.path.basename(name) for name in names], None


def _write_list(directory, last):
    """Writes the list anew: of what is there, and nowhere else."""
    names = [n for n in _names(directory)[0] if not n.endswith(_BEFORE)][::-1]
    name = last and os.path.basename(last)
    if name in names:  # So that it is the last to be deleted.
        names.append(names.pop(names.index(name)))
    if names:
        lines = [f'model_checkpoint_path: "{names[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
        # Without a time they would never be deleted.
        lines += ['all_model_checkpoint_timestamps: 1.0' for _ in names]
        files.write(os.path.join(directory, _LIST), '\n'.join(lines) + '\n')


def _keep_before(path):
    """Copies a checkpoint that is to be written once more."""
    for part in pathlib.Path(path).parent.glob(f'{os.path.basename(path)}.*'):
        shutil.copyfile(part, f'{path}{_BEFORE}{part.suffix}')


def _sweep(directory, *patterns):
    """Deletes what a save, or one that died, has left."""
    for pattern in patterns:
        for path in pathlib.Path(directory).glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _first_good(paths, read):
    """Reads the first that can be read; returns its path, and the result."""
    first_error = None
    for path in paths:
        try:
            result = read(path)
        except ValueError as error:
            first_error = first_error or error
            continue
        if first_error is not None:
            logging.warning("%s Going on from '%s'.", first_error, path)
        return path, result
    raise first_error


def _check_size(config, build, path):
    """Raises if a model needs more memory than its checkpoint has bytes."""
    parts = pathlib.Path(path).parent.glob(f'{os.path.basename(path)}.data-*')
    size = sum(part.stat().st_size for part in parts)
    for name, value in config.items():
        if isinstance(value, int) and value > size > 0:
            raise ValueError(
                f"`{name}` is {value:,}, but the checkpoint '{path}' has "
                f'{size:,} bytes. One of the two is damaged.'
            )
    try:
        # Weights have shapes only in a graph, where a name at the root, unlike
        # one in another, must not begin with an underscore.
        with tf.Graph().as_default(), tf.name_scope('model'):
            variables = build(**config).trainable_variables
            needed = sum(
                v.shape.num_elements() * v.dtype.size for v in variables
            )
    except (TypeError, ValueError):
        raise
    except Exception:  # A model of the user's own, that cannot do this.
        return
    if needed > size > 0:
        raise ValueError(
            f"it needs {needed:,} bytes, but the checkpoint '{path}' has "
            f'{size:,}. One of the two is damaged.'
        )


def _load_weights(model, path, digest):
    """Reads the weights, or their averages, of a model with this digest."""
    _read(tf.train.Checkpoint(model=model), path, partial=True)
    with _naming(path):
        names = tf.train.load_checkpoint(path).get_variable_to_shape_map()
        progress = _read_progress(path)
        if progress is not None:
            _check_digest(progress, digest)
    if any(name.startswith(_AVERAGES) for name in names):
        averages = {_AVERAGES: list(model.trainable_variables)}
        _read(tf.train.Checkpoint(**averages), path, partial=True)


def _read(checkpoint, path, *, partial=False):
    """Restores all of `checkpoint`; from all of the file, if not partial."""
    with _naming(path):
        status = checkpoint.read(path)
        if partial:
            status.assert_existing_objects_matched().expect_partial()
        else:
            status.assert_consumed()


@contextlib.contextmanager
def _naming(path):
    """Lets an error that reading a checkpoint raises name it."""
    try:
        yield
    # IndexError: the file with the data is too short.
    except (
        AssertionError,
        EOFError,
        IndexError,
        KeyError,
        OSError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        tf.errors.OpError,
    ) as error:
        raise ValueError(
            f"The checkpoint '{path}' is damaged, or of another model or "
            f'optimizer: {_reason(error)}'
        ) from error


def _reason(error):
    return files.reason(error).rstrip('. ') + '.'


def _find(model_dir, checkpoint):
    """Returns paths of checkpoints that are there, the best choice first."""
    if checkpoint in (None, 'latest', _BEST):
        best = checkpoint == _BEST
        directory = os.path.join(model_dir, _BEST) if best else model_dir
        paths = _candidates(directory)
        if not paths:
            raise FileNotFoundError(
                f"'{directory}' has no checkpoint"
                + (': nothing was validated in training.' if best else '.')
            )
        return paths
    path = os.fspath(checkpoint).removesuffix('.index')
    if not os.path.exists(path + '.index'):
        raise FileNotFoundError(
            f"There is no checkpoint '{path}'. Give 'latest', 'best', or the "
            f"path of one, such as '{os.path.join(model_dir, 'ckpt-500')}'."
        )
    return [path]


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
