import html.parser
import io
import json
import os
import pathlib
import shutil
import tempfile
from unittest import mock

import running_commands
from absl import logging
from absl.testing import absltest, parameterized

import tfcharrnn
from tfcharrnn import evaluate, export, exporting, train
from tfcharrnn.exporting import card, page, payload, snapshots
from tfcharrnn.training import model_dir as model_dirs

HOSTILE = '</script><script>alert(1)</script>\u2028\u2029&amp;"\'<!--\u202e😀'


class Elements(html.parser.HTMLParser):
    """The text of each script, and all attributes."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.inside, self.attributes = [], False, []
        self.title, self.in_title = '', False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.inside = tag == 'script'
        self.in_title = tag == 'title'
        self.attributes += attributes
        if self.inside:
            self.scripts.append('')

    def handle_endtag(self, tag):
        self.inside = self.in_title = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data
        if self.in_title:
            self.title += data


class PageFileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def copied_run(self, name='bard'):
        """Copies a run of 20 steps; `self.folder` is the current one."""
        folder, _ = running_commands.finished()
        target = self.folder / name
        shutil.copytree(pathlib.Path(folder, 'bard'), target)
        shutil.copy(pathlib.Path(folder, running_commands.CORPUS), self.folder)
        self.enterContext(running_commands.in_folder(self.folder))
        return target

    def enterContext(self, context):
        """Does what Python 3.11 does."""
        value = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        return value

    def test_the_command_writes_a_page_about_a_run(self):
        run = self.copied_run()
        status, out, err = running_commands.run(
            export,
            f'--model_dir={run}',
            '--format=page',
            '--checkpoints=9',
            '--out=a/bard.html',
        )
        self.assertEqual((status, err), (0, ''))
        self.assertRegex(out, r'^a/bard.html: [\d,]+ bytes\n$')
        _, document = self.read(self.folder / 'a/bard.html')
        steps = [each['step'] for each in document['checkpoints']]
        self.assertEqual(steps, [10, 20])
        self.assertEqual(document['start'], 1)
        self.assertEqual([point['step'] for point in document['curve']], steps)
        self.assertEqual([p['loss'] is None for p in document['curve']], [0, 0])
        labels = dict(document['card'])
        self.assertIn('play.txt', labels['Trained on'])
        self.assertRegex(labels['Copies'], r'\d of 9\d\d pieces')
        self.assertIn("from_checkpoint('bard')", document['python'])
        text = pathlib.Path(running_commands.CORPUS).read_text()
        self.assertIn(document['sampleText'], text)
        self.assertNotEqual(document['sampleText'], '')
        steps = page.make_payload('bard', checkpoint='bard/ckpt-10')
        self.assertIn("from_checkpoint('bard/ckpt-10')", steps['python'])

    def read(self, path):
        elements = Elements(path.read_text('utf-8'))
        self.assertLen(elements.scripts, 2)
        return elements, json.loads(elements.scripts[0])

    def test_no_name_token_or_metric_leaves_the_payload(self):
        run = self.copied_run(HOSTILE.replace('/', '\u2215'))
        lines = [
            json.dumps({'step': 10, 'loss': HOSTILE, 'valid_loss': 1e999}),
            json.dumps({'step': HOSTILE, 'loss': 1}),
            json.dumps({'step': True}),
            json.dumps({'step': 20, 'loss': 10**400, 'valid_loss': 2}),
            '[' * 100_000,
            '{"step": 1',
            '\x00',
        ]
        (run / 'metrics.jsonl').write_text('\n'.join(lines))
        out = self.folder / 'page.html'
        exporting.save_run(run, out, format='page')
        elements, document = self.read(out)
        self.assertEqual(document['name'], run.name)
        self.assertEqual(elements.title, run.name)
        self.assertEqual(
            document['curve'],
            [
                {'step': 10, 'loss': None, 'valid': None},
                {'step': 20, 'loss': None, 'valid': 2},
            ],
        )
        for name, value in elements.attributes:
            self.assertFalse(name.startswith('on'), (name, value))

        tokens = sorted(set(HOSTILE + '\n\ud800'))
        vocabulary = tfcharrnn.Vocabulary(tokens)
        model = tfcharrnn.CharRNN(len(tokens), embedding_dim=4, rnn_units=4)
        page.write(model, vocabulary, out)
        _, document = self.read(out)
        self.assertEqual(document['vocabulary']['tokens'], tokens)

    def test_settings_that_name_another_file_put_nothing_of_it_in(self):
        run = self.copied_run()
        secret = self.folder / 'secret.txt'
        text = pathlib.Path(running_commands.CORPUS).read_text()
        secret.write_text(text[::-1])
        config = model_dirs.read_settings(run)
        model_dirs.write_settings(run, config.replace(corpus=str(secret)))
        document = page.make_payload(run)
        self.assertEqual((document['sampleText'], document['units']), ('', []))
        self.assertNotIn('secret', json.dumps(document['card']))
        self.assertIn('not at hand', dict(document['card'])['Trained on'])

    def test_a_checkpoint_that_is_larger_than_its_file_is_refused(self):
        run = self.copied_run()
        path = run / 'model.json'
        document = json.loads(path.read_text())
        del document['sha256']
        document['model']['rnn_units'] = 10**9
        path.write_text(json.dumps(document))
        with self.assertRaisesRegex(ValueError, 'rnn_units.*1,000,000,000'):
            page.make_payload(run)

    def test_the_model_in_the_package_has_a_page(self):
        self.enterContext(running_commands.in_folder(self.folder))
        with mock.patch.object(
            page.training_text, 'find', return_value=None
        ) as find:
            made = page.make_payload('demo')
        self.assertEqual(made['name'], 'demo')
        self.assertIn("from_checkpoint('demo')", made['python'])
        # There, its settings say what text it was trained on.
        folder = pathlib.Path(find.call_args.args[0])
        self.assertTrue((folder / model_dirs.RUN_FLAGS).exists())

    def test_a_large_page_says_how_large_it_is(self):
        model = tfcharrnn.CharRNN(3, embedding_dim=2, rnn_units=4)
        with (
            mock.patch.object(page, 'LARGE', 1000),
            mock.patch.object(logging, 'warning') as warning,
        ):
            page.write(model, tfcharrnn.Vocabulary('abc'), self.folder / 'a')
        self.assertIn('MB', warning.call_args[0][0])

    def test_the_policy_allows_the_script_and_nothing_else(self):
        model = tfcharrnn.CharRNN(3, embedding_dim=2, rnn_units=4)
        out = self.folder / 'page.html'
        page.write(model, tfcharrnn.Vocabulary('abc'), out)
        policies = [v for _, v in Elements(out.read_text()).attributes if v]
        (policy,) = [v for v in policies if v.startswith('default-src')]
        rules = dict(rule.strip().split(' ', 1) for rule in policy.split(';'))
        self.assertEqual(rules['default-src'], "'none'")
        self.assertRegex(
            rules['script-src'], r"^'sha256-[^' ]+'( 'wasm-unsafe-eval')?$"
        )
        self.assertNotIn('unsafe-inline', policy)

    def test_a_cell_of_your_own_is_a_sentence(self):
        class Own(tfcharrnn.GRU):
            pass

        model = tfcharrnn.CharRNN(3, 2, 4, cell=Own)
        with self.assertRaisesRegex(ValueError, "'Own'.*gru, lstm"):
            page.write(model, tfcharrnn.Vocabulary('abc'), self.folder / 'a')
        self.assertEqual(os.listdir(self.folder), [])

    def test_the_history_of_a_run_is_kept_shown_and_deleted(self):
        self.enterContext(running_commands.in_folder(self.folder))
        text = running_commands.make_text()
        pathlib.Path(running_commands.CORPUS).write_text(text)
        flags = (
            f'--corpus={running_commands.CORPUS}',
            '--model_dir=run',
            *running_commands.QUICK,
            '--max_to_keep=1',
        )
        runs = {}
        for steps in (('20',), ('10', '20')):
            for step in steps:
                status, _, err = running_commands.run(
                    train, *flags, '--keep_every=5', f'--steps={step}'
                )
                self.assertEqual(status, 0, err)
            runs[steps] = {
                path.name: running_commands.weights('run', str(path)[:-6])
                for path in sorted(pathlib.Path('run/history').glob('*.index'))
            }
            kept = {path.stem for path in pathlib.Path('run').glob('ckpt-*')}
            self.assertEqual(kept, {'ckpt-20'})
            shown, start, _ = snapshots.load('run', None, 3)
            self.assertEqual([each.step for each in shown], [5, 10, 20])
            self.assertEqual(start, 2)
            if len(steps) == 1:
                status, _, err = running_commands.run(
                    train, *flags, '--overwrite', '--steps=1'
                )
                self.assertEqual(status, 0, err)
                self.assertFalse(pathlib.Path('run/history').exists())
                shutil.rmtree('run')
        whole, resumed = runs.values()
        self.assertLen(whole, 4)
        self.assertEqual(whole, resumed)
        self.assertLen(set(whole.values()), 4)


class PartsTest(parameterized.TestCase):
    @parameterized.parameters(
        ([], 3, [7], []),
        ([1, 2, 3, 4], 0, [7], []),
        ([1, 2, 3, 4], 9, [7], [1, 2, 3, 4]),
        ([10, 20, 30, 40, 50], 2, [60], [10, 30]),
    )
    def test_steps_are_spread(self, steps, number, taken, expected):
        self.assertEqual(snapshots.spread(steps, number, taken=taken), expected)

    def test_the_best_step_is_among_them(self):
        steps = list(range(0, 1000, 10))
        self.assertIn(990, snapshots.spread(steps, 1, taken=[1000], best=990))

    def test_an_infinite_number_is_refused(self):
        with self.assertRaises(ValueError):
            payload.write({'loss': float('inf')})

    @parameterized.parameters('a</script>', '\u2028', '&lt;', 'it\'s "\\')
    def test_a_text_comes_back_from_the_payload(self, text):
        written = payload.write({text: text})
        self.assertNotRegex(written, '[<>&\u2028\u2029]')
        self.assertEqual(json.loads(written), {text: text})

    def test_copies_are_counted(self):
        text = 'it was the best of times, it was the worst of times'
        self.assertEqual(card.count_copies(text[5:30], text), (6, 6))
        self.assertEqual(card.count_copies('x' * 25, text), (0, 6))
        self.assertEqual(card.count_copies('short', text), (0, 0))

    def test_a_name_cannot_leave_its_string_in_python(self):
        name = "'); import os; ('\n"
        code = card.python(name, 'best')
        self.assertIn(repr(name), code)
        self.assertLen(code.splitlines(), 4)


class EvaluateTextTest(parameterized.TestCase):
    def evaluate(self, *arguments, **options):
        folder, _ = running_commands.finished()
        return running_commands.run(
            evaluate, f'--model_dir={folder}/bard', *arguments, **options
        )

    def test_a_pipe_gets_a_line_for_each_character(self):
        status, out, err = self.evaluate('--text=to Ä\\n')
        self.assertEqual(status, 0, err)
        rows = [line.split('\t') for line in out.splitlines()]
        self.assertEqual(
            [row[1] for row in rows], ['"t"', '"o"', '" "', '"Ä"', '"\\n"']
        )
        self.assertEqual(rows[3], ['-', '"Ä"', 'not known'])
        self.assertGreater(float(rows[0][0]), 0.0)
        self.assertRegex(err, r'^5 characters, \d.*; 1 not known\.\n$')

    @parameterized.parameters(
        ('', '0 characters.\n'), ('ÄÄ', '2 characters; 2 not known.\n')
    )
    def test_a_text_that_is_not_read_has_no_mean(self, text, expected):
        status, _, err = self.evaluate(f'--text={text}')
        self.assertEqual((status, err), (0, expected))

    def test_a_file_or_standard_input_is_the_same(self):
        _, expected, _ = self.evaluate('--text=to be')
        _, out, _ = self.evaluate('--text_file=-', stdin='to be')
        self.assertEqual(out, expected)

    @parameterized.parameters(('', True), ('1', False))
    def test_a_terminal_gets_colors_unless_asked_not_to(self, no_color, colors):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        stream = Terminal()
        with mock.patch.dict(os.environ, {'NO_COLOR': no_color}):
            self.evaluate('--text=to be', stdout=stream)
        self.assertEqual('\x1b[' in stream.getvalue(), colors)

    @parameterized.parameters(
        (['--text=a', '--text_file=-'], 2),
        (['--text=a', '--split=train'], 2),
        (['--text_file=missing.txt'], 1),
    )
    def test_what_makes_no_sense_is_a_sentence(self, arguments, expected):
        status, out, err = self.evaluate(*arguments)
        self.assertEqual((status, out), (expected, ''))
        self.assertTrue(running_commands.is_sentence(err), err)


if __name__ == '__main__':
    absltest.main()
