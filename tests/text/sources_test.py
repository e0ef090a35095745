import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pathlib
import socket
import sys
import tempfile
import threading
import urllib.request
from unittest import mock

from absl.testing import parameterized

from tfcharrnn.text import sources
from tfcharrnn.text.corpus import Corpus

TEXT = 'to be, or not to be, that is the question\n' * 3
PARTS = ('train', 'valid', 'test')
ALL = (1.0, 0.0, 0.0)


def _texts(corpus):
    return [corpus.vocabulary.decode(getattr(corpus, part)) for part in PARTS]


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

    def test_a_device_is_not_read(self):
        for load in (Corpus.load, Corpus.load_lines):
            with self.assertRaisesRegex(ValueError, "'/dev/zero' is a device"):
                load('/dev/zero')

    def test_a_compressed_file_that_becomes_too_large(self):
        self.write('a.gz', 'to be ' * 1000)
        with mock.patch.object(sources, '_SMALL', 1000):
            for load in (Corpus.load, Corpus.load_lines):
                with self.assertRaisesRegex(ValueError, "'a.gz' becomes more"):
                    load('a.gz')
        self.assertEqual(self.read('a.gz'), 'to be ' * 1000)

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

    @parameterized.parameters(
        TimeoutError('timed out'), ConnectionResetError('reset by peer')
    )
    def test_a_download_that_stops_is_not_kept(self, error):
        response = mock.MagicMock()
        response.__enter__.return_value.read.side_effect = error
        with mock.patch.object(
            urllib.request, 'urlopen', return_value=response
        ) as urlopen:
            self.assertIn(str(error), self.assert_by_hand())
        (url,), options = urlopen.call_args
        self.assertEqual(url, self.url)
        self.assertBetween(options['timeout'], 1, 60)
        self.assert_cached(None)

    def test_no_more_is_read_than_the_text_has(self):
        endless = mock.MagicMock()
        endless.__enter__.return_value.read = lambda size: b'x' * size
        with mock.patch.object(urllib.request, 'urlopen', return_value=endless):
            self.assertIn('not those of the text', self.assert_by_hand())
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
