"""Character-level recurrent networks: text in, a trained model, text out.

One straight line. Text goes in at the top, text comes out at the bottom, and
every module is one stop on the way.

  text -> Corpus/Vocabulary -> tf.data Batches -> CharRNN -> Trainer
       -> checkpoint -> Generator -> text

  corpus = tfcharrnn.Corpus.load('shakespeare.txt')  # text -> ids, split
  train = tfcharrnn.data.sequences(corpus.train, seq_length=100, batch_size=64)
  valid = tfcharrnn.data.sequences(corpus.valid, seq_length=100, batch_size=16)

  model = tfcharrnn.CharRNN(vocab_size=len(corpus.vocabulary))
  trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam(1e-3))
  checkpointer = tfcharrnn.Checkpointer('runs/bard', trainer, corpus.vocabulary)
  checkpointer.restore()  # None: a fresh start

  every = tfcharrnn.callbacks.every
  trainer.train(train, steps=10_000, callbacks=[  # up to GLOBAL step 10,000
      every(500, tfcharrnn.callbacks.Evaluate(valid)),
      every(500, checkpointer),
  ])

  generator = tfcharrnn.Generator.from_checkpoint('runs/bard')
  print(generator.generate('ROMEO: ', length=500, temperature=0.8))
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = '0.2.0'

if TYPE_CHECKING:  # the same names for editors and type checkers
    from tfcharrnn import curricula as curricula
    from tfcharrnn import data as data
    from tfcharrnn import exporting as exporting
    from tfcharrnn import tasks as tasks
    from tfcharrnn.config import RunConfig as RunConfig
    from tfcharrnn.curricula.scheduled_sampling import (
        ScheduledSampling as ScheduledSampling,
    )
    from tfcharrnn.curricula.stages import Stage as Stage
    from tfcharrnn.data.batches import Batch as Batch
    from tfcharrnn.generation import sampling as sampling
    from tfcharrnn.generation.generator import Generator as Generator
    from tfcharrnn.generation.rereading import Rereading as Rereading
    from tfcharrnn.nn import cells as cells
    from tfcharrnn.nn.cells import RNNCell as RNNCell
    from tfcharrnn.nn.cells import VanillaRNN as VanillaRNN
    from tfcharrnn.nn.char_rnn import CharRNN as CharRNN
    from tfcharrnn.nn.dropout import Noise as Noise
    from tfcharrnn.nn.gates import GRU as GRU
    from tfcharrnn.nn.gates import LSTM as LSTM
    from tfcharrnn.nn.mixture import Mixture as Mixture
    from tfcharrnn.nn.ngram import NGram as NGram
    from tfcharrnn.running.measure import measure as measure
    from tfcharrnn.running.mixing import load_mixture as load_mixture
    from tfcharrnn.running.run import Run as Run
    from tfcharrnn.startup import import_tensorflow as import_tensorflow
    from tfcharrnn.startup import set_threads as set_threads
    from tfcharrnn.text.corpus import Corpus as Corpus
    from tfcharrnn.text.vocabulary import Vocabulary as Vocabulary
    from tfcharrnn.text.words import WordVocabulary as WordVocabulary
    from tfcharrnn.training import callbacks as callbacks
    from tfcharrnn.training import losses as losses
    from tfcharrnn.training import schedules as schedules
    from tfcharrnn.training.checkpointer import Checkpointer as Checkpointer
    from tfcharrnn.training.evaluator import Evaluator as Evaluator
    from tfcharrnn.training.model_dir import load_model as load_model
    from tfcharrnn.training.objectives import Distillation as Distillation
    from tfcharrnn.training.trainer import Trainer as Trainer
    from tfcharrnn.training.transfer import init_from as init_from

# Importing TensorFlow takes seconds, so a module is imported when one of its
# names is first used (PEP 562) and `python -m tfcharrnn.train --help` is quick.
_MODULES = {
    'callbacks': 'training.callbacks',
    'cells': 'nn.cells',
    'curricula': 'curricula',
    'data': 'data',
    'exporting': 'exporting',
    'losses': 'training.losses',
    'sampling': 'generation.sampling',
    'schedules': 'training.schedules',
    'tasks': 'tasks',
}
_HOMES = {
    'Batch': 'data.batches',
    'CharRNN': 'nn.char_rnn',
    'Checkpointer': 'training.checkpointer',
    'Corpus': 'text.corpus',
    'Distillation': 'training.objectives',
    'Evaluator': 'training.evaluator',
    'GRU': 'nn.gates',
    'Generator': 'generation.generator',
    'LSTM': 'nn.gates',
    'Mixture': 'nn.mixture',
    'NGram': 'nn.ngram',
    'Noise': 'nn.dropout',
    'RNNCell': 'nn.cells',
    'Rereading': 'generation.rereading',
    'Run': 'running.run',
    'RunConfig': 'config',
    'ScheduledSampling': 'curricula.scheduled_sampling',
    'Stage': 'curricula.stages',
    'Trainer': 'training.trainer',
    'VanillaRNN': 'nn.cells',
    'Vocabulary': 'text.vocabulary',
    'WordVocabulary': 'text.words',
    'init_from': 'training.transfer',
    'load_mixture': 'running.mixing',
    'import_tensorflow': 'startup',
    'load_model': 'training.model_dir',
    'measure': 'running.measure',
    'set_threads': 'startup',
}
__all__ = ['__version__', *_MODULES, *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f'{__name__}.{_MODULES[name]}')
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_HOMES[name]}')
    globals()[name] = getattr(module, name)  # found at once from now on
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
