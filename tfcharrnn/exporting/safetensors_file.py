"""Safetensors: weights with the names, shapes and gate order of PyTorch.

    embedding.weight       [V, E]
    rnn.weight_ih_l0       [GU, E]     rnn.weight_ih_l1  [GU, U]  ...
    rnn.weight_hh_l0       [GU, U]
    rnn.bias_ih_l0         [GU]
    rnn.bias_hh_l0         [GU]
    decoder.weight         [V, U]
    decoder.bias           [V]

This is the `state_dict` of a module with a `torch.nn.Embedding` named
`embedding`, a `torch.nn.GRU`, `LSTM` or `RNN` named `rnn`, and a
`torch.nn.Linear` named `decoder`. Metadata `config` and `vocabulary` are JSON.

PyTorch writes the gates of a GRU in the order r, z, n; Keras in z, r, n. Where
it has two biases that are only added, ours is the first and the second is zero.

Reference: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import numpy as np

from tfcharrnn import __version__, files
from tfcharrnn.exporting import layers as shared
from tfcharrnn.exporting.formats import package
from tfcharrnn.exporting.layers import Layers, Stored
from tfcharrnn.text.vocabulary import Vocabulary, from_json

_WHAT = 'a safetensors file of a character model'
_CELLS = {3: 'gru', 4: 'lstm', 1: 'vanilla'}
_TYPES = 'F16', 'F32', 'F64'
_GRU_ORDER = [1, 0, 2]
# The tensors of a layer, in the order of `_from_torch`.
_TENSORS = 'weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'


def write(
    model: Any, vocabulary: Vocabulary, out: pathlib.Path
) -> list[pathlib.Path]:
    """Writes a model; see `formats.save`."""
    numpy_files = package('safetensors.numpy', 'safetensors')
    weights = shared.layers_of(model, 'safetensors')
    tensors = {}
    if weights.embedding is not None:
        tensors['embedding.weight'] = weights.embedding
    for number, arrays in enumerate(weights.cells):
        for name, tensor in zip(
            _TENSORS, _to_torch(weights.cell, *arrays), strict=True
        ):
            tensors[f'rnn.{name}_l{number}'] = tensor
    tensors['decoder.weight'] = weights.kernel.T
    tensors['decoder.bias'] = weights.bias
    metadata = {
        'format': 'pt',  # As PyTorch's own files have it.
        'tfcharrnn': __version__,
        'config': json.dumps(shared.shared_config(model)),
        'vocabulary': json.dumps(vocabulary.to_json()),
    }
    tensors = {k: np.ascontiguousarray(v) for k, v in tensors.items()}
    content = numpy_files.save(tensors, metadata)
    with files.replacing(out) as file:
        file.write(content)
    return [out]


def read(path: pathlib.Path, vocabulary: Any) -> tuple[Any, Vocabulary]:
    """Reads a model; see `formats.load`."""
    safetensors = package('safetensors', 'safetensors')
    try:
        with safetensors.safe_open(path, 'np') as file:
            metadata = file.metadata() or {}
            config = _json(metadata, 'config')
            if vocabulary is None:
                vocabulary = _vocabulary(metadata)
            vocabulary = shared.check_vocabulary(vocabulary)
            weights = _find({name: _stored(file, name) for name in file.keys()})
            return shared.model_of(weights, vocabulary, config)
    except (ValueError, safetensors.SafetensorError) as error:
        raise files.damaged(
            path,
            ValueError(f'{str(error).rstrip(".")}.'),
            what=_WHAT,
            mend='Write it again, or give another file.',
        ) from error


def _to_torch(cell, kernel, recurrent_kernel, bias):
    """Returns the four tensors of a layer in PyTorch."""
    if cell == 'gru':
        kernel, recurrent_kernel, *bias = (
            _swap(array) for array in (kernel, recurrent_kernel, *bias)
        )
    else:
        bias = bias, np.zeros_like(bias)
    return kernel.T, recurrent_kernel.T, *bias


def _swap(array):
    """Exchanges the gates r and z in the last axis: its own inverse."""
    gates = np.split(array, 3, axis=-1)
    return np.concatenate([gates[gate] for gate in _GRU_ORDER], axis=-1)


def _find(tensors):
    """Returns the layers among the tensors of a file, whatever their module.

    Only the last parts of their names are those of PyTorch's layers.
    """
    layers, others = {}, {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(
            r'(?:.*\.)?(weight|bias)_(ih|hh)_l(\d+)', name
        ):
            layers.setdefault(int(match[3]), {})[f'{match[1]}_{match[2]}'] = (
                tensor
            )
        else:
            others[name] = tensor
    numbers = range(len(layers))
    if not layers or set(layers) != set(numbers):
        raise ValueError('it has no layers with names such as weight_ih_l0.')
    for number in numbers:
        if set(layers[number]) != set(_TENSORS):
            raise ValueError(
                f'layer {number} needs {", ".join(_TENSORS)}, with biases.'
            )
    cell = _cell(layers[0])
    embedding, kernel, bias = _outer(others)
    return Layers(
        cell,
        embedding,
        [_from_torch(cell, layers[number]) for number in numbers],
        _transposed(kernel),
        bias,
    )


def _cell(tensors):
    shape = tensors['weight_hh'].shape
    if len(shape) != 2 or not shape[1] or shape[0] % shape[1]:
        raise ValueError(f'its weight_hh_l0 has the shape {list(shape)}.')
    gates = shape[0] // shape[1]
    if gates not in _CELLS:
        raise ValueError(
            f'its weight_hh_l0 has {gates} gates; a GRU has 3, an LSTM 4, an '
            'RNN 1.'
        )
    return _CELLS[gates]


def _outer(tensors):
    """Returns the embedding or None, and the weights and bias of the logits."""
    names = sorted(tensors)
    biases = [name for name in names if name.endswith('bias')]
    if len(biases) == 1:
        kernel = f'{biases[0].removesuffix("bias")}weight'
        others = [n for n in names if n not in (kernel, biases[0])]
        is_embedding = not others or others[0].endswith('weight')
        if kernel in names and len(others) <= 1 and is_embedding:
            embedding = tensors[others[0]] if others else None
            return embedding, tensors[kernel], tensors[biases[0]]
    raise ValueError(
        'besides its recurrent layers, it must have embedding.weight, '
        f'decoder.weight and decoder.bias, but has {", ".join(names[:6])}.'
    )


def _from_torch(cell, tensors):
    """Returns kernel, recurrent kernel and bias, the inverse of `_to_torch`."""
    weights_ih, weights_hh, bias_ih, bias_hh = (
        tensors[name] for name in _TENSORS
    )
    if cell != 'gru':
        bias = Stored(bias_ih.shape, lambda: bias_ih.read() + bias_hh.read())
        if bias_hh.shape != bias_ih.shape:
            raise ValueError('the two biases of a layer differ in size.')
        return _transposed(weights_ih), _transposed(weights_hh), bias
    bias = Stored(
        (2, *bias_ih.shape),
        lambda: _swap(np.stack([bias_ih.read(), bias_hh.read()])),
    )
    if bias_hh.shape != bias_ih.shape:
        raise ValueError('the two biases of a layer differ in size.')
    kernel, recurrent_kernel = (
        Stored(x.shape[::-1], lambda x=x: _swap(x.read().T))
        for x in (weights_ih, weights_hh)
    )
    return kernel, recurrent_kernel, bias


def _transposed(tensor):
    return Stored(tensor.shape[::-1], lambda: tensor.read().T)


def _stored(file, name):
    tensor = file.get_slice(name)
    shape = tuple(tensor.get_shape())
    if tensor.get_dtype() not in _TYPES:
        raise ValueError(
            f'its {name} is of the type {tensor.get_dtype()}, but must be one '
            f'of {", ".join(_TYPES)}.'
        )

    def read():
        return np.asarray(file.get_tensor(name), np.float32)

    return Stored(shape, read)


def _json(metadata, name):
    """Returns a JSON object of the metadata; None if it is not there."""
    if name not in metadata:
        return None
    try:
        document = json.loads(metadata[name])
    except (ValueError, RecursionError) as error:
        raise ValueError(f'its metadata `{name}` is not JSON.') from error
    if not isinstance(document, dict):
        raise ValueError(f'its metadata `{name}` is not a JSON object.')
    return document


def _vocabulary(metadata):
    document = _json(metadata, 'vocabulary')
    if document is None:
        raise ValueError(
            'its metadata has no vocabulary, and no `vocabulary` was given.'
        )
    return from_json(document)
