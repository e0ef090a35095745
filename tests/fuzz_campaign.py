"""Feeds random flags, files and texts to the commands and counts the outcomes.

  python tests/fuzz_campaign.py                            all of it; hours
  python tests/fuzz_campaign.py --flags=50 --files=0 --texts=20
  python tests/fuzz_campaign.py --only=flags:137           one case again

A case is good where the command does its work, or says in one sentence what is
wrong. It is lost where there is a traceback, no end within a minute, or a
wrong result without a word about it. Each case depends on the seed and its
number alone.
"""

import collections
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

import running_commands
from absl import flags
from fault_campaign import FILES, REPORTS, judge, use
from running_commands import is_sentence

from tfcharrnn import commands, evaluate, fields, generate, startup
from tfcharrnn.config import RunConfig
from tfcharrnn.generate import GenerateConfig

FLAGS = flags.FlagValues()
for name, number, text in (
    ('flags', 500, 'Random command lines of train and generate.'),
    ('files', 2000, 'Files of a run with random bytes at random places.'),
    ('texts', 500, 'Random texts to train on and to go on from.'),
    ('seed', 0, 'Of everything that is random.'),
):
    flags.DEFINE_integer(name, number, text, flag_values=FLAGS)
flags.DEFINE_string('only', '', 'PART:NUMBER of one case.', flag_values=FLAGS)

_SECONDS = 60
# What a flag may get that is neither a value nor near one.
_ODD = ('', '-1', '0', '1e300', 'nan', 'inf', '9' * 30, 'ä☃', '../..', 'a:b@c,')
# Not drawn: what would leave the folder, or need another machine.
_FIXED = {'model_dir', 'overwrite', 'strategy', 'steps', 'corpus'}


def draw_value(draw, name, setting, default):
    """Returns the text of a flag: a likely value, an edge, or nonsense."""
    kind = draw.random()
    if kind < 0.1:
        return draw.choice(_ODD)
    if default is not None and kind < 0.3:
        return setting.write(default)
    if isinstance(default, bool):
        return draw.choice(('true', 'false', 'maybe'))
    words = setting.help.rpartition('One of ')[2].rstrip('.').split(', ')
    if 'One of ' in setting.help:
        return draw.choice(words)
    if isinstance(default, float) or draw.random() < 0.3:
        return f'{draw.choice((0.1, 0.5, 1.0, 3.0, -2.0)):g}'
    return str(draw.choice((1, 2, 3, 7, 20, 65)))


def draw_flags(draw, settings):
    """Returns up to six flags of a command."""
    known = fields.settings_of(settings)
    names = draw.sample(
        [x for x in known if x not in _FIXED], draw.randint(1, 6)
    )
    return [
        f'--{name}={draw_value(draw, name, *known[name])}' for name in names
    ]


def fuzz_flags(draw, folder):
    """Runs a command with random flags in a process of its own."""
    if draw.random() < 0.7:
        given = draw_flags(draw, RunConfig)
        given += ['--corpus=play.txt', '--model_dir=run', '--steps=2']
        command = ('train', *running_commands.QUICK, *given)
    else:
        shutil.copytree(running_commands.finished()[0] + '/bard', 'run')
        given = draw_flags(draw, GenerateConfig)
        command = ('generate', '--length=9', *given, '--model_dir=run')
    process = running_commands.Process(running_commands.run_command, *command)
    try:
        _, err = process.communicate(timeout=_SECONDS)
    except TimeoutError:
        process.kill()
        process.communicate()
        return 'lost: no end', command
    status = process.returncode
    if status == 0:
        return 'done', command
    if status in (1, 2) and is_sentence(err):
        return 'a sentence', command
    return 'lost: a traceback', f'{command}\n{err[-1500:]}'


def fuzz_files(draw, folder):
    """Uses a run in one of whose files bytes have changed."""
    shutil.copytree(running_commands.finished()[0] + '/bard', 'run')
    shutil.copy(running_commands.finished()[0] + '/play.txt', 'play.txt')
    kind = draw.choice(('latest', 'best', 'evaluate'))
    shutil.copytree('run', 'sound')
    sound = use(kind, 'sound')
    patterns = draw.choice((FILES, FILES, REPORTS))
    paths = [x for p in patterns for x in pathlib.Path('run').glob(p)]
    path = draw.choice(sorted(paths))
    content = bytearray(path.read_bytes())
    for _ in range(draw.randint(1, 20) if content else 0):
        content[draw.randrange(len(content))] = draw.randrange(256)
    path.write_bytes(content)
    result = use(kind, 'run')
    name = str(path.relative_to('run'))
    outcome = judge(kind, name, result, result[:2] == sound[:2])
    return outcome, f'{kind} {name}: {result}'


def draw_text(draw):
    """Returns up to 10,000 characters from anywhere in Unicode."""
    alphabet = [
        chr(draw.choice((draw.randrange(128), draw.randrange(0x110000))))
        for _ in range(draw.randint(1, 60))
    ]
    alphabet = [x for x in alphabet if not '\ud800' <= x <= '\udfff'] or ['a']
    return ''.join(draw.choices(alphabet, k=draw.randint(0, 10_000)))


def fuzz_texts(draw, folder):
    """Trains on a text and goes on from a piece of it."""
    from tfcharrnn import train

    text = draw_text(draw).encode()
    if draw.random() < 0.1:
        text += draw.randbytes(5)
    pathlib.Path('play.txt').write_bytes(text)
    more = draw.choice(((), ('--lines',), ('--level=word',), ('--lowercase',)))
    where = ('--corpus=play.txt', '--model_dir=run')
    steps = [(train, *running_commands.QUICK, '--steps=2', *where, *more)]
    start = draw.randrange(len(text) or 1)
    pathlib.Path('prompt.txt').write_bytes(text[start : start + 20])
    steps.append((generate, '--prompt_file=prompt.txt', *where[1:]))
    steps.append((evaluate, *where[1:]))
    for command in steps:
        status, _, err = running_commands.run(*command)
        if status and not (status in (1, 2) and is_sentence(err)):
            return 'lost: a traceback', f'{command}: {err[-1500:]}'
        if status and command is steps[0]:
            return 'a sentence', err
    return 'done', ''


PARTS = {'flags': fuzz_flags, 'files': fuzz_files, 'texts': fuzz_texts}


def run_case(part, number, seed):
    """Returns what became of a case, and how to see it."""
    draw = random.Random(f'{seed} {part} {number}')
    with tempfile.TemporaryDirectory() as folder:
        with running_commands.in_folder(folder):
            pathlib.Path('play.txt').write_text(running_commands.make_text())
            return PARTS[part](draw, folder)


def main():
    """Prints a table of the outcomes; the status is 1 where a case is lost."""
    chosen = [FLAGS.only.partition(':')] if FLAGS.only else []
    cases = [(part, int(number)) for part, _, number in chosen] or [
        (part, number) for part in PARTS for number in range(FLAGS[part].value)
    ]
    outcomes, start = collections.Counter(), time.monotonic()
    for i, (part, number) in enumerate(cases):
        outcome, seen = run_case(part, number, FLAGS.seed)
        outcomes[part, outcome] += 1
        if outcome.startswith('lost') or FLAGS.only:
            print(f'{part}:{number} {outcome}: {seen}', flush=True)
        if i % 20 == 19:
            seconds = (time.monotonic() - start) / (i + 1) * (len(cases) - i)
            sys.stderr.write(
                f'{i + 1} of {len(cases)} | {seconds:.0f} s left\n'
            )
    for (part, outcome), count in sorted(outcomes.items()):
        print(f'{part:6} {outcome:28} {count:5}')
    if any(outcome.startswith('lost') for _, outcome in outcomes):
        raise ValueError('Some cases are lost, see above.')


if __name__ == '__main__':
    os.environ['CUDA_VISIBLE_DEVICES'] = '-1'
    startup.import_tensorflow()
    commands.run(main, FLAGS)
