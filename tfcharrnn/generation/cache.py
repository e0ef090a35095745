"""Cache: converted models, so that only the first start has to convert.

    $XDG_CACHE_HOME/tfcharrnn/DIGEST.tflite    a SHA-256, then the model

The name is a digest of everything that the conversion depends on. A file that
is damaged or cannot be read is made again; a folder that cannot be written is
left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from absl import logging

from tfcharrnn import __version__, files
from tfcharrnn.generation import conversion
from tfcharrnn.text import idfile

# Raised when `conversion` makes another model of the same weights.
_VERSION = 1
_ENDING = '.tflite'
_MAX_FILES = 5


def converted(model: Any) -> bytes:
    """Returns a converted model: see `conversion.convert`.

    A model with code of the user's own is converted each time, since a change
    of its code would go unnoticed.

    Args:
        model: As for `Generator`.

    Raises:
        ValueError: As in `convert`.
    """
    if not conversion.is_ours(model):
        return conversion.convert(model)
    path = idfile.path_of(_key(model)).with_suffix(_ENDING)
    return load(path, lambda: conversion.convert(model))


def load(path: pathlib.Path, make: Callable[[], bytes]) -> bytes:
    """Returns the content of a cached file, which is made where need be.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'a.tflite')
        >>> load(path, lambda: b'made'), load(path, lambda: b'made again')
        (b'made', b'made')

    Args:
        path: The file.
        make: Makes the content, if the file is missing or damaged.
    """
    with contextlib.suppress(OSError):
        data = path.read_bytes()
        size = hashlib.sha256().digest_size
        checksum, content = data[:size], data[size:]
        if hashlib.sha256(content).digest() == checksum:
            with contextlib.suppress(OSError):
                os.utime(path)  # Those that were not used are deleted first.
            return content
        logging.info("'%s' is damaged: it is made again.", path)
    content = make()
    try:
        # What a user reads or trains is not for others.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.replacing(path) as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        _sweep(path.parent)
    except OSError as error:
        logging.info('The converted model is not kept: %s', error)
    return content


def _key(model):
    """Returns what a conversion depends on, as a JSON document."""
    weights = hashlib.sha256()
    for variable in model.variables:
        weights.update(f'{variable.name} {variable.shape}'.encode())
        weights.update(variable.numpy().data)
    return {
        'model': model.config,
        'weights': weights.hexdigest(),
        'format': _VERSION,
        'tfcharrnn': __version__,
        'tensorflow': tf.__version__,
    }


def _sweep(folder):
    """Deletes all but the files that were used last."""
    paths = sorted(
        folder.glob(f'*{_ENDING}'), key=lambda path: path.stat().st_mtime
    )
    for path in paths[:-_MAX_FILES]:
        path.unlink(missing_ok=True)
