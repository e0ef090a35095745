import pathlib
import tempfile

from absl.testing import absltest, parameterized

from tfcharrnn.exporting.bundle import bundle
from tfcharrnn.exporting.page import PAGE


class BundleTest(parameterized.TestCase):
    def bundle(self, **modules):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name, text in modules.items():
            pathlib.Path(folder.name, f'{name}.js').write_text(text)
        return bundle(pathlib.Path(folder.name))

    def test_a_module_stands_behind_those_that_it_imports(self):
        script = self.bundle(
            main="import {b} from './two.js';\nimport {\n  a,\n} from "
            "'./one.js';\nconst end = a + b;\n",
            one='export const a = 1;\n',
            two="import {a} from './one.js';\nexport function b() {}\n",
        )
        self.assertNotRegex(script, r'(?m)^(import|export)')
        self.assertLess(script.index('const a = 1'), script.index('function b'))
        self.assertLess(script.index('function b'), script.index('const end'))
        self.assertEqual(script.count('const a = 1'), 1)

    @parameterized.parameters(
        ('const x = 1;\nexport default x;', 'main.js has .export default'),
        ("import * as x from './one.js';", 'main.js has .import'),
        ("import {a} from './main.js';", 'circle: main.js -> main.js'),
        ("import {a} from './one.js';\nlet a = 1;", 'both declare `a`'),
        ("const x = '</script>';", 'would end the script'),
        ("const x = '<!--';", 'would end the script'),
    )
    def test_what_cannot_be_one_script_is_refused(self, main, message):
        with self.assertRaisesRegex(ValueError, message):
            self.bundle(main=main, one='export const a = 1;\n')

    def test_that_of_the_page_asks_for_nothing(self):
        script = bundle(PAGE)
        for word in (r'\beval\(', 'new Function', 'innerHTML', 'outerHTML'):
            self.assertNotRegex(script, word)
        for word in ('fetch(', 'XMLHttpRequest', 'WebSocket', 'sendBeacon'):
            self.assertNotIn(word, script)
        self.assertNotIn('document.write', script)


if __name__ == '__main__':
    absltest.main()
