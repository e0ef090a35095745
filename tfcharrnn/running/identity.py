"""Identity: a run goes on only with the text, files and settings it began with.

A checkpoint's record has a digest of each.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

from tfcharrnn import curricula
from tfcharrnn.config import RunConfig
from tfcharrnn.running import distilling
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.training import model_dir as model_dirs
from tfcharrnn.training.record import Record


def check_settings(folder: pathlib.Path, config: RunConfig) -> None:
    """Raises ValueError if the run in a folder has other settings.

    Args:
        folder: The folder; it may be empty.
        config: The settings of the run that would go on there.
    """
    if model_dirs.has_settings(folder):
        model_dirs.read_settings(folder).go_on(config.values())


def check_record(
    record: Record, config: RunConfig, *, corpus: Corpus, teacher: Any
) -> None:
    """Raises ValueError if a run began with another text, or other settings.

    Args:
        record: That of the checkpoint, or a new one: it learns the digests.
        config: The settings.
        corpus: The text.
        teacher: The model that the run learns from, or None.
    """
    text, settings = corpus.digest(), config.digest()
    teachers = distilling.digests(config, teacher)
    files = {**curricula.digests(config), **teachers}
    record.text = record.text or text
    record.settings = record.settings or settings
    record.files = record.files or files
    # First the files, since the vocabulary has their characters, too.
    for name in files:
        if files[name] != record.files.get(name):
            setting = 'distill_from' if name in teachers else 'curriculum'
            raise ValueError(
                f"'{name}', named by `{setting}`, has changed since this run "
                'began. Give it as it was, another `model_dir`, or '
                '`overwrite`.'
            )
    if record.text != text:
        raise ValueError(
            f"The text '{corpus.source}', named by `corpus` or "
            f'{model_dirs.RUN_FLAGS}, is not the one that this run began '
            'with. Give that one, another `model_dir`, or `overwrite`.'
        )
    if record.settings != settings:
        path = os.path.join(config.folder, model_dirs.RUN_FLAGS)
        raise ValueError(
            f"'{path}' is missing or was changed: its settings are not "
            'those that the run began with. Give all that were given then, '
            'another `model_dir`, or `overwrite`.'
        )
