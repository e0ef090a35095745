r"""Measures a trained model on a text.

  python -m tfcharrnn.evaluate --model_dir=runs/bard --split=valid

The text is that of the training run, and so is its split, unless --corpus
names another. It prints one JSON object:

loss           nats per character
bits_per_char  the same in bits
perplexity     e to the power of the loss
accuracy       share of characters that the model held for the most probable
num_chars      characters that were measured
window_loss    the loss in windows of 256 characters, each from an empty
               context, as models of limited context are measured

All but window_loss carry the state on, in strips that are each read from the
256 characters before it. A model of lines reads each line from its beginning,
and has no window_loss. For a model of words, a token takes the place of a
character.
"""

from __future__ import annotations

import dataclasses
import json
import math

from tfcharrnn import commands, fields, startup


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(fields.Settings):
    """What is measured; see `running.measure`."""

    model_dir: str = fields.text('', 'The run to measure. Required.')
    checkpoint: str = fields.text(
        'latest', 'latest, best (on validation), or the path of a checkpoint.'
    )
    corpus: str | None = fields.text(
        None,
        'Another text, all of it, read as in training: as lines, CSV or '
        'words. Characters that the model does not know are left out (words '
        'become <unk>), and counted on standard error.',
    )
    encoding: str | None = fields.text(
        None, 'The encoding of --corpus; by default, as in training.'
    )
    split: str | None = fields.word(
        None,
        'The part of the text of the run; by default, valid.',
        ['train', 'valid', 'test'],
    )
    batch_size: int | None = fields.whole(
        None,
        'Strips of the text that are read at once; 1 for the text in one go. '
        'Default: as in training.',
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if not self.model_dir:
            raise ValueError('Give the `model_dir` of a trained model.')
        if self.split and self.corpus:
            raise ValueError(
                'Give the `split` of the text of the run, or another text as '
                '`corpus`, not both.'
            )
        if self.encoding and not self.corpus:
            raise ValueError(
                '`encoding` is that of another text: give its `corpus`, too.'
            )


FLAGS = commands.define(EvaluateConfig)


def main() -> None:
    """Prints the metrics as JSON."""
    config = EvaluateConfig(**commands.given(FLAGS))
    startup.set_threads()
    startup.import_tensorflow()
    from tfcharrnn.running.measure import measure

    metrics = measure(
        config.model_dir,
        config.checkpoint,
        split=config.split or 'valid',
        corpus=config.corpus,
        encoding=config.encoding,
        batch_size=config.batch_size,
    )
    # JSON has no infinity, such as the perplexity of a very bad model.
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    print(json.dumps(finite))


if __name__ == '__main__':
    commands.run(main, FLAGS)
