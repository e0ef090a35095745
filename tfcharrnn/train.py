r"""Trains a character model on a text.

  python -m tfcharrnn.train --corpus=shakespeare.txt --model_dir=runs/bard

Started again with the same --model_dir it goes on where it stopped; settings
that are not given again are those of the run. Ctrl-C finishes the step and
saves. All settings of a run are in MODEL_DIR/run.flags, so this repeats it:

  python -m tfcharrnn.train --flagfile=runs/bard/run.flags --model_dir=runs/2

In MODEL_DIR are checkpoints, from which `python -m tfcharrnn.generate` writes
text, metrics.jsonl, samples.txt, and events for TensorBoard where that is
installed (tensorboard --logdir=runs).
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import math
import os
import pathlib
import re
import shlex
import shutil
import signal
import sys
import tempfile

from absl import flags

from tfcharrnn import commands, files, settings

FLAGS = settings.FLAGS
flags.adopt_module_key_flags(settings, FLAGS)

# What a run writes: --overwrite deletes this, and nothing else.
_WRITTEN = (
    settings.RUN_FLAGS,
    'model.json',
    'vocabulary.json',
    'metrics.jsonl',
    'samples.txt',
    '.*.[0-9]*.partial',
    'checkpoint',
    'ckpt-[0-9]*.index',
    'ckpt-[0-9]*.data-*',
    'best/checkpoint',
    'best/ckpt-[0-9]*.index',
    'best/ckpt-[0-9]*.data-*',
    'train/events.out.tfevents.*',
    'valid/events.out.tfevents.*',
)
_FOLDERS = ('best', 'train', 'valid')


def main() -> None:
    """Trains, or goes on training, as the flags say."""
    model_dir = pathlib.Path(
        FLAGS.model_dir or settings.default_model_dir(FLAGS.corpus)
    )
    if not FLAGS.overwrite:
        settings.take_over(model_dir)
    settings.check()
    commands.set_threads()
    tf = commands.import_tensorflow()
    if FLAGS.precision == 'auto':
        FLAGS.precision = _fast_precision(tf)
    # Of this process, which is ours: initial weights are drawn from it.
    tf.random.set_seed(FLAGS.seed)
    if FLAGS.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = _make_strategy(tf)
    with _silent_unless(_is_chief(strategy)):
        _train(settings.load_corpus(FLAGS), model_dir, strategy)


def _train(corpus, model_dir, strategy):
    """Trains on a corpus, from the last checkpoint on."""
    import tensorflow as tf

    from tfcharrnn.curricula import stages as curriculum
    from tfcharrnn.training import checkpoints

    stages = _make_stages(corpus)
    batches = stages[-1].dataset
    epochs = FLAGS.epochs or 10
    steps = FLAGS.steps or curriculum.count_steps(
        stages, epochs * batches.num_chars
    )
    with strategy.scope():
        share = tf.Variable(1.0, trainable=False)  # Of the learning rate.
        trainer = _make_trainer(len(corpus.vocabulary), steps, share)
    # Raises if it has unseen characters: now, while nothing is changed.
    corpus.vocabulary.encode(commands.unescape(FLAGS.prompt))
    checkpoints.check_inside(model_dir)
    is_chief = _is_chief(strategy)
    with files.locked(model_dir) if is_chief else contextlib.nullcontext():
        if FLAGS.overwrite:
            _delete_run(model_dir)
        with settings.blaming(model_dir):
            checkpointer = checkpoints.Checkpointer(
                model_dir,
                trainer,
                corpus.vocabulary,
                max_to_keep=FLAGS.max_to_keep,
            )
        _go_on(corpus, stages, steps, checkpointer, share)
    _report(model_dir)


def _make_strategy(tf):
    """Returns what shares the rows of a batch out."""
    if FLAGS.strategy == 'mirrored':
        return tf.distribute.MirroredStrategy()
    if FLAGS.strategy == 'multi_worker_mirrored':
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def _is_chief(strategy):
    """Whether this process is the one among the workers that writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    has_chief = 'chief' in resolver.cluster_spec().as_dict()
    name = 'chief' if has_chief else 'worker'
    return (resolver.task_type, resolver.task_id) == (name, 0)


@contextlib.contextmanager
def _silent_unless(is_chief):
    """Sends the standard output of the other workers nowhere."""
    if is_chief:
        yield
        return
    with open(os.devnull, 'w') as nowhere:
        with contextlib.redirect_stdout(nowhere):
            yield


def _go_on(corpus, stages, steps, checkpointer, share):
    """Trains from the last checkpoint on, if there is something left to do."""
    trainer = checkpointer.trainer
    model_dir = pathlib.Path(checkpointer.model_dir)
    path = checkpointer.restore()
    if not _is_chief(trainer.strategy):
        # All take part in a save, but only the chief's is kept.
        model_dir = pathlib.Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, model_dir, ignore_errors=True)
        checkpointer.model_dir = str(model_dir)
    _check_same_text(trainer.record, corpus)
    _check_same_settings(trainer.record, model_dir)
    reason = _reason_to_end(trainer, steps)
    if reason is None:
        settings.write(model_dir)
    print(corpus)
    print(
        f'{trainer.model.num_parameters:,} parameters in {FLAGS.precision}; '
        f'{steps:,} steps, {len(stages[-1].dataset):,} to a pass'
    )
    if path is not None:
        print(f'Going on at step {trainer.step:,}, from {path}')
    if reason is None:
        _run(corpus, stages, steps, _Rollback(checkpointer, share))
    else:
        print(f'Nothing is left to do. {reason}')


def _make_stages(corpus):
    """Makes the data of --curriculum, or a single stage without an end."""
    from tfcharrnn.curricula import stages as curriculum
    from tfcharrnn.data import batches as data

    if settings.has_lines(FLAGS):
        batches = data.lines(
            corpus.lines('train'),
            corpus.vocabulary,
            FLAGS.batch_size,
            seed=FLAGS.seed,
        )
        return [curriculum.Stage(batches)]
    if FLAGS.curriculum is None:
        batches = data.sequences(
            corpus.train,
            FLAGS.seq_length,
            FLAGS.batch_size,
            shuffle=FLAGS.shuffle,
            shift=FLAGS.shift,
            seed=FLAGS.seed,
        )
        return [curriculum.Stage(batches)]
    lengths, boundaries = curriculum.parse(FLAGS.curriculum)
    if FLAGS.shuffle or FLAGS.shift:
        raise ValueError(
            '--curriculum lets the rows of streams grow, each from where it '
            'is; leave --shuffle and --shift out.'
        )
    if FLAGS['seq_length'].present and FLAGS.seq_length != lengths[-1]:
        raise ValueError(
            f'--seq_length is {FLAGS.seq_length}, but the last length of '
            f'--curriculum is {lengths[-1]}. Leave --seq_length out.'
        )
    FLAGS.seq_length = lengths[-1]
    return curriculum.growing_length(
        corpus.train, FLAGS.batch_size, lengths, boundaries
    )


def _run(corpus, stages, steps, rollback):
    """Trains up to a step, or until a callback or a signal stops it; saves."""
    import tensorflow as tf

    from tfcharrnn.curricula import stages as curriculum
    from tfcharrnn.training import callbacks

    batches = stages[-1].dataset
    checkpointer = rollback.checkpointer
    trainer = checkpointer.trainer
    unit = checkpointer.vocabulary.unit
    progress = callbacks.Progress(steps, unit=unit)

    def save_unless_last(trainer, metrics):
        # A checkpoint of the last step means that all is done, the callbacks
        # at the end too. Who dies before that does the last steps once more.
        if _reason_to_end(trainer, steps) is None:
            checkpointer(trainer, metrics)

    periodic = _periodic(corpus, batches, progress, checkpointer)
    periodic.append((_period(FLAGS.save_every, batches), save_unless_last))
    periodic = [(period, callback) for period, callback in periodic if period]
    with contextlib.closing(progress), _catch_signals() as caught:
        calls = [progress, *(callbacks.every(*each) for each in periodic)]
        calls.append(lambda trainer, _: _stop_if(caught, trainer))
        while True:
            try:
                curriculum.train(trainer, stages, steps, calls)
                reason = _reason_to_end(trainer, steps)
                if reason is not None:
                    _call_at_the_end(trainer, periodic)
                path = checkpointer.save()
                break
            except FloatingPointError as error:
                rollback(error)
            except tf.errors.UnavailableError as error:
                raise ConnectionError(
                    'Another worker has died, or cannot be reached any more. '
                    'Start all of them again as before: they go on from the '
                    'last checkpoint.'
                ) from error
    print(f'Saved {path}')
    if reason is None:
        print(
            f'Stopped at step {trainer.step:,}. To go on:\n'
            '  python -m tfcharrnn.train '
            f'--model_dir={shlex.quote(checkpointer.model_dir)}'
        )
        sys.exit(128 + caught[0])
    if trainer.step < steps:
        print(reason)


class _Rollback:
    """Goes back to the last checkpoint, and on at half of the learning rate.

    How often it did is in the checkpoints, and so known to a restart.
    """

    def __init__(self, checkpointer, share):
        """Takes the variable that the learning rate is multiplied with."""
        self.checkpointer = checkpointer
        self._share = share
        trainer = checkpointer.trainer
        if FLAGS.on_nonfinite == 'rollback' and trainer.step == 0:
            checkpointer.save()  # So that there is something to go back to.
        self._set_share()

    def __call__(self, error):
        """Makes ready to go on after an error; or raises, saying why not."""
        from absl import logging

        if FLAGS.on_nonfinite == 'stop':
            raise FloatingPointError(
                f'{error} --on_nonfinite=rollback does that by itself.'
            ) from error
        trainer = self.checkpointer.trainer
        best = {k: v for k, v in trainer.record.items() if k.startswith('best')}
        self.checkpointer.restore()
        trainer.record.update(best)  # What is in best/ stays.
        rollbacks = trainer.record.get('rollbacks', 0) + 1
        what = str(error).split(',')[0]
        if rollbacks > settings.MAX_ROLLBACKS:
            raise FloatingPointError(
                f'{what}. The run went back {settings.MAX_ROLLBACKS} times, '
                'each time to half of the learning rate, which did not help. '
                'Begin another with a smaller --learning_rate or --clip_norm.'
            ) from error
        trainer.record['rollbacks'] = rollbacks
        self._set_share()
        # Now, or else who is killed soon would count anew.
        self.checkpointer.save()
        logging.warning(
            '%s. Going on from step %d at %g of the learning rate.',
            what,
            trainer.step,
            0.5**rollbacks,
        )

    def _set_share(self):
        rollbacks = self.checkpointer.trainer.record.get('rollbacks', 0)
        self._share.assign(0.5**rollbacks)


def _reason_to_end(trainer, steps):
    """Says why there is no more to train, and what to do; None if there is."""
    from tfcharrnn.training import callbacks

    if trainer.step >= steps:
        return (
            f'All {steps:,} steps are made; a larger --steps or --epochs goes '
            'on.'
        )
    patience = FLAGS.early_stopping
    if patience and callbacks.EarlyStopping(patience).has_waited(trainer):
        return (
            f'Training stopped early at step {trainer.step:,}, after '
            f'{patience} evaluations without a better one; a larger '
            '--early_stopping, or 0, goes on.'
        )
    return None


def _periodic(corpus, batches, progress, checkpointer):
    """Returns (period, callback) for all that happens now and then."""
    from tfcharrnn.training import callbacks

    model_dir = checkpointer.model_dir
    evaluated = _period(FLAGS.eval_every, batches)
    reported = evaluated or len(batches)
    tensorboard = None
    if importlib.util.find_spec('tensorboard') is not None:
        tensorboard = callbacks.TensorBoard(model_dir)
    has_lines = settings.has_lines(FLAGS)
    prompt = commands.unescape(FLAGS.prompt)
    sample = callbacks.Sample(
        checkpointer.vocabulary,
        os.path.join(model_dir, 'samples.txt'),
        # A line begins after the end of another.
        prompt='\n' + prompt if has_lines and prompt else prompt,
        length=FLAGS.sample_length,
        temperatures=[float(t) for t in FLAGS.temperatures],
        stop='\n' if has_lines else None,
        tensorboard=tensorboard,
    )
    json_lines = callbacks.JsonLines(os.path.join(model_dir, 'metrics.jsonl'))
    result = []
    if len(corpus.valid) > 1:
        valid = settings.batches_to_measure(FLAGS, corpus, 'valid', None)
        result.append((evaluated, callbacks.Evaluate(valid)))
        result.append((evaluated, checkpointer.keep_best))
        if FLAGS.early_stopping:
            stopping = callbacks.EarlyStopping(FLAGS.early_stopping)
            result.append((evaluated, stopping))
    result += [(reported, json_lines), (reported, progress)]
    if tensorboard is not None:
        result.append((reported, tensorboard))
    result.append((_period(FLAGS.sample_every, batches), sample))
    return result


def _period(steps, batches):
    return len(batches) if steps is None else steps


def _call_at_the_end(trainer, periodic):
    """Calls those whose period does not end with the last step."""
    metrics = {period: trainer.metrics_since(period) for period, _ in periodic}
    for period, callback in periodic:
        if metrics[period]:
            callback(trainer, metrics[period])


def _report(model_dir):
    """Shows the last samples, and how to write more."""
    path = model_dir / 'samples.txt'
    if path.exists():
        text = path.read_text('utf-8', 'replace')
        for heading in re.findall(r'^==> step \d+,', text, re.MULTILINE)[-1:]:
            print(f'\n{text[text.index(heading) :].rstrip()}\n')
    prompt = f' --prompt={shlex.quote(FLAGS.prompt)}' if FLAGS.prompt else ''
    print(
        'To write more:\n  python -m tfcharrnn.generate '
        f'--model_dir={shlex.quote(str(model_dir))}{prompt}'
    )


def _check_memory(vocab_size):
    """Refuses a model that this machine has no memory for."""
    inputs = FLAGS.embedding_dim + FLAGS.rnn_units
    least = FLAGS.num_layers * FLAGS.rnn_units**2 + vocab_size * inputs
    needed = 16 * least  # A weight, its gradient, and two slots beside it.
    try:
        memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):  # It cannot be known here.
        return
    if needed > memory:
        raise ValueError(
            f'The model needs {needed / 2**30:,.0f} GiB of memory or more; '
            f'this machine has {memory / 2**30:,.0f}. Use smaller --rnn_units, '
            '--num_layers or --embedding_dim.'
        )


def _make_trainer(vocab_size, steps, share):
    from tfcharrnn.curricula import stages as curriculum
    from tfcharrnn.nn import char_rnn as model
    from tfcharrnn.training import trainer

    _check_memory(vocab_size)
    rnn = model.CharRNN(
        vocab_size,
        FLAGS.embedding_dim or None,
        FLAGS.rnn_units,
        FLAGS.num_layers,
        FLAGS.cell,
        FLAGS.precision,
        dropout=FLAGS.dropout,
        tied=FLAGS.tied,
        residual=FLAGS.residual,
        layer_norm=FLAGS.layer_norm,
        activation_penalty=FLAGS.activation_penalty,
        slowness_penalty=FLAGS.slowness_penalty,
    )
    optimizer = _make_optimizer(steps, share)
    dropout_schedule = None
    if FLAGS.dropout_schedule is not None:
        dropout_schedule = _parse_schedule('dropout_schedule', steps, 1.0)
    options = {
        'dropout_schedule': dropout_schedule,
        'clip_norm': FLAGS.clip_norm or None,
        'average': FLAGS.average or None,
        'seed': FLAGS.seed,
    }
    if FLAGS.sampling_probability is None:
        return trainer.Trainer(rnn, optimizer, **options)
    probability = _parse_schedule('sampling_probability', steps, 1.0)
    return curriculum.ScheduledSampling(rnn, optimizer, probability, **options)


def _parse_schedule(name, steps, highest):
    """Reads a flag that is a schedule, whose values are from 0 up."""
    import numpy as np

    from tfcharrnn.training import schedules

    schedule = schedules.parse(FLAGS[name].value)
    # All of them, unless they are very many.
    places = np.linspace(0, steps, min(steps, 100_000) + 1, dtype=np.int64)
    values = np.broadcast_to(schedule(places), places.shape)
    wrong = np.flatnonzero(~((values >= 0.0) & (values <= highest)))
    if len(wrong):
        raise ValueError(
            f'--{name} is {values[wrong[0]]:g} at step {places[wrong[0]]:,}, '
            f'but must be from 0 '
            f'{"up" if highest == math.inf else f"to {highest:g}"}.'
        )
    return schedule


def _make_optimizer(steps, share):
    import tensorflow as tf

    from tfcharrnn.training import schedules

    peak, warmup, name = (
        FLAGS.learning_rate,
        FLAGS.warmup_steps,
        FLAGS.lr_schedule,
    )
    last = max(1, steps - warmup)
    if name == 'constant':
        schedule = schedules.constant(peak)
    elif name in ('linear', 'cosine'):
        schedule = getattr(schedules, name)(peak, peak / 20, last)
    else:
        schedule = _parse_schedule('lr_schedule', steps, math.inf)
    if warmup:
        rise = schedules.linear(peak / warmup, peak, warmup)
        schedule = schedules.join([rise, schedule], [warmup])
    optimizer = {
        'adam': tf.keras.optimizers.Adam,
        'adamw': tf.keras.optimizers.AdamW,
        'adagrad': tf.keras.optimizers.Adagrad,
        'lion': tf.keras.optimizers.Lion,
        'nadam': tf.keras.optimizers.Nadam,
        'rmsprop': tf.keras.optimizers.RMSprop,
        'sgd': tf.keras.optimizers.SGD,
    }[FLAGS.optimizer]
    options = {}
    if FLAGS.optimizer in settings.HAVE_BETA_2:
        options['beta_2'] = FLAGS.beta_2
    if FLAGS.weight_decay is not None:
        options['weight_decay'] = FLAGS.weight_decay
    rate = schedules.LearningRate(lambda step: share * schedule(step))
    optimizer = optimizer(rate, **options)
    optimizer.exclude_from_weight_decay(var_names=['bias', 'scale'])
    return optimizer


def _delete_run(model_dir):
    """Deletes what a run writes, and nothing else."""
    for pattern in _WRITTEN:
        for path in model_dir.glob(pattern):
            path.unlink()
    for name in _FOLDERS:
        with contextlib.suppress(OSError):  # Something else is in it.
            (model_dir / name).rmdir()


def _check_same_text(record, corpus):
    """Refuses to go on with another text; a run keeps its hash."""
    digest = settings.digest_text(corpus)
    if record.setdefault('text', digest) != digest:
        raise ValueError(
            f"The text '{corpus.source}', named by --corpus or "
            f'{settings.RUN_FLAGS}, is not the one that this run began with. '
            'Give that one, another --model_dir, or --overwrite.'
        )


def _check_same_settings(record, model_dir):
    """Refuses to go on with other settings where `run.flags` is gone."""
    digest = settings.digest()
    if record.setdefault('settings', digest) != digest:
        raise ValueError(
            f"'{model_dir / settings.RUN_FLAGS}' is missing or was changed: "
            'its settings are not those that the run began with. Give all that '
            'were given then, another --model_dir, or --overwrite.'
        )


def _fast_precision(tf):
    """Returns 'bfloat16' where the hardware multiplies it."""
    for gpu in tf.config.list_physical_devices('GPU'):
        details = tf.config.experimental.get_device_details(gpu)
        capable = details.get('compute_capability', (0, 0)) >= (8, 0)
        return 'bfloat16' if capable else 'float32'
    with contextlib.suppress(OSError):
        processor = pathlib.Path('/proc/cpuinfo').read_text('utf-8')
        if re.search(r'\b(amx_bf16|avx512_bf16)\b', processor):
            return 'bfloat16'
    return 'float32'


@contextlib.contextmanager
def _catch_signals():
    """Notes the first SIGINT or SIGTERM; a second one acts as usual."""
    caught = []
    signals = (signal.SIGINT, signal.SIGTERM)
    usual = {number: signal.getsignal(number) for number in signals}

    def note(number, _):
        caught.append(number)
        for each in signals:
            signal.signal(each, usual[each])

    for number in signals:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number in signals:
            signal.signal(number, usual[number])


def _stop_if(caught, trainer):
    if caught:
        trainer.stop_training = True


if __name__ == '__main__':
    commands.run(main, FLAGS)
