import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import hypothesis
import numpy as np
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn import config
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import WordVocabulary

TEXT = 'to be, or not to be, that is the question\n' * 3
PARTS = ('train', 'valid', 'test')
ALL = (1.0, 0.0, 0.0)


def _texts(corpus):
    return [corpus.vocabulary.decode(getattr(corpus, part)) for part in PARTS]


class SplitTest(parameterized.TestCase):
    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        st.text(min_size=1),
        st.tuples(*[st.integers(0, 100)] * 3).filter(lambda t: t[0]),
    )
    def test_the_parts_are_the_text_cut_in_order(self, text, weights):
        split = [weight / sum(weights) for weight in weights]
        try:
            corpus = Corpus.from_text(
                text, split, vocabulary=Vocabulary.from_text(text)
            )
        except ValueError as error:
            self.assertIn('too short', str(error))
            self.assertLess(len(text) * min(f for f in split if f), 1)
            return
        self.assertEqual(''.join(_texts(corpus)), text)
        for part, fraction in zip(PARTS, split, strict=True):
            self.assertAlmostEqual(
                len(getattr(corpus, part)), fraction * len(text), delta=1
            )

    @parameterized.parameters(
        ((0.9, 0.1, 0.0), 1_115_394, (1_003_854, 111_540, 0)),
        ((0.7, 0.2, 0.1), 10, (7, 2, 1)),
        ((0.7, 0.1, 0.2), 10, (7, 1, 2)),
        ((1 / 3, 1 / 3, 1 / 3), 9, (3, 3, 3)),
        # The sum misses 1, though by no more than is allowed.
        ((0.5, 0.4999999, 0.0), 10_000_000, (5_000_000, 5_000_000, 0)),
        ((0.5, 0.0, 0.5), 10, (5, 0, 5)),
        ((1, 0, 0), 10, (10, 0, 0)),
    )
    def test_fractions_round_down_and_lose_nothing(self, split, size, expected):
        corpus = Corpus.from_text(('ab' * size)[:size], split)
        sizes = tuple(len(getattr(corpus, part)) for part in PARTS)
        self.assertEqual(sizes, expected)

    def test_ninety_percent_train_by_default(self):
        corpus = Corpus.from_text('ab' * 50)
        self.assertEqual(_texts(corpus), ['ab' * 45, 'ab' * 5, ''])

    @parameterized.parameters(
        [[]],
        [[0.9]],
        [[0.9, 0.1]],
        [[0.9, 0.1, 0.1]],
        [[0.5, 0.1, 0.1]],
        [[0.0, 0.5, 0.5]],
        [[1.1, -0.1, 0.0]],
        [[float('nan'), 0.5, 0.5]],
        [[float('inf'), 0.0, 0.0]],
        [['a', 'b', 'c']],
        None,
        0.9,
        '0.9',
    )
    def test_a_bad_split_is_refused(self, split):
        with self.assertRaisesRegex(ValueError, 'three fractions'):
            Corpus.from_text(TEXT, split)
        # Before anything is read.
        with self.assertRaisesRegex(ValueError, 'three fractions'):
            Corpus.load('no such file', split)

    @parameterized.parameters(('a', 'train'), ('abab', 'valid'))
    def test_a_part_that_would_be_empty_is_an_error(self, text, part):
        with self.assertRaisesRegex(
            ValueError, f'too short: .* of its {len(text)} .* the {part} part'
        ):
            Corpus.from_text(text, (0.8, 0.1, 0.1))

    def test_each_part_may_have_a_text_of_its_own(self):
        corpus = Corpus.from_text({'test': 'cab', 'train': 'abc'})
        self.assertEqual(_texts(corpus), ['abc', '', 'cab'])

    @parameterized.parameters(
        {'valid': 'ab'}, {}, {'train': 'ab', 'validation': 'ab'}
    )
    def test_parts_with_other_names_are_refused(self, **texts):
        for function in Corpus.from_text, Corpus.load:
            with self.assertRaisesRegex(ValueError, 'The parts are'):
                function(texts)

    def test_either_a_split_or_a_text_for_each_part(self):
        with self.assertRaisesRegex(ValueError, 'nothing to split'):
            Corpus.from_text({'train': 'ab', 'valid': 'ab'}, (0.5, 0.5, 0.0))


class CorpusVocabularyTest(parameterized.TestCase):
    def test_it_is_made_from_the_training_part_alone(self):
        with self.assertLogs('absl', 'WARNING'):
            corpus = Corpus.from_text({'train': 'cabbage', 'valid': 'dead'})
        self.assertEqual(corpus.vocabulary, Vocabulary('abceg'))

    def test_what_only_other_parts_have_is_left_out_and_reported(self):
        texts = {'train': 'abc', 'valid': 'aXbXéc', 'test': 'Xa'}
        with self.assertLogs('absl', 'WARNING') as logs:
            corpus = Corpus.from_text(texts)
        self.assertEqual(_texts(corpus), ['abc', 'abc', 'a'])
        self.assertEqual(corpus.unseen, {'X': 3, 'é': 1})
        self.assertRegex(
            logs.output[0],
            "lacks 3 of the 6 .* valid part .2 distinct.*'X' 2 times, 'é' 1",
        )
        self.assertRegex(logs.output[1], 'lacks 1 of the 2 .* test part')

    def test_nothing_unseen_nothing_logged(self):
        with self.assertNoLogs('absl'):
            corpus = Corpus.from_text('ab' * 20)
        self.assertEqual(corpus.unseen, {})

    def test_a_given_one_is_held_to_in_all_parts(self):
        vocabulary = Vocabulary('zba')
        with self.assertLogs('absl', 'WARNING'):
            corpus = Corpus.from_text(
                {'train': 'abc', 'valid': 'cab'}, vocabulary=vocabulary
            )
        self.assertIs(corpus.vocabulary, vocabulary)
        self.assertEqual(corpus.train.tolist(), [2, 1])
        self.assertEqual(corpus.valid.tolist(), [2, 1])
        self.assertEqual(corpus.unseen, {'c': 2})

    def test_one_that_has_nothing_in_common_is_an_error(self):
        with self.assertRaisesRegex(ValueError, 'the train part is in the voc'):
            Corpus.from_text('abc' * 9, vocabulary=Vocabulary('xyz'))
        with self.assertRaisesRegex(ValueError, 'the valid part is in the voc'):
            Corpus.from_text({'train': 'abc', 'valid': 'xyz'})

    def test_only_a_vocabulary_will_do(self):
        with self.assertRaisesRegex(TypeError, 'is of type str'):
            Corpus.from_text(TEXT, vocabulary='vocabulary.json')

    @parameterized.parameters(10, 300)
    def test_ids_have_its_type(self, size):
        corpus = Corpus.from_text(''.join(map(chr, range(size))), ALL)
        for part in PARTS:
            self.assertEqual(
                getattr(corpus, part).dtype, corpus.vocabulary.dtype
            )

    @parameterized.parameters('', [{'train': 'ab', 'valid': ''}])
    def test_an_empty_text_is_an_error(self, text):
        with self.assertRaisesRegex(ValueError, 'empty'):
            Corpus.from_text(text)

    @parameterized.parameters('aaaaaaaaaa', 'ab')
    def test_one_distinct_character_is_an_error(self, text):
        with self.assertRaisesRegex(ValueError, "distinct character, 'a'"):
            Corpus.from_text(text)

    @parameterized.parameters(b'abc', None, 3)
    def test_a_text_is_a_str(self, text):
        with self.assertRaisesRegex(TypeError, 'Expected a text'):
            Corpus.from_text(text)

    def test_surrogates_and_nul_are_characters_like_any_other(self):
        text = '\ud83d\ude00\x00\ud83d'
        self.assertEqual(_texts(Corpus.from_text(text, ALL))[0], text)

    def test_repr_tells_the_sizes(self):
        self.assertEqual(
            repr(Corpus.from_text('ab' * 10)),
            '<Corpus text: 2 distinct characters; 18 train, 2 valid, 0 test>',
        )

    @parameterized.parameters(
        ({}, 'A\r\nb\rC\nİ'),
        ({'lowercase': True}, 'a\r\nb\rc\ni̇'),
        ({'normalize_newlines': True}, 'A\nb\nC\nİ'),
    )
    def test_the_text_is_changed_only_where_asked(self, options, expected):
        corpus = Corpus.from_text('A\r\nb\rC\nİ', ALL, **options)
        self.assertEqual(_texts(corpus)[0], expected)


class ImportTest(parameterized.TestCase):
    def test_text_to_ids_needs_no_tensorflow(self):
        code = (
            'import sys; from tfcharrnn.text.corpus import Corpus; '
            'Corpus.load("python"); '
            'sys.exit("tensorflow" in sys.modules)'
        )
        subprocess.run([sys.executable, '-c', code], check=True)

    def test_a_corpus_holds_memory_mapped_ids(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes([1, 0]))
            file.flush()
            ids = np.memmap(file.name, np.uint8, 'r')
            corpus = Corpus(Vocabulary('ab'), train=ids, valid=ids, test=ids)
            self.assertEqual(_texts(corpus), ['ba', 'ba', 'ba'])


class LinesTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.path = pathlib.Path(folder, 'texts')

    def load(self, content, split=ALL, **options):
        self.path.write_bytes(content.encode('utf-8'))
        return Corpus.load_lines(self.path, split, **options)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(
        st.lists(st.text(st.characters(exclude_characters='\n\r'))),
        st.integers(1, 9),
    )
    def test_each_line_is_in_one_part_as_a_whole(self, lines, tenths):
        lines = ['ab', *lines, 'ba']
        split = (tenths / 10, 1 - tenths / 10, 0.0)
        full = [line for line in lines if line]
        if not 0 < int(len(full) * tenths / 10 + 1e-6) < len(full):
            return
        known = Vocabulary.from_text(''.join([*lines, '\n']))
        corpus = Corpus.from_lines(lines, split, vocabulary=known)
        parts = [corpus.lines(part) for part in PARTS]
        self.assertEqual('\n'.join(sum(parts, [])), '\n'.join(full))

    @parameterized.parameters(
        ('one\ntwo\n',), ('one\r\n\r\ntwo',), ('\ufeffone\rtwo\n\n',)
    )
    def test_any_line_end_ends_a_line(self, content):
        self.assertEqual(self.load(content).lines('train'), ['one', 'two'])

    def test_other_separators_are_characters_of_a_line(self):
        lines = ['a\x0bb', 'c\u2028d']
        self.assertEqual(self.load('\n'.join(lines)).lines('train'), lines)

    def test_reads_the_fields_of_a_csv_file(self):
        corpus = self.load(
            '"3","Oil, again","x"\r\n1,"He said ""no""",y\r\n'
            '\r\n2,"two\nlines",z',
            csv_column=2,
        )
        self.assertEqual(
            corpus.lines('train'), ['Oil, again', 'He said "no"', 'two lines']
        )
        self.assertEqual(corpus.source, str(self.path))

    @parameterized.parameters(
        ('a,b\nc\n', 2, 'Record 2 .*has 1 columns.*no column 2'),
        ('a,b\n', 0, '`csv_column` is 0'),
        ('"a,b\n', 1, 'is not a CSV file: .* in line 1'),
        (',b\n', 1, 'There is no line'),
    )
    def test_csv_that_has_no_such_column_is_an_error(
        self, content, column, message
    ):
        with self.assertRaisesRegex(ValueError, message):
            self.load(content, csv_column=column)

    @parameterized.parameters('', '\n\r\n')
    def test_no_lines_are_an_error(self, content):
        with self.assertRaisesRegex(ValueError, 'There is no line in'):
            self.load(content)

    def test_a_split_is_of_the_lines(self):
        corpus = self.load('a\nbbbbbbbb\na\nb\n', (0.5, 0.25, 0.25))
        self.assertEqual(_texts(corpus), ['a\nbbbbbbbb\n', 'a\n', 'b\n'])
        with self.assertRaisesRegex(ValueError, '0.1 of its 3 lines'):
            self.load('a\nb\nc\n', (0.8, 0.1, 0.1))

    @parameterized.parameters(
        (['ab', 'a\nb'], ValueError, "cannot contain a newline.*'a.nb'"),
        (['ab', 3], TypeError, 'line 1 is a int'),
        ('ab', TypeError, 'single string'),
    )
    def test_what_is_no_line_is_an_error(self, lines, kind, message):
        with self.assertRaisesRegex(kind, message):
            Corpus.from_lines(lines)

    def test_lines_come_back_as_they_were(self):
        lines = ['a\rb', 'c\x0bd', 'e f']
        corpus = Corpus.from_lines(lines, ALL)
        self.assertEqual(corpus.lines('train'), lines)

    def test_a_long_field_is_read(self):
        lines = self.load(f'"{"a b " * 50_000}",b\n', csv_column=1)
        self.assertLen(lines.train, 200_000)

    def test_words_that_are_not_known_are_counted(self):
        words = WordVocabulary.from_text('to be or not to be')
        with self.assertLogs('absl', 'WARNING') as logs:
            corpus = Corpus.from_text('to see or not', ALL, vocabulary=words)
        self.assertIn('1 of the 4 tokens of the train part', logs.output[0])
        self.assertEqual(corpus.unseen, {' see': 1})

    def test_a_function_makes_the_vocabulary_of_the_training_part(self):
        corpus = Corpus.from_text(
            {'train': 'to be or not', 'valid': 'to see'},
            vocabulary=WordVocabulary.from_text,
        )
        self.assertIsInstance(corpus.vocabulary, WordVocabulary)
        self.assertEqual(_texts(corpus), ['to be or not', 'to <unk>', ''])
        self.assertIn('distinct tokens', repr(corpus))


class HasLinesTest(parameterized.TestCase):
    def test_the_vocabulary_says_what_kind_of_text_it_is(self):
        lines = Corpus.from_lines(['ab', 'ba'], ALL)
        stream = Corpus.from_text('ab\nba\n', ALL)
        self.assertTrue(lines.has_lines and lines.vocabulary.lines)
        self.assertFalse(stream.has_lines or stream.vocabulary.lines)
        self.assertEqual(lines.vocabulary, stream.vocabulary)

    @parameterized.parameters(Vocabulary.from_text, WordVocabulary.from_text)
    def test_whatever_a_given_vocabulary_was_made_for(self, make):
        text = 'to be\nor not\n'
        for given in (make(text), make(text, lines=True), make):
            lines = Corpus.from_lines(text.split('\n'), ALL, vocabulary=given)
            stream = Corpus.from_text(text, ALL, vocabulary=given)
            self.assertTrue(lines.has_lines)
            self.assertFalse(stream.has_lines)
            self.assertIs(type(lines.vocabulary), type(stream.vocabulary))

    def test_lines_need_the_newline(self):
        with self.assertRaisesRegex(ValueError, 'lacks the newline'):
            Corpus.from_lines(['ab'], ALL, vocabulary=Vocabulary('ab'))

    def test_a_part_that_is_none_has_no_lines(self):
        with self.assertRaisesRegex(ValueError, "`part` is 'vocabulary'"):
            Corpus.from_lines(['ab'], ALL).lines('vocabulary')


class DigestTest(parameterized.TestCase):
    # As version 0.1 wrote them into checkpoints.
    @parameterized.parameters(
        (
            (0.9, 0.1, 0.0),
            'ee5b542515ee7ab35c08ea802c36d218d61faa34f7d389f43807230863e48347',
        ),
        (
            (0.8, 0.1, 0.1),
            '570a5aa2939c089b1afbb9a6606dadb5e35222d0c66db4b733476d8d3dbd3573',
        ),
    )
    def test_is_that_of_the_first_version(self, split, expected):
        self.assertEqual(Corpus.from_text(TEXT, split).digest(), expected)

    def test_differs_with_the_text_the_split_and_the_vocabulary(self):
        digests = {
            corpus.digest()
            for corpus in (
                Corpus.from_text(TEXT),
                Corpus.from_text(TEXT[:-1] + '?'),
                Corpus.from_text(TEXT, (0.8, 0.2, 0.0)),
                Corpus.from_text(TEXT, (0.9, 0.0, 0.1)),
                Corpus.from_text(
                    TEXT, vocabulary=Vocabulary.from_text(TEXT + '#')
                ),
            )
        }
        self.assertLen(digests, 5)


class FromConfigTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.path = pathlib.Path(folder, 'text')
        self.config = config.TextConfig(
            corpus=str(self.path), valid_fraction=0.25, test_fraction=0.25
        )

    def load(self, content, vocabulary=None, **options):
        self.path.write_bytes(content)
        settings = dataclasses.replace(self.config, **options)
        return Corpus.from_config(settings, vocabulary=vocabulary)

    def test_reads_a_stream(self):
        corpus = self.load(
            'ÄB\r\nba'.encode('latin-1') * 4,
            encoding='latin-1',
            lowercase=True,
            normalize_newlines=True,
        )
        self.assertEqual(_texts(corpus)[0], 'äb\nba' * 2)
        self.assertLen(corpus.test, 5)
        self.assertFalse(corpus.has_lines)

    def test_reads_lines(self):
        corpus = self.load(b'a\nb\na\nb\n', lines=True)
        self.assertEqual(_texts(corpus), ['a\nb\n', 'a\n', 'b\n'])
        self.assertTrue(corpus.has_lines)

    def test_reads_a_column(self):
        corpus = self.load(b'1,a\n2,b\n3,a\n4,b\n', csv_column=2)
        self.assertEqual(_texts(corpus), ['a\nb\n', 'a\n', 'b\n'])
        self.assertTrue(corpus.has_lines)

    def test_reads_words(self):
        corpus = self.load(b'a b a b a b a b ', level='word', num_words=1)
        self.assertEqual(corpus.vocabulary.tokens, (' <unk>', ' b'))

    def test_holds_to_a_given_vocabulary(self):
        known = Vocabulary('ba')
        corpus = self.load(b'abababab', known)
        self.assertIs(corpus.vocabulary, known)

    def test_reports_the_share_of_a_large_text(self):
        self.path.write_text('to be ' * 9)
        shares = []
        cache = str(self.path.parent / 'cache')
        with (
            mock.patch('tfcharrnn.text.large_text.LARGE', 0),
            mock.patch.dict(os.environ, XDG_CACHE_HOME=cache),
        ):
            corpus = Corpus.from_config(self.config, report=shares.append)
        self.assertIsInstance(corpus.train, np.memmap)
        self.assertEqual(shares[-1], 1.0)
