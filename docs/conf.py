"""How Sphinx builds the documentation: see BUILD.md."""

import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from sphinx.addnodes import pending_xref  # noqa: E402

import tfcharrnn  # noqa: E402  (after the lines that it needs)

project = 'tfcharrnn'
author = 'The tfcharrnn authors'
copyright = f'2026, {author}'
release = version = tfcharrnn.__version__
html_title = f'tfcharrnn {release}'

extensions = [
    'myst_nb',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
]
exclude_patterns = ['_build', 'notebooks/*.md']
html_theme = 'furo'
html_static_path = ['static']
html_css_files = ['pictures.css']
templates_path = []

myst_enable_extensions = ['colon_fence', 'deflist']
myst_heading_anchors = 3
# Pages that show a file of examples/, by the name that links to it there.
SHOWN = {'README': 'recipes', 'curricula': 'claims'}
# The notebooks are stored with the outputs of a real run.
nb_execution_mode = 'off'

default_role = 'code'
autodoc_member_order = 'bysource'
autodoc_typehints = 'none'  # They are in the signature.
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_class_signature = 'separated'
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True

copybutton_prompt_text = r'>>> |\.\.\. |\$ '
copybutton_prompt_is_regexp = True

_SECTION = re.compile(
    r'(Args|Returns|Yields|Raises|Attributes|References?|Example)s?:'
)


def _draw_pictures(lines):
    """Marks indented paragraphs, which are pictures, as literal text.

    In a docstring, what is indented below a paragraph and after an empty line
    is a picture, pseudo-code or a command. Examples (>>>) and the sections of
    Google's style mark themselves.

    Args:
        lines: The docstring's, changed in place.
    """
    drawn, inside_section, before = [], False, ''
    for number, line in enumerate(lines):
        is_first = number and not lines[number - 1].strip()
        indented = line.startswith('    ')
        if line.strip() and not indented:
            inside_section = bool(_SECTION.match(line))
            before = 'text'
        elif indented and is_first and not inside_section:
            if before == 'text' and not line.lstrip().startswith('>>>'):
                drawn += ['.. code-block:: text', '']
                before = 'picture'
            elif line.lstrip().startswith('>>>'):
                before = 'text'
        drawn.append(line)
    lines[:] = drawn


def _find_pages(doctree):
    """Leads links to a file of examples/ to the page that shows it."""
    for link in doctree.findall(pending_xref):
        target = pathlib.Path(link['reftarget'])
        if target.parent == ROOT / 'examples' and target.name in SHOWN:
            link['reftarget'] = SHOWN[target.name]


def setup(app):
    """Mends the links, and draws the pictures before napoleon reads."""
    app.connect('doctree-read', lambda app, doctree: _find_pages(doctree))
    app.connect(
        'autodoc-process-docstring',
        lambda app, what, name, obj, options, lines: _draw_pictures(lines),
        priority=100,
    )
