"""Writes a text some of whose lines are noise, but for its end.

    python examples/curricula/noisy_lines.py --share=0.3 --output=noisy.txt
    python -m tfcharrnn.experiment \\
        --flagfile=examples/curricula/wu2021_short.flags \\
        --corpus=noisy.txt --model_dir=runs/wu2021/short-noisy

In a share of the lines of the first part, each character is drawn at random
from all characters of the text. The last part, in which a run with
`--valid_fraction=0.1` finds its validation text, stays as it is.
"""

import pathlib
import random

from absl import flags

from tfcharrnn import Corpus, commands

FLAGS = flags.FLAGS
flags.DEFINE_string('corpus', 'python', 'The text.')
flags.DEFINE_float(
    'share', 0.3, 'Share of the lines that become noise.', 0.0, 1.0
)
flags.DEFINE_float('clean', 0.12, 'Share at the end that stays.', 0.0, 1.0)
flags.DEFINE_integer('seed', 0, 'Seed of the noise.')
flags.DEFINE_string('output', 'noisy.txt', 'The file that is written.')
flags.DEFINE_boolean('overwrite', False, 'Replaces the file if it is there.')


def main():
    path = pathlib.Path(FLAGS.output)
    if path.exists() and not FLAGS.overwrite:
        raise ValueError(
            f"There is a '{path}': give another --output, or --overwrite."
        )
    corpus = Corpus.load(FLAGS.corpus, split=(1.0, 0.0, 0.0))
    text = corpus.vocabulary.decode(corpus.train)
    characters = sorted(set(text) - {'\n'})
    draw = random.Random(FLAGS.seed)
    lines, read, noisy = [], 0, 0
    for line in text.split('\n'):
        read += len(line) + 1
        is_early = read < len(text) * (1.0 - FLAGS.clean)
        if is_early and line and draw.random() < FLAGS.share:
            line = ''.join(draw.choices(characters, k=len(line)))
            noisy += 1
        lines.append(line)
    path.write_text('\n'.join(lines), 'utf-8')
    print(f'{path}: {noisy:,} of {len(lines):,} lines are noise.')


if __name__ == '__main__':
    commands.run(main)
