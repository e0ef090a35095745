"""Accuracy: how much of a task a model can do, level by level."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn.data import Batch
from tfcharrnn.tasks.examples import examples
from tfcharrnn.tasks.task import Task
from tfcharrnn.training import losses
from tfcharrnn.training.evaluator import Evaluator
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.trainer import Trainer


def measure(
    model: Any,
    task: Task,
    *,
    levels: Iterable[Hashable] | None = None,
    batch_size: int = 100,
    num_batches: int = 5,
    part: str = 'test',
    seed: int = 0,
) -> dict[Any, Metrics]:
    """Measures a model on levels of a task, by character and by example.

    An example is right if all of its answer is. The model reads the true
    answer up to each character. As long as it has made no mistake, that is
    what it would have written itself, so an example is right here exactly if
    the most probable text is.

    >>> model = tfcharrnn.CharRNN(12, embedding_dim=None, rnn_units=4)
    >>> found = measure(model, tfcharrnn.tasks.copy(3), num_batches=1)
    >>> list(found), 0.0 <= found[3]['example_accuracy'] <= 1.0
    ([1, 2, 3], True)

    Args:
        model: Reads the characters of the task, in the order of their ids.
        task: The task.
        levels: Which of its levels; None: all. Those that have no example of
            this part are left out.
        batch_size: Examples at a time.
        num_batches: How many such batches of each level.
        part: One of 'train' and 'test'.
        seed: Seed of the examples.

    Returns:
        By level: 'loss' in nats per character of the answer, 'accuracy' by
        character, 'example_accuracy', and others as of `Evaluator`.

    Raises:
        ValueError: If a level is unknown.
    """
    evaluator = _evaluator(model)
    found = {}
    for level in task.levels if levels is None else levels:
        weights = _only(task, level)
        if not _has_examples(task, level, part):
            continue
        found[level] = evaluator.evaluate(
            examples(
                task,
                batch_size,
                num_batches=num_batches,
                weights=weights,
                part=part,
                seed=seed,
            )
        )
    return found


class Accuracies:
    """Measures the goal of a task in training: a callback.

    It adds 'valid_loss', 'valid_accuracy' (by character) and
    'valid_example_accuracy' (the whole answer is right), of examples of the
    last level that are for the test.

        every(100, Accuracies(model, task))
    """

    def __init__(
        self,
        model: Any,
        task: Task,
        *,
        batch_size: int = 100,
        num_batches: int = 5,
        name: str = 'valid',
    ):
        """Prepares to measure a model.

        Args:
            model: The model that is trained.
            task: The task.
            batch_size: Examples at a time.
            num_batches: How many such batches.
            name: What the names of the metrics begin with.
        """
        self._evaluator = _evaluator(model)
        self._name = name
        self._dataset = examples(
            task, batch_size, num_batches=num_batches, part='test'
        )

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Adds the metrics."""
        for name, value in self._evaluator.evaluate(self._dataset).items():
            metrics[f'{self._name}_{name}'] = value


def whole_answers(
    logits: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor
) -> losses.Sum:
    """Counts the rows of which all unmasked targets are the most probable.

    >>> logits = tf.constant([[[0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0]] * 2])
    >>> targets = tf.constant([[0, 1], [0, 1]])
    >>> mask = tf.constant([[False, True], [True, True]])
    >>> [float(x) for x in whole_answers(logits, targets, mask)]
    [1.0, 2.0]

    Args:
        logits: [B, T, V] float32.
        targets: [B, T] integers below V.
        mask: [B, T] booleans.

    Returns:
        The number of such rows, and of rows of which anything counts.
    """
    predictions = tf.argmax(logits, -1, output_type=targets.dtype)
    is_fine = tf.logical_or(predictions == targets, tf.logical_not(mask))
    has_answer = tf.reduce_any(mask, axis=1)
    is_right = tf.logical_and(tf.reduce_all(is_fine, axis=1), has_answer)
    number = tf.reduce_sum(tf.cast(has_answer, tf.float32))
    return tf.reduce_sum(tf.cast(is_right, tf.float32)), number


def _evaluator(model):
    def compute_loss(batch: Batch, state, training):
        logits, state = model(batch.inputs, state, training=training)
        answers = logits, batch.targets, batch.mask
        pairs = {
            'loss': losses.cross_entropy(*answers),
            'accuracy': losses.accuracy(*answers),
            'example_accuracy': whole_answers(*answers),
        }
        return pairs, state

    return Evaluator(model, compute_loss)


def _only(task, level):
    return np.eye(len(task.levels))[task.index(level)]


def _has_examples(task, level, part):
    try:
        task.example(0, 0, level=level, part=part)
    except ValueError:
        return False
    return True
