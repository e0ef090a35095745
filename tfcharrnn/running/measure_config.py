"""What is measured of a trained model; no TensorFlow is needed."""

from __future__ import annotations

import dataclasses

from tfcharrnn import fields
from tfcharrnn.running.mixture_config import MixtureConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureConfig(MixtureConfig):
    """What is measured; see `running.measure`."""

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
    dynamic: bool = fields.switch(
        False,
        'Prints dynamic_loss, too: the text is read once more, and the model '
        'learns each 64 characters after they were scored.',
    )

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if self.split and self.corpus:
            raise ValueError(
                'Give the `split` of the text of the run, or another text as '
                '`corpus`, not both.'
            )
        if self.encoding and not self.corpus:
            raise ValueError(
                '`encoding` is that of another text: give its `corpus`, too.'
            )
        super().check_together()
