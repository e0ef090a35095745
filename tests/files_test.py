import errno
import os
import pathlib
import tempfile
import unittest
from unittest import mock

from absl.testing import parameterized

from tfcharrnn import files


class WriteTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.path = self.directory / 'notes.txt'

    def assert_holds(self, text):
        """The file has the text, and nothing else lies beside it."""
        self.assertEqual(self.path.read_bytes(), text.encode())
        self.assertEqual(os.listdir(self.directory), [self.path.name])

    @parameterized.parameters('', 'to be\n', 'a\r\nb\rc\n', 'ä \U0001f600\0')
    def test_what_is_written_is_there_to_the_byte(self, text):
        files.write(self.path, text)
        self.assert_holds(text)

    @parameterized.parameters(str, pathlib.Path)
    def test_replaces_what_was_there(self, kind):
        for text in ('a long text', 'short'):
            files.write(kind(self.path), text)
            self.assert_holds(text)

    def test_what_leads_out_of_a_folder_or_never_ends(self):
        inside, outside = self.directory / 'in', self.directory / 'out'
        for folder in (inside, outside):
            folder.mkdir()
        (inside / 'notes').touch()
        (inside / 'link').symlink_to(inside / 'notes')
        files.check_inside(inside)
        files.check_inside(self.directory / 'missing')
        path = inside / 'file'
        for make, part in (
            (lambda: path.symlink_to(outside), 'leads out'),
            (lambda: path.symlink_to(outside / 'missing'), 'leads out'),
            (lambda: path.symlink_to(path), 'leads out'),
            (lambda: os.mkfifo(path), 'never end'),
        ):
            make()
            with self.assertRaisesRegex(ValueError, f"file' is .*{part}"):
                files.check_inside(inside)
            path.unlink()

    @parameterized.parameters('write', 'fsync', 'replace')
    def test_a_failure_leaves_what_was_there(self, step):
        files.write(self.path, 'old')
        error = OSError('No space left on device')
        owner = files if step == 'write' else os
        name = 'open' if step == 'write' else step
        with mock.patch.object(owner, name, create=True, side_effect=error):
            with self.assertRaisesRegex(OSError, 'No space left'):
                files.write(self.path, 'new')
        self.assert_holds('old')

    def test_a_link_in_its_way_is_not_followed(self):
        other = self.directory / 'other'
        other.write_text('precious')
        partial = f'.{self.path.name}.{os.getpid()}.partial'
        (self.directory / partial).symlink_to(other)
        files.write(self.path, 'to be')
        self.assertEqual(other.read_text(), 'precious')
        other.unlink()
        self.assert_holds('to be')

    @parameterized.parameters(KeyboardInterrupt, SystemExit)
    def test_so_does_a_signal(self, signal):
        files.write(self.path, 'old')
        with mock.patch.object(os, 'fsync', side_effect=signal):
            with self.assertRaises(signal):
                files.write(self.path, 'new')
        self.assert_holds('old')

    def test_so_does_a_text_that_is_no_unicode(self):
        files.write(self.path, 'old')
        with self.assertRaises(UnicodeEncodeError):
            files.write(self.path, 'half a pair: \ud800')
        self.assert_holds('old')

    def test_a_reader_sees_the_old_text_until_the_new_one_is_whole(self):
        files.write(self.path, 'old')
        seen = []
        with mock.patch.object(
            os,
            'fsync',
            side_effect=lambda _: seen.append(self.path.read_text()),
        ):
            files.write(self.path, 'new')
        self.assertEqual(seen, ['old'])
        self.assert_holds('new')

    def test_a_folder_is_replaced_where_a_link_leads_to(self):
        there = self.directory / 'there'
        there.mkdir()
        link = self.directory / 'link'
        link.symlink_to(there)
        with files.replacing_folder(link) as folder:
            files.write(folder / 'cat.txt', 'four legs')
        self.assertTrue(link.is_symlink())
        self.assertEqual(os.listdir(there), ['cat.txt'])
        self.assertCountEqual(os.listdir(self.directory), ['link', 'there'])

    def test_a_directory_that_is_missing_is_an_error(self):
        with self.assertRaises(FileNotFoundError):
            files.write(self.directory / 'missing' / 'notes.txt', 'text')


class DocumentTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.path = pathlib.Path(folder, 'cat.json')

    def write(self, document, version=1):
        files.write_document(
            self.path, document, format='animal', version=version
        )

    def read(self, **options):
        return files.read_document(
            self.path, 'animal', 1, what='an animal file', **options
        )

    def test_what_is_written_is_read(self):
        self.write({'legs': 4, 'sound': 'mi\ud800ow'})
        document = self.read()
        self.assertEqual(document['legs'], 4)
        self.assertEqual(document['sound'], 'mi\ud800ow')
        self.assertEqual(list(document)[:2], ['format', 'version'])

    def test_a_file_without_a_checksum_is_taken(self):
        self.path.write_text('{"format": "animal", "version": 1, "legs": 4}')
        self.assertEqual(self.read()['legs'], 4)

    @parameterized.parameters(
        (b'', 'does not parse'),
        (b'\xff', 'does not parse'),
        (b'{"format": "animal", "ver', 'does not parse'),
        (b'[' * 100_000, 'nested'),
        (b'{"format": "animal", "version": 1, "a": ' + b'[' * 500, 'parse'),
        (b'[]', 'no "format": "animal"'),
        (b'{"format": "plant", "version": 1}', 'no "format": "animal"'),
        (b'{"format": "animal", "version": 1, "sha256": "0"}', 'sha256'),
        (b'{"format": "animal", "version": 1, "sha256": [2]}', 'sha256'),
    )
    def test_a_damaged_file_is_one_sentence(self, content, message):
        self.path.write_bytes(content)
        with self.assertRaisesRegex(
            ValueError,
            f"cat.json' is not an animal file: .*{message}.* Ask the vet",
        ):
            self.read(mend='Ask the vet.')

    def test_deep_nesting_is_one_sentence(self):
        for depth in (300, 900, 990, 3000):
            nested = '[' * depth + ']' * depth
            self.path.write_text(
                f'{{"format": "animal", "version": 1, "a": {nested}}}'
            )
            try:
                self.read()
            except ValueError as error:
                self.assertIn('nested', str(error))

    def test_a_file_that_is_too_large_is_not_parsed(self):
        self.write({'legs': 4})
        size = self.path.stat().st_size
        self.read(max_bytes=size)
        with self.assertRaisesRegex(ValueError, f'larger than {size - 1}'):
            self.read(max_bytes=size - 1)

    def test_a_newer_version_is_named(self):
        self.write({'legs': 4}, version=2)
        with self.assertRaisesRegex(
            ValueError, "cat.json' is an animal file of version 2.*version 1"
        ):
            self.read()

    def test_a_missing_file_is_named(self):
        with self.assertRaisesRegex(FileNotFoundError, 'cat.json'):
            self.read()


class LockTest(parameterized.TestCase):
    def folder(self):
        return pathlib.Path(
            self.enter_context(tempfile.TemporaryDirectory()), 'deep', 'run'
        )

    def test_one_that_is_refused_leaves_the_lock_of_the_other(self):
        folder = self.folder()
        with files.locked(folder):
            # It looked before the other had made its lock.
            with mock.patch.object(pathlib.Path, 'exists', return_value=False):
                with self.assertRaises(BlockingIOError):
                    with files.locked(folder):
                        self.fail('It was let in.')
            self.assertEqual(os.listdir(folder), ['.lock'])
            with self.assertRaises(BlockingIOError):
                with files.locked(folder):
                    self.fail('It was let in.')

    def test_a_folder_to_which_nothing_was_written_goes(self):
        folder = self.folder()
        with files.locked(folder):
            self.assertTrue(folder.exists())
        self.assertFalse(folder.parent.exists())

    def test_an_error_is_not_hidden_by_a_folder_that_others_use(self):
        folder = self.folder()
        with self.assertRaisesRegex(ValueError, 'mine'):
            with files.locked(folder):
                (folder.parent / 'other').mkdir()
                raise ValueError('mine')
        self.assertFalse(folder.exists())

    @parameterized.parameters(errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
    def test_where_there_are_no_locks_a_warning_says_so(self, number):
        folder = self.folder()
        refusal = OSError(number, os.strerror(number))
        with mock.patch('fcntl.flock', side_effect=refusal):
            with self.assertLogs('absl', 'WARNING') as logs:
                with files.locked(folder):
                    self.assertTrue(folder.exists())
        self.assertRegex(logs.output[0], "run' has no locks")
        self.assertLen(logs.output, 1)

    def test_another_error_of_a_lock_is_one(self):
        with mock.patch('fcntl.flock', side_effect=OSError(errno.EIO, 'bad')):
            with self.assertRaisesRegex(OSError, 'bad.*lock'):
                with files.locked(self.folder()):
                    self.fail('It was let in.')

    def test_a_lock_that_was_deleted_meanwhile_is_made_anew(self):
        folder, lock = self.folder(), files._lock

        def late(file, directory):
            if not (folder / 'late').exists():
                (folder / 'late').touch()
                (folder / '.lock').unlink()  # By its last owner.
            lock(file, directory)

        with mock.patch.object(files, '_lock', late):
            with files.locked(folder):
                with self.assertRaises(BlockingIOError):
                    with files.locked(folder):
                        self.fail('It was let in.')


if __name__ == '__main__':
    unittest.main()
