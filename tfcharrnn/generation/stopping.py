"""Stopping: where a text ends, and what of it a stream may hand out."""

from __future__ import annotations

import numpy as np


class Stop:
    """Ends a text before the first occurrence of a sequence of ids.

    While a text is written, only a number is kept: how many ids of the
    sequence are still missing. It is 0 once the sequence is complete, and the
    table tells how each id changes it.

        >>> stop = Stop(np.array([2, 3]), vocab_size=4)
        >>> stop.size, stop.cut(np.array([1, 2, 2, 3, 1]))
        (2, array([1, 2]))

    Attributes:
        size: Ids of the sequence, all of which are missing at first.
        table: [S + 1, V] int32: see `stop_table`.
    """

    def __init__(self, ids: np.ndarray | None, vocab_size: int):
        """Takes the sequence, and makes its table.

        Args:
            ids: [S] integers below V, S > 0; None: the text has no end.
            vocab_size: V.
        """
        self._ids = ids
        self.size = 1 if ids is None else len(ids)
        self.table = stop_table(ids, vocab_size)

    def cut(self, ids: np.ndarray) -> np.ndarray:
        """Returns the ids before the first occurrence; without one, all."""
        if self._ids is None or len(ids) < self.size:
            return ids
        windows = np.lib.stride_tricks.sliding_window_view(ids, self.size)
        found = np.flatnonzero((windows == self._ids).all(axis=1))
        return ids[: found[0]] if len(found) else ids

    def num_settled(self, num_written: int, missing: int) -> int:
        """Counts the ids that are certainly part of the text.

        Those that follow may be the beginning of the sequence, so a stream
        has to hold them back:

            >>> stop = Stop(np.array([0, 0, 1]), vocab_size=2)
            >>> stop.num_settled(num_written=7, missing=1)  # ends in 0, 0
            5

        Args:
            num_written: Ids written so far.
            missing: Ids of the sequence that are missing after them.
        """
        return num_written - (self.size - missing)


def stop_table(ids: np.ndarray | None, vocab_size: int) -> np.ndarray:
    """Tells how far a text is from having written a sequence of ids.

    This is the automaton of Knuth, Morris and Pratt (1977,
    https://doi.org/10.1137/0206024). If `missing` ids are missing and the text
    goes on with `id`, then `table[missing, id]` are missing. 0 stays 0.

        >>> table = stop_table(np.array([0, 0, 1]), vocab_size=2)  # 'aab'
        >>> missing = 3
        >>> for char in 'abaaaba':
        ...     missing = table[missing, 'ab'.index(char)]
        ...     print(missing, end=' ')
        2 3 2 1 1 0 0

    Args:
        ids: [S] integers below V, S > 0, or None.
        vocab_size: V.

    Returns:
        [S + 1, V] int32. With None, one id is always missing: [2, V].
    """
    if ids is None:
        return np.ones([2, vocab_size], np.int32)
    size = len(ids)
    table = np.zeros([size + 1, vocab_size], np.int32)
    # `fallback` is the row after all ids so far but the first.
    fallback = size
    for index, id_ in enumerate(ids):
        row = size - index
        table[row] = table[fallback] if index else size
        table[row, id_] = row - 1
        if index:
            fallback = table[fallback, id_]
    return table
