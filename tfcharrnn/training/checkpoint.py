"""Checkpoints: the bytes that training continues from, and how to read them.

    ckpt-500.index, ckpt-500.data-*   weights, slots, the step: TensorFlow's
    .../progress                      record, windows and state: JSON and arrays
    checkpoint                        TensorFlow's list of them

TensorFlow keeps a CRC-32C of each block and tensor. The digest of a model and
its vocabulary identifies files of another model.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from absl import logging
from google.protobuf import text_format

from tfcharrnn import files
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.metrics import Windows
from tfcharrnn.training.record import Record

_Result = TypeVar('_Result')

# The suffix of a copy that is kept while a checkpoint is rewritten.
BEFORE = '-before'
# The key of the averages of the weights, if there are any.
AVERAGES = 'averages'
_NAME = re.compile(rf'ckpt-(\d{{1,18}})({BEFORE})?')
_PROGRESS_KEY = 'progress/.ATTRIBUTES/py_state'
_STEP_KEY = 'step/.ATTRIBUTES/VARIABLE_VALUE'
_LIST = 'checkpoint'
_MAX_LIST_CHARS = 1 << 20
_new_list = tf.compat.v1.train.generate_checkpoint_state_proto


class Progress(tf.train.experimental.PythonState):
    """What a trainer continues from besides variables: bytes, not a pickle."""

    def __init__(self, trainer: Any, vocabulary: Vocabulary):
        """Takes the trainer to save and restore."""
        super().__init__()
        self._trainer = trainer
        self._vocabulary = vocabulary

    def serialize(self) -> bytes:
        """Writes record, windows and state, and the digest of the model."""
        trainer = self._trainer
        document = {
            'model': self._digest(),
            'record': trainer.record.to_json(),
            'windows': trainer.windows.pairs,
        }
        arrays = {
            f'state_{i}': array
            for i, array in enumerate(trainer.state_arrays())
        }
        text = np.frombuffer(json.dumps(document).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, progress=text, **arrays)
        return buffer.getvalue()

    def deserialize(self, serialized: bytes) -> None:
        """Restores the trainer from what `serialize` wrote."""
        document, state = _parse(serialized)
        _check_digest(document, self._digest())
        self._trainer.restore(
            _record_of(document), Windows(document['windows']), state
        )

    def _digest(self):
        return digest(self._trainer.model.config, self._vocabulary)


def digest(config: dict[str, Any], vocabulary: Vocabulary) -> str:
    """Returns a digest that identifies a model and its vocabulary."""
    return files.checksum([config, list(vocabulary.tokens)])


def read(
    checkpoint: tf.train.Checkpoint, path: str, *, partial: bool = False
) -> None:
    """Restores objects from a file.

    Args:
        checkpoint: The objects; all of them must be in the file.
        path: The file, without its suffix.
        partial: Whether the file may hold more.

    Raises:
        ValueError: If the file is damaged, or belongs to another model or
            optimizer.
    """
    opened(path)
    with _naming(path):
        status = checkpoint.read(path)
        if partial:
            status.assert_existing_objects_matched().expect_partial()
        else:
            status.assert_consumed()


def load_weights(model: Any, path: str, expected: str) -> None:
    """Reads the weights of a model, or their averages if there are any.

    Args:
        model: The model, whose weights are replaced.
        path: The file, without its suffix.
        expected: The `digest` of model and vocabulary.

    Raises:
        ValueError: If the file is damaged, or belongs to another model.
    """
    read(tf.train.Checkpoint(model=model), path, partial=True)
    reader = opened(path)
    with _naming(path):
        document = _read_progress(reader)
        if document is not None:
            _check_digest(document, expected)
    names = reader.get_variable_to_shape_map()
    # Before the first step, the averages are not yet of these weights.
    begun = _STEP_KEY not in names or reader.get_tensor(_STEP_KEY) > 0
    if begun and any(name.startswith(AVERAGES) for name in names):
        averages = {AVERAGES: list(model.trainable_variables)}
        read(tf.train.Checkpoint(**averages), path, partial=True)


def read_record(path: str) -> Record:
    """Reads the record in a checkpoint; if it has none, returns a new one.

    Raises:
        ValueError: If the file is damaged.
    """
    reader = opened(path)
    with _naming(path):
        document = _read_progress(reader)
        return Record() if document is None else _record_of(document)


def size_in_bytes(path: str) -> int:
    """Returns the size of the files that hold the tensors of a checkpoint."""
    parts = glob.glob(f'{glob.escape(path)}.data-*')
    return sum(os.path.getsize(part) for part in parts)


def opened(path: str) -> Any:
    """Returns a reader of a checkpoint whose files can hold its tensors.

    TensorFlow makes room for a tensor before it looks for its bytes.

    Raises:
        ValueError: If the file is damaged, or tensors are larger than it.
    """
    with _naming(path):
        # Not `load_checkpoint`, which would follow the list in a folder that
        # has the name of the checkpoint.
        reader = tf.compat.v1.train.NewCheckpointReader(path)
        shapes = reader.get_variable_to_shape_map()
        types = reader.get_variable_to_dtype_map()
        needed = sum(
            # A string takes a byte or more.
            math.prod(shape) * (1 if dtype == tf.string else dtype.size)
            for shape, dtype in ((shapes[n], types[n]) for n in shapes)
        )
        size = size_in_bytes(path)
        if needed > size or not size:
            raise ValueError(
                f'its tensors take {needed:,} bytes, but its files have '
                f'{size:,}.'
            )
        return reader


def candidates(directory: str) -> list[str]:
    """Returns paths of checkpoints, the best to continue from first.

    Those in TensorFlow's list come first; the others follow, newest first.

    Raises:
        ValueError: If the list is damaged and there are no checkpoints.
    """
    names, problem = _names(directory)
    path = os.path.join(directory, _LIST)
    if problem and names:
        logging.warning("'%s' %s. Going on from '%s'.", path, problem, names[0])
    elif problem and os.path.exists(path):
        raise ValueError(
            f"'{path}' {problem}, and there is no checkpoint. Restore them "
            'from a copy, or delete this file to start anew.'
        )
    return [os.path.join(directory, name) for name in names]


def write_list(directory: str, last: str | None) -> None:
    """Rewrites TensorFlow's list of the checkpoints in a directory.

    Args:
        directory: The directory.
        last: The checkpoint to delete last; None: the newest.
    """
    names = [n for n in _names(directory)[0] if not n.endswith(BEFORE)][::-1]
    name = last and os.path.basename(last)
    if name in names:
        names.append(names.pop(names.index(name)))
    if names:
        # Without timestamps, TensorFlow would never delete them.
        state = _new_list('/', names[-1], names, [1.0] * len(names))
        text = text_format.MessageToString(state)
        files.write(os.path.join(directory, _LIST), text)


def delete_after(directory: str, step: int) -> None:
    """Deletes the checkpoints of later steps than `step` in a directory."""
    for path in pathlib.Path(directory).glob('ckpt-*.*'):
        match = _NAME.fullmatch(path.stem)
        if match and int(match[1]) > step:
            path.unlink()


def first_good(
    paths: list[str], read: Callable[[str], _Result]
) -> tuple[str, _Result]:
    """Reads the first checkpoint that can be read.

    Args:
        paths: At least one, the first choice first.
        read: Reads one, or raises ValueError.

    Returns:
        The path of the first one that could be read, and the result.

    Raises:
        ValueError: The error of the first one, if none can be read.
    """
    first_error = None
    for path in paths:
        try:
            result = read(path)
        except ValueError as error:
            first_error = first_error or error
            continue
        if first_error is not None:
            logging.warning("%s Going on from '%s'.", first_error, path)
        return path, result
    assert first_error is not None, 'There are no paths.'
    raise first_error


def _read_progress(reader):
    """Returns the document in a checkpoint, or None."""
    if _PROGRESS_KEY not in reader.get_variable_to_shape_map():
        return None
    return _parse(reader.get_tensor(_PROGRESS_KEY))[0]


def _parse(serialized):
    """Returns the JSON document, and the arrays of the state."""
    content = io.BytesIO(serialized)
    with zipfile.ZipFile(content) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > len(serialized) or any(
        member.compress_type != zipfile.ZIP_STORED for member in members
    ):
        raise ValueError('its record would grow when it is read.')
    try:
        with np.load(content, allow_pickle=False) as arrays:
            document = json.loads(arrays['progress'].tobytes())
            count = len(arrays.files) - 1
            return document, [arrays[f'state_{i}'] for i in range(count)]
    except MemoryError as error:
        raise ValueError('its record claims more than it has.') from error


def _record_of(document):
    # Version 0.1 kept the place in the data beside the record.
    is_old = 'position' in document
    return Record.from_json(document if is_old else document['record'])


def _check_digest(document, expected):
    if document.get('model', expected) != expected:
        raise ValueError(
            'it was saved with another model.json or vocabulary.json.'
        )


def _names(directory):
    """Returns the names of checkpoints, and what is wrong with their list."""
    numbers = {}
    for path in pathlib.Path(directory).glob('ckpt-*.index'):
        if match := _NAME.fullmatch(path.stem):
            numbers[path.stem] = int(match[1]), not match[2]
    by_number = sorted(numbers, key=numbers.__getitem__, reverse=True)
    listed, problem = _read_list(os.path.join(directory, _LIST))
    if not problem and listed[0] not in numbers:
        gone = os.path.join(directory, listed[0])
        problem = f"names '{gone}', which is gone"
    names = dict.fromkeys([*([] if problem else listed), *by_number])
    return [name for name in names if name in numbers], problem


def _read_list(path):
    """Returns the names in TensorFlow's list, and what is wrong with it."""
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            text = file.read(_MAX_LIST_CHARS)
    except FileNotFoundError:
        return [], 'is missing'
    state = _new_list('/', '')
    state.Clear()
    try:
        text_format.Parse(text, state)
    except text_format.ParseError:
        return [], 'is damaged'
    names = list(state.all_model_checkpoint_paths)
    if not names or state.model_checkpoint_path != names[-1]:
        return [], 'is damaged'
    # The directory may have moved since.
    return [os.path.basename(name) for name in reversed(names)], None


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Adds the name of the checkpoint to an error from reading it."""
    try:
        yield
    # IndexError: the file with the data is too short.
    except (
        AssertionError,
        AttributeError,
        EOFError,
        IndexError,
        KeyError,
        OSError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        tf.errors.OpError,
    ) as error:
        raise ValueError(
            f"The checkpoint '{path}' is damaged, or belongs to another model "
            f'or optimizer: {files.reason(error).rstrip(". ")}.'
        ) from error
