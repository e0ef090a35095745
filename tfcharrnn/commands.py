"""How a command runs: flags, help, a quiet start, clean errors, a status.

status    what happened            what the user sees
0         done                     the output
1         an error                 one line on standard error
2         wrong flags              one line, and where to find help
130       Ctrl-C                   nothing more
141       the reader went away     nothing more (as in `... | head`)
143       SIGTERM, in training     it saves, and how to go on
"""

from __future__ import annotations

import contextlib
import datetime
import inspect
import io
import logging as standard_logging
import math
import os
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import flags, logging

from tfcharrnn import fields, files

_WIDTH = 80
_HELP = ('--help', '-help', '-h', '--helpfull')


def run(
    main: Callable[[], None],
    flag_values: flags.FlagValues = flags.FLAGS,
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Parses the flags, calls `main`, and exits with a status.

    A command is a module whose docstring is its help and whose last lines are

        if __name__ == '__main__':
            commands.run(main)

    `main` raises where something is wrong. The user sees one line, without a
    traceback (which `--verbosity=1` brings back): the message of a
    `SettingError` (status 2), or of another ValueError, an OSError, a
    FloatingPointError, a MemoryError or an error of TensorFlow's operations
    (status 1). Other exceptions are bugs, and are not caught.

        >>> def main():
        ...     raise ValueError('There are no lines in this file.')
        >>> with contextlib.redirect_stderr(sys.stdout):
        ...     run(main, flags.FlagValues(), ['command'])
        Traceback (most recent call last):
        SystemExit: 1

    Args:
        main: What the command does; its flags are parsed when it is called.
        flag_values: The flags of the command.
        argv: The command line; None: that of the process.

    Raises:
        SystemExit: Always, with the status.
    """
    argv = sys.argv if argv is None else argv
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Do not stop at a character that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors='backslashreplace')
    _log_plainly()
    try:
        if set(argv[1:]) & set(_HELP):
            sys.stdout.write(_help(sys.modules[main.__module__], flag_values))
        else:
            _parse(flag_values, argv)
            main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Or Python would fail again on closing it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _of_the_user()):
            raise
        logging.debug('This is where it went wrong:', exc_info=True)
        if isinstance(error, fields.SettingError):
            _fail(2, f'{str(error).rstrip(".")}. --help lists the flags.')
        _fail(1, _describe(error))
    sys.exit(0)


def define(settings: type[fields.Settings]) -> flags.FlagValues:
    """Makes a flag of each setting.

    >>> from tfcharrnn.config import TextConfig
    >>> flag_values = define(TextConfig)
    >>> _ = flag_values(['command', '--lowercase', '--valid_fraction=0.2'])
    >>> given(flag_values)
    {'valid_fraction': 0.2, 'lowercase': True}

    Args:
        settings: The class of the settings.

    Returns:
        The flags. A flag that is not given is None; its default is that of the
        setting.
    """
    flag_values = flags.FlagValues()
    for name, (setting, default) in fields.settings_of(settings).items():
        text = setting.help
        if default not in (None, ''):
            text += f' Default: {setting.write(default)}.'
        parser = _SettingParser(name, setting)
        if isinstance(default, bool):
            flag = flags.BooleanFlag(name, None, text)
            flag.parser = parser
            flags.DEFINE_flag(flag, flag_values=flag_values)
        else:
            flags.DEFINE(parser, name, None, text, flag_values=flag_values)
    return flag_values


def given(flag_values: flags.FlagValues) -> dict[str, Any]:
    """Returns the flags that were given, and their values."""
    every = (flag_values[name] for name in flag_values)
    # Verbosity is absl's own, and has a second name, too.
    return {
        flag.name: flag.value
        for flag in every
        if flag.present and flag.name != 'verbosity'
    }


def sentence(error: Exception) -> str:
    """Returns what an error of absl's flags says.

    absl puts the flag before what a setting says, which names it already.

    Args:
        error: As raised where flags are parsed.
    """
    if isinstance(error.__context__, fields.SettingError):
        error = error.__context__
    return str(error).removeprefix('ERROR:: ')


def read_text(what: str, path: str) -> str:
    """Reads a text from a file, or from standard input where it is '-'.

    Args:
        what: What the text is, for an error, such as 'prompt'.
        path: The file.

    Raises:
        OSError: It is missing or cannot be read.
        ValueError: It is not valid UTF-8.
    """
    if path == '-':
        data = sys.stdin.buffer.read()
    else:
        with open(path, 'rb') as file:
            data = file.read()
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The {what} in '{path}' is not valid UTF-8: the byte at offset "
            f'{error.start} is {data[error.start]:#04x}. Save it as UTF-8.'
        ) from error


class ProgressBar:
    """Shows on standard error how much is done, and the time left.

        Reading a large text: 43 % | 0:00:09 left

    On a terminal, the line is overwritten; elsewhere, a new one comes every 10
    seconds.
    """

    def __init__(self, what: str):
        """Takes the name of the work."""
        self._what = what
        self._start = self._last = time.monotonic()

    def __call__(self, share: float) -> None:
        """Shows the share that is done, from 0 to 1."""
        stream, now = sys.stderr, time.monotonic()
        is_done = share >= 1.0 and self._last < math.inf
        seconds = 0.5 if stream.isatty() else 10.0
        if now - self._last < seconds and not is_done or not share:
            return
        # The end is told once.
        self._last = math.inf if is_done else now
        seconds = round((now - self._start) * (1.0 / share - 1.0))
        left = datetime.timedelta(seconds=seconds)
        line = f'{self._what}: {share:.0%} | {left} left'
        if stream.isatty():
            stream.write(f'\r{line}' + '\n' * is_done)
        else:
            stream.write(f'{line}\n')
        stream.flush()


class _SettingParser(flags.ArgumentParser):
    """Reads a flag as its setting says, which also says what is wrong."""

    syntactic_help = ''

    def __init__(self, name: str, setting: fields.Setting):
        super().__init__()
        self._name = name
        self._setting = setting

    def parse(self, argument: str) -> Any:
        try:
            return fields.parse(self._setting, self._name, argument)
        except ValueError as error:
            raise fields.SettingError(str(error)) from None

    def flag_type(self) -> str:
        return 'setting'


class _PlainFormatter(standard_logging.Formatter):
    def format(self, record: standard_logging.LogRecord) -> str:
        return f'{record.levelname.capitalize()}: {super().format(record)}'


def _log_plainly():
    """Shows what is logged as `Warning: message` on standard error."""
    handler = logging.get_absl_handler()
    handler.setFormatter(_PlainFormatter())
    handler.python_handler.stream = sys.stderr
    # Or else a line about flags comes before the first message.
    flags.FLAGS.mark_as_parsed()
    logging.use_absl_handler()


def _parse(flag_values, argv):
    """Parses the command line, or exits saying what is wrong with it."""
    if 'verbosity' not in flag_values:
        flag_values['verbosity'] = flags.FLAGS['verbosity']
    try:
        rest = flag_values(argv)[1:]
    except (flags.Error, UnicodeDecodeError) as error:
        _fail(2, f'{sentence(error).rstrip(".")}. --help lists the flags.')
    if rest:
        _fail(
            2,
            f'Unexpected argument {rest[0]!r}: this command takes flags only, '
            'as in --name=value. Quote a value that has spaces in it.',
        )


def _of_the_user():
    """Returns the types of errors that are not bugs."""
    tensorflow = sys.modules.get('tensorflow')
    operations = (tensorflow.errors.OpError,) if tensorflow else ()
    usual = (ValueError, OSError, FloatingPointError, MemoryError)
    return (*usual, *operations)


def _fail(status, message):
    # Where the disk is full, so is the file that the output goes to.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.stderr.write(f'Error: {message}\n')
    sys.exit(status)


def _describe(error):
    if isinstance(error, OSError) and error.strerror:
        name = f': {error.filename!r}' if error.filename else ''
        return f'{error.strerror}{name}.'
    if isinstance(error, MemoryError):
        return 'There is not enough memory. Use smaller settings.'
    if isinstance(error, (ValueError, OSError, FloatingPointError)):
        return str(error) or type(error).__name__
    return files.reason(error) or type(error).__name__


def _help(module, flag_values):
    """Puts a module's docstring and its flags together."""
    if flag_values is flags.FLAGS:
        shown = flag_values.get_key_flags_for_module(module)
    else:
        shown = [flag_values[name] for name in flag_values]
    rows = [
        (f'--{"[no]" * flag.boolean}{flag.name}', _flag_help(flag))
        for flag in shown
        if flag.name != 'verbosity'
    ]
    rows.append(('--flagfile', 'A file with more flags, one on each line.'))
    rows.append(('--help', 'Shows this.'))
    indent = max(len(name) for name, _ in rows) + 4
    lines = [inspect.getdoc(module) or '', '', 'Flags:']
    for name, text in rows:
        begin = f'  {name}'.ljust(indent)
        for paragraph in text.split('\n'):
            lines.append(
                textwrap.fill(
                    paragraph,
                    _WIDTH,
                    initial_indent=begin,
                    subsequent_indent=' ' * indent,
                )
            )
            begin = ' ' * indent
    return '\n'.join(lines) + '\n'


def _flag_help(flag):
    text = flag.help.partition(';\n')[0]  # What absl adds may be repeated.
    if flag.default in (None, '', []):
        return text
    default = flag.default_as_str.strip("'")
    return f'{text} Default: {default}.'
