"""What a value may be: one sentence for each kind of value, used everywhere."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any


def whole_number(
    name: str, value: Any, low: int = 1, high: int | None = None
) -> int:
    """Returns a whole number of any type as an `int`.

    >>> whole_number('batch_size', 64.0)
    64
    >>> whole_number('batch_size', 0)
    Traceback (most recent call last):
    ValueError: `batch_size` is 0, but must be a whole number from 1 up.

    Args:
        name: What the value is called.
        value: A Python, NumPy or other number; a bool is refused.
        low: The smallest that is allowed.
        high: The largest that is allowed; None: any.

    Raises:
        ValueError: If it is anything else.
    """
    if (
        not _is_whole(value)
        or value < low
        or (high is not None and value > high)
    ):
        raise ValueError(
            f'`{name}` is {value!r}, but must be a whole number '
            f'{_range(low, high)}.'
        )
    return int(value)


def number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Returns a finite number as a `float`.

    >>> number('clip_norm', 5, above=0.0)
    5.0
    >>> number('average', 1.0, low=0.0, below=1.0)
    Traceback (most recent call last):
    ValueError: `average` is 1.0, but must be a number from 0 up, below 1.

    Args:
        name: What the value is called.
        value: A Python, NumPy or other number; a bool is refused.
        low: The smallest that is allowed.
        high: The largest that is allowed.
        above: It must be larger than this; None: `low` says all.
        below: It must be smaller than this; None: `high` says all.

    Raises:
        ValueError: If it is anything else.
    """
    fits = (
        _is_finite(value)
        and low <= value <= high
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if not fits:
        bounds = [_range(low, None if math.isinf(high) else high)]
        if above is not None:
            bounds = [f'above {above:g}']
            bounds += [f'up to {high:g}'] if math.isfinite(high) else []
        if below is not None:
            bounds.append(f'below {below:g}')
        described = ', '.join(bound for bound in bounds if bound)
        raise ValueError(
            f'`{name}` is {value!r}, but must be '
            f'{f"a number {described}".rstrip()}.'
        )
    return float(value)


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Returns a value that must be one of a few words.

    >>> choice('level', 'char', ['char', 'word'])
    'char'
    >>> choice('level', 'line', ['char', 'word'])
    Traceback (most recent call last):
    ValueError: `level` is 'line', but must be one of char, word.

    Args:
        name: What the value is called.
        value: Anything.
        choices: The words that are allowed.

    Raises:
        ValueError: If it is another value.
    """
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f'`{name}` is {value!r}, but must be one of {", ".join(choices)}.'
        )
    return value


def complete(document: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuses a document that lacks some of its names.

    >>> complete({'vocab_size': 65}, ['vocab_size', 'cell'])
    Traceback (most recent call last):
    ValueError: it has no `cell`.
    """
    for name in names:
        if name not in document:
            raise ValueError(f'it has no `{name}`.')


def _is_whole(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    if isinstance(value, numbers.Integral):
        return True  # However large: `math.isfinite` makes a float of it.
    return float(value).is_integer()


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number that no float can hold.
        return False


def _range(low: float, high: float | None) -> str:
    bounded = high is not None and high < math.inf
    if low == -math.inf:
        return f'up to {_text(high)}' if bounded else ''
    end = f'to {_text(high)}' if bounded else 'up'
    return f'from {_text(low)} {end}'


def _text(bound):
    return str(bound) if isinstance(bound, int) else f'{bound:g}'
