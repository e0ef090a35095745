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

        def run(block):
            return code_blocks.run(block, names)

        line, command, measure, curriculum = code_blocks.blocks_of(README)
        self.assertRegex(run(line), r'^ROMEO: (.|\n){5}\n$')
        self.assertEqual(names['trainer'].step, 4)
        trained = [v.numpy() for v in names['model'].variables]
        run(line)  # Started again, it restores and has nothing to train.
        tf.nest.map_structure(
            self.assertAllEqual, trained, list(names['model'].variables)
        )
        self.assertRegex(run(command), r'^ROMEO: (.|\n){5}\n$')
        self.assertRegex(run(measure), r"^\{.*'loss': .*\}\n\d\.\d+\n$")
        run(curriculum)
        # Words, lines, and the stream, up to the end of the budget.
        self.assertEqual(names['trainer'].record.place.stage, 2)
        self.assertGreater(names['trainer'].step, 4)


if __name__ == '__main__':
    tf.test.main()
