r"""Bundle: modules of JavaScript become one script.

A page that is opened from disk cannot import other files. So the modules are
put one after the other, each behind those that it imports, without the words
`import` and `export`:

    main.js     import {draw} from './bars.js';     const draw = ...
                draw();                          -> draw();
    bars.js     export const draw = ...

The modules keep to a subset that makes this possible: imports name what they
import, in statements of their own that begin a line; what is exported is
declared by the same statement; and no two modules declare the same name at
their top level.
"""

from __future__ import annotations

import pathlib
import re

_IMPORT = re.compile(
    r"""^import\s*\{([^}]*)\}\s*from\s*'\./([\w-]+\.js)';[ ]*\n?""", re.M
)
_EXPORT = re.compile(r'^export (?=(?:async )?function|const|let|class)', re.M)
_LEFT = re.compile(r'^(?:import|export)\b.*', re.M)
_DECLARED = re.compile(
    r'^(?:export )?(?:(?:async )?function\*? |const |let |class )(\w+)', re.M
)


def bundle(folder: pathlib.Path, main: str = 'main.js') -> str:
    """Returns one script of the module `main` and all that it imports.

    Args:
        folder: Where the modules are.
        main: The name of the first one.

    Raises:
        ValueError: The modules do not keep to the subset; the error says where.
    """
    texts = _in_order(folder, main)
    owners: dict[str, str] = {}
    for name, text in texts.items():
        for declared in _DECLARED.findall(text):
            other = owners.setdefault(declared, name)
            if other != name:
                raise ValueError(
                    f'{name} and {other} both declare `{declared}`, but '
                    'modules that become one script need distinct names.'
                )
    pieces = ["'use strict';\n"]
    for name, text in texts.items():
        text = _EXPORT.sub('', _IMPORT.sub('', text))
        if left := _LEFT.search(text):
            raise ValueError(
                f'{name} has {left.group()!r}, which cannot become part of one '
                'script. Import and export names, at the beginning of a line.'
            )
        pieces.append(f'// {name}\n{text.strip()}\n')
    script = '\n'.join(pieces)
    if re.search(r'</script|<!--', script, re.I):
        raise ValueError(
            'The modules have </script or <!--, which would end the script.'
        )
    return f'(() => {{\n{script}}})();\n'


def _in_order(folder: pathlib.Path, main: str) -> dict[str, str]:
    """Returns the text of each module, behind those that it imports."""
    texts: dict[str, str] = {}

    def add(name, above):
        if name in above:
            raise ValueError(
                f'Modules import each other in a circle: '
                f'{" -> ".join([*above, name])}.'
            )
        if name in texts:
            return
        text = (folder / name).read_text('utf-8')
        for match in _IMPORT.finditer(text):
            add(match[2], [*above, name])
        texts[name] = text

    add(main, [])
    return texts
