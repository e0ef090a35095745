"""Assembly: settings become the trainer of a model."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcharrnn import curricula
from tfcharrnn.config import TAIL, RunConfig
from tfcharrnn.training import averages
from tfcharrnn.training.objectives import Distillation
from tfcharrnn.training.optimizers import make_optimizer, read_schedule
from tfcharrnn.training.schedules import Schedule
from tfcharrnn.training.trainer import Trainer


def make_trainer(
    config: RunConfig,
    model: Any,
    *,
    teacher: Any,
    steps: int,
    share: tf.Variable,
) -> Trainer:
    """Makes what trains a model; call it in the scope of the strategy.

    Args:
        config: The settings.
        model: The model.
        teacher: The model that it learns from; None: from the text alone.
        steps: The last step.
        share: Multiplies the learning rate.

    Raises:
        SettingError: If a setting is not a schedule, or is out of range.
    """
    augments = []
    probability = _schedule(config, 'sampling_probability', steps)
    if probability is not None:
        augments.append(curricula.ScheduledSampling(model, probability))
    objective = None
    if teacher is not None:
        weight = config.distill_weight
        objective = Distillation(model, teacher, weight=weight)
    return Trainer(
        model,
        make_optimizer(config, steps, share=share),
        clip_norm=config.clip_norm or None,
        average=_average(config, steps),
        objective=objective,
        augments=augments,
        dropout_schedule=_schedule(config, 'dropout_schedule', steps),
        seed=config.seed,
    )


def _schedule(config, name, steps) -> Schedule | None:
    """Returns the schedule in a setting, whose values are from 0 to 1."""
    text = getattr(config, name)
    if text is None:
        return None
    return read_schedule(name, text, steps, high=1.0)


def _average(config, steps) -> Schedule | float | None:
    """Returns how past weights are averaged."""
    if not isinstance(config.average, str):
        return config.average or None
    share = float(config.average.removeprefix(TAIL))
    return averages.tail(steps - max(1, round(share * steps)))
