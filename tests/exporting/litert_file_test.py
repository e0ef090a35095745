import pathlib
import re

import elsewhere
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import exporting

GUIDE = pathlib.Path(__file__).parents[2] / 'docs' / 'guides' / 'exporting.md'
PROGRAM = """
    import json, zipfile
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    found, arrays = {}, np.load('logits.npz')
    ids = arrays['ids']
    for name in set(arrays) - {'ids'}:
        interpreter = Interpreter(f'{name}.tflite')
        step = interpreter.get_signature_runner()
        worst = 0.0
        for row in range(len(ids)):
            state = {
                key: np.zeros(details['shape'], details['dtype'])
                for key, details in step.get_input_details().items()
                if key != 'ids'
            }
            for t, id_ in enumerate(ids[row]):
                state = step(ids=np.array([id_], np.int32), **state)
                logits = state.pop('logits')[0]
                worst = max(worst, abs(logits - arrays[name][row, t]).max())
        operations = {x['op_name'] for x in interpreter._get_ops_details()}
        with zipfile.ZipFile(f'{name}.tflite') as archive:
            config = json.loads(archive.read('config.json'))
        found[name] = float(worst), sorted(operations), config
    print(json.dumps(found))
"""


class LiteRtTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        pytest.importorskip('ai_edge_litert')
        self.folder = pathlib.Path(self.get_temp_dir())

    def save(self, model, name='bard', **options):
        path = self.folder / f'{name}.tflite'
        exporting.save(
            model,
            elsewhere.VOCABULARY,
            path,
            format='litert',
            options=options,
        )
        return path

    def test_litert_computes_the_same_logits_in_built_in_operations(self):
        ids = elsewhere.random_ids()
        arrays, models = {'ids': ids}, {}
        kinds = {**elsewhere.SHARED, **elsewhere.OTHERS}
        kinds = {k: kinds[k] for k in ('two_lstms', 'norms', 'bfloat16')}
        for name, config in kinds.items():
            models[name] = model = elsewhere.build(**config)
            self.save(model, name)
            arrays[name] = elsewhere.logits(model, ids)
        model = elsewhere.build(rnn_units=64)  # Large enough to be quantized.
        self.save(model, 'int8', precision='int8')
        arrays['int8'], models['int8'] = elsewhere.logits(model, ids), model
        np.savez(self.folder / 'logits.npz', **arrays)
        found = elsewhere.run(PROGRAM, self.folder, 'tensorflow')
        self.assertEqual(set(found), set(models))
        for name, (worst, operations, config) in found.items():
            if name == 'int8':
                self.assertBetween(worst, 1e-4, 0.1 * np.ptp(arrays[name]))
            else:
                self.assertLess(worst, 1e-5, name)
            self.assertEmpty([x for x in operations if 'ustom' in x.lower()])
            self.assertEmpty([x for x in operations if 'flex' in x.lower()])
            self.assertEqual(config, models[name].config)

    def test_the_lines_of_the_guide_write_text(self):
        (program,) = (
            block
            for block in re.findall(
                r'```python\n(.*?)```', GUIDE.read_text(), re.S
            )
            if 'Interpreter' in block
        )
        self.assertIn("'ROMEO: ', 300", program)
        program = program.replace("'ROMEO: ', 300", "'a bad ', 200")
        program = program.replace('print(chars[', 'text += (chars[')
        program = program.replace(", end='')", ')')
        program += 'print(json.dumps(text))\n'
        self.save(elsewhere.build(rnn_units=64), precision='int8')
        text = elsewhere.run("text = ''\n" + program, self.folder, 'tensorflow')
        self.assertStartsWith(text, 'a bad ')
        self.assertLen(text, 206)
        self.assertGreater(len(set(text)), 5)

    def test_int8_is_smaller_and_the_same_model_is_the_same_file(self):
        model = elsewhere.build(rnn_units=64)
        first = self.save(model, 'first').read_bytes()
        self.assertEqual(self.save(model, 'second').read_bytes(), first)
        small = self.save(model, 'small', precision='int8').read_bytes()
        self.assertLess(len(small), 0.8 * len(first))

    @parameterized.parameters('int4', 8)
    def test_another_precision_is_refused(self, precision):
        with self.assertRaisesRegex(ValueError, '`precision`.*float32, int8'):
            self.save(elsewhere.build(), precision=precision)
        self.assertEmpty(list(self.folder.iterdir()))


if __name__ == '__main__':
    tf.test.main()
