"""Packaged: a trained model comes with the library, under a name.

    python -m tfcharrnn.generate --model_dir=demo --prompt='ROMEO: '

It is an ordinary `model_dir` of a small model of Shakespeare's plays, whose
weights are rounded so that they compress well; `examples/demo.py` made it.
"""

from __future__ import annotations

import os
import pathlib

DEMO = 'demo'
_FOLDER = pathlib.Path(__file__).parents[1] / 'demo'


def located(model_dir: str | os.PathLike) -> str:
    """Returns the path of a `model_dir`, which may be named 'demo'.

    A file or folder of that name in the current directory wins.

        >>> located('runs/bard')
        'runs/bard'
        >>> pathlib.Path(located('demo'), 'model.json').exists()
        True

    Args:
        model_dir: A path, or 'demo' for the model in the package.
    """
    path = os.fspath(model_dir)
    if path == DEMO and not os.path.lexists(path):
        return str(_FOLDER)
    return path
