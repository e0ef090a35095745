"""Exporting: a model goes to other programs, and comes from them.

The modules in the order of their imports:

    formats           the table of formats; `save` and `load`
    saved_model       text in, text out, in one graph
    onnx_graph        logits and state, in operations of ONNX
    layers            the weights that a model shares with other programs
    safetensors_file  weights with the names of PyTorch

TensorFlow is imported with the module of a format, when it is used.
"""

from tfcharrnn.exporting.formats import FORMATS, load, save

__all__ = ['FORMATS', 'load', 'save']
