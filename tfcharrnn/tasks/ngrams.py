"""N-grams: texts that depend on ever more of the characters before."""

from __future__ import annotations

import random

from tfcharrnn import checks
from tfcharrnn.tasks.task import Task

_DISCOUNT = 0.75


def ngram_mixture(
    text: str, order: int = 10, *, burn_in: int = 50, length: int = 100
) -> Task:
    """Goes on with a text that an n-gram model writes.

    The n-gram task of Graves et al. ("Automated Curriculum Learning for Neural
    Networks", 2017, https://arxiv.org/abs/1704.03003): level n is a model that
    looks at the n characters before the next one, level 0 at none. Their
    models of the King James Bible go up to n = 10; each sequence has 150
    characters, of which the last 100 count. Theirs are smoothed as by Kneser
    and Ney; these by absolute discounting.

    >>> task = ngram_mixture('to be or not to be ' * 9, 3, burn_in=4, length=9)
    >>> task.levels
    (0, 1, 2, 3)
    >>> task.example(seed=0, number=0)
    Example(given=' to ', answer='be to be ')

    Args:
        text: What the models count.
        order: The highest n.
        burn_in: Characters that are read first.
        length: Characters to be predicted.

    Raises:
        ValueError: If the text is not longer than `order`, or a number is out
            of range.
    """
    order = checks.whole_number('order', order, 0)
    burn_in = checks.whole_number('burn_in', burn_in)
    length = checks.whole_number('length', length)
    if len(text) <= order:
        raise ValueError(
            f'The text has {len(text)} characters, but must be longer than '
            f'`order` ({order}).'
        )
    model = NGrams(text, order)

    def make(draw, n):
        written = model.write(draw, burn_in + length, n)
        return written[:burn_in], written[burn_in:]

    characters = ''.join(sorted(set(text)))
    return Task('ngram_mixture', characters, range(order + 1), make)


class NGrams:
    """Models of all orders up to one, interpolated.

        p(c | context) = (count(context c) - 0.75) / count(context)
                         + what is left * p(c | context without its first)

    To draw from it: choose one of the characters that followed the context;
    with a probability of 0.75 / (how often it did), choose again after a
    shorter context. Below the empty context, all characters are alike.
    """

    def __init__(self, text: str, order: int):
        """Counts the n-grams of a text.

        Args:
            text: What is counted.
            order: The longest context.
        """
        self._characters = sorted(set(text))
        self._followers: list[dict[str, str]] = []
        for n in range(order + 1):
            followers: dict[str, list[str]] = {}
            for end in range(n, len(text)):
                followers.setdefault(text[end - n : end], []).append(text[end])
            self._followers.append(
                {context: ''.join(each) for context, each in followers.items()}
            )

    def write(self, draw: random.Random, length: int, n: int) -> str:
        """Writes a text.

        >>> NGrams('abcd' * 99, 1).write(random.Random(0), 12, 1)
        'cdabcdabcdab'

        Args:
            draw: Where random numbers come from.
            length: Its characters.
            n: How many characters each depends on, at most.
        """
        written = ''
        for _ in range(length):
            size = min(n, len(written))
            written += self._draw(draw, written[len(written) - size :])
        return written

    def probability(self, context: str, character: str) -> float:
        """Returns the probability of a character.

        Args:
            context: The characters before it; all of them count.
            character: What follows.
        """
        shorter = 1.0 / len(self._characters)
        if context:
            shorter = self.probability(context[1:], character)
        followers = self._followers[len(context)].get(context, '')
        if not followers:
            return shorter
        count = max(0.0, followers.count(character) - _DISCOUNT)
        left = _DISCOUNT * len(set(followers))
        return (count + left * shorter) / len(followers)

    def _draw(self, draw, context):
        for start in range(len(context) + 1):
            rest = context[start:]
            followers = self._followers[len(rest)].get(rest)
            if followers is None:
                continue
            chosen = followers[int(draw.random() * len(followers))]
            if draw.random() * followers.count(chosen) >= _DISCOUNT:
                return chosen
        return self._characters[int(draw.random() * len(self._characters))]
