import io
import os
import re
import sys
import types
from unittest import mock

import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn.training import progress
from tfcharrnn.training.progress import Progress

METRICS = {'loss': 1.5, 'chars_per_second': 2000.0}
VALID = {'valid_loss': 1.25, 'valid_bits_per_char': 1.8}


def at(step):
    """A trainer, as far as the line knows it."""
    return types.SimpleNamespace(step=step)


class Screen(io.StringIO):
    """A terminal: what a reader sees of it."""

    def isatty(self):
        return True

    @property
    def lines(self):
        lines = ['']
        for part in re.split(r'([\r\n])', self.getvalue()):
            if part == '\n':
                lines.append('')
                column = 0
            elif part == '\r':
                column = 0
            elif part:
                line = lines[-1]
                lines[-1] = line[:column] + part + line[column + len(part) :]
        return [line.rstrip() for line in lines]


class ProgressTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.now = 1000.0
        patch = mock.patch('time.monotonic', lambda: self.now)
        self.enter_context(patch)

    def advance(self, line, *steps, seconds_per_step=0.5):
        for step in steps:
            self.now += seconds_per_step * (step - self.step)
            self.step = step
            line(at(step), dict(METRICS))

    step = 0

    def test_a_terminal_shows_one_line_that_changes(self):
        screen = Screen()
        line = Progress(2000, screen)
        self.advance(line, 100)
        rest = 'loss 1.500 | 2,000 chars/s'
        bar = '█▌'.ljust(30)
        self.assertEqual(screen.lines, [f'step 100/2,000 ▕{bar}▏ {rest}'])
        self.advance(line, 1000)
        bar = '█████████'.ljust(18)
        self.assertEqual(
            screen.lines,
            [f'step 1,000/2,000 ▕{bar}▏ {rest} | 0:08:20 left'],
        )

    @parameterized.parameters(10, 40, 60, 80, 200)
    def test_the_line_fits_the_window(self, columns):
        screen = Screen()
        line = Progress(2000, screen)
        with mock.patch.dict(os.environ, COLUMNS=str(columns)):
            self.advance(line, 100, 1000)
        (line,) = screen.lines
        self.assertLess(len(line), columns)
        self.assertEqual('▕' in line, columns > 70)

    def test_training_without_callbacks_says_how_it_goes(self):
        for stream, wanted, says in (
            (Screen(), None, True),
            (Screen(), False, False),
            (io.StringIO(), None, False),
        ):
            trainer = toys.make_trainer(steps_per_loop=2)
            with mock.patch('sys.stdout', stream):
                trainer.train(toys.streams(), 4, progress=wanted)
            self.assertEqual('step 4/4' in stream.getvalue(), says)

    def test_callbacks_have_lines_of_their_own(self):
        trainer, screen = toys.make_trainer(steps_per_loop=2), Screen()
        streams = toys.streams()
        with mock.patch('sys.stdout', screen):
            trainer.train(streams, 4, [lambda *_: None])
            self.assertEqual(screen.getvalue(), '')
            trainer.train(streams, 8, [lambda *_: None], progress=True)
        self.assertIn('step 8/8', screen.getvalue())

    def test_a_shorter_line_covers_a_longer_one(self):
        screen = Screen()
        line = Progress(20, screen)
        line(at(1), {**METRICS, 'chars_per_second': 1e9})
        line(at(1), {**METRICS, 'chars_per_second': 1.0})
        bar = '█▌'.ljust(30)
        self.assertEqual(
            screen.lines, [f'step 1/20 ▕{bar}▏ loss 1.500 | 1 chars/s']
        )

    @parameterized.parameters(Screen, io.StringIO)
    def test_a_validation_gets_a_line_that_stays(self, make):
        stream = make()
        line = Progress(20, stream)
        line(at(10), dict(METRICS))
        line(at(10), {**METRICS, **VALID})
        line(at(20), {**METRICS, **VALID})
        line.close()
        lines = getattr(stream, 'lines', stream.getvalue().split('\n'))
        self.assertLen(lines, 3)
        validation = 'validation 1.250 nats, 1.803 bits per character'
        self.assertStartsWith(
            lines[0], f'step 10/20 | loss 1.500 | {validation}'
        )
        self.assertStartsWith(
            lines[1], f'step 20/20 | loss 1.500 | {validation}'
        )
        self.assertEqual(lines[2], '')

    def test_elsewhere_a_line_from_time_to_time(self):
        stream = io.StringIO()
        line = Progress(1000, stream)
        self.advance(line, *range(10, 401, 10), seconds_per_step=0.5)
        lines = stream.getvalue().splitlines()
        # 200 seconds are enough for six lines that are 30 seconds apart.
        self.assertBetween(len(lines), 4, 6)
        self.assertNotIn('\r', stream.getvalue())

    @parameterized.parameters(
        (0.5, 50, '0:00:25 left'),
        (0.01, 50, '0:00:00 left'),
        (72.0, 50, '1:00:00 left'),
        (7200.0, 50, '4 days, 4:00:00 left'),
        (0.5, 100, '0:00:00 left'),
    )
    def test_the_time_left_is_that_of_the_steps_left(self, each, step, left):
        screen = Screen()
        line = Progress(100, screen)
        steps = [1, 2, 4, 8, 16, 32, 50, step]
        self.advance(line, *steps, seconds_per_step=each)
        self.assertEndsWith(screen.lines[-1], f'| {left}')

    def test_the_time_left_follows_a_change_of_speed(self):
        screen = Screen()
        line = Progress(1000, screen)
        self.advance(line, *range(1, 101), seconds_per_step=10.0)
        self.advance(line, *range(101, 201), seconds_per_step=0.5)
        self.assertEndsWith(screen.lines[-1], '| 0:06:40 left')

    def test_the_time_before_a_restart_does_not_count(self):
        screen = Screen()
        line = Progress(1000, screen)
        self.step = 900
        self.advance(line, 901, 951)
        self.assertEndsWith(screen.lines[-1], '| 0:00:24 left')

    def test_close_ends_a_line_that_is_not_ended(self):
        screen = Screen()
        line = Progress(20, screen)
        line.close()
        self.assertEqual(screen.getvalue(), '')
        line(at(1), dict(METRICS))
        line.close()
        line.close()
        self.assertEqual(screen.getvalue().count('\n'), 1)
        self.assertEndsWith(screen.getvalue(), '\n')


class NotebookTest(tf.test.TestCase):
    def test_a_notebook_has_one_live_line_below_those_that_stay(self):
        shown = []
        handle = types.SimpleNamespace(update=lambda text: shown.append(text))
        display = types.SimpleNamespace(
            Pretty=str,
            display=lambda text, display_id: shown.append(text) or handle,
        )
        ipython = types.ModuleType('IPython')
        ipython.get_ipython = lambda: types.SimpleNamespace(kernel=1)
        ipython.display = display
        with mock.patch.dict(sys.modules, {'IPython': ipython}):
            self.assertTrue(progress.is_live())
            line = Progress(20)
            line(at(5), dict(METRICS))
            line(at(10), {**METRICS, **VALID})
            line(at(15), dict(METRICS))
            line.close()
        self.assertLen(shown, 3)
        self.assertStartsWith(shown[0], 'step 5/20 ▕')
        kept, live = shown[-1].split('\n')
        self.assertStartsWith(kept, 'step 10/20 | loss 1.500 | validation')
        self.assertStartsWith(live, 'step 15/20 ▕')


if __name__ == '__main__':
    tf.test.main()
