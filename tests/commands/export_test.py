import os
import pathlib
import shutil
import tempfile
from unittest import mock

import pytest
import running_commands
from absl.testing import absltest, parameterized
from running_commands import is_sentence, run

import tfcharrnn
from tfcharrnn import export
from tfcharrnn.exporting import formats

BARD = '--model_dir=bard'
# A format, and what is missing where its package is not installed.
PACKAGES = {'safetensors': 'safetensors', 'onnx': 'onnx'}


class ExportTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        shutil.copytree(
            running_commands.finished()[0], folder.name, dirs_exist_ok=True
        )
        os.chdir(folder.name)

    @parameterized.parameters(*formats.FORMATS.items())
    def test_says_what_it_wrote_and_how_large_it_is(self, name, format):
        if name in PACKAGES:
            pytest.importorskip(PACKAGES[name])
        ending = format.ending
        arguments = f'--format={name}', f'--out=new/model{ending}'
        status, out, err = run(export, BARD, *arguments)
        self.assertEqual((status, err), (0, ''))
        self.assertRegex(out, rf'\Anew/model{ending}: \d[\d,]* bytes\n')
        written = running_commands.contents('new')
        # What is there stays, unless it is to be replaced.
        status, out, err = run(export, BARD, *arguments)
        self.assertEqual((status, out), (1, ''))
        self.assertTrue(is_sentence(err), err)
        self.assertRegex(err, f'new/model{ending}.*exists.*overwrite')
        self.assertEqual(running_commands.contents('new'), written)
        status, _, err = run(export, BARD, *arguments, '--overwrite')
        self.assertEqual((status, err), (0, ''))
        self.assertEqual(set(running_commands.contents('new')), set(written))

    @parameterized.parameters(*PACKAGES.items())
    def test_a_missing_package_is_a_sentence(self, name, package):
        before = running_commands.contents('.')
        ending = formats.FORMATS[name].ending
        with mock.patch.dict('sys.modules', {package: None}):
            status, _, err = run(
                export, BARD, f'--format={name}', f'--out=model{ending}'
            )
        self.assertEqual(status, 1)
        self.assertTrue(is_sentence(err), err)
        self.assertRegex(err, rf"pip install 'tfcharrnn\[{name}\]'")
        self.assertEqual(running_commands.contents('.'), before)

    @parameterized.parameters(
        ('--out=a.safetensors', 2, 'Give the `model_dir`'),
        (f'{BARD} --out=a.safetensors', 2, 'Give a `format`'),
        (f'{BARD} --format=safetensors', 2, 'Give `out`'),
        (f'{BARD} --format=pickle --out=a.pkl', 2, 'pickle.*safetensors'),
        (f'{BARD} --format=safetensors --out=a.pt', 1, 'ends in .safetensors'),
        (f'{BARD} --format=safetensors --out=a.safetensors', 1, 'folder'),
        (
            f'{BARD} --format=safetensors --out=play.txt/b.safetensors',
            1,
            'play.txt',
        ),
        (
            '--model_dir=gone --format=safetensors --out=b.safetensors',
            1,
            "'gone'",
        ),
        (
            f'{BARD} --checkpoint=gone --format=safetensors '
            '--out=b.safetensors',
            1,
            "'gone'",
        ),
    )
    def test_says_what_is_wrong_and_changes_nothing(
        self, arguments, expected, message
    ):
        pathlib.Path('a.safetensors').mkdir()
        before = running_commands.contents('.')
        status, out, err = run(export, *arguments.split())
        self.assertEqual((status, out), (expected, ''))
        self.assertTrue(is_sentence(err), err)
        self.assertRegex(err, message)
        self.assertEqual(running_commands.contents('.'), before)

    def test_a_run_with_members_is_told_from_a_model(self):
        os.renames('bard', 'mix/member-1')
        status, out, err = run(
            export, '--model_dir=mix', '--format=page', '--out=mix.html'
        )
        self.assertEqual((status, out), (2, ''))
        self.assertTrue(is_sentence(err), err)
        self.assertRegex(err, "mixture of 1.*such as 'mix/member-1'")
        self.assertFalse(os.path.exists('mix.html'))

    def test_the_best_checkpoint_goes_out(self):
        pytest.importorskip('safetensors')
        arguments = '--checkpoint=best', '--format=safetensors'
        status, _, err = run(export, BARD, *arguments, '--out=b.safetensors')
        self.assertEqual((status, err), (0, ''))
        model, vocabulary = tfcharrnn.exporting.load('b.safetensors')
        best, expected = tfcharrnn.load_model('bard', 'best')
        self.assertEqual(vocabulary, expected)
        for ours, theirs in zip(best.variables, model.variables, strict=True):
            self.assertEqual(ours.numpy().tobytes(), theirs.numpy().tobytes())


if __name__ == '__main__':
    absltest.main()
