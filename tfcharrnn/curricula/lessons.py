r"""Lessons: a curriculum of one's own, a function in a file of Python.

    def words_lines_text(corpus, good=2.0):                  # lessons.py
        text = corpus.vocabulary.decode(corpus.train)
        for pieces in (text.split(), filter(None, text.split('\n'))):
            lines = data.lines(pieces, corpus.vocabulary, 64)
            yield curricula.Stage(
                lines, until=lambda metrics: metrics['loss'] < good, every=50
            )
        yield curricula.Stage(data.sequences(corpus.train, 100, 64))

    --curriculum=lessons.py:words_lines_text,good=1.8

The file runs as the user's own code. So it is named on the command line: a run
that goes on asks for it again, since a `model_dir` may come from anybody.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.util
import inspect
import itertools
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfcharrnn.curricula.stages import Stage
from tfcharrnn.data import Dataset
from tfcharrnn.text.corpus import Corpus

_MAX_STAGES = 1000


def stages(
    path: str,
    function: str,
    corpus: Corpus,
    *,
    values: Mapping[str, str],
    settings: Mapping[str, Any],
) -> list[Stage]:
    """Calls a function of a file, which makes the stages of a curriculum.

    Args:
        path: The file of Python.
        function: The name of a function `(corpus, **values)` that returns
            stages, or yields them.
        corpus: Its first argument.
        values: The texts of other arguments. A number, True, False or None is
            passed as such, anything else as a string.
        settings: Passed as well where the function has a parameter of that
            name and `values` has not.

    Returns:
        The stages. The last one has no end: it goes on until the run ends.

    Raises:
        OSError: If there is no such file.
        ValueError: If there is no such function; it, or the file, raises
            (the line of the file is named); or what it makes are not stages
            of batches of this vocabulary.
    """
    call = _find(path, function)
    try:
        parameters = inspect.signature(call).parameters
    except (TypeError, ValueError):
        parameters = {}
    arguments = {k: v for k, v in settings.items() if k in parameters}
    arguments |= {name: _value(text) for name, text in values.items()}
    with _blaming(path):
        made = call(corpus, **arguments)
        made = list(itertools.islice(made, _MAX_STAGES + 1))
    _check(path, function, made, corpus)
    last = dataclasses.replace(made[-1], steps=None, until=None, every=None)
    return [*(_guarded(path, stage) for stage in made[:-1]), last]


def _find(path: str, function: str) -> Callable[..., Any]:
    """Runs the file, and returns one of its functions."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"There is no file '{path}', which `curriculum` names. Write its "
            'path from the current folder, or in full.'
        )
    name = f'_lessons_{os.path.basename(path)[:-3]}'
    spec = importlib.util.spec_from_file_location(name, os.path.abspath(path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Dataclasses look for their module there.
    with _blaming(path):
        spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not callable(found):
        names = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        raise ValueError(
            f"There is no function {function!r} in '{path}', which has "
            f'{", ".join(names) or "no functions"}.'
        )
    return found


@contextlib.contextmanager
def _blaming(path, passing=()):
    """Turns what a file raises into a sentence that has its line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, passing):
            raise
        raise ValueError(_describe(path, error)) from error


def _describe(path, error):
    place, own = '', os.path.abspath(path)
    if isinstance(error, SyntaxError) and error.filename == own:
        place = f', line {error.lineno}, `{(error.text or "").strip()}`'
        what = error.msg
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == own:  # The last one is the innermost.
                place = f', line {frame.lineno}, `{frame.line}`'
        what = ' '.join(str(error).split())
    kind = type(error).__name__
    return f"In '{path}'{place}: {kind}: {what.rstrip('.')}."


def _value(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {'true': True, 'false': False}.get(text, text)


def _check(path, function, made, corpus):
    """Raises where these are not stages that a run can go through."""
    what = f"The curriculum {function!r} of '{path}'"
    if not made or not all(isinstance(stage, Stage) for stage in made):
        kinds = sorted({type(stage).__name__ for stage in made})
        raise ValueError(
            f'{what} must make `curricula.Stage`s, but made '
            f'{", ".join(kinds) or "nothing"}.'
        )
    if len(made) > _MAX_STAGES:
        raise ValueError(
            f'{what} makes more than {_MAX_STAGES:,} stages, and maybe does '
            'not end. Make fewer.'
        )
    for number, stage in enumerate(made[:-1]):
        if stage.steps is None and stage.until is None:
            raise ValueError(
                f'{what} makes {len(made)} stages, but stage {number} never '
                'ends: give its `steps` or `until`.'
            )
    for number, stage in enumerate(made):
        _check_dataset(f'{what}, stage {number},', path, stage.dataset, corpus)


def _check_dataset(what, path, dataset, corpus):
    if not isinstance(dataset, Dataset):
        raise ValueError(
            f'{what} has a dataset of type {type(dataset).__name__}, but it '
            'must be batches, such as `data.lines` makes.'
        )
    with _blaming(path):
        batch = next(iter(dataset.starting_at(0)))
    largest = int(np.max([np.max(batch.inputs), np.max(batch.targets)]))
    size = len(corpus.vocabulary)
    if largest >= size:
        raise ValueError(
            f'{what} has the id {largest}, but the vocabulary of the run has '
            f'{size} {corpus.vocabulary.unit}s: encode with '
            '`corpus.vocabulary`.'
        )


def _guarded(path, stage):
    """Returns a stage whose `until` says where in the file it failed."""
    if stage.until is None:
        return stage

    def until(metrics):
        # A missing metric is told by whoever asks.
        with _blaming(path, passing=KeyError):
            return stage.until(metrics)

    return dataclasses.replace(stage, until=until)
