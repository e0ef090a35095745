"""Page: a comparison as one HTML file that needs no other."""

from __future__ import annotations

import base64
import html
import shlex
from collections.abc import Iterable, Mapping, Sequence

from tfcharrnn.comparing.comparison import Comparison, conclusions
from tfcharrnn.comparing.tables import Table, tables

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem;
       margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: .5rem 0 1rem }
caption { text-align: left; padding: .3rem 0; color: #555 }
th, td { text-align: left; padding: .25rem .9rem .25rem 0;
         border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums;
         white-space: nowrap }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5;
      padding: .7rem; border-radius: 4px; font-size: .85rem }
img { max-width: 100% }
"""


def as_html(
    comparison: Comparison,
    *,
    flags: Sequence[str] = (),
    variants: Mapping[str, Sequence[str]] | None = None,
    samples: Mapping[str, str] | None = None,
    machine: Mapping[str, str] | None = None,
    figure: bytes | None = None,
) -> str:
    """Writes the page; whatever it shows is escaped.

    Args:
        comparison: The runs.
        flags: Those of all variants.
        variants: The flags of each variant.
        samples: What a run of each variant wrote.
        machine: What it was measured on and with, such as the versions.
        figure: A PNG image.

    Returns:
        An HTML document without scripts or links.
    """
    title = ' · '.join(comparison.curves)
    parts = [f'<h1>{_text(title)}</h1>', '<h2>What it shows</h2>']
    lines = conclusions(comparison) or ['There is a single variant.']
    parts.append(_list(lines))
    parts += map(_table, tables(comparison))
    if figure is not None:
        data = base64.b64encode(figure).decode('ascii')
        parts.append(
            '<h2>Curves</h2><p>Means over the seeds with 95 % intervals; on '
            'the right, each small dot is a seed.</p><img alt="Curves of the '
            f'variants" src="data:image/png;base64,{data}">'
        )
    rows = [['variant', 'flags']]
    rows += [[k, shlex.join(v)] for k, v in (variants or {}).items()]
    parts.append('<h2>Settings</h2>')
    if len(rows) > 1:
        parts.append(_table(Table('What differs', rows)))
    parts.append(f'<p>Of all:</p>{_pre(shlex.join(flags))}')
    if machine:
        pairs = [[k, v] for k, v in machine.items()]
        parts.append('<h2>Measured on</h2>')
        parts.append(_table(Table('', [['', ''], *pairs])))
    if samples:
        parts.append('<h2>Samples</h2>')
        for name, text in samples.items():
            parts.append(f'<h3>{_text(name)}</h3>{_pre(text)}')
    body = '\n'.join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f'<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
        f'<body>\n{body}\n</body>\n</html>\n'
    )


def _table(table: Table) -> str:
    head, *rows = table.rows
    caption = f'<caption>{_text(table.title)}</caption>' if table.title else ''
    if any(head):
        head = f'<thead>{_row(head, "th")}</thead>'
    else:
        head = ''
    body = ''.join(_row(row, 'td') for row in rows)
    return (
        f'<div class="wide"><table>{caption}{head}<tbody>{body}</tbody></table>'
        '</div>'
    )


def _row(cells: Iterable[str], tag: str) -> str:
    inside = ''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)
    return f'<tr>{inside}</tr>'


def _list(lines: Iterable[str]) -> str:
    inside = ''.join(f'<li>{_text(line)}</li>' for line in lines)
    return f'<ul>{inside}</ul>'


def _pre(text: str) -> str:
    return f'<pre>{_text(text)}</pre>'


def _text(text: str) -> str:
    # Control characters of a sample would make the document invalid.
    visible = ''.join(
        c if c.isprintable() or c in '\n\t' else '�' for c in text
    )
    return html.escape(visible)
