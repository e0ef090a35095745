"""Measures speed on this machine, next to Keras and, if installed, PyTorch.

  python -m tfcharrnn.benchmark
  python -m tfcharrnn.benchmark --what=train,peak --cells=gru --num_layers=2

train     whole training steps: ours with clipping, metrics and the input
          pipeline, Keras' as in its text generation tutorial, PyTorch's with
          autocast for bfloat16
peak      a square matrix product, the most that the machine can do
generate  texts of --length characters; Keras' in one compiled loop, and at
          batch 1 also as in the tutorials: a call for each character, of a
          compiled function or, for a tenth of the length, of the model itself
input     the input pipeline alone
corpus    characters to ids, from a text to a `Corpus`

Each contender has a process of its own, and one of them works at a time, in
turn, round after round: what slows the machine down slows all of them. A turn
is one step that is not timed and --steps that are (or a compiled loop of
ours). Figures are medians over the rounds, and in brackets the lowest and the
highest. The text is random ids. first_seconds counts from after the imports to
the end of the first step, or text; memory_gb is the most that the process held.

peak_share is what the products of the equations, however computed, are of the
peak of the same round: for a character 2 operations for each weight forward
and 4 backward,

  6 * (sum over layers of gates * U * (I + U) + U * V),

with U units, I inputs (the embedding's size, then U), V distinct characters
and 3 gates in a GRU, 4 in an LSTM.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
import multiprocessing
import os
import pathlib
import platform
import re
import signal
import statistics
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from absl import flags

import tfcharrnn
from tfcharrnn import commands

# Flags of its own, so that several commands can be imported side by side.
FLAGS = flags.FlagValues()


def _define_list(name, pattern, default, text):
    flags.DEFINE_list(name, default, text, flag_values=FLAGS)
    flags.register_validator(
        name,
        lambda values: all(re.fullmatch(pattern, value) for value in values),
        message=f'Give values such as {default}, with commas between them',
        flag_values=FLAGS,
    )


for _flag in (
    ('what', 'train|peak|generate|input|corpus', 'What to measure.'),
    ('cells', 'gru|lstm', 'Recurrent cells.'),
    ('precisions', 'float32|bfloat16', 'Types of the operands of products.'),
    ('peers', 'keras|torch', 'What to compare with; empty for nothing.'),
):
    _define_list(_flag[0], _flag[1], _flag[1].replace('|', ','), _flag[2])
_define_list('generate_batch_sizes', '[1-9][0-9]*', '1,32', 'Texts at a time.')
for _flag in (
    ('rnn_units', 1024, 'Units of a layer.'),
    ('num_layers', 1, 'Recurrent layers.'),
    ('batch_size', 64, 'Rows of a training batch.'),
    ('seq_length', 100, 'Characters of a row.'),
    ('vocab_size', 65, 'Distinct characters.', 1, 50_000),
    ('embedding_dim', 256, 'Size of an embedding.'),
    ('length', 500, 'Characters of a text that is written.'),
    ('peak_size', 4096, 'Rows and columns of the matrices for the peak.'),
    ('corpus_size', 1 << 22, 'Characters of the text for a corpus.'),
    ('rounds', 3, 'Turns of each contender.'),
    ('steps', 3, 'Steps in a turn.'),
):
    flags.DEFINE_integer(*_flag[:3], *(_flag[3:] or (1,)), flag_values=FLAGS)
flags.DEFINE_bool(
    'default_threads',
    False,
    "Trains with TensorFlow's own thread settings as well as with ours.",
    flag_values=FLAGS,
)
flags.DEFINE_bool('json', False, 'Prints one JSON object.', flag_values=FLAGS)

_OURS = 'tfcharrnn'
_LAYERS = {'gru': 'GRU', 'lstm': 'LSTM'}  # The name in Keras and in PyTorch.
_GATES = {'gru': 3, 'lstm': 4}
_TITLES = {
    'train': '{cell} {num_layers} x {rnn_units}, training {batch_size} x '
    '{seq_length}',
    'generate': '{cell} {num_layers} x {rnn_units}, generating {batch_size}',
    'peak': '{peak_size} x {peak_size} matrices, in the rounds of {cell}',
    'input': 'batches of {batch_size} x {seq_length}',
    'corpus': 'corpus of {corpus_size:,}',
}
_BATCHES = 64  # In the text.
# Threads that wait for more work spin for up to 0.2 seconds, then sleep.
_PAUSE = 0.25

Setting = types.SimpleNamespace  # All flags, and one cell and precision.
Turns = Iterator[Any]


def main() -> None:
    """Measures what the flags ask for and prints it."""
    peers = [p for p in FLAGS.peers if importlib.util.find_spec(p) is not None]
    left_out = {p: 'not installed' for p in FLAGS.peers if p not in peers}
    groups = _groups(peers)
    _measure(groups)
    report = _report(groups, left_out)
    print(json.dumps(report, indent=2) if FLAGS.json else _format(report))


# The contenders. Each is a generator that imports what it needs and yields
# versions, makes a first step and yields nothing, and then makes turns and
# yields their speeds: characters, operations or batches a second.


def _train_ours(s: Setting) -> Turns:
    if s.way != 'default threads':
        commands.set_threads()
    tf = commands.import_tensorflow()
    from tfcharrnn.data import batches as data
    from tfcharrnn.training import trainer

    yield _versions(tf)
    optimizer = tf.keras.optimizers.Adam()
    runner = trainer.Trainer(_our_model(s), optimizer, clip_norm=5.0)
    batches = data.sequences(_random_ids(s), s.seq_length, s.batch_size)
    runner.train(batches, steps=1)
    yield None
    while True:
        marks = []

        def mark(runner, _, marks=marks):
            marks.append((runner.step, time.perf_counter()))
            runner.stop_training = runner.step - marks[0][0] >= s.steps

        # `train` makes as many steps in a loop as it likes to; the first of
        # these loops is not timed.
        runner.train(batches, sys.maxsize, [mark])
        (first, start), (last, end) = marks[0], marks[-1]
        yield (last - first) * s.batch_size * s.seq_length / (end - start)


def _train_keras(s: Setting) -> Turns:
    tf = commands.import_tensorflow()
    yield _versions(tf)
    model = _keras_model(tf, s)
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = tf.keras.optimizers.Adam()
    chunks = tf.data.Dataset.from_tensor_slices(_random_ids(s)).batch(
        s.seq_length + 1, drop_remainder=True
    )
    batches = chunks.map(lambda chunk: (chunk[:-1], chunk[1:])).shuffle(10_000)
    batches = batches.batch(s.batch_size, drop_remainder=True).repeat()
    iterator = iter(batches.prefetch(tf.data.AUTOTUNE))

    @tf.function(autograph=False)
    def train_step(inputs, targets):
        with tf.GradientTape() as tape:
            loss = loss_of(targets, model(inputs, training=True))
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    def step():
        return float(train_step(*next(iterator)))

    yield from _turns(s, step, s.batch_size * s.seq_length)


def _train_torch(s: Setting) -> Turns:
    import torch

    yield {'torch': torch.__version__}
    model, autocast = _torch_model(torch, s)
    optimizer = torch.optim.Adam(model.parameters())
    rows = torch.as_tensor(_random_ids(s)[:-1].reshape(s.batch_size, -1))
    rows = rows.to(torch.get_default_device(), torch.int64)
    place, state = 0, None

    def step():
        nonlocal place, state
        chunk = rows[:, place : place + s.seq_length + 1]
        place = (place + s.seq_length) % (rows.shape[1] - s.seq_length)
        with autocast():
            logits, state = model(chunk[:, :-1], state)
        loss = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1), chunk[:, 1:].flatten()
        )
        if s.cell == 'lstm':
            state = tuple(part.detach() for part in state)
        else:
            state = state.detach()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    yield from _turns(s, step, s.batch_size * s.seq_length)


def _multiply(s: Setting) -> Turns:
    tf = commands.import_tensorflow()
    yield _versions(tf)
    size = s.peak_size
    a, b = (tf.cast(x, s.precision) for x in tf.random.normal([2, size, size]))
    # A number of the result, or a GPU would be asked and not waited for.
    yield from _turns(s, lambda: float((a @ b)[0, 0]), 2 * size**3)


def _generate_ours(s: Setting) -> Turns:
    if s.batch_size == 1:
        commands.set_threads()
    tf = commands.import_tensorflow()
    from tfcharrnn.generation import generator

    yield _versions(tf)
    vocabulary = tfcharrnn.Vocabulary(_characters(s))
    writer = generator.Generator(_our_model(s), vocabulary)

    def write():
        return writer.generate(' ', s.length, num_samples=s.batch_size, seed=0)

    yield from _turns(s, write, s.batch_size * s.length)


def _generate_keras(s: Setting) -> Turns:
    tf = commands.import_tensorflow()
    yield _versions(tf)
    model = _keras_model(tf, s)
    start = tf.zeros([s.batch_size], tf.int32)
    length = math.ceil(s.length / (10 if s.way == 'eager' else 1))

    def draw(ids):
        logits = tf.cast(model(ids[:, None])[:, -1], tf.float32)
        return tf.random.categorical(logits, 1, dtype=tf.int32)[:, 0]

    def body(i, ids, text):
        ids = draw(ids)
        return i + 1, ids, text.write(i, ids)

    @tf.function(autograph=False)
    def loop():
        begin = (0, start, tf.TensorArray(tf.int32, length))
        return tf.while_loop(lambda i, *_: i < length, body, begin)[2].stack()

    one = draw if s.way == 'eager' else tf.function(draw, autograph=False)

    def call_by_call():
        ids, text = start, []
        for _ in range(length):
            ids = one(ids)
            text.append(ids.numpy())
        return np.stack(text)

    write = call_by_call if s.way else lambda: loop().numpy()
    yield from _turns(s, write, s.batch_size * length)


def _generate_torch(s: Setting) -> Turns:
    import torch

    yield {'torch': torch.__version__}
    model, autocast = _torch_model(torch, s)
    start = torch.zeros([s.batch_size, 1], dtype=torch.int64)

    def write():
        text, state = [start], None
        with torch.no_grad(), autocast():
            for _ in range(s.length):
                logits, state = model(text[-1], state)
                shares = torch.softmax(logits[:, -1].float(), -1)
                text.append(torch.multinomial(shares, 1))
        return torch.cat(text, 1).cpu()

    yield from _turns(s, write, s.batch_size * s.length)


def _make_batches(s: Setting) -> Turns:
    tf = commands.import_tensorflow()
    from tfcharrnn.data import batches as data

    yield _versions(tf)
    batches = data.sequences(_random_ids(s), s.seq_length, s.batch_size)
    iterator = iter(batches.starting_at(0))

    def step():
        for _ in range(_BATCHES):
            next(iterator)

    yield from _turns(s, step, _BATCHES)


def _encode(s: Setting) -> Turns:
    from tfcharrnn.text import corpus

    yield {}
    ids = np.random.default_rng(0).integers(s.vocab_size, size=s.corpus_size)
    text = ''.join(np.array(list(_characters(s)))[ids])
    yield from _turns(s, lambda: corpus.Corpus.from_text(text), len(text))


_CONTENDERS = {
    'train': {
        _OURS: _train_ours,
        f'{_OURS} default threads': _train_ours,
        'keras': _train_keras,
        'torch': _train_torch,
    },
    'peak': {'product': _multiply},
    'generate': {
        _OURS: _generate_ours,
        'keras': _generate_keras,
        'keras call': _generate_keras,
        'keras eager': _generate_keras,
        'torch': _generate_torch,
    },
    'input': {_OURS: _make_batches},
    'corpus': {_OURS: _encode},
}


def _turns(s: Setting, step: Callable[[], Any], amount: int) -> Turns:
    """Makes steps, each of which does an `amount` of work."""
    step()
    yield None
    while True:
        step()  # Not timed: the caches were another's.
        start = time.perf_counter()
        for _ in range(s.steps):
            step()
        yield s.steps * amount / (time.perf_counter() - start)


def _our_model(s):
    from tfcharrnn.nn import char_rnn as model

    sizes = (s.vocab_size, s.embedding_dim, s.rnn_units, s.num_layers)
    return model.CharRNN(*sizes, s.cell, compute_dtype=s.precision)


def _keras_model(tf, s):
    keras = tf.keras
    if s.precision == 'bfloat16':
        keras.mixed_precision.set_global_policy('mixed_bfloat16')
    layer = functools.partial(
        getattr(keras.layers, _LAYERS[s.cell]),
        s.rnn_units,
        return_sequences=True,
        stateful=True,
        recurrent_initializer='glorot_uniform',
    )
    layers = [
        keras.Input(batch_shape=(s.batch_size, None), dtype='int32'),
        keras.layers.Embedding(s.vocab_size, s.embedding_dim),
        *(layer() for _ in range(s.num_layers)),
        keras.layers.Dense(s.vocab_size),
    ]
    return keras.Sequential(layers)


def _torch_model(torch, s):
    """Returns the model, and what makes the context to call it in."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_default_device(device)

    class CharRNN(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(s.vocab_size, s.embedding_dim)
            self.recurrent = getattr(torch.nn, _LAYERS[s.cell])(
                s.embedding_dim, s.rnn_units, s.num_layers, batch_first=True
            )
            self.dense = torch.nn.Linear(s.rnn_units, s.vocab_size)

        def forward(self, inputs, state):
            outputs, state = self.recurrent(self.embedding(inputs), state)
            return self.dense(outputs), state

    enabled = s.precision == 'bfloat16'
    return CharRNN(), functools.partial(
        torch.autocast, device, torch.bfloat16, enabled
    )


def _random_ids(s):
    size = _BATCHES * s.batch_size * s.seq_length + 1
    generator = np.random.default_rng(seed=0)
    return generator.integers(s.vocab_size, size=size, dtype=np.int32)


def _characters(s):
    return ''.join(map(chr, range(ord(' '), ord(' ') + s.vocab_size)))


def _versions(tf):
    gpus = [gpu.name for gpu in tf.config.list_physical_devices('GPU')]
    versions = {'tensorflow': tf.__version__, 'keras': tf.keras.__version__}
    return versions | ({'devices': gpus} if gpus else {})


class _Contender:
    """One of the contenders, in a process of its own.

    Attributes:
        what, name: Its place in the table of contenders.
        setting: Its flags.
        title: What is measured, in words.
        replies: [(what its generator yielded, seconds, bytes of memory)].
        error: Why it dropped out, or None.
    """

    def __init__(self, what: str, name: str, **setting: Any):
        self.what = what
        self.name = name
        framework, _, way = name.partition(' ')
        self.framework = framework
        self.setting = Setting(
            **{**FLAGS.flag_values_dict(), 'way': way, **setting}
        )
        self.replies: list[tuple[Any, float, int | None]] = []
        self.error: str | None = None
        self.title = _TITLES[what].format_map(vars(self.setting))

    def __str__(self):
        return f'{self.name} {self.setting.precision}'.rstrip()

    @property
    def speeds(self) -> list[float]:
        """What it did in a second, in each round."""
        return [value for value, _, _ in self.replies[2:]]

    def start(self) -> None:
        """Starts the process, and with it the imports."""
        context = multiprocessing.get_context('spawn')
        self._pipe, end = context.Pipe()
        arguments = (end, self.what, self.name, self.setting)
        self._process = context.Process(
            target=_serve, args=arguments, daemon=True
        )
        # Ctrl-C is for this process, which then ends the others.
        usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.start()
        finally:
            signal.signal(signal.SIGINT, usual)
            end.close()  # The other process alone holds it, and ends with it.

    def advance(self) -> None:
        """Waits for the imports, then the first step, then turn after turn."""
        if self.error is not None:
            return
        try:
            if self.replies:
                time.sleep(_PAUSE)
                self._pipe.send('next')
            reply = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            reply = f'its process ended with {self._process.exitcode}'
        if isinstance(reply, str):
            self.error = reply
        else:
            self.replies.append(reply)

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self._process.kill()
        self._process.join()


def _serve(pipe, what, name, setting):
    """Advances a generator when asked: what the process of a contender does."""
    os.environ.setdefault('TF_FORCE_GPU_ALLOW_GROWTH', 'true')
    start = time.perf_counter()
    try:
        for value in _CONTENDERS[what][name](setting):
            seconds = time.perf_counter() - start
            pipe.send((value, seconds, _peak_memory()))
            pipe.recv()
            start = time.perf_counter()
    except (EOFError, ConnectionError):
        pass  # Nobody asks any more.
    except Exception as error:
        pipe.send(f'{type(error).__name__}: {error}')


def _peak_memory():
    try:
        import resource
    except ImportError:  # Windows.
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else 1024 * peak


def _groups(peers: list[str]) -> list[list[_Contender]]:
    """Returns the contenders that the flags ask for, by whom they meet."""

    def find(what, precisions=FLAGS.precisions, **setting):
        contenders = [
            _Contender(what, name, precision=precision, **setting)
            for name in _CONTENDERS[what]
            for precision in precisions
        ]
        wanted = [c for c in contenders if _is_wanted(c, peers)]
        return wanted if what in FLAGS.what else []

    groups = []
    for cell in FLAGS.cells:
        # The peak is that of the same rounds.
        groups.append(find('train', cell=cell) + find('peak', cell=cell))
        for batch_size in map(int, FLAGS.generate_batch_sizes):
            groups.append(find('generate', cell=cell, batch_size=batch_size))
    groups += [find('input', ['']), find('corpus', [''])]
    return [group for group in groups if group]


def _is_wanted(contender, peers):
    s, framework = contender.setting, contender.framework
    if framework not in [_OURS, 'product', *peers]:
        return False
    if framework == 'keras' and contender.what == 'generate':
        # As in its tutorials: in float32, and theirs is a single text.
        best = s.precision == 'float32' or 'float32' not in s.precisions
        return best and (not s.way or s.batch_size == 1)
    return s.default_threads or not s.way


def _measure(groups):
    """Measures group after group, and says how much time is left."""
    rounds = 2 + FLAGS.rounds  # With those of the imports and first steps.
    done, total = 0, rounds * sum(map(len, groups))
    begin = time.monotonic()
    for group in groups:
        with contextlib.ExitStack() as stack:
            for contender in group:
                contender.start()
                stack.callback(contender.stop)
            for number in range(rounds):
                for contender in group:
                    contender.advance()
                done += len(group)
                left = (time.monotonic() - begin) * (total - done) / done
                sys.stderr.write(
                    f'{group[0].title}: {number + 1} of {rounds}, '
                    f'about {left:.0f} s left\n'
                )


def _report(groups, left_out):
    """Puts the figures together, in what becomes JSON."""
    versions, results = {_OURS: tfcharrnn.__version__}, []
    for group in groups:
        left_out |= {f'{c.title}: {c}': c.error for c in group if c.error}
        group = [c for c in group if not c.error]
        for contender in group:
            versions |= contender.replies[0][0]
            results.append(_result(contender, group))
    if not results:
        raise ValueError(f'Nothing was measured. {left_out or ""}'.rstrip())
    return {
        'processor': _processor(),
        'cores': os.cpu_count(),
        'versions': versions,
        'flags': FLAGS.flag_values_dict(),
        'results': results,
        'left_out': left_out,
    }


def _result(contender, group):
    """Returns the figures of a contender, and how they compare with ours."""
    s, what, speeds = contender.setting, contender.what, contender.speeds
    figures, ratios = {}, {}
    if what == 'train':
        chars = s.batch_size * s.seq_length
        figures['ms_per_step'] = _summary(1e3 * chars / x for x in speeds)
        figures['chars_per_second'] = statistics.median(speeds)
    elif what == 'input':
        figures['ms_per_batch'] = _summary(1e3 / x for x in speeds)
    elif what == 'peak':
        figures['gflops'] = _summary(x / 1e9 for x in speeds)
    else:
        figures['chars_per_second'] = _summary(speeds)
    for other in group:
        pairs = list(zip(speeds, other.speeds, strict=True))
        if what == 'train' and str(other) == f'product {s.precision}':
            flops = _flops_per_char(s)
            figures['peak_share'] = _summary(flops * a / b for a, b in pairs)
        if what == other.what and other.framework == _OURS:
            ratios[str(other)] = _summary(b / a for a, b in pairs)
    _, figures['first_seconds'], _ = contender.replies[1]
    if memory := contender.replies[-1][2]:
        figures['memory_gb'] = memory / 1e9
    ratios = ratios if contender.framework != _OURS else {}
    return {
        'title': contender.title,
        'name': str(contender),
        'what': what,
        **{k: v for k, v in vars(s).items() if k in ('cell', 'precision')},
        'figures': figures,
        'ours_is_faster': ratios,
        'rounds': speeds,
    }


def _flops_per_char(s):
    """Counts the operations of training on a character: see the top."""
    inputs = [s.embedding_dim] + [s.rnn_units] * (s.num_layers - 1)
    gates = _GATES[s.cell] * s.rnn_units
    weights = sum(gates * (size + s.rnn_units) for size in inputs)
    return 6 * (weights + s.rnn_units * s.vocab_size)


def _summary(values):
    values = list(values)
    median = statistics.median(values)
    return {'median': median, 'min': min(values), 'max': max(values)}


def _processor():
    with contextlib.suppress(OSError):
        text = pathlib.Path('/proc/cpuinfo').read_text('utf-8')
        if name := re.search(r'^model name\s*: (.*)$', text, re.MULTILINE):
            return name[1]
    return platform.processor() or platform.machine()


def _format(report):
    """Writes a report as tables."""
    versions = ', '.join(f'{k} {v}' for k, v in report['versions'].items())
    lines = [f'{report["processor"]}, {report["cores"]} cores', versions]
    for title in dict.fromkeys(r['title'] for r in report['results']):
        table = [r for r in report['results'] if r['title'] == title]
        lines += _align(title, table, 'figures')
        lines += _align('ours is faster, times', table, 'ours_is_faster')
    lines += [f'Left out: {k}: {v}' for k, v in report['left_out'].items()]
    return '\n'.join(lines)


def _align(title, results, part):
    """Lines up a part of the results in a table, if there is any."""
    rows = {r['name']: r[part] for r in results if r[part]}
    columns = [[title, *rows]]
    for name in dict.fromkeys(name for row in rows.values() for name in row):
        cells = (
            _text(row[name]) if name in row else '' for row in rows.values()
        )
        columns.append([name, *cells])
    widths = [max(map(len, column)) for column in columns]
    columns[0] = [text.ljust(widths[0]) for text in columns[0]]
    lines = [
        '  '.join(map(str.rjust, row, widths))
        for row in zip(*columns, strict=True)
    ]
    return ['', *lines] if rows else []


def _text(value):
    """Writes three digits; of a summary the median (lowest-highest)."""
    if isinstance(value, dict):
        median, low, high = map(_text, value.values())
        return f'{median} ({low}-{high})'
    return f'{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}'


if __name__ == '__main__':
    commands.run(main, FLAGS)
