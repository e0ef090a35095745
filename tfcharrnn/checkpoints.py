"""What lies in a `model_dir`: a model that describes itself, and its run."""

from __future__ import annotations

import io
import json
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfcharrnn import files
from tfcharrnn import model as models
from tfcharrnn import vocabulary as vocabularies

_FORMAT = 'tfcharrnn model'
_VERSION = 1
_MODEL_FILE = 'model.json'
_VOCABULARY_FILE = 'vocabulary.json'
_BEST = 'best'
_AVERAGES = 'averages'


class Checkpointer:
    """Saves all that training goes on from, and restores it bit for bit.

        model_dir/  model.json  vocabulary.json     what was trained
                    checkpoint  ckpt-*              the latest few
                    best/                           the best on validation

    A checkpoint holds weights, the optimizer's slots, the step, the place in
    the data, the carried state, and the record of the callbacks. It is itself
    a callback, to be used with `callbacks.every`: then, where the metrics have
    a 'valid_loss' that is the smallest yet, the checkpoint is kept as the best
    one too.

        >>> import tempfile
        >>> from tfcharrnn import model, trainer, vocabulary
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
                its files is damaged.
        """
        self.model_dir = os.fspath(model_dir)
        self.trainer = trainer
        self.vocabulary = vocabulary
        self._check_same()
        parts = {_AVERAGES: trainer.averages} if trainer.averages else {}
        self._checkpoint = tf.train.Checkpoint(
            model=trainer.model,
            optimizer=trainer.optimizer,
            step=trainer.step_variable,
            progress=_Progress(trainer),
            **parts,
        )
        best = os.path.join(self.model_dir, _BEST)
        self._best = _manager(self._checkpoint, best, 1)
        self._latest = _manager(self._checkpoint, self.model_dir, max_to_keep)
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
            self._prepare()
            self._best.save(checkpoint_number=trainer.step)

    def save(self) -> str:
        """Saves a checkpoint at the trainer's step and returns its path."""
        if self._saved != self._now():
            self._prepare()
            self._latest.save(checkpoint_number=self.trainer.step)
            self._saved = self._now()
        return self._latest.latest_checkpoint

    def restore(self) -> str | None:
        """Goes on from the latest checkpoint.

        Returns:
            Its path, or None where there is none: a fresh start. The learning
            rate is restored too; to go on with another one, assign it now.

        Raises:
            ValueError: If the checkpoint is damaged, or not of this model and
                optimizer.
        """
        path = _latest(self.model_dir)
        if path is None:
            return None
        # Made now, so that nothing of the file is left over.
        self._checkpoint.save_counter  # noqa: B018
        _read(self._checkpoint, path)
        self._saved = self._now()
        logging.info('Restored %s', path)
        return path

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
            files.write(path, json.dumps(document, indent=2) + '\n')

    def _check_same(self):
        """Raises if the directory holds another model or vocabulary."""
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
    config = read_config(path)
    vocabulary_path = os.path.join(model_dir, _VOCABULARY_FILE)
    vocabulary = vocabularies.Vocabulary.load(vocabulary_path)
    try:
        model = build(**config)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}' does not fit the model: {error}") from error
    if config.get('vocab_size', len(vocabulary)) != len(vocabulary):
        raise ValueError(
            f"'{vocabulary_path}' has {len(vocabulary)} characters, but the "
            f"model in '{path}' has {config['vocab_size']}. One of them is of "
            'another model.'
        )
    path = _find(model_dir, checkpoint)
    _read(tf.train.Checkpoint(model=model), path, partial=True)
    if any(k.startswith(_AVERAGES) for k, _ in tf.train.list_variables(path)):
        averages = {_AVERAGES: list(model.trainable_variables)}
        _read(tf.train.Checkpoint(**averages), path, partial=True)
    return model, vocabulary


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
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"'{path}' is damaged, or no description of a model. Restore it "
            'from a copy, or train into another `model_dir`.'
        ) from error
    if version != _VERSION:
        raise ValueError(
            f"'{path}' has version {version!r}, but this version of tfcharrnn "
            f'reads version {_VERSION}. Install the one that wrote it.'
        )
    return document


class _Progress(tf.train.experimental.PythonState):
    """A trainer's `progress` as bytes: arrays and JSON, no pickle."""

    def __init__(self, trainer):
        super().__init__()
        self._trainer = trainer

    def serialize(self) -> bytes:
        progress = self._trainer.progress
        state = progress.pop('state')
        arrays = {f'state_{i}': array for i, array in enumerate(state)}
        text = np.frombuffer(json.dumps(progress).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, progress=text, **arrays)
        return buffer.getvalue()

    def deserialize(self, serialized: bytes) -> None:
        with np.load(io.BytesIO(serialized), allow_pickle=False) as arrays:
            progress = json.loads(arrays['progress'].tobytes())
            count = len(arrays.files) - 1
            progress['state'] = [arrays[f'state_{i}'] for i in range(count)]
        self._trainer.progress = progress


def _manager(checkpoint, directory, max_to_keep):
    _latest(directory)  # Or else a damaged list would be started anew.
    return tf.train.CheckpointManager(checkpoint, directory, max_to_keep)


def _latest(directory):
    """Returns the path of the latest checkpoint in a directory, or None."""
    listed = os.path.join(directory, 'checkpoint')
    if os.path.exists(listed):
        try:
            path = tf.train.latest_checkpoint(directory)
        except ValueError:  # It is empty.
            path = None
        if path is None:
            raise ValueError(
                f"'{listed}' is damaged, or names a checkpoint that is gone. "
                'Delete this file to go on from the latest one that is there.'
            )
        return path
    paths = pathlib.Path(directory).glob('ckpt-*.index')
    steps = [path.stem.removeprefix('ckpt-') for path in paths]
    steps = [int(step) for step in steps if step.isdecimal()]
    return os.path.join(directory, f'ckpt-{max(steps)}') if steps else None


def _read(checkpoint, path, *, partial=False):
    """Restores all of `checkpoint`; from all of the file, if not partial."""
    try:
        status = checkpoint.read(path)
        if partial:
            status.assert_existing_objects_matched().expect_partial()
        else:
            status.assert_consumed()
    # IndexError: the file with the data is too short.
    except (
        AssertionError,
        IndexError,
        ValueError,
        tf.errors.OpError,
    ) as error:
        reason = str(error).splitlines()[0].split('}} ')[-1]
        raise ValueError(
            f"The checkpoint '{path}' is damaged, or of another model or "
            f'optimizer: {reason}'
        ) from error


def _find(model_dir, checkpoint):
    """Returns the path of a checkpoint that is there."""
    if checkpoint in (None, 'latest', _BEST):
        best = checkpoint == _BEST
        directory = os.path.join(model_dir, _BEST) if best else model_dir
        path = _latest(directory)
        if path is None:
            raise FileNotFoundError(
                f"'{directory}' has no checkpoint"
                + (': nothing was validated in training.' if best else '.')
            )
        return path
    path = os.fspath(checkpoint).removesuffix('.index')
    if not os.path.exists(path + '.index'):
        raise FileNotFoundError(
            f"There is no checkpoint '{path}'. Give 'latest', 'best', or the "
            f"path of one, such as '{os.path.join(model_dir, 'ckpt-500')}'."
        )
    return path


def _vocabulary_difference(theirs, ours):
    if set(theirs.chars) == set(ours.chars):
        return 'the vocabulary has the same characters in another order'
    missing = ''.join(sorted(set(theirs.chars) - set(ours.chars)))
    extra = ''.join(sorted(set(ours.chars) - set(theirs.chars)))
    return (
        f'the vocabulary has {len(theirs)} characters there and {len(ours)} '
        f'here (only there: {missing[:20]!r}, only here: {extra[:20]!r})'
    )
