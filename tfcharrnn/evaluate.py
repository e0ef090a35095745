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

What the model makes of your own text, in colors on a terminal, from what it
expected to what surprised it; in a pipe, one line for each with its bits:

  python -m tfcharrnn.evaluate --model_dir=runs/bard --text='To be, or not'

A model that goes on learning while it reads predicts a new text better still:
--dynamic adds

dynamic_loss   the loss if each 64 characters are learned after they were scored
               (arXiv 1709.07432). n-grams are counted on. Afterwards the model
               is as before.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys

from tfcharrnn import commands, fields, startup
from tfcharrnn.running.measure_config import MeasureConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(MeasureConfig):
    """What is measured, or shown; see `running.measure`."""

    text: str | None = fields.text(
        None,
        'Shows how surprising each character of this text is, instead of '
        r'measuring; \n is a newline.',
        escaped=True,
    )
    text_file: str | None = fields.text(
        None, 'The same for a UTF-8 file; - is standard input.'
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if self.text is not None and self.text_file is not None:
            raise ValueError('Give a `text` or a `text_file`, not both.')
        if self.text is not None or self.text_file is not None:
            for name in ('corpus', 'split', 'batch_size', 'dynamic'):
                reason = '`text` and `text_file` are not measured'
                self.refuse_ignored(name, True, reason)
        super().check_together()


FLAGS = commands.define(EvaluateConfig)


def main() -> None:
    """Prints the metrics as JSON, or a text in colors."""
    config = EvaluateConfig(**commands.given(FLAGS))
    text = config.text
    if config.text_file is not None:
        text = commands.read_text('text', config.text_file)
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
    if isinstance(model, Mixture):
        sys.stderr.write(f'{mixing.describe(model, config.model_dirs)}\n')
    if text is not None:
        _show(model, vocabulary, text)
        return
    bar = commands.ProgressBar('Reading and learning')
    metrics = measure_model(model, vocabulary, config, report=bar)
    # JSON has no infinity, such as the perplexity of a very bad model.
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    print(json.dumps(finite))


def _show(model, vocabulary, text) -> None:
    """Shows how surprising each character of a text is."""
    from tfcharrnn.generation.generator import Generator

    surprise = Generator(model, vocabulary).surprise(text)
    # https://no-color.org
    has_colors = sys.stdout.isatty() and not os.environ.get('NO_COLOR')
    print(surprise.to_ansi() if has_colors else surprise.to_table())
    unit, bits = vocabulary.unit, surprise.bits_per_token
    unseen = surprise.num_unseen
    sys.stderr.write(
        f'{len(surprise):,} {unit}s'
        # A text of unknown characters only has no mean.
        + f', {bits:.3f} bits per {unit}' * math.isfinite(bits)
        + f'; {unseen:,} not known' * bool(unseen)
        + '.\n'
    )


if __name__ == '__main__':
    commands.run(main, FLAGS)
