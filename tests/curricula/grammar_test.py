from absl.testing import absltest, parameterized

from tfcharrnn.curricula import grammar
from tfcharrnn.fields import SettingError


class ParseTest(parameterized.TestCase):
    @parameterized.parameters(
        ('length:25@10,50', 'length', ('25@10', '50'), {}),
        ('mix:a.txt=0.5,b.txt=1', 'mix', (), {'a.txt': '0.5', 'b.txt': '1'}),
        ('b/c.py:f, good = 2.0', 'b/c.py', ('f',), {'good': '2.0'}),
        ('c:/b.py:f,at=a:b=c', 'c:/b.py', ('f',), {'at': 'a:b=c'}),
    )
    def test_takes_it_apart(self, text, kind, words, values):
        self.assertEqual(grammar.parse(text), (kind, words, values))

    @parameterized.parameters(
        ('mix:', "item '' is empty"),
        ('mix:a=1,,b=1', "item '' is empty"),
        ('mix:=1', "'=1' is empty"),
        ('mix:a=', "'a=' is empty"),
        ('mix:a=1,a=2', "'a' twice"),
    )
    def test_refuses_what_says_nothing(self, text, message):
        with self.assertRaisesRegex(SettingError, message):
            grammar.parse(text)

    def test_what_a_kind_does_not_take_is_named(self):
        with self.assertRaisesRegex(SettingError, "'c', which a: does not"):
            grammar.parse('a:b,c').only('d', num_words=1)
        with self.assertRaisesRegex(SettingError, "'c', .* it takes d="):
            grammar.parse('a:b,c=5').only('d', num_words=1)

    @parameterized.parameters('0', '-1', '1.5', 'many')
    def test_a_whole_number_is_from_1_up(self, text):
        expression = grammar.parse(f'a:b,every={text}')
        with self.assertRaisesRegex(SettingError, f'every={text}, but'):
            expression.whole('every', 1)

    @parameterized.parameters('0', '-1', '1.5', 'many', 'nan')
    def test_a_number_is_above_0(self, text):
        expression = grammar.parse(f'a:b,share={text}')
        with self.assertRaisesRegex(SettingError, f'share={text}, but'):
            expression.number('share', 0.5, high=1.0)

    @parameterized.parameters('0.1', '0.1@', '0.1@0', '@5', 'x@5', '0.1@1.5')
    def test_a_pace_is_a_number_and_a_step(self, text):
        with self.assertRaisesRegex(SettingError, 'competence=0.1@5000'):
            grammar.parse(f'a:competence={text}').at('competence')


if __name__ == '__main__':
    absltest.main()
