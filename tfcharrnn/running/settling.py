"""Settling: what settings a run has that begins, or that goes on."""

from __future__ import annotations

from typing import Any

from tfcharrnn.config import RunConfig
from tfcharrnn.running import devices
from tfcharrnn.training import model_dir as model_dirs
from tfcharrnn.training.transfer import layer_settings


def settle(given: dict[str, Any]) -> RunConfig:
    """Returns the settings of a run that begins, or that goes on.

    Missing settings come from the run in the folder, if there is one. Those of
    the layers come from the model in `init_from`, if a run begins with it.

    Args:
        given: Settings by name, such as `{'model_dir': 'runs/bard'}`.

    Raises:
        FileNotFoundError: If there is no model in `init_from`.
        ValueError: If a setting is out of bounds, contradicts another one, or
            decides what the run is and differs from it.
    """
    config = RunConfig(
        **{
            name: given[name]
            for name in ('corpus', 'model_dir', 'overwrite')
            if name in given
        }
    )
    if config.overwrite or not model_dirs.has_settings(config.folder):
        if given.get('init_from') is not None:
            given = {**layer_settings(given['init_from']), **given}
        return RunConfig(**given)
    saved = model_dirs.read_settings(config.folder)
    if saved.runs_code and 'curriculum' not in given:
        raise ValueError(
            f"The curriculum of the run in '{config.folder}' is code, and code "
            'is not taken from a folder. If you trust it, name it again: '
            f"--curriculum='{saved.curriculum}' (`curriculum` in Python)."
        )
    return saved.go_on({**given, 'model_dir': str(config.folder)})


def settled_precision(config: RunConfig) -> str:
    """Returns the precision of the run in the folder, or the machine's best.

    Args:
        config: Settings whose `precision` is 'auto'.
    """
    if not config.overwrite and model_dirs.has_settings(config.folder):
        saved = model_dirs.read_settings(config.folder).precision
        if saved != 'auto':
            return saved
    return devices.fast_precision()
