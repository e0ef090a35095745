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

__version__ = '0.1.0'

# Importing TensorFlow takes seconds, so a module is imported when one of its
# names is first used (PEP 562) and `python -m tfcharrnn.train --help` is quick.
_MODULES = (
    'callbacks',
    'cells',
    'checkpoints',
    'commands',
    'corpus',
    'curriculum',
    'data',
    'files',
    'generator',
    'idfile',
    'kernels',
    'losses',
    'model',
    'regularization',
    'sampling',
    'schedules',
    'settings',
    'sources',
    'trainer',
    'vocabulary',
)
_MODULE_OF = {
    'Batch': 'data',
    'CharRNN': 'model',
    'Checkpointer': 'checkpoints',
    'Corpus': 'corpus',
    'GRU': 'kernels',
    'Generator': 'generator',
    'LSTM': 'kernels',
    'RNNCell': 'cells',
    'ScheduledSampling': 'curriculum',
    'Stage': 'curriculum',
    'Trainer': 'trainer',
    'VanillaRNN': 'cells',
    'Vocabulary': 'vocabulary',
    'WordVocabulary': 'vocabulary',
}
__all__ = ['__version__', *_MODULES, *_MODULE_OF]

if TYPE_CHECKING:  # the same names for editors and type checkers
    from tfcharrnn import (
        callbacks,
        cells,
        checkpoints,
        commands,
        corpus,
        curriculum,
        data,
        files,
        generator,
        idfile,
        kernels,
        losses,
        model,
        regularization,
        sampling,
        schedules,
        settings,
        sources,
        trainer,
        vocabulary,
    )
    from tfcharrnn.cells import RNNCell, VanillaRNN
    from tfcharrnn.checkpoints import Checkpointer
    from tfcharrnn.corpus import Corpus
    from tfcharrnn.curriculum import ScheduledSampling, Stage
    from tfcharrnn.data import Batch
    from tfcharrnn.generator import Generator
    from tfcharrnn.kernels import GRU, LSTM
    from tfcharrnn.model import CharRNN
    from tfcharrnn.trainer import Trainer
    from tfcharrnn.vocabulary import Vocabulary, WordVocabulary


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f'{__name__}.{name}')
    if name not in _MODULE_OF:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_MODULE_OF[name]}')
    globals()[name] = getattr(module, name)  # found at once from now on
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
