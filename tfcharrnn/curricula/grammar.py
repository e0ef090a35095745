"""Grammar: the text of a curriculum, taken apart."""

from __future__ import annotations

import re
from typing import NamedTuple

from tfcharrnn.fields import SettingError


class Expression(NamedTuple):
    """A curriculum as it is written: a kind, and items with commas between.

    >>> parse('easiest:rarity,competence=0.1@5000')
    Expression(kind='easiest', words=('rarity',), \
values={'competence': '0.1@5000'})
    >>> parse('a:b/lessons.py:by_words,good=2.0').kind
    'a:b/lessons.py'

    Attributes:
        kind: One of `kinds.CURRICULA`, or the name of a file of Python.
        words: The items without a value, in order.
        values: The items `name=value`, in order.
    """

    kind: str
    words: tuple[str, ...]
    values: dict[str, str]

    def only(self, *names: str, num_words: int | None = None) -> None:
        """Raises SettingError where there are other items.

        Args:
            *names: The names that may have values.
            num_words: The number of words; None: any.
        """
        unknown = [name for name in self.values if name not in names]
        extra = [] if num_words is None else self.words[num_words:]
        for item in (*unknown, *extra):
            allowed = ', '.join(f'{name}=' for name in names) or 'nothing else'
            raise SettingError(
                f'`curriculum` has {item!r}, which {self.kind}: does not take; '
                f'it takes {allowed}.'
            )

    def whole(self, name: str, default: int) -> int:
        """Returns a value that is a whole number from 1 up."""
        text = self.values.get(name, str(default))
        if not re.fullmatch(r'0*[1-9]\d*', text):
            raise SettingError(
                f'`curriculum` has {name}={text}, but it must be a whole '
                'number from 1 up.'
            )
        return int(text)

    def number(self, name: str, default: float, *, high: float) -> float:
        """Returns a value that is a number above 0, up to `high`."""
        text = self.values.get(name, str(default))
        try:
            value = float(text)
            if 0.0 < value <= high:
                return value
        except ValueError:
            pass
        raise SettingError(
            f'`curriculum` has {name}={text}, but it must be a number above '
            f'0, up to {high:g}.'
        )

    def at(self, name: str) -> tuple[float, int] | None:
        """Returns a value `number@step`; None if it is not given.

        >>> parse('easiest:length,competence=0.1@5000').at('competence')
        (0.1, 5000)
        """
        if name not in self.values:
            return None
        number, _, step = self.values[name].partition('@')
        try:
            if int(step) > 0:
                return float(number), int(step)
        except ValueError:
            pass
        raise SettingError(
            f'`curriculum` has {name}={self.values[name]}, but it must be a '
            f'number, @ and a step, as in {name}=0.1@5000.'
        )


def parse(text: str) -> Expression:
    """Takes the text of a curriculum apart.

    Args:
        text: `kind:item,item...`, where an item is a word or `name=value`.

    Raises:
        SettingError: If an item is empty, or one occurs twice.
    """
    match = re.fullmatch(r'(.*\.py|[^:]*):(.*)', text)
    kind, rest = match.groups() if match else (text, '')
    words, values = [], {}
    for item in rest.split(','):
        name, equals, value = (part.strip() for part in item.partition('='))
        if not name or (equals and not value):
            raise SettingError(
                f'`curriculum` is {text!r}, but the item {item!r} is empty: '
                'write words or name=value, with commas between them.'
            )
        if name in (values if equals else words):
            raise SettingError(
                f'`curriculum` is {text!r}, which has {name!r} twice: name it '
                'once.'
            )
        if equals:
            values[name] = value
        else:
            words.append(name)
    return Expression(kind, tuple(words), values)
