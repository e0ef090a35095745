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

Others choose the level of each batch: uniform draws it; bandit-prediction,
bandit-self, bandit-target and bandit-gradient let a bandit find from which
level the model learns most (Graves et al., 2017, arXiv 1704.03003).

The other tasks are simpler: addition; copy, which writes the digits that were
read; reverse, which writes them from the last to the first; and repeat_copy,
which writes bits several times; and ngram_mixture, which goes on with texts of
n-gram models of the text that comes with Python. All of them are in
`tfcharrnn.tasks`.

Prints tables over the seeds, measured on held-out programs of the last level:
by character and by example, where all of the output must be right; then each
strategy level by level. A report for each metric is in a folder of its name.
Run it again and it resumes where it stopped.
"""

import functools
import pathlib

import numpy as np
from absl import flags

import tfcharrnn
from tfcharrnn import commands, curricula, startup, tasks
from tfcharrnn.comparing import comparison, report

tf = startup.import_tensorflow()  # `import tensorflow as tf`, quietly.

MAKE = {
    'program': lambda: tasks.program(FLAGS.size, FLAGS.nesting),
    'addition': lambda: tasks.addition(FLAGS.size),
    'copy': lambda: tasks.copy(FLAGS.size),
    'reverse': lambda: tasks.reverse(FLAGS.size),
    'repeat_copy': lambda: tasks.repeat_copy(FLAGS.size, FLAGS.nesting),
    'ngram_mixture': lambda: tasks.ngram_mixture(read_text(), FLAGS.size),
}
METRICS = 'valid_loss', 'valid_accuracy', 'valid_example_accuracy'
BANDIT = 'bandit-'

FLAGS = flags.FLAGS
flags.DEFINE_enum('task', 'addition', MAKE, 'The task.')
flags.DEFINE_integer(
    'size',
    4,
    'Digits of a number, or the highest n of ngram_mixture.',
    lower_bound=1,
)
flags.DEFINE_integer(
    'nesting',
    2,
    'Nested operations of a program, or the repeats of repeat_copy.',
    lower_bound=1,
)
flags.DEFINE_list('strategies', list(curricula.STRATEGIES), 'What to compare.')
flags.DEFINE_float(
    'bandit_rate', 0.01, 'How much a reward changes what a bandit chooses.'
)
flags.DEFINE_list('seeds', ['0', '1', '2'], 'The seeds of each strategy.')
flags.DEFINE_integer('steps', 3000, 'Steps of each run.')
flags.DEFINE_integer('eval_every', 100, 'Steps between evaluations.')
flags.DEFINE_float('enough', 0.95, 'The accuracy that ends a level.')
flags.DEFINE_integer('batch_size', 64, 'Examples of a batch.')
flags.DEFINE_integer('rnn_units', 128, 'Units of a layer of the LSTM.')
flags.DEFINE_integer('num_layers', 2, 'Layers of the LSTM.')
flags.DEFINE_string('model_dir', 'runs/execute', 'Folder for the runs.')


def read_text():
    """Returns the text whose n-grams are counted."""
    corpus = tfcharrnn.Corpus.load('python')
    return corpus.vocabulary.decode(corpus.train[:200_000])


def make_stages(task, strategy, seed):
    """Returns the stages of a strategy."""
    num_levels = len(task.levels)
    make = functools.partial(
        tasks.examples,
        *(task, FLAGS.batch_size),
        num_batches=FLAGS.eval_every,
        seed=seed,
    )
    if strategy in curricula.STRATEGIES:
        return curricula.levels(
            strategy,
            lambda weights: make(weights=weights),
            num_levels,
            until=lambda metrics: metrics['accuracy'] >= FLAGS.enough,
            every=FLAGS.eval_every,
            # At least half of the steps are for the last level.
            steps_per_level=max(1, FLAGS.steps // (2 * num_levels)),
        )
    sources = [make(weights=row) for row in np.eye(num_levels)]
    if strategy == 'uniform':
        chosen = curricula.mix(sources, [1.0] * num_levels, seed=seed)
    elif strategy.startswith(BANDIT):
        chosen = curricula.bandit(
            sources,
            gain=strategy.removeprefix(BANDIT),
            rate=FLAGS.bandit_rate,
            seed=seed,
        )
    else:
        raise ValueError(f'There is no strategy {strategy!r}: see --help.')
    return [curricula.Stage(chosen)]


def run(task, strategy, seed, model_dir):
    """Trains with one strategy, or resumes; evaluates on the way."""
    tf.keras.utils.set_random_seed(seed)
    model = tfcharrnn.CharRNN(
        len(task.vocabulary),
        embedding_dim=None,
        rnn_units=FLAGS.rnn_units,
        num_layers=FLAGS.num_layers,
        cell='lstm',
    )
    trainer = tfcharrnn.Trainer(
        model, tf.keras.optimizers.Adam(2e-3), clip_norm=5.0, seed=seed
    )
    model_dir.mkdir(parents=True, exist_ok=True)  # For the metrics.
    checkpointer = tfcharrnn.Checkpointer(model_dir, trainer, task.vocabulary)
    checkpointer.restore()
    each_time = [
        tasks.Accuracies(model, task, batch_size=FLAGS.batch_size),
        tfcharrnn.callbacks.JsonLines(model_dir / 'metrics.jsonl'),
        checkpointer,
    ]
    every = tfcharrnn.callbacks.every
    curricula.train(
        trainer,
        make_stages(task, strategy, seed),
        FLAGS.steps,
        callbacks=[every(FLAGS.eval_every, each) for each in each_time],
    )
    return model


def show_levels(task, strategy, seed, model):
    """Prints the accuracy by example of some levels."""
    step = -(-len(task.levels) // 8)
    levels = task.levels[::-step][::-1]  # The last one among them.
    found = tasks.measure(model, task, levels=levels)
    cells = [f'{k}: {v["example_accuracy"]:.2f}' for k, v in found.items()]
    print(f'{strategy}, seed {seed}, by level | {" | ".join(cells)}')


def main():
    folder = pathlib.Path(FLAGS.model_dir)
    folder /= f'{FLAGS.task}-{FLAGS.size}-{FLAGS.nesting}'
    seeds = [int(seed) for seed in FLAGS.seeds]
    task = MAKE[FLAGS.task]()
    print(*task.example(0, 0), sep='')
    for seed in seeds:
        for strategy in FLAGS.strategies:
            print(f'{strategy}, seed {seed}', flush=True)
            model = run(task, strategy, seed, folder / strategy / str(seed))
            show_levels(task, strategy, seed, model)
    for metric in METRICS:
        found = comparison.read(folder, FLAGS.strategies, seeds, metric=metric)
        of_metric = folder / metric  # Each metric has its own report.
        of_metric.mkdir(exist_ok=True)
        table, _ = report.write(of_metric, found)
        print(f'\n{table}')


if __name__ == '__main__':
    commands.run(main)
