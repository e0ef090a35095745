import contextlib
import io
import random
import re

from absl.testing import absltest, parameterized

from tfcharrnn import tasks
from tfcharrnn.tasks import ngrams, programs
from tfcharrnn.tasks.task import part_of

TEXT = 'the cat sat on the mat and the rat sat on the cat; ' * 3
TASKS = {
    'addition': tasks.addition(3),
    'copy': tasks.copy(4),
    'reverse': tasks.reverse(4),
    'repeat_copy': tasks.repeat_copy(4, 12),
    'program': tasks.program(3, 2),
    'ngram_mixture': tasks.ngram_mixture(TEXT, 3, burn_in=5, length=7),
}


class TaskTest(parameterized.TestCase):
    @parameterized.parameters(*TASKS)
    def test_an_example_is_a_function_of_seed_number_level_and_part(self, name):
        task = TASKS[name]
        for number in range(20):
            one, other = (task.example(3, number) for _ in range(2))
            self.assertEqual(one, other)
        some = {task.example(seed, 5).given for seed in range(20)}
        self.assertGreater(len(some), 10)

    @parameterized.parameters(*TASKS)
    def test_what_is_tested_is_never_read_in_training(self, name):
        task = TASKS[name]
        read = {
            part: {
                task.example(seed, number, level=level, part=part).given
                for level in task.levels[-2:]
                for seed in range(2)
                for number in range(100)
            }
            for part in ('train', 'test')
        }
        self.assertNotEmpty(read['test'])
        self.assertEmpty(read['train'] & read['test'])

    @parameterized.parameters(*TASKS)
    def test_the_characters_suffice_and_none_comes_twice(self, name):
        task = TASKS[name]
        self.assertLen(set(task.characters), len(task.characters))
        for level in task.levels[-3:]:
            for number in range(30):
                example = task.example(0, number, level=level)
                self.assertContainsSubset(''.join(example), task.characters)

    def test_about_a_tenth_is_for_the_test(self):
        counts = sum(part_of(f'{n}x') == 'test' for n in range(5000))
        self.assertBetween(counts, 400, 600)

    def test_mistakes_are_explained(self):
        task = tasks.copy(2)
        for options, message in (
            ({'level': 3}, "'copy' has no level 3, but these: 1, 2"),
            ({'part': 'tests'}, '`part`'),
        ):
            with self.assertRaisesRegex(ValueError, message):
                task.example(0, 0, **options)
        with self.assertRaisesRegex(ValueError, 'no levels'):
            tasks.Task('none', 'a', [], None)
        constant = tasks.Task('same', 'ab', [0], lambda draw, level: ('a', 'b'))
        other = 'train' if part_of('a') == 'test' else 'test'
        with self.assertRaisesRegex(ValueError, f"no example for '{other}'"):
            constant.example(0, 0, part=other)
        for make, options in (
            (tasks.addition, [0]),
            (tasks.repeat_copy, [2, 0]),
            (tasks.program, [1, -1]),
            (tasks.ngram_mixture, ['ab', 2]),
        ):
            with self.assertRaisesRegex(ValueError, 'must be'):
                make(*options)


class DigitsTest(parameterized.TestCase):
    @parameterized.product(
        name=('addition', 'copy', 'reverse', 'repeat_copy'),
        number=(0, 1, 2, 3, 4),
    )
    def test_the_answer_is_right(self, name, number):
        task = TASKS[name]
        for level in task.levels[1:]:
            given, answer = task.example(1, number, level=level)
            digits = re.findall(r'\d+', given)
            if name == 'addition':
                expected = sum(map(int, digits))
                self.assertEqual([len(x) for x in digits], [level] * 2)
            elif name == 'repeat_copy':
                expected = digits[0] * int(digits[1])
                self.assertEqual((len(digits[0]), int(digits[1])), level)
            else:
                expected = digits[0][:: -1 if name == 'reverse' else 1]
            self.assertEqual(answer, f'{expected}.')

    def test_levels_of_repeat_copy_begin_with_short_answers(self):
        levels = tasks.repeat_copy(3, 4).levels
        sizes = [length * repeats for length, repeats in levels]
        self.assertEqual(sizes, sorted(sizes))
        self.assertLen(levels, 12)
        self.assertEqual(levels[-1], (3, 4))


class ProgramsTest(parameterized.TestCase):
    @parameterized.parameters(
        ('print((5*2))', 10),
        ('print((7-12))', -5),
        ('print((9 if 3<4 else 8))', 9),
        ('print((9 if (2*2)<4 else 8))', 8),
        ('a=5\nfor x in range(3):a-=4\nprint(a)', -7),
        ('b=(1+2)\nfor x in range(2):b+=b\nprint((b*10))', 120),
    )
    def test_the_interpreter_computes(self, program, expected):
        self.assertEqual(programs.Interpreter().run(program), expected)

    @parameterized.parameters('print((5+)', 'print(5', 'print(5)6', 'a 5')
    def test_the_interpreter_refuses_anything_else(self, program):
        with self.assertRaises(ValueError):
            programs.Interpreter().run(program)

    @parameterized.product(size=(1, 4), nesting=(1, 2, 5))
    def test_programs_are_python_and_print_what_python_prints(
        self, size, nesting
    ):
        task, draw = tasks.program(size, nesting), random.Random(0)
        kinds = set()
        for _ in range(100):
            program, answer = task.make(draw, (size, nesting))
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(program, {})
            self.assertEqual(printed.getvalue(), answer.replace('.', '\n'))
            kinds |= {
                kind for kind in ('if', 'for', '*', '-') if kind in program
            }
        self.assertLen(kinds, 4)

    def test_levels_begin_with_digits(self):
        levels = tasks.program(2, 2).levels
        self.assertEqual(levels, ((1, 1), (2, 1), (1, 2), (2, 2)))


class NGramsTest(parameterized.TestCase):
    @parameterized.parameters('', 't', 'he', 'xx', ' the')
    def test_the_probabilities_of_all_characters_sum_to_one(self, context):
        model = ngrams.NGrams(TEXT, 4)
        total = sum(model.probability(context, c) for c in set(TEXT))
        self.assertAlmostEqual(total, 1.0)

    @parameterized.parameters('', 'h', 'a', 'at')
    def test_characters_are_drawn_with_their_probabilities(self, context):
        model, draw = ngrams.NGrams(TEXT, 2), random.Random(0)
        number = 20_000
        drawn = [model._draw(draw, context) for _ in range(number)]
        for character in set(TEXT):
            p = model.probability(context, character)
            deviation = (number * p * (1 - p)) ** 0.5
            self.assertAlmostEqual(
                drawn.count(character), number * p, delta=4.5 * deviation + 1
            )

    def test_a_level_depends_on_as_many_characters(self):
        task = tasks.ngram_mixture('abc' * 200, 2, burn_in=5, length=20)
        loose = task.make(random.Random(0), 0)[1]
        tight = task.make(random.Random(0), 1)[1]
        self.assertNotIn(loose, 'abc' * 9)
        self.assertIn(tight, 'abc' * 9)


if __name__ == '__main__':
    absltest.main()
