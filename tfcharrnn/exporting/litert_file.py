"""LiteRT: one step of a model, for phones and small computers.

    ids [N], state_0 [N, U] ... -> logits [N, V], state_0 [N, U] ...

The file has this as its only signature; zeros begin a text. All operations are
built into LiteRT. Behind them is a ZIP file, as in TensorFlow Lite's metadata,
so that `zipfile.ZipFile` opens the same file and finds

    config.json       the sizes of the model
    vocabulary.json   "characters": a list in the order of the ids

`docs/guides/exporting.md` has a program that writes text with it, in 20 lines
of NumPy and LiteRT alone.

Reference: https://ai.google.dev/edge/litert
"""

from __future__ import annotations

import io
import json
import pathlib
import zipfile
from typing import Any

from tfcharrnn import checks, files
from tfcharrnn.generation import conversion
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary

_PRECISIONS = 'float32', 'int8'


def write(
    model: Any,
    vocabulary: Vocabulary,
    out: pathlib.Path,
    *,
    precision: str = 'float32',
) -> list[pathlib.Path]:
    """Writes a model; see `formats.save`.

    Args:
        model: A `CharRNN`.
        vocabulary: The vocabulary that it was trained with.
        out: The file.
        precision: How matrices are stored: 'float32', or 'int8', which is
            smaller.

    Raises:
        ValueError: The model is another one, or a step has operations that
            LiteRT lacks.
    """
    checks.choice('precision', precision, _PRECISIONS)
    if not isinstance(model, CharRNN):
        raise ValueError(
            f'The format litert holds a CharRNN, but got '
            f'{type(model).__name__}. Use saved_model.'
        )
    documents = {'config': model.config, 'vocabulary': vocabulary.to_json()}
    content = io.BytesIO(conversion.convert(model, precision))
    content.seek(0, io.SEEK_END)
    with zipfile.ZipFile(content, 'a') as archive:
        for name, document in documents.items():
            # With its default date: the same model is the same file.
            info = zipfile.ZipInfo(f'{name}.json')
            archive.writestr(info, json.dumps(document))
    with files.replacing(out) as file:
        file.write(content.getvalue())
    return [out]
