import ast
import importlib
import pathlib
import subprocess
import sys
import types
import unittest

from absl.testing import parameterized

import tfcharrnn

# What each module may import of the package, level by level: imports run
# downhill only, so a module is understood with those above it alone.
LEVELS = (
    {
        'files': (),
        'cells': (),
        'losses': (),
        'regularization': (),
        'schedules': (),
        'sampling': (),
        'sources': (),
    },
    {'idfile': ('files',), 'vocabulary': ('files',), 'kernels': ('cells',)},
    {
        'corpus': ('idfile', 'sources', 'vocabulary'),
        'data': ('idfile', 'sources', 'vocabulary'),
        'model': ('cells', 'kernels', 'regularization'),
    },
    {'trainer': ('data.Batch', 'losses', 'regularization', 'schedules')},
    {
        'checkpoints': ('files', 'vocabulary', 'model'),
        'curriculum': (
            'data',
            'sampling',
            'schedules',
            'sources',
            'trainer',
            'vocabulary',
        ),
    },
    {
        'generator': (
            'vocabulary',
            'model',
            'checkpoints',
            'sampling',
            'losses',
        ),
    },
    {'callbacks': ('files', 'generator', 'trainer', 'vocabulary')},
    {'commands': ('files',)},
    {
        'settings': (
            'commands',
            'corpus',
            'data',
            'files',
            'idfile',
            'vocabulary',
        ),
    },
)
ALLOWED = {module: names for level in LEVELS for module, names in level.items()}
# These may import whatever they like but each other.
COMMANDS = ('train', 'generate', 'evaluate', 'benchmark', 'experiment')
# They alone know flags, and what they have in common.
KNOW_FLAGS = (*COMMANDS, 'commands', 'settings')

PACKAGE = pathlib.Path(tfcharrnn.__file__).parent
TREES = {
    path.stem: ast.parse(path.read_text('utf-8'))
    for path in sorted(PACKAGE.glob('*.py'))
}
INIT = TREES.pop('__init__')
LIBRARY = [module for module in TREES if module not in COMMANDS]

CLASSES = {
    'Batch': 'data',
    'CharRNN': 'model',
    'Checkpointer': 'checkpoints',
    'Corpus': 'corpus',
    'GRU': 'kernels',
    'Generator': 'generator',
    'LSTM': 'kernels',
    'RNNCell': 'cells',
    'ScheduledSampling': 'curriculum',
    'Stage': 'curriculum',
    'Trainer': 'trainer',
    'VanillaRNN': 'cells',
    'Vocabulary': 'vocabulary',
    'WordVocabulary': 'vocabulary',
}


def imported(tree):
    """Yields every dotted name that is imported, also late and inside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = '.' * node.level + (node.module or '')
            yield from (f'{origin}.{alias.name}' for alias in node.names)


def called(tree):
    """Yields what is called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def public(tree):
    """Yields (name, node) of the public classes, functions and methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name[0] != '_':
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and node.name[0] != '_':
            yield node.name, node
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and (
                    method.name[0] != '_'
                    or method.name in ('__init__', '__call__', '__new__')
                ):
                    yield f'{node.name}.{method.name}', method


def num_parameters(name, node):
    """Counts what a caller may pass: to a class, the fields it declares."""
    if isinstance(node, ast.ClassDef):
        heads = map(ast.unparse, node.bases + node.decorator_list)
        if not any(
            'NamedTuple' in head or 'dataclass' in head for head in heads
        ):
            return 0
        return sum(isinstance(field, ast.AnnAssign) for field in node.body)
    is_static = 'staticmethod' in map(ast.unparse, node.decorator_list)
    parameters = node.args
    return (
        len(parameters.posonlyargs + parameters.args + parameters.kwonlyargs)
        + (parameters.vararg is not None)
        + (parameters.kwarg is not None)
        - ('.' in name and not is_static)  # self, cls
    )


def run_python(code):
    """Runs the code in a Python that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )


class PublicNamesTest(parameterized.TestCase):
    @parameterized.parameters(*CLASSES.items())
    def test_a_class_is_the_one_of_its_module(self, name, module):
        module = importlib.import_module(f'tfcharrnn.{module}')
        self.assertIs(getattr(tfcharrnn, name), getattr(module, name))
        self.assertIsInstance(getattr(tfcharrnn, name), type)
        self.assertIn(name, dir(tfcharrnn))

    @parameterized.parameters(*LIBRARY)
    def test_a_module_is_an_attribute(self, name):
        self.assertIsInstance(getattr(tfcharrnn, name), types.ModuleType)
        self.assertIn(name, dir(tfcharrnn))
        self.assertIn(name, tfcharrnn.__all__)

    def test_everything_listed_is_there(self):
        self.assertContainsSubset(tfcharrnn.__all__, dir(tfcharrnn))
        for name in dir(tfcharrnn):
            self.assertTrue(hasattr(tfcharrnn, name), name)

    def test_an_unknown_name_is_an_attribute_error(self):
        with self.assertRaisesRegex(AttributeError, "tfcharrnn.*'Chars'"):
            _ = tfcharrnn.Chars

    def test_editors_see_the_same_names(self):
        (block,) = (node for node in INIT.body if isinstance(node, ast.If))
        seen = {name.rpartition('.')[2] for name in imported(block)}
        self.assertEqual(seen, set(tfcharrnn.__all__) - {'__version__'})

    def test_the_version_has_three_numbers(self):
        self.assertRegex(tfcharrnn.__version__, r'^\d+\.\d+\.\d+$')


class ImportTest(parameterized.TestCase):
    @parameterized.parameters(*TREES)
    def test_runs_downhill(self, module):
        self.assertIn(module, [*ALLOWED, *COMMANDS], 'Not in the table above.')
        for name in imported(TREES[module]):
            package, _, name = name.partition('.')
            self.assertNotEqual(package, '', f'relative: {name}')
            if package != 'tfcharrnn':
                continue
            if module in COMMANDS:
                self.assertNotIn(name, COMMANDS)
            else:
                allowed = tuple(f'{allowed}.' for allowed in ALLOWED[module])
                self.assertStartsWith(f'{name}.', allowed)

    def test_the_table_runs_downhill(self):
        above = set()
        for level in LEVELS:
            for names in level.values():
                self.assertContainsSubset(
                    {name.partition('.')[0] for name in names}, above
                )
            above.update(level)

    def test_the_package_and_its_texts_need_no_tensorflow(self):
        done = run_python(
            'import sys, tfcharrnn\n'
            'tfcharrnn.Vocabulary, tfcharrnn.Corpus, dir(tfcharrnn)\n'
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

    @parameterized.parameters(*LIBRARY)
    def test_prints_nothing_and_touches_no_global_seed(self, module):
        self.assertNoCommonElements(
            list(called(TREES[module])),
            [
                'print',
                'random.seed',
                'np.random.seed',
                'tf.random.set_seed',
                'tf.keras.utils.set_random_seed',
            ],
        )

    @parameterized.parameters(*TREES)
    def test_takes_at_most_seven_arguments(self, module):
        for name, node in public(TREES[module]):
            self.assertLessEqual(num_parameters(name, node), 7, name)

    @parameterized.parameters(*TREES)
    def test_what_is_public_has_a_docstring(self, module):
        self.assertTrue(ast.get_docstring(TREES[module]))
        for name, node in public(TREES[module]):
            # The class documents its constructor, the property its setter.
            decorators = map(ast.unparse, node.decorator_list)
            if name.endswith('__init__') or f'{node.name}.setter' in decorators:
                continue
            self.assertTrue(ast.get_docstring(node), name)


if __name__ == '__main__':
    unittest.main()
