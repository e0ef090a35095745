"""Programs: a little language whose programs print a number."""

from __future__ import annotations

import operator
import random
import re

from tfcharrnn import checks
from tfcharrnn.tasks.digits import number
from tfcharrnn.tasks.task import Task

_CHARACTERS = '\n ()+-*:.<=>0123456789abcdefghijklmnopqrstuvwxyz'
_VARIABLES = 'abcdefghijklmnopqrstuvwyz'  # x is the loop variable.
_OPERATIONS = {
    '+': operator.add,
    '-': operator.sub,
    '*': operator.mul,
    '<': operator.lt,
    '>': operator.gt,
}


def program(size: int, nesting: int) -> Task:
    r"""Reads a little program, and writes what it prints.

        j=8584
        for x in range(8):j+=920
        b=(1500+j)
        print((b+7567))
        25011.

    The task of Zaremba and Sutskever, "Learning to Execute" (2014,
    https://arxiv.org/abs/1410.4615). Two things make a program hard: how many
    digits its numbers have, and how deep its operations are nested.

    >>> program(2, 2).example(seed=0, number=0)
    Example(given='print((99+(72-62)))\n', answer='109.')

    Args:
        size: Digits of a number at the last level.
        nesting: Nested operations at the last level. A level is a pair
            (digits, depth); they grow in digits first, then in depth.
    """

    def make(draw, level):
        text = write_program(draw, *level)
        return text, f'{Interpreter().run(text)}.'

    digits, depths = (
        range(1, checks.whole_number(name, value) + 1)
        for name, value in (('size', size), ('nesting', nesting))
    )
    levels = [(digit, depth) for depth in depths for digit in digits]
    return Task('program', _CHARACTERS, levels, make)


def write_program(draw: random.Random, size: int, nesting: int) -> str:
    """Writes a program at random.

    Args:
        draw: Where random numbers come from.
        size: Digits of its numbers.
        nesting: Operations in it.
    """
    lines, free = [], draw.sample(_VARIABLES, len(_VARIABLES))
    value = number(draw, size)
    for _ in range(nesting):
        other, small = number(draw, size), str(draw.randint(1, 4 * size))
        kind = draw.choice(['+', '-', '*', 'if', 'for', '='])
        pair = [value, other]
        draw.shuffle(pair)
        if kind in '+-':
            value = f'({pair[0]}{kind}{pair[1]})'
        elif kind == '*':
            value = f'({value}*{small})'
        elif kind == 'if':
            sign, last = draw.choice('<>'), number(draw, size)
            value = f'({pair[0]} if {pair[1]}{sign}{last} else {other})'
        else:
            lines.append(f'{free[-1]}={value}')
            value = free.pop()
        if kind == 'for':
            sign = draw.choice('+-')
            lines.append(f'for x in range({small}):{value}{sign}={other}')
    return ''.join(f'{line}\n' for line in [*lines, f'print({value})'])


class Interpreter:
    r"""Runs programs of the little language.

    program     (line '\n')*
    line        'print(' expression ')'
                variable '=' expression
                'for x in range(' number '):' variable ('+=' | '-=') expression
    expression  term (('+' | '-' | '*' | '<' | '>') term)*  from left to right
                term 'if' expression 'else' term
    term        number | variable | '(' expression ')'
    """

    def run(self, program: str) -> int | None:
        r"""Returns what a program prints last.

        >>> Interpreter().run('a=5\nfor x in range(3):a-=4\nprint(a)')
        -7

        Raises:
            ValueError: If it is no program of the language.
        """
        self._values, self._printed = {}, None
        for line in program.splitlines():
            self._tokens = re.findall(r'\d+|[a-z]+|\S', line)
            try:
                self._line()
            except (KeyError, IndexError) as error:
                raise ValueError(
                    f'{line!r} is no line of a program: {error!r}.'
                ) from error
        return self._printed

    def _line(self):
        word = self._tokens.pop(0)
        if word == 'print':
            self._printed = self._expression()
        elif word == 'for':
            self._expect('x', 'in', 'range', '(')
            times = int(self._tokens.pop(0))
            self._expect(')', ':')
            name, sign = self._tokens.pop(0), self._tokens.pop(0)
            self._expect('=')
            body = self._tokens
            for _ in range(times):
                self._tokens = list(body)
                change = _OPERATIONS[sign](
                    self._values[name], self._expression()
                )
                self._values[name] = change
            self._tokens = []
        else:
            self._expect('=')
            self._values[word] = self._expression()
        self._expect_end()

    def _expression(self):
        value = self._term()
        while self._tokens and self._tokens[0] in _OPERATIONS:
            value = _OPERATIONS[self._tokens.pop(0)](value, self._term())
        if self._tokens and self._tokens[0] == 'if':
            self._expect('if')
            holds = self._expression()
            self._expect('else')
            other = self._term()
            value = value if holds else other
        return value

    def _term(self):
        token = self._tokens.pop(0)
        if token == '(':
            value = self._expression()
            self._expect(')')
            return value
        return int(token) if token.isdecimal() else self._values[token]

    def _expect(self, *tokens):
        for token in tokens:
            found = self._tokens.pop(0) if self._tokens else 'the end'
            if found != token:
                raise ValueError(f'Expected {token!r}, but found {found!r}.')

    def _expect_end(self):
        if self._tokens:
            raise ValueError(f'Expected no more, but found {self._tokens}.')
