"""Payload: all that a page knows, as one JSON document.

    name, version, config, vocabulary      what the model is
    checkpoints                            its weights, at several steps
    curve                                  its losses in training
    units, sampleText                      what is known about its units
    card, python                           what a reader should know

A matrix is `{shape, scale, data}`: base64 of float32 and int8, rows first, a
row for each output; a small one has `fine: {scale, data}`, which is added. A
vector is `{shape, data}`, base64 of float32. All numbers are little-endian. The
weights of a checkpoint are those of `quantization.simplified`:

    embedding                  matrix [V, E]; none with one-hot inputs
    letters                    matrix [V, E]: an embedding that is only shown
    layers[i].kernel           matrix [G * U, I]; G gates, ordered as in `cells`
    layers[i].recurrentKernel  matrix [G * U, U]; none for mingru
    layers[i].bias             vector [G * U]; [2, G * U] for gru
    layers[i].normScale        vector [U], with layer_norm; then of `LayerNorm`
    layers[i].normShift        vector [U], with layer_norm
    output.kernel              matrix [V, U]; none with tied weights
    output.bias                vector [V]
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from tfcharrnn import __version__
from tfcharrnn.exporting import quantization
from tfcharrnn.exporting.quantization import Rows, quantize
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import TOKEN_IN_JAVASCRIPT

FORMAT = 1
# In the text of an element, these could end it; JSON has them in strings only.
_ESCAPED = str.maketrans({c: f'\\u{ord(c):04x}' for c in '<>&\u2028\u2029'})


def write(payload: dict[str, Any]) -> str:
    r"""Writes a payload as JSON that can stand inside of an element.

        >>> write({'name': '</script>'})
        '{"name":"\\u003c/script\\u003e"}'

    Args:
        payload: Plain values; no number may be infinite.
    """
    text = json.dumps(payload, separators=(',', ':'), allow_nan=False)
    return text.translate(_ESCAPED)


def describe_model(model: CharRNN) -> dict[str, Any]:
    """Returns the sizes of a model, for the page."""
    config = model.config
    return {
        'cell': config['cell'],
        'vocabSize': config['vocab_size'],
        'embeddingDim': config['embedding_dim'],
        'units': config['rnn_units'],
        'layers': config['num_layers'],
        'tied': bool(config.get('tied')),
        'residual': bool(config.get('residual')),
        'layerNorm': bool(config.get('layer_norm')),
        'parameters': model.num_parameters,
    }


def describe_vocabulary(vocabulary: Vocabulary) -> dict[str, Any]:
    """Returns the tokens of a vocabulary, and how a text is cut into them."""
    is_words = vocabulary.unknown is not None
    tokens = vocabulary.tokens
    starts = [char for char in '\n ' if char in vocabulary]
    return {
        'tokens': list(tokens),
        'level': 'word' if is_words else 'char',
        'lines': vocabulary.lines,
        'unknown': tokens.index(vocabulary.unknown) if is_words else None,
        # A text begins after this token; it is not part of it.
        'begin': tokens.index(starts[0]) if starts else 0,
        'end': tokens.index('\n') if vocabulary.lines else None,
        'pattern': TOKEN_IN_JAVASCRIPT if is_words else None,
    }


def weights_of(model: CharRNN) -> dict[str, Any]:
    """Returns the weights of a model: see the module.

    Raises:
        ValueError: A weight is not finite.
    """
    shown = quantization.simplified(model)
    weights: dict[str, Any] = {
        'layers': [{'bias': _vector(cell.bias)} for cell in shown.cells],
        'output': {'bias': _vector(shown.bias)},
    }
    for layer, norm in zip(weights['layers'], shown.norms, strict=False):
        layer['normScale'] = _vector(norm.scale)
        layer['normShift'] = _vector(norm.shift)
    for path, variable in quantization.matrices_of(shown).items():
        place, _, name = path.rpartition('.')
        part, _, layer = place.partition('.')
        target = weights[part][int(layer)] if layer else weights[part]
        target[camel_case(name)] = _matrix(quantize(variable.numpy().T))
    if model.embedding is not None:
        rows = quantize(model.embedding.numpy())
        if shown.embedding is None:
            weights['letters'] = _matrix(rows._replace(fine=None))
        else:
            weights['embedding'] = _matrix(rows)
    return weights


def describe(
    model: CharRNN, vocabulary: Vocabulary, *, name: str
) -> dict[str, Any]:
    """Returns the parts of a payload that follow from the model alone.

    Args:
        model: A model that `quantization.check` accepts.
        vocabulary: Its vocabulary.
        name: What the page is called: any text.
    """
    return {
        'format': FORMAT,
        'name': name,
        'version': __version__,
        'config': describe_model(model),
        'vocabulary': describe_vocabulary(vocabulary),
    }


def _matrix(rows: Rows) -> dict[str, Any]:
    matrix = {'shape': list(rows.data.shape), **_numbers(rows)}
    if rows.fine is not None:
        matrix['fine'] = _numbers(rows.fine)
    return matrix


def _numbers(rows: Rows) -> dict[str, str]:
    return {
        'scale': _base64(rows.scale.astype('<f4')),
        'data': _base64(rows.data),
    }


def _vector(variable: Any) -> dict[str, Any]:
    values = variable.numpy().astype('<f4')
    if not np.isfinite(values).all():
        raise ValueError(
            'A weight of the model is not finite. Export an earlier checkpoint.'
        )
    return {'shape': list(values.shape), 'data': _base64(values)}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode('ascii')


def camel_case(name: str) -> str:
    """Returns a name as JavaScript writes it: `control_auc` as `controlAuc`."""
    first, *others = name.split('_')
    return first + ''.join(word.capitalize() for word in others)
