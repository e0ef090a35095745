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
_MODULES = {
    'callbacks': 'training.callbacks',
    'cells': 'nn.cells',
    'checkpoints': 'training.model_dir',
    'commands': 'commands',
    'config': 'config',
    'corpus': 'text.corpus',
    'curricula': 'curricula',
    'curriculum': 'curricula',
    'data': 'data',
    'files': 'files',
    'generator': 'generation.generator',
    'idfile': 'text.idfile',
    'kernels': 'nn.kernels',
    'losses': 'training.losses',
    'model': 'nn.char_rnn',
    'regularization': 'nn.dropout',
    'sampling': 'generation.sampling',
    'schedules': 'training.schedules',
    'settings': 'settings',
    'sources': 'text.sources',
    'trainer': 'training.trainer',
    'vocabulary': 'text.vocabulary',
}
_MODULE_OF = {
    'Batch': 'data',
    'CharRNN': 'nn.char_rnn',
    'Checkpointer': 'training.checkpointer',
    'Corpus': 'text.corpus',
    'GRU': 'nn.kernels',
    'Generator': 'generation.generator',
    'LSTM': 'nn.kernels',
    'RNNCell': 'nn.cells',
    'ScheduledSampling': 'curricula.scheduled_sampling',
    'Stage': 'curricula.stages',
    'Trainer': 'training.trainer',
    'Run': 'running.run',
    'RunConfig': 'config',
    'load_model': 'training.model_dir',
    'VanillaRNN': 'nn.cells',
    'Vocabulary': 'text.vocabulary',
    'WordVocabulary': 'text.vocabulary',
}
__all__ = ['__version__', *_MODULES, *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f'{__name__}.{_MODULES[name]}')
    if name not in _MODULE_OF:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    module = importlib.import_module(f'{__name__}.{_MODULE_OF[name]}')
    globals()[name] = getattr(module, name)  # found at once from now on
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
