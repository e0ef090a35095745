"""Distilling: the trained models that a run learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tfcharrnn.config import RunConfig
from tfcharrnn.nn.mixture import Mixture
from tfcharrnn.running.mixture_config import MixtureConfig
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs
from tfcharrnn.training import transfer


def load_teacher(config: RunConfig, vocabulary: Vocabulary) -> Any:
    """Loads the model in `distill_from`; several are averaged.

    Args:
        config: The settings.
        vocabulary: The characters of the run.

    Returns:
        A model as for `Distillation`; None without `distill_from`.

    Raises:
        FileNotFoundError: If there is no model or no such checkpoint.
        ValueError: If its vocabulary differs, it lies in the folder of the
            run, or a file is damaged.
    """
    if config.distill_from is None:
        return None
    sources = MixtureConfig(model_dir=config.distill_from).model_dirs
    members = []
    for source in sources:
        transfer.check_outside(config.folder, source, 'distill_from')
        model, known = model_dirs.load_model(source)
        if (known, known.lines) != (vocabulary, vocabulary.lines):
            raise ValueError(
                f"The model in '{source}', named by `distill_from`, knows "
                f'{len(known)} {known.unit}s, but not the {len(vocabulary)} '
                f'{vocabulary.unit}s of this text in their order. Learn from a '
                'model that was trained on the same text and split.'
            )
        members.append(model)
    return members[0] if len(members) == 1 else Mixture(members)


def digests(config: RunConfig, teacher: Any) -> dict[str, str]:
    """Returns the SHA-256 of the weights of a teacher, by its name.

    A run goes on only with the same ones.

    Args:
        config: The settings.
        teacher: As `load_teacher` returned it.
    """
    if teacher is None:
        return {}
    models = teacher.members if isinstance(teacher, Mixture) else [teacher]
    variables = [v for model in models for v in model.trainable_variables]
    return {config.distill_from or '': _digest(variables)}


def _digest(variables: Iterable[tf.Variable]) -> str:
    digest = hashlib.sha256()
    for variable in variables:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
