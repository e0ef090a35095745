r"""Measures a trained model on a text.

  python -m tfcharrnn.evaluate --model_dir=runs/bard --split=valid

The text is that of the training run, and so is its split, unless --corpus
names another. It prints one JSON object:

loss           nats per character
bits_per_char  the same in bits
perplexity     e to the power of the loss
accuracy       share of characters that the model ranked first
num_chars      characters that were measured
window_loss    the loss in windows of 256 characters, each from an empty
               context, as models of limited context are measured

All but window_loss carry the state on, in strips that are each read from the
256 characters before it. A model of lines reads each line from its beginning,
and has no window_loss. For a model of words, a token takes the place of a
character.

Several models predict better than one, and n-grams of the training text help:

  python -m tfcharrnn.evaluate --model_dir=runs/a,runs/b --ngram=7

averages their probabilities, and says on standard error with which weights.

A model that goes on learning while it reads predicts a new text better still:
--dynamic adds

dynamic_loss   the loss if each 64 characters are learned after they were scored
               (arXiv 1709.07432). n-grams are counted on. Afterwards the model
               is as before.
"""

from __future__ import annotations

import json
import math
import sys

from tfcharrnn import commands, startup
from tfcharrnn.running.measure_config import MeasureConfig

FLAGS = commands.define(MeasureConfig)


def main() -> None:
    """Prints the metrics as JSON."""
    config = MeasureConfig(**commands.given(FLAGS))
    startup.set_threads()
    startup.import_tensorflow()
    from tfcharrnn.nn.mixture import Mixture
    from tfcharrnn.running import mixing
    from tfcharrnn.running.measure import measure_model

    model, vocabulary = mixing.load_mixture(
        config.model_dirs,
        config.checkpoint,
        ngram=config.ngram,
        weights=config.weights,
    )
    bar = commands.ProgressBar('Reading and learning')
    metrics = measure_model(model, vocabulary, config, report=bar)
    if isinstance(model, Mixture):
        sys.stderr.write(f'{mixing.describe(model, config.model_dirs)}\n')
    # JSON has no infinity, such as the perplexity of a very bad model.
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    print(json.dumps(finite))


if __name__ == '__main__':
    commands.run(main, FLAGS)
