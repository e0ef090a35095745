"""What a benchmark measures, and the task of each contender."""

from __future__ import annotations

import dataclasses

from tfcharrnn import fields
from tfcharrnn.fields import switch, whole, wholes, words


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(fields.Settings):
    """What to measure: the flags of `python -m tfcharrnn.benchmark`.

    >>> Settings(what=('train',), cells=('gru',), rounds=5).steps
    3
    >>> Settings(rounds=0)
    Traceback (most recent call last):
    tfcharrnn.fields.SettingError: `rounds` is 0, but must be a whole number \
from 1 up.
    """

    what: tuple[str, ...] = words(
        ['train', 'peak', 'generate', 'input', 'corpus'], 'What to measure.'
    )
    cells: tuple[str, ...] = words(['gru', 'lstm'], 'Recurrent cells.')
    precisions: tuple[str, ...] = words(
        ['float32', 'bfloat16'], 'Types of the operands of matrix products.'
    )
    peers: tuple[str, ...] = words(
        ['keras', 'torch'],
        'What to compare with; empty for nothing.',
        may_be_empty=True,
    )
    generate_batch_sizes: tuple[int, ...] = wholes(
        (1, 32), 'Texts that are generated at a time.'
    )
    rnn_units: int = whole(1024, 'Units per layer.')
    num_layers: int = whole(1, 'Recurrent layers.')
    batch_size: int = whole(64, 'Rows of a training batch.')
    seq_length: int = whole(100, 'Characters per row.')
    # Characters from the space on, below surrogates.
    vocab_size: int = whole(65, 'Distinct characters.', high=50_000)
    embedding_dim: int = whole(256, 'Size of an embedding.')
    length: int = whole(500, 'Characters of a generated text.')
    peak_size: int = whole(
        4096, 'Rows and columns of the matrices for the peak.'
    )
    corpus_size: int = whole(1 << 22, 'Characters of the text for a corpus.')
    rounds: int = whole(3, 'Turns of each contender.')
    steps: int = whole(3, 'Timed steps per turn.')
    default_threads: bool = switch(
        False,
        "Trains with TensorFlow's own thread settings as well as with ours.",
    )
    json: bool = switch(False, 'Prints one JSON object.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Settings):
    """The settings, and what one contender does with them.

    Attributes:
        cell: One of the cells; '' where it makes no difference.
        precision: One of the precisions; '' likewise.
        way: How it is done, where there are several ways.
    """

    cell: str = ''
    precision: str = ''
    way: str = ''
