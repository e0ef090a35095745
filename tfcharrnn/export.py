r"""Writes a trained model for other programs.

  python -m tfcharrnn.export --model_dir=runs/bard --format=safetensors \
      --out=bard.safetensors
  python -m tfcharrnn.export --model_dir=runs/bard --format=page \
      --checkpoints=5 --out=bard.html

A file is written in full, or not at all. In Python, `tfcharrnn.exporting.save`
does the same, and `tfcharrnn.exporting.load` makes a model of weights of Keras
and PyTorch.
"""

from __future__ import annotations

import dataclasses

from tfcharrnn import commands, fields, startup
from tfcharrnn.exporting.formats import FORMATS
from tfcharrnn.running import mixture_config

_OPTIONS = {name for format in FORMATS.values() for name in format.options}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(fields.Settings):
    """What is written, and where to; see `exporting.save`."""

    model_dir: str = fields.text(
        '', 'The directory that tfcharrnn.train wrote. Required.'
    )
    checkpoint: str = fields.text(
        'latest', 'latest, best (on validation), or the path of a checkpoint.'
    )
    format: str | None = fields.word(
        None,
        'Required. '
        + ' '.join(f'{name}: {kind.help}.' for name, kind in FORMATS.items()),
        FORMATS,
    )
    out: str = fields.text('', 'The file or folder to write. Required.')
    overwrite: bool = fields.switch(False, 'Replaces what is there.')
    precision: str = fields.word(
        'float32',
        'How the weights of litert are stored; int8 is smaller, and almost as '
        'exact.',
        ('float32', 'int8'),
    )
    checkpoints: int = fields.whole(
        1,
        'Checkpoints of the run in a page, at most: --checkpoint, the best, '
        'and others spread over training (see --keep_every of train).',
    )

    def check_together(self) -> None:
        """Refuses settings that are missing or contradict each other."""
        if not self.model_dir:
            raise ValueError('Give the `model_dir` of a trained model.')
        if members := mixture_config.members_in(self.model_dir):
            raise ValueError(
                f"`model_dir` is '{self.model_dir}', a mixture of "
                f'{len(members)}, but a file holds one model. Give one of '
                f"them, such as '{members[0]}'."
            )
        if self.format is None:
            raise ValueError(f'Give a `format`: {", ".join(FORMATS)}.')
        if not self.out:
            raise ValueError('Give `out`, the file or folder to write.')
        for name in _OPTIONS - {*FORMATS[self.format].options}:
            reason = f'`format` is {self.format}, which does not take it'
            self.refuse_ignored(name, True, reason)


FLAGS = commands.define(ExportConfig)


def main() -> None:
    """Writes what the flags ask for."""
    config = ExportConfig(**commands.given(FLAGS))
    startup.import_tensorflow()
    from tfcharrnn.exporting.formats import save_run

    format = str(config.format)
    options = FORMATS[format].options
    paths = save_run(
        config.model_dir,
        config.out,
        format=format,
        checkpoint=config.checkpoint,
        overwrite=config.overwrite,
        options={name: getattr(config, name) for name in options},
    )
    for path in paths:
        print(f'{path}: {_size(path):,} bytes')


def _size(path):
    """Returns the bytes of a file, or of all files in a folder."""
    files = path.rglob('*') if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == '__main__':
    commands.run(main, FLAGS)
