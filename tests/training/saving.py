"""Small trainers and the folders that they save in."""

import os
import pathlib

import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.model_dir import load_model
from tfcharrnn.training.trainer import Trainer

optimizers = tf.keras.optimizers
CHARACTERS = Vocabulary('abcde')
OPTIMIZERS = {
    'adam': lambda: optimizers.Adam(0.1),
    'amsgrad': lambda: optimizers.Adam(0.1, amsgrad=True),
    'average': lambda: optimizers.Adam(0.1, use_ema=True),
    'schedule': lambda: optimizers.Adam(
        optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    ),
    'adamw': lambda: optimizers.AdamW(0.1),
    'adamax': lambda: optimizers.Adamax(0.1),
    'rmsprop': lambda: optimizers.RMSprop(0.1),
    'sgd': lambda: optimizers.SGD(0.1),
    'momentum': lambda: optimizers.SGD(0.1, momentum=0.9),
}
FILES = (
    'checkpoint',
    'ckpt-2.index',
    'ckpt-2.data-00000-of-00001',
    'model.json',
    'vocabulary.json',
)
DAMAGES = {
    'emptied': lambda content: b'',
    'cut': lambda content: content[: len(content) // 2],
    'replaced': lambda content: b'to be or not to be' * 200,
}


def make(optimizer='adam', **config):
    config = {'embedding_dim': 2, 'rnn_units': 3, **config}
    rnn = CharRNN(toys.VOCAB, **config)
    return Trainer(rnn, OPTIMIZERS[optimizer](), clip_norm=1.0)


def make_toy(kind=Trainer, **options):
    return kind(toys.FrequencyModel(), OPTIMIZERS['adam'](), **options)


def contents(directory):
    paths = sorted(pathlib.Path(directory).rglob('*'))
    return {path: path.read_bytes() for path in paths if path.is_file()}


class FolderTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.model_dir = os.path.join(self.get_temp_dir(), 'run')

    def checkpointer(self, trained=None, vocabulary=CHARACTERS, **options):
        return Checkpointer(
            self.model_dir, trained or make(), vocabulary, **options
        )

    def save_at(self, *steps):
        """Saves a model, other at each step; returns its checkpointer."""
        checkpointer = self.checkpointer()
        for step in steps:
            self.go_to(checkpointer, step)
            checkpointer.save()
        return checkpointer

    def go_to(self, checkpointer, step):
        checkpointer.trainer.step_variable.assign(step)
        checkpointer.trainer.model.bias.assign([float(step)] * toys.VOCAB)

    def loaded_step(self, checkpoint=None):
        rnn, _ = load_model(self.model_dir, checkpoint)
        return int(rnn.bias[0])
