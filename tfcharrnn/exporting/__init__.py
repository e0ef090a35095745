"""Exporting: a model goes to other programs, and comes from them.

The modules in the order of their imports:

    formats           the table of formats; `save` and `load`
    saved_model       text in, text out, in one graph
    onnx_graph        logits and state, in operations of ONNX
    litert_file       one step, for LiteRT
    layers            the weights that a model shares with other programs
    keras_file        Keras' own layers
    safetensors_file  weights with the names of PyTorch
    quantization      the matrices of a model as int8
    snapshots         checkpoints of a run, spread over its training
    features          what can be told about each character by counting
    units             which unit of a model follows such a feature
    training_text     the text of a run, if it can be found
    card              what a reader should know, in words
    bundle            modules of JavaScript become one script
    payload           all that a page knows
    page              one HTML file in which the model runs

TensorFlow is imported with the module of a format, when it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tfcharrnn.exporting.formats import FORMATS, load, save, save_run

if TYPE_CHECKING:
    from tfcharrnn.exporting.quantization import quantized as quantized
    from tfcharrnn.exporting.units import find_units as find_units

# TensorFlow is imported with these.
_HOMES = {'find_units': 'units', 'quantized': 'quantization'}
__all__ = [
    'FORMATS',
    'find_units',
    'load',
    'quantized',
    'save',
    'save_run',
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_HOMES[name]}')
    return getattr(module, name)
