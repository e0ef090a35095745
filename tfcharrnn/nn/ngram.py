"""NGram: a model that has counted which characters follow which."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfcharrnn import checks

# Of a character before the text, which no context has.
_NOTHING = -1
# Where a text is too short to estimate one.
_DISCOUNT = 0.5
_LEAST_DISCOUNT = 0.01


class _Level(NamedTuple):
    """The n-grams of one length, in the order of their keys.

    An n-gram is a node of a tree; its parent lacks the last character.
    """

    keys: Any  # [G] int64, parent * V + last character
    shares: Any  # [G] float32, what its parent gives to it
    starts: Any  # [P + 1] int64, the first child of each parent
    rests: Any  # [P] float32, what the parent leaves to shorter ones


class NGram(tf.Module):
    """Predicts from the last characters, as they were followed in a text.

    The probabilities of each length are mixed with those of the next shorter
    one, down to equal ones, so none is 0. After a context that was not seen,
    the shorter one decides:

        P(c | abc) = max(count(abcc) - d, 0) / count(abc*) + rest * P(c | bc)

    This is interpolated, modified Kneser-Ney smoothing. A shorter context
    counts in how many longer ones a character followed it, not how often. The
    discounts `d` of counts of 1, 2 and more follow from how many n-grams were
    seen once, twice, three and four times.

        >>> model = NGram(np.array([0, 1, 2] * 9), vocab_size=3, order=2)
        >>> logits, _ = model(tf.constant([[1]]), model.initial_state(1))
        >>> print(np.exp(logits[0, 0]).round(2))
        [0.02 0.02 0.96]

    It is a model as `CharRNN` is, without weights to train. Its state is the
    last characters.

    Reference: Chen and Goodman, An Empirical Study of Smoothing Techniques for
    Language Modeling, 1999.

    Attributes:
        vocab_size: Number of distinct characters, V.
        order: Characters of the longest n-gram: the context has one less.
    """

    def __init__(self, ids: np.ndarray, vocab_size: int, order: int = 7):
        """Counts the n-grams of a text.

        Args:
            ids: [N] integers below V, the text.
            vocab_size: V.
            order: Characters of the longest n-gram, from 2 up.

        Raises:
            ValueError: The text is shorter than `order`, or a number is out of
                range.
        """
        super().__init__()
        self.vocab_size = checks.whole_number('vocab_size', vocab_size)
        self.order = checks.whole_number('order', order, 2)
        if len(ids) < self.order:
            raise ValueError(
                f'The text has {len(ids)} characters, too few to count n-grams '
                f'of {self.order}. Give a longer text, or a smaller order.'
            )
        # In variables, or the graph of a step would hold copies of them.
        self._ids = _table(np.asarray(ids, np.int32))
        self._levels = [_Level(*map(_table, level)) for level in self._count()]

    @property
    def num_counted(self) -> int:
        """How many characters were counted."""
        return int(tf.size(self._ids))

    def count(self, ids: np.ndarray) -> None:
        """Counts more text, as if it followed the text so far.

            >>> model = NGram(np.array([0, 1, 2] * 9), vocab_size=3, order=2)
            >>> model.count(np.array([0, 2] * 50))
            >>> logits, _ = model.step(tf.constant([0]), model.initial_state(1))
            >>> print(np.exp(logits[0]).round(2))
            [0.   0.15 0.85]

        It takes as long as counting all of it. `variables` hold all that was
        counted: to forget the new text, assign what they held before.

        Args:
            ids: [N] integers below V.
        """
        self._ids.assign(np.concatenate([self._ids.numpy(), ids]))
        for tables, level in zip(self._levels, self._count(), strict=True):
            for table, value in zip(tables, level, strict=True):
                table.assign(value)

    def _count(self):
        ids = self._ids.numpy().astype(np.int64)
        return _count(ids, self.vocab_size, self.order)

    def initial_state(self, batch_size: int | tf.Tensor) -> tf.Tensor:
        """Returns the characters before a text: [B, order - 1], all -1."""
        return tf.fill([batch_size, self.order - 1], _NOTHING)

    def __call__(
        self,
        inputs: tf.Tensor,
        state: tf.Tensor,
        *,
        training: object = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts each next character from those before it.

        Args:
            inputs: [B, T] integers below V.
            state: As `initial_state` or another call returned it.
            training: Ignored: nothing is random.

        Returns:
            The log-probabilities [B, T, V] float32, and the next state.
        """
        del training
        length = tf.shape(inputs)[1]
        ids = tf.concat([state, tf.cast(inputs, tf.int32)], axis=1)
        nodes = [
            tf.reshape(nodes[:, -length:], [-1]) for nodes in self._nodes(ids)
        ]
        probabilities = self._mix(nodes)
        shape = [*tf.unstack(tf.shape(inputs)), self.vocab_size]
        logits = tf.reshape(tf.math.log(probabilities), shape)
        return logits, ids[:, length:]

    def step(
        self, ids: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts the next character from one: ids [B] to logits [B, V]."""
        logits, state = self(ids[:, tf.newaxis], state)
        return logits[:, 0], state

    def _nodes(self, ids):
        """Yields the node of the context after each id, by its length.

        They are [B, S] int64; -1 for a context that was not seen.
        """
        wide = tf.cast(ids, tf.int64)
        nodes = tf.zeros_like(wide)  # Of the empty context.
        yield nodes
        before = nodes
        for level in self._levels[:-1]:
            keys = before * self.vocab_size + wide
            place = tf.searchsorted(level.keys, tf.reshape(keys, [-1]))
            place = tf.minimum(place, tf.size(level.keys) - 1)
            found = tf.reshape(tf.gather(level.keys, place), tf.shape(keys))
            is_seen = (found == keys) & (before >= 0) & (wide >= 0)
            place = tf.cast(tf.reshape(place, tf.shape(keys)), tf.int64)
            nodes = tf.where(is_seen, place, -1)
            yield nodes
            # A context ends where the one that it makes longer ended before.
            before = tf.pad(nodes[:, :-1], [[0, 0], [1, 0]], constant_values=-1)

    def _mix(self, nodes):
        """Returns the probabilities [M, V] after contexts, nodes [M] each."""
        shape = [tf.size(nodes[0]), self.vocab_size]
        probabilities = tf.fill(shape, 1.0 / self.vocab_size)
        for level, node in zip(self._levels, nodes, strict=True):
            parent = tf.maximum(node, 0)
            rest = tf.where(node < 0, 1.0, tf.gather(level.rests, parent))
            start = tf.gather(level.starts, parent)
            end = tf.gather(level.starts, parent + 1)
            children = tf.ragged.range(start, tf.where(node < 0, start, end))
            chars = tf.gather(level.keys, children.values) % self.vocab_size
            where = tf.stack([children.value_rowids(), chars], axis=1)
            shares = tf.gather(level.shares, children.values)
            probabilities = tf.tensor_scatter_nd_add(
                probabilities * rest[:, tf.newaxis], where, shares
            )
        return probabilities


def _table(values):
    """Returns a variable that may change its length."""
    shape = [None] * np.ndim(values)
    return tf.Variable(values, trainable=False, shape=shape)


def _count(ids, vocab_size, order):
    """Returns the levels of a tree of n-grams, the shortest first."""
    trees = []
    node = np.zeros(len(ids), np.int64)
    for size in range(1, order + 1):
        keys = node[: len(ids) - size + 1] * vocab_size + ids[size - 1 :]
        tree = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True
        )
        node = tree[2]
        trees.append(tree)
    levels, num_parents = [], 1
    for tree, longer in zip(trees, [*trees[1:], None], strict=True):
        keys, _, node, counts = tree
        if longer is not None:
            # What is left of a longer one without its first character.
            counts = np.bincount(node[longer[1] + 1], minlength=len(keys))
        levels.append(_smooth(keys, counts, num_parents, vocab_size))
        num_parents = len(keys)
    return levels


def _smooth(keys, counts, num_parents, vocab_size):
    """Shares out the probability of each parent among its children."""
    parents = keys // vocab_size
    discounts = np.minimum(_discounts(counts)[np.minimum(counts, 3)], counts)
    sums = np.bincount(parents, counts, num_parents)
    lost = np.bincount(parents, discounts, num_parents)
    shares = (counts - discounts) / np.maximum(sums, 1)[parents]
    # A context at the end of the text was followed by nothing.
    rests = np.where(sums > 0, lost / np.maximum(sums, 1), 1.0)
    bounds = np.arange(num_parents + 1) * vocab_size
    return _Level(
        keys,
        shares.astype(np.float32),
        np.searchsorted(keys, bounds),
        rests.astype(np.float32),
    )


def _discounts(counts):
    """Returns the discounts [4] of counts of 0, 1, 2, and 3 or more."""
    once, twice, thrice, more = np.bincount(counts, minlength=5)[1:5]
    if not (once and twice and thrice):
        return np.array([0.0, _DISCOUNT, _DISCOUNT, _DISCOUNT])
    share = once / (once + 2 * twice)
    discounts = np.array(
        [
            1 - 2 * share * twice / once,
            2 - 3 * share * thrice / twice,
            3 - 4 * share * more / thrice,
        ]
    )
    return np.append(0.0, np.maximum(discounts, _LEAST_DISCOUNT))
