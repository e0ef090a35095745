"""Batches of characters: a stream of text, windows of it, or single lines.

A batch is a pure function of (seed, pass, place in the pass), computed inside
the tf.data graph. There is no shuffle buffer and no iterator to save: where a
run stands is one integer, and starting in the middle costs nothing.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy import typing as npt

from tfcharrnn.text import idfile, sources, vocabulary

# Up to here an order is a true permutation: 8 MB, made in 12 ms once a pass.
_MAX_PERMUTATION = 1 << 20
# Lines whose lengths are within a tenth of each other may share a batch, so
# no line in its own bucket is padded by more than a tenth.
_BUCKET_RATIO = 0.9
# Rows of a mapped file to read before it is let go: a row can map 2 MB.
_MAX_ROWS_MAPPED = 1 << 8
_PREFETCH = 2  # one batch ready, one in the making


class Batch(NamedTuple):
    """What the model sees in one step; B rows of T characters.

        text       h e l l o
        inputs     h e l l      the model reads inputs[b, t]
        targets    e l l o      and predicts targets[b, t]
        mask       1 1 1 1      which counts where mask[b, t]
        reset      1            row b starts from the zero state

    A `reset` that is False lets row `b` go on from the state in which row `b`
    of the batch before ended.

    Attributes:
        inputs: Ids [B, T] int32; what lies past the end of a text is 0.
        targets: Ids [B, T] int32 of the characters that follow the inputs.
        mask: [B, T] bool; False: the target is not scored.
        reset: [B] bool; True: the row has nothing to do with what came before.
    """

    inputs: tf.Tensor
    targets: tf.Tensor
    mask: tf.Tensor
    reset: tf.Tensor


class Batches:
    """All batches of a pass over the data, pass after pass.

        position   0  1  2 | 3  4  5 | 6  ...      counted from the very first
        number     0       | 1       | 2           of the pass
        place      0  1  2 | 0  1  2 | 0           in the pass

    `sequences`, `windows` and `lines` return one. For data of another kind
    give a function that makes the datasets of single passes. It draws random
    numbers from `(seed, number, place)` alone, so that batch number `position`
    is the same on every run. Here, noise:

        >>> def one_pass(number, start):
        ...     def make_batch(place):
        ...         ids = tf.random.stateless_uniform(
        ...             [2, 5], [number, place], maxval=9, dtype=tf.int32
        ...         )
        ...         mask, reset = tf.fill([2, 4], True), tf.fill([2], True)
        ...         return Batch(ids[:, :-1], ids[:, 1:], mask, reset)
        ...
        ...     return tf.data.Dataset.range(start, 50).map(make_batch)
        >>> batches = Batches(
        ...     one_pass, 50, batch_size=2, seq_length=4, num_chars=50 * 8
        ... )
        >>> len(list(batches))
        50

    Attributes:
        batch_size: Rows of every batch (B), masked ones included.
        seq_length: Characters of a row (T); of the longest where T varies.
        num_chars: Targets that are scored in one pass, the masked ones not.
    """

    def __init__(
        self,
        one_pass: Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset],
        length: int,
        batch_size: int,
        seq_length: int,
        num_chars: int,
    ):
        """Makes batches from a function.

        Args:
            one_pass: `one_pass(number, start)` is a dataset of `Batch`es: pass
                number `number` from the place `start` on. Both are scalar
                int64 tensors; what lies past the end of the pass is ignored.
            length: Batches in a pass.
            batch_size: Rows of every batch.
            seq_length: Characters of the longest row.
            num_chars: Targets that are scored in one pass.
        """
        self._one_pass = one_pass
        self._length = _check_positive('length', length)
        self.batch_size = _check_positive('batch_size', batch_size)
        self.seq_length = _check_positive('seq_length', seq_length)
        self.num_chars = num_chars

    def __len__(self) -> int:
        """The number of batches in a pass."""
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches of the first pass."""
        start = tf.constant(0, tf.int64)
        return iter(_finish(self._rest_of_pass(start, start)))

    def starting_at(self, position: int | tf.Tensor) -> tf.data.Dataset:
        """Makes the endless dataset of all batches from one of them on.

            >>> batches = sequences(np.arange(9), seq_length=2, batch_size=2)
            >>> len(batches)
            2
            >>> for batch in batches.starting_at(3).take(2):
            ...     print(batch.inputs.numpy().tolist(), batch.reset.numpy())
            [[2, 3], [6, 7]] [False False]
            [[0, 1], [4, 5]] [ True  True]

        Args:
            position: Number of the first batch, counted from the very first.

        Returns:
            A `tf.data.Dataset` of `Batch`.

        Raises:
            ValueError: `position` is negative.
        """
        if not tf.is_tensor(position):
            if position < 0:
                raise ValueError(
                    f'`position` must not be negative, but is {position}.'
                )
            position = tf.constant(position, tf.int64)
        position = tf.cast(position, tf.int64)
        first, place = position // self._length, position % self._length

        def make_pass(number):
            start = tf.where(number == first, place, tf.zeros_like(place))
            return self._rest_of_pass(number, start)

        numbers = tf.data.Dataset.range(first, tf.int64.max)
        return _finish(numbers.flat_map(make_pass))

    def _rest_of_pass(self, number, start):
        return self._one_pass(number, start).take(self._length - start)


def _finish(dataset):
    """Prepares some batches ahead."""
    options = tf.data.Options()
    # Nothing is left to tune. And an iterator is deleted only when the thread
    # that tunes wakes up, which sleeps for up to a minute.
    options.autotune.enabled = False
    return dataset.prefetch(_PREFETCH).with_options(options)


class Streams(Batches):
    """What `sequences` makes of a text: batches whose rows go on.

    Another `seq_length` may take over in the middle of a pass. The strips
    stay, so a row goes on at the character where it stopped, and the state
    with it: no character comes twice, none is left out.

        seq_length=2     t o|_ b|
        seq_length=3             e _ o|r t o|

        >>> short = sequences(np.arange(13), seq_length=2, batch_size=1)
        >>> long = sequences(np.arange(13), seq_length=3, batch_size=1)
        >>> num_read = long.num_read_after(short, position=2)
        >>> num_read
        4
        >>> for batch in long.starting_at(0, num_read).take(3):
        ...     print(batch.inputs.numpy(), batch.reset.numpy())
        [[4 5 6]] [False]
        [[7 8 9]] [False]
        [[10 11  0]] [False]
    """

    def __init__(
        self,
        ids: np.ndarray,
        seq_length: int,
        batch_size: int,
        warmup: int = 0,
        shift_seed: int | None = None,
    ):
        """Cuts checked ids into strips: use `sequences`."""
        self._ids = ids
        self._warmup = warmup
        self._shift_seed = shift_seed
        per_row, num_longer = divmod(len(ids) - 1, batch_size)
        # The first rows are one longer, as in np.array_split.
        rows = np.arange(batch_size)
        self._starts = rows * per_row + np.minimum(rows, num_longer)
        self._counts = per_row + (rows < num_longer)
        self._cut = _cutter(ids)
        # Characters that a strip begins earlier, where it is not the first.
        most = warmup + (seq_length - 1 if shift_seed is not None else 0)
        self._most_early = np.minimum(most, self._starts)
        super().__init__(
            self._strips,
            math.ceil(max(self._counts + self._most_early) / seq_length),
            batch_size,
            seq_length,
            num_chars=len(ids) - 1,
        )

    def starting_at(
        self, position: int | tf.Tensor, num_read: int = 0
    ) -> tf.data.Dataset:
        """Makes the endless dataset of all batches from one of them on.

        Args:
            position: Number of the first batch, counted from the very first.
            num_read: Characters of each row that had been read before the
                very first batch, which begins there: see `num_read_after`.

        Returns:
            A `tf.data.Dataset` of `Batch`.

        Raises:
            ValueError: `position` is negative.
        """
        if not num_read:
            return super().starting_at(position)
        left = self._num_left(num_read)
        if position >= left:  # That pass is over.
            return super().starting_at(position - left)
        rest = self._strips(0, position, num_read).take(left - position)
        return _finish(rest.concatenate(super().starting_at(0)))

    def num_read_after(
        self, other: Batches, position: int, num_read: int = 0
    ) -> int:
        """Returns how much of each row was read, if `other` has these rows.

        Args:
            other: What was trained on before.
            position: The number of its next batch.
            num_read: What `other` itself was begun with.

        Returns:
            Characters of each row; 0 if the rows do not go on: at the end of
            a pass, or where `other` has another text or number of rows, or
            one of the two a `warmup` or `shift`.
        """
        if (
            not isinstance(other, Streams)
            or other.batch_size != self.batch_size
            or other._most_early.any()
            or self._most_early.any()
            or not _same_text(other._ids, self._ids)
        ):
            return 0
        left = other._num_left(num_read)
        if position < left:
            return num_read + position * other.seq_length
        return (position - left) % len(other) * other.seq_length

    def _num_left(self, num_read):
        """Returns the number of batches from a character of the rows on."""
        return math.ceil((self._counts[0] - num_read) / self.seq_length)

    def _strips(self, number, place, num_read=0):
        """Makes the batches of a pass, from a place on, without an end."""
        early = self._early(number)

        def make_batch(place):
            done = num_read + place * self.seq_length
            inputs, targets, mask = self._cut(
                self._starts - early + done,
                self._counts + early - done,
                self.seq_length,
            )
            if self._most_early.any():
                position = done + tf.range(self.seq_length, dtype=tf.int64)
                mask &= position >= early[:, tf.newaxis]
            reset = tf.fill([self.batch_size], done == 0)
            return Batch(inputs, targets, mask, reset)

        return tf.data.Dataset.range(place, tf.int64.max).map(make_batch)

    def _early(self, number):
        """Returns how much earlier each strip begins in a pass."""
        if self._shift_seed is None:
            return self._most_early
        shift = tf.random.stateless_uniform(
            [],
            [self._shift_seed, number],
            0,
            self.seq_length,
            tf.int64,
            alg='philox',
        )
        return tf.minimum(self._warmup + shift, self._starts)


def sequences(
    ids: npt.ArrayLike,
    seq_length: int,
    batch_size: int,
    *,
    shuffle: bool = False,
    shift: bool = False,
    warmup: int = 0,
    seed: int = 0,
) -> Batches:
    """Cuts a text into sequences for truncated backpropagation through time.

    The text is cut into `batch_size` strips of equal length, give or take one
    character. Strip `b` is row `b` of every batch, so each row goes on where
    it stopped in the batch before, and `reset` is True at the start of a pass
    only. Neighbours share one character, and what is left over is masked: each
    character but the first is a target exactly once in a pass.

        row 0:   t o _ b | e _ o r | _
        row 1:   n o t _ | t o _ b |
                 batch 0   batch 1   batch 2

        >>> for batch in sequences(np.arange(10), seq_length=2, batch_size=2):
        ...     print(
        ...         batch.inputs.numpy().tolist(),
        ...         batch.targets.numpy().tolist(),
        ...         batch.mask.numpy().astype(int).tolist(),
        ...     )
        [[0, 1], [5, 6]] [[1, 2], [6, 7]] [[1, 1], [1, 1]]
        [[2, 3], [7, 8]] [[3, 4], [8, 9]] [[1, 1], [1, 1]]
        [[4, 0], [0, 0]] [[5, 0], [0, 0]] [[1, 0], [0, 0]]

    With `shuffle` the text is cut into chunks of `seq_length`, which come in
    another random order in every pass, each from the zero state (`reset` is
    True). There is no third way: chunks in random order that carry a state on
    would carry that of an unrelated text.

    The strips depend on the text and on `batch_size` alone: with another
    `seq_length` every row reads the same characters in the same order, and
    training may change from one to the other anywhere (see `Streams`).

    A strip but the first can begin earlier than it is scored, in the strip
    before it, so that the model knows where it is: by `warmup` characters, to
    measure; or, with `shift`, by another random number in each pass, so that
    the gradient is cut at other places (Merity et al., arXiv 1708.02182, vary
    the length of each batch to this end).

    Args:
        ids: The text, [N] integers. A `np.memmap` is read piece by piece, so
            that it may be larger than memory; other arrays are copied once.
        seq_length: Characters of a row (T): through how many steps the
            gradient flows back.
        batch_size: Rows (B).
        shuffle: Independent chunks in random order instead of streams.
        shift: Streams that begin up to `seq_length - 1` characters earlier.
        warmup: Characters that a stream reads before those that are scored.
        seed: Of the random order and shifts.

    Returns:
        Batches of static shape [B, T] in which N - 1 targets are scored:
        `ceil(ceil((N - 1) / B) / T)` of them, with `warmup` or `shift` as many
        as the longest strip takes; `ceil(ceil((N - 1) / T) / B)` with
        `shuffle`.

    Raises:
        ValueError: The text is too short: a stream needs at least
            `seq_length` targets in every row, shuffled chunks in all. Or an
            argument is of another kind than said above.
    """
    ids, seed = _check_ids(ids), _check_seed(seed)
    seq_length = _check_positive('seq_length', seq_length)
    batch_size = _check_positive('batch_size', batch_size)
    warmup = _check_positive('warmup', warmup) if warmup else 0
    if shuffle:
        if shift or warmup:
            raise ValueError(
                '`shift` and `warmup` are for streams, but `shuffle` is set. '
                'Leave them out, or `shuffle`.'
            )
        _check_length(len(ids), seq_length)
        starts = range(0, len(ids) - 1, seq_length)
        return _pieces(ids, starts, seq_length, batch_size, seed)
    if (len(ids) - 1) // batch_size < seq_length:
        raise ValueError(
            f'The text is too short: {len(ids)} characters in `batch_size` '
            f'({batch_size}) rows make {len(ids) // batch_size} per row, but '
            f'each row needs `seq_length + 1` ({seq_length + 1}). Use a longer '
            f'text, or a smaller `batch_size` or `seq_length`.'
        )
    shift_seed = seed if shift else None
    return Streams(ids, seq_length, batch_size, warmup, shift_seed)


def windows(
    ids: npt.ArrayLike,
    seq_length: int,
    batch_size: int,
    *,
    stride: int = 1,
    shuffle: bool = True,
    seed: int = 0,
) -> Batches:
    """Cuts a text into overlapping windows, each to predict one character.

    A window is `seq_length` characters; the next one begins `stride` further
    on. Only the character after the window is scored. As in Chollet, Deep
    Learning with Python, 8.1.

        text       a b c d e f g      seq_length=3, stride=2
        window 0   a b c>d
        window 1       c d e>f

        >>> batches = windows(np.arange(7), 3, 2, stride=2, shuffle=False)
        >>> for batch in batches:
        ...     print(
        ...         batch.inputs.numpy().tolist(), batch.targets[:, -1].numpy()
        ...     )
        ...     print(batch.mask[0].numpy())
        [[0, 1, 2], [2, 3, 4]] [3 5]
        [False False  True]

    Args:
        ids: The text, [N] integers, as in `sequences`.
        seq_length: Characters of a window (T).
        batch_size: Windows of a batch (B).
        stride: Characters from the start of a window to that of the next.
        shuffle: Another random order in every pass, else that of the text.
        seed: Of the random order.

    Returns:
        Batches of static shape [B, T] with `ceil((N - T) / stride)` windows:
        every one that has a next character. `mask` is True at the last
        position only; the targets before it are the shifted text all the same.
        `reset` is True. Rows that are missing in the last batch are masked.

    Raises:
        ValueError: The text is shorter than `seq_length + 1`, or an argument
            is of another kind than said above.
    """
    ids, seed = _check_ids(ids), _check_seed(seed)
    seq_length = _check_positive('seq_length', seq_length)
    batch_size = _check_positive('batch_size', batch_size)
    stride = _check_positive('stride', stride)
    _check_length(len(ids), seq_length)
    starts = range(0, len(ids) - seq_length, stride)
    seed = seed if shuffle else None
    return _pieces(ids, starts, seq_length, batch_size, seed, last_only=True)


def lines(
    lines: Iterable[str],
    vocabulary: vocabulary.Vocabulary,
    batch_size: int,
    *,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
) -> Batches:
    r"""Makes a row of every line, from its first character to its end.

    A line begins after a newline and ends with one, so the model learns how
    lines begin and where they end. Shorter lines are masked up to the longest
    of the batch; there is no padding id.

        inputs     \n o n e   .  .       \n t h r e e
        targets     o n e \n  .  .        t h r e e \n
        mask        1 1 1 1   0  0        1 1 1 1 1 1

        >>> from tfcharrnn.text.vocabulary import Vocabulary
        >>> vocabulary = Vocabulary('\nehnort')
        >>> for batch in lines(['three', 'one'], vocabulary, batch_size=2):
        ...     print([vocabulary.decode(row) for row in batch.targets])
        ...     print(batch.mask.numpy().sum(axis=1))
        ['one\n\n\n', 'three\n']
        [4 6]

    Lines of nearly the same length share a batch, other ones in each pass:

        sort by length          9 10 | 30 31 31 32
        shuffle in buckets     10  9 | 31 32 30 31
        cut into batches       10  9   31 32   30 31
        shuffle the batches    31 32   10  9   30 31

    A bucket holds lengths within a tenth of each other, so padding stays below
    a tenth of the cells where a bucket fills a batch (headlines do). T is the
    longest length of the bucket, not of the batch: there are few shapes, and
    the same ones in every pass, so no later pass traces or compiles anew.

    Args:
        lines: Texts without a newline in them; empty ones are left out.
        vocabulary: Of all characters, the newline among them.
        batch_size: Lines of a batch (B).
        max_length: Longer lines are cut to so many characters and their end,
            which is not theirs, is not learnt. None: no line is cut.
        shuffle: False: the same batches every time, from short to long.
        seed: Of the random order.

    Returns:
        Batches of shape [B, T], static only where all T are equal. `reset` is
        True. Rows that are missing, in the batch of the shortest lines, are
        masked.

    Raises:
        ValueError: There is no line that is not empty, one has a newline or an
            unseen character, the vocabulary lacks the newline, or an argument
            is of another kind than said above.
        TypeError: `lines` is not made of strings, or is a single one.
    """
    batch_size = _check_positive('batch_size', batch_size)
    seed = _check_seed(seed)
    if max_length is not None:
        max_length = _check_positive('max_length', max_length)
    ids, starts, counts = _encode_lines(lines, vocabulary)
    if max_length is not None:
        counts = np.where(counts > max_length + 1, max_length, counts)
    order = np.argsort(counts, kind='stable')
    starts, counts = starts[order], counts[order]
    seed = seed if shuffle else None
    return _line_batches(ids, starts, counts, batch_size, seed)


def chosen_lines(
    lines: Iterable[str],
    vocabulary: vocabulary.Vocabulary,
    batch_size: int,
    choose: Callable[[tf.Tensor], tf.Tensor],
) -> Batches:
    r"""Makes rows of the lines that a function chooses for each batch.

    For an order of your own: what `choose` says of the number of the batch,
    counted from the very first, is all there is to it. A row is a line, as in
    `lines`. Here, the third line and one of the first two in turn:

        >>> from tfcharrnn.text.vocabulary import Vocabulary
        >>> vocabulary = Vocabulary('\nehnortw')
        >>> def choose(position):
        ...     return tf.stack([2, position % 2])
        >>> batches = chosen_lines(
        ...     ['one', 'two', 'three'], vocabulary, 2, choose
        ... )
        >>> for batch in batches.starting_at(0).take(2):
        ...     print([vocabulary.decode(row) for row in batch.targets])
        ['three\n', 'one\n\n\n']
        ['three\n', 'two\n\n\n']

    Args:
        lines: Texts that are not empty and have no newline in them.
        vocabulary: Of all characters, the newline among them.
        batch_size: Lines of a batch (B).
        choose: `choose(position)` returns [B] int64 numbers of lines; in the
            graph, and of nothing but the position, a scalar int64 tensor.

    Returns:
        Batches of shape [B, T] whose passes are `ceil(len(lines) / B)` batches
        long, in name only. T is the longest of the batch, rounded up: there
        are few shapes. `reset` is True.

    Raises:
        ValueError: There is no line, one is empty, has a newline or an unseen
            character, the vocabulary lacks the newline, or an argument is of
            another kind than said above.
        TypeError: `lines` is not made of strings, or is a single one.
    """
    batch_size = _check_positive('batch_size', batch_size)
    lines = sources.check_lines(lines)
    if '' in lines:
        raise ValueError(
            f'Line {lines.index("")} is empty. Leave empty lines out, and '
            'number the lines without them.'
        )
    ids, starts, counts = _encode_lines(lines, vocabulary)
    _, rounded = _bucket(np.sort(counts))
    widths = _to_tensor(np.unique(rounded))
    length = math.ceil(len(lines) / batch_size)
    num_chars, seq_length = int(counts.sum()), int(counts.max())
    cut = _cutter(ids)
    starts, counts = _to_tensor(starts), _to_tensor(counts)

    def one_pass(number, start):
        def make_batch(place):
            line = choose(number * length + place)
            row_counts = tf.gather(counts, line)
            bucket = tf.searchsorted(widths, [tf.reduce_max(row_counts)])[0]
            row = cut(tf.gather(starts, line), row_counts, widths[bucket])
            row = [tf.ensure_shape(x, [batch_size, None]) for x in row]
            return Batch(*row, reset=tf.fill([batch_size], True))

        return tf.data.Dataset.range(start, length).map(make_batch)

    return Batches(one_pass, length, batch_size, seq_length, num_chars)


def _pieces(ids, starts, seq_length, batch_size, seed, last_only=False):
    """Batches of independent rows that begin at `starts`, a range."""
    cut = _cutter(ids)
    size, length = len(starts), math.ceil(len(starts) / batch_size)
    scored = np.full(seq_length, not last_only)
    scored[-1] = True

    def one_pass(number, start):
        order = _order(size, seed, number)

        def make_batch(place):
            index = place * batch_size + tf.range(batch_size, dtype=tf.int64)
            row_starts = order(tf.minimum(index, size - 1)) * starts.step
            counts = tf.where(index < size, len(ids) - 1 - row_starts, 0)
            inputs, targets, mask = cut(row_starts, counts, seq_length)
            reset = tf.fill([batch_size], True)
            return Batch(inputs, targets, mask & scored, reset)

        return tf.data.Dataset.range(start, length).map(make_batch)

    num_chars = size if last_only else len(ids) - 1
    return Batches(one_pass, length, batch_size, seq_length, num_chars)


def _line_batches(ids, starts, counts, batch_size, seed):
    """Batches of lines, given in order of their number of targets."""
    cut = _cutter(ids)
    size, length = len(starts), math.ceil(len(starts) / batch_size)
    # The rows that are missing are short ones: they cost the fewest cells.
    missing = length * batch_size - size
    buckets, longest = _bucket(counts)
    longest = longest[batch_size - missing - 1 :: batch_size]
    varies = longest[0] != longest[-1]
    num_chars, seq_length = int(counts.sum()), int(longest[-1])
    starts, counts, longest, buckets = map(
        _to_tensor, (starts, counts, longest, buckets)
    )

    def one_pass(number, start):
        batch_order = _order(length, seed, 2 * number)
        line_order = _order_in_buckets(buckets, seed, 2 * number + 1)

        def make_batch(place):
            batch = batch_order(place)
            rows = tf.range(batch_size, dtype=tf.int64) - missing
            index = batch * batch_size + rows
            line = line_order(tf.maximum(index, 0))
            row_counts = tf.where(index >= 0, tf.gather(counts, line), 0)
            width = tf.gather(longest, batch) if varies else seq_length
            row = cut(tf.gather(starts, line), row_counts, width)
            return Batch(*row, reset=tf.fill([batch_size], True))

        return tf.data.Dataset.range(start, length).map(make_batch)

    return Batches(one_pass, length, batch_size, seq_length, num_chars)


def _encode_lines(lines, vocabulary):
    """Returns all ids, and where each line starts and how many targets it has.

    Neighbours share the newline between them, so a line is a stretch of the
    ids like any other. Those that are empty are left out.
    """
    lines = sources.check_lines(lines)
    if '\n' not in vocabulary:
        raise ValueError(
            'The vocabulary lacks the newline, which marks the end of a line. '
            'Make it from the lines joined by newlines.'
        )
    ids = vocabulary.encode('\n'.join(['', *lines, '']))
    newlines = np.flatnonzero(ids == vocabulary.encode('\n')[0])
    starts, counts = newlines[:-1], np.diff(newlines)
    starts, counts = starts[counts > 1], counts[counts > 1]
    if not len(starts):
        raise ValueError(
            f'There are no lines to learn from: all {len(lines)} are empty.'
        )
    return ids, starts, counts


def _bucket(counts):
    """Splits ascending counts into buckets of nearly the same count.

    Returns the number where the bucket of each starts, and its largest count.
    """
    buckets, longest = np.empty(len(counts)), np.empty_like(counts)
    end = len(counts)
    while end:
        start = np.searchsorted(counts, _BUCKET_RATIO * counts[end - 1])
        buckets[start:end], longest[start:end] = start, counts[end - 1]
        end = start
    return buckets, longest


def _order(size, seed, number):
    """Returns the order of pass `number`: a function from places to indices."""
    if seed is None:
        return lambda index: index
    if size <= _MAX_PERMUTATION:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size, dtype=tf.int64), seed=[seed, number]
        )
        return lambda index: tf.gather(order, index)
    # The cipher behind tf.random.experimental.index_shuffle looks at the low
    # bits of its key only, and keys that differ little give orders that do, so
    # the key is drawn from the seed.
    key = tf.random.stateless_uniform(
        [3], seed=[seed, number], minval=None, maxval=None, dtype=tf.int32
    )
    # It is no permutation where the last index is a power of 4 (it cuts off
    # the top bit). There, as for any power of 2, the last one stays in place.
    last = size - 1
    last -= last.bit_count() == 1

    def shuffle(index):
        shuffled = tf.raw_ops.RandomIndexShuffle(
            index=tf.minimum(index, last),
            seed=key,
            max_index=tf.constant(last, tf.int64),
            rounds=8,
        )
        return tf.where(index > last, index, shuffled)

    return shuffle


def _order_in_buckets(buckets, seed, number):
    """Like `_order`, but every index stays within its bucket."""
    if seed is None:
        return lambda index: index
    noise = tf.random.stateless_uniform(
        buckets.shape, seed=[seed, number], dtype=tf.float64
    )
    order = tf.argsort(buckets + noise)
    return lambda index: tf.gather(order, index)


def _cutter(ids):
    """Returns a function that cuts rows out of a text, in the graph."""
    read = _reader(ids)

    def cut(starts, counts, seq_length):
        """Makes rows with `counts` targets, the first one after `starts`."""
        steps = tf.range(seq_length + 1, dtype=tf.int64)
        positions = starts[:, tf.newaxis] + steps
        chars = read(tf.minimum(positions, len(ids) - 1))
        mask = steps[:-1] < counts[:, tf.newaxis]
        inputs = tf.where(mask, chars[:, :-1], 0)
        return inputs, tf.where(mask, chars[:, 1:], 0), mask

    return cut


def _reader(ids):
    """Returns a function from positions in a text to int32 ids."""
    if not isinstance(ids, np.memmap):
        in_memory = _to_tensor(ids)
        return lambda positions: tf.cast(
            tf.gather(in_memory, positions), tf.int32
        )
    # Plain NumPy view of the same file: indexing a memmap is slower.
    on_disk = np.asarray(ids)
    num_read = 0

    def look_up(places):
        nonlocal num_read
        chars = on_disk[places].astype(np.int32)
        # What was read counts as memory of this process until it is let go.
        num_read += len(places)
        if num_read >= _MAX_ROWS_MAPPED:
            idfile.release(ids)
            num_read = 0
        return chars

    def read(positions):
        chars = tf.numpy_function(
            look_up, [positions], tf.int32, stateful=False
        )
        chars.set_shape(positions.shape)
        return chars

    return read


def _to_tensor(array):
    # Pipelines run on the CPU; elsewhere it would be copied back each time.
    with tf.device('/CPU:0'):
        return tf.constant(array)


def _check_ids(ids):
    ids = np.asanyarray(ids)  # A np.memmap stays one.
    if ids.ndim != 1 or ids.dtype.kind not in 'iu':
        raise ValueError(
            f'A text is ids of shape [N] and of an integer type, but got shape '
            f'{list(ids.shape)} and type {ids.dtype}. Ids are made by '
            f'`Vocabulary.encode`.'
        )
    return ids


def _same_text(ids, other):
    # The view of one and the same array is made anew at each look at it.
    same_memory = ids.ctypes.data == other.ctypes.data
    if len(ids) != len(other) or ids.dtype != other.dtype:
        return False
    return same_memory or np.array_equal(ids, other)


def _check_length(num_chars, seq_length):
    if num_chars <= seq_length:
        raise ValueError(
            f'The text is too short: {num_chars} characters, but `seq_length` '
            f'({seq_length}) and the character after it need at least '
            f'{seq_length + 1}. Use a longer text or a smaller `seq_length`.'
        )


def _check_positive(name, value):
    if not _is_integer(value) or value < 1:
        raise ValueError(
            f'`{name}` must be a positive integer, but is {value!r}.'
        )
    return int(value)


def _check_seed(seed):
    if not _is_integer(seed) or not -(1 << 63) <= seed < 1 << 63:
        raise ValueError(f'`seed` must be a 64-bit integer, but is {seed!r}.')
    return int(seed)


def _is_integer(value):
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
