"""Settings: dataclass fields that know their bounds, their help and their text.

A setting is declared once. Its flag, its line in `run.flags`, its check and its
place in a digest follow from the declaration:

    class TextConfig(Settings):
        valid_fraction: float = number(0.1, 'Share of the text to validate on.')
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from tfcharrnn import checks, files

_Settings = TypeVar('_Settings', bound='Settings')
# How a flag may write that something is on or off.
_SWITCHES = {
    **dict.fromkeys(('true', 't', '1'), True),
    **dict.fromkeys(('false', 'f', '0'), False),
}


class SettingError(ValueError):
    """A setting is out of bounds, or contradicts another one."""


class Setting(NamedTuple):
    """What a field knows besides its name, type and default.

    Attributes:
        help: What it does, for `--help` and for readers.
        parse: Makes a value of the text of a flag, or returns the text where
            that is impossible, so that `check` says what is wrong.
        check: `check(name, value)` returns the value, or raises ValueError.
        may_change: Whether a run that goes on may have another value.
        write: The inverse of `parse`.
    """

    help: str
    parse: Callable[[str], Any]
    check: Callable[[str, Any], Any]
    may_change: bool = False
    write: Callable[[Any], str] = str


def whole(
    default: int | None,
    help: str,
    *,
    low: int = 1,
    high: int | None = None,
    may_change: bool = False,
) -> Any:
    """Declares a whole number; None as default: it need not be given."""

    def check(name, value):
        return checks.whole_number(name, value, low, high)

    return _field(default, Setting(help, _or_text(int), check, may_change))


def number(
    default: float | None,
    help: str,
    *,
    low: float = 0.0,
    high: float = math.inf,
    above: float | None = None,
    below: float | None = None,
    or_text: Callable[[str, str], str] | None = None,
    may_change: bool = False,
) -> Any:
    """Declares a finite number; None as default: it need not be given.

    Args:
        default: What it is if it is not given.
        help: What it does.
        low: The smallest that is allowed.
        high: The largest that is allowed.
        above: It must be larger than this.
        below: It must be smaller than this.
        or_text: `or_text(name, value)` checks a text that may stand in its
            place, such as a schedule.
        may_change: Whether a run that goes on may have another value.
    """

    def check(name, value):
        if or_text is not None and isinstance(value, str):
            return or_text(name, _one_line(name, value))
        return checks.number(name, value, low, high, above=above, below=below)

    return _field(default, Setting(help, _or_text(float), check, may_change))


def switch(default: bool, help: str, *, may_change: bool = False) -> Any:
    """Declares what is on or off."""

    def check(name, value):
        if not isinstance(value, bool):
            raise ValueError(
                f'`{name}` is {value!r}, but must be True or False.'
            )
        return value

    def parse(text):
        return _SWITCHES.get(text.lower(), text)

    return _field(default, Setting(help, parse, check, may_change))


def word(
    default: str | None,
    help: str,
    choices: Iterable[str],
    *,
    may_change: bool = False,
) -> Any:
    """Declares one of a few words."""
    choices = tuple(choices)

    def check(name, value):
        return checks.choice(name, value, choices)

    help = f'{help} One of {", ".join(choices)}.'
    return _field(default, Setting(help, str, check, may_change))


def text(
    default: str | None,
    help: str,
    *,
    check: Callable[[str, Any], Any] | None = None,
    escaped: bool = False,
    may_change: bool = False,
) -> Any:
    r"""Declares a text.

    Args:
        default: None: it need not be given.
        help: What it does.
        check: A further check of the value.
        escaped: Whether a flag writes it with \n for a newline and so on.
        may_change: Whether a run that goes on may have another value.
    """

    def is_text(name, value):
        if not isinstance(value, str):
            raise ValueError(f'`{name}` is {value!r}, but must be a string.')
        return value if escaped else _one_line(name, value)

    def check_all(name, value):
        if check is None:
            return is_text(name, value)
        return check(name, is_text(name, str(value)))

    ways = (unescape, escape) if escaped else (str, str)
    setting = Setting(help, ways[0], check_all, may_change, ways[1])
    return _field(default, setting)


def numbers(
    default: tuple[float, ...] | None, help: str, *, may_change: bool = False
) -> Any:
    """Declares one or more numbers from 0 up, with commas between them.

    None as default: they need not be given.
    """

    def check(name, value):
        return checks.number(name, value, low=0.0)

    return _several(default, help, _or_text(float), check, may_change)


def wholes(default: tuple[int, ...], help: str, *, low: int = 1) -> Any:
    """Declares one or more whole numbers, with commas between them."""

    def check(name, value):
        return checks.whole_number(name, value, low)

    return _several(default, help, _or_text(int), check)


def words(
    choices: Iterable[str], help: str, *, may_be_empty: bool = False
) -> Any:
    """Declares some of a few words, with commas between them; by default all.

    Args:
        choices: The words that are allowed.
        help: What they do.
        may_be_empty: Whether none of them is allowed, too.
    """
    choices = tuple(choices)

    def check(name, value):
        return checks.choice(name, value, choices)

    return _several(choices, help, str, check, may_be_empty=may_be_empty)


def _several(
    default, help, parse_one, check_one, may_change=False, *, may_be_empty=False
):
    """Declares several values of one kind: a tuple, with commas in a flag."""

    def parse(text):
        return tuple(parse_one(part) for part in text.split(',') if text)

    def check(name, value):
        if not isinstance(value, (tuple, list)) or not (value or may_be_empty):
            example = ','.join(map(str, default or (0.5, 0.5)))
            raise ValueError(
                f'`{name}` is {value!r}, but must be several values, such as '
                f'{example}.'
            )
        return tuple(check_one(name, each) for each in value)

    def write(values):
        return ','.join(map(str, values))

    return _field(default, Setting(help, parse, check, may_change, write))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings that are checked when they are made, and never change."""

    def __post_init__(self):
        """Checks each value by its field, then all of them together.

        Raises:
            SettingError: If one is out of bounds, or two contradict each other.
        """
        try:
            for name, (setting, default) in settings_of(type(self)).items():
                value = getattr(self, name)
                if value is not None or default is not None:
                    object.__setattr__(self, name, setting.check(name, value))
            self.check_together()
        except ValueError as error:
            raise SettingError(str(error)) from None

    def check_together(self) -> None:
        """Raises ValueError where settings contradict each other."""

    def refuse_ignored(self, name: str, ignored: bool, reason: str) -> None:
        """Raises ValueError where a setting would change nothing."""
        if ignored and name in self.changed():
            raise ValueError(
                f'`{name}` is {getattr(self, name)}, but {reason}: '
                'change one of the two.'
            )

    def changed(self) -> dict[str, Any]:
        """Returns the settings that differ from their defaults, by name."""
        known = settings_of(type(self))
        return {k: v for k, v in self.values().items() if v != known[k][1]}

    def digest(self) -> str:
        """Returns a digest that identifies these settings.

        What may change in a run that goes on is left out, and so is what has
        its default, so that a setting of a later version changes no digest.
        """
        known = settings_of(type(self))
        return files.checksum(
            {
                name: value
                for name, value in self.changed().items()
                if not known[name][0].may_change
            }
        )

    def replace(self: _Settings, **changes: Any) -> _Settings:
        """Returns a copy with some values changed, checked again."""
        return dataclasses.replace(self, **changes)

    def values(self) -> dict[str, Any]:
        """Returns all settings by name, in their order."""
        return {name: getattr(self, name) for name in settings_of(type(self))}


def settings_of(cls: type[Settings]) -> dict[str, tuple[Setting, Any]]:
    """Returns {name: (setting, default)} of a class, in their order."""
    return {
        field.name: (field.metadata['setting'], field.default)
        for field in dataclasses.fields(cls)
        if 'setting' in field.metadata
    }


def as_flags(cls: type[Settings], values: Mapping[str, Any]) -> list[str]:
    """Writes values as flags; those that are None are left out.

    Args:
        cls: Whose settings they are.
        values: The values by name.

    Returns:
        `--name=value` for each.
    """
    known = settings_of(cls)
    return [
        f'--{name}={known[name][0].write(value)}'
        for name, value in values.items()
        if value is not None
    ]


def parse_flags(cls: type[Settings], lines: Iterable[str]) -> dict[str, Any]:
    """Reads the values in the lines of a flagfile.

    Args:
        cls: Whose settings they are.
        lines: As `as_flags` returns them; `--name` and `--noname` are switches,
            and what begins with # is a comment.

    Returns:
        The values by name; those that are not there are left out.

    Raises:
        ValueError: If a line is of no setting, or its value is out of bounds.
    """
    known, given = settings_of(cls), {}
    for line in lines:
        line = line.strip(' \t\r\n')  # A text may end with other spaces.
        if not line or line.startswith(('#', '//')):
            continue
        name, equals, value = line.removeprefix('--').partition('=')
        if not equals and name in known:
            value = 'true'
        elif not equals and name.removeprefix('no') in known:
            name, value = name.removeprefix('no'), 'false'
        if not line.startswith('--') or name not in known:
            raise ValueError(f'{line[:40]!r} is not a setting.')
        given[name] = parse(known[name][0], name, value)
    return given


def parse(setting: Setting, name: str, text: str) -> Any:
    """Returns the value that a flag's text stands for, checked."""
    return setting.check(name, setting.parse(text))


def differences(there: Settings, here: Mapping[str, Any]) -> list[str]:
    """Says which values differ that may not, where a run goes on.

    Args:
        there: The settings of the run.
        here: Other values by name.
    """
    known = settings_of(type(there))
    return [
        f'`{name}` is {value}, but was {getattr(there, name)}'
        for name, value in here.items()
        if value != getattr(there, name) and not known[name][0].may_change
    ]


def unescape(text: str) -> str:
    r"""Turns \n, \t, \\ and \x20 as typed in a shell into what they stand for.

    >>> unescape(r'one\ntwo\x20')
    'one\ntwo '
    """

    def meaning(match):
        if match[1]:
            return chr(int(match[1], 16))
        return {'n': '\n', 't': '\t', '\\': '\\'}[match[2]]

    return re.sub(r'\\(?:x([0-9a-fA-F]{2})|([nt\\]))', meaning, text)


def escape(text: str) -> str:
    r"""Writes what a flagfile would lose: line ends, and a space at the end.

    >>> escape('one\ntwo ')
    'one\\x0atwo\\x20'
    """
    return re.sub(
        r'[\x00-\x1f\x7f-\xa0\\]| $', lambda x: f'\\x{ord(x[0]):02x}', text
    )


def _field(default: Any, setting: Setting) -> Any:
    return dataclasses.field(default=default, metadata={'setting': setting})


def _one_line(name: str, value: str) -> str:
    """Refuses a text with line ends."""
    if re.search(r'[\r\n]', value):
        raise ValueError(
            f'`{name}` is {value!r}, but must be one line: it is written to a '
            'flagfile.'
        )
    return value


def _or_text(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Returns a parser that hands on what it cannot read."""

    def parse(text):
        try:
            return kind(text)
        except ValueError:
            return text

    return parse
