"""Batches of lines: each row is a line, read from the zero state."""

import math
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tfcharrnn.checks import whole_number
from tfcharrnn.data.batches import Batch, Batches
from tfcharrnn.data.order import check_seed, make_bucket_order, make_order
from tfcharrnn.data.rows import make_cutter, to_tensor
from tfcharrnn.text.sources import check_lines
from tfcharrnn.text.vocabulary import Vocabulary

# Lines whose lengths are within a tenth of each other may share a batch, so
# no line in its own bucket is padded by more than a tenth.
_BUCKET_RATIO = 0.9


def lines(
    lines: Iterable[str],
    vocabulary: Vocabulary,
    batch_size: int,
    *,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
) -> Batches:
    r"""Makes each line a row, from its first character to its end.

    A line begins after a newline and ends with one, so the model learns how
    lines begin and where they end. Shorter lines are masked up to the length of
    the longest in the batch; there is no padding id.

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

    Lines of nearly the same length share a batch, with others in each pass:

        sort by length          9 10 | 30 31 31 32
        shuffle in buckets     10  9 | 31 32 30 31
        cut into batches       10  9   31 32   30 31
        shuffle the batches    31 32   10  9   30 31

    A bucket holds lengths within a tenth of each other, so padding stays below
    a tenth of the cells if each bucket fills a batch (with headlines it does).
    T is the longest length of the bucket, not of the batch: so there are few
    shapes, the same in every pass, and later passes trace and compile nothing.

    Args:
        lines: Texts without newlines; empty ones are left out.
        vocabulary: It must have all characters of the lines, and the newline.
        batch_size: Lines of a batch (B).
        max_length: Longer lines are cut to this many characters; the end of the
            cut line is not learnt. None: no line is cut.
        shuffle: Another random order in every pass; False: from short to long.
        seed: Seed of the random order.

    Returns:
        Batches of shape [B, T], static only if all T are equal. `reset` is
        True. Rows that the batch of the shortest lines lacks are masked.

    Raises:
        ValueError: All lines are empty, one has a newline or an unseen
            character, the vocabulary lacks the newline, or an argument is
            invalid.
        TypeError: `lines` is a single string, or not made of strings.
    """
    batch_size = whole_number('batch_size', batch_size)
    seed = check_seed(seed)
    if max_length is not None:
        max_length = whole_number('max_length', max_length)
    ids, starts, counts = _encode_lines(lines, vocabulary)
    if max_length is not None:
        counts = np.where(counts > max_length + 1, max_length, counts)
    order = np.argsort(counts, kind='stable')
    starts, counts = starts[order], counts[order]
    return _line_batches(
        ids, starts, counts, batch_size, seed if shuffle else None
    )


def chosen_lines(
    lines: Iterable[str],
    vocabulary: Vocabulary,
    batch_size: int,
    *,
    choose: Callable[[tf.Tensor], tf.Tensor],
) -> Batches:
    r"""Makes batches of the lines that a function chooses.

    For your own order: `choose` returns the lines of a batch, given its
    position, counted from the very first batch. A row is a line, as in `lines`.
    Here, the third line and one of the first two in turn:

        >>> from tfcharrnn.text.vocabulary import Vocabulary
        >>> vocabulary = Vocabulary('\nehnortw')
        >>> def choose(position):
        ...     return tf.stack([2, position % 2])
        >>> batches = chosen_lines(
        ...     ['one', 'two', 'three'], vocabulary, 2, choose=choose
        ... )
        >>> for batch in batches.starting_at(0).take(2):
        ...     print([vocabulary.decode(row) for row in batch.targets])
        ['three\n', 'one\n\n\n']
        ['three\n', 'two\n\n\n']

    Args:
        lines: Texts without newlines, none of them empty.
        vocabulary: It must have all characters of the lines, and the newline.
        batch_size: Lines of a batch (B).
        choose: `choose(position)` returns [B] int64 numbers of lines. It runs
            in the graph and depends on the position alone, a scalar int64
            tensor.

    Returns:
        Batches of shape [B, T]. A pass is `ceil(len(lines) / B)` batches by
        definition; lines may occur in it more than once, or not at all. T is
        the longest of the batch, rounded up, so that there are few shapes.
        `reset` is True.

    Raises:
        ValueError: There is no line, one is empty, has a newline or an unseen
            character, the vocabulary lacks the newline, or an argument is
            invalid.
        TypeError: `lines` is a single string, or not made of strings.
    """
    batch_size = whole_number('batch_size', batch_size)
    lines = check_lines(lines)
    if '' in lines:
        raise ValueError(
            f'Line {lines.index("")} is empty. Leave empty lines out, and '
            'number the lines without them.'
        )
    ids, starts, counts = _encode_lines(lines, vocabulary)
    _, rounded = _bucket(np.sort(counts))
    widths = to_tensor(np.unique(rounded))
    length = math.ceil(len(lines) / batch_size)
    num_chars, seq_length = int(counts.sum()), int(counts.max())
    cut = make_cutter(ids)
    starts, counts = to_tensor(starts), to_tensor(counts)

    @tf.autograph.experimental.do_not_convert
    def one_pass(pass_number, start):
        def make_batch(index):
            line = choose(pass_number * length + index)
            row_counts = tf.gather(counts, line)
            bucket = tf.searchsorted(widths, [tf.reduce_max(row_counts)])[0]
            row = cut(tf.gather(starts, line), row_counts, widths[bucket])
            row = [tf.ensure_shape(x, [batch_size, None]) for x in row]
            return Batch(*row, reset=tf.fill([batch_size], True))

        return tf.data.Dataset.range(start, length).map(make_batch)

    return Batches(
        one_pass,
        length,
        batch_size=batch_size,
        seq_length=seq_length,
        num_chars=num_chars,
    )


def _line_batches(ids, starts, counts, batch_size, seed):
    """Makes batches of lines that are sorted by their number of targets."""
    cut = make_cutter(ids)
    size, length = len(starts), math.ceil(len(starts) / batch_size)
    # The batch of the shortest lines is not full: that costs the fewest cells.
    missing = length * batch_size - size
    buckets, longest = _bucket(counts)
    longest = longest[batch_size - missing - 1 :: batch_size]
    varies = longest[0] != longest[-1]
    num_chars, seq_length = int(counts.sum()), int(longest[-1])
    starts, counts, longest, buckets = map(
        to_tensor, (starts, counts, longest, buckets)
    )

    @tf.autograph.experimental.do_not_convert
    def one_pass(pass_number, start):
        batch_order = make_order(length, seed, 2 * pass_number)
        line_order = make_bucket_order(buckets, seed, 2 * pass_number + 1)

        def make_batch(index):
            batch = batch_order(index)
            rows = tf.range(batch_size, dtype=tf.int64) - missing
            rank = batch * batch_size + rows
            line = line_order(tf.maximum(rank, 0))
            row_counts = tf.where(rank >= 0, tf.gather(counts, line), 0)
            width = tf.gather(longest, batch) if varies else seq_length
            row = cut(tf.gather(starts, line), row_counts, width)
            return Batch(*row, reset=tf.fill([batch_size], True))

        return tf.data.Dataset.range(start, length).map(make_batch)

    return Batches(
        one_pass,
        length,
        batch_size=batch_size,
        seq_length=seq_length,
        num_chars=num_chars,
    )


def _encode_lines(lines, vocabulary):
    """Returns all ids, and the start and number of targets of each line.

    Neighbours share the newline between them, so each line is a slice of the
    ids. Empty lines are left out.
    """
    lines = check_lines(lines)
    vocabulary = vocabulary.with_lines(True)  # Raises without a newline.
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

    Returns for each count where its bucket starts, and the largest in it.
    """
    buckets, longest = np.empty(len(counts)), np.empty_like(counts)
    end = len(counts)
    while end:
        start = np.searchsorted(counts, _BUCKET_RATIO * counts[end - 1])
        buckets[start:end], longest[start:end] = start, counts[end - 1]
        end = start
    return buckets, longest
