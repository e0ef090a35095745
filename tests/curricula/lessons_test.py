import pathlib
import tempfile
import textwrap

import tensorflow as tf
from absl.testing import parameterized
from running_commands import in_folder

import tfcharrnn
from tfcharrnn.curricula import lessons

HEAD = """
from tfcharrnn import curricula, data

def batches(corpus, size=2, length=3):
    return data.sequences(corpus.train, length, size)
"""


class LessonsTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.enter_context(in_folder(folder))
        self.corpus = tfcharrnn.Corpus.from_text('to be or not to be ' * 5)

    def stages(self, code, values=(), function='make', settings=()):
        text = HEAD + textwrap.dedent(code)
        pathlib.Path('lessons.py').write_text(text)
        return lessons.stages(
            'lessons.py',
            function,
            self.corpus,
            values=dict(values),
            settings=dict(settings),
        )

    def test_stages_are_those_of_the_function(self):
        made = self.stages("""
            def make(corpus):
                yield curricula.Stage(batches(corpus), 5)
                yield curricula.Stage(batches(corpus, 4))
        """)
        self.assertEqual([stage.steps for stage in made], [5, None])
        self.assertEqual([stage.dataset.batch_size for stage in made], [2, 4])

    def test_the_last_stage_goes_on_to_the_end(self):
        (made,) = self.stages("""
            def make(corpus):
                return [curricula.Stage(batches(corpus), 5)]
        """)
        self.assertIsNone(made.steps)

    def test_values_are_what_they_look_like(self):
        self.stages(
            """
            def make(corpus, a, b, c, d, e=7):
                assert (a, b, c, d, e) == (2.0, 3, True, 'x', 7)
                return [curricula.Stage(batches(corpus))]
            """,
            {'a': '2.0', 'b': '3', 'c': 'true', 'd': 'x'},
        )

    def test_settings_of_the_run_come_where_they_are_asked_for(self):
        (made,) = self.stages(
            """
            def make(corpus, batch_size, seq_length):
                data = batches(corpus, batch_size, seq_length)
                return [curricula.Stage(data)]
            """,
            {'seq_length': '4'},
            settings={'batch_size': 5, 'seq_length': 9, 'seed': 1},
        )
        self.assertEqual(made.dataset.batch_size, 5)
        self.assertEqual(made.dataset.seq_length, 4)

    @parameterized.parameters(
        ('def other(corpus): pass', r"no function 'make'.*batches, other"),
        ('def make(corpus): return 1 / 0', '1 / 0`: ZeroDivisionError: div'),
        ('def make(corpus): return None', 'TypeError'),
        ('def make(): return []', 'TypeError: .* argument'),
        ('def make(corpus): return []', 'but made nothing'),
        ('def make(corpus): return [1]', 'but made int'),
        ('def make(corpus) return', r'line 7, `def make.*SyntaxError'),
        ('raise KeyError("x")', r"line 7, `raise .*: KeyError: 'x'"),
        (
            'def make(corpus): return [curricula.Stage([])]',
            'dataset of type list',
        ),
        (
            """
            def make(corpus):
                while True:
                    yield curricula.Stage(batches(corpus), 5)
            """,
            'more than 1,000 stages',
        ),
        (
            """
            def make(corpus):
                yield curricula.Stage(batches(corpus))
                yield curricula.Stage(batches(corpus))
            """,
            '2 stages, but stage 0 never ends',
        ),
        (
            """
            def make(corpus):
                ids = corpus.train.astype(int) + 100
                yield curricula.Stage(data.sequences(ids, 3, 2))
            """,
            r'stage 0, has the id 10\d, but the vocabulary of the run has 7',
        ),
    )
    def test_what_is_wrong_is_one_sentence(self, code, message):
        with self.assertRaisesRegex(ValueError, message) as caught:
            self.stages('\n' + textwrap.dedent(code))
        self.assertNotIn('\n', str(caught.exception))
        self.assertIn("'lessons.py'", str(caught.exception))

    def test_the_line_is_the_innermost_of_the_file(self):
        with self.assertRaisesRegex(
            ValueError, r"line 8, `return int\('x'\)`: ValueError: invalid"
        ):
            self.stages("""
                def helper():
                    return int('x')
                def make(corpus):
                    return list(map(lambda x: helper(), [1]))
            """)

    def test_a_condition_that_fails_is_told_with_its_line(self):
        made = self.stages("""
            def make(corpus):
                until = lambda metrics: metrics['loss'] < 1 / 0
                yield curricula.Stage(batches(corpus), until=until, every=5)
                yield curricula.Stage(batches(corpus))
        """)
        with self.assertRaisesRegex(ValueError, 'line 8, .*ZeroDivision'):
            made[0].until({'loss': 1.0})
        with self.assertRaises(KeyError):  # For whoever asks to tell.
            made[0].until({})

    def test_a_missing_file_is_named(self):
        with self.assertRaisesRegex(FileNotFoundError, "no file 'none.py'"):
            lessons.stages(
                'none.py', 'make', self.corpus, values={}, settings={}
            )


if __name__ == '__main__':
    tf.test.main()
