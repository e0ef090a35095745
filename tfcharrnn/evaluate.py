r"""Measures a trained model on a text.

  python -m tfcharrnn.evaluate --model_dir=runs/bard --split=valid

Without --corpus it takes the text, and its split, of the training run. It
prints one JSON object: loss (nats per character), bits_per_char, perplexity,
accuracy and num_chars, with the state carried on, in strips that are each read
from the 256 characters before it on; and window_loss, with the text in windows
of 256 characters that each begin with an empty context, as nanoGPT and other
models of limited context are measured.
A model of lines is measured on each line from its beginning, and has no
window_loss; of a model of words, all of this is per token.
"""

from __future__ import annotations

import json
import math
import pathlib

from absl import flags

from tfcharrnn import commands, settings

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    'model_dir', None, 'The run to measure. Required.', flag_values=FLAGS
)
flags.DEFINE_string(
    'checkpoint',
    'latest',
    'latest, best (on validation), or the path of a checkpoint.',
    flag_values=FLAGS,
)
flags.DEFINE_string(
    'corpus',
    None,
    'Another text, all of it, read as in training: as lines, or as CSV, where '
    'the run was. Characters that the model does not know are left out (words '
    'are <unk>), and counted on standard error.',
    flag_values=FLAGS,
)
flags.DEFINE_string(
    'encoding',
    None,
    'The encoding of --corpus. Default: as in training.',
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    'split',
    None,
    ['train', 'valid', 'test'],
    'The part of the text of the run. Default: valid.',
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    'batch_size',
    None,
    'Strips of the text that are read at once, each from up to '
    f'{settings.WARMUP} characters before it; 1 for the text in one go. '
    'Default: as in training.',
    lower_bound=1,
    flag_values=FLAGS,
)
flags.register_validator(
    'model_dir',
    bool,
    message='Give the directory of a trained model',
    flag_values=FLAGS,
)
flags.register_multi_flags_validator(
    ['corpus', 'split'],
    lambda given: None in given.values(),
    message='Give a part of the text of the run, or another text, not both',
    flag_values=FLAGS,
)

flags.register_multi_flags_validator(
    ['corpus', 'encoding'],
    lambda given: given['corpus'] or not given['encoding'],
    message='--encoding is of another text: give its --corpus too',
    flag_values=FLAGS,
)

# Characters of a window: nanoGPT's `block_size` for characters, on a GPU.
_WINDOW = 256


def main() -> None:
    """Prints the metrics as JSON."""
    commands.set_threads()
    tf = commands.import_tensorflow()
    from tfcharrnn.data import batches as data
    from tfcharrnn.training import checkpoints, trainer

    model, vocabulary = checkpoints.load_model(
        FLAGS.model_dir, FLAGS.checkpoint
    )
    run = _read_run()
    corpus = settings.load_corpus(run, vocabulary)
    split = 'train' if FLAGS.corpus else FLAGS.split or 'valid'
    ids = getattr(corpus, split)
    if len(ids) < 2:
        raise ValueError(
            f'There are {len(ids)} characters to measure, but it takes 2 to '
            'predict one from the other. Give another --split or --corpus.'
        )
    if FLAGS.corpus is None:
        record = checkpoints.load_record(FLAGS.model_dir, FLAGS.checkpoint)
        digest = settings.digest_text(corpus)
        if record.get('text', digest) != digest:
            raise ValueError(
                f"The text '{corpus.source}', named by {settings.RUN_FLAGS} "
                f"in '{FLAGS.model_dir}', is not the one that the model was "
                'trained on. Give a --corpus to measure another.'
            )
    batches = settings.batches_to_measure(run, corpus, split, FLAGS.batch_size)
    # An evaluation needs no optimizer, but a trainer does.
    runner = trainer.Trainer(model, tf.keras.optimizers.SGD())
    metrics = runner.evaluate(batches)
    if len(ids) > _WINDOW and not settings.has_lines(run):
        # Each character once: what the mean over random windows tends to.
        windows = data.sequences(ids, _WINDOW, batch_size=32, shuffle=True)
        metrics['window_loss'] = runner.evaluate(windows)['loss']
    # JSON knows no infinity, such as the perplexity of a very bad model.
    finite = {k: v if math.isfinite(v) else None for k, v in metrics.items()}
    print(json.dumps(finite))


def _read_run():
    """Returns the flags of the run, which say what the text is."""
    path = pathlib.Path(FLAGS.model_dir, settings.RUN_FLAGS)
    if not path.exists():
        if FLAGS.corpus is None:
            raise FileNotFoundError(
                f"'{path}' is missing, which says what text the model was "
                'trained on. Give --corpus.'
            )
        path = None
    run = settings.read(path)
    if FLAGS.corpus is not None:
        run.corpus = FLAGS.corpus
        run.valid_fraction = run.test_fraction = 0.0
        run.encoding = FLAGS.encoding or run.encoding
    return run


if __name__ == '__main__':
    commands.run(main, FLAGS)
