import doctest
import importlib
import io
import os
import pkgutil

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn

# Their docstrings are the help of the commands.
COMMANDS = (
    *('train', 'generate', 'evaluate', 'benchmark', 'experiment', 'export'),
)
MODULES = [
    module.name
    for module in pkgutil.walk_packages(tfcharrnn.__path__, 'tfcharrnn.')
    if module.name.removeprefix('tfcharrnn.') not in COMMANDS
]
FINDER = doctest.DocTestFinder(exclude_empty=True)


class DocstringsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(*MODULES)
    def test_the_examples_of_a_module_run_as_printed(self, name):
        # What an example writes is written where it is swept away.
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.get_temp_dir())
        report = io.StringIO()
        runner = doctest.DocTestRunner(
            optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        )
        names = {'np': np, 'tf': tf, 'tfcharrnn': tfcharrnn}
        module = importlib.import_module(name)
        for test in FINDER.find(module, extraglobs=names):
            runner.run(test, out=report.write)
        results = runner.summarize(verbose=False)
        self.assertEqual(results.failed, 0, report.getvalue())

    def test_most_modules_have_examples(self):
        have = [
            name
            for name in MODULES
            if any(
                test.examples
                for test in FINDER.find(importlib.import_module(name))
            )
        ]
        self.assertGreater(len(have), 0.6 * len(MODULES))


if __name__ == '__main__':
    tf.test.main()
