"""Keras: a model of Keras' own layers, and the vocabulary beside it.

    bard.keras             Embedding, GRU (or LSTM, SimpleRNN) ..., Dense
    bard.vocabulary.json   "characters": a list in the order of the ids

Plain Keras loads the first. The second is a list for a `StringLookup` (a text
file with a token on each line could not hold the newline):

    tokens = json.load(open('bard.vocabulary.json'))['characters']
    ids = keras.layers.StringLookup(vocabulary=tokens, num_oov_indices=0)

In comes a `.keras` file of such layers, or the `.weights.h5` of a model that
has them, whatever its class. Both are read as the JSON and the arrays that they
hold: no object of Keras is made, and no code in them runs.

Reference: https://keras.io/api/models/model_saving_apis
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
import zlib
from typing import Any

import h5py
import tensorflow as tf

from tfcharrnn import files
from tfcharrnn.exporting import layers as shared
from tfcharrnn.exporting.formats import FORMATS
from tfcharrnn.exporting.layers import Layers, Stored
from tfcharrnn.text.vocabulary import Vocabulary

_WHAT = 'a Keras file of a character model'
_CONFIG, _WEIGHTS = 'config.json', 'model.weights.h5'
_MAX_CONFIG = 1 << 22
# Keras does not compress; a compressed file saves less than this.
_MAX_EXPANSION = 4
# What the readers of ZIP, JSON and HDF5 raise. A `RuntimeError` is, for
# example, a ZIP file that is encrypted, or JSON that is nested too deep.
_DAMAGE = (
    *(ValueError, KeyError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error),
)
_CLASSES = {'gru': 'GRU', 'lstm': 'LSTM', 'vanilla': 'SimpleRNN'}
_CELLS = {3: 'gru', 4: 'lstm', 1: 'vanilla'}
# What the settings of layers must be, if they are there.
_NEEDED = {
    'activation': 'tanh',
    'recurrent_activation': 'sigmoid',
    'reset_after': True,
    'go_backwards': False,
    'use_bias': True,
}
_ALLOWED = {
    'InputLayer': {},
    'Dropout': {},
    'SpatialDropout1D': {},
    'Embedding': {'mask_zero': (False,)},
    'Dense': {'activation': ('linear', 'softmax', None), 'use_bias': (True,)},
    'SimpleRNN': {k: (_NEEDED[k],) for k in ('activation', 'go_backwards')},
    'LSTM': {k: (v,) for k, v in _NEEDED.items() if k != 'reset_after'},
    'GRU': {k: (v,) for k, v in _NEEDED.items()},
}


def write(
    model: Any, vocabulary: Vocabulary, out: pathlib.Path
) -> list[pathlib.Path]:
    """Writes a model; see `formats.save`."""
    weights = shared.layers_of(model, 'keras')
    twin = _keras_model(weights)
    beside = _beside(out)
    with tempfile.TemporaryDirectory() as folder:
        made = pathlib.Path(folder, 'model.keras')
        twin.save(made)
        named = pathlib.Path(folder, 'vocabulary.json')
        vocabulary.save(named)
        with files.replacing(out) as file:
            with open(made, 'rb') as source:
                shutil.copyfileobj(source, file)
            # A disk that is full says so before either file is replaced.
            file.flush()
            os.fsync(file.fileno())
            with files.replacing(beside) as text:
                text.write(named.read_bytes())
    return [out, beside]


def read(path: pathlib.Path, vocabulary: Any) -> tuple[Any, Vocabulary]:
    """Reads a model; see `formats.load`."""
    if vocabulary is None:
        vocabulary = _load_vocabulary(path)
    try:
        vocabulary = shared.check_vocabulary(vocabulary)
        size = path.stat().st_size
        if path.name.endswith('.h5'):
            with open(path, 'rb') as file:
                return _read(file, size, vocabulary, None)
        with zipfile.ZipFile(path) as archive:
            config = _read_config(archive)
            info = archive.getinfo(_WEIGHTS)
            _check_bytes(info.file_size, size)
            content = io.BytesIO(_unpack(archive, info))
        return _read(content, info.file_size, vocabulary, config)
    except _DAMAGE as error:
        # The text of a `KeyError` is in quotes.
        reason = error.args[0] if isinstance(error, KeyError) else error
        reason = str(reason).rstrip('.')
        raise files.damaged(
            path,
            ValueError(f'{reason}.'),
            what=_WHAT,
            mend='Write it again, or give another file.',
        ) from error


def _keras_model(weights: Layers) -> Any:
    """Makes a model of Keras with weights."""
    layers = tf.keras.layers
    vocab_size, units = len(weights.bias), len(weights.kernel)
    if weights.embedding is None:
        parts = [layers.Input([None, vocab_size], dtype='float32')]
    else:
        width = weights.embedding.shape[1]
        parts = [
            layers.Input([None], dtype='int32'),
            layers.Embedding(vocab_size, width, dtype='float32'),
        ]
    kind = getattr(layers, _CLASSES[weights.cell])
    parts += [
        kind(units, return_sequences=True, dtype='float32')
        for _ in weights.cells
    ]
    parts.append(layers.Dense(vocab_size, dtype='float32'))
    model = tf.keras.Sequential(parts)
    arrays = [] if weights.embedding is None else [weights.embedding]
    for cell in weights.cells:
        arrays += cell
    model.set_weights([*arrays, weights.kernel, weights.bias])
    return model


def _beside(path):
    """Returns the path of the vocabulary that belongs to a file."""
    stem = path.name.removesuffix('.keras').removesuffix('.weights.h5')
    return path.with_name(stem + FORMATS['keras'].beside)


def _load_vocabulary(path):
    beside = _beside(path)
    if not beside.exists():
        raise FileNotFoundError(
            f"'{path}' has no vocabulary beside it ('{beside.name}'). Give its "
            'tokens in the order of their ids as `vocabulary`.'
        )
    return Vocabulary.load(beside)


def _read_config(archive):
    """Returns the layers that the settings of a model list, or None."""
    info = archive.getinfo(_CONFIG)
    if info.file_size > _MAX_CONFIG:
        raise ValueError(f'its {_CONFIG} is larger than {_MAX_CONFIG} bytes')
    config = json.loads(_unpack(archive, info))
    inner = config.get('config') if isinstance(config, dict) else None
    if not isinstance(inner, dict):
        raise ValueError(f'its {_CONFIG} describes no model')
    if not isinstance(inner.get('layers'), list):
        return None  # A class of the user's own: its weights must do.
    return [_check_layer(layer) for layer in inner['layers']]


def _unpack(archive, info):
    """Unpacks a file of an archive, up to the size that the archive claims.

    `ZipFile.read` unpacks all of it before it compares the sizes. With bzip2
    and LZMA, reading a part does so, too.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f'its {info.filename} is packed by another method than deflate'
        )
    with archive.open(info) as file:
        return file.read(info.file_size)


def _check_layer(layer):
    """Returns the class of a layer, if it is one that we have."""
    name = layer.get('class_name') if isinstance(layer, dict) else None
    config = layer.get('config') if isinstance(layer, dict) else None
    if (
        not isinstance(name, str)
        or name not in _ALLOWED
        or not isinstance(config, dict)
    ):
        raise ValueError(
            f'it has a layer {files.shorten(name)}, but must have these: '
            f'{", ".join(_ALLOWED)}'
        )
    for key, values in _ALLOWED[name].items():
        if config.get(key, values[0]) not in values:
            raise ValueError(
                f'its {name} has `{key}` {files.shorten(config[key])}, but '
                f'must have {values[0]!r}'
            )
    return name


def _read(file, size, vocabulary, classes):
    """Makes a model of a file of HDF5 and the classes of its layers."""
    try:
        content = h5py.File(file, 'r')
    except OSError as error:
        raise ValueError('its HDF5 is damaged') from error
    with content:
        groups = _groups(content, size)
        weights = _find(groups)
        if classes is None:
            _check_order(groups)
        else:
            _check_classes(weights, classes)
        try:
            return shared.model_of(weights, vocabulary)
        except OSError as error:
            raise ValueError('its HDF5 is damaged') from error


def _groups(content, size):
    """Returns {layer: its arrays}, without those of an optimizer."""
    groups, total = {}, 0

    def visit(name, item):
        nonlocal total
        match = re.fullmatch(r'(.*?)(/cell)?/vars/(\d+)', name)
        if not isinstance(item, h5py.Dataset) or not match:
            return
        if name.startswith('optimizer') or 'seed_generator' in name:
            return
        if item.external or item.is_virtual or item.dtype.kind != 'f':
            raise ValueError(f'its array {name} is not of plain numbers')
        if item.shape is None:
            raise ValueError(f'its array {name} is empty')
        # What a filter makes of a few bytes has no limit.
        if item.id.get_create_plist().get_nfilters():
            raise ValueError(
                f'its array {name} is compressed, or has another filter of HDF5'
            )
        total += item.nbytes
        _check_bytes(total, size)
        stored = Stored(tuple(item.shape), lambda: item[...])
        groups.setdefault(match[1], {})[int(match[3])] = stored

    content.visititems(visit)
    return {
        name: [arrays[i] for i in sorted(arrays)]
        for name, arrays in sorted(groups.items(), key=lambda x: _order(x[0]))
    }


def _order(name):
    """Sorts 'gru' before 'gru_1', and 'gru_2' before 'gru_10'."""
    stem = name.rstrip('0123456789')
    return stem.rstrip('_'), int(name[len(stem) :] or 0)


def _find(groups):
    """Returns the layers among groups of arrays, which their ranks tell."""
    embeddings, cells, denses = [], [], []
    places = {(2,): embeddings, (2, 1): denses}
    places |= {(2, 2, 1): cells, (2, 2, 2): cells}
    for name, arrays in groups.items():
        ranks = tuple(len(array.shape) for array in arrays)
        if ranks not in places:
            raise ValueError(
                f'its {name} has arrays of the ranks {list(ranks)}, which no '
                'embedding, recurrent layer or dense layer (with a bias) has'
            )
        places[ranks].append(arrays)
    if len(embeddings) > 1 or not cells or len(denses) != 1:
        raise ValueError(
            f'it has {len(embeddings)} embeddings, {len(cells)} recurrent and '
            f'{len(denses)} dense layers, but must have at most one, one or '
            'more, and one'
        )
    units, columns = cells[0][1].shape
    gates = columns / max(units, 1)
    if gates not in _CELLS:
        raise ValueError(f'its recurrent layers have {gates:g} gates')
    if gates == 3 and len(cells[0][2].shape) == 1:
        raise ValueError('its GRU has `reset_after` False, but must have True')
    embedding = embeddings[0][0] if embeddings else None
    kernel, bias = denses[0]
    return Layers(_CELLS[int(gates)], embedding, cells, kernel, bias)


def _check_classes(weights, classes):
    """Raises if the layers that are listed are not those with weights."""
    expected = ['Embedding'] * (weights.embedding is not None)
    expected += [_CLASSES[weights.cell]] * len(weights.cells) + ['Dense']
    found = [
        name
        for name in classes
        if name in ('Embedding', 'Dense', *_CLASSES.values())
    ]
    if found != expected:
        raise ValueError(
            f'it lists the layers {", ".join(found)}, but has the weights of '
            f'{", ".join(expected)}'
        )


def _check_order(groups):
    """Raises if only the program knows the order of the recurrent layers."""
    names = [name for name, arrays in groups.items() if len(arrays) == 3]
    if len({_order(name)[0] for name in names}) > 1:
        raise ValueError(
            f'it has recurrent layers named {", ".join(names)} and does not '
            'say in which order they follow each other; save a Sequential or '
            'functional model with these layers'
        )


def _check_bytes(needed, size):
    if needed > _MAX_EXPANSION * size + (1 << 20):
        raise ValueError(f'{size:,} bytes of it would become {needed:,}')
