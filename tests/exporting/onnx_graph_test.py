import pathlib

import elsewhere
import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import exporting

onnx = pytest.importorskip('onnx')

PROGRAM = """
    import json
    import numpy as np
    import onnxruntime

    def run(session, ids, state):
        names = [x.name for x in session.get_inputs()][1:]
        feeds = dict(zip(names, state, strict=True))
        logits, *after = session.run(None, {'ids': ids, **feeds})
        return logits, after

    worst, arrays = {}, np.load('logits.npz')
    ids = arrays['ids']
    for name in set(arrays) - {'ids'}:
        session = onnxruntime.InferenceSession(f'{name}.onnx')
        state = zero = [
            np.zeros([len(ids), x.shape[1]], np.float32)
            for x in session.get_inputs()[1:]
        ]
        sequence, end = run(session, ids, zero)
        steps = []
        for t in range(ids.shape[1]):
            logits, state = run(session, ids[:, t : t + 1], state)
            steps.append(logits)
        steps = np.concatenate(steps, 1)
        ends = [abs(a - b).max() for a, b in zip(end, state, strict=True)]
        metadata = session.get_modelmeta().custom_metadata_map
        worst[name] = {
            'sequence': float(abs(sequence - arrays[name]).max()),
            'steps': float(abs(steps - arrays[name]).max()),
            'state': float(max(ends)),
            'characters': json.loads(metadata['vocabulary'])['characters'],
            'config': json.loads(metadata['config']),
        }
    print(json.dumps(worst))
"""


class OnnxTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.get_temp_dir())

    def save(self, model, name='model'):
        out = self.folder / f'{name}.onnx'
        exporting.save(model, elsewhere.VOCABULARY, out, format='onnx')
        return out

    def test_onnxruntime_computes_the_same_logits(self):
        pytest.importorskip('onnxruntime')
        ids = elsewhere.random_ids()
        arrays, configs = {'ids': ids}, {}
        for name, config in {**elsewhere.SHARED, **elsewhere.OTHERS}.items():
            model = elsewhere.build(**config)
            self.save(model, name)
            arrays[name] = elsewhere.logits(model, ids)
            configs[name] = model.config
        np.savez(self.folder / 'logits.npz', **arrays)
        worst = elsewhere.run(PROGRAM, self.folder)
        self.assertEqual(set(worst), set(configs))
        for name, found in worst.items():
            self.assertLess(found['sequence'], 1e-5, name)
            self.assertLess(found['steps'], 1e-5, name)
            self.assertLess(found['state'], 1e-5, name)
            self.assertEqual(found['config'], configs[name])
            self.assertEqual(
                tuple(found['characters']), elsewhere.VOCABULARY.tokens
            )

    def test_operations_are_those_of_the_standard(self):
        path = self.save(elsewhere.build(**elsewhere.OTHERS['norms']))
        graph = onnx.load(path)
        self.assertEqual([x.domain for x in graph.opset_import], [''])
        onnx.checker.check_model(graph, full_check=True)

    def test_a_cell_of_ones_own_is_refused(self):
        class Mine(tf.Module):
            config, vocab_size = {'cell': 'Mine'}, elsewhere.V

        with self.assertRaisesRegex(ValueError, 'gru.*saved_model'):
            self.save(Mine())
        self.assertEmpty(list(self.folder.iterdir()))

    def test_a_cell_that_it_cannot_hold_is_named(self):
        model = elsewhere.build(cell='mogrified_gru')
        with self.assertRaisesRegex(ValueError, "'mogrified_gru'.*saved_model"):
            self.save(model)
        self.assertEmpty(list(self.folder.iterdir()))


if __name__ == '__main__':
    tf.test.main()
