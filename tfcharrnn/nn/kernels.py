"""Goes as soon as `tfcharrnn/__init__.py` names `nn.gates` instead."""

from tfcharrnn.nn.gates import GRU as GRU
from tfcharrnn.nn.gates import LSTM as LSTM
