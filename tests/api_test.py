"""The laws of the house: who imports whom, who knows flags, what is long."""

import ast
import importlib
import pathlib
import re
import subprocess
import sys
import types
import unittest

from absl.testing import parameterized

import tfcharrnn

# Imports run downhill: a room may import those before it, and itself.
ROOMS = (
    'checks',
    'files',
    'rates',
    'kinds',
    'fields',
    'config',
    'startup',
    'text',
    'data',
    'nn',
    'training',
    'tasks',
    'curricula',
    'generation',
    'exporting',
    'running',
    'benchmarking',
    'comparing',
    'commands',
)
# They import nothing of the package, so every room may import them.
LOWEST = ('training.schedules', 'generation.sampling')
# These may import whatever they like but each other.
COMMANDS = (
    *('train', 'generate', 'evaluate', 'experiment', 'export', 'benchmark'),
)
# They alone know flags. The last one only names the commands.
KNOW_FLAGS = (*COMMANDS, 'commands', '__main__')
# Below these, no module imports TensorFlow.
NEED_NO_TENSORFLOW = (
    *('checks', 'files', 'rates', 'kinds', 'fields', 'config', 'text'),
)
MAX_LINES_OF_MODULE = 450
MAX_LINES_OF_CLASS = 350

PACKAGE = pathlib.Path(tfcharrnn.__file__).parent
ROOT = PACKAGE.parent
BUILD = (ROOT / 'BUILD.md').read_text('utf-8')


def name_of(path):
    """Returns the dotted name of a module within the package."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts).removesuffix('.__init__')


def room_of(name):
    return name.partition('.')[0]


PATHS = {
    name_of(path): path
    for path in sorted(PACKAGE.rglob('*.py'))
    if path != PACKAGE / '__init__.py'
}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
INIT = ast.parse((PACKAGE / '__init__.py').read_text('utf-8'))
LIBRARY = [name for name in TREES if name not in (*COMMANDS, '__main__')]
# Where the public names are. What gates take follows from their contract.
PUBLIC = {*tfcharrnn._MODULES.values(), *tfcharrnn._HOMES.values()}
PUBLIC |= {
    name
    for name in TREES
    if room_of(name) in ('data', 'curricula', 'exporting')
}
PUBLIC -= {'nn.gates'}


def imported(tree):
    """Yields every dotted name that is imported, also late and inside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = '.' * node.level + (node.module or '')
            yield from (f'{origin}.{alias.name}' for alias in node.names)


def imported_of_ours(tree):
    """Yields what is imported of the package, such as `nn.cells.GRU`."""
    for name in imported(tree):
        package, _, rest = name.partition('.')
        if package == 'tfcharrnn' and rest != '__version__':
            yield rest


def called(tree):
    """Yields what is called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def written_to(tree):
    """Yields each use of the standard output or error."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in ('sys.stdout', 'sys.stderr', 'sys.__stderr__'):
                yield name
        elif isinstance(node, ast.Name) and node.id == 'print':
            yield node.id


def public(tree):
    """Yields (name, node) of the public classes, functions and methods."""

    def is_public(node):
        return isinstance(node, ast.FunctionDef) and (
            node.name[0] != '_'
            or node.name in ('__init__', '__call__', '__new__')
        )

    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != '_':
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and node.name[0] != '_':
            yield node.name, node
            for method in filter(is_public, node.body):
                if 'overload' not in map(ast.unparse, method.decorator_list):
                    yield f'{node.name}.{method.name}', method


def positional(name, node):
    """Returns what a caller may pass by position, `self` and `cls` left out."""
    is_static = 'staticmethod' in map(ast.unparse, node.decorator_list)
    is_method = '.' in name and not is_static
    return (node.args.posonlyargs + node.args.args)[is_method:]


def run_python(code):
    """Runs the code in a Python that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


class PublicNamesTest(parameterized.TestCase):
    @parameterized.parameters(*sorted(set(tfcharrnn.__all__)))
    def test_is_there(self, name):
        self.assertTrue(hasattr(tfcharrnn, name))
        self.assertIn(name, dir(tfcharrnn))

    @parameterized.parameters(*tfcharrnn._MODULES.items())
    def test_a_module_is_the_one_of_its_room(self, name, home):
        module = getattr(tfcharrnn, name)
        self.assertIsInstance(module, types.ModuleType)
        self.assertEqual(module.__name__, f'tfcharrnn.{home}')

    @parameterized.parameters(*tfcharrnn._HOMES.items())
    def test_a_name_is_the_one_of_its_module(self, name, home):
        module = importlib.import_module(f'tfcharrnn.{home}')
        self.assertIs(getattr(tfcharrnn, name), getattr(module, name))

    def test_an_unknown_name_is_an_attribute_error(self):
        with self.assertRaisesRegex(AttributeError, "tfcharrnn.*'Chars'"):
            _ = tfcharrnn.Chars

    def test_editors_and_type_checkers_see_the_same_names(self):
        (block,) = (node for node in INIT.body if isinstance(node, ast.If))
        seen = {}
        for node in block.body:
            for alias in node.names:
                home = node.module.removeprefix('tfcharrnn').lstrip('.')
                seen[alias.asname or alias.name] = home
        modules = {
            name: home.rpartition('.')[0]
            for name, home in tfcharrnn._MODULES.items()
        }
        self.assertEqual(seen, {**modules, **tfcharrnn._HOMES})

    def test_the_version_is_that_of_the_changelog_and_the_citation(self):
        version = re.escape(tfcharrnn.__version__)
        for name, pattern in (
            ('CHANGELOG.md', rf'^## \[{version}\]'),
            ('CITATION.cff', rf'^version: {version}$'),
        ):
            text = (ROOT / name).read_text('utf-8')
            self.assertTrue(re.search(pattern, text, re.MULTILINE), name)

    def test_the_version_has_three_numbers(self):
        self.assertRegex(tfcharrnn.__version__, r'^\d+\.\d+\.\d+$')

    def test_it_is_typed(self):
        self.assertTrue((PACKAGE / 'py.typed').exists())


class ImportTest(parameterized.TestCase):
    @parameterized.parameters(*TREES)
    def test_runs_downhill(self, module):
        room = room_of(module)
        last = (*COMMANDS, '__main__')
        self.assertIn(room, [*ROOMS, *last], 'Not in the table above.')
        for name in imported(TREES[module]):
            self.assertFalse(name.startswith('.'), f'relative: {name}')
        for name in imported_of_ours(TREES[module]):
            other = room_of(name)
            if module in last:
                self.assertNotIn(other, last)
            elif not name.startswith(LOWEST):
                self.assertLessEqual(
                    ROOMS.index(other), ROOMS.index(room), name
                )

    @parameterized.parameters(*LOWEST)
    def test_the_lowest_import_nothing_of_ours(self, module):
        others = set(imported_of_ours(TREES[module]))
        self.assertEqual(others - {'checks'}, set())

    @parameterized.parameters(*TREES)
    def test_modules_do_not_import_each_other_in_a_circle(self, module):
        seen, todo = set(), [module]
        while todo:
            for name in imported_of_ours(TREES[todo.pop()]):
                while name and name not in TREES:
                    name = name.rpartition('.')[0]
                self.assertNotEqual(name, module, 'a circle')
                if name and name not in seen:
                    seen.add(name)
                    todo.append(name)

    @parameterized.parameters(
        *(name for name in TREES if room_of(name) in NEED_NO_TENSORFLOW)
    )
    def test_needs_no_tensorflow(self, module):
        for name in imported(TREES[module]):
            self.assertNotEqual(room_of(name), 'tensorflow')

    def test_help_and_texts_do_not_wait_for_tensorflow(self):
        commands = ', '.join(f'tfcharrnn.{name}' for name in COMMANDS)
        done = run_python(
            f'import sys, tfcharrnn, {commands}\n'
            'tfcharrnn.Vocabulary, tfcharrnn.Corpus, dir(tfcharrnn)\n'
            'tfcharrnn.RunConfig(corpus="bard.txt")\n'
            'assert "tensorflow" not in sys.modules'
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_importing_what_is_public_prints_nothing_on_stdout(self):
        done = run_python('from tfcharrnn import *; CharRNN, data.sequences')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, '')


class LibraryTest(parameterized.TestCase):
    @parameterized.parameters(*sorted({*LIBRARY} - {*KNOW_FLAGS}))
    def test_knows_no_flags(self, module):
        for name in imported(TREES[module]):
            self.assertNotIn(name, ('absl.flags', 'absl.app', 'argparse'))
        names = {ast.unparse(node) for node in ast.walk(TREES[module])}
        self.assertNotIn('FLAGS', names)

    @parameterized.parameters(*sorted({*LIBRARY} - {*KNOW_FLAGS}))
    def test_prints_nothing_and_touches_no_global_seed(self, module):
        self.assertNoCommonElements(
            list(called(TREES[module])),
            [
                'random.seed',
                'np.random.seed',
                'tf.random.set_seed',
                'tf.keras.utils.set_random_seed',
            ],
        )
        # The line that shows how training goes is asked for, and its stream
        # can be given; what C++ writes is silenced.
        writes = set(written_to(TREES[module]))
        if module == 'training.progress':
            writes -= {'sys.stdout'}
        if module in ('startup', 'benchmarking.timing'):
            writes -= {'sys.stderr', 'sys.__stderr__'}
        self.assertEqual(writes, set())

    @parameterized.parameters(*sorted(PUBLIC))
    def test_takes_few_arguments_by_position(self, module):
        for name, node in public(TREES[module]):
            if isinstance(node, ast.ClassDef):
                continue
            most = 3
            if name == 'CharRNN.__init__':  # The sizes of the model.
                most = 5
            if module == 'training.schedules':  # As in `cosine:1:0:100:10`.
                most = 4
            self.assertLessEqual(len(positional(name, node)), most, name)

    @parameterized.parameters(*sorted(PUBLIC))
    def test_spells_its_arguments_out(self, module):
        for name, node in public(TREES[module]):
            if isinstance(node, ast.FunctionDef):
                self.assertIsNone(node.args.kwarg, f'{name} has **options')

    @parameterized.parameters(*TREES)
    def test_what_is_public_has_a_docstring(self, module):
        self.assertTrue(ast.get_docstring(TREES[module]))
        for name, node in public(TREES[module]):
            # The class documents its constructor, the property its setter.
            decorators = map(ast.unparse, node.decorator_list)
            if name.endswith('__init__') or f'{node.name}.setter' in decorators:
                continue
            self.assertTrue(ast.get_docstring(node), name)

    @parameterized.parameters(*TREES)
    def test_a_long_module_or_class_says_why(self, module):
        path = PATHS[module]
        if len(path.read_text('utf-8').splitlines()) > MAX_LINES_OF_MODULE:
            self.assertTrue(f'`{module}` is long' in BUILD)
        for node in ast.walk(TREES[module]):
            if isinstance(node, ast.ClassDef):
                size = node.end_lineno - node.lineno + 1
                if size > MAX_LINES_OF_CLASS:
                    self.assertTrue(f'`{node.name}` is long' in BUILD)


if __name__ == '__main__':
    unittest.main()
