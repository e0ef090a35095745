"""Generator: a trained model writes text, and scores given texts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Any, overload

import numpy as np
from absl import logging

from tfcharrnn import checks
from tfcharrnn.generation.request import Request
from tfcharrnn.generation.stopping import Stop
from tfcharrnn.generation.surprise import Surprise
from tfcharrnn.generation.tracing import Tracer
from tfcharrnn.generation.writer import Writer
from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.model_dir import load_model

# The pieces of a stream grow to this many characters: fewer calls from Python,
# and still many pieces a second.
_MAX_PIECE = 32
PRECISIONS = 'float32', 'int8', 'auto'
# A text begins after the first of these that the vocabulary has.
_BEFORE_TEXT = '\n '


class Generator:
    r"""Writes text with a model, a character at a time.

    The model reads the prompt, then each character that it has written:

        R  O  M  E  O            I           s
        |  |  |  |  |    draw    ^    draw   ^
        o->o->o->o->o-> logits --'->o-> logits --'-> ...

    Both run in compiled graphs: one reads, and one draws from the logits in a
    loop until the text is done. Nothing is kept between two calls, and `model`
    may be trained further between them.

        >>> tf.keras.utils.set_random_seed(1)
        >>> vocabulary = Vocabulary('\n abcdefgh')
        >>> model = CharRNN(len(vocabulary), embedding_dim=4, rnn_units=8)
        >>> generator = Generator(model, vocabulary)
        >>> text = generator.generate('a bad ', length=10, seed=1)
        >>> text.startswith('a bad '), len(text)
        (True, 16)
        >>> generator.score('a cab').shape
        (5,)

    Where the vocabulary is of lines (`vocabulary.lines`), a text is one line:
    it begins after a newline and ends before the next, and neither newline is
    part of it.

    With `precision='int8'`, a single text is written several times faster. The
    weights are then converted when the generator is made; make another after
    more training. See `generation.int8`.

    Attributes:
        model: The model that writes: a `CharRNN`, or anything with
            `vocab_size`, `initial_state(batch_size)`, `model(inputs, state)`
            and `model.step(ids, state)`. A state may hold whatever the model
            needs (see `Rereading`), in tensors with one row for each text.
        vocabulary: The characters that the model's ids stand for.
        precision: How the weights are read: 'float32' or 'int8'.
    """

    def __init__(
        self, model: Any, vocabulary: Vocabulary, *, precision: str = 'float32'
    ):
        """Puts a model and a vocabulary together.

        Args:
            model: The model.
            vocabulary: The vocabulary that it was trained with.
            precision: 'float32': the model as it is. 'int8': faster and almost
                as exact; needs LiteRT (`pip install 'tfcharrnn[int8]'`).
                'auto': 'int8' where it can be had, otherwise 'float32'.

        Raises:
            ValueError: The two differ in size, or `precision` is 'int8' and
                the model cannot be converted or LiteRT is not installed.
        """
        checks.choice('precision', precision, PRECISIONS)
        if model.vocab_size != len(vocabulary):
            raise ValueError(
                f'The model knows {model.vocab_size} characters, but the '
                f'vocabulary has {len(vocabulary)}. Use the vocabulary that '
                'the model was trained with.'
            )
        self.model = model
        self.vocabulary = vocabulary
        self.precision, self._writer = _make_writer(model, precision)
        self._tracer: Tracer | None = None

    @classmethod
    def from_checkpoint(
        cls,
        model_dir: str | os.PathLike,
        checkpoint: str | None = None,
        *,
        build: Callable[..., Any] = CharRNN,
        precision: str = 'float32',
    ) -> Generator:
        """Rebuilds a trained model from its directory.

        Args:
            model_dir: The directory that a `Checkpointer` wrote.
            checkpoint: None or 'latest', 'best' (on validation), or the path
                of a checkpoint.
            build: Makes the model from its `config`: see
                `training.model_dir.load_model`.
            precision: 'float32', 'int8' or 'auto', as for `Generator`.

        Returns:
            A generator with the model and its vocabulary.

        Raises:
            FileNotFoundError: The directory has no model, or not the
                checkpoint.
            ValueError: A file is damaged, or belongs to another model; or as
                for `Generator`.
        """
        checks.choice('precision', precision, PRECISIONS)
        model, vocabulary = load_model(model_dir, checkpoint, build=build)
        return cls(model, vocabulary, precision=precision)

    @overload
    def generate(
        self,
        prompt: str,
        length: int,
        *,
        temperature: float = ...,
        top_k: int | None = ...,
        top_p: float | None = ...,
        stop: str | None = ...,
        num_samples: None = None,
        seed: int | None = ...,
    ) -> str: ...

    @overload
    def generate(
        self,
        prompt: str,
        length: int,
        *,
        temperature: float = ...,
        top_k: int | None = ...,
        top_p: float | None = ...,
        stop: str | None = ...,
        num_samples: int,
        seed: int | None = ...,
    ) -> list[str]: ...

    def generate(
        self,
        prompt: str,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        num_samples: int | None = None,
        seed: int | None = None,
    ) -> str | list[str]:
        """Writes a text that begins with a prompt.

            generator.generate('ROMEO: ', length=500, temperature=0.8)

        The same seed writes the same text on every run. The first of many
        samples is the text that would be written alone.

        Args:
            prompt: The beginning of the text. After the empty prompt the model
                writes what follows a newline (a space, if the vocabulary has
                no newline, or else its first character). A line, its prompt
                included, always follows a newline.
            length: How many characters to write after the prompt, at most.
            temperature: 0 is greedy, 1 samples the model's distribution,
                higher is more random.
            top_k: Draw from this many of the most probable characters only;
                None: from all.
            top_p: Draw from the most probable characters that together have
                this probability only; None: from all.
            stop: The text ends before this string when the model writes it;
                the prompt may contain it. For a vocabulary of words, give
                whole words, each with the space before it. None: the end of
                the line where the vocabulary is of lines; otherwise the text
                ends at its length.
            num_samples: How many different texts to write at the same time.
            seed: A 64-bit integer that decides every draw; None: a random one,
                which is logged.

        Returns:
            The prompt and what was written after it. With `num_samples`, a
            list of that many texts, even if it is 1.

        Raises:
            ValueError: The prompt or `stop` has characters that the vocabulary
                lacks (they are named with their positions), or an argument is
                outside its range.
        """
        request = Request(
            prompt,
            length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop=stop,
            num_samples=num_samples,
            seed=seed,
        )
        draft, end = self._begin(request)
        ids, _ = self._writer.write(draft, request.length)
        texts = [prompt + self._decode(end.cut(row)) for row in ids]
        return texts[0] if num_samples is None else texts

    def stream(
        self,
        prompt: str,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        seed: int | None = None,
    ) -> Iterator[str]:
        """Writes a text and hands it out while it is being written.

            for piece in generator.stream('ROMEO: ', length=500, seed=1):
                print(piece, end='', flush=True)

        The first piece is the prompt. Then comes one character, at once, and
        each later piece is twice as long as the one before, up to 32.

        Args:
            prompt: As in `generate`.
            length: As in `generate`.
            temperature: As in `generate`.
            top_k: As in `generate`.
            top_p: As in `generate`.
            stop: As in `generate`.
            seed: As in `generate`.

        Returns:
            An iterator over pieces that are not empty. Together they are the
            text that `generate` returns for the same arguments.

        Raises:
            ValueError: As in `generate`, and already at the call.
        """
        request = Request(
            prompt,
            length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop=stop,
            seed=seed,
        )
        draft, end = self._begin(request)
        return self._stream(request, draft, end)

    def score(self, text: str) -> np.ndarray:
        """Computes how probable the model finds each character of a text.

        Each is predicted from the characters before it in the text, the first
        as `generate` predicts it after the empty prompt.

        Args:
            text: Any text.

        Returns:
            [N] float32, the log-probability of each of N characters in nats.
            Their negated mean is the loss of the text.

        Raises:
            ValueError: The text has characters that the vocabulary lacks.
        """
        ids = self._encode(text)
        first = self._writer.score(np.append(self._start_id(), ids[:1]))
        return np.concatenate([first, self._writer.score(ids)])

    def surprise(self, text: str) -> Surprise:
        """Returns a text with the bits of each character; see `Surprise`.

        generator.surprise('To be, or not to be')   # colored in a notebook

        Args:
            text: Any text. A character that the vocabulary lacks is not read,
                and its bits are NaN; a word that it lacks is read as ' <unk>'.
        """
        return Surprise.of(text, self.vocabulary, self.score)

    def states(self, text: str) -> dict[str, np.ndarray]:
        r"""Reads a text and returns what each unit did at each character.

            >>> vocabulary = Vocabulary('\n abcdefgh')
            >>> model = CharRNN(len(vocabulary), embedding_dim=4, rnn_units=8)
            >>> values = Generator(model, vocabulary).states('a cab')
            >>> values['state'].shape  # characters, layers, units
            (5, 1, 8)

        The text is read from the zero state, as by `score`, in float32. At
        position t are the values after character t, in the names of `cells`:

            gru      state h', update z, reset r, candidate h~
            lstm     state h', cell c', input i, forget f, output o, candidate
            mingru   state h', update z, candidate
            vanilla  state h'

        'state' is also the output. Gates are from 0 to 1. z is the share of
        the old state that is kept; in mingru, the share that is replaced. A
        cell of your own has what its `trace` names.

        Returns:
            [T, L, U] float32 by name: T characters, L layers of U units.

        Raises:
            ValueError: As for `score`, or the model is not a `CharRNN`.
        """
        if self._tracer is None:
            self._tracer = Tracer(self.model)
        return self._tracer.trace(self._encode(text))

    def __repr__(self) -> str:
        return f'<Generator of {self.model!r} in {self.precision}>'

    def _begin(self, request: Request) -> tuple[Any, Stop]:
        """Reads the prompt; returns the draft after it, and where it ends."""
        ids = self._encode(request.prompt)
        # A line begins after the end of another, which is not part of it.
        if self.vocabulary.lines or not len(ids):
            ids = np.append(self._start_id(), ids)
        stop = Stop(
            _encode_stop(self.vocabulary, request.stop), len(self.vocabulary)
        )
        seed = request.seed
        if seed is None:
            seed = secrets.randbits(32)
            logging.info('Generating with seed=%d.', seed)
        return self._writer.begin(ids, request, stop=stop, seed=seed), stop

    def _stream(self, request, draft, stop):
        if request.prompt:
            yield request.prompt
        held, size, position = np.empty(0, np.int32), 1, 0
        missing = stop.size
        while position < request.length and missing:
            position = min(position + size, request.length)
            size = min(2 * size, _MAX_PIECE)
            ids, draft = self._writer.write(draft, position)
            missing = int(draft.missing[0])
            held = np.concatenate([held, ids[0]])
            # What may turn out to be the beginning of `stop` has to wait.
            num_settled = stop.num_settled(len(held), missing)
            if num_settled:
                yield self._decode(held[:num_settled])
            held = held[num_settled:]
        if missing and len(held):  # `stop` was not completed: it is text.
            yield self._decode(held)

    def _start_id(self):
        known = [char for char in _BEFORE_TEXT if char in self.vocabulary]
        return self._encode(known[0])[0] if known else 0

    def _encode(self, text):
        return _encode(self.vocabulary, text)

    def _decode(self, ids):
        return self.vocabulary.decode(ids)


def _make_writer(model: Any, precision: str) -> tuple[str, Any]:
    """Returns the precision that is taken, and the writer that has it."""
    if precision != 'float32':
        try:
            from tfcharrnn.generation.int8 import Int8Writer

            return 'int8', Int8Writer(model)
        except Exception as error:
            if precision == 'int8':
                raise
            # Whatever is missing, float32 needs nothing.
            logging.info("`precision` is 'float32': %s", error)
    return 'float32', Writer(model)


def _encode(vocabulary: Vocabulary, text: str) -> np.ndarray:
    """Encodes a text; warns of words that are not known."""
    ids = vocabulary.encode(text)
    if vocabulary.unknown is None:
        return ids  # Or else the vocabulary has raised an error.
    if unseen := vocabulary.count_unseen(text):
        logging.warning(
            'The vocabulary lacks %s: read as%s.',
            ', '.join(map(repr, unseen)),
            vocabulary.unknown,
        )
    return ids


def _encode_stop(vocabulary: Vocabulary, stop: str | None) -> Any:
    """Returns the ids that end a text, or None."""
    if stop is None and vocabulary.lines:
        stop = '\n'
    if stop is None:
        return None
    ids = vocabulary.encode(stop)
    if unseen := vocabulary.count_unseen(stop):
        raise ValueError(
            f'`stop` is {stop!r}, but the model never writes '
            f'{", ".join(map(repr, unseen))}. Give words that it knows, '
            f'each with the space before it.'
        )
    return ids
