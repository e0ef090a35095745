r"""Character-level recurrent networks: text in, a trained model, text out.

tfcharrnn COMMAND [--flag=...]              or python -m tfcharrnn COMMAND ...

tfcharrnn train --corpus=shakespeare.txt --model_dir=runs/bard
tfcharrnn generate --model_dir=runs/bard --prompt='ROMEO: '
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from typing import NoReturn

import tfcharrnn
from tfcharrnn import commands

# In the order of a first visit.
COMMANDS = (
    *('train', 'generate', 'evaluate'),
    *('experiment', 'export', 'benchmark'),
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command that the first word names.

    Args:
        argv: The words after the program; None: those of the process.

    Raises:
        SystemExit: Always, with the status; see `commands`.
    """
    name, *rest = (sys.argv[1:] if argv is None else argv) or ['--help']
    if name in ('--help', '-h', 'help'):
        print(_overview())
    elif name == '--version':
        print(f'tfcharrnn {tfcharrnn.__version__}')
    elif name in COMMANDS:
        module = importlib.import_module(f'tfcharrnn.{name}')
        commands.run(module.main, module.FLAGS, [f'tfcharrnn {name}', *rest])
    else:
        sys.stderr.write(
            f'Error: {name!r} is not a command: give one of '
            f'{", ".join(COMMANDS)}. --help says what they do.\n'
        )
        sys.exit(2)
    sys.exit(0)


def _overview() -> str:
    """Lists the commands, each with the first line of its help."""
    lines = [inspect.getdoc(sys.modules[__name__]) or '', '', 'Commands:']
    for name in COMMANDS:
        module = importlib.import_module(f'tfcharrnn.{name}')
        first, *_ = (inspect.getdoc(module) or '').splitlines()
        lines.append(f'  {name:<12}{first}')
    lines.append('\n`tfcharrnn COMMAND --help` lists the flags of one.')
    return '\n'.join(lines)


if __name__ == '__main__':
    main()
