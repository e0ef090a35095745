import csv
import html.parser
import io
import json
import math
import pathlib
import re
import tempfile

from absl.testing import absltest, parameterized

from tfcharrnn.comparing import comparison, curves, page, report, tables
from tfcharrnn.comparing.comparison import Comparison, conclusions
from tfcharrnn.comparing.curves import Curve


def curve(*values, chars=100):
    places = range(1, len(values) + 1)
    return Curve(
        [10 * i for i in places],
        [chars * i for i in places],
        [2.0 * i for i in places],
        list(values),
    )


def compare(*, missing=None, target=None, **variants):
    """Returns a comparison of values by variant and seed."""
    runs = {
        name: {seed: curve(*each) for seed, each in enumerate(values)}
        for name, values in variants.items()
    }
    return Comparison('valid_loss', runs, missing or {}, target)


CLEAR = {
    'plain': [(3.0, 2.0, 1.0), (3.1, 2.1, 1.1), (3.2, 2.2, 1.2)],
    'fast': [(2.0, 1.0, 0.5), (2.1, 1.1, 0.62), (2.2, 1.2, 0.7)],
}
UNCLEAR = {
    'plain': [(3.0, 1.0), (3.0, 1.2), (3.0, 1.1)],
    'other': [(3.0, 1.1), (3.0, 1.1), (3.0, 1.0)],
}


class CurveTest(parameterized.TestCase):
    def test_the_area_is_that_of_trapezoids(self):
        run = Curve([1, 2, 3], [0, 10, 30], [0, 1, 2], [4.0, 2.0, 1.0])
        expected = (10 * 3.0 + 20 * 1.5) / 30
        self.assertAlmostEqual(run.area(0, 30), expected)
        halves = run.area(0, 15) * 15 + run.area(15, 30) * 15
        self.assertAlmostEqual(halves / 30, expected)

    @parameterized.parameters(
        (3.0, (100.0, 2.0)),  # At the first evaluation.
        (2.0, (200.0, 4.0)),
        (1.25, (275.0, 5.5)),
        (0.9, None),
    )
    def test_a_value_is_reached_between_two_evaluations(self, target, expected):
        self.assertEqual(curve(3.0, 2.0, 1.0).reach(target), expected)

    def test_an_accuracy_is_reached_from_below(self):
        run = curve(0.1, 0.5)
        self.assertEqual(run.reach(0.3, falls=False), (150.0, 3.0))
        self.assertIsNone(run.reach(0.6, falls=False))


class ComparisonTest(parameterized.TestCase):
    def test_the_area_is_over_what_all_runs_were_measured_on(self):
        runs = {
            'plain': {0: curve(4.0, 2.0)},  # At 100 and 200 characters.
            'short': {0: curve(9.0, 4.0, 3.0, 2.0, chars=50)},  # From 50 on.
        }
        both = Comparison('valid_loss', runs)
        self.assertEqual(both.values('plain', 'area'), {0: 3.0})
        self.assertEqual(both.values('short', 'area'), {0: 3.0})

    def test_runs_are_compared_after_as_many_characters(self):
        runs = {
            'plain': {0: curve(4.0, 2.0), 1: curve(5.0, 3.0)},
            'short': {
                0: curve(4.0, 3.0, 1.0, chars=60),  # At 60, 120 and 180.
                1: curve(4.0, 3.0, 2.0, chars=60),
            },
        }
        both = Comparison('valid_loss', runs)
        self.assertEqual(both.values('short', 'matched'), {0: 1.0, 1: 2.0})
        plain = both.values('plain', 'matched')  # At 180, on the way to 200.
        self.assertAlmostEqual(plain[0], 4.0 - 0.8 * 2.0)
        self.assertAlmostEqual(plain[1], 5.0 - 0.8 * 2.0)
        difference = both.difference('short', 'matched')
        self.assertAlmostEqual(difference.mean, -1.4)
        self.assertIn('at equal characters', tables.as_text(both))
        self.assertIn('-1.4000', tables.as_text(both))
        self.assertNotIn('as many', tables.as_text(compare(**CLEAR)))

    def test_runs_that_never_overlap_are_not_compared_in_between(self):
        runs = {
            'plain': {0: curve(3.0, 2.0)},
            'late': {0: curve(1.0, chars=500)},
        }
        both = Comparison('valid_loss', runs)
        self.assertIsNone(both.difference('late', 'area'))
        self.assertIsNone(both.difference('late', 'matched'))
        self.assertEqual(both.difference('late', 'last').mean, -1.0)
        self.assertIn('late', tables.as_text(both) + tables.runs_as_csv(both))

    def test_speed_ups_are_geometric_means_of_the_pairs_that_reached_it(self):
        both = compare(target=1.15, **CLEAR)
        chars, seconds = both.slow_down('fast')
        expected = []
        for seed in (0, 1):  # The third run of plain never does.
            control = both.curves['plain'][seed].reach(1.15)[0]
            expected.append(both.curves['fast'][seed].reach(1.15)[0] / control)
        self.assertEqual(chars.num_pairs, 2)
        self.assertAlmostEqual(
            math.exp(chars.mean), math.sqrt(math.prod(expected))
        )
        self.assertAlmostEqual(chars.mean, seconds.mean)

    def test_clear_differences_are_concluded(self):
        (line,) = conclusions(compare(**CLEAR))
        self.assertRegex(
            line, r'^fast is better than plain: .* -0\.4933 .* 3 of 3 seeds\.$'
        )
        (line,) = conclusions(compare(**dict(reversed(CLEAR.items()))))
        self.assertStartsWith(line, 'plain is worse than fast:')

    def test_unclear_ones_say_so_and_how_many_seeds_it_takes(self):
        both = compare(**UNCLEAR)
        (line,) = conclusions(both)
        more = both.difference('other', 'last').num_more
        self.assertGreater(more, 3)
        self.assertRegex(line, rf'nothing .*2 of 3.*about {more} more seeds\.')

    def test_a_target_that_is_reached_too_early_to_tell_is_told(self):
        lines = conclusions(compare(target=2.5, **CLEAR))
        self.assertLen(lines, 2)
        self.assertRegex(lines[1], 'At the first evaluation, fast had reached')
        self.assertLen(conclusions(compare(target=1.1, **CLEAR)), 1)

    def test_equal_runs_are_told(self):
        same = {'plain': CLEAR['plain'], 'twin': CLEAR['plain']}
        (line,) = conclusions(compare(**same))
        self.assertEqual(line, 'twin equals plain in each of the seeds.')

    def test_a_single_seed_concludes_nothing(self):
        (line,) = conclusions(compare(a=[(2.0,)], b=[(1.0,)]))
        self.assertRegex(line, 'nothing can be concluded from a single seed')

    def test_many_intervals_come_with_a_warning(self):
        variants = {name: UNCLEAR['plain'] for name in 'abcd'}
        self.assertIn('one in twenty', conclusions(compare(**variants))[-1])


class FilesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enter_context(tempfile.TemporaryDirectory())
        )

    def write_run(self, name, seed, values):
        run = self.folder / name / str(seed)
        run.mkdir(parents=True)
        lines = [
            {'step': i, 'num_chars': 100, 'chars_per_second': 50.0}
            | {'valid_loss': value}
            for i, value in enumerate(values)
        ]
        text = ''.join(f'{json.dumps(line)}\n' for line in lines)
        (run / 'metrics.jsonl').write_text(text)
        return run

    def test_what_is_written_is_read(self):
        self.write_run('plain', 0, [3.0, 2.0])
        run = curves.read(self.folder / 'plain' / '0', 'valid_loss')
        self.assertEqual(run, Curve([0, 1], [100, 200], [2.0, 4.0], [3.0, 2.0]))

    def test_a_run_that_cannot_be_read_is_missing_and_the_rest_is_there(self):
        self.write_run('plain', 0, [3.0, 2.0])
        run = self.write_run('plain', 1, [3.0, 2.0])
        (run / 'metrics.jsonl').write_text('{"ste')
        found = comparison.read(self.folder, ['plain'], [0, 1, 2])
        self.assertEqual(list(found.curves['plain']), [0])
        self.assertRegex(found.missing['plain', 1], 'damaged')
        self.assertRegex(found.missing['plain', 2], "no '.*metrics.jsonl'")
        text = tables.as_text(found)
        self.assertRegex(text, r'\nplain +1 of 3 ')
        self.assertIn('Missing: plain, seed 2', text)

    def test_a_run_that_diverged_in_the_end_is_missing(self):
        self.write_run('plain', 0, [3.0, None, 2.0])
        self.write_run('plain', 1, [3.0, 1.0, None])
        found = comparison.read(self.folder, ['plain'], [0, 1])
        self.assertEqual(found.curves['plain'][0].values, [3.0, 2.0])
        self.assertRegex(found.missing['plain', 1], 'diverged: .* at step 2')

    @parameterized.parameters(
        ('"num_chars": 100', '"num_chars": "x"'),
        ('"chars_per_second": 50.0', '"chars_per_second": 0'),
        ('"valid_loss": 2.0', '"valid_loss": "x"'),
        ('{', '[' * 100_000),
    )
    def test_damage_is_told(self, old, new):
        run = self.write_run('plain', 0, [3.0, 2.0])
        text = (run / 'metrics.jsonl').read_text()
        (run / 'metrics.jsonl').write_text(text.replace(old, new))
        with self.assertRaisesRegex(ValueError, "metrics.jsonl' is damaged"):
            curves.read(run, 'valid_loss')

    def test_nothing_at_all_is_an_error(self):
        with self.assertRaisesRegex(ValueError, 'nothing to compare. There is'):
            comparison.read(self.folder, ['plain'], [0])

    def test_what_a_run_wrote_and_was_told_is_escaped(self):
        run = self.write_run('plain', 0, [3.0, 2.0])
        (run / 'samples.txt').write_text(
            '==> step 5, temperature 1\nold\n'
            '==> step 9, temperature 0.5\n</pre><script>alert(1)</script>\x00\n'
            '==> step 9, temperature 1\n&amp;\n'
        )
        found = comparison.read(self.folder, ['plain'], [0, 1])
        _, paths = report.write(
            self.folder,
            found,
            flags=['--corpus=<b>.txt'],
            variants={'plain': ['--prompt="<i>"']},
        )
        text = (self.folder / report.PAGE).read_text('utf-8')
        self.assertIn(self.folder / report.PAGE, paths)
        parser = Tags()
        parser.feed(text)
        self.assertTrue({'script', 'b', 'i'}.isdisjoint(parser.tags))
        for shown in ('</script>�', '--corpus=<b>.txt', '<i>', '&amp;\n'):
            self.assertIn(shown, parser.text)
        self.assertNotIn('old\n', parser.text)
        self.assertIn('tensorflow', parser.text)
        self.assertNotRegex(text, r'(?:src|href)="(?!data:)')

    def test_every_table_has_the_same_figures(self):
        both = compare(target=1.5, **CLEAR)
        markdown = tables.as_markdown(both)
        page_text = page.as_html(both)
        parser = Tags()
        parser.feed(page_text)
        for table in tables.tables(both):
            for row in table.rows:
                self.assertIn(f'| {" | ".join(row)} |', markdown)
                for cell in row:
                    self.assertIn(cell, parser.text)
                    self.assertIn(cell, tables.as_text(both))
        rows = list(csv.DictReader(io.StringIO(tables.as_csv(both))))
        low, high = both.difference('fast', 'last').interval
        self.assertEqual(float(rows[1]['low_last']), low)
        self.assertEqual(float(rows[1]['high_last']), high)
        self.assertEqual(rows[0]['low_last'], '')
        runs = list(csv.DictReader(io.StringIO(tables.runs_as_csv(both))))
        self.assertLen(runs, 6)
        self.assertEqual(float(runs[4]['last']), 0.62)

    def test_a_run_that_diverged_has_no_endless_digits(self):
        both = compare(plain=[(1.0,), (1.1,)], wild=[(2e20,), (3e20,)])
        self.assertNotRegex(tables.as_text(both), r'\d{9}')
        self.assertTrue(
            re.search(r'2\.5e\+20 ± 7\.07e\+19', tables.as_text(both))
        )


class Tags(html.parser.HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = set(), ''

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.text += data


if __name__ == '__main__':
    absltest.main()
