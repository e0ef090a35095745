"""Feeds random flags, files and texts to the commands and counts the outcomes.

  python tests/fuzz_campaign.py                            all of it; an hour
  python tests/fuzz_campaign.py --flags=50 --files=0 --texts=20
  python tests/fuzz_campaign.py --only=flags:137           one case again
  python tests/fuzz_campaign.py --minutes=20             what there is time for

A case is good where the command does its work, or says in one sentence what is
wrong. It is lost where there is a traceback, no end within a minute of the
processor's time, or a wrong result without a word about it. Each case depends
on the seed and its number alone.

Many cases follow each other in a process, which saves the seconds that
TensorFlow needs to start. A process that dies or does not end loses the case
that it was at, and the next one takes what is left.
"""

import collections
import functools
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

import numpy as np
import running_commands
from absl import flags
from damages import FILES, REPORTS, judge, use
from running_commands import is_sentence

import tfcharrnn
from tfcharrnn import commands, evaluate, export, fields, generate, startup
from tfcharrnn import train as train_command
from tfcharrnn.config import RunConfig
from tfcharrnn.evaluate import EvaluateConfig
from tfcharrnn.export import ExportConfig
from tfcharrnn.generate import GenerateConfig

FLAGS = flags.FlagValues()
for name, number, text in (
    ('flags', 500, 'Random command lines.'),
    ('files', 2000, 'Files of a run with random bytes at random places.'),
    ('texts', 500, 'Random texts to train on and to go on from.'),
    ('seed', 0, 'Of everything that is random.'),
    ('minutes', 0, 'After which no case begins; 0: all of them.'),
):
    flags.DEFINE_integer(name, number, text, flag_values=FLAGS)
flags.DEFINE_string('only', '', 'PART:NUMBER of one case.', flag_values=FLAGS)

_PER_PROCESS = 50
# Of the processor; and by the clock, since others may use the processor, too.
_SECONDS = 60
_CLOCK_SECONDS = 600
# What a flag may get that is neither a value nor near one.
_ODD = ('', '-1', '0', '1e300', 'nan', 'inf', '9' * 30, 'ä☃', '../..', 'a:b@c,')
_NUMBERS = '-2', '-1', '0', '1', '2', '3', '7', '20', '65', '0.1', '0.5', '3.5'
# Not drawn: what would leave the folder, or need another machine.
_FIXED = {'model_dir', 'overwrite', 'strategy', 'steps', 'corpus', 'out'}
# What is more than a number or a word.
_EXAMPLES = {
    'average': ('0.9', 'tail:0.25', 'tail:2'),
    'checkpoint': ('best', 'run/ckpt-10', 'run', 'nowhere'),
    'curriculum': (
        'length:2@1,10',
        'length:3@1,2@2,10',
        'easiest:rarity,competence=0.1@3',
        'hardest:length,competence=0.1@3',
        'vocabulary:3@1,all',
        'mix:play.txt=1,play.txt=0.5',
        'mix:play.txt=linear:1:0.2:4',
        'bandit:prediction,play.txt,prompt.txt',
        'teacher:online,play.txt,prompt.txt',
        'nothing.py:at_all',
    ),
    'dropout': ('0.2', 'output:0.3', 'embedding:0.1,layers:0.2'),
    'dropout_schedule': ('linear:0:1:2', '0.5'),
    'lr_schedule': ('cosine', 'linear', '1e-3@2,1e-4', 'cycles:2'),
    'weight_decay': ('0.1', 'linear:0.3:0:2'),
    'prompt': ('to be', '\\n', 'ä☃'),
    'stop': ('\\n', 'e', 'to be'),
    'text': ('to be', '\\n', 'ä☃'),
    'prompt_file': ('prompt.txt', 'nowhere', '.'),
    'text_file': ('prompt.txt', 'nowhere', '.'),
    'adapt_to': ('play.txt', 'nowhere', '.'),
    'init_from': ('nowhere', '.', 'play.txt'),
    'temperatures': ('0,1', '0.5', '1,'),
    'temperature': ('0,1', '0.5', '1,'),
    'encoding': ('latin-1', 'utf-16', 'nothing'),
    'sampling_probability': ('0.5', 'linear:0:1:2'),
    'weights': ('0.5,0.5', '1', '-1,2'),
    'precision': ('float32', 'int8', 'bfloat16', 'auto'),
}


def draw_value(draw, name, setting, default):
    """Returns the text of a flag: a likely value, an edge, or nonsense."""
    kind = draw.random()
    if kind < 0.05:
        return draw.choice(_ODD)
    if default is not None and kind < 0.15:
        return setting.write(default)
    if name in _EXAMPLES:
        return draw.choice(_EXAMPLES[name])
    if isinstance(default, bool):
        return draw.choice(('true', 'true', 'true', 'false', 'maybe'))
    if 'One of ' in setting.help:
        words = setting.help.rpartition('One of ')[2].rstrip('.').split(', ')
        return draw.choice(words)
    within = [x for x in _NUMBERS if is_within(setting, name, x)]
    beyond = [x for x in _NUMBERS if x not in within]
    return draw.choice(within if within and kind < 0.93 else beyond or within)


def is_within(setting, name, text):
    """Returns whether a setting takes a value."""
    try:
        fields.parse(setting, name, text)
    except ValueError:
        return False
    return True


def draw_flags(draw, settings):
    """Returns up to six flags of a command."""
    known = fields.settings_of(settings)
    free = [x for x in known if x not in _FIXED]
    names = draw.sample(free, min(draw.randint(1, 6), len(free)))
    return [
        f'--{name}={draw_value(draw, name, *known[name])}' for name in names
    ]


def fuzz_flags(draw, bard):
    """Runs a command with random flags."""
    pathlib.Path('prompt.txt').write_text('to be or not to be\n' * 9)
    name = draw.choices(tuple(COMMANDS), (10, 5, 3, 2))[0]
    module, settings, fixed = COMMANDS[name]
    arguments = *fixed, *draw_flags(draw, settings)
    if module is train_command:
        arguments = *running_commands.QUICK, *arguments, '--steps=2'
    else:
        shutil.copytree(bard, 'run')
    status, out, err = running_commands.run(module, *arguments)
    seen = f'{name} {" ".join(arguments)}\n{err[-1500:]}'
    if status in (1, 2) and is_sentence(err):
        return 'a sentence', seen
    if status or 'Traceback' in err:
        return 'lost: a traceback', seen
    if wrong := WRONG[name](arguments, out):
        return 'lost: a wrong result', f'{wrong} {seen}'
    return 'done', seen


def wrong_run(arguments, out):
    """Says what is wrong with a run of `train` that ended well."""
    model, _ = tfcharrnn.load_model('run')
    if not all(np.isfinite(v.numpy()).all() for v in model.variables):
        return 'Weights are not finite.'
    given = fields.parse_flags(RunConfig, arguments)
    text = pathlib.Path('run/run.flags').read_text('utf-8').splitlines()
    kept = fields.parse_flags(RunConfig, [x for x in text if x[:1] == '-'])
    defaults = {k: d for k, (_, d) in fields.settings_of(RunConfig).items()}
    for name in given.keys() - _FIXED - {'precision', 'seq_length'}:
        if kept.get(name, defaults[name]) != given[name]:
            return f'run.flags has another {name}.'
    return ''


def wrong_text(arguments, out):
    """Says what is wrong with what `generate` wrote: one seed, one text."""
    again = running_commands.run(generate, *arguments)[1]
    seeded = any(x.startswith('--seed=') for x in arguments)
    return 'The same seed, another text.' if seeded and again != out else ''


def wrong_measures(arguments, out):
    """Says what is wrong with the numbers of `evaluate`."""
    return '' if out and 'nan' not in out else f'It prints {out!r}.'


def wrong_export(arguments, out):
    """Says what is wrong with an exported file: it is not there."""
    return '' if os.path.exists('out') else 'Nothing is written.'


COMMANDS = {
    'train': (
        train_command,
        RunConfig,
        ('--corpus=play.txt', '--model_dir=run'),
    ),
    'generate': (generate, GenerateConfig, ('--length=9', '--model_dir=run')),
    'evaluate': (evaluate, EvaluateConfig, ('--model_dir=run',)),
    'export': (
        export,
        ExportConfig,
        ('--model_dir=run', '--out=out', '--format=safetensors'),
    ),
}
WRONG = {
    'train': wrong_run,
    'generate': wrong_text,
    'evaluate': wrong_measures,
    'export': wrong_export,
}


def fuzz_files(draw, bard):
    """Uses a run in one of whose files bytes have changed."""
    kind = draw.choices(tuple(USES_WEIGHTS), tuple(USES_WEIGHTS.values()))[0]
    shutil.copytree(bard, 'run')
    patterns = draw.choice((FILES, FILES, REPORTS))
    paths = [x for p in patterns for x in pathlib.Path('run').glob(p)]
    path = draw.choice(sorted(paths))
    path.write_bytes(damaged(draw, path.read_bytes()))
    result = use(kind, 'run')
    name = str(path.relative_to('run'))
    outcome = judge(kind, name, result, result[:2] == sound(kind, bard)[:2])
    return outcome, f'{kind} {name}: {result}'


def damaged(draw, content):
    """Changes up to 20 bytes to any; or one letter or digit to its neighbour.

    After the latter, a file still has its form, and only says what is wrong.
    """
    content = bytearray(content)
    plain = [i for i, x in enumerate(content) if chr(x).isalnum() and x < 128]
    if plain and draw.random() < 0.5:
        content[draw.choice(plain)] ^= 1
        return bytes(content)
    for _ in range(draw.randint(1, 20) if content else 0):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


@functools.cache
def sound(kind, bard):
    """Uses a run in which nothing has changed."""
    shutil.copytree(bard, 'sound')
    return use(kind, 'sound')


# Most files are read alike by all; `train` and `evaluate` take longer.
USES_WEIGHTS = {'latest': 10, 'best': 6, 'evaluate': 2, 'train': 1}


def draw_text(draw):
    """Returns up to 10,000 characters from anywhere in Unicode."""
    alphabet = [
        chr(draw.choice((draw.randrange(128), draw.randrange(0x110000))))
        for _ in range(draw.randint(1, 60))
    ]
    alphabet = [x for x in alphabet if not '\ud800' <= x <= '\udfff'] or ['a']
    alphabet += ['\n', ' '] if draw.random() < 0.9 else []
    return ''.join(draw.choices(alphabet, k=draw.randint(0, 10_000)))


def fuzz_texts(draw, bard):
    """Trains on a text and goes on from a piece of it."""
    text = draw_text(draw).encode()
    if draw.random() < 0.1:
        text += draw.randbytes(5)
    pathlib.Path('play.txt').write_bytes(text)
    more = draw.choice(((), ('--lines',), ('--level=word',), ('--lowercase',)))
    where = ('--corpus=play.txt', '--model_dir=run')
    quick = running_commands.QUICK
    steps = [(train_command, *quick, '--steps=2', *where, *more)]
    start = draw.randrange(len(text) or 1)
    prompt = text[start : start + 20]
    pathlib.Path('prompt.txt').write_bytes(prompt)
    given = '--prompt_file=prompt.txt', '--length=9', '--seed=1'
    steps.append((generate, *given, '--precision=float32', *where[1:]))
    if draw.random() < 0.2:
        steps.append((evaluate, *where[1:]))
    for module, *arguments in steps:
        status, out, err = running_commands.run(module, *arguments)
        seen = f'{module.__name__} {arguments}: {err[-1500:]}'
        if status and not (status in (1, 2) and is_sentence(err)):
            return 'lost: a traceback', seen
        if status and module is train_command:
            return 'a sentence', seen
        if status:
            continue
        if module is generate and not more:
            begin = prompt.decode('utf-8-sig')
            if not out.startswith(begin):
                return 'lost: a wrong result', f'{begin!r} {out!r} {seen}'
        if module is evaluate and 'nan' in out:
            return 'lost: a wrong result', f'{out!r} {seen}'
    return 'done', ''


PARTS = {'flags': fuzz_flags, 'files': fuzz_files, 'texts': fuzz_texts}


def run_case(part, number, *, seed, bard):
    """Returns what became of a case, and how to see it.

    Args:
        part: Of `PARTS`.
        number: Of the case.
        seed: Of all cases.
        bard: A run that is finished, to be copied.
    """
    draw = random.Random(f'{seed} {part} {number}')
    with tempfile.TemporaryDirectory() as folder:
        with running_commands.in_folder(folder):
            pathlib.Path('play.txt').write_text(running_commands.make_text())
            return PARTS[part](draw, bard)


def work(notes, bard, seed, *cases):
    """Runs cases in this process; notes when each begins, and its outcome."""
    tf = startup.import_tensorflow()
    tf.get_logger().setLevel('ERROR')
    for case in cases:
        note_begin(notes, case)
        part, _, number = case.partition(':')
        outcome, seen = run_case(part, int(number), seed=int(seed), bard=bard)
        write_note(notes, {'case': case, 'outcome': outcome, 'seen': seen})


def note_begin(notes, case):
    """Notes that a case begins, and what this process has used so far."""
    write_note(notes, {'case': case, 'seconds': time.process_time()})


def write_note(notes, note):
    """Adds a line to the notes of a process."""
    with open(notes, 'a') as file:
        file.write(json.dumps(note) + '\n')


class Worker:
    """A process that runs cases, and is killed where one does not end."""

    def __init__(self, folder, bard, cases, work=work):
        """Starts it."""
        self._notes = pathlib.Path(tempfile.mkstemp(dir=folder)[1])
        self._process = running_commands.Process(
            work, str(self._notes), bard, str(FLAGS['seed'].value), *cases
        )

    def outcomes(self):
        """Yields (case, outcome, seen) until it ends."""
        number_seen, begun, since = 0, None, time.monotonic()
        while True:
            ended = self._process.poll() is not None
            notes = self._notes.read_text().splitlines()
            for note in map(json.loads, notes[number_seen:]):
                since = time.monotonic()
                begun = None if 'outcome' in note else note
                if not begun:
                    yield note['case'], note['outcome'], note['seen']
            number_seen = len(notes)
            if ended:
                break
            if begun and self._is_too_long(begun['seconds'], since):
                self._process.kill()
                self._process.communicate()
                yield begun['case'], 'lost: no end', ''
                return
            time.sleep(0.1)
        _, err = self._process.communicate()
        if begun:
            yield begun['case'], 'lost: died', err[-1500:]
        elif self._process.returncode:
            raise RuntimeError(err)

    def _is_too_long(self, begin, since):
        path = pathlib.Path(f'/proc/{self._process.pid}/stat')
        try:
            numbers = path.read_text().rpartition(')')[2].split()
        except OSError:  # It has just ended.
            return False
        ticks = int(numbers[11]) + int(numbers[12])
        used = ticks / os.sysconf('SC_CLK_TCK') - begin
        return used > _SECONDS or time.monotonic() - since > _CLOCK_SECONDS


def list_cases():
    """Returns the names of all cases, of each part in turn."""
    if FLAGS.only:
        return [FLAGS.only]
    named = [
        (number / FLAGS[part].value, f'{part}:{number}')
        for part in PARTS
        for number in range(FLAGS[part].value)
    ]
    # Mixed, so that a campaign that ends early has some of each.
    return [case for _, case in sorted(named)]


def main():
    """Prints a table of the outcomes; the status is 1 where a case is lost."""
    # A campaign that is told to end tells what it has found so far.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    outcomes = collections.Counter()
    try:
        run_cases(collections.deque(list_cases()), outcomes)
    finally:
        for (part, outcome), count in sorted(outcomes.items()):
            print(f'{part:6} {outcome:28} {count:5}', flush=True)
    if any(outcome.startswith('lost') for _, outcome in outcomes):
        raise ValueError('Some cases are lost, see above.')


def run_cases(cases, outcomes):
    """Runs the cases that there is time for, and counts their outcomes."""
    total, start = len(cases), time.monotonic()
    bard = os.path.join(running_commands.finished()[0], 'bard')
    with tempfile.TemporaryDirectory() as folder:
        while cases:
            minutes = (time.monotonic() - start) / 60.0
            if FLAGS.minutes and minutes > FLAGS.minutes:
                break
            some = [cases[i] for i in range(min(_PER_PROCESS, len(cases)))]
            worker = Worker(folder, bard, some)
            for case, outcome, seen in worker.outcomes():
                cases.remove(case)
                outcomes[case.partition(':')[0], outcome] += 1
                if outcome.startswith('lost') or FLAGS.only:
                    print(f'{case} {outcome}: {seen}', flush=True)
            done = total - len(cases)
            seconds = (time.monotonic() - start) / done * len(cases)
            sys.stderr.write(f'{done} of {total} | {seconds:.0f} s left\n')


if __name__ == '__main__':
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    startup.import_tensorflow()
    commands.run(main, FLAGS)
