"""Strips: a long text is read in strips side by side, and then checked.

    the text   |------------|------------|------------|
    strip 0    |----------->|
    strip 1                 |----------->|
    strip 2                              |----------->|

A model reads 64 rows in a few times the time of one. But a strip needs the
state at the end of the one before, which is not known yet. So all strips are
first read from the zero state. Then each is read again, from the end of the one
before it, until its state is what it was the first time. A model that forgets
is there after some hundred characters. Where a strip now ends in another state,
the next one is read once more. A model that never forgets makes each strip wait
for the one before it: then they are read one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

State = list[np.ndarray]  # each [S, ...]
Read = Callable[[np.ndarray, State], tuple[np.ndarray, State]]

# Pieces of a strip; each takes memory for a state.
_MAX_PIECES = 64
# Rounds in which all strips are read again, before one follows the other.
_MAX_ROUNDS = 3
# Equal states may differ by this share of their largest value. What rounding
# leaves between two readings of Shakespeare is up to 4e-6.
_TOLERANCE = 1e-5


def score(read: Read, zero_state: State, ids: np.ndarray, *, piece: int):
    """Scores all characters of a text but the first.

        >>> def count(ids, state):  # a model that remembers all it has read
        ...     counts = state[0][:, None] + np.arange(1, ids.shape[1])
        ...     return counts, [counts[:, -1]]
        >>> score(count, [np.zeros([3])], np.arange(11), piece=2).tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]

    Args:
        read: Maps ids [S, T + 1] and a state to scores [S, T] of all but the
            first, and to the next state. It is called with one row, too.
        zero_state: The state before a text, for S strips.
        ids: [N] integers, N > 0.
        piece: Characters of a strip that are read in one call.

    Returns:
        [N - 1] float32, the scores.
    """
    state = [tensor[:1] for tensor in zero_state]
    # A section at a time, since the states of all its pieces are kept.
    size = len(zero_state[0]) * piece * _MAX_PIECES
    scores = [np.empty(0, np.float32)]
    for start in range(0, len(ids) - 1, size):
        section = _Section(ids[start : start + size + 1], zero_state, piece)
        section.read(read, state)
        scores.append(section.scores)
        state = section.end
    return np.concatenate(scores)


class _Section:
    """A part of a text in strips, each of them cut into pieces."""

    def __init__(self, ids, zero_state, piece):
        self._zero_state = zero_state
        self._piece = piece
        self._length = len(ids) - 1
        num_strips = len(zero_state[0])
        self._num_pieces = -(-self._length // (num_strips * piece))
        size = self._num_pieces * piece
        # The last strips may be filled up with zeros.
        padded = np.zeros(num_strips * size + 1, np.int32)
        padded[: len(ids)] = ids
        self._starts = size * np.arange(num_strips)
        self._ids = padded[self._starts[:, None] + np.arange(size + 1)]
        self._scores = np.empty([num_strips, size], np.float32)
        # Before each piece, and after the last.
        self._states: list[Any] = [None] * (self._num_pieces + 1)

    @property
    def scores(self):
        """[N - 1] float32."""
        return self._scores.ravel()[: self._length]

    @property
    def end(self):
        """The state after the section, unless it was filled up."""
        return [tensor[-1:] for tensor in self._states[-1]]

    def read(self, read, state):
        """Reads the section, which begins in a state [1, ...]."""
        self._read_on(read, slice(None), _join(state, self._zero_state))
        for _ in range(_MAX_ROUNDS):
            starts = _join(state, self._states[-1])
            if self._has_been_in(starts, 0, slice(None)):
                return
            self._read_on(read, slice(None), starts)
        for strip in range(1, len(self._ids)):
            before = [x[strip - 1 : strip] for x in self._states[-1]]
            self._read_on(read, slice(strip, strip + 1), before)

    def _read_on(self, read, rows, state):
        """Reads strips from a state, up to where it was there before."""
        for piece in range(self._num_pieces):
            if self._has_been_in(state, piece, rows):
                return
            self._keep(piece, rows, state)
            start = piece * self._piece
            ids = self._ids[rows, start : start + self._piece + 1]
            scores, state = read(ids, state)
            self._scores[rows, start : start + self._piece] = scores
        self._keep(self._num_pieces, rows, state)

    def _has_been_in(self, state, piece, rows):
        """Whether the state before a piece is the one of the last time."""
        if self._states[piece] is None:
            return False
        # What only fills a strip up need not agree.
        is_text = self._starts[rows] + piece * self._piece < self._length
        return all(
            _agree(tensor[is_text], seen[rows][is_text])
            for tensor, seen in zip(state, self._states[piece], strict=True)
        )

    def _keep(self, piece, rows, state):
        if self._states[piece] is None:
            self._states[piece] = [np.array(tensor) for tensor in state]
        for kept, tensor in zip(self._states[piece], state, strict=True):
            kept[rows] = tensor


def _join(first, others):
    """Returns the state `first` and those of all rows but the last."""
    pairs = zip(first, others, strict=True)
    return [np.concatenate([x, rest[:-1]]) for x, rest in pairs]


def _agree(one, other):
    """Whether two tensors are the same, rounding aside."""
    if np.issubdtype(np.asarray(one).dtype, np.integer):
        return np.array_equal(one, other)
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    bound = _TOLERANCE * abs(other).max(initial=0.0)
    return abs(one - other).max(initial=0.0) <= bound
