"""A model in float32, whatever its `compute_dtype`; and without XLA."""

from __future__ import annotations

import copy
from typing import Any

import tensorflow as tf

from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.nn.layer_norm import normalize
from tfcharrnn.nn.mixture import Mixture


def in_float32(model: Any) -> Any:
    """Returns a model with the same weights that computes in float32.

    In bfloat16, rounding makes a text's state depend on how many texts are read
    at a time, in the third digit.

        >>> model = CharRNN(5, rnn_units=8, compute_dtype='bfloat16')
        >>> twin = in_float32(model)
        >>> twin.cells[0].kernel is model.cells[0].kernel
        True
        >>> twin.cells[0].compute_dtype, model.cells[0].compute_dtype
        (tf.float32, tf.bfloat16)

    Args:
        model: A model, which stays as it is.

    Returns:
        A copy that shares all variables; of a mixture, with such copies. The
        model itself, if it is in float32 already or of another class.
    """
    if isinstance(model, Mixture):
        members = [in_float32(member) for member in model.members]
        return Mixture(members, model.weights, temperatures=model.temperatures)
    if not isinstance(model, CharRNN):
        return model
    if model.config['compute_dtype'] == 'float32':
        return model
    return _replace(
        model,
        _dtype=tf.float32,
        cells=[_replace(c, compute_dtype=tf.float32) for c in model.cells],
    )


def uncompiled(model: Any) -> Any:
    """Returns a model in float32 whose `step` has no functions of XLA.

        >>> model = CharRNN(5, rnn_units=8, layer_norm=True)
        >>> twin = uncompiled(model)
        >>> logits, _ = twin.step(tf.constant([1]), twin.initial_state(1))
        >>> logits.shape
        TensorShape([1, 5])

    Args:
        model: A model, which stays as it is.

    Returns:
        A copy that shares all variables. The model itself, if it is not a
        `CharRNN`.
    """
    if not isinstance(model, CharRNN):
        return model

    def plain(norm):
        return lambda x: normalize(x, norm.scale, norm.shift)

    norms = [plain(norm) for norm in model.norms]
    return _replace(in_float32(model), norms=norms)


def _replace(module, **attributes):
    """Returns a copy of a `tf.Module` with other attributes."""
    twin = copy.copy(module)
    for name, value in attributes.items():
        # `tf.Module` notes what is assigned for checkpoints, in a dict that
        # the copy shares with the original.
        object.__setattr__(twin, name, value)
    return twin
