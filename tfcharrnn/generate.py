r"""Writes text with a trained model.

Usage: python -m tfcharrnn.generate --model_dir=DIR [--prompt=TEXT] [--flag=...]

The prompt and what follows it go to standard output; a single text appears
while it is being written. Messages go to standard error. For example:

  500 characters of a play, somewhat less random than the model's distribution:
    python -m tfcharrnn.generate --model_dir=runs/bard --prompt='ROMEO: ' \
        --length=500 --temperature=0.8

  The same prompt at three temperatures, each text under a heading:
    python -m tfcharrnn.generate --model_dir=runs/bard --prompt='ROMEO: ' \
        --temperature=0.2,0.5,1.0

  Ten verses from the best checkpoint, each ending with its line:
    python -m tfcharrnn.generate --model_dir=runs/bard --checkpoint=best \
        --stop='\n' --num_samples=10

A model of lines (--lines or --csv_column in training) writes one line, and the
text ends with it unless --stop says otherwise.
"""

import secrets
import sys

from absl import flags

from tfcharrnn import commands

# Not the global flags, so that several commands can be imported side by side.
FLAGS = flags.FlagValues()

MODEL_DIR = flags.DEFINE_string(
    'model_dir',
    None,
    'The directory that tfcharrnn.train wrote. Required.',
    flag_values=FLAGS,
)
CHECKPOINT = flags.DEFINE_string(
    'checkpoint',
    'latest',
    'latest, best (on validation), or the path of a checkpoint.',
    flag_values=FLAGS,
)
PROMPT = flags.DEFINE_string(
    'prompt',
    None,
    'The beginning of the text; \\n is a newline, \\t a tab, \\\\ a backslash. '
    'Without a prompt the model writes what follows a newline.',
    flag_values=FLAGS,
)
PROMPT_FILE = flags.DEFINE_string(
    'prompt_file',
    None,
    'A UTF-8 file with the prompt, used unchanged, with its last newline; '
    '- is standard input.',
    flag_values=FLAGS,
)
LENGTH = flags.DEFINE_integer(
    'length',
    500,
    'How many characters to write after the prompt, at most.',
    lower_bound=0,
    flag_values=FLAGS,
)
TEMPERATURE = flags.DEFINE_list(
    'temperature',
    ['1.0'],
    "0 is greedy, 1 samples the model's distribution, higher is more random; "
    'or several, separated by commas.',
    flag_values=FLAGS,
)
TOP_K = flags.DEFINE_integer(
    'top_k',
    None,
    'Draw from this many of the most probable characters only.',
    lower_bound=1,
    flag_values=FLAGS,
)
TOP_P = flags.DEFINE_float(
    'top_p',
    None,
    'Draw from the most probable characters that together have this '
    'probability only.',
    lower_bound=0.0,
    upper_bound=1.0,
    flag_values=FLAGS,
)
STOP = flags.DEFINE_string(
    'stop',
    None,
    'End the text before this string when the model writes it; \\n, \\t and '
    '\\\\ as in --prompt.',
    flag_values=FLAGS,
)
NUM_SAMPLES = flags.DEFINE_integer(
    'num_samples',
    1,
    'How many different texts to write, each under a heading.',
    lower_bound=1,
    flag_values=FLAGS,
)
SEED = flags.DEFINE_integer(
    'seed',
    None,
    'The same seed writes the same text. The default is a random seed, which '
    'is reported on standard error.',
    flag_values=FLAGS,
)

flags.register_validator(
    'model_dir',
    bool,
    message='Give the directory of a trained model',
    flag_values=FLAGS,
)
flags.register_multi_flags_validator(
    ['prompt', 'prompt_file'],
    lambda given: None in given.values(),
    message='Give a prompt or a file with one, not both',
    flag_values=FLAGS,
)


@flags.validator(
    'temperature',
    message='Give a number, or several separated by commas',
    flag_values=FLAGS,
)
def _are_numbers(values):
    try:
        return bool([float(value) for value in values])
    except ValueError:
        return False


def main() -> None:
    """Writes the texts that the flags ask for."""
    prompt = _read_prompt()
    seed = secrets.randbits(32) if SEED.value is None else SEED.value
    if NUM_SAMPLES.value == 1:
        commands.set_threads()
    commands.import_tensorflow()
    from tfcharrnn.generation.generator import Generator

    assert MODEL_DIR.value is not None  # Its validator has refused that.
    generator = Generator.from_checkpoint(MODEL_DIR.value, CHECKPOINT.value)
    stop = None if STOP.value is None else commands.unescape(STOP.value)
    num_blocks = len(TEMPERATURE.value) * NUM_SAMPLES.value
    for temperature in TEMPERATURE.value:
        texts = _write(
            generator,
            prompt,
            temperature=float(temperature),
            top_k=TOP_K.value,
            top_p=TOP_P.value,
            stop=stop,
            seed=seed,
        )
        for number, text in enumerate(texts, 1):
            if num_blocks > 1:
                print(_heading(temperature, number))
            for piece in text:
                print(piece, end='', flush=True)
            print(flush=True)
    if SEED.value is None:
        sys.stderr.write(f'To write this again: --seed={seed}\n')


def _write(generator, prompt, **keywords):
    """Returns texts, each as an iterable of its pieces."""
    if NUM_SAMPLES.value == 1:
        return [generator.stream(prompt, LENGTH.value, **keywords)]
    texts = generator.generate(
        prompt, LENGTH.value, num_samples=NUM_SAMPLES.value, **keywords
    )
    return [[text] for text in texts]


def _heading(temperature, number):
    heading = f'temperature {temperature}'
    if NUM_SAMPLES.value > 1:
        heading += f', sample {number} of {NUM_SAMPLES.value}'
    return f'----- {heading} -----'


def _read_prompt():
    path = PROMPT_FILE.value
    if path is None:
        return commands.unescape(PROMPT.value or '')
    if path == '-':
        data = sys.stdin.buffer.read()
    else:
        with open(path, 'rb') as file:
            data = file.read()
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The prompt in '{path}' is not valid UTF-8: the byte at offset "
            f'{error.start} is {data[error.start]:#04x}. Save it as UTF-8.'
        ) from error


if __name__ == '__main__':
    commands.run(main, FLAGS)
