"""ONNX: the logits and the next state, in operations of the standard.

    ids [B, T], state_0 [B, U] ... -> logits [B, T, V], next_state_0 [B, U] ...

One graph serves for single steps (T = 1) and for sequences. The tensors of the
state have the order of `tf.nest.flatten`; zeros begin a text. Metadata `config`
and `vocabulary` are JSON.

The graph has a dozen kinds of operations, so it is written as it is, with the
GRU and the LSTM of the standard, and not translated from TensorFlow's.

Reference: https://onnx.ai/onnx/operators
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

from tfcharrnn import __version__, files
from tfcharrnn.exporting.formats import package
from tfcharrnn.kinds import PLAIN_CELLS
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.nn.layer_norm import EPSILON
from tfcharrnn.text.vocabulary import Vocabulary

# The first with `LayerNormalization`, and the IR that came with it.
_OPSET, _IR = 17, 8
# Where the standard's gates i, o, f, g lie among ours.
_LSTM_ORDER = [0, 3, 1, 2]


def write(
    model: Any, vocabulary: Vocabulary, out: pathlib.Path
) -> list[pathlib.Path]:
    """Writes a model; see `formats.save`.

    Raises:
        ValueError: The model has a cell of the user's own.
    """
    onnx = package('onnx', 'onnx')
    cell = model.config['cell'] if isinstance(model, CharRNN) else None
    if cell not in PLAIN_CELLS:
        raise ValueError(
            f'The model is made of {cell or type(model).__name__!r}, but the '
            'format onnx holds a CharRNN with one of the cells '
            f'{", ".join(PLAIN_CELLS)}. Use saved_model.'
        )
    graph = _Graph(onnx)
    _write_layers(graph, model)
    content = onnx.helper.make_model(
        graph.finished(),
        opset_imports=[onnx.helper.make_opsetid('', _OPSET)],
        ir_version=_IR,
        producer_name='tfcharrnn',
        producer_version=__version__,
    )
    metadata = {'config': model.config, 'vocabulary': vocabulary.to_json()}
    onnx.helper.set_model_props(
        content, {name: json.dumps(value) for name, value in metadata.items()}
    )
    onnx.checker.check_model(content)
    with files.replacing(out) as file:
        file.write(content.SerializeToString())
    return [out]


class _Graph:
    """Collects the parts of a graph: a method for each, which names it."""

    def __init__(self, onnx: Any):
        self._onnx = onnx
        self._nodes, self._arrays = [], []
        self._inputs, self._outputs = [], []

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes):
        """Adds an operation; returns the names of its outputs, or the name."""
        number = len(self._nodes)
        names = [f'{kind.lower()}_{number}_{i}' for i in range(outputs)]
        self._nodes.append(
            self._onnx.helper.make_node(kind, inputs, names, **attributes)
        )
        return names if outputs > 1 else names[0]

    def array(self, value: Any, name: str = 'constant') -> str:
        """Adds an array; returns its name."""
        name = f'{name}_{len(self._arrays)}'
        array = np.ascontiguousarray(value)
        self._arrays.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def input(self, name: str, kind: Any, shape: list | None) -> str:
        """Adds an input; returns its name."""
        self._inputs.append(self._described(name, kind, shape))
        return name

    def output(self, name: str, source: str, shape: list) -> None:
        """Makes an output of float32 of a tensor in the graph."""
        self._nodes.append(
            self._onnx.helper.make_node('Identity', [source], [name])
        )
        self._outputs.append(self._described(name, np.float32, shape))

    def inner(self, states: list[str], values: list[str]) -> _Graph:
        """Begins the graph of a loop's body, whose inputs are [B, U]."""
        body = _Graph(self._onnx)
        for name in (*states, *values):
            body.input(name, np.float32, None)
        return body

    def finished(self) -> Any:
        """Returns the graph."""
        return self._onnx.helper.make_graph(
            self._nodes, 'char_rnn', self._inputs, self._outputs, self._arrays
        )

    def _described(self, name, kind, shape):
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)


def _write_layers(graph, model):
    """Puts a model into a graph. Inside, time comes first: [T, B, ...]."""
    batch, time, units = 'batch', 'time', model.config['rnn_units']
    ids = graph.input('ids', np.int64, [batch, time])
    x = graph.add('Transpose', ids, perm=[1, 0])
    x = _embed(graph, x, model)
    number, after = 0, []
    for layer, cell in enumerate(model.cells):
        count = 2 if model.config['cell'] == 'lstm' else 1
        states = [
            graph.input(f'state_{number + i}', np.float32, [batch, units])
            for i in range(count)
        ]
        number += count
        outputs, states = _WRITERS[model.config['cell']](graph, x, states, cell)
        if model.norms:
            norm = model.norms[layer]
            outputs = graph.add(
                'LayerNormalization',
                outputs,
                graph.array(norm.scale.numpy()),
                graph.array(norm.shift.numpy()),
                epsilon=EPSILON,
            )
        if model.config.get('residual') and layer:
            outputs = graph.add('Add', x, outputs)
        x = outputs
        after += states
    kernel = np.asarray(model._logits_kernel())
    logits = graph.add('MatMul', x, graph.array(kernel, 'kernel'))
    logits = graph.add('Add', logits, graph.array(model.bias.numpy(), 'bias'))
    logits = graph.add('Transpose', logits, perm=[1, 0, 2])
    graph.output('logits', logits, [batch, time, model.vocab_size])
    for i, state in enumerate(after):
        graph.output(f'next_state_{i}', state, [batch, units])


def _embed(graph, ids, model):
    if model.embedding is not None:
        table = graph.array(model.embedding.numpy(), 'embedding')
        return graph.add('Gather', table, ids)
    depth = graph.array(np.int64(model.vocab_size))
    return graph.add(
        'OneHot', ids, depth, graph.array(np.array([0, 1], np.float32))
    )


def _write_gru(graph, x, states, cell):
    bias = cell.bias.numpy().ravel()
    return _write_recurrent(
        graph, 'GRU', x, states, cell, bias=bias, linear_before_reset=1
    )


def _write_lstm(graph, x, states, cell):
    return _write_recurrent(
        graph, 'LSTM', x, states, cell, bias=_two(cell), order=_LSTM_ORDER
    )


def _write_vanilla(graph, x, states, cell):
    return _write_recurrent(graph, 'RNN', x, states, cell, bias=_two(cell))


def _two(cell):
    """Returns the bias of a cell and the second one, which is zero."""
    bias = cell.bias.numpy()
    return np.concatenate([bias, np.zeros_like(bias)])


def _write_recurrent(
    graph, kind, x, states, cell, *, bias, order=None, **attributes
):
    """Writes a layer as one operation; returns outputs and next states."""

    def gates(weights, count):
        """Puts gates, in the last axis, into the standard's order."""
        parts = np.split(np.asarray(weights), count, axis=-1)
        return [parts[i] for i in order] if order else parts

    count = cell.kernel.shape[1] // cell.units
    weights = [
        graph.array(np.concatenate(gates(w.numpy(), count), -1).T[None], kind)
        for w in (cell.kernel, cell.recurrent_kernel)
    ]
    halves = (np.concatenate(gates(half, count)) for half in np.split(bias, 2))
    weights.append(graph.array(np.concatenate(list(halves))[None], kind))
    first, last = (graph.array(np.array([i], np.int64)) for i in (0, 1))
    states = [graph.add('Unsqueeze', state, first) for state in states]
    outputs, *states = graph.add(
        kind,
        *(x, *weights, '', *states),
        outputs=1 + len(states),
        hidden_size=cell.units,
        **attributes,
    )
    states = [graph.add('Squeeze', state, first) for state in states]
    return graph.add('Squeeze', outputs, last), states


def _write_mingru(graph, x, states, cell):
    """Writes products for all times at once, then a loop over averages."""
    kernel, bias = (graph.array(w.numpy()) for w in (cell.kernel, cell.bias))
    x = graph.add('Add', graph.add('MatMul', x, kernel), bias)
    gate, candidate = graph.add('Split', x, outputs=2, axis=-1)
    gate = graph.add('Sigmoid', gate)
    body = graph.inner(['before'], ['gate', 'candidate'])
    change = body.add('Sub', 'candidate', 'before')
    change = body.add('Mul', 'gate', change)
    average = body.add('Add', 'before', change)
    for name in ('after', 'average'):
        body.output(name, average, None)
    state, outputs = graph.add(
        'Scan',
        *(*states, gate, candidate),
        outputs=2,
        body=body.finished(),
        num_scan_inputs=2,
    )
    return outputs, [state]


_WRITERS = {
    'gru': _write_gru,
    'lstm': _write_lstm,
    'mingru': _write_mingru,
    'vanilla': _write_vanilla,
}
