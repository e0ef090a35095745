"""Digits: addition, copy, reverse and repeat copy."""

from __future__ import annotations

import random

from tfcharrnn import checks
from tfcharrnn.tasks.task import Task

_DIGITS = '0123456789'


def addition(size: int) -> Task:
    r"""Adds two numbers of `size` digits, as a program would.

        print(398+719)
        1117.

    The second task of Zaremba and Sutskever, "Learning to Execute" (2014,
    https://arxiv.org/abs/1410.4615).

    >>> addition(3).example(seed=0, number=0)
    Example(given='print(212+690)\n', answer='902.')

    Args:
        size: Digits of a number at the last level; the levels are 1, 2, ...
    """

    def make(draw, digits):
        one, other = number(draw, digits), number(draw, digits)
        return f'print({one}+{other})\n', f'{int(one) + int(other)}.'

    return Task('addition', f'\n()+.{_DIGITS}inprt', _up_to(size), make)


def copy(size: int) -> Task:
    r"""Writes the digits that were read.

    >>> copy(6).example(seed=0, number=0)
    Example(given='884398\n', answer='884398.')

    Args:
        size: Digits at the last level; the levels are 1, 2, ...
    """

    def make(draw, digits):
        text = ''.join(draw.choices(_DIGITS, k=digits))
        return f'{text}\n', f'{text}.'

    return Task('copy', f'\n.{_DIGITS}', _up_to(size), make)


def reverse(size: int) -> Task:
    r"""Writes the digits that were read from the last to the first.

    >>> reverse(6).example(seed=0, number=0)
    Example(given='884398\n', answer='893488.')

    Args:
        size: Digits at the last level; the levels are 1, 2, ...
    """

    def make(draw, digits):
        text = ''.join(draw.choices(_DIGITS, k=digits))
        return f'{text}\n', f'{text[::-1]}.'

    return Task('reverse', f'\n.{_DIGITS}', _up_to(size), make)


def repeat_copy(length: int, repeats: int) -> Task:
    r"""Writes the bits that were read, several times.

        0110*3
        011001100110.

    The task of Graves et al. ("Automated Curriculum Learning for Neural
    Networks", 2017, https://arxiv.org/abs/1704.03003), where length and repeats
    go up to 13. The number of repeats is read as digits.

    >>> task = repeat_copy(4, 3)
    >>> task.example(seed=0, number=0)
    Example(given='0001*3\n', answer='000100010001.')
    >>> len(task.levels), task.levels[:4]
    (12, ((1, 1), (1, 2), (2, 1), (1, 3)))

    Args:
        length: Bits at the last level. A level is a pair (length, repeats);
            levels of a shorter answer come first.
        repeats: Repeats at the last level.
    """

    def make(draw, level):
        bits = ''.join(draw.choices('01', k=level[0]))
        return f'{bits}*{level[1]}\n', f'{bits * level[1]}.'

    pairs = [(n, r) for n in _up_to(length) for r in _up_to(repeats, 'repeats')]
    levels = sorted(pairs, key=lambda level: (level[0] * level[1], *level))
    return Task('repeat_copy', f'\n*.{_DIGITS}', levels, make)


def number(draw: random.Random, size: int) -> str:
    """Draws a number of so many digits.

    >>> len(number(random.Random(0), 5))
    5
    """
    return str(draw.randrange(10 ** (size - 1) if size > 1 else 0, 10**size))


def _up_to(size, name='size'):
    return range(1, checks.whole_number(name, size) + 1)
