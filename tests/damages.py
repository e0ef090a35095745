"""Files of a run that are damaged, and what becomes of whoever uses it."""

import fnmatch
import pathlib
import re

from running_commands import is_sentence, run, weights

from tfcharrnn import evaluate, generate, train

# All that a run of 20 steps writes; what only reports must never do harm.
FILES = (
    'model.json',
    'vocabulary.json',
    'run.flags',
    'checkpoint',
    'ckpt-10.index',
    'ckpt-10.data-00000-of-00001',
    'ckpt-20.index',
    'ckpt-20.data-00000-of-00001',
    'best/checkpoint',
    'best/ckpt-20.index',
    'best/ckpt-20.data-00000-of-00001',
)
REPORTS = (
    '.lock',
    'metrics.jsonl',
    'samples.txt',
    'train/events.*',
    'valid/events.*',
)
# Ways to use a run.
_TEXT = ('--seed=1', '--length=20')
USES = {
    'train': (train, '--steps=30'),
    'latest': (generate, *_TEXT),
    'best': (generate, *_TEXT, '--checkpoint=best'),
    'evaluate': (evaluate,),
}


def flip(content, draw):
    """Flips one bit."""
    flipped = bytearray(content)
    if content:  # A lock has none.
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(flipped)


DAMAGES = {
    'truncated': lambda content, draw: content[: len(content) // 2],
    'emptied': lambda content, draw: b'',
    'bit flipped': flip,
    'replaced': lambda content, draw: b'to be or not to be\n' * 99,
    'garbled': lambda content, draw: draw.randbytes(len(content) or 99),
}
KINDS = *DAMAGES, "another run's", 'deleted'


def use(kind: str, model_dir: str, *arguments: str) -> tuple[int, str, str]:
    """Uses a run; returns the status, what it came to, and the errors."""
    command, *given = USES[kind]
    arguments = (f'--model_dir={model_dir}', *given, *arguments)
    status, out, err = run(command, *arguments)
    if command is train:
        out = '' if status else weights(model_dir)
    return status, out, err


def judge(
    kind: str, name: str, result: tuple[int, str, str], same: bool
) -> str:
    """Names what became of a damaged file."""
    status, _, err = result
    # A checkpoint is named without its endings.
    named = re.sub(r'\.(index|data-.*)$', '', name) in err
    if status == 0 and same:
        return 'went back, said so' if 'Warning' in err else 'did no harm'
    if pattern_of(name) in REPORTS:
        return 'lost'
    if status == 0 and kind != 'train' and named and 'Warning' in err:
        return 'went back, said so'
    if status == 1 and is_sentence(err) and named:
        return 'an error that names it'
    return 'lost'


def pattern_of(name: str) -> str:
    """Returns which of the files of a run this is."""
    [pattern] = (x for x in FILES + REPORTS if fnmatch.fnmatch(name, x))
    return pattern


def list_files(model_dir: str) -> list[str]:
    """Lists the files of a run; raises if they are not those that are known."""
    paths = sorted(pathlib.Path(model_dir).rglob('*'))
    names = [str(x.relative_to(model_dir)) for x in paths if x.is_file()]
    patterns = [pattern_of(name) for name in names]
    if sorted(patterns) != sorted(FILES + REPORTS):
        raise ValueError(f'A run has the files {names}.')
    return names
