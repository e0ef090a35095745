"""Task: how examples are made, and which of them are for training."""

from __future__ import annotations

import dataclasses
import random
import zlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from tfcharrnn import checks
from tfcharrnn.text.vocabulary import Vocabulary

PARTS = 'train', 'test'
# One example of so many is for the test.
_TEST_SHARE = 10
_MAX_DRAWS = 1000


class Example(NamedTuple):
    """A text to read, and the answer to write after it.

    Attributes:
        given: What is read.
        answer: What counts, in the loss and in the accuracy.
    """

    given: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Task:
    r"""A task with levels, whose examples are drawn one by one.

        example(seed, number)  =  make(random numbers of (seed, number), level)

    A new task is a function that makes one example of a level. Here, words are
    to be written backwards:

        >>> def make(draw, size):
        ...     word = ''.join(draw.choices('abc', k=size))
        ...     return word + '|', word[::-1] + '.'
        >>> task = Task('backwards', 'abc|.', range(1, 6), make)
        >>> task.example(seed=0, number=4, level=4)
        Example(given='caba|', answer='abac.')

    Which part an example belongs to is decided by a hash of what is given: a
    tenth is for the test. So no text of the test is ever read in training,
    whatever the seeds, the numbers and the levels.

    Attributes:
        name: What it is called.
        characters: All characters of examples, in the order of their ids.
        levels: The levels, easiest first; the last one is the goal. Of
            whatever type `make` takes.
        make: `make(draw, level)` returns (given, answer). It takes all its
            randomness from `draw`, a `random.Random`. An answer should end in
            a way that shows that it is over.
    """

    name: str
    characters: str
    levels: Sequence[Hashable]
    make: Callable[[random.Random, Any], tuple[str, str]]

    def __post_init__(self):
        object.__setattr__(self, 'levels', tuple(self.levels))
        if not self.levels:
            raise ValueError(
                f'The task {self.name!r} has no levels: give at least one.'
            )

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters, as a vocabulary."""
        return Vocabulary(self.characters)

    def example(
        self,
        seed: int,
        number: int,
        *,
        level: Any = None,
        part: str = 'train',
    ) -> Example:
        """Makes an example, always the same of the same arguments.

        Args:
            seed: Another seed gives other examples.
            number: The number of the example.
            level: One of `levels`; None: the last, the goal.
            part: One of 'train' and 'test'.

        Raises:
            ValueError: If the level is unknown, or seems to have no example of
                this part: a small level may have none for the test.
        """
        level = self.levels[-1] if level is None else level
        self.index(level)
        draw = random.Random(f'{seed} {part} {number}')
        return self.drawn(draw, level, part)

    def index(self, level: Any) -> int:
        """Returns the place of a level among the levels, from 0.

        Raises:
            ValueError: If there is no such level.
        """
        if level not in self.levels:
            raise ValueError(
                f'The task {self.name!r} has no level {level!r}, but these: '
                f'{", ".join(map(repr, self.levels))}.'
            )
        return self.levels.index(level)

    def drawn(self, draw: random.Random, level: Any, part: str) -> Example:
        """Makes an example from random numbers.

        Args:
            draw: Where they come from.
            level: One of `levels`.
            part: One of 'train' and 'test'.

        Raises:
            ValueError: If the level seems to have no example of this part.
        """
        checks.choice('part', part, PARTS)
        for _ in range(_MAX_DRAWS):
            example = Example(*self.make(draw, level))
            if part == part_of(example.given):
                return example
        raise ValueError(
            f'The level {level!r} of the task {self.name!r} seems to have no '
            f'example for {part!r}: none of {_MAX_DRAWS} is. Leave this level '
            'out, or make it larger.'
        )


def part_of(given: str) -> str:
    """Returns the part that a text belongs to: 'train' or 'test'.

    >>> sum(part_of(str(number)) == 'test' for number in range(10_000))
    996
    """
    is_test = zlib.crc32(given.encode('utf-8')) % _TEST_SHARE == 0
    return PARTS[is_test]
