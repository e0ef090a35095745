"""Examples: those of a task as batches, their levels drawn by weights."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy import typing as npt

from tfcharrnn import checks
from tfcharrnn.data import Batch, Batches
from tfcharrnn.data.order import check_seed
from tfcharrnn.tasks.task import PARTS, Example, Task
from tfcharrnn.text.vocabulary import Vocabulary

# Rows are padded to a multiple: few shapes to compile.
_WIDTH_STEP = 8
# From so many batches, the mean number of targets is estimated.
_NUM_COUNTED = 4


def examples(
    task: Task,
    batch_size: int,
    *,
    num_batches: int,
    weights: npt.ArrayLike | None = None,
    part: str = 'train',
    seed: int = 0,
) -> Batches:
    r"""Makes batches of examples; only their answers count.

        inputs     p r i n t ( 1 + 2 ) \n 3
        targets    r i n t ( 1 + 2 ) \n 3 .
        mask       . . . . . . . . . .  1 1

    Each row is an example, whose level is drawn by `weights`. A curriculum over
    the levels of a task is

        curricula.levels(
            'combined',
            lambda p: examples(task, 64, num_batches=100, weights=p),
            len(task.levels),
            until=lambda metrics: metrics['accuracy'] > 0.95,
            every=100,
        )

    >>> batches = examples(tfcharrnn.tasks.copy(2), 3, num_batches=5)
    >>> for batch in batches.starting_at(0).take(1):
    ...     print(batch.inputs.shape, batch.mask.numpy().sum(axis=1))
    (3, 8) [3 3 3]

    Args:
        task: The task.
        batch_size: Rows of a batch (B).
        num_batches: Batches of a pass, in name only: no example comes again.
        weights: Probability of each level, or numbers in proportion to it;
            None: the last level only, the goal.
        part: One of 'train' and 'test'.
        seed: Another seed gives other examples.

    Returns:
        Batches of shape [B, T], T the longest of the batch rounded up to a
        multiple of 8. Row b of the batch at a position is a function of (seed,
        position, b). `num_chars` is estimated from a few batches. `reset` is
        True.

    Raises:
        ValueError: If an argument is out of range, or the vocabulary lacks a
            character.
    """
    batch_size = checks.whole_number('batch_size', batch_size)
    num_batches = checks.whole_number('num_batches', num_batches)
    checks.choice('part', part, PARTS)
    seed = check_seed(seed)
    shares = _check_weights(task, weights)
    vocabulary = task.vocabulary

    def draw_rows(position):
        made = []
        for row in range(batch_size):
            number = int(position) * batch_size + row
            draw = random.Random(f'{seed} {part} {number}')
            level = draw.choices(task.levels, shares)[0]
            made.append(task.drawn(draw, level, part))
        return as_rows(vocabulary, made)

    def one_pass(pass_number, start):
        def make_batch(index):
            rows: Any = tf.numpy_function(
                draw_rows,
                [pass_number * num_batches + index],
                [tf.int32, tf.int32, tf.bool],
            )
            rows = [tf.ensure_shape(row, [batch_size, None]) for row in rows]
            return Batch(*rows, reset=tf.fill([batch_size], True))

        return tf.data.Dataset.range(start, num_batches).map(make_batch)

    first = [draw_rows(position)[2] for position in range(_NUM_COUNTED)]
    num_chars = np.mean([mask.sum() for mask in first]) * num_batches
    return Batches(
        one_pass,
        num_batches,
        batch_size=batch_size,
        seq_length=max(mask.shape[1] for mask in first),
        num_chars=max(1, round(num_chars)),
    )


def as_rows(
    vocabulary: Vocabulary, some: Sequence[Example]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Makes arrays of examples.

    Args:
        vocabulary: Has all their characters.
        some: The examples.

    Returns:
        Inputs, targets (int32) and mask (bool) [B, T].
    """
    texts = [vocabulary.encode(given + answer) for given, answer in some]
    width = max(map(len, texts)) - 1
    width = -(-width // _WIDTH_STEP) * _WIDTH_STEP
    inputs = np.zeros([len(texts), width], np.int32)
    targets, mask = np.zeros_like(inputs), np.zeros(inputs.shape, bool)
    for row, (ids, example) in enumerate(zip(texts, some, strict=True)):
        size = len(ids) - 1
        inputs[row, :size] = ids[:-1]
        targets[row, :size] = ids[1:]
        mask[row, size - len(example.answer) : size] = True
    return inputs, targets, mask


def _check_weights(task, weights):
    if weights is None:
        weights = np.eye(len(task.levels))[-1]
    shares = np.asarray(weights, float)
    is_good = np.isfinite(shares).all() and (shares >= 0).all() and shares.any()
    if shares.shape != (len(task.levels),) or not is_good:
        raise ValueError(
            f'`weights` is {weights}, but must be {len(task.levels)} numbers '
            f'from 0 up, one for each level of {task.name!r}, not all of them '
            '0.'
        )
    return shares.tolist()
