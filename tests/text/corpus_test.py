import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
from unittest import mock

import hypothesis
import numpy as np
from absl.testing import parameterized
from hypothesis import strategies as st

from tfcharrnn import sources
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary, WordVocabulary

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
        with self.assertRaisesRegex(TypeError, 'but got str'):
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


class FilesTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = pathlib.Path(
            stack.enter_context(tempfile.TemporaryDirectory())
        )
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)

    def write(self, name, text, encoding='utf-8'):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        data = text if isinstance(text, bytes) else text.encode(encoding)
        path.write_bytes(gzip.compress(data) if name.endswith('z') else data)
        return path

    def read(self, source, **options):
        return _texts(Corpus.load(source, ALL, **options))[0]


class LoadTest(FilesTestCase):
    def test_load_is_from_text_of_what_the_file_holds(self):
        path = self.write('a.txt', TEXT)
        loaded = Corpus.load(path, (0.5, 0.3, 0.2), lowercase=True)
        expected = Corpus.from_text(TEXT, (0.5, 0.3, 0.2), lowercase=True)
        self.assertEqual(_texts(loaded), _texts(expected))
        self.assertEqual(loaded.source, str(path))

    def test_strings_and_path_objects_and_compressed_files(self):
        path = self.write('a.txt', TEXT)
        self.write('a.txt.gz', TEXT)
        for source in path, str(path), 'a.txt', 'a.txt.gz', ['a.txt']:
            self.assertEqual(self.read(source), TEXT)

    def test_a_list_is_read_in_its_order_with_nothing_between(self):
        self.write('b', 'one')
        self.write('a', 'two')
        corpus = Corpus.load(['b', pathlib.Path('a')], ALL)
        self.assertEqual(_texts(corpus)[0], 'onetwo')
        self.assertEqual(corpus.source, 'b, a')

    def test_a_glob_is_read_in_sorted_order(self):
        for name in 'b.txt', 'a.txt', 'd/c.txt', 'x.md', 'folder.txt/y':
            self.write(name, f'<{name}>')
        self.assertEqual(self.read('*.txt'), '<a.txt><b.txt>')
        self.assertEqual(self.read('**/*.txt'), '<a.txt><b.txt><d/c.txt>')
        self.assertEqual(self.read(pathlib.Path('?.txt')), '<a.txt><b.txt>')

    def test_a_file_whose_name_looks_like_a_glob(self):
        self.write('[ab].txt', 'this')
        self.write('a.txt', 'that')
        self.assertEqual(self.read('[ab].txt'), 'this')

    def test_a_tilde_is_the_home_folder(self):
        self.write('a.txt', TEXT)
        with mock.patch.dict(os.environ, HOME=str(self.folder)):
            self.assertEqual(self.read('~/a.txt'), TEXT)

    def test_each_part_may_have_files_of_its_own(self):
        self.write('a.txt', 'abc')
        self.write('b.txt', 'cab')
        self.write('c.txt', 'bca')
        corpus = Corpus.load({'train': 'a.txt', 'valid': ['b.txt', 'c.txt']})
        self.assertEqual(_texts(corpus), ['abc', 'cabbca', ''])
        self.assertEqual(corpus.source, 'train: a.txt, valid: b.txt, c.txt')

    @parameterized.parameters(
        [['a.txt', './a.txt']],
        [['*.txt', 'a*']],
        [['-', '-']],
        [{'train': '*.txt', 'valid': 'a.txt'}],
    )
    def test_a_file_is_read_only_once(self, source):
        self.write('a.txt', TEXT)
        with self.assertRaisesRegex(ValueError, 'occurs 2 times'):
            Corpus.load(source)

    def test_standard_input(self):
        stdin = io.TextIOWrapper(io.BytesIO('\ufeffDer Fluß'.encode()))
        with mock.patch.object(sys, 'stdin', stdin):
            corpus = Corpus.load('-', ALL)
        self.assertEqual(_texts(corpus)[0], 'Der Fluß')

    def test_a_pipe(self):
        os.mkfifo('pipe')
        # Keeps the pipe, and what is written to it before it is read.
        keeper = os.open('pipe', os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, keeper)
        pathlib.Path('pipe').write_text(TEXT)
        self.assertEqual(self.read('pipe'), TEXT)

    @parameterized.parameters(
        'utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32', 'koi8-r'
    )
    def test_encodings(self, encoding):
        text = 'Быть или не быть'
        self.write('a.txt', text, encoding)
        self.assertEqual(self.read('a.txt', encoding=encoding), text)

    @parameterized.parameters('utf-8', 'utf-16-le', 'utf-32-be')
    def test_a_byte_order_mark_is_dropped_from_each_file(self, encoding):
        self.write('a.txt', '\ufeffab', encoding)
        self.write('b.txt', '\ufeffc\ufeff', encoding)
        self.assertEqual(
            self.read(['a.txt', 'b.txt'], encoding=encoding), 'abc\ufeff'
        )

    def test_newlines_are_kept_unless_asked(self):
        self.write('a.txt', 'a\r\nb\n')
        self.assertEqual(self.read('a.txt'), 'a\r\nb\n')
        self.assertEqual(self.read('a.txt', normalize_newlines=True), 'a\nb\n')

    def test_a_path_object_is_a_file_and_a_string_may_be_a_name(self):
        self.write('python', TEXT)
        self.assertEqual(self.read(pathlib.Path('python')), TEXT)
        self.assertEqual(self.read('./python'), TEXT)
        self.assertEqual(self.read('pytho?'), TEXT)
        with self.assertLogs('absl', 'WARNING') as logs:
            self.assertNotEqual(self.read('python'), TEXT)
        self.assertIn('./python', logs.output[0])

    def test_python_is_half_a_million_characters_of_english(self):
        corpus = Corpus.load('python')
        text = ''.join(_texts(corpus))
        self.assertBetween(len(text), 300_000, 1_000_000)
        self.assertIn('the statement', text)
        self.assertEqual(text, ''.join(_texts(Corpus.load('python'))))


class LoadErrorTest(FilesTestCase):
    @parameterized.parameters(
        (b'abc\xff', 'utf-8', '0xff at offset 3'),
        (b'abc\xc3', 'utf-8', '0xc3 at offset 3'),
        (b'\xff\xfea\x00', 'utf-8', '0xff at offset 0'),
        (b'\xed\xa0\x80', 'utf-8', '0xed at offset 0'),
        (b'\xef\xbb\xbfab\xff', 'utf-8-sig', '0xff at offset 5'),
        (b'\xff\xfea\x00b', 'utf-16', '0x62 at offset 4'),
        (b'a\x80', 'ascii', '0x80 at offset 1'),
    )
    def test_bytes_that_do_not_decode(self, data, encoding, place):
        for name in 'a.txt', 'a.txt.gz':
            self.write(name, data)
            with self.assertRaisesRegex(
                ValueError, f"'{name}' is not {encoding}: .*{place}.*--encoding"
            ):
                Corpus.load(name, encoding=encoding)

    @parameterized.parameters('nonsense', 'hex', 'rot13')
    def test_an_encoding_that_is_none(self, encoding):
        self.write('a.txt', TEXT)
        with self.assertRaisesRegex(ValueError, f"encoding '{encoding}'"):
            Corpus.load('a.txt', encoding=encoding)

    @parameterized.parameters(
        'missing.txt', '*.nothing', '', 'a\0b', 'a\0*', 'x' * 5000, 'shakespear'
    )
    def test_a_missing_file(self, source):
        with self.assertRaisesRegex(FileNotFoundError, 'shakespeare'):
            Corpus.load(source)

    def test_a_folder(self):
        with self.assertRaisesRegex(IsADirectoryError, 'glob'):
            Corpus.load(self.folder)

    @parameterized.parameters('a.txt', 'a.txt.gz')
    def test_an_empty_file(self, name):
        self.write(name, '')
        with self.assertRaisesRegex(ValueError, f"no text in '{name}'"):
            Corpus.load(name)

    def test_an_empty_list(self):
        with self.assertRaisesRegex(ValueError, 'no text'):
            Corpus.load([])

    def test_an_empty_part(self):
        self.write('a.txt', TEXT)
        self.write('b.txt', '')
        with self.assertRaisesRegex(ValueError, "no text in 'b.txt'"):
            Corpus.load({'train': 'a.txt', 'valid': 'b.txt'})

    @parameterized.named_parameters(
        ('no_gzip', lambda data: b'plain text'),
        ('cut_off', lambda data: data[: len(data) // 2]),
        ('no_trailer', lambda data: data[:-8]),
        ('wrong_checksum', lambda data: data[:-8] + bytes(8)),
        ('garbage', lambda data: data[:10] + b'\xff' * 20),
    )
    def test_a_broken_gzip(self, breaks):
        path = self.write('a.gz', TEXT)
        path.write_bytes(breaks(path.read_bytes()))
        with self.assertRaisesRegex(ValueError, "'a.gz' is not a complete"):
            Corpus.load('a.gz')

    @parameterized.parameters(None, 3, b'a.txt', [[None]], [[{'train': 'a'}]])
    def test_other_types(self, source):
        with self.assertRaisesRegex(TypeError, 'A source is'):
            Corpus.load(source)


class NamedTextTest(FilesTestCase):
    """Downloads from a server on this machine."""

    def setUp(self):
        super().setUp()
        self.served = TEXT.encode()
        self.num_requests = 0
        self.cached = self.folder / 'keras' / 'datasets' / 'bard.txt'
        self.server = self._start_server()
        self.url = f'http://127.0.0.1:{self.server.server_port}/bard.txt'
        text = sources.NamedText(
            self.url, hashlib.sha256(TEXT.encode()).hexdigest(), len(TEXT)
        )
        for patch in (
            mock.patch.dict(sources.NAMED_TEXTS, bard=text),
            mock.patch.dict(
                os.environ,
                KERAS_HOME=str(self.folder / 'keras'),
                no_proxy='127.0.0.1',
            ),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def _start_server(self):
        test = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                test.num_requests += 1
                self.send_response(200 if test.served else 404)
                self.send_header('Content-Length', str(len(TEXT)))
                self.end_headers()
                self.wfile.write(test.served)

            def log_message(self, *unused_args):
                pass

        server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def assert_cached(self, text):
        """Checks the cached text (None: none) and that no rubbish is left."""
        files = list(self.cached.parent.iterdir())
        self.assertEqual(files, [] if text is None else [self.cached])
        if text is not None:
            self.assertEqual(self.cached.read_text(), text)

    def assert_by_hand(self):
        """Checks that loading fails and says where to put the text."""
        with self.assertRaises(OSError) as caught:
            Corpus.load('bard')
        for advice in (
            self.url,
            f"'{self.cached}'",
            f'{len(TEXT)} bytes',
            sources.NAMED_TEXTS['bard'].sha256,
        ):
            self.assertIn(advice, str(caught.exception))
        return str(caught.exception)

    def test_it_is_downloaded_once_and_silently(self):
        output = io.StringIO()
        timeout = socket.getdefaulttimeout()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            self.assertEqual(self.read('bard'), TEXT)
            self.served = b''
            self.assertEqual(self.read('bard'), TEXT)
        self.assertEqual(self.num_requests, 1)
        self.assertEqual(output.getvalue(), '')
        self.assertEqual(socket.getdefaulttimeout(), timeout)
        self.assert_cached(TEXT)

    def test_it_may_be_put_there_by_hand(self):
        self.cached.parent.mkdir(parents=True)
        self.cached.write_text(TEXT)
        self.assertEqual(self.read('bard'), TEXT)
        self.assertEqual(self.num_requests, 0)

    @parameterized.named_parameters(
        ('changed', TEXT.upper().encode()),
        ('cut_off', TEXT[:50].encode()),
        ('not_found', b''),
    )
    def test_a_wrong_download_is_not_kept(self, served):
        self.served = served
        self.assert_by_hand()
        self.assert_cached(None)

    def test_without_a_network_the_error_says_what_to_do(self):
        with socket.socket() as unused:
            unused.bind(('127.0.0.1', 0))  # and does not listen
            self.url = f'http://127.0.0.1:{unused.getsockname()[1]}/'
            text = sources.NAMED_TEXTS['bard']._replace(url=self.url)
            with mock.patch.dict(sources.NAMED_TEXTS, bard=text):
                self.assertIn('refused', self.assert_by_hand())
        self.assert_cached(None)

    def test_a_wrong_file_in_the_cache_is_replaced(self):
        self.cached.parent.mkdir(parents=True)
        self.cached.write_text('something else')
        with self.assertLogs('absl', 'WARNING') as logs:
            self.assertEqual(self.read('bard'), TEXT)
        self.assertIn(str(self.cached), logs.output[0])
        self.assert_cached(TEXT)

    def test_a_wrong_file_in_the_cache_is_not_used_without_a_network(self):
        self.cached.parent.mkdir(parents=True)
        self.cached.write_text('something else')
        self.served = b''
        with self.assertLogs('absl', 'WARNING'):
            self.assert_by_hand()
        self.assert_cached('something else')

    def test_a_cache_that_cannot_be_made(self):
        self.write('keras', 'a file where a folder should be')
        self.assert_by_hand()

    def test_the_name_wins_over_a_file_of_that_name(self):
        self.write('bard', 'a local file')
        with self.assertLogs('absl', 'WARNING') as logs:
            self.assertEqual(self.read('bard'), TEXT)
        self.assertIn('./bard', logs.output[0])
        self.assertEqual(self.read('./bard'), 'a local file')
        self.assertEqual(self.read(pathlib.Path('bard')), 'a local file')

    def test_it_may_be_one_of_a_list(self):
        self.write('a.txt', 'To be?')
        self.assertEqual(self.read(['bard', 'a.txt']), TEXT + 'To be?')


class ImportTest(parameterized.TestCase):
    def test_text_to_ids_needs_no_tensorflow(self):
        code = (
            'import sys; from tfcharrnn import corpus, vocabulary; '
            'corpus.Corpus.load("python"); '
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
        ('a,b\n', 0, 'numbered from 1'),
        ('"a,b\n', 1, 'is no CSV file: .* in line 1'),
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
        (['ab', 'a\nb'], ValueError, "no newline in it, .*'a.nb'"),
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
