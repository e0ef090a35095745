"""Checkpointer: saves all that training needs to continue; restores it."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import tensorflow as tf
from absl import logging

from tfcharrnn import checks, files
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import checkpoint as checkpoints
from tfcharrnn.training import model_dir as model_dirs
from tfcharrnn.training import replicas
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.trainer import Trainer


class Checkpointer:
    """Saves all that training needs to continue, and restores it bit for bit.

        model_dir/  model.json  vocabulary.json     what was trained
                    checkpoint  ckpt-*              the latest few
                    best/                           the best on validation
                    history/                        weights, see `keep`

    A checkpoint holds the weights, the optimizer's slots, the step, the carried
    state and the record of the run. A Checkpointer is a callback, for use with
    `callbacks.every`. If the metrics have a 'valid_loss' that is the smallest
    yet, the checkpoint is also kept as the best. A crash during a save, or a
    full disk, leaves earlier checkpoints unchanged.

        >>> import tempfile
        >>> from tfcharrnn import CharRNN, Trainer, Vocabulary
        >>> def start():
        ...     rnn = CharRNN(3, embedding_dim=2, rnn_units=4)
        ...     return Trainer(rnn, tf.keras.optimizers.Adam())
        >>> model_dir, vocabulary = tempfile.mkdtemp(), Vocabulary('abc')
        >>> checkpointer = Checkpointer(model_dir, start(), vocabulary)
        >>> checkpointer.restore() is None
        True
        >>> path = checkpointer.save()
        >>> Checkpointer(model_dir, start(), vocabulary).restore() == path
        True

    Attributes:
        model_dir: The directory that it saves to.
        trainer: The trainer that it saves.
        vocabulary: The characters that the model's ids stand for.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike,
        trainer: Trainer,
        vocabulary: Vocabulary,
        *,
        max_to_keep: int = 5,
    ):
        """Prepares to save to `model_dir`; writes nothing yet.

        Args:
            model_dir: The directory; the first save creates it.
            trainer: The `Trainer`, whose model has a `config`.
            vocabulary: The characters that the model's ids stand for.
            max_to_keep: The number of latest checkpoints to keep.

        Raises:
            ValueError: If `model_dir` holds a model with another vocabulary,
                architecture or optimizer; the error says which. Also if one of
                its files is damaged, the vocabulary does not have the model's
                size, or `max_to_keep` is less than 1.
        """
        self._max_to_keep = checks.whole_number('max_to_keep', max_to_keep)
        self.model_dir = os.fspath(model_dir)
        self.trainer = trainer
        self.vocabulary = vocabulary
        model_dirs.check_same(
            model_dir,
            model=trainer.model,
            optimizer=trainer.optimizer,
            vocabulary=vocabulary,
        )
        known = getattr(trainer.model, 'vocab_size', len(vocabulary))
        if known != len(vocabulary):
            raise ValueError(
                f'The model knows {known} characters, but the vocabulary has '
                f'{len(vocabulary)}. Make the model with '
                '`vocab_size=len(vocabulary)`.'
            )
        averages = trainer.averages.variables
        shown = {
            'model': trainer.model,
            'step': trainer.step_variable,
            'progress': checkpoints.Progress(trainer, vocabulary),
            **({checkpoints.AVERAGES: averages} if averages else {}),
        }
        self._weights = tf.train.Checkpoint(**shown)
        self._checkpoint = tf.train.Checkpoint(
            optimizer=trainer.optimizer, **shown
        )
        self._managers: dict[str, tf.train.CheckpointManager] = {}
        self._restored: str | None = None
        self._saved: tuple[int, str] | None = None

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Saves, and keeps the best: a callback."""
        # The best first: the latest checkpoint remembers it.
        self.keep_best(trainer, metrics)
        self.save()

    def keep_best(self, trainer: Trainer, metrics: Metrics) -> None:
        """Saves in `best/` if 'valid_loss' is the smallest yet: a callback."""
        best = trainer.record.best
        if metrics.get('valid_loss', best.loss) < best.loss:
            best.loss, best.step = metrics['valid_loss'], trainer.step
            directory = os.path.join(self.model_dir, model_dirs.BEST)
            self._write(directory, 1, self._checkpoint)

    def keep(self, trainer: Trainer, metrics: Metrics) -> None:
        """Saves the weights in `history/`, where they stay: a callback.

        They can be loaded and looked at, but training cannot go on from them:
        what only the optimizer needs is left out.
        """
        del metrics
        directory = os.path.join(self.model_dir, model_dirs.HISTORY)
        if directory not in self._managers:
            # What a run that went back to this step has left behind.
            checkpoints.delete_after(directory, trainer.step)
        self._write(directory, None, self._weights)

    def save(self) -> str:
        """Saves a checkpoint at the trainer's step and returns its path.

        Raises:
            FloatingPointError: If a weight is not finite; nothing is written.
            OSError: If it cannot be written, for instance because the disk is
                full; earlier checkpoints are unchanged.
        """
        if self._restored is None or self._saved != self._now():
            self._restored = self._write(
                self.model_dir, self._max_to_keep, self._checkpoint
            )
            self._saved = self._now()
        return self._restored

    def restore(self) -> str | None:
        """Restores the latest undamaged checkpoint.

        Returns:
            Its path, or None if there is no checkpoint: a fresh start. The
            learning rate is restored, too; to change it, assign it now.

        Raises:
            ValueError: If all checkpoints are damaged, or belong to another
                model or optimizer.
        """
        # Created now, so that the file holds nothing unknown.
        self._checkpoint.save_counter  # noqa: B018
        paths = checkpoints.candidates(self.model_dir)
        if not paths:
            return None
        self._restored, _ = checkpoints.first_good(
            paths, lambda path: checkpoints.read(self._checkpoint, path)
        )
        self._saved = self._now()
        logging.info('Restored %s', self._restored)
        return self._restored

    def _write(self, directory, max_to_keep, checkpoint):
        """Writes a checkpoint; earlier ones are safe until it is complete."""
        self._check_finite()
        trainer = self.trainer
        path = os.path.join(directory, f'ckpt-{trainer.step}')
        try:
            model_dirs.describe(
                self.model_dir,
                model=trainer.model,
                optimizer=trainer.optimizer,
                vocabulary=self.vocabulary,
            )
            os.makedirs(directory, exist_ok=True)
            if directory not in self._managers:
                checkpoints.write_list(directory, self._restored)
                self._managers[directory] = tf.train.CheckpointManager(
                    checkpoint, directory, max_to_keep
                )
            _keep_before(path)
            manager = self._managers[directory]
            manager.save(checkpoint_number=trainer.step)
        except replicas.LOST_WORKER:
            _sweep(directory, 'ckpt-*_temp')
            raise
        except (OSError, tf.errors.OpError) as error:
            _sweep(directory, 'ckpt-*_temp')
            raise OSError(
                f"The checkpoint '{path}' could not be written: "
                f'{files.reason(error).rstrip(". ")}. What was saved before is '
                'unchanged.'
            ) from error
        _sweep(directory, 'ckpt-*_temp', f'ckpt-*{checkpoints.BEFORE}.*')
        return path

    def _check_finite(self):
        """Raises FloatingPointError if a weight is not finite."""
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
                    f'{trainer.step}, so nothing was saved. Go on from the '
                    'last checkpoint with a smaller learning rate.'
                )

    def _now(self):
        """Returns a value that changes when a new save is needed."""
        trainer = self.trainer
        return trainer.step, json.dumps(trainer.record.to_json())


def _keep_before(path: str) -> None:
    """Copies a checkpoint that is about to be rewritten."""
    for part in pathlib.Path(path).parent.glob(f'{os.path.basename(path)}.*'):
        shutil.copyfile(part, f'{path}{checkpoints.BEFORE}{part.suffix}')


def _sweep(directory: str, *patterns: str) -> None:
    """Deletes what a save has left, also an interrupted one."""
    for pattern in patterns:
        for path in pathlib.Path(directory).glob(pattern):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
