import contextlib
import functools
import importlib.util
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
import unittest
from unittest import mock

import tensorflow as tf
from absl.testing import flagsaver, parameterized

import tfcharrnn
from tfcharrnn import benchmark, commands

SIZES = {
    'rnn_units': 4,
    'num_layers': 2,
    'batch_size': 3,
    'seq_length': 5,
    'vocab_size': 7,
    'embedding_dim': 2,
    'length': 6,
    'peak_size': 8,
    'corpus_size': 1000,
    'rounds': 2,
    'steps': 2,
}
ROOT = pathlib.Path(tfcharrnn.__file__).parent.parent
HAS_TORCH = importlib.util.find_spec('torch') is not None
CONTENDERS = [
    (what, name)
    for what, names in benchmark._CONTENDERS.items()
    for name in names
]


@contextlib.contextmanager
def given(*arguments):
    """Sets the flags of the benchmark, to toy sizes unless told otherwise."""
    saved = flagsaver.save_flag_values(benchmark.FLAGS)
    sizes = [f'--{name}={size}' for name, size in SIZES.items()]
    try:
        benchmark.FLAGS(['', *sizes, *arguments])
        yield
    finally:
        flagsaver.restore_flag_values(saved, benchmark.FLAGS)


def run(*arguments):
    """Runs the command; returns its status, output and errors."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        given(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            commands.run(benchmark.main, benchmark.FLAGS, ['', *arguments])
        except SystemExit as exit_:
            return exit_.code, stdout.getvalue(), stderr.getvalue()


def setting(**changes):
    return types.SimpleNamespace(
        **{'cell': 'gru', 'precision': 'float32', **SIZES, **changes}
    )


def contender(what, name, *speeds, **changes):
    """Returns one that has made its turns, at these speeds."""
    result = benchmark._Contender(what, name, **vars(setting(**changes)))
    replies = [{}, None, *speeds] if speeds else []
    result.replies = [(value, 0.5, 2 * 10**9) for value in replies]
    return result


class ContendersTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # A contender has a process of its own; here it shares one.
        self.enter_context(mock.patch.dict(os.environ))
        mixed_precision = tf.keras.mixed_precision
        self.addCleanup(
            mixed_precision.set_global_policy, mixed_precision.dtype_policy()
        )

    @parameterized.parameters(*CONTENDERS)
    def test_yields_versions_then_nothing_then_speeds(self, what, name):
        self._advance(what, name)

    @parameterized.parameters(*((w, n) for w, n in CONTENDERS if w == 'train'))
    def test_trains_every_cell_and_precision(self, what, name):
        self._advance(what, name, cell='lstm', precision='bfloat16')

    def _advance(self, what, name, **changes):
        if 'torch' in name and not HAS_TORCH:
            self.skipTest('PyTorch is not installed.')
        way = name.partition(' ')[2]
        make_turns = benchmark._CONTENDERS[what][name]
        turns = make_turns(setting(way=way, **changes))
        self.assertIsInstance(next(turns), dict)
        self.assertIsNone(next(turns))
        self.assertGreater(next(turns), 0)
        self.assertGreater(next(turns), 0)

    def test_a_turn_times_the_steps_after_its_first(self):
        calls = []
        step = functools.partial(calls.append, None)
        turns = benchmark._turns(setting(steps=5), step, amount=2)
        sizes = [len(calls) for _ in zip(range(3), turns, strict=False)]
        self.assertEqual(sizes, [1, 1 + 6, 1 + 6 + 6])

    @parameterized.parameters('gru', 'lstm')
    def test_keras_has_the_weights_of_ours(self, cell):
        keras = benchmark._keras_model(tf, setting(cell=cell))
        self.assertEqual(
            sum(v.shape.num_elements() for v in keras.trainable_variables),
            benchmark._our_model(setting(cell=cell)).num_parameters,
        )

    @unittest.skipUnless(HAS_TORCH, 'PyTorch is not installed.')
    def test_torch_has_the_weights_of_ours(self):
        import torch

        model, _ = benchmark._torch_model(torch, setting())
        self.assertEqual(
            sum(weights.numel() for weights in model.parameters()),
            benchmark._our_model(setting()).num_parameters,
        )

    def test_operations_are_six_for_each_weight_of_a_product(self):
        model = benchmark._our_model(setting())
        no_product = [model.embedding, *(cell.bias for cell in model.cells)]
        weights = model.num_parameters - sum(
            v.shape.num_elements() for v in [*no_product, model.bias]
        )
        self.assertEqual(benchmark._flops_per_char(setting()), 6 * weights)


class GroupsTest(unittest.TestCase):
    def test_training_meets_its_peers_and_the_peak(self):
        self.assertEqual(
            self._groups('--what=train,peak', '--precisions=bfloat16'),
            2 * [['tfcharrnn', 'keras', 'torch', 'product']],
        )

    def test_default_threads_are_one_more(self):
        self.assertEqual(
            self._groups('--what=train', '--default_threads', '--peers='),
            2 * [2 * ['tfcharrnn'] + 2 * ['tfcharrnn default threads']],
        )

    def test_a_single_text_is_written_in_all_ways(self):
        self.assertEqual(
            self._groups('--what=generate', '--cells=lstm', '--peers=keras'),
            [
                [
                    'tfcharrnn',
                    'tfcharrnn',
                    'keras',
                    'keras call',
                    'keras eager',
                ],
                ['tfcharrnn', 'tfcharrnn', 'keras'],
            ],
        )

    def test_texts_know_no_precision(self):
        self.assertEqual(
            self._groups('--what=input,corpus'), [['tfcharrnn'], ['tfcharrnn']]
        )

    def _groups(self, *arguments):
        with given(*arguments):
            groups = benchmark._groups(benchmark.FLAGS.peers)
        return [[contender.name for contender in group] for group in groups]


class ReportTest(unittest.TestCase):
    def test_compares_round_by_round(self):
        ours = contender('train', 'tfcharrnn', 20.0, 40.0, 60.0)
        peer = contender('train', 'keras', 10.0, 10.0, 60.0)
        product = contender('peak', 'product', 1e9, 1e9, 1e9)
        group = [ours, peer, product]
        result = benchmark._result(peer, group)
        self.assertEqual(
            result['ours_is_faster'],
            {'tfcharrnn float32': {'median': 2.0, 'min': 1.0, 'max': 4.0}},
        )
        figures = result['figures']
        chars = SIZES['batch_size'] * SIZES['seq_length']
        self.assertAlmostEqual(
            figures['ms_per_step']['median'] / 1000, chars / 10.0
        )
        self.assertAlmostEqual(
            figures['peak_share']['max'],
            benchmark._flops_per_char(setting()) * 60.0 / 1e9,
        )
        self.assertEqual(figures['memory_gb'], 2.0)
        self.assertEqual(benchmark._result(ours, group)['ours_is_faster'], {})
        self.assertEqual(
            benchmark._result(product, group)['ours_is_faster'], {}
        )

    def test_names_who_dropped_out(self):
        done = contender('corpus', 'tfcharrnn', 1.0, 2.0)
        out = contender('train', 'torch')
        out.error = 'no memory'
        text = benchmark._format(
            benchmark._report([[done], [out]], {'keras': 'not installed'})
        )
        self.assertIn('Left out: keras: not installed\n', text)
        self.assertRegex(text, r'Left out: .*torch float32: no memory$')

    def test_figures_have_three_digits(self):
        for value, text in (
            (0.01234, '0.0123'),
            (1.234, '1.23'),
            (123.4, '123'),
            (12345.6, '12,346'),
        ):
            self.assertEqual(benchmark._text(value), text)


class CommandTest(unittest.TestCase):
    def test_prints_a_table(self):
        status, out, err = run(
            '--what=train', '--cells=gru', '--precisions=float32', '--peers='
        )
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r'(?m)^gru .* +ms_per_step +chars_per_second')
        self.assertRegex(out, r'(?m)^tfcharrnn float32 +\d')
        self.assertIn('s left', err)
        self.assertLessEqual(max(map(len, out.splitlines())), 120)

    def test_prints_one_json_object(self):
        with mock.patch('importlib.util.find_spec', return_value=None):
            status, out, err = run('--what=corpus', '--peers=torch', '--json')
        self.assertEqual(status, 0, err)
        report = json.loads(out)
        self.assertEqual(report['left_out'], {'torch': 'not installed'})
        (result,) = report['results']
        self.assertEqual(len(result['rounds']), SIZES['rounds'])
        self.assertEqual(
            result['figures']['chars_per_second']['max'], max(result['rounds'])
        )

    def test_a_wrong_flag_is_one_line(self):
        for wrong in ('--cells=gru,rnn', '--rounds=0', '--what=all'):
            status, out, err = run(wrong)
            self.assertEqual((status, out, err.count('\n')), (2, '', 1))

    def test_nothing_to_measure_is_an_error(self):
        # PyTorch, say, may be missing.
        status, out, err = run('--what=', '--peers=')
        self.assertEqual(
            (status, out, err), (1, '', 'Error: Nothing was measured.\n')
        )

    def test_who_fails_or_dies_drops_out(self):
        failing = contender('corpus', 'tfcharrnn', vocab_size=0)
        dying = contender('corpus', 'tfcharrnn')
        for each in (failing, dying):
            each.start()
            self.addCleanup(each.stop)
            each.advance()
        dying.stop()
        for each in (failing, dying):
            each.advance()
            each.advance()
        self.assertRegex(failing.error, '^ValueError: ')
        self.assertRegex(dying.error, 'ended with -9')

    def test_ctrl_c_ends_all_processes(self):
        process = subprocess.Popen(
            [sys.executable, '-m', 'tfcharrnn.benchmark', '--what=corpus']
            + ['--corpus_size=100', '--rounds=1000000'],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that put the tests in the background made it ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.addCleanup(process.kill)
        first = process.stderr.readline()
        # As a terminal does it: to the command and its children.
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out), (130, ''), first + err)
        self.assertNotIn('Traceback', first + err)
        with self.assertRaises(ProcessLookupError):
            for _ in range(100):
                os.killpg(process.pid, 0)
                time.sleep(0.1)


if __name__ == '__main__':
    unittest.main()
