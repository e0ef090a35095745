"""Batches of ids: streams, windows and lines of a text."""

from tfcharrnn.data.batches import Batch, Batches
from tfcharrnn.data.chunks import windows
from tfcharrnn.data.corpus_batches import (
    WARMUP,
    batches_from_config,
    evaluation_batches,
    evaluation_streams,
    training_batches,
)
from tfcharrnn.data.dataset import Adaptive, Continuable, Dataset
from tfcharrnn.data.line_batches import chosen_lines, lines
from tfcharrnn.data.streams import Streams, sequences

__all__ = [
    'WARMUP',
    'Adaptive',
    'Batch',
    'Batches',
    'Continuable',
    'Dataset',
    'Streams',
    'batches_from_config',
    'chosen_lines',
    'evaluation_batches',
    'evaluation_streams',
    'lines',
    'sequences',
    'training_batches',
    'windows',
]
