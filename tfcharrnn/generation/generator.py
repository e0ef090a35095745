"""Generator: a trained model writes text, and scores texts of others."""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from tfcharrnn.generation import sampling
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import checkpoints

# Texts are read in pieces, so that memory does not grow with their length.
_PIECE = 256
# `stream` hands out so many characters at a time in the end: fewer calls from
# Python, and still many pieces a second.
_MAX_PIECE = 32
# Where a text begins: after the first of these that the vocabulary has.
_BEFORE_TEXT = '\n '


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How text is drawn: the keywords of `generate` and `stream`.

    Attributes:
        temperature: From 0 (always the most probable character) over 1 (as
            the model says) towards ever more surprising.
        top_k: Draw from so many of the most probable characters; None: all.
        top_p: Draw from the most probable characters that together have this
            probability; None: all.
        stop: A string. The text ends before it as soon as it is written; a
            prompt may contain it. None: the text ends at its length. Of words
            it is whole ones, each with the space before it.
        seed: A 64-bit integer that decides every draw; None: a fresh one,
            which is logged.

    Raises:
        ValueError: One of them is none of the above.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    stop: str | None = None
    seed: int | None = None

    def __post_init__(self):
        if np.ndim(self.temperature):
            raise ValueError(
                f'`temperature` is one number, but got {self.temperature!r}. '
                'Generate once for each of them.'
            )
        sampling.check(self.temperature, self.top_k, self.top_p)
        if self.stop is not None and not (
            isinstance(self.stop, str) and self.stop
        ):
            raise ValueError(
                f'`stop` must be a string with at least one character, or '
                f'None, but is {self.stop!r}.'
            )
        if self.seed is not None:
            _check_integer('seed', self.seed, -(1 << 63))


class _Plan(NamedTuple):
    """What stays the same while a text is written."""

    seed: tf.Tensor  # [] int64
    sampling: dict[str, tf.Tensor]  # the keywords of `sampling.sample`
    stop: tf.Tensor  # see `_stop_table`
    weights: Any  # of the model, made ready for its `step`


class _Place(NamedTuple):
    """Where the writing stands: what changes from character to character."""

    position: tf.Tensor  # [] int32, characters written
    ids: tf.Tensor  # [N] int32, the last character of each text
    state: Any  # of the model, before it has read `ids`
    missing: tf.Tensor  # [N] int32, characters until `stop` is complete


class Rereading:
    """A model that reads its last characters anew for each next one.

    Its state is these characters, so a `Generator` writes with it as with any
    other. It is the way of Chollet's LSTM example, and the only one for a model
    without a state, such as a convolution; a recurrent model that carries its
    state on makes one step where this makes `maxlen`.

        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> vocabulary = Vocabulary('abc')
        >>> model = Rereading(CharRNN(3, rnn_units=8), maxlen=5)
        >>> len(Generator(model, vocabulary).generate('ab', 10))
        12
    """

    def __init__(self, model: Any, maxlen: int):
        """Wraps a model.

        Args:
            model: As for `Generator`; it need not have a `step`.
            maxlen: Characters to read each time. Where there are not as many
                yet, the first of the vocabulary stand before them.
        """
        self.vocab_size = model.vocab_size
        self._model = model
        self._maxlen = maxlen

    def initial_state(self, batch_size: int | tf.Tensor) -> tf.Tensor:
        """Returns the last characters before the first: [B, maxlen] ids."""
        return tf.zeros([batch_size, self._maxlen], tf.int32)

    def __call__(
        self, inputs: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts each next character; ids [B, T] to logits [B, T, V]."""
        ids = tf.concat([state, tf.cast(inputs, tf.int32)], axis=1)
        windows = tf.signal.frame(ids, self._maxlen, 1, axis=1)[:, 1:]
        rows = tf.reshape(windows, [-1, self._maxlen])
        logits, _ = self._model(
            rows, self._model.initial_state(tf.shape(rows)[0])
        )
        shape = [*tf.unstack(tf.shape(inputs)), self.vocab_size]
        return tf.reshape(logits[:, -1], shape), ids[:, -self._maxlen :]

    def step(
        self, ids: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts the next character from one; ids [B] to logits [B, V]."""
        logits, state = self(ids[:, tf.newaxis], state)
        return logits[:, 0], state


class Generator:
    r"""Writes text with a model, a character at a time.

    The model reads the prompt, then each character that it has written:

        R  O  M  E  O            I           s
        |  |  |  |  |    draw    ^    draw   ^
        o->o->o->o->o-> logits --'->o-> logits --'-> ...

    All of it runs in compiled graphs: one reads, piece by piece, and one draws
    from the logits in a loop until the text is done. Nothing is kept between
    two calls, and `model` may go on training between them.

        >>> tf.keras.utils.set_random_seed(1)
        >>> vocabulary = Vocabulary('\n abcdefgh')
        >>> model = CharRNN(len(vocabulary), embedding_dim=4, rnn_units=8)
        >>> generator = Generator(model, vocabulary)
        >>> text = generator.generate('a bad ', length=10, seed=1)
        >>> text.startswith('a bad '), len(text)
        (True, 16)
        >>> generator.score('a cab').shape
        (5,)

    Attributes:
        model: What writes: `CharRNN`, or anything with `vocab_size`,
            `initial_state(batch_size)`, `model(inputs, state)` and
            `model.step(ids, state)`. What a state holds is the model's affair
            (one that reads a window again could keep its last characters),
            as long as its tensors have one row for each text.
        vocabulary: The characters that the model's ids stand for.
    """

    def __init__(self, model: CharRNN, vocabulary: Vocabulary):
        """Puts a model and a vocabulary together.

        Args:
            model: The model.
            vocabulary: The vocabulary that it was trained with.

        Raises:
            ValueError: The two differ in size.
        """
        if model.vocab_size != len(vocabulary):
            raise ValueError(
                f'The model knows {model.vocab_size} characters, but the '
                f'vocabulary has {len(vocabulary)}. Use the vocabulary that '
                'the model was trained with.'
            )
        self.model = model
        self.vocabulary = vocabulary
        self._graphs = {}

    @classmethod
    def from_checkpoint(
        cls,
        model_dir: str | os.PathLike,
        checkpoint: str | None = None,
        *,
        build: Callable[..., Any] = CharRNN,
    ) -> Generator:
        """Rebuilds a trained model from its directory.

        Args:
            model_dir: The directory that a `Checkpointer` wrote.
            checkpoint: None or 'latest', 'best' (on validation), or the path
                of a checkpoint.
            build: Makes the model from its `config`: see
                `checkpoints.load_model`.

        Returns:
            A generator with the model and its vocabulary.

        Raises:
            FileNotFoundError: There is no model or no such checkpoint.
            ValueError: A file is damaged, or not of this model.
        """
        model, vocabulary = checkpoints.load_model(
            model_dir, checkpoint, build=build
        )
        return cls(model, vocabulary)

    def generate(
        self,
        prompt: str,
        length: int,
        *,
        num_samples: int | None = None,
        **options: Any,
    ) -> str | list[str]:
        """Writes a text that begins with a prompt.

            generator.generate('ROMEO: ', length=500, temperature=0.8)

        The same seed writes the same text on every run, and the first of many
        samples is what would be written alone.

        Args:
            prompt: How the text begins. The empty prompt writes what would
                follow a newline (where the vocabulary has none, a space; or
                else its first character), which is not part of the text.
            length: How many characters to write after the prompt.
            num_samples: How many different texts to write at the same time.
            **options: `temperature`, `top_k`, `top_p`, `stop` and `seed`: see
                `Options`.

        Returns:
            The prompt and what was written, a string; with `num_samples` a
            list of that many, also if it is 1.

        Raises:
            ValueError: The prompt or `stop` has characters that the vocabulary
                lacks (they are named with their positions), or an argument is
                none of the above.
            TypeError: There is no such option.
        """
        options = Options(**options)
        length = _check_length(length)
        rows = 1
        if num_samples is not None:
            rows = _check_integer('num_samples', num_samples, 1)
        place, plan = self._begin(prompt, rows, options)
        ids, _ = self._write(place, plan, length)
        stop = self._encode_stop(options.stop)
        texts = [prompt + self._decode(_cut(row, stop)) for row in ids]
        return texts[0] if num_samples is None else texts

    def stream(self, prompt: str, length: int, **options: Any) -> Iterator[str]:
        """Writes a text and hands it out while it is being written.

            for piece in generator.stream('ROMEO: ', length=500, seed=1):
                print(piece, end='', flush=True)

        The first piece is the prompt. The pieces that follow double in size
        from one character, so that the first comes at once, up to 32.

        Args:
            prompt: As in `generate`.
            length: As in `generate`.
            **options: As in `generate`.

        Returns:
            An iterator over pieces that are not empty. Put together they are
            the text that `generate` returns for the same arguments.

        Raises:
            ValueError: As in `generate`, and at the call rather than later.
            TypeError: There is no such option.
        """
        options = Options(**options)
        length = _check_length(length)
        place, plan = self._begin(prompt, 1, options)
        return self._stream(prompt, length, place, plan, options.stop)

    def score(self, text: str) -> np.ndarray:
        """Computes how probable the model finds each character of a text.

        Each is predicted from those before it, as they stand in the text; the
        first as `generate` predicts it for the empty prompt.

        Args:
            text: Any text.

        Returns:
            [N] float32 for N characters: natural logarithms of probabilities,
            in nats. Their mean, negated, is the loss of the text.

        Raises:
            ValueError: The text has characters that the vocabulary lacks.
        """
        ids = self._encode(text)
        first, _ = self._read(np.append(self._start_id(), ids[:1]))
        others, _ = self._read(ids)
        return np.concatenate([first, others])

    def _stream(self, prompt, length, place, plan, stop):
        if prompt:
            yield prompt
        held, size, position = np.empty(0, np.int32), 1, 0
        whole = int(place.missing[0])
        while position < length and place.missing[0] > 0:
            position = min(position + size, length)
            size = min(2 * size, _MAX_PIECE)
            ids, place = self._write(place, plan, position)
            held = np.concatenate([held, ids[0]])
            # What may turn out to be the beginning of `stop` has to wait.
            num_free = len(held) - (whole - int(place.missing[0]))
            if num_free:
                yield self._decode(held[:num_free])
            held = held[num_free:]
        if len(held) and self._decode(held) != stop:
            yield self._decode(held)

    def _begin(self, prompt, num_samples, options):
        """Reads the prompt; returns the place after it, and the plan."""
        ids = self._encode(prompt)
        stop = self._encode_stop(options.stop)
        _, state = self._read(ids)
        last = ids[-1] if len(ids) else self._start_id()
        place = _Place(
            position=tf.constant(0),
            ids=tf.fill([num_samples], tf.constant(last, tf.int32)),
            state=tf.nest.map_structure(
                lambda tensor: tf.repeat(tensor, num_samples, axis=0), state
            ),
            missing=tf.fill([num_samples], 1 if stop is None else len(stop)),
        )
        seed = options.seed
        if seed is None:
            seed = secrets.randbits(32)
            logging.info('Generating with seed=%d.', seed)
        plan = _Plan(
            seed=tf.constant(seed, tf.int64),
            sampling=_to_tensors(options, len(self.vocabulary)),
            stop=tf.constant(_stop_table(stop, len(self.vocabulary))),
            weights=self._graph('weights', self._step_weights)(),
        )
        return place, plan

    def _step_weights(self):
        """Makes the weights ready, if the model has a way to."""
        make = getattr(self.model, 'step_weights', None)
        return make() if make else ()

    def _read(self, ids):
        """Reads all ids but the last, which it only scores.

        Args:
            ids: [N] integers.

        Returns:
            The log-probabilities [N - 1] of all but the first, and the state
            before the last.
        """
        state = self.model.initial_state(1)
        scores = [np.empty(0, np.float32)]
        for start in range(0, len(ids) - 1, _PIECE):
            piece = tf.constant(ids[start : start + _PIECE + 1], tf.int32)
            piece = piece[tf.newaxis]
            any_length = tf.TensorSpec([1, None], tf.int32)
            graph = self._graph(
                'read', self._read_piece, any_length, _specs(state)
            )
            score, state = graph(piece, state)
            scores.append(score.numpy())
        return np.concatenate(scores), state

    def _read_piece(self, ids, state):
        """Reads and scores ids [1, T + 1] in one call of the model."""
        logits, state = self.model(ids[:, :-1], state)
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(
            ids[:, 1:], logits
        )
        return -nats[0], state

    def _write(self, place, plan, end):
        """Writes up to position `end`, or until every text has its `stop`.

        Args:
            place: A `_Place`: where to begin.
            plan: A `_Plan`.
            end: Position.

        Returns:
            The ids [N, up to `end - place.position`] and the place after them.
        """
        any_stop = tf.TensorSpec([None, len(self.vocabulary)], tf.int32)
        graph = self._graph(
            ('write', place.ids.shape[0], *plan.sampling),
            self._write_loop,
            _specs(place),
            _specs(plan)._replace(stop=any_stop),
            tf.TensorSpec([], tf.int32),
        )
        ids, place = graph(place, plan, tf.constant(end))
        return ids.numpy(), place

    def _write_loop(self, place, plan, end):
        start = place.position
        texts = tf.TensorArray(
            tf.int32, end - start, element_shape=place.ids.shape
        )

        def unfinished(place, _):
            running = tf.reduce_any(place.missing > 0)
            return tf.logical_and(place.position < end, running)

        def write_one(place, texts):
            logits, state = self.model.step(
                place.ids,
                place.state,
                *([plan.weights] if plan.weights else []),
            )
            seed = tf.stack([plan.seed, tf.cast(place.position, tf.int64)])
            ids = sampling.sample(logits, seed, **plan.sampling)
            missing = tf.gather_nd(
                plan.stop, tf.stack([place.missing, ids], axis=1)
            )
            texts = texts.write(place.position - start, ids)
            return _Place(place.position + 1, ids, state, missing), texts

        place, texts = tf.while_loop(unfinished, write_one, (place, texts))
        return tf.transpose(texts.stack()[: place.position - start]), place

    def _graph(self, key, function, *specs):
        """Returns the graph of a function, made when first asked for.

        Made for `specs`, it takes whatever fits them: no length of a text,
        and no value of an option, traces anew. (Where parts of a model are
        XLA's, as MinGRU and layer normalisation, these compile for each length
        of a prompt.)
        """
        if key not in self._graphs:
            compiled = tf.function(function, autograph=False)
            self._graphs[key] = compiled.get_concrete_function(*specs)
        return self._graphs[key]

    def _start_id(self):
        known = [char for char in _BEFORE_TEXT if char in self.vocabulary]
        return self._encode(known[0])[0] if known else 0

    def _encode(self, text):
        ids = self.vocabulary.encode(text)
        # What a vocabulary of characters lacks has raised.
        if self.vocabulary.unit != 'character':
            if unseen := self.vocabulary.count_unseen(text):
                logging.warning(
                    'The vocabulary lacks %s: read as%s.',
                    ', '.join(map(repr, unseen)),
                    self.vocabulary.decode([0]),
                )
        return ids

    def _encode_stop(self, stop):
        if stop is None:
            return None
        ids = self.vocabulary.encode(stop)
        if unseen := self.vocabulary.count_unseen(stop):
            raise ValueError(
                f'`stop` is {stop!r}, but the model never writes '
                f'{", ".join(map(repr, unseen))}. Give words that it knows, '
                f'each with the space before it.'
            )
        return ids

    def _decode(self, ids):
        return self.vocabulary.decode(ids)


def _cut(ids, stop):
    """Returns the ids before the first `stop`; all, if there is none.

    >>> _cut(np.array([1, 2, 3, 2, 3]), np.array([2, 3]))
    array([1])
    """
    if stop is None or len(ids) < len(stop):
        return ids
    windows = np.lib.stride_tricks.sliding_window_view(ids, len(stop))
    found = np.flatnonzero((windows == stop).all(axis=1))
    return ids[: found[0]] if len(found) else ids


def _specs(tensors):
    return tf.nest.map_structure(tf.TensorSpec.from_tensor, tensors)


def _to_tensors(options: Options, vocab_size: int) -> dict[str, tf.Tensor]:
    """Returns what `sampling.sample` is to be called with, as tensors.

    A tensor may change its value without compiling anew. What is None is left
    out, so that its operations are not even in the graph.
    """
    tensors = {'temperature': tf.constant(options.temperature, tf.float32)}
    if options.top_k is not None:
        tensors['top_k'] = tf.constant(min(int(options.top_k), vocab_size))
    if options.top_p is not None:
        tensors['top_p'] = tf.constant(options.top_p, tf.float32)
    return tensors


def _stop_table(stop: np.ndarray | None, vocab_size: int) -> np.ndarray:
    """Tells how far a text is from having written `stop`.

    It is the automaton of Knuth, Morris and Pratt: when `missing` characters
    of `stop` are still to come and the text goes on with the character `id`,
    then `table[missing, id]` are. Once none is missing it stays so.

        >>> table = _stop_table(np.array([0, 0, 1]), vocab_size=2)  # 'aab'
        >>> missing = 3
        >>> for char in 'abaaaba':
        ...     missing = table[missing, 'ab'.index(char)]
        ...     print(missing, end=' ')
        2 3 2 1 1 0 0

    Args:
        stop: [S] integers below V, S > 0, or None.
        vocab_size: V.

    Returns:
        [S + 1, V] int32. Without `stop` one is always missing.
    """
    if stop is None:
        return np.ones([2, vocab_size], np.int32)
    size = len(stop)
    table = np.zeros([size + 1, vocab_size], np.int32)
    # `fallback` is the row after all but the first of the characters so far.
    fallback = size
    for place, char in enumerate(stop):
        row = size - place
        table[row] = table[fallback] if place else size
        table[row, char] = row - 1
        if place:
            fallback = table[fallback, char]
    return table


def _check_length(length):
    # Positions in a graph's loop are 32-bit integers.
    return _check_integer('length', length, 0, (1 << 31) - 1)


def _check_integer(name, value, minimum, maximum=(1 << 63) - 1):
    is_integer = isinstance(value, int | np.integer)
    if not is_integer or isinstance(value, bool):
        raise ValueError(f'`{name}` must be a whole number, but is {value!r}.')
    if not minimum <= value <= maximum:
        raise ValueError(
            f'`{name}` must be from {minimum} to {maximum}, but is {value}.'
        )
    return int(value)
