"""Transfer: a new model begins with the weights of a trained one."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn import checks, fields, files
from tfcharrnn.config import ModelConfig
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs

# What two models may differ in, and still have the same layers.
_NOT_LAYERS = {
    *('vocab_size', 'compute_dtype', 'dropout'),
    *('activation_penalty', 'slowness_penalty'),
}


@dataclasses.dataclass(frozen=True)
class Transfer:
    """How many characters brought their weights along.

    >>> print(Transfer('runs/nietzsche', num_kept=57, num_new=8, num_left=27))
    Weights from runs/nietzsche: 57 of 65 characters keep theirs, 8 start \
fresh; 27 that only the other model knows are left out.

    Attributes:
        source: Where the weights came from.
        num_kept: Characters that both models know.
        num_new: Characters that only the new model knows.
        num_left: Characters that only the other model knows.
        unit: What a character is; see `Vocabulary.unit`.
    """

    source: str
    num_kept: int
    num_new: int
    num_left: int
    unit: str = 'character'

    def __str__(self) -> str:
        return (
            f'Weights from {self.source}: {self.num_kept:,} of '
            f'{self.num_kept + self.num_new:,} {self.unit}s keep theirs, '
            f'{self.num_new:,} start fresh; {self.num_left:,} that only the '
            'other model knows are left out.'
        )


def init_from(
    source: str | os.PathLike, model: CharRNN, vocabulary: Vocabulary
) -> Transfer:
    """Gives a new model the weights of a trained one, for another text.

    A character that both know keeps its row of the embedding (or of the first
    kernel, where inputs are one-hot), its column of the logits and its bias:

        there   a  b  c        here   b  c  d
        row     0  1  2   ->          1  2  fresh

    All other weights are those of the trained model. To go on with the same
    text, resume the run instead.

        corpus = tfcharrnn.Corpus.load('new.txt')
        model = tfcharrnn.CharRNN(len(corpus.vocabulary), rnn_units=512)
        print(tfcharrnn.init_from('runs/bard', model, corpus.vocabulary))

    Reference: Howard and Ruder, arXiv 1801.06146.

    Args:
        source: The `model_dir` of the trained model, its folder `best`, or the
            path of a checkpoint in it.
        model: The new model, with the same layers; its weights are replaced.
        vocabulary: The characters of the new model.

    Returns:
        How many characters brought their weights along. As a string, it is a
        sentence.

    Raises:
        FileNotFoundError: If there is no model or no such checkpoint.
        ValueError: If its layers differ, or a file is damaged.
    """
    there, known = model_dirs.load_model(source, build=_builder(model))
    _check_same_layers(source, there.config, model.config)
    if known.unit != vocabulary.unit:
        raise ValueError(
            f"The model in '{os.fspath(source)}' reads {known.unit}s, but this "
            f'one reads {vocabulary.unit}s. Give the same `level`.'
        )
    rows = {token: row for row, token in enumerate(known.tokens)}
    # For each character here, its row there; -1: it has none.
    origin = np.array([rows.get(token, -1) for token in vocabulary.tokens])
    for variable, other, axis in zip(
        model.trainable_variables,
        there.trainable_variables,
        _vocabulary_axes(model),
        strict=True,
    ):
        value = other.numpy()
        if axis is not None:
            value = _take(value, variable.numpy(), origin, axis)
        variable.assign(value)
    num_kept = int((origin >= 0).sum())
    return Transfer(
        os.fspath(source),
        num_kept=num_kept,
        num_new=len(vocabulary) - num_kept,
        num_left=len(known) - num_kept,
        unit=vocabulary.unit,
    )


def layer_settings(source: str | os.PathLike) -> dict[str, Any]:
    """Returns the settings, by name, that make the layers of a trained model.

    Args:
        source: As for `init_from`.

    Returns:
        Fields of `ModelConfig`, such as `{'cell': 'gru', 'rnn_units': 512}`.

    Raises:
        FileNotFoundError: If there is no model.
        ValueError: If its description is damaged, or a link leads out.
    """
    folder, _ = model_dirs.split(source)
    path = model_dirs.description(folder)
    files.check_inside(folder)
    config = model_dirs.read_config(path)
    names = {*fields.settings_of(ModelConfig)} - _NOT_LAYERS
    settings = {name: config[name] for name in names if name in config}
    if settings.get('embedding_dim', 0) is None:
        settings['embedding_dim'] = 0
    return settings


def check_outside(
    model_dir: str | os.PathLike,
    source: str | os.PathLike,
    setting: str = 'init_from',
) -> None:
    """Refuses to begin a run with a model that lies in its own folder.

    Args:
        model_dir: The folder of the run.
        source: As for `init_from`.
        setting: The setting that names the model.

    Raises:
        ValueError: If `source` is that folder, or in it.
    """
    path = pathlib.Path(source).resolve()
    if pathlib.Path(model_dir).resolve() in (path, *path.parents):
        raise ValueError(
            f"`{setting}` is '{os.fspath(source)}', in the `model_dir` of this "
            'run. Give another `model_dir`; or, to go on with that run, leave '
            f'`{setting}` out.'
        )


def _builder(model):
    """Returns what builds a model with a cell of one's own, if it has one."""

    def build(**config):
        sizes = [name for name in model_dirs.SIZES if name in model.config]
        checks.complete(config, sizes)
        if config.get('cell') == model.config['cell']:
            config['cell'] = type(model.cells[0])
        return type(model)(**config)

    return build


def _check_same_layers(source, theirs, ours):
    differences = [
        f'`{name}` is {theirs.get(name, "off")} there and '
        f'{ours.get(name, "off")} here'
        for name in sorted({*theirs, *ours} - _NOT_LAYERS)
        if theirs.get(name) != ours.get(name)
    ]
    if differences:
        raise ValueError(
            f"The model in '{os.fspath(source)}' has other layers: "
            f'{"; ".join(differences)}. Use its settings, or start without '
            '`init_from`.'
        )


def _vocabulary_axes(model):
    """Returns, for each variable, the axis that characters lie along, or None.

    It is the one that grows with the vocabulary. The larger model is made in a
    graph that never runs, so it takes no memory and draws no random numbers.
    """
    config = {**model.config, 'vocab_size': model.vocab_size + 1}
    with tf.Graph().as_default():
        larger = _builder(model)(**config).trainable_variables
    axes = []
    for variable, other in zip(model.trainable_variables, larger, strict=True):
        shapes = zip(variable.shape, other.shape, strict=True)
        grown = [axis for axis, (a, b) in enumerate(shapes) if a != b]
        if len(grown) > 1 or any(
            variable.shape[axis] != model.vocab_size for axis in grown
        ):
            raise ValueError(
                f'The variable {variable.name!r} of shape '
                f'{list(variable.shape)} has no row for each character, so '
                'another vocabulary cannot be mapped.'
            )
        axes.append(grown[0] if grown else None)
    return axes


def _take(theirs, fresh, origin, axis):
    """Returns `fresh` with the rows that have an origin replaced by theirs."""
    theirs, value = np.moveaxis(theirs, axis, 0), np.moveaxis(fresh, axis, 0)
    value = value.copy()
    value[origin >= 0] = theirs[origin[origin >= 0]]
    return np.moveaxis(value, 0, axis)
