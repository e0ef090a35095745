"""What a benchmark measures, and the task of each contender."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfcharrnn import checks

GATES = {'gru': 3, 'lstm': 4}  # Gates of each cell.
CHOICES = {
    'what': ('train', 'peak', 'generate', 'input', 'corpus'),
    'cells': tuple(GATES),
    'precisions': ('float32', 'bfloat16'),
    'peers': ('keras', 'torch'),
}
_MAX_VOCAB_SIZE = 50_000  # Characters from the space on, below surrogates.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What to measure: the flags of `python -m tfcharrnn.benchmark`.

    >>> Settings(what=('train',), cells=('gru',), rounds=5).steps
    3
    >>> Settings(rounds=0)
    Traceback (most recent call last):
    ValueError: `rounds` is 0, but must be a whole number from 1 up.

    Attributes:
        what: What to measure, of `CHOICES`.
        cells: Recurrent cells.
        precisions: Types of the operands of matrix products.
        peers: What to compare with.
        generate_batch_sizes: Texts that are generated at a time.
        rnn_units: Units per layer.
        num_layers: Recurrent layers.
        batch_size: Rows of a training batch.
        seq_length: Characters per row.
        vocab_size: Distinct characters.
        embedding_dim: Size of an embedding.
        length: Characters of a generated text.
        peak_size: Rows and columns of the matrices for the peak.
        corpus_size: Characters of the text for a corpus.
        rounds: Turns of each contender.
        steps: Timed steps per turn.
        default_threads: Whether to train with TensorFlow's own thread settings
            as well.

    Raises:
        ValueError: If a value is out of range.
    """

    what: tuple[str, ...] = CHOICES['what']
    cells: tuple[str, ...] = CHOICES['cells']
    precisions: tuple[str, ...] = CHOICES['precisions']
    peers: tuple[str, ...] = CHOICES['peers']
    generate_batch_sizes: tuple[int, ...] = (1, 32)
    rnn_units: int = 1024
    num_layers: int = 1
    batch_size: int = 64
    seq_length: int = 100
    vocab_size: int = 65
    embedding_dim: int = 256
    length: int = 500
    peak_size: int = 4096
    corpus_size: int = 1 << 22
    rounds: int = 3
    steps: int = 3
    default_threads: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(Settings):
            value = check(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)


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


def check(name: str, value: Any) -> Any:
    """Returns the value of a setting in its type.

    >>> check('generate_batch_sizes', ['1', '32'])
    (1, 32)
    >>> check('cells', ['rnn'])
    Traceback (most recent call last):
    ValueError: `cells` is 'rnn', but must be one of gru, lstm.

    Raises:
        ValueError: If the value is out of range.
    """
    if name in CHOICES:
        return tuple(checks.choice(name, each, CHOICES[name]) for each in value)
    if name == 'generate_batch_sizes':
        return tuple(_whole_number(name, each) for each in value)
    if name == 'default_threads':
        return bool(value)
    high = _MAX_VOCAB_SIZE if name == 'vocab_size' else None
    return checks.whole_number(name, value, high=high)


def _whole_number(name, value):
    """Reads a whole number that may be the text of a flag."""
    is_text = isinstance(value, str) and value.isdecimal()
    return checks.whole_number(name, int(value) if is_text else value)
