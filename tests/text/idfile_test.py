import contextlib
import gzip
import io
import os
import pathlib
import tempfile
from unittest import mock

import hypothesis
import numpy as np
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn import commands, data
from tfcharrnn.data import rows
from tfcharrnn.text import idfile, large_text
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.text.words import WordVocabulary

PARTS = ('train', 'valid', 'test')
SPLIT = (0.6, 0.3, 0.1)
TEXT = 'To be, or not\r\nto be: ΟΔΟΣ 😀\rthat is the question.\n'


class IdFileTest(parameterized.TestCase):
    """In a folder of its own, where all texts count as large."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enter_context(tempfile.TemporaryDirectory())
        )
        self.path = self.folder / 'text.txt'
        self.cache = self.folder / 'cache' / 'tfcharrnn'
        environment = {'XDG_CACHE_HOME': str(self.cache.parent)}
        self.enter_context(mock.patch.dict(os.environ, environment))

    def load(self, source=None, split=SPLIT, piece=5, **options):
        """Loads the text as a large one, `piece` bytes at a time."""
        with (
            mock.patch.object(large_text, 'LARGE', 0),
            mock.patch.object(large_text, '_PIECE', piece),
        ):
            return Corpus.load(source or self.path, split, **options)

    def outcome(self, load):
        """Returns all that a corpus is, or the error."""
        try:
            loaded = load()
        except ValueError as error:
            return str(error)
        return (
            loaded.vocabulary,
            [getattr(loaded, part).tolist() for part in PARTS],
            [getattr(loaded, part).dtype for part in PARTS],
            loaded.unseen,
            loaded.source,
        )

    def assert_same(self, **options):
        """Checks that it makes no difference where the text is."""
        source = options.pop('source', self.path)
        split = options.pop('split', SPLIT)
        piece = options.pop('piece', 5)
        self.assertEqual(
            self.outcome(lambda: self.load(source, split, piece, **options)),
            self.outcome(lambda: Corpus.load(source, split, **options)),
        )

    def files(self):
        return sorted(self.cache.glob('*'))

    @hypothesis.settings(deadline=None, max_examples=150)
    @hypothesis.given(
        st.text(st.sampled_from('ab \n\r\ufeffΣσé😀'), max_size=40),
        st.sampled_from(['utf-8', 'utf-16', 'utf-8-sig']),
        st.integers(1, 9),
        st.booleans(),
        st.booleans(),
    )
    def test_equals_the_text_in_memory(self, text, encoding, piece, low, lines):
        self.path.write_bytes(text.encode(encoding))
        self.assert_same(
            encoding=encoding,
            piece=piece,
            lowercase=low,
            normalize_newlines=lines,
        )

    @hypothesis.settings(deadline=None, max_examples=50)
    @hypothesis.given(st.binary(max_size=20), st.integers(1, 9))
    def test_wrong_bytes_are_the_same_error(self, content, piece):
        self.path.write_bytes(b'ab ' + content)
        for encoding in ('utf-8', 'utf-16', 'utf-16-le', 'ascii'):
            self.assert_same(encoding=encoding, piece=piece)

    @parameterized.parameters('latin-1', 'cp1252', 'shift_jis', 'no-such-one')
    def test_other_encodings(self, encoding):
        self.path.write_bytes('naïve, to be or not'.encode('latin-1'))
        self.assert_same(encoding=encoding)

    def test_many_files_and_a_compressed_one(self):
        for number in range(3):
            path = self.folder / f'{number}.txt'
            path.write_text(f'\ufeff{number} {TEXT}', 'utf-8', newline='')
        packed = self.folder / '3.gz'
        packed.write_bytes(gzip.compress(TEXT.encode()))
        self.assert_same(source=[self.folder / '*.txt', packed])

    def test_a_vocabulary_is_held_to(self):
        self.path.write_text(TEXT, 'utf-8')
        with self.assertLogs('absl', 'WARNING') as logs:
            self.assert_same(vocabulary=Vocabulary('xyz Tobe'))
        large, small = logs.output[:3], logs.output[3:]
        self.assertEqual(large, small)

    def test_a_text_that_is_too_short_is_the_same_error(self):
        for text in ('', 'a', 'aaaaaaaaaaaa', 'ab'):
            self.path.write_text(text)
            self.assert_same()

    def test_is_mapped_once(self):
        self.path.write_text(TEXT * 9, 'utf-8')
        first = self.load()
        self.assertIsInstance(first.train, np.memmap)
        self.assertFalse(first.train.flags.writeable)
        files = self.files()
        self.assertLen(files, 2)
        before = [path.stat().st_mtime_ns for path in files]
        with mock.patch.object(idfile, 'write', side_effect=AssertionError):
            self.load()
        self.assertEqual([path.stat().st_mtime_ns for path in files], before)

    def test_a_vocabulary_that_is_its_own_needs_no_other_file(self):
        self.path.write_text(TEXT, 'utf-8')
        vocabulary = self.load().vocabulary
        self.load(vocabulary=vocabulary)
        self.assertLen(self.files(), 2)
        self.load(vocabulary=Vocabulary('To be'))
        self.assertLen(self.files(), 4)
        self.assert_same(vocabulary=vocabulary)

    def test_words_are_read_in_memory(self):
        self.path.write_text(TEXT, 'utf-8')
        words = self.load(vocabulary=WordVocabulary.from_text).vocabulary
        self.assert_same(vocabulary=words)
        self.assertEmpty(self.files())

    def test_a_text_that_has_changed_is_noticed(self):
        self.path.write_text(TEXT, 'utf-8')
        self.load()
        status = self.path.stat()
        self.path.write_text(TEXT.replace('not', 'ton'), 'utf-8')
        os.utime(self.path, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assert_same()

    @parameterized.parameters(
        ('.ids', b''),
        ('.ids', b'abc'),
        ('.json', b''),
        ('.json', b'{}'),
        ('.json', b'[' * 99_999),
        ('.json', b'[]'),
    )
    def test_a_damaged_one_is_made_anew(self, ending, content):
        self.path.write_text(TEXT, 'utf-8')
        self.load()
        (path,) = self.cache.glob(f'*{ending}')
        path.write_bytes(content)
        self.assert_same()
        self.assertNotEqual(path.read_bytes(), content)

    def test_a_changed_description_is_not_believed(self):
        self.path.write_text(TEXT, 'utf-8')
        self.load()
        (path,) = self.cache.glob('*.json')
        text = path.read_text()
        self.assertIn('"T"', text)
        path.write_text(text.replace('"T"', '"U"'))
        self.assert_same()

    def test_a_bit_that_was_flipped_is_noticed(self):
        self.path.write_text(TEXT, 'utf-8')
        self.load()
        (path,) = self.cache.glob('*.ids')
        content = bytearray(path.read_bytes())
        content[5] ^= 1
        path.write_bytes(content)
        self.assert_same()

    @parameterized.parameters('', TEXT * 2, TEXT.replace('not', 'ton'))
    def test_a_text_that_changes_meanwhile_is_an_error(self, changed):
        self.path.write_text(TEXT, 'utf-8')
        survey = idfile.survey

        def survey_and_change(texts):
            result = survey(texts)
            self.path.write_text(changed, 'utf-8')
            return result

        with mock.patch.object(idfile, 'survey', survey_and_change):
            with self.assertRaisesRegex(ValueError, 'changed while it was'):
                self.load()
        self.assertEmpty(self.files())

    def test_what_was_abandoned_goes(self):
        self.path.write_text(TEXT, 'utf-8')
        self.load()
        (path,) = self.cache.glob('*.json')
        partials = [
            self.cache / f'.{path.stem}.ids.{number}.partial'
            for number in (1, 2)
        ]
        for partial in partials:
            partial.touch()
        os.utime(partials[0], (0, 0))
        path.unlink()
        self.load()
        self.assertEqual([x.exists() for x in partials], [False, True])

    def test_others_cannot_read_it(self):
        self.path.write_text(TEXT, 'utf-8')
        self.load()
        self.assertEqual(self.cache.stat().st_mode & 0o077, 0)

    def test_no_room_is_an_error_that_says_where(self):
        self.path.write_text(TEXT, 'utf-8')
        self.cache.parent.write_text('in the way')
        with self.assertRaisesRegex(OSError, f'{self.cache}.*XDG_CACHE_HOME'):
            self.load()

    def test_batches_are_those_of_the_text_in_memory(self):
        self.path.write_text(TEXT * 9, 'utf-8')
        pair = self.load().train, Corpus.load(self.path, SPLIT).train
        with mock.patch.object(rows, '_MAX_ROWS_MAPPED', 3):
            for options in ({}, {'shuffle': True}, {'shift': True}):
                batches = [
                    data.sequences(ids, 7, 4, **options).starting_at(2).take(9)
                    for ids in pair
                ]
                for ours, theirs in zip(*batches, strict=True):
                    for one, other in zip(ours, theirs, strict=True):
                        np.testing.assert_array_equal(one, other)

    def test_the_share_that_is_done_rises_to_all(self):
        self.path.write_text(TEXT, 'utf-8')
        shares = []
        self.load(report=shares.append)
        self.assertEqual(shares, sorted(shares))
        self.assertGreater(len(set(shares)), 20)
        self.assertEqual(shares[-1], 1.0)


class ProgressBarTest(parameterized.TestCase):
    def test_shows_the_time_left(self):
        with (
            contextlib.redirect_stderr(io.StringIO()) as stream,
            mock.patch(
                'time.monotonic', side_effect=[0.0, 5.0, 30.0, 60.0, 90.0]
            ),
        ):
            bar = commands.ProgressBar('Work')
            for share in (0.1, 0.25, 1.0, 1.0):
                bar(share)
        self.assertEqual(
            stream.getvalue(),
            'Work: 25% | 0:01:30 left\nWork: 100% | 0:00:00 left\n',
        )
