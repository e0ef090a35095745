"""What each contender does.

A contender is a generator that takes a `Task`. It imports what it needs and
yields versions; makes a first step and yields None; then makes turns and yields
their speeds, in characters, operations or batches per second.
"""

from __future__ import annotations

import functools
import math
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from tfcharrnn.benchmarking.settings import Task
from tfcharrnn.kinds import CELLS
from tfcharrnn.startup import import_tensorflow, set_threads

OURS = 'tfcharrnn'
_BATCHES = 64  # In the text.

Turns = Iterator[Any]


def _train_ours(s: Task) -> Turns:
    if s.way != 'default threads':
        set_threads()
    tf = import_tensorflow()
    from tfcharrnn.data import sequences
    from tfcharrnn.training.trainer import Trainer

    yield _versions(tf)
    optimizer = tf.keras.optimizers.Adam()
    trainer = Trainer(our_model(s), optimizer, clip_norm=5.0)
    batches = sequences(_random_ids(s), s.seq_length, s.batch_size)
    trainer.train(batches, steps=1)
    yield None
    while True:
        marks = []

        def mark(trainer, _, marks=marks):
            marks.append((trainer.step, time.perf_counter()))
            trainer.stop_training = trainer.step - marks[0][0] >= s.steps

        # `train` decides how many steps a loop has. The first loop is not
        # timed.
        trainer.train(batches, sys.maxsize, [mark])
        (first, start), (last, end) = marks[0], marks[-1]
        yield (last - first) * s.batch_size * s.seq_length / (end - start)


def _train_keras(s: Task) -> Turns:
    tf = import_tensorflow()
    yield _versions(tf)
    model = keras_model(tf, s)
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

    yield from turns(s, step, s.batch_size * s.seq_length)


def _train_torch(s: Task) -> Turns:
    import torch  # pyright: ignore[reportMissingImports]

    yield {'torch': torch.__version__}
    model, autocast = torch_model(torch, s)
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

    yield from turns(s, step, s.batch_size * s.seq_length)


def _multiply(s: Task) -> Turns:
    tf = import_tensorflow()
    yield _versions(tf)
    size = s.peak_size
    a, b = (tf.cast(x, s.precision) for x in tf.random.normal([2, size, size]))
    # Reading a number of the result waits for the GPU.
    yield from turns(s, lambda: float((a @ b)[0, 0]), 2 * size**3)


def _generate_ours(s: Task) -> Turns:
    if s.batch_size == 1:
        set_threads()
    tf = import_tensorflow()
    from tfcharrnn.generation.generator import Generator
    from tfcharrnn.text.vocabulary import Vocabulary

    yield _versions(tf)
    generator = Generator(
        our_model(s), Vocabulary(_characters(s)), precision=s.way or 'float32'
    )

    def write():
        return generator.generate(
            ' ', s.length, num_samples=s.batch_size, seed=0
        )

    yield from turns(s, write, s.batch_size * s.length)


def _generate_keras(s: Task) -> Turns:
    tf = import_tensorflow()
    yield _versions(tf)
    model = keras_model(tf, s)
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
    yield from turns(s, write, s.batch_size * length)


def _generate_torch(s: Task) -> Turns:
    import torch  # pyright: ignore[reportMissingImports]

    yield {'torch': torch.__version__}
    model, autocast = torch_model(torch, s)
    start = torch.zeros([s.batch_size, 1], dtype=torch.int64)

    def write():
        text, state = [start], None
        with torch.no_grad(), autocast():
            for _ in range(s.length):
                logits, state = model(text[-1], state)
                shares = torch.softmax(logits[:, -1].float(), -1)
                text.append(torch.multinomial(shares, 1))
        return torch.cat(text, 1).cpu()

    yield from turns(s, write, s.batch_size * s.length)


def _make_batches(s: Task) -> Turns:
    tf = import_tensorflow()
    from tfcharrnn.data import sequences

    yield _versions(tf)
    batches = sequences(_random_ids(s), s.seq_length, s.batch_size)
    iterator = iter(batches.starting_at(0))

    def step():
        for _ in range(_BATCHES):
            next(iterator)

    yield from turns(s, step, _BATCHES)


def _encode(s: Task) -> Turns:
    from tfcharrnn.text.corpus import Corpus

    yield {}
    ids = np.random.default_rng(0).integers(s.vocab_size, size=s.corpus_size)
    text = ''.join(np.array(list(_characters(s)))[ids])
    yield from turns(s, lambda: Corpus.from_text(text), len(text))


CONTENDERS = {
    'train': {
        OURS: _train_ours,
        f'{OURS} default threads': _train_ours,
        'keras': _train_keras,
        'torch': _train_torch,
    },
    'peak': {'product': _multiply},
    'generate': {
        OURS: _generate_ours,
        f'{OURS} int8': _generate_ours,
        'keras': _generate_keras,
        'keras call': _generate_keras,
        'keras eager': _generate_keras,
        'torch': _generate_torch,
    },
    'input': {OURS: _make_batches},
    'corpus': {OURS: _encode},
}


def turns(s: Task, step: Callable[[], Any], amount: int) -> Turns:
    """Makes steps, each of which does an `amount` of work.

    >>> steps = []
    >>> speeds = turns(Task(steps=5), lambda: steps.append('a step'), amount=2)
    >>> [len(steps) for _ in zip(range(3), speeds)]
    [1, 7, 13]

    Yields:
        None after the first step; then, after each turn of one untimed step
        and `s.steps` timed ones, the work per second.
    """
    step()
    yield None
    while True:
        step()  # Not timed: the caches hold another contender's data.
        start = time.perf_counter()
        for _ in range(s.steps):
            step()
        yield s.steps * amount / (time.perf_counter() - start)


def our_model(s: Task) -> Any:
    """Returns the model that ours trains and generates with."""
    from tfcharrnn.nn.char_rnn import CharRNN

    return CharRNN(
        vocab_size=s.vocab_size,
        embedding_dim=s.embedding_dim,
        rnn_units=s.rnn_units,
        num_layers=s.num_layers,
        cell=s.cell,
        compute_dtype=s.precision,
    )


def keras_model(tf: ModuleType, s: Task) -> Any:
    """Returns the same model in Keras, with a state as in its tutorial."""
    keras = tf.keras
    if s.precision == 'bfloat16':
        keras.mixed_precision.set_global_policy('mixed_bfloat16')
    layer = functools.partial(
        getattr(keras.layers, CELLS[s.cell].class_name),
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


def torch_model(torch: ModuleType, s: Task) -> tuple[Any, Callable[[], Any]]:
    """Returns the same model in PyTorch, and its `autocast` context."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    torch.set_default_device(device)

    class CharRNN(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(s.vocab_size, s.embedding_dim)
            self.recurrent = getattr(torch.nn, CELLS[s.cell].class_name)(
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
