"""Measures speed on this machine, beside Keras and, if installed, PyTorch.

  python -m tfcharrnn.benchmark
  python -m tfcharrnn.benchmark --what=train,peak --cells=gru --num_layers=2

train     whole training steps: ours with clipping, metrics and the input
          pipeline, Keras' as in its text generation tutorial, PyTorch's with
          autocast for bfloat16
peak      the product of two square matrices: the most the machine can do
generate  texts of --length characters; Keras' in one compiled loop, and at
          batch 1 also as in its tutorials: one call per character, of a
          compiled function or, for a tenth of the length, of the model itself
input     the input pipeline alone
corpus    characters to ids, from a text to a `Corpus`

Each contender runs in its own process. They take turns, one at a time, round
after round, so whatever slows the machine down slows all of them. A turn is
one untimed step and --steps timed ones (or one compiled loop of ours). Figures
are medians over the rounds, with the lowest and the highest in brackets. The
text is random ids. first_seconds counts from the end of the imports to the end
of the first step or text; memory_gb is the peak memory of the process.

peak_share is the speed of the equations' matrix products, however they are
computed, as a share of the peak in the same round. Each weight costs 2
operations forward and 4 backward per character:

  6 * (sum over layers of gates * U * (I + U) + U * V),

with U units, I inputs (the embedding's size, then U), V distinct characters
and 3 gates in a GRU, 4 in an LSTM.
"""

from __future__ import annotations

import dataclasses
import json
import sys

from absl import flags

from tfcharrnn import commands
from tfcharrnn.benchmarking import settings
from tfcharrnn.benchmarking.report import benchmark, format_tables

# Flags of its own, so that several commands can be imported side by side.
FLAGS = flags.FlagValues()

_HELP = {
    'what': 'What to measure.',
    'cells': 'Recurrent cells.',
    'precisions': 'Types of the operands of matrix products.',
    'peers': 'What to compare with; empty for nothing.',
    'generate_batch_sizes': 'Texts that are generated at a time.',
    'rnn_units': 'Units per layer.',
    'num_layers': 'Recurrent layers.',
    'batch_size': 'Rows of a training batch.',
    'seq_length': 'Characters per row.',
    'vocab_size': 'Distinct characters.',
    'embedding_dim': 'Size of an embedding.',
    'length': 'Characters of a generated text.',
    'peak_size': 'Rows and columns of the matrices for the peak.',
    'corpus_size': 'Characters of the text for a corpus.',
    'rounds': 'Turns of each contender.',
    'steps': 'Timed steps per turn.',
    'default_threads': "Trains with TensorFlow's own thread settings as well "
    'as with ours.',
}


def _define(field):
    """Defines the flag of a setting: its default, and its check."""
    name, default, text = field.name, field.default, _HELP[field.name]
    if isinstance(default, tuple):
        values = ','.join(map(str, default))
        flags.DEFINE_list(name, values, text, flag_values=FLAGS)
    elif isinstance(default, bool):
        flags.DEFINE_bool(name, default, text, flag_values=FLAGS)
    else:
        flags.DEFINE_integer(name, default, text, flag_values=FLAGS)

    def is_valid(value):
        try:
            settings.check(name, value)
        except ValueError as error:
            raise flags.ValidationError(str(error)) from None
        return True

    flags.register_validator(name, is_valid, flag_values=FLAGS)


for _field in dataclasses.fields(settings.Settings):
    _define(_field)
flags.DEFINE_bool('json', False, 'Prints one JSON object.', flag_values=FLAGS)


def main() -> None:
    """Measures what the flags ask for and prints it."""
    flag_values = FLAGS.flag_values_dict()
    values = {name: flag_values[name] for name in _HELP}
    report = benchmark(settings.Settings(**values), sys.stderr.write)
    print(json.dumps(report, indent=2) if FLAGS.json else format_tables(report))


if __name__ == '__main__':
    commands.run(main, FLAGS)
