"""Kinds: the cells, optimizers and curricula that a setting may name.

TensorFlow is not needed. A new kind is a line here and its class or function:
cells in `nn`, curricula in `curricula.named`.
"""

from typing import NamedTuple


class Cell(NamedTuple):
    """What is known of a cell without TensorFlow."""

    # In `nn.gates`; in `nn.cells` without a fast path; or in `nn.mogrifier`.
    class_name: str
    num_gates: int  # Its input weights have so many times U columns.
    is_recurrent: bool = True  # Whether weights multiply its state, too.
    # In so many rounds, input and state gate each other before a step, through
    # matrices of this rank. Only TensorFlow's formats can hold such a cell.
    rounds: int = 0
    rank: int = 0


CELLS = {
    'gru': Cell('GRU', 3),
    'lstm': Cell('LSTM', 4),
    'mingru': Cell('MinGRU', 2, is_recurrent=False),
    'vanilla': Cell('VanillaRNN', 1),
    'mogrified_gru': Cell('MogrifiedGRU', 3, rounds=4, rank=24),
    'mogrified_lstm': Cell('MogrifiedLSTM', 4, rounds=4, rank=24),
}
# Those whose input weights multiply the input as it is.
PLAIN_CELLS = tuple(name for name, cell in CELLS.items() if not cell.rounds)
# The name of each optimizer's class in Keras.
OPTIMIZERS = {
    'adam': 'Adam',
    'adamw': 'AdamW',
    'adagrad': 'Adagrad',
    'lion': 'Lion',
    'nadam': 'Nadam',
    'rmsprop': 'RMSprop',
    'sgd': 'SGD',
}
# The kinds of curricula, and how they are written in the help and in errors.
_WRITTEN = {
    ('length', 'vocabulary'): 'length:25@1000,50@3000,100, vocabulary:...',
    ('easiest', 'hardest', 'random'): (
        'easiest:loss,competence=0.1@5000, hardest:...'
    ),
    ('mix',): 'mix:a.txt=linear:1:0.2:4000,b.txt=0.5',
    ('bandit', 'teacher'): (
        'bandit:prediction,a.txt,b.txt, teacher:online,...'
    ),
}
CURRICULA = tuple(kind for kinds in _WRITTEN for kind in kinds)
CURRICULA_HELP = (*_WRITTEN.values(), 'lessons.py:function,name=value')
HAVE_BETA_2 = 'adam', 'adamw', 'nadam'
# Any other is a schedule of values.
LR_SCHEDULES = 'constant', 'linear', 'cosine'
CYCLES = 'cycles:'  # Or this, and how often a cosine falls.

# The packages that a run can be tracked with.
TRACKERS = ('wandb', 'trackio', 'mlflow')
