import unittest

import toy_benchmark

from tfcharrnn.benchmarking import report


class ReportTest(unittest.TestCase):
    def test_compares_round_by_round(self):
        ours = toy_benchmark.contender('train', 'tfcharrnn', 20.0, 40.0, 60.0)
        peer = toy_benchmark.contender('train', 'keras', 10.0, 10.0, 60.0)
        product = toy_benchmark.contender('peak', 'product', 1e9, 1e9, 1e9)
        group = [ours, peer, product]
        result = report.result(peer, group)
        self.assertEqual(
            result['ours_is_faster'],
            {'tfcharrnn float32': {'median': 2.0, 'min': 1.0, 'max': 4.0}},
        )
        figures = result['figures']
        chars = (
            toy_benchmark.SIZES['batch_size']
            * toy_benchmark.SIZES['seq_length']
        )
        self.assertAlmostEqual(
            figures['ms_per_step']['median'] / 1000, chars / 10.0
        )
        self.assertAlmostEqual(
            figures['peak_share']['max'],
            report.flops_per_char(toy_benchmark.task()) * 60.0 / 1e9,
        )
        self.assertEqual(figures['memory_gb'], 2.0)
        self.assertEqual(report.result(ours, group)['ours_is_faster'], {})
        self.assertEqual(report.result(product, group)['ours_is_faster'], {})

    def test_names_who_dropped_out(self):
        done = toy_benchmark.contender('corpus', 'tfcharrnn', 1.0, 2.0)
        out = toy_benchmark.contender('train', 'torch')
        out.error = 'no memory'
        text = report.format_tables(
            report.summarize(
                toy_benchmark.settings(),
                [[done], [out]],
                {'keras': 'not installed'},
            )
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
            self.assertEqual(report.format_figure(value), text)


if __name__ == '__main__':
    unittest.main()
