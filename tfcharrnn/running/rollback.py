"""Rollback: back to the last checkpoint, on at half of the learning rate."""

from __future__ import annotations

import tensorflow as tf
from absl import logging

from tfcharrnn.config import MAX_ROLLBACKS
from tfcharrnn.training.checkpointer import Checkpointer


class Rollback:
    """Goes back after a loss that is not finite, a few times in a run.

    The record counts the rollbacks, so a restart knows them.
    """

    def __init__(
        self, checkpointer: Checkpointer, share: tf.Variable, enabled: bool
    ):
        """Makes sure that there is a checkpoint to go back to.

        Args:
            checkpointer: What restores the run.
            share: Multiplies the learning rate.
            enabled: Whether to go back at all.
        """
        self._checkpointer = checkpointer
        self._share = share
        self._enabled = enabled
        if enabled and checkpointer.trainer.step == 0:
            checkpointer.save()
        self._set_share()

    def __call__(self, error: FloatingPointError) -> None:
        """Restores the last checkpoint after an error.

        Raises:
            FloatingPointError: If it is not to go back, or went back too often
                already; it says what to do.
        """
        what = str(error).split(',')[0]
        if not self._enabled:
            raise FloatingPointError(
                f'{what}. Start it again with `on_nonfinite=rollback`, which '
                'goes back to the last checkpoint and on at half of the '
                'learning rate; or begin another run with a smaller '
                '`learning_rate` or `clip_norm`.'
            ) from error
        trainer = self._checkpointer.trainer
        best = trainer.record.best
        self._checkpointer.restore()
        record = trainer.record
        record.best = best  # What is in best/ stays.
        record.rollbacks += 1
        if record.rollbacks > MAX_ROLLBACKS:
            raise FloatingPointError(
                f'{what}. The run went back {MAX_ROLLBACKS} times, each time '
                'to half of the learning rate, which did not help. Begin '
                'another with a smaller `learning_rate` or `clip_norm`.'
            ) from error
        self._set_share()
        # Now: a run that is killed soon would count anew.
        self._checkpointer.save()
        logging.warning(
            '%s. Going on from step %d at %g of the learning rate.',
            what,
            trainer.step,
            0.5**record.rollbacks,
        )

    def _set_share(self):
        self._share.assign(0.5**self._checkpointer.trainer.record.rollbacks)
