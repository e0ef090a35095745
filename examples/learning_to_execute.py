"""Learning to Execute: curricula for programs, additions and copying.

    python examples/learning_to_execute.py --task=addition --size=5
    python examples/learning_to_execute.py --task=program --size=4 --nesting=3

An LSTM reads a little program, character by character, and then writes what
the program prints (Zaremba and Sutskever, 2014, arXiv 1410.4615):

    j=8584
    for x in range(8):j+=920
    b=(1500+j)
    print((b+7567))
    25011.

Only the output counts, in the loss and in the accuracy. Two things make a
program hard: the number of digits (`--size`) and the depth of nested operations
(`--nesting`). A level is a pair of the two, and the last level is the goal. The
paper has four strategies: the last level only (none), level after level
(naive), all levels alike (mix), and half naive, half mix (combined). Each
trains on the same number of examples, with several seeds.

The other tasks are simpler: addition; copy, which writes the digits that were
read; and reverse, which writes them from the last to the first.

Prints a table over the seeds, measured on held-out programs of the last level.
With matplotlib, it also draws the accuracy. Run it again and it resumes where
it stopped.
"""

import functools
import operator
import pathlib
import random
import re
import zlib

import numpy as np
from absl import flags

import tfcharrnn
from tfcharrnn import commands, curricula, startup
from tfcharrnn.comparing import comparison, report

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    'task', 'addition', ['program', 'addition', 'copy', 'reverse'], 'The task.'
)
flags.DEFINE_integer('size', 4, 'Digits of a number.', lower_bound=1)
flags.DEFINE_integer(
    'nesting', 2, 'Nested operations of a program.', lower_bound=1
)
flags.DEFINE_list('strategies', list(curricula.STRATEGIES), 'What to compare.')
flags.DEFINE_list('seeds', ['0', '1', '2'], 'The seeds of each strategy.')
flags.DEFINE_integer('steps', 3000, 'Steps of each run.')
flags.DEFINE_integer('eval_every', 100, 'Steps between evaluations.')
flags.DEFINE_float('enough', 0.95, 'The accuracy that ends a level.')
flags.DEFINE_integer('batch_size', 64, 'Examples of a batch.')
flags.DEFINE_integer('rnn_units', 128, 'Units of a layer of the LSTM.')
flags.DEFINE_integer('num_layers', 2, 'Layers of the LSTM.')
flags.DEFINE_string('model_dir', 'runs/execute', 'Folder for the runs.')

CHARACTERS = '\n ()+-*:.<=>0123456789abcdefghijklmnopqrstuvwxyz'
VARIABLES = 'abcdefghijklmnopqrstuvwyz'  # x is the loop variable.
COMPARISONS = {'<': operator.lt, '>': operator.gt}
OPERATIONS = {
    '+': operator.add,
    '-': operator.sub,
    '*': operator.mul,
    **COMPARISONS,
}
VALID_BATCHES = 10
WIDTH_STEP = 16  # Rows are padded to a multiple: few shapes to compile.


def make_program(draw, size, nesting):
    """Writes a program whose numbers have `size` digits."""
    lines, free = [], draw.sample(VARIABLES, len(VARIABLES))
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


def number(draw, size):
    return str(draw.randrange(10 ** (size - 1) if size > 1 else 0, 10**size))


class Parser:
    """Runs programs of the little language.

    program     (line '\\n')*
    line        'print(' expression ')'
                variable '=' expression
                'for x in range(' number '):' variable ('+=' | '-=') expression
    expression  term (('+' | '-' | '*' | '<' | '>') term)*  from left to right
                term 'if' expression 'else' term
    term        number | variable | '(' expression ')'
    """

    def run(self, program):
        self.values, self.printed = {}, None
        for line in program.splitlines():
            self.tokens = re.findall(r'\d+|[a-z]+|\S', line)
            self.line()
        return self.printed

    def line(self):
        word = self.tokens.pop(0)
        if word == 'print':
            self.printed = self.expression()
        elif word == 'for':
            self.expect('x', 'in', 'range', '(')
            times = int(self.tokens.pop(0))
            self.expect(')', ':')
            name, sign = self.tokens.pop(0), self.tokens.pop(0)
            self.expect('=')
            body = self.tokens
            for _ in range(times):
                self.tokens = list(body)
                change = OPERATIONS[sign](self.values[name], self.expression())
                self.values[name] = change
            self.tokens = []
        else:
            self.expect('=')
            self.values[word] = self.expression()
        self.expect_end()

    def expression(self):
        value = self.term()
        while self.tokens and self.tokens[0] in OPERATIONS:
            value = OPERATIONS[self.tokens.pop(0)](value, self.term())
        if self.tokens and self.tokens[0] == 'if':
            self.expect('if')
            holds = self.expression()
            self.expect('else')
            other = self.term()
            value = value if holds else other
        return value

    def term(self):
        token = self.tokens.pop(0)
        if token == '(':
            value = self.expression()
            self.expect(')')
            return value
        return int(token) if token.isdecimal() else self.values[token]

    def expect(self, *tokens):
        for token in tokens:
            found = self.tokens.pop(0) if self.tokens else 'the end'
            if found != token:
                raise ValueError(f'Expected {token!r}, but found {found!r}.')

    def expect_end(self):
        if self.tokens:
            raise ValueError(f'Expected no more, but found {self.tokens}.')


def make_example(draw, task, size, nesting):
    """Returns the text to read and the output to write."""
    if task == 'program':
        program = make_program(draw, size, nesting)
        return program, f'{Parser().run(program)}.'
    if task == 'addition':
        one, other = number(draw, size), number(draw, size)
        return f'print({one}+{other})\n', f'{int(one) + int(other)}.'
    digits = ''.join(draw.choices('0123456789', k=size))
    return f'{digits[:: -1 if task == "reverse" else 1]}\n', f'{digits}.'


def is_held_out(example):
    """Whether an example is for validation: a tenth, by its hash."""
    return zlib.crc32(example[0].encode()) % 10 == 0


def make_levels(task, size, nesting):
    """Lists levels (size, nesting), easiest first: digits, then depth."""
    depths = range(1, nesting + 1) if task == 'program' else [1]
    return [
        (digits, depth) for depth in depths for digits in range(1, size + 1)
    ]


def make_rows(vocabulary, examples):
    """Makes arrays of examples: inputs, targets, mask."""
    texts = [vocabulary.encode(''.join(example)) for example in examples]
    width = max(map(len, texts)) - 1
    width = -(-width // WIDTH_STEP) * WIDTH_STEP
    inputs = np.zeros([len(texts), width], np.int32)
    targets, mask = np.zeros_like(inputs), np.zeros(inputs.shape, bool)
    for row, (ids, (_, output)) in enumerate(zip(texts, examples, strict=True)):
        inputs[row, : len(ids) - 1] = ids[:-1]
        targets[row, : len(ids) - 1] = ids[1:]
        mask[row, len(ids) - 1 - len(output) : len(ids) - 1] = True
    return inputs, targets, mask


def make_batches(vocabulary, levels, length, weights, seed, held_out=False):
    """Makes batches of examples whose levels are drawn by weights.

    A batch is a function of the seed and its position, so a run that was
    stopped resumes with the same examples.
    """
    batch_size = FLAGS.batch_size

    def draw_example(draw):
        level = draw.choices(levels, weights)[0]
        for _ in range(100):
            example = make_example(draw, FLAGS.task, *level)
            if is_held_out(example) == held_out:
                break
        return example  # A small level may lack such examples.

    def draw_rows(position):
        draw = random.Random(f'{seed} {held_out} {position}')
        examples = [draw_example(draw) for _ in range(batch_size)]
        return make_rows(vocabulary, examples)

    def one_pass(pass_number, start):
        def make_batch(index):
            rows = tf.numpy_function(
                draw_rows,
                [pass_number * length + index],
                [tf.int32, tf.int32, tf.bool],
            )
            rows = [tf.ensure_shape(row, [batch_size, None]) for row in rows]
            return tfcharrnn.Batch(*rows, reset=tf.fill([batch_size], True))

        return tf.data.Dataset.range(start, length).map(make_batch)

    first = [draw_rows(position)[2] for position in range(4)]
    num_chars = int(np.mean([mask.sum() for mask in first]) * length)
    return tfcharrnn.data.Batches(
        one_pass,
        length,
        batch_size=batch_size,
        seq_length=first[0].shape[1],
        num_chars=num_chars,
    )


def run(strategy, seed, model_dir):
    """Trains with one strategy, or resumes; evaluates on the way."""
    tf.keras.utils.set_random_seed(seed)
    vocabulary = tfcharrnn.Vocabulary(CHARACTERS)
    levels = make_levels(FLAGS.task, FLAGS.size, FLAGS.nesting)
    make = functools.partial(make_batches, vocabulary, levels)
    model = tfcharrnn.CharRNN(
        len(vocabulary),
        embedding_dim=None,
        rnn_units=FLAGS.rnn_units,
        num_layers=FLAGS.num_layers,
        cell='lstm',
    )
    trainer = tfcharrnn.Trainer(
        model, tf.keras.optimizers.Adam(2e-3), clip_norm=5.0, seed=seed
    )
    model_dir.mkdir(parents=True, exist_ok=True)  # For the metrics.
    checkpointer = tfcharrnn.Checkpointer(model_dir, trainer, vocabulary)
    checkpointer.restore()
    stages = curricula.levels(
        strategy,
        lambda weights: make(FLAGS.eval_every, weights, seed),
        len(levels),
        until=lambda metrics: metrics['accuracy'] >= FLAGS.enough,
        every=FLAGS.eval_every,
        # At least half of the steps are for the last level.
        steps_per_level=max(1, FLAGS.steps // (2 * len(levels))),
    )
    last_level = np.eye(len(levels))[-1]
    valid = make(VALID_BATCHES, last_level, seed=0, held_out=True)
    each_time = [
        tfcharrnn.callbacks.Evaluate(valid),
        tfcharrnn.callbacks.JsonLines(model_dir / 'metrics.jsonl'),
        checkpointer,
    ]
    every = tfcharrnn.callbacks.every
    curricula.train(
        trainer,
        stages,
        FLAGS.steps,
        callbacks=[every(FLAGS.eval_every, each) for each in each_time],
    )


def main():
    folder = pathlib.Path(FLAGS.model_dir)
    folder /= f'{FLAGS.task}-{FLAGS.size}-{FLAGS.nesting}'
    seeds = [int(seed) for seed in FLAGS.seeds]
    draw = random.Random(0)
    for part in make_example(draw, FLAGS.task, FLAGS.size, FLAGS.nesting):
        print(part, end='')
    print()
    for strategy in FLAGS.strategies:
        for seed in seeds:
            print(f'{strategy}, seed {seed}', flush=True)
            run(strategy, seed, folder / strategy / str(seed))
    found = comparison.read(
        folder, FLAGS.strategies, seeds, metric='valid_accuracy'
    )
    table, _ = report.write(folder, found)
    print(f'\n{table}')


if __name__ == '__main__':
    commands.run(main)
