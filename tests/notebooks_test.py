"""The notebooks run at toy size, and their stored copies have their cells."""

import json
import os
import pathlib
import re

import code_blocks
import tensorflow as tf
from absl.testing import parameterized

FOLDER = pathlib.Path(__file__).parents[1] / 'docs' / 'notebooks'
NAMES = sorted(path.stem for path in FOLDER.glob('*.md'))


def cells_of(name):
    """Returns the code cells of a notebook that is written as Markdown."""
    text = (FOLDER / f'{name}.md').read_text('utf-8')
    return re.findall(
        r'^```\{code-cell\} python\n(.*?)\n```$', text, re.M | re.S
    )


class NotebooksTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*NAMES)
    def test_the_cells_run_in_order(self, name):
        try:
            import matplotlib
        except ImportError:
            self.skipTest('matplotlib is not installed')
        matplotlib.use('Agg')
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.get_temp_dir())
        text = code_blocks.make_text()
        pathlib.Path('shakespeare.txt').write_text(text, 'utf-8')
        names = {}
        for cell in cells_of(name):
            code_blocks.run(cell, names)

    @parameterized.parameters(*NAMES)
    def test_the_stored_notebook_is_this_one_and_has_outputs(self, name):
        stored = json.loads((FOLDER / f'{name}.ipynb').read_text('utf-8'))
        cells = [c for c in stored['cells'] if c['cell_type'] == 'code']
        self.assertEqual([''.join(c['source']) for c in cells], cells_of(name))
        self.assertTrue(any(c['outputs'] for c in cells))
        for cell in cells:
            for output in cell['outputs']:
                self.assertNotEqual(output['output_type'], 'error')


if __name__ == '__main__':
    tf.test.main()
