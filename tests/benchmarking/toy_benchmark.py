"""Tasks of toy size, and contenders that have done them."""

from tfcharrnn.benchmarking.settings import Settings, Task
from tfcharrnn.benchmarking.timing import Contender

SIZES = {
    'rnn_units': 4,
    'num_layers': 2,
    'batch_size': 3,
    'seq_length': 5,
    'vocab_size': 7,
    'embedding_dim': 2,
    'length': 6,
    'peak_size': 8,
    'corpus_size': 1000,
    'rounds': 2,
    'steps': 2,
}


def settings(**changes):
    return Settings(**{**SIZES, **changes})


def task(**changes):
    return Task(**{'cell': 'gru', 'precision': 'float32', **SIZES, **changes})


def contender(what, name, *speeds, **changes):
    """Returns one that has made its turns, at these speeds."""
    result = Contender(what, name, task(**changes))
    replies = [{}, None, *speeds] if speeds else []
    result.replies = [(value, 0.5, 2 * 10**9) for value in replies]
    return result
