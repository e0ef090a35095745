"""Formats: a table of the files that a model goes to and comes from.

A new format is a line in `FORMATS` and a module in this folder with

    write(model, vocabulary, out, *, option=...) -> paths that it wrote
    read(path, vocabulary) -> model, vocabulary     # if its line says so
    write_run(model_dir, out, *, checkpoint, option=...) -> paths   # the same
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfcharrnn import checks, files
from tfcharrnn.text.vocabulary import Vocabulary


class Format(NamedTuple):
    """What is known of a format without TensorFlow.

    Attributes:
        help: What it is, for `--help`.
        module: The module in this folder that writes it.
        ending: How the name of its file ends; '': it is a folder.
        beside: Ending of a second file that is written beside it, if any.
        reads: Endings of the files that its module reads.
        options: Keywords of its `write`: settings of the command that this
            format takes.
        of_run: Whether it shows more of a run than one model: then its module
            has a `write_run`.
    """

    help: str
    module: str
    ending: str
    beside: str = ''
    reads: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    of_run: bool = False


FORMATS = {
    'saved_model': Format(
        'a folder for TensorFlow and TensorFlow Serving: prompts in, texts out',
        'saved_model',
        '',
    ),
    'keras': Format(
        "a .keras file of Keras' own layers, and the vocabulary beside it",
        'keras_file',
        '.keras',
        beside='.vocabulary.json',
        reads=('.keras', '.weights.h5'),
    ),
    'onnx': Format(
        'a graph of logits and next state, for steps and sequences',
        'onnx_graph',
        '.onnx',
    ),
    'litert': Format(
        'one step for LiteRT (TensorFlow Lite), which also runs on phones, '
        'and a ZIP file in it with the settings and the vocabulary',
        'litert_file',
        '.tflite',
        options=('precision',),
    ),
    'safetensors': Format(
        'weights with the names and gate order of PyTorch, and the settings '
        'and vocabulary as metadata',
        'safetensors_file',
        '.safetensors',
        reads=('.safetensors',),
    ),
    'page': Format(
        'one HTML file in which the model runs: write with it, look inside it, '
        'watch it learn',
        'page',
        '.html',
        options=('checkpoints',),
        of_run=True,
    ),
}
# What PyTorch and others write with Python's pickle, which may run code.
_PICKLES = '.pt', '.pth', '.bin', '.ckpt', '.pkl', '.pickle', '.npy', '.npz'


def save(
    model: Any,
    vocabulary: Vocabulary,
    out: str | os.PathLike,
    *,
    format: str,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
) -> list[pathlib.Path]:
    """Writes a model for other programs.

    A file is written in full, or not at all.

        >>> import tempfile
        >>> model = tfcharrnn.CharRNN(3, embedding_dim=2, rnn_units=4)
        >>> out = pathlib.Path(tempfile.mkdtemp(), 'abc.safetensors')
        >>> [
        ...     path.name
        ...     for path in save(
        ...         model, Vocabulary('abc'), out, format='safetensors'
        ...     )
        ... ]
        ['abc.safetensors']

    Args:
        model: A `CharRNN`.
        vocabulary: The vocabulary that it was trained with.
        out: The file, or the folder, to write.
        format: One of `FORMATS`.
        overwrite: Whether what is there is replaced.
        options: Options of the format by name, such as
            `{'precision': 'int8'}`.

    Returns:
        The paths that were written, `out` first.

    Raises:
        FileExistsError: `out` exists and `overwrite` is False.
        ValueError: The format cannot hold the model, an option is not one of
            the format, or a package is not installed.
    """
    kind, out = _check(out, format, overwrite, options)
    _check_model(model, vocabulary)
    write = _module(kind).write
    with _folder_of(out):
        return write(model, vocabulary, out, **(options or {}))


def save_run(
    model_dir: str | os.PathLike,
    out: str | os.PathLike,
    *,
    format: str,
    checkpoint: str | None = None,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
) -> list[pathlib.Path]:
    """Writes the model of a run for other programs.

        save_run('runs/bard', 'bard.html', format='page')

    Args:
        model_dir: The directory of the run.
        out: As for `save`.
        format: As for `save`.
        checkpoint: As for `load_model`.
        overwrite: As for `save`.
        options: As for `save`.

    Returns:
        As `save`.

    Raises:
        FileExistsError, FileNotFoundError, ValueError: As for `save` and
            `load_model`.
    """
    kind, out = _check(out, format, overwrite, options)
    if not kind.of_run:
        from tfcharrnn.training.model_dir import load_model

        model, vocabulary = load_model(model_dir, checkpoint)
        return save(
            model,
            vocabulary,
            out,
            format=format,
            overwrite=overwrite,
            options=options,
        )
    write = _module(kind).write_run
    return write(model_dir, out, checkpoint=checkpoint, **(options or {}))


def load(
    path: str | os.PathLike,
    vocabulary: Vocabulary | Sequence[str] | None = None,
) -> tuple[Any, Vocabulary]:
    """Makes a model of the weights in a file.

    Nothing in the file is executed.

        >>> import tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), 'abc.safetensors')
        >>> model = tfcharrnn.CharRNN(3, embedding_dim=2, rnn_units=4)
        >>> _ = save(model, Vocabulary('abc'), path, format='safetensors')
        >>> twin, vocabulary = load(path)
        >>> vocabulary, twin.config == model.config
        (Vocabulary('abc'), True)

    Args:
        path: A file that ends in one of the `Format.reads` of `FORMATS`.
        vocabulary: What its ids stand for: a vocabulary, or tokens in the order
            of their ids. Rows of the model for tokens that are not characters,
            such as '[UNK]', are left out. None: that in or beside the file.

    Returns:
        A `CharRNN` and its vocabulary.

    Raises:
        OSError: The file is missing or cannot be read.
        ValueError: The file is of another kind, damaged, holds another
            architecture or numbers that are not finite; or the vocabulary is
            missing or of another size; or a package is not installed.
    """
    path = pathlib.Path(path)
    endings = {
        ending: kind for kind in FORMATS.values() for ending in kind.reads
    }
    if path.name.endswith(_PICKLES):
        raise ValueError(
            f"'{path}' may hold a pickle, which can run code when it is read, "
            'so it is refused. Save the weights as .safetensors in the program '
            'that wrote it (safetensors.torch.save_file).'
        )
    for ending, kind in endings.items():
        if path.name.endswith(ending):
            if not path.is_file():
                raise FileNotFoundError(f"There is no file '{path}'.")
            return _module(kind).read(path, vocabulary)
    raise ValueError(
        f"'{path}' must be a file that ends in one of {', '.join(endings)}."
    )


def package(name: str, extra: str) -> Any:
    """Imports an optional package.

    Args:
        name: The module to import.
        extra: The extra of this package that installs it.

    Raises:
        ValueError: It is not installed, or does not fit the other packages;
            the error says what to type.
    """
    top = name.partition('.')[0]
    try:
        importlib.import_module(top)
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f'The package {top} is not installed. Type '
            f"`pip install 'tfcharrnn[{extra}]'`."
        ) from error
    except Exception as error:  # Such as a name that another package lacks.
        raise ValueError(
            f'The package {top} cannot be imported: {error}. Its version may '
            'not fit that of TensorFlow: install an older one, or a newer '
            'TensorFlow.'
        ) from error


def _module(kind):
    return importlib.import_module(f'{__package__}.{kind.module}')


def _check(out, format, overwrite, options):
    """Returns the format and the path, if that may be written."""
    kind = FORMATS[checks.choice('format', format, FORMATS)]
    for name in options or ():
        checks.choice('options', name, kind.options)
    out = pathlib.Path(out)
    if not out.name.endswith(kind.ending):
        raise ValueError(
            f"`out` is '{out}', but a file of the format {format} ends in "
            f'{kind.ending}.'
        )
    _check_free(out, kind, overwrite)
    if kind.beside:
        beside = out.with_name(out.name.removesuffix(kind.ending) + kind.beside)
        _check_free(beside, kind, overwrite)
    return kind, out


@contextlib.contextmanager
def _folder_of(out):
    """Makes the folder of a file, and removes it again after an error."""
    missing = [folder for folder in out.parents if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):  # It was not made.
                folder.rmdir()
        raise


def _check_free(out, kind, overwrite):
    """Raises if writing would replace what must stay."""
    if not out.exists() and not out.is_symlink():
        return
    if kind.ending and out.is_dir():
        raise IsADirectoryError(
            f"`out` is '{out}', which is a folder. Give the name of a file."
        )
    if not overwrite:
        raise FileExistsError(
            f"'{out}' exists already. Give another `out`, or `overwrite` to "
            'replace it.'
        )


def _check_model(model, vocabulary):
    if model.vocab_size != len(vocabulary):
        raise ValueError(
            f'The model knows {model.vocab_size} characters, but the '
            f'vocabulary has {len(vocabulary)}. Use the vocabulary that the '
            'model was trained with.'
        )
    for variable in model.variables:
        if not np.isfinite(variable.numpy()).all():
            raise ValueError(
                f'The weights {files.shorten(variable.name)} of the model are '
                'not all finite numbers. Export an earlier checkpoint.'
            )
