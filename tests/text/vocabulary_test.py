import collections
import json
import pathlib
import tempfile
import time
import tracemalloc
from unittest import mock

import hypothesis
import numpy as np
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn import files
from tfcharrnn.text import vocabulary as vocabulary_lib
from tfcharrnn.text.vocabulary import Vocabulary

TEXTS = {
    'ascii': 'to be, or not to be',
    'newlines': 'a\r\nb\n\x00',
    'cyrillic': 'Быть или не быть',
    'astral': 'a😀b\U0010ffff',
    'lone_surrogates': '\udc00\ud83d\ude00a\ud83d',
}
# Any code points, lone surrogates as well.
any_text = st.text(st.characters(exclude_categories=()))


def _codes(n):
    return ''.join(map(chr, range(n)))


class VocabularyTest(parameterized.TestCase):
    @parameterized.named_parameters(TEXTS.items())
    def test_decode_inverts_encode(self, text):
        vocabulary = Vocabulary.from_text(text)
        self.assertEqual(vocabulary.decode(vocabulary.encode(text)), text)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(any_text.filter(bool))
    def test_decode_inverts_encode_for_any_text(self, text):
        vocabulary = Vocabulary.from_text(text)
        self.assertEqual(vocabulary.decode(vocabulary.encode(text)), text)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(any_text.filter(bool), any_text)
    def test_encode_agrees_with_a_dict(self, known, text):
        vocabulary = Vocabulary.from_text(known)
        ids = {char: i for i, char in enumerate(vocabulary.tokens)}
        self.assertEqual(
            vocabulary.encode(text, unseen='skip').tolist(),
            [ids[char] for char in text if char in ids],
        )

    def test_an_id_is_the_position_of_its_character(self):
        chars = 'zebra \U0001f993'
        vocabulary = Vocabulary(chars)
        self.assertEqual(
            vocabulary.encode(chars).tolist(), list(range(len(chars)))
        )
        self.assertEqual(vocabulary, Vocabulary(list(chars)))

    def test_a_text_gives_its_distinct_characters_sorted(self):
        self.assertEqual(
            Vocabulary.from_text('to be\nor not').tokens, tuple('\n benort')
        )

    @parameterized.parameters(
        (1, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (2**16, np.uint16),
        (2**16 + 1, np.uint32),
    )
    def test_ids_have_the_smallest_unsigned_type(self, size, dtype):
        vocabulary = Vocabulary(_codes(size))
        chars = ''.join(vocabulary.tokens)
        ids = vocabulary.encode(chars)
        self.assertEqual(vocabulary.dtype, dtype)
        self.assertEqual(ids.dtype, dtype)
        np.testing.assert_array_equal(ids, np.arange(size))
        self.assertEqual(vocabulary.decode(ids), chars)

    @parameterized.parameters(1, 2, 3, 1000)
    def test_the_size_of_a_piece_does_not_matter(self, piece):
        text = ''.join(TEXTS.values())
        vocabulary = Vocabulary.from_text(TEXTS['ascii'])
        everything = Vocabulary.from_text(text)
        expected = (
            vocabulary.encode(text, unseen='skip').tolist(),
            vocabulary.count_unseen(text),
            everything.encode(text).tolist(),
        )
        with mock.patch.object(vocabulary_lib, '_PIECE', piece):
            self.assertEqual(
                (
                    vocabulary.encode(text, unseen='skip').tolist(),
                    vocabulary.count_unseen(text),
                    everything.encode(text).tolist(),
                ),
                expected,
            )
            self.assertEqual(everything.decode(everything.encode(text)), text)

    @parameterized.parameters(
        [[]], [['']], [['ab']], [[1]], [[None]], ['abca'], [''], [['a', 'a']]
    )
    def test_characters_are_single_and_distinct(self, chars):
        with self.assertRaises(ValueError):
            Vocabulary(chars)

    def test_duplicates_are_named(self):
        with self.assertRaisesRegex(ValueError, "'b' occurs 2 times"):
            Vocabulary('abcb')

    def test_it_is_a_value(self):
        vocabulary = Vocabulary('ab')
        self.assertLen(vocabulary, 2)
        self.assertEqual(vocabulary, Vocabulary('ab'))
        self.assertEqual(hash(vocabulary), hash(Vocabulary('ab')))
        self.assertNotEqual(vocabulary, Vocabulary('ba'))
        self.assertNotEqual(vocabulary, 'ab')
        self.assertEqual(repr(vocabulary), "Vocabulary('ab')")
        self.assertIn('a', vocabulary)
        for absent in ('c', 'ab', '', 0, None):
            self.assertNotIn(absent, vocabulary)


class LinesTest(parameterized.TestCase):
    def test_a_vocabulary_knows_whether_texts_are_lines(self):
        vocabulary = Vocabulary('\nab')
        self.assertFalse(vocabulary.lines)
        lines = vocabulary.with_lines(True)
        self.assertTrue(lines.lines)
        self.assertFalse(vocabulary.lines)
        self.assertIs(lines.with_lines(True), lines)
        self.assertFalse(lines.with_lines(False).lines)
        self.assertEqual(lines.encode('a\n').tolist(), [1, 0])
        self.assertTrue(Vocabulary.from_text('a\nb', lines=True).lines)

    def test_it_makes_no_difference_to_what_it_is(self):
        vocabulary, lines = (Vocabulary('\nab', lines=x) for x in (0, 1))
        self.assertEqual(vocabulary, lines)
        self.assertEqual(hash(vocabulary), hash(lines))
        self.assertEqual(repr(lines), "Vocabulary('\\nab', lines=True)")

    def test_lines_need_a_newline(self):
        for make in (
            lambda: Vocabulary('ab', lines=True),
            lambda: Vocabulary('ab').with_lines(True),
            lambda: Vocabulary.from_text('ab', lines=True),
        ):
            with self.assertRaisesRegex(ValueError, 'lacks the newline'):
                make()


class UnseenTest(parameterized.TestCase):
    # Before, between and beyond the code points of the vocabulary.
    @parameterized.parameters('A', 'c', 'e', 'é', '😀', '\ud800')
    def test_error_names_the_character_and_its_position(self, char):
        with self.assertRaisesRegex(ValueError, 'unseen="skip"') as caught:
            Vocabulary('abd').encode(f'ab{char}{char}')
        self.assertIn(f'{char!r} at 2', str(caught.exception))
        self.assertIn('2 characters (1 distinct)', str(caught.exception))

    def test_error_names_the_first_few_in_the_order_of_the_text(self):
        text = 'aaazaayaaxaawaavaauaat'
        with mock.patch.object(vocabulary_lib, '_PIECE', 4):
            with self.assertRaises(ValueError) as caught:
                Vocabulary('a').encode(text)
        self.assertIn('7 characters (7 distinct)', str(caught.exception))
        self.assertIn(
            "'z' at 3, 'y' at 6, 'x' at 9, 'w' at 12, 'v' at 15, ...",
            str(caught.exception),
        )

    def test_skip_leaves_them_out(self):
        vocabulary = Vocabulary('abc')
        np.testing.assert_array_equal(
            vocabulary.encode('😀abXcX', unseen='skip'),
            vocabulary.encode('abc'),
        )
        self.assertEmpty(vocabulary.encode('XYZ', unseen='skip'))

    def test_a_character_takes_their_place(self):
        vocabulary = Vocabulary('a c')
        np.testing.assert_array_equal(
            vocabulary.encode('😀aXc', unseen=' '), vocabulary.encode(' a c')
        )

    @parameterized.parameters('replace', 'X', '', 3, [[]])
    def test_other_policies_are_refused(self, unseen):
        with self.assertRaisesRegex(ValueError, '`unseen` is'):
            Vocabulary('abc').encode('abc', unseen=unseen)

    def test_by_itself_it_takes_none(self):
        with self.assertRaisesRegex(ValueError, "'X' at 1"):
            Vocabulary('abc').encode('aX', unseen=None)
        with self.assertRaisesRegex(ValueError, "'X' at 1"):
            Vocabulary('abc').encode('aX', unseen='error')

    @hypothesis.settings(deadline=None)
    @hypothesis.given(any_text)
    def test_counts_are_those_of_a_counter(self, text):
        self.assertEqual(
            Vocabulary('abc').count_unseen(text),
            collections.Counter(char for char in text if char not in 'abc'),
        )

    @parameterized.parameters(b'abc', None, 3, [['a']])
    def test_a_text_is_a_str(self, text):
        vocabulary = Vocabulary('abc')
        for method in (
            vocabulary.encode,
            vocabulary.count_unseen,
            Vocabulary.from_text,
        ):
            with self.assertRaisesRegex(TypeError, 'Expected a text'):
                method(text)


class DecodeTest(parameterized.TestCase):
    @parameterized.parameters(
        *(np.dtype(code) for code in np.typecodes['AllInteger'])
    )
    def test_any_integer_type_will_do(self, dtype):
        ids = np.array([2, 0, 1], dtype)
        self.assertEqual(Vocabulary('abc').decode(ids), 'cab')

    def test_a_memory_mapped_array_will_do(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes([2, 0, 1]))
            file.flush()
            ids = np.memmap(file.name, np.uint8, 'r')
            self.assertEqual(Vocabulary('abc').decode(ids), 'cab')

    def test_no_ids_are_the_empty_text(self):
        self.assertEqual(Vocabulary('abc').decode([]), '')
        self.assertEqual(Vocabulary('abc').decode(np.zeros(0, np.int32)), '')
        self.assertEqual(Vocabulary('abc').encode('').tolist(), [])

    @parameterized.parameters(-1, 3, 255, 2**40)
    def test_an_id_out_of_range_is_named(self, wrong):
        with mock.patch.object(vocabulary_lib, '_PIECE', 2):
            with self.assertRaisesRegex(
                ValueError, f'Id {wrong} at position 3 .* 0 to 2'
            ):
                Vocabulary('abc').decode([0, 1, 2, wrong, 0])

    @parameterized.parameters([[[0, 1], [1, 2]]], 0)
    def test_ids_have_one_dimension(self, ids):
        with self.assertRaisesRegex(ValueError, r'shape \['):
            Vocabulary('abc').decode(ids)

    @parameterized.parameters([[0.0, 1.0]], [[True]], ['ab'], [[2**70]])
    def test_ids_are_integers(self, ids):
        with self.assertRaisesRegex(TypeError, 'takes integers'):
            Vocabulary('abc').decode(list(ids))


class FileTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / 'vocabulary.json'

    @parameterized.named_parameters(TEXTS.items())
    def test_load_inverts_save(self, text):
        vocabulary = Vocabulary.from_text(text)
        vocabulary.save(self.path)
        self.assertEqual(Vocabulary.load(str(self.path)), vocabulary)

    @hypothesis.settings(deadline=None)
    @hypothesis.given(any_text.filter(bool))
    def test_load_inverts_save_for_any_text(self, text):
        # In the order of the text, which need not be sorted.
        vocabulary = Vocabulary(dict.fromkeys(text))
        vocabulary.save(self.path)
        self.assertEqual(Vocabulary.load(self.path), vocabulary)

    def test_the_order_is_kept(self):
        Vocabulary('cab').save(self.path)
        self.assertEqual(Vocabulary.load(self.path).tokens, tuple('cab'))

    def test_every_code_point_fits(self):
        vocabulary = Vocabulary(_codes(0x110000))
        vocabulary.save(self.path)
        self.assertEqual(Vocabulary.load(self.path), vocabulary)

    def test_the_file_is_json_and_ascii(self):
        Vocabulary('aé').save(self.path)
        document = json.loads(self.path.read_text('ascii'))
        self.assertEqual(document['characters'], ['a', 'é'])

    def test_save_replaces_a_file(self):
        Vocabulary('abcdef').save(self.path)
        Vocabulary('ab').save(self.path)
        self.assertEqual(Vocabulary.load(self.path).tokens, tuple('ab'))
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    @parameterized.parameters('os.fsync', 'os.replace')
    def test_a_save_that_fails_leaves_the_old_file(self, function):
        Vocabulary('old').save(self.path)
        with mock.patch(function, side_effect=OSError('disk full')):
            with self.assertRaisesRegex(OSError, 'disk full'):
                Vocabulary('new').save(self.path)
        self.assertEqual(Vocabulary.load(self.path).tokens, tuple('old'))
        self.assertEqual(list(self.folder.iterdir()), [self.path])

    def test_a_missing_file_is_named(self):
        with self.assertRaisesRegex(FileNotFoundError, 'vocabulary.json'):
            Vocabulary.load(self.path)

    @parameterized.named_parameters(
        ('empty', b''),
        ('no_json', b'abc'),
        ('cut_off', b'{"format": "tfcharrnn.voc'),
        ('not_utf8', b'{"format": "\xff"}'),
        ('pickle', b'\x80\x04\x95\x0c\x00\x00\x00'),
        ('nested', b'[' * 100_000),
        ('list', b'["a", "b"]'),
        ('no_format', b'{"version": 1, "characters": ["a"]}'),
    )
    def test_a_file_that_is_no_vocabulary_is_refused(self, data):
        self.path.write_bytes(data)
        self._assert_refused()

    @parameterized.named_parameters(
        ('other_format', {'format': 'tfcharrnn.model'}),
        ('null', {'characters': None}),
        ('string', {'characters': 'ab'}),
        ('mapping', {'characters': {'a': 0}}),
        ('none', {'characters': []}),
        ('two_in_one', {'characters': ['a', 'bc']}),
        ('number', {'characters': ['a', 1]}),
        ('list', {'characters': ['a', ['b']]}),
        ('twice', {'characters': ['a', 'b', 'a']}),
        ('lines', {'lines': 1}),
        ('lines_without_a_newline', {'lines': True}),
    )
    def test_a_damaged_vocabulary_is_refused(self, change):
        Vocabulary('ab').save(self.path)
        document = json.loads(self.path.read_text())
        del document['sha256']
        document |= change
        for checksum in ({}, {'sha256': files.checksum(document)}):
            self.path.write_text(json.dumps(document | checksum))
            self._assert_refused()

    def test_a_change_is_noticed(self):
        Vocabulary('ab').save(self.path)
        self.path.write_text(self.path.read_text().replace('"b"', '"c"'))
        with self.assertRaisesRegex(ValueError, "json' .*sha256.* Restore"):
            Vocabulary.load(self.path)

    @parameterized.parameters(2, None, 'one')
    def test_another_version_is_named(self, version):
        Vocabulary('ab').save(self.path)
        document = json.loads(self.path.read_text())
        self.path.write_text(json.dumps(document | {'version': version}))
        with self.assertRaisesRegex(
            ValueError, f"json' is a vocabulary file of version '?{version}.*1"
        ):
            Vocabulary.load(self.path)

    def test_a_file_of_the_first_version_is_read(self):
        document = {'format': 'tfcharrnn.vocabulary', 'version': 1}
        document['characters'] = ['b', 'a']
        self.path.write_text(json.dumps(document))
        loaded = Vocabulary.load(self.path)
        self.assertEqual(loaded, Vocabulary('ba'))
        self.assertFalse(loaded.lines)

    @parameterized.parameters(False, True)
    def test_a_file_says_whether_the_texts_are_lines(self, lines):
        Vocabulary('\nab', lines=lines).save(self.path)
        self.assertIs(Vocabulary.load(self.path).lines, lines)
        # As it was before, where there are none.
        document = json.loads(self.path.read_text())
        self.assertEqual('lines' in document, lines)

    def test_a_file_that_is_too_large_is_refused(self):
        Vocabulary('ab').save(self.path)
        size = self.path.stat().st_size
        with mock.patch.object(vocabulary_lib, '_MAX_FILE_BYTES', size):
            Vocabulary.load(self.path)
        with mock.patch.object(vocabulary_lib, '_MAX_FILE_BYTES', size - 1):
            self._assert_refused()

    def _assert_refused(self):
        with self.assertRaisesRegex(
            ValueError, "'.*vocabulary.json' is not a vocabulary file: "
        ) as caught:
            Vocabulary.load(self.path)
        self.assertLess(len(str(caught.exception)), 500)


class SpeedTest(parameterized.TestCase):
    @parameterized.parameters('abcdefgh', 'абвгдежз', 'abcdefg😀')
    def test_far_faster_than_a_loop(self, chars):
        vocabulary = Vocabulary(chars)
        text = chars * (1 << 17)
        ids = {char: i for i, char in enumerate(chars)}
        loop, slow = _time(lambda: [ids[char] for char in text])
        encode, fast = _time(lambda: vocabulary.encode(text))
        self.assertEqual(fast.tolist(), slow)
        self.assertLess(3 * encode, loop)
        loop, slow = _time(lambda: ''.join([chars[i] for i in fast]))
        decode, again = _time(lambda: vocabulary.decode(fast))
        self.assertEqual(again, slow)
        self.assertLess(3 * decode, loop)

    def test_encode_needs_little_more_memory_than_the_ids(self):
        text = 'abcdefgh' * (1 << 20)
        vocabulary = Vocabulary.from_text(text)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        ids = vocabulary.encode(text)
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak, 2 * ids.nbytes)


def _time(function):
    """The best of three, as other processes can only slow it down."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result
