"""Devices: what this machine computes on, and with which precision."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re

import tensorflow as tf

from tfcharrnn.config import ModelConfig


def fast_precision() -> str:
    """Returns 'bfloat16' where the hardware multiplies it, else 'float32'."""
    for gpu in tf.config.list_physical_devices('GPU'):
        details = tf.config.experimental.get_device_details(gpu)
        capable = details.get('compute_capability', (0, 0)) >= (8, 0)
        return 'bfloat16' if capable else 'float32'
    with contextlib.suppress(OSError):
        processor = pathlib.Path('/proc/cpuinfo').read_text('utf-8')
        if re.search(r'\b(amx_bf16|avx512_bf16)\b', processor):
            return 'bfloat16'
    return 'float32'


def make_strategy(name: str) -> tf.distribute.Strategy:
    """Returns what shares the rows of a batch among devices.

    Args:
        name: 'none', 'mirrored' or 'multi_worker_mirrored'.

    Raises:
        ValueError: If the variable TF_CONFIG is missing that names the workers.
    """
    if name == 'mirrored':
        return tf.distribute.MirroredStrategy()
    if name == 'multi_worker_mirrored':
        if not os.environ.get('TF_CONFIG'):
            raise ValueError(
                '`strategy` is multi_worker_mirrored, which needs the variable '
                'TF_CONFIG: it names all machines and this one.'
            )
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one among the workers that writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    has_chief = 'chief' in resolver.cluster_spec().as_dict()
    name = 'chief' if has_chief else 'worker'
    return (resolver.task_type, resolver.task_id) == (name, 0)


def check_memory(config: ModelConfig, vocab_size: int) -> None:
    """Raises ValueError for a model that this machine has no memory for."""
    # A weight, its gradient, and two slots of the optimizer: 4 bytes each.
    needed = 16 * config.least_parameters(vocab_size)
    try:
        memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):  # It cannot be known here.
        return
    if needed > memory:
        raise ValueError(
            f'The model needs {needed / 2**30:,.0f} GiB of memory or more; '
            f'this machine has {memory / 2**30:,.0f}. Use smaller `rnn_units`, '
            '`num_layers` or `embedding_dim`.'
        )
