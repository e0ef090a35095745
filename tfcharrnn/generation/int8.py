"""Int8Writer: a `Writer` whose model has int8 weights and runs in LiteRT.

It writes a single text several times faster than the compiled graphs. Its
logits differ a little, as the weights do, so its texts differ from those of
float32 here and there, with the same seed too.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn.generation import cache, conversion
from tfcharrnn.generation.conversion import Step
from tfcharrnn.generation.draws import Draws
from tfcharrnn.generation.request import Request
from tfcharrnn.generation.stopping import Stop

# Characters whose logits are held in memory at a time.
_PIECE = 256


class Int8Draft(NamedTuple):
    """Texts that are being written."""

    position: int  # characters written
    ids: np.ndarray  # [N], the last character of each text
    state: list[np.ndarray]  # [N, ...] each, before the model has read `ids`
    missing: np.ndarray  # [N], ids of the stop still to come
    draws: Draws
    stop: np.ndarray  # [S + 1, V] int32, `Stop.table`


class Int8Writer:
    """Makes the steps of a model with int8 weights.

    The weights are those that the model has when the writer is made.

        >>> from tfcharrnn.nn.char_rnn import CharRNN
        >>> writer = Int8Writer(CharRNN(5, embedding_dim=4, rnn_units=8))
        >>> draft = writer.begin(
        ...     np.array([1, 2]), Request('', 10), stop=Stop(None, 5), seed=1
        ... )
        >>> ids, draft = writer.write(draft, 6)
        >>> ids.shape
        (1, 6)
    """

    def __init__(self, model: Any):
        """Converts the model, or finds it in the cache.

        Args:
            model: See `Generator`.

        Raises:
            ValueError: The model cannot be converted, or no interpreter of
                LiteRT is installed.
        """
        conversion.find_interpreter()  # Before the time that conversion takes.
        self._content = cache.converted(model)
        self._steps = {1: Step(self._content, 1)}
        self._zero_state = [
            tensor.numpy() for tensor in tf.nest.flatten(model.initial_state(1))
        ]
        # An interpreter holds the state of one text, or of several.
        self._lock = threading.Lock()

    def read(self, ids: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Reads all ids but the last, which is only predicted.

        Args:
            ids: [N] integers.

        Returns:
            The log-probabilities [N - 1] of all but the first, in nats, and
            the state before the last.
        """
        scores = [np.empty(0, np.float32)]
        with self._lock:
            step = self._steps[1]
            step.state = self._zero_state
            for start in range(0, len(ids) - 1, _PIECE):
                piece = ids[start : start + _PIECE + 1]
                logits = np.concatenate([step(i) for i in piece[:-1, None]])
                scores.append(_log_probabilities(logits, piece[1:]))
            return np.concatenate(scores), step.state

    def score(self, ids: np.ndarray) -> np.ndarray:
        """Scores all ids but the first; see `Writer.score`."""
        return self.read(ids)[0]

    def begin(
        self, ids: np.ndarray, request: Request, *, stop: Stop, seed: int
    ) -> Int8Draft:
        """Reads a prompt; see `Writer.begin`."""
        num_texts = request.num_samples or 1
        _, state = self.read(ids)
        return Int8Draft(
            position=0,
            ids=np.repeat(ids[-1:], num_texts),
            state=[np.repeat(tensor, num_texts, axis=0) for tensor in state],
            missing=np.full([num_texts], stop.size),
            draws=Draws(
                request,
                seed=seed,
                num_texts=num_texts,
                vocab_size=stop.table.shape[1],
            ),
            stop=stop.table,
        )

    def write(self, draft: Int8Draft, end: int) -> tuple[np.ndarray, Int8Draft]:
        """Writes up to position `end`; see `Writer.write`."""
        ids, missing, texts = draft.ids, draft.missing, []
        can_stop = not draft.stop.all()
        with self._lock:
            step = self._step(len(ids))
            step.state = draft.state
            for position in range(draft.position, end):
                if can_stop and not missing.any():
                    break
                ids = draft.draws(step(ids), position)
                texts.append(ids)
                if can_stop:
                    missing = draft.stop[missing, ids]
            state = step.state
        written = np.array(texts, np.int32).reshape(len(texts), len(ids)).T
        draft = draft._replace(
            position=draft.position + len(texts),
            ids=ids,
            state=state,
            missing=missing,
        )
        return written, draft

    def _step(self, num_texts):
        """Returns the step for a number of texts.

        That of one text is kept, since it reads prompts; and the latest other.
        """
        if num_texts not in self._steps:
            self._steps = {
                1: self._steps[1],
                num_texts: Step(self._content, num_texts),
            }
        return self._steps[num_texts]


def _log_probabilities(logits, ids):
    """Returns the log-probabilities [T] of ids [T] from logits [T, V]."""
    logits = logits - logits.max(-1, keepdims=True)
    chosen = logits[np.arange(len(ids)), ids]
    return chosen - np.log(np.exp(logits).sum(-1))
