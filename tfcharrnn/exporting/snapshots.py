"""Snapshots: the checkpoints of a run that a page shows, and its losses."""

from __future__ import annotations

import json
import math
import os
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import checkpoint as checkpoints
from tfcharrnn.training import model_dir as model_dirs

_STEP = re.compile(r'ckpt-(\d{1,18})(-before)?')
# Lines and bytes of metrics.jsonl that are read, and points that are shown.
_MAX_BYTES = 1 << 25
_MAX_POINTS = 1000


class Snapshot(NamedTuple):
    """A model at a step of its training.

    Attributes:
        model: The model.
        step: The step; None, if the name of the checkpoint does not say it.
        path: Where the checkpoint is, without its suffix.
        is_best: Whether it is the best on validation.
    """

    model: CharRNN
    step: int | None
    path: str
    is_best: bool


class Point(NamedTuple):
    """Losses at a step, in nats per character; None: not measured."""

    step: int
    loss: float | None
    valid: float | None


def load(
    model_dir: str | os.PathLike, checkpoint: str | None, number: int
) -> tuple[list[Snapshot], int, Vocabulary]:
    """Loads some of the checkpoints of a run, spread over its training.

    Args:
        model_dir: As for `load_model`.
        checkpoint: The one that is always among them, as for `load_model`.
        number: How many, at most. The best one is among them if there are two
            or more.

    Returns:
        The snapshots in the order of their steps, the index of `checkpoint`
        among them, and the vocabulary.

    Raises:
        FileNotFoundError: There is no model or no such checkpoint.
        ValueError: A file is damaged, or belongs to another model.
    """
    paths = model_dirs.find(model_dir, checkpoint)
    path, (model, vocabulary) = checkpoints.first_good(
        paths, lambda path: model_dirs.load_model(model_dir, path)
    )
    best = best_step(model_dir)

    def snapshot(model, path):
        step = step_of(path)
        return Snapshot(model, step, path, step is not None and step == best)

    chosen = snapshot(model, path)
    snapshots = [chosen]
    if number > 1 and chosen.step is not None:
        others = {
            step: path
            for step, path in _all_steps(model_dir).items()
            if step != chosen.step
        }
        for step in spread(
            list(others), number - 1, taken=[chosen.step], best=best
        ):
            try:
                model, _ = model_dirs.load_model(model_dir, others[step])
            except ValueError as error:
                logging.warning('%s It is left out.', error)
                continue
            snapshots.append(snapshot(model, others[step]))
    snapshots.sort(key=lambda each: each.step or 0)
    return snapshots, snapshots.index(chosen), vocabulary


def spread(
    steps: list[int], number: int, *, taken: list[int], best: int | None = None
) -> list[int]:
    """Chooses steps that lie far from each other.

        >>> spread([100, 200, 300, 400, 500], 2, taken=[600])
        [100, 300]

    Args:
        steps: The steps to choose from.
        number: How many to choose, at most.
        taken: Steps that are chosen already, at least one.
        best: A step that is chosen first, if it is among `steps`.

    Returns:
        The chosen steps, sorted.
    """
    chosen, left = list(taken), sorted(steps)
    while left and number > 0:
        # The one that is farthest from all others; of equals, the earliest.
        step = max(left, key=lambda s: min(abs(s - other) for other in chosen))
        if best in left:
            step = best
        chosen.append(step)
        left.remove(step)
        number -= 1
    return sorted(chosen[len(taken) :])


def step_of(path: str) -> int | None:
    """Returns the step in the name of a checkpoint.

    >>> step_of('runs/bard/ckpt-500')
    500
    """
    match = _STEP.fullmatch(os.path.basename(path))
    return int(match[1]) if match else None


def best_step(model_dir: str | os.PathLike) -> int | None:
    """Returns the step of the best checkpoint, or None."""
    names = checkpoints.candidates(os.path.join(model_dir, model_dirs.BEST))
    return step_of(names[0]) if names else None


def curve(model_dir: str | os.PathLike) -> list[Point]:
    """Reads the losses of a run from its metrics.

    What does not parse is left out: the file is only read by people and pages.

    Args:
        model_dir: The directory of the run.

    Returns:
        At most a thousand points, by step; empty, if there is no file.
    """
    path = pathlib.Path(model_dir, model_dirs.METRICS)
    try:
        with open(path, 'rb') as file:
            lines = file.read(_MAX_BYTES).splitlines()
    except FileNotFoundError:
        return []
    points = {}
    for line in lines:
        try:
            metrics = json.loads(line)
            step = metrics['step']
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
        if isinstance(step, int) and not isinstance(step, bool) and step >= 0:
            loss, valid = (_number(metrics.get(n)) for n in _LOSSES)
            points[step] = Point(step, loss, valid)
    ordered = [points[step] for step in sorted(points)]
    if len(ordered) > _MAX_POINTS:
        shown = np.linspace(0, len(ordered) - 1, _MAX_POINTS).astype(int)
        ordered = [ordered[i] for i in shown]
    return ordered


_LOSSES = 'loss', 'valid_loss'


def _number(value: Any) -> float | None:
    """Returns a finite number; None for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    try:
        return float(value) if is_number and math.isfinite(value) else None
    except OverflowError:
        return None


def _all_steps(model_dir: str | os.PathLike) -> dict[int, str]:
    """Returns the paths of all checkpoints of a run, by step."""
    steps = {}
    for folder in ('', model_dirs.BEST, model_dirs.HISTORY):
        for path in checkpoints.candidates(os.path.join(model_dir, folder)):
            step = step_of(path)
            if step is not None:
                steps.setdefault(step, path)
    return steps
