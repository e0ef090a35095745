"""Makes the model in the package, which `--model_dir=demo` names.

    python -m tfcharrnn.train --flagfile=examples/demo.flags
    python examples/demo.py --model_dir=runs/demo --out=tfcharrnn/demo

The wheel may not grow by a megabyte, and one loader is enough: so the result is
an ordinary `model_dir`, without the optimizer, whose weights are rounded. Each
is one of 127 values, a power of two apart; the step differs from column to
column. The last two bytes of such a float32 are zero, and a wheel, which is a
zip file, stores ten bits for each weight.
"""

import pathlib
import zlib

import numpy as np
import tensorflow as tf
from absl import flags

import tfcharrnn
from tfcharrnn import commands
from tfcharrnn.training import model_dir as model_dirs

FLAGS = flags.FLAGS
flags.DEFINE_string('model_dir', 'runs/demo', 'A run of the command train.')
flags.DEFINE_string('checkpoint', 'latest', 'latest, best, or a path.')
flags.DEFINE_string('out', None, 'A new folder for the result.', required=True)
flags.DEFINE_boolean('measure', True, 'Measures both on the validation text.')


def round_weights(weights):
    """Returns the weights as multiples, from -63 to 63, of powers of two."""
    largest = np.abs(weights).max(axis=0, keepdims=True)
    step = 2.0 ** np.ceil(np.log2(np.maximum(largest, 1e-30) / 63))
    return (np.round(weights / step) * step).astype(np.float32)


def shrink(model_dir, checkpoint, out):
    """Writes a model with rounded weights, and the settings of its run."""
    trained, vocabulary = tfcharrnn.load_model(model_dir, checkpoint)
    # Any processor multiplies float32 fast, and nobody trains it further.
    config = {'compute_dtype': 'float32', 'dropout': 0.0}
    model = tfcharrnn.CharRNN(**{**trained.config, **config})
    for variable, weights in zip(
        model.trainable_variables, trained.trainable_variables, strict=True
    ):
        variable.assign(round_weights(weights.numpy()))
    # Plain gradient descent keeps nothing that would have to be saved.
    trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.SGD())
    trainer.record = model_dirs.load_record(model_dir, checkpoint)
    tfcharrnn.Checkpointer(out, trainer, vocabulary).save()
    model_dirs.write_settings(out, model_dirs.read_settings(model_dir))
    return model


def sizes(folder):
    """Returns the bytes of all files, and about how many a wheel needs."""
    files = [path for path in pathlib.Path(folder).rglob('*') if path.is_file()]
    contents = [path.read_bytes() for path in files]
    compressed = (zlib.compress(content) for content in contents)
    return sum(map(len, contents)), sum(map(len, compressed))


def main():
    out = pathlib.Path(FLAGS.out)
    if out.exists():
        raise ValueError(f"'{out}' is there already: give a new folder.")
    model = shrink(FLAGS.model_dir, FLAGS.checkpoint, out)
    whole, compressed = sizes(out)
    print(
        f'{out}: {model.num_parameters:,} parameters, {whole:,} bytes, '
        f'{compressed:,} compressed'
    )
    if FLAGS.measure:
        before = tfcharrnn.measure(FLAGS.model_dir, FLAGS.checkpoint)['loss']
        after = tfcharrnn.measure(out)['loss']
        print(f'Validation loss: {before:.4f} nats, rounded {after:.4f}')


if __name__ == '__main__':
    commands.run(main)
