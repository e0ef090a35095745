"""Conversion: one step of a model for LiteRT, by default in int8.

    ids [N], state  ->  logits [N, V], state

A step of a single text takes as long as reading the weights from memory. In
int8 they are a quarter as large. Each column of a weight matrix has its own
scale; each row of activations gets one when it is multiplied ("dynamic range"),
so no row depends on another. Gates, states and matrices of fewer than 1,024
weights stay float32.

References: Jacob et al., arXiv 1712.05877; https://ai.google.dev/edge/litert.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfcharrnn import startup
from tfcharrnn.generation.float32 import in_float32
from tfcharrnn.kinds import CELLS, PLAIN_CELLS
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.nn.columns import MAX_TABLE
from tfcharrnn.nn.mixture import Mixture

_THREADS = 2
_INTERPRETER = 'ai_edge_litert.interpreter'


def convert(model: Any, precision: str = 'int8') -> bytes:
    """Converts one step of a model.

    The result has a signature with the inputs `ids` and `state_0`, `state_1`,
    ..., the tensors of the state in the order of `tf.nest.flatten`, and the
    outputs `logits` and `state_0`, ... The number of rows is free.

    Args:
        model: As for `Generator`. The weights are those of this moment.
        precision: How matrices are stored: 'int8' or 'float32'.

    Returns:
        The model as LiteRT reads it.

    Raises:
        ValueError: The step has operations that LiteRT lacks, or the model is
            a mixture.
    """
    if isinstance(model, Mixture):
        raise ValueError(
            "`precision` is 'int8', but mixtures write in float32. Use "
            "'float32', or a single model."
        )
    step = _rows_step(model) if type(model) is CharRNN else model.step
    state = model.initial_state(1)

    @tf.function(autograph=False)
    def flat_step(ids, **tensors):
        names = _names(state)
        inputs = tf.nest.pack_sequence_as(state, [tensors[n] for n in names])
        logits, after = step(ids, inputs)
        tf.nest.assert_same_structure(state, after)
        outputs = dict(zip(names, tf.nest.flatten(after), strict=True))
        return {'logits': tf.cast(logits, tf.float32), **outputs}

    specs = {
        name: tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype, name)
        for name, tensor in zip(
            _names(state), tf.nest.flatten(state), strict=True
        )
    }
    try:
        with _quiet():
            concrete = flat_step.get_concrete_function(
                tf.TensorSpec([None], tf.int32, 'ids'), **specs
            )
            converter = tf.lite.TFLiteConverter.from_concrete_functions(
                [concrete], _Owner(concrete.graph.variables)
            )
            if precision == 'int8':
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            return converter.convert()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        other = "'float32'" if precision == 'int8' else 'saved_model'
        raise ValueError(
            f"`precision` is '{precision}', but a step of "
            f'{type(model).__name__} cannot be converted for LiteRT '
            f'({reason}). Use {other}.'
        ) from error


def is_ours(model: Any) -> bool:
    """Whether all of a model's step is code of this library."""
    return type(model) is CharRNN and model.config['cell'] in CELLS


def find_interpreter() -> type:
    """Returns the class of LiteRT's interpreter.

    Raises:
        ValueError: Neither its package is installed, nor has TensorFlow one.
    """
    with contextlib.suppress(ImportError):
        return importlib.import_module(_INTERPRETER).Interpreter
    with contextlib.suppress(ImportError, AttributeError), _quiet():
        return tf.lite.Interpreter
    raise ValueError(
        "`precision` is 'int8', but the interpreter of LiteRT is not "
        "installed. Type `pip install 'tfcharrnn[int8]'`, or use 'float32'."
    )


class Step:
    """A converted step, for a number of texts.

        >>> step = Step(convert(CharRNN(5, rnn_units=8)), num_texts=2)
        >>> step(np.array([1, 2])).shape
        (2, 5)
        >>> [tensor.shape for tensor in step.state]
        [(2, 8)]

    Attributes:
        state: The tensors of the state, each [N, ...].
    """

    def __init__(self, content: bytes, num_texts: int):
        """Makes an interpreter.

        Args:
            content: From `convert`.
            num_texts: N.

        Raises:
            ValueError: The content is not what `convert` returned, or no
                interpreter is installed.
        """
        threads = max(1, min(_THREADS, os.cpu_count() or 1))
        with _quiet():
            self._interpreter = find_interpreter()(
                model_content=content, num_threads=threads
            )
            self._resize(num_texts)
            runner = self._interpreter.get_signature_runner()
        inputs, outputs = (
            {name: details['index'] for name, details in table.items()}
            for table in (
                runner.get_input_details(),
                runner.get_output_details(),
            )
        )
        self._ids = self._interpreter.tensor(inputs.pop('ids'))
        self._logits = self._interpreter.tensor(outputs.pop('logits'))
        names = sorted(inputs, key=lambda name: int(name.rpartition('_')[2]))
        self._before = [self._interpreter.tensor(inputs[n]) for n in names]
        self._after = [self._interpreter.tensor(outputs[n]) for n in names]

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Makes a step; the state goes on.

        Args:
            ids: [N] integers.

        Returns:
            The logits [N, V] float32, a copy.
        """
        # The views of the interpreter's memory must be gone when it runs.
        self._ids()[...] = ids
        self._interpreter.invoke()
        for before, after in zip(self._before, self._after, strict=True):
            before()[...] = after()
        return self._logits().copy()

    @property
    def state(self) -> list[np.ndarray]:
        """The tensors of the state, copies of them."""
        return [before().copy() for before in self._before]

    @state.setter
    def state(self, tensors: list[np.ndarray]) -> None:
        for before, tensor in zip(self._before, tensors, strict=True):
            before()[...] = tensor

    def _resize(self, num_texts):
        for details in self._interpreter.get_input_details():
            shape = [num_texts, *details['shape'][1:]]
            self._interpreter.resize_tensor_input(details['index'], shape)
        self._interpreter.allocate_tensors()


class _Owner(tf.Module):
    """Owns the variables of a function, as a conversion demands."""

    def __init__(self, variables):
        super().__init__()
        self._all = list(variables)


def _names(state):
    return [f'state_{i}' for i in range(len(tf.nest.flatten(state)))]


def _rows_step(model: CharRNN) -> Callable:
    """Returns `CharRNN.step` in the layout that LiteRT is fast in.

    Activations are rows, as in `RNNCell.__call__`. The first product is read
    from a table, in float32: faster, and more exact.
    """
    layers = [copy.copy(cell) for cell in in_float32(model).cells]
    table = _table(model, layers[0]) if _has_table(model) else model.embedding
    if table is not None:
        table = tf.convert_to_tensor(table).numpy()

    def step(ids, state):
        if table is None:
            x = tf.one_hot(ids, model.vocab_size)
        else:
            # The operand of a `gather` would be quantized, with one scale.
            x = tf.gather_nd(table, ids[:, tf.newaxis])
        states = []
        for layer, cell in enumerate(layers):
            outputs, after = cell(x, state[layer])
            columns = tf.transpose(x), tf.transpose(outputs)
            x = tf.transpose(model._finish_layer(*columns, layer))
            states.append(after)
        return tf.matmul(x, model._logits_kernel()) + model.bias, tuple(states)

    return step


def _has_table(model) -> bool:
    """Whether the product of the inputs can be looked up for each character."""
    is_small = model.embedding is None or model.vocab_size <= MAX_TABLE
    return is_small and model.config['cell'] in PLAIN_CELLS


def _table(model, cell) -> tf.Tensor:
    """Returns the products of all characters; the cell then skips its own."""
    kernel, multiply = cell.kernel, cell._product

    def product(inputs, weights):
        return inputs if weights is kernel else multiply(inputs, weights)

    object.__setattr__(cell, '_product', product)
    return kernel if model.embedding is None else model.embedding @ kernel


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discards what LiteRT says about its work."""
    with warnings.catch_warnings(), startup.quietly():
        warnings.simplefilter('ignore')
        yield
