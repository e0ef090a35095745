"""Measures speed on this machine, beside Keras and, if installed, PyTorch.

  python -m tfcharrnn.benchmark
  python -m tfcharrnn.benchmark --what=train,peak --cells=gru --num_layers=2

train     whole training steps: ours with clipping, metrics and the input
          pipeline, Keras' as in its text generation tutorial, PyTorch's with
          autocast for bfloat16
peak      the product of two square matrices: the most the machine can do
generate  texts of --length characters; ours also with int8 weights; Keras' in
          one compiled loop, and at batch 1 also as in its tutorials: one call
          per character, of a compiled function or, for a tenth of the length,
          of the model itself
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

import json
import sys

from tfcharrnn import commands
from tfcharrnn.benchmarking.report import benchmark, format_tables
from tfcharrnn.benchmarking.settings import Settings

FLAGS = commands.define(Settings)


def main() -> None:
    """Measures what the flags ask for and prints it."""
    settings = Settings(**commands.given(FLAGS))
    report = benchmark(settings, sys.stderr.write)
    print(
        json.dumps(report, indent=2) if settings.json else format_tables(report)
    )


if __name__ == '__main__':
    commands.run(main, FLAGS)
