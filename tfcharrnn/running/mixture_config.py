"""Which models are mixed; no TensorFlow is needed."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re

from tfcharrnn import fields, files
from tfcharrnn.config import HISTORY


def member(folder: str | os.PathLike, number: int) -> pathlib.Path:
    """Returns where a run with members has one of them, from 1 on."""
    return pathlib.Path(folder, f'member-{number}')


def members_in(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the members in a folder; empty unless it is a run with members.

    >>> members_in('no such folder')
    []

    Raises:
        ValueError: If one is a link that leads out of the folder.
    """
    found = []
    while (path := member(folder, len(found) + 1)).is_dir():
        if files.leads_out(path, folder):
            raise ValueError(
                f"'{path}' is a link that leads out of '{os.fspath(folder)}'. "
                'Replace it by a copy of its target, or give that as '
                '`model_dir`.'
            )
        found.append(path)
    return found


def snapshots_in(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the checkpoints in the `history` of a run, in order.

    They are members of one training (snapshot ensembles: Huang et al., arXiv
    1704.00109), as with `--lr_schedule=cycles:4`. In other folders there are
    none.

    >>> snapshots_in('no such folder/history')
    []
    """
    folder = pathlib.Path(folder)
    if folder.name != HISTORY:
        return []
    found = {
        int(match[1]): path.with_suffix('')
        for path in folder.glob('ckpt-*.index')
        if (match := re.fullmatch(r'ckpt-(\d{1,18})', path.stem))
    }
    return [found[step] for step in sorted(found)]


def models_in(name: str | os.PathLike) -> list[str]:
    """Returns the models that a name stands for: itself, or several.

    >>> models_in('runs/bard')
    ['runs/bard']
    """
    found = members_in(name) or snapshots_in(name) or [name]
    return [os.fspath(path) for path in found]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixtureConfig(fields.Settings):
    """A trained model, or several in a mixture; see `running.mixing`.

    >>> MixtureConfig(model_dir='runs/a,runs/b').model_dirs
    ['runs/a', 'runs/b']
    """

    model_dir: str = fields.text(
        '',
        'The run, a checkpoint in it, or demo for a small model of Shakespeare '
        'that is in the package; or several, separated by commas, a run with '
        '--members, or the folder history of a run, whose probabilities are '
        'averaged. Required.',
    )
    checkpoint: str = fields.text(
        'latest', 'latest, best (on validation), or the path of a checkpoint.'
    )
    ngram: int | None = fields.whole(
        None,
        'Averages the probabilities with those of a model that has counted '
        'the n-grams of the training text, of up to so many characters, such '
        'as 7.',
        low=2,
        high=20,
    )
    weights: tuple[float, ...] | None = fields.numbers(
        None,
        'The weights of the models in an average, that of the n-grams last. '
        'By default, they and a temperature are fitted on training text; see '
        '--fit_fraction of tfcharrnn.train.',
    )

    @property
    def model_dirs(self) -> list[str]:
        """The runs; members and the checkpoints of a history one by one."""
        whole = os.path.isdir(self.model_dir)  # Its name may have a comma.
        names = [self.model_dir] if whole else self.model_dir.split(',')
        return [path for name in names for path in models_in(name)]

    def check_together(self) -> None:
        """Refuses settings that contradict each other."""
        if not self.model_dir or not all(self.model_dirs):
            raise ValueError('Give the `model_dir` of a trained model.')
        count = len(self.model_dirs) + (self.ngram is not None)
        if self.weights is not None and len(self.weights) != count:
            raise ValueError(
                f'`weights` are {len(self.weights)} numbers, but there are '
                f'{count} models. Give one for each, that of the n-grams last.'
            )
        if self.weights is not None and not any(self.weights):
            raise ValueError(
                '`weights` are all 0, but at least one must be above.'
            )
        paths = self.checkpoint not in ('latest', 'best')
        if paths and len(self.model_dirs) > 1:
            raise ValueError(
                f'`checkpoint` is {self.checkpoint!r}, but there are '
                f'{len(self.model_dirs)} runs: give latest or best.'
            )
        super().check_together()
