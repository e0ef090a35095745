"""The documentation: its code runs, and it names every public name."""

import os
import pathlib
import re

import code_blocks
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import curricula, data, exporting, tasks

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / 'docs'
PAGES = sorted(
    path for path in DOCS.rglob('*.md') if path.parent.name != 'notebooks'
)
ALL_BLOCKS = {
    path: code_blocks.blocks_of(path) for path in [*PAGES, ROOT / 'README.md']
}
WITH_CODE = [(path.stem, path) for path in PAGES if ALL_BLOCKS[path]]
# Not names of their own pages: rooms of names that are.
ROOMS = {
    'curricula': curricula,
    'data': data,
    'exporting': exporting,
    'tasks': tasks,
}


class DocsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.named_parameters(*WITH_CODE)
    def test_the_python_blocks_run_in_order(self, path):
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.get_temp_dir())
        text = code_blocks.make_text()
        pathlib.Path('shakespeare.txt').write_text(text, 'utf-8')
        names = {}
        for block in ALL_BLOCKS[path]:
            code_blocks.run(block, names)

    @parameterized.parameters(*code_blocks.TOY)
    def test_what_is_made_small_is_there(self, large):
        texts = map(''.join, ALL_BLOCKS.values())
        notebooks = DOCS.glob('notebooks/*.md')
        texts = [*texts, *(path.read_text('utf-8') for path in notebooks)]
        self.assertIn(large, ''.join(texts))

    def test_the_reference_has_every_public_name(self):
        reference = ''.join(
            path.read_text('utf-8') for path in DOCS.glob('reference/*.md')
        )
        shown = re.findall(r'^\.\. [\w:]+:: tfcharrnn\.(\S+)', reference, re.M)
        names = {name for name in tfcharrnn.__all__ if name != '__version__'}
        names -= {*ROOMS, 'cells'}
        for room, module in ROOMS.items():
            names |= {f'{room}.{name}' for name in module.__all__}
        # Three of the rooms' names are public ones of the package, too.
        shown += [name.rpartition('.')[2] for name in shown]
        self.assertEqual(names - set(shown), set())

    def test_links_between_pages_lead_somewhere(self):
        others = [*ROOT.glob('*.md'), *ROOT.glob('examples/*.md')]
        for path in [*PAGES, *others]:
            text = re.sub(r'`[^`]*`', '', path.read_text('utf-8'))
            for link in re.findall(r'\]\(([^)#]+)', text):
                if not link.startswith('http'):
                    self.assertTrue((path.parent / link).exists(), link)


if __name__ == '__main__':
    tf.test.main()
