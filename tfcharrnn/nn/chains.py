"""Halves of a batch, computed side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcharrnn.nn.dropout import Noise

# The rows of a batch are cut into this many chains that do not depend on each
# other, so that the gates of one overlap the matrix products of another.
NUM_CHAINS = 2


def run_chains(
    run: Callable[[tf.Tensor, Any, Noise | None, float], Any],
    inputs: tf.Tensor,
    state: Any,
    noise: Noise | None,
) -> Any:
    """Runs a function on each half of the rows, and joins the results.

        >>> def run(inputs, state, noise, row_share):
        ...     return row_share * inputs + state
        >>> ones = tf.ones([4])
        >>> run_chains(run, ones, ones, noise=None).numpy().tolist()
        [1.5, 1.5, 1.5, 1.5]

    A batch of one row, or of a number of rows that is not known when the graph
    is traced, is run in one piece.

    Args:
        run: `run(inputs, state, noise, row_share)` returns tensors for the
            rows that it is given, in any structure.
        inputs: [B, ...].
        state: Tensors [B, ...], in any structure.
        noise: Each half draws its own from it. None: nothing is random.

    Returns:
        What `run` returns, for all rows.
    """
    batch_size = inputs.shape[0]
    if batch_size is None or batch_size < NUM_CHAINS:
        return run(inputs, state, noise, 1.0)
    sizes = [batch_size // NUM_CHAINS] * (NUM_CHAINS - 1)
    sizes.append(batch_size - sum(sizes))
    chains = zip(
        tf.split(inputs, sizes),
        _split(state, sizes),
        [None] * len(sizes) if noise is None else noise.split(len(sizes)),
        [size / batch_size for size in sizes],
        strict=True,
    )
    results = [run(*chain) for chain in chains]
    return tf.nest.map_structure(lambda *x: tf.concat(x, 0), *results)


def _split(state, sizes):
    """Returns a state of the same structure for the rows of each chain."""
    parts = [tf.split(tensor, sizes) for tensor in tf.nest.flatten(state)]
    return [
        tf.nest.pack_sequence_as(state, part)
        for part in zip(*parts, strict=True)
    ]
