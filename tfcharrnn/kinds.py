"""Kinds: the cells, optimizers and curricula that a setting may name.

TensorFlow is not needed. A new kind is a line here and its class or function:
cells in `nn`, curricula in `curricula.named`.
"""

from typing import NamedTuple


class Cell(NamedTuple):
    """What is known of a cell without TensorFlow."""

    class_name: str  # In `nn.gates`, or in `nn.cells` without a fast path.
    num_gates: int  # Its input weights have so many times U columns.
    is_recurrent: bool = True  # Whether weights multiply its state, too.


CELLS = {
    'gru': Cell('GRU', 3),
    'lstm': Cell('LSTM', 4),
    'mingru': Cell('MinGRU', 2, is_recurrent=False),
    'vanilla': Cell('VanillaRNN', 1),
}
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
# How each kind of curriculum is written, in the words of the help.
CURRICULA = {
    'length': 'length:25@1000,50@3000,100 (rows grow)',
    'easiest': 'easiest:rarity,competence=0.1@5000 (of lines)',
    'hardest': 'hardest:length,competence=0.1@5000 (of lines)',
    'random': 'random:competence=0.1@5000 (of lines)',
    'vocabulary': 'vocabulary:20@1000,40@3000,all (of lines)',
    'mix': 'mix:a.txt=linear:1:0.2:4000,b.txt=0.5 (of files)',
    'bandit': 'bandit:prediction,a.txt,b.txt (of files)',
    'teacher': 'teacher:online,a.txt,b.txt (of files)',
}
LESSONS = 'lessons.py:function,name=value (a file of yours)'
HAVE_BETA_2 = 'adam', 'adamw', 'nadam'
# Any other is a schedule of values.
LR_SCHEDULES = 'constant', 'linear', 'cosine'
CYCLES = 'cycles:'  # Or this, and how often a cosine falls.

# The packages that a run can be tracked with.
TRACKERS = ('wandb', 'trackio', 'mlflow')
