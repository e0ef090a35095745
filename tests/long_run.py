"""Trains for long, and watches what may grow: memory, files, threads, traces.

  python tests/long_run.py                    20,000 steps; some minutes
  python tests/long_run.py --steps=2000
  python tests/long_run.py --minutes=120      as many steps as there is time for

A small model with checkpoints, evaluations, samples and metrics. Prints a line
for each twentieth of the run, and fails if after the first tenth memory grew
by more than 2 %, or if there are more open files, threads or traces of a
`tf.function` than there were then. Ctrl-C ends it early, and then it compares
what it has.
"""

import gc
import os
import pathlib
import random
import tempfile
import threading
import time

from absl import flags

import tfcharrnn
from tfcharrnn import commands, startup
from tfcharrnn.generation.samples import Sample
from tfcharrnn.training import callbacks, signals
from tfcharrnn.training.trainer import Callback

FLAGS = flags.FlagValues()
flags.DEFINE_integer('steps', 20_000, 'Steps.', 100, flag_values=FLAGS)
flags.DEFINE_float(
    'minutes', 0.0, 'How long, instead of `steps`.', 0.0, flag_values=FLAGS
)
MAX_GROWTH = 0.02


def count_traces() -> int:
    """Returns how often functions were traced that are still there."""
    return sum(
        thing.experimental_get_tracing_count()
        for thing in gc.get_objects()
        if type(thing).__name__ == 'Function'
        and hasattr(thing, 'experimental_get_tracing_count')
    )


def watch() -> dict[str, int]:
    """Returns what this process holds now."""
    gc.collect()
    status = pathlib.Path('/proc/self/status').read_text()
    fields = dict(line.split(':', 1) for line in status.splitlines())
    return {
        'memory_kb': int(fields['VmRSS'].split()[0]),
        'files': len(os.listdir('/proc/self/fd')),
        'threads': int(fields['Threads']),
        'python_threads': threading.active_count(),
        'traces': count_traces(),
    }


def make_text(num_words: int = 40_000) -> str:
    """Returns a text of random words."""
    draw = random.Random(0)
    words = 'to be or not that is the question whether nobler mind'.split()
    return ' '.join(draw.choices(words, k=num_words))


def share_done(step: int, seconds: float) -> float:
    """Returns which share of the run is done, from 0 to 1."""
    if FLAGS.minutes:
        return seconds / (60.0 * FLAGS.minutes)
    return step / FLAGS.steps


def train(folder: str, report: Callback) -> None:
    """Trains to the end, with all that a run has; calls `report` often."""
    import tensorflow as tf

    corpus = tfcharrnn.Corpus.from_text(make_text())
    train = tfcharrnn.data.sequences(corpus.train, 10, batch_size=8)
    valid = tfcharrnn.data.sequences(corpus.valid, 10, batch_size=8)
    model = tfcharrnn.CharRNN(len(corpus.vocabulary), 8, rnn_units=32)
    trainer = tfcharrnn.Trainer(
        model, tf.keras.optimizers.Adam(), clip_norm=1.0, average=0.99
    )
    checkpointer = tfcharrnn.Checkpointer(folder, trainer, corpus.vocabulary)
    steps = 10**9 if FLAGS.minutes else FLAGS.steps
    often = 500 if FLAGS.minutes else max(1, steps // 40)
    sample = Sample(
        corpus.vocabulary, os.path.join(folder, 'samples.txt'), length=50
    )
    json_lines = callbacks.JsonLines(os.path.join(folder, 'metrics.jsonl'))
    calls = [callbacks.Evaluate(valid), json_lines, checkpointer, sample]
    trainer.train(
        train,
        steps,
        [callbacks.every(often, call) for call in (*calls, report)],
    )


def main() -> None:
    """Trains, and compares the end with the first tenth."""
    startup.import_tensorflow()
    seen, start = [], time.monotonic()

    def report(trainer, metrics):
        seconds = time.monotonic() - start
        share = share_done(trainer.step, seconds)
        trainer.stop_training = share >= 1.0
        if share * 20.0 < len(seen) + 1:
            return
        seen.append(watch())
        numbers = ', '.join(f'{k} {v:,}' for k, v in seen[-1].items())
        print(
            f'{seconds / 60.0:.1f} minutes, step {trainer.step:,}: {numbers}, '
            f'loss {metrics["loss"]:.3f}',
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder, signals.noted() as caught:

        def report_or_stop(trainer, metrics):
            report(trainer, metrics)
            trainer.stop_training |= bool(caught)

        train(folder, report_or_stop)
    compare(seen)


def compare(seen: list[dict[str, int]]) -> None:
    """Raises ValueError if there is more at the end than after a tenth."""
    if len(seen) < 3:
        raise ValueError('It ended too early to be compared.')
    before, after = seen[1], seen[-1]
    growth = after['memory_kb'] / before['memory_kb'] - 1.0
    print(f'memory grew by {growth:.2%} after the first tenth')
    grown = [x for x in before if x != 'memory_kb' and after[x] > before[x]]
    if growth > MAX_GROWTH or grown:
        raise ValueError(f'It grew: {grown or "memory"}.')


if __name__ == '__main__':
    commands.run(main, FLAGS)
