"""Layers: the weights of a model, as other programs have them, too.

    ids -> embedding -> cell -> ... -> cell -> dense -> logits

Formats of weights, such as those of Keras and PyTorch, hold layers that these
programs know: no option of `CharRNN` beyond that, and no cell of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn.kinds import CELLS
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary

# The cells that Keras and PyTorch have, too.
SHARED_CELLS = 'gru', 'lstm', 'vanilla'
# Options that change what a model computes after training.
_UNSHARED = 'residual', 'layer_norm'


class Layers(NamedTuple):
    """The weights of a model in the layout of Keras: rows are inputs.

    Attributes:
        cell: One of `SHARED_CELLS`.
        embedding: [V, E]; None for one-hot inputs.
        cells: The kernel [I, GU], the recurrent kernel [U, GU] and the bias of
            each cell, with the gates in the order of `nn.cells`.
        kernel: [U, V], of the logits.
        bias: [V], of the logits.

    On the way out they are arrays, on the way in `Stored` ones.
    """

    cell: str
    embedding: Any
    cells: list[tuple[Any, Any, Any]]
    kernel: Any
    bias: Any


class Stored(NamedTuple):
    """An array in a file, which is read when all sizes are known to fit."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def layers_of(model: Any, format: str) -> Layers:
    """Takes the weights out of a model.

        >>> layers = layers_of(CharRNN(5, rnn_units=8), format='keras')
        >>> layers.kernel.shape, layers.cells[0][0].shape
        ((8, 5), (256, 24))

    Args:
        model: A `CharRNN`. The weights that are tied are there twice.
        format: Where they go, for the error.

    Raises:
        ValueError: The model has parts that other programs lack.
    """
    if not isinstance(model, CharRNN):
        raise ValueError(
            f'The format {format} holds a CharRNN, but got '
            f'{type(model).__name__}.'
        )
    config = model.config
    extra = [f'`{name}`' for name in _UNSHARED if config.get(name)]
    if config['cell'] not in SHARED_CELLS:
        extra.append(f"`cell` '{config['cell']}'")
    if extra:
        raise ValueError(
            f'The format {format} cannot hold a model with '
            f'{" and ".join(extra)}. Use saved_model.'
        )
    return Layers(
        config['cell'],
        None if model.embedding is None else model.embedding.numpy(),
        [
            tuple(
                weights.numpy()
                for weights in (c.kernel, c.recurrent_kernel, c.bias)
            )
            for c in model.cells
        ],
        tf.convert_to_tensor(model._logits_kernel()).numpy(),
        model.bias.numpy(),
    )


def shared_config(model: Any) -> dict[str, Any]:
    """Returns the `config` of a model, without weights that are tied.

    >>> shared_config(CharRNN(5, 8, 8, tied=True)).get('tied', False)
    False
    """
    return {k: v for k, v in model.config.items() if k != 'tied'}


def model_of(
    layers: Layers,
    vocabulary: Vocabulary | Sequence[str],
    config: Mapping[str, Any] | None = None,
) -> tuple[CharRNN, Vocabulary]:
    """Makes a model of weights; nothing is read before all sizes fit.

    Args:
        layers: The weights, `Stored`.
        vocabulary: What the ids stand for, or the tokens in the order of ids.
            Those that are not characters are left out of the model.
        config: What `CharRNN.config` was, if that is known.

    Raises:
        ValueError: Sizes do not fit, or a number is not finite.
    """
    sizes = _sizes(layers)
    if sizes['vocab_size'] != len(vocabulary):
        raise ValueError(
            f'it has {sizes["vocab_size"]:,} characters, but the vocabulary '
            f'has {len(vocabulary):,}: all tokens are needed, also those that '
            'are not characters, such as [UNK].'
        )
    for name, size in sizes.items():
        if config is not None and config.get(name) != size:
            raise ValueError(
                f'its weights have `{name}` {size!r}, but its settings say '
                f'{config.get(name)!r}.'
            )
    layers, vocabulary = _without_markers(_read(layers), vocabulary)
    sizes['vocab_size'] = len(vocabulary)
    try:
        # In a file, weights that were tied are there twice.
        model = CharRNN(**{**(config or {}), **sizes, 'tied': False})
    except TypeError as error:
        raise ValueError(f'its settings do not fit: {error}.') from error
    _assign(model, layers)
    return model, vocabulary


def check_vocabulary(vocabulary: Any) -> Vocabulary | list[str]:
    """Returns a vocabulary, or tokens as a list.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(vocabulary, Vocabulary):
        return vocabulary
    tokens: list = list(vocabulary) if np.iterable(vocabulary) else [None]
    if not all(isinstance(token, str) for token in tokens):
        raise ValueError(
            '`vocabulary` must be a Vocabulary, or a list of strings.'
        )
    return tokens


def _sizes(layers) -> dict[str, Any]:
    """Returns sizes as `CharRNN` takes them, if each layer fits the next."""
    cell, embedding, cells, kernel, bias = layers
    gates, (vocab_size,) = CELLS[cell].num_gates, _shape('bias', bias, 1)
    units, width = _shape('kernel', kernel, 2)[0], vocab_size
    if embedding is not None:
        width = _shape('embedding', embedding, 2)[1]
        _check_shape('embedding', embedding, (vocab_size, width))
    _check_shape('kernel of the logits', kernel, (units, vocab_size))
    bias_shape = (2, 3 * units) if cell == 'gru' else (gates * units,)
    inputs = width
    for number, arrays in enumerate(cells, 1):
        shapes = (inputs, gates * units), (units, gates * units), bias_shape
        names = 'kernel', 'recurrent kernel', 'bias'
        for name, array, shape in zip(names, arrays, shapes, strict=True):
            _check_shape(f'{name} of layer {number}', array, shape)
        inputs = units
    return {
        'vocab_size': vocab_size,
        'embedding_dim': None if embedding is None else width,
        'rnn_units': units,
        'num_layers': len(cells),
        'cell': cell,
    }


def _shape(name, array, rank):
    shape = tuple(int(size) for size in array.shape)
    if len(shape) != rank or not all(shape):
        raise ValueError(f'its {name} has the shape {list(shape)}.')
    return shape


def _check_shape(name, array, expected):
    if _shape(name, array, len(expected)) != expected:
        raise ValueError(
            f'its {name} has the shape {list(array.shape)}, where '
            f'{list(expected)} would fit the other weights.'
        )


def _read(layers):
    """Reads all arrays as float32, and checks that they are finite."""

    def read(array):
        if array is None:
            return None
        array = np.asarray(array.read(), np.float32)
        if not np.isfinite(array).all():
            raise ValueError('it has numbers that are not finite.')
        return array

    return Layers(
        layers.cell,
        read(layers.embedding),
        [tuple(map(read, arrays)) for arrays in layers.cells],
        read(layers.kernel),
        read(layers.bias),
    )


def _without_markers(layers, vocabulary):
    """Leaves tokens out that are not characters, such as '[UNK]'."""
    if isinstance(vocabulary, Vocabulary):
        return layers, vocabulary
    kept = [i for i, token in enumerate(vocabulary) if len(token) == 1]
    other = [token for token in vocabulary if len(token) != 1]
    for token in other:
        if token and not re.fullmatch(r'\[\w+\]|<\w+>', token):
            raise ValueError(
                f'the vocabulary has {token!r}, which is not a character.'
            )
    vocabulary = Vocabulary([vocabulary[i] for i in kept])
    if not other:
        return layers, vocabulary
    (kernel, *rest), *others = layers.cells
    embedding = layers.embedding
    if embedding is None:
        kernel = kernel[kept]
    else:
        embedding = embedding[kept]
    layers = Layers(
        layers.cell,
        embedding,
        [(kernel, *rest), *others],
        layers.kernel[:, kept],
        layers.bias[kept],
    )
    return layers, vocabulary


def _assign(model, layers):
    if layers.embedding is not None:
        model.embedding.assign(layers.embedding)
    for cell, (kernel, recurrent_kernel, bias) in zip(
        model.cells, layers.cells, strict=True
    ):
        cell.kernel.assign(kernel)
        cell.recurrent_kernel.assign(recurrent_kernel)
        cell.bias.assign(bias)
    model.kernel.assign(layers.kernel)
    model.bias.assign(layers.bias)
