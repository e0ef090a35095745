"""Splitting: a training, a validation and a test part."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

PARTS = ('train', 'valid', 'test')
DEFAULT_SPLIT = (0.9, 0.1, 0.0)
_Text = TypeVar('_Text', str, list[str])


def check_split(source: object, split: Sequence[float]) -> list[float]:
    """Checks that the parts are given by fractions or by a mapping.

    >>> check_split('a.txt', (1, 0, 0))
    [1.0, 0.0, 0.0]

    Args:
        source: A text or its source, or a mapping from part to these.
        split: The fractions of the parts; they add up to 1.

    Returns:
        The fractions.

    Raises:
        ValueError: The fractions or the names of the parts are wrong, or
            there are both.
    """
    try:
        fractions = [float(fraction) for fraction in split]
    except (TypeError, ValueError):
        fractions = []
    if (
        len(fractions) != len(PARTS)
        or not all(0 <= fraction <= 1 for fraction in fractions)
        or not math.isclose(sum(fractions), 1, abs_tol=1e-6)
        or not fractions[0]
    ):
        raise ValueError(
            f'`split` is {split!r}, but must be the three fractions (train, '
            f'valid, test) of the text, which add up to 1, with train above 0: '
            f'for instance (0.9, 0.1, 0.0).'
        )
    if not isinstance(source, Mapping):
        return fractions
    if 'train' not in source or not set(source) <= set(PARTS):
        raise ValueError(
            f'The parts are {list(source)}, but they should be "train" and '
            f'possibly "valid" and "test".'
        )
    if fractions != list(DEFAULT_SPLIT):
        raise ValueError(
            'Each part has its own text, so there is nothing to split. Leave '
            'out `split`, or pass a single text.'
        )
    return fractions


def cut(text: _Text, fractions: Sequence[float]) -> dict[str, _Text]:
    """Cuts a text, or lines, into contiguous parts.

    >>> cut('to be or', [0.5, 0.25, 0.25])
    {'train': 'to b', 'valid': 'e ', 'test': 'or'}

    Raises:
        ValueError: The text is too short for one of the parts.
    """
    what = 'characters' if isinstance(text, str) else 'lines'
    ends = find_ends(len(text), fractions, what)
    starts = [0, *ends]
    return {
        part: text[start:end]
        for part, start, end in zip(PARTS, starts, ends, strict=False)
    }


def find_ends(
    length: int, fractions: Sequence[float], what: str = 'characters'
) -> list[int]:
    """Returns where each part of a text ends.

    >>> find_ends(1_115_394, [0.9, 0.1, 0.0])
    [1003854, 1115394, 1115394]

    Args:
        length: The length of the text.
        fractions: Those of its parts.
        what: What the text is made of, for the error.

    Raises:
        ValueError: The text is too short for one of the parts.
    """
    ends, total = [0], 0.0
    for part, fraction in zip(PARTS, fractions, strict=True):
        total += fraction
        # Rounded down, though 0.7 + 0.1 is 0.7999...; divided by the sum, so
        # that the last part ends where the text ends.
        ends.append(int(length * (total / sum(fractions)) + 1e-6))
        if fraction and ends[-1] == ends[-2]:
            raise ValueError(
                f'The text is too short: {fraction:g} of its {length} '
                f'{what} leaves nothing for the {part} part. Use a longer '
                f'text or another `split`.'
            )
    return ends[1:]
