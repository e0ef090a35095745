import functools
import importlib.util
import os
import tempfile
import unittest
from unittest import mock

import tensorflow as tf
import toy_benchmark
from absl.testing import parameterized

from tfcharrnn.benchmarking import contenders
from tfcharrnn.benchmarking.contenders import CONTENDERS
from tfcharrnn.benchmarking.report import flops_per_char

HAS_TORCH = importlib.util.find_spec('torch') is not None
NAMES = [(what, name) for what, names in CONTENDERS.items() for name in names]


class ContendersTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # A contender runs in its own process; here it shares one.
        folder = self.enter_context(tempfile.TemporaryDirectory())
        cache = {'XDG_CACHE_HOME': folder}  # Of models with int8 weights.
        self.enter_context(mock.patch.dict(os.environ, cache))
        mixed_precision = tf.keras.mixed_precision
        self.addCleanup(
            mixed_precision.set_global_policy, mixed_precision.dtype_policy()
        )

    @parameterized.parameters(*NAMES)
    def test_yields_versions_then_nothing_then_speeds(self, what, name):
        self._advance(what, name)

    @parameterized.parameters(*((w, n) for w, n in NAMES if w == 'train'))
    def test_trains_every_cell_and_precision(self, what, name):
        self._advance(what, name, cell='lstm', precision='bfloat16')

    def _advance(self, what, name, **changes):
        if 'torch' in name and not HAS_TORCH:
            self.skipTest('PyTorch is not installed.')
        way = name.partition(' ')[2]
        turns = CONTENDERS[what][name](toy_benchmark.task(way=way, **changes))
        self.assertIsInstance(next(turns), dict)
        self.assertIsNone(next(turns))
        self.assertGreater(next(turns), 0)
        self.assertGreater(next(turns), 0)

    def test_a_turn_times_the_steps_after_its_first(self):
        calls = []
        step = functools.partial(calls.append, None)
        turns = contenders.turns(toy_benchmark.task(steps=5), step, amount=2)
        sizes = [len(calls) for _ in zip(range(3), turns, strict=False)]
        self.assertEqual(sizes, [1, 1 + 6, 1 + 6 + 6])

    @parameterized.parameters('gru', 'lstm')
    def test_keras_has_the_weights_of_ours(self, cell):
        task = toy_benchmark.task(cell=cell)
        keras = contenders.keras_model(tf, task)
        self.assertEqual(
            sum(v.shape.num_elements() for v in keras.trainable_variables),
            contenders.our_model(task).num_parameters,
        )

    @unittest.skipUnless(HAS_TORCH, 'PyTorch is not installed.')
    def test_torch_has_the_weights_of_ours(self):
        import torch

        task = toy_benchmark.task()
        model, _ = contenders.torch_model(torch, task)
        self.assertEqual(
            sum(weights.numel() for weights in model.parameters()),
            contenders.our_model(task).num_parameters,
        )

    def test_operations_are_six_for_each_weight_of_a_product(self):
        task = toy_benchmark.task()
        model = contenders.our_model(task)
        no_product = [model.embedding, *(cell.bias for cell in model.cells)]
        weights = model.num_parameters - sum(
            v.shape.num_elements() for v in [*no_product, model.bias]
        )
        self.assertEqual(flops_per_char(task), 6 * weights)


if __name__ == '__main__':
    unittest.main()
