r"""Measures a trained model on a text.

  python -m tfcharrnn.evaluate --model_dir=runs/bard --split=valid

Without --corpus it takes the text, and its split, of the training run. It
prints one JSON object: loss (nats per character), bits_per_char, perplexity,
accuracy and num_chars, with the state carried on, in strips that are each read
from the 256 characters before it on; and window_loss, with the text in windows
of 256 characters that each begin with an empty context, as nanoGPT and other
models of limited context are measured.
A model of lines is measured on each line from its beginning, and has no
window_loss; of a model of words, all of this is per token.
"""

from __future__ import annotations

import dataclasses
import json
import math

from tfcharrnn import commands, fields, startup


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateConfig(fields.Settings):
    """What is measured; see `running.measure`."""

    model_dir: str | None = fields.text(None, 'The run to measure. Required.')
    checkpoint: str = fields.text(
        'latest', 'latest, best (on validation), or the path of a checkpoint.'
    )
    corpus: str | None = fields.text(
        None,
        'Another text, all of it, read as in training: as lines, or as CSV, '
        'where the run was. Characters that the model does not know are left '
        'out (words are <unk>), and counted on standard error.',
    )
    encoding: str | None = fields.text(
        None, 'The encoding of --corpus. Default: as in training.'
    )
    split: str | None = fields.word(
        None,
        'The part of the text of the run. Default: valid.',
        ['train', 'valid', 'test'],
    )
    batch_size: int | None = fields.whole(
        None,
        'Strips of the text that are read at once, each from up to 256 '
        'characters before it; 1 for the text in one go. Default: as in '
        'training.',
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
