"""Models of each kind, and programs that cannot import this library."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import numpy as np
import tensorflow as tf

import tfcharrnn

VOCABULARY = tfcharrnn.Vocabulary("\n !',abcdeé中")
V = len(VOCABULARY)
# Each kind of model that the layers of other programs can hold.
SHARED = {
    'gru': {},
    'two_layers': {'num_layers': 2},
    'lstm': {'cell': 'lstm'},
    'two_lstms': {'cell': 'lstm', 'num_layers': 2},
    'vanilla': {'cell': 'vanilla'},
    'one_hot': {'embedding_dim': None},
    'tied': {'embedding_dim': 16, 'tied': True},
    'bfloat16': {'compute_dtype': 'bfloat16', 'dropout': 0.2},
}
# And those that only graphs can.
OTHERS = {
    'mingru': {'cell': 'mingru', 'num_layers': 2},
    'norms': {'layer_norm': True, 'residual': True, 'num_layers': 3},
    'one_hot_lstm': {'cell': 'lstm', 'embedding_dim': None},
}


def build(**config):
    """Makes a model whose biases are not zero."""
    sizes = {'vocab_size': V, 'embedding_dim': 8, 'rnn_units': 16}
    model = tfcharrnn.CharRNN(**{**sizes, **config})
    for variable in model.variables:
        variable.assign_add(tf.random.normal(variable.shape, stddev=0.3))
    return model


def random_ids(rows=3, length=20):
    return np.random.default_rng(0).integers(V, size=(rows, length))


def in_float32(model):
    """Makes a model in float32 with the same weights."""
    twin = build(**{**model.config, 'compute_dtype': 'float32'})
    for ours, theirs in zip(twin.variables, model.variables, strict=True):
        ours.assign(theirs)
    return twin


def logits(model, ids):
    """Returns the logits [B, T, V] of a model in float32."""
    twin = in_float32(model)
    return twin(tf.constant(ids), twin.initial_state(len(ids)))[0].numpy()


def run(program, folder, *blocked):
    """Runs a program where tfcharrnn cannot be imported.

    Args:
        program: Its source, which may print one JSON document.
        folder: Its current folder.
        blocked: What it cannot import either.

    Returns:
        The document.
    """
    lines = ['import sys']
    lines += [f'sys.modules[{x!r}] = None' for x in ('tfcharrnn', *blocked)]
    path = pathlib.Path(folder, 'program.py')
    path.write_text('\n'.join([*lines, textwrap.dedent(program)]), 'utf-8')
    environment = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
    environment.pop('PYTHONPATH', None)
    done = subprocess.run(
        [sys.executable, path.name],
        cwd=folder,
        env={**environment, 'CUDA_VISIBLE_DEVICES': '-1'},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f'The program failed: {done.stderr}')
    return json.loads(done.stdout or 'null')
