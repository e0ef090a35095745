import dataclasses
import math

from absl.testing import absltest, parameterized
from hypothesis import example, given
from hypothesis import strategies as st

from tfcharrnn import fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe(fields.Settings):
    eggs: int = fields.whole(2, 'How many.', low=0, high=12)
    salt: float | None = fields.number(None, 'How much.', below=1.0)
    sweet: bool = fields.switch(False, 'Whether.', may_change=True)
    form: str = fields.word('round', 'Of the cake.', ['round', 'square'])
    title: str = fields.text('', 'Of the cake.', escaped=True, may_change=True)
    layers: tuple[float, ...] = fields.numbers((1.0,), 'Heights.')

    def check_together(self):
        self.refuse_ignored('salt', self.sweet, '`sweet` is True')


class SettingsTest(parameterized.TestCase):
    @parameterized.parameters(
        ({'eggs': 13}, '`eggs` is 13, .* whole number from 0 to 12'),
        ({'eggs': 1.5}, '`eggs` is 1.5'),
        ({'eggs': None}, '`eggs` is None'),
        ({'salt': 1.0}, '`salt` is 1.0, .* from 0 up, below 1'),
        ({'salt': math.nan}, '`salt` is nan'),
        ({'salt': '0.5'}, "`salt` is '0.5'"),
        ({'sweet': 1}, '`sweet` is 1, but must be True or False'),
        ({'form': 'oval'}, "`form` is 'oval', .* one of round, square"),
        ({'title': b'a'}, "`title` is b'a', but must be a string"),
        ({'layers': ()}, r'`layers` is \(\), .* several values, such as 1.0'),
        ({'layers': (1, -1)}, '`layers` is -1, .* from 0 up'),
        ({'layers': 'high'}, "`layers` is 'high', .* several values"),
        ({'layers': 1.0}, '`layers` is 1.0, .* several values'),
        ({'sweet': True, 'salt': 0.1}, '`salt` is 0.1, but `sweet` is True'),
    )
    def test_a_wrong_value_is_one_sentence(self, values, message):
        with self.assertRaisesRegex(fields.SettingError, rf'\A{message}.*\.\Z'):
            Recipe(**values)
        with self.assertRaises(fields.SettingError):
            Recipe().replace(**values)

    def test_values_become_those_of_their_type(self):
        recipe = Recipe(eggs=3.0, layers=[1, 2], salt=0)
        self.assertEqual(repr(recipe.eggs), '3')
        self.assertEqual(repr(recipe.salt), '0.0')
        self.assertEqual(recipe.layers, (1.0, 2.0))

    def test_a_name_that_is_no_setting_is_a_type_error(self):
        with self.assertRaisesRegex(TypeError, 'flour'):
            Recipe(flour=1)

    def test_never_changes(self):
        with self.assertRaises(dataclasses.FrozenInstanceError):
            Recipe().eggs = 3

    def test_what_changed_is_what_differs_from_its_default(self):
        self.assertEqual(Recipe().changed(), {})
        recipe = Recipe(eggs=2, salt=0.5, sweet=False)
        self.assertEqual(recipe.changed(), {'salt': 0.5})

    def test_a_digest_is_of_what_changed_and_may_not_change(self):
        plain = Recipe().digest()
        self.assertEqual(Recipe(title='Cake', sweet=True).digest(), plain)
        self.assertEqual(Recipe(layers=[1]).digest(), plain)
        self.assertNotEqual(Recipe(eggs=3).digest(), plain)

        @dataclasses.dataclass(frozen=True, kw_only=True)
        class Later(Recipe):
            sugar: float = fields.number(0.0, 'How much.')

        self.assertEqual(Later(eggs=3).digest(), Recipe(eggs=3).digest())
        self.assertNotEqual(Later(sugar=1).digest(), plain)

    def test_differences_are_of_what_may_not_change(self):
        told = fields.differences(
            Recipe(), {'eggs': 3, 'sweet': True, 'form': 'round'}
        )
        self.assertEqual(told, ['`eggs` is 3, but was 2'])


RECIPES = st.builds(
    Recipe,
    eggs=st.integers(0, 12),
    salt=st.none() | st.floats(0, 1, exclude_max=True),
    form=st.sampled_from(['round', 'square']),
    title=st.text(),
    layers=st.lists(st.floats(0, 1e300), min_size=1),
)


class FlagsTest(parameterized.TestCase):
    @example(Recipe(title='a\u2003'))
    @example(Recipe(title='\u2028 '))
    @given(RECIPES)
    def test_what_is_written_is_read(self, recipe):
        lines = fields.as_flags(Recipe, recipe.values())
        self.assertEqual(Recipe(**fields.parse_flags(Recipe, lines)), recipe)

    def test_what_is_none_is_left_out(self):
        self.assertEqual(
            fields.as_flags(Recipe, Recipe(title='a\n ').values()),
            ['--eggs=2', '--sweet=False', '--form=round']
            + [r'--title=a\x0a\x20', '--layers=1.0'],
        )

    @parameterized.parameters('true', 'True', '1', 't')
    def test_switches_and_comments(self, on):
        for line, sweet in (
            (f'--sweet={on}', True),
            ('--sweet', True),
            ('--nosweet', False),
            ('--sweet=f', False),
        ):
            lines = '# A cake', '', '  // sweet', f' {line} '
            values = fields.parse_flags(Recipe, lines)
            self.assertEqual(values, {'sweet': sweet})

    @parameterized.parameters(
        ('--flour=1', "'--flour=1' is not a setting"),
        ('eggs=1', "'eggs=1' is not a setting"),
        ('What?', 'not a setting'),
        ('--eggs', "`eggs` is 'true'"),
        ('--eggs=many', "`eggs` is 'many'"),
        ('--sweet=very', "`sweet` is 'very'"),
        ('--layers=1,,2', "`layers` is ''"),
        ('--layers=1,b', "`layers` is 'b'"),
        ('--layers=', r'`layers` is \(\)'),
    )
    def test_another_line_is_refused(self, line, message):
        with self.assertRaisesRegex(ValueError, message):
            fields.parse_flags(Recipe, [line])

    @given(st.text())
    def test_escapes_are_undone(self, text):
        escaped = fields.escape(text)
        self.assertEqual(fields.unescape(escaped), text)
        self.assertEqual(escaped.rstrip(' \t\r\n'), escaped)
        self.assertLessEqual(len(f'{escaped}|'.splitlines()), 1 + len(text))

    @parameterized.parameters(
        (r'a\nb', 'a\nb'),
        (r'\t\\n', '\t\\n'),
        (r'\x41\x4', r'A\x4'),
        (r'\q\ ', r'\q\ '),
    )
    def test_escapes_are_those_of_a_shell(self, typed, meaning):
        self.assertEqual(fields.unescape(typed), meaning)


if __name__ == '__main__':
    absltest.main()
