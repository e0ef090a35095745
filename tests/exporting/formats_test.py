import pathlib
import tempfile
from unittest import mock

import elsewhere
import numpy as np
import pytest
from absl.testing import absltest, parameterized

from tfcharrnn import Vocabulary, exporting
from tfcharrnn.exporting import formats
from tfcharrnn.nn.mixture import Mixture


class FormatsTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    @parameterized.parameters(*exporting.FORMATS.items())
    def test_a_model_that_is_not_finite_is_not_written(self, name, format):
        model = elsewhere.build()
        model.bias.assign(model.bias + np.nan)
        out = self.folder / f'model{format.ending}'
        with self.assertRaisesRegex(ValueError, 'bias.*not.*finite'):
            exporting.save(model, elsewhere.VOCABULARY, out, format=name)
        with self.assertRaisesRegex(ValueError, '12 characters.*has 3'):
            exporting.save(model, Vocabulary('abc'), out, format=name)
        self.assertEqual(list(self.folder.iterdir()), [])

    @parameterized.parameters(
        ({'format': 'hdf'}, "'hdf'.*safetensors"),
        ({'format': 'safetensors', 'options': {'a': 1}}, "`options` is 'a'"),
    )
    def test_what_is_asked_for_must_be_in_the_table(self, arguments, message):
        out = self.folder / 'model.safetensors'
        with self.assertRaisesRegex(ValueError, message):
            exporting.save(
                elsewhere.build(), elsewhere.VOCABULARY, out, **arguments
            )

    @parameterized.parameters(*formats._PICKLES)
    def test_a_pickle_is_refused_by_its_name(self, ending):
        with self.assertRaisesRegex(ValueError, 'pickle.*safetensors'):
            exporting.load(self.folder / f'model{ending}')

    def test_a_file_of_another_kind_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'gguf.*ends in.*safetensors'):
            exporting.load(self.folder / 'model.gguf')
        with self.assertRaisesRegex(FileNotFoundError, 'no file.*model'):
            exporting.load(self.folder / 'model.safetensors')
        with self.assertRaisesRegex(FileNotFoundError, 'no file'):
            exporting.load(self.folder / '.safetensors')

    @parameterized.parameters('keras', 'onnx', 'litert', 'safetensors')
    def test_a_mixture_goes_out_as_a_saved_model_only(self, name):
        if name in ('onnx', 'safetensors'):
            pytest.importorskip(name)
        mixture = Mixture([elsewhere.build(), elsewhere.build(cell='lstm')])
        out = self.folder / f'model{exporting.FORMATS[name].ending}'
        with self.assertRaisesRegex(ValueError, f'{name} holds a CharRNN'):
            exporting.save(mixture, elsewhere.VOCABULARY, out, format=name)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_folder_is_made_for_a_file_alone(self):
        out = self.folder / 'new' / 'folder' / 'model.keras'
        arguments = elsewhere.VOCABULARY, out
        with self.assertRaisesRegex(ValueError, 'mingru'):
            exporting.save(
                elsewhere.build(cell='mingru'), *arguments, format='keras'
            )
        self.assertEqual(list(self.folder.iterdir()), [])
        exporting.save(elsewhere.build(), *arguments, format='keras')
        self.assertTrue(out.exists())

    def test_a_missing_package_is_named_with_what_to_type(self):
        with mock.patch.dict('sys.modules', {'onnx': None}):
            with self.assertRaisesRegex(ValueError, r"pip install 'tf.*\[ab\]"):
                formats.package('onnx.helper', 'ab')

    def test_a_package_that_does_not_fit_the_others_is_named(self):
        (self.folder / 'too_new.py').write_text('import math; math.no_such')
        self.enter_context(mock.patch('sys.path', [str(self.folder)]))
        with self.assertRaisesRegex(ValueError, "too_new .*'no_such'.* older"):
            formats.package('too_new', 'ab')


if __name__ == '__main__':
    absltest.main()
