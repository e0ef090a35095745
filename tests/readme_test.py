import os
import pathlib

import code_blocks
import tensorflow as tf

README = pathlib.Path(__file__).parents[1] / 'README.md'


class ReadmeTest(tf.test.TestCase):
    def test_the_python_blocks_run_as_printed(self):
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.get_temp_dir())
        text = code_blocks.make_text()
        pathlib.Path('shakespeare.txt').write_text(text, 'utf-8')
        names = {}

        [line] = code_blocks.blocks_of(README)

        def run(block):
            return code_blocks.run(block, names)

        self.assertRegex(run(line), r'^ROMEO: (.|\n){5}\n$')
        self.assertEqual(names['trainer'].step, 4)
        trained = [v.numpy() for v in names['model'].variables]
        run(line)  # Started again, it restores and has nothing to train.
        tf.nest.map_structure(
            self.assertAllEqual, trained, list(names['model'].variables)
        )


if __name__ == '__main__':
    tf.test.main()
