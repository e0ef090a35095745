"""Pools: lines are drawn from the easiest ones, and the pool grows."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.data import Batches, chosen_lines
from tfcharrnn.text import sources
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import schedules
from tfcharrnn.training.schedules import Schedule


def competence(start: float, steps: int, degree: float = 2.0) -> Schedule:
    """Returns the share of the examples, easiest first, to train on.

        c(t) = min(1, (t * (1 - c0**p) / steps + c0**p) ** (1 / p))

    The linear (p = 1) and the square root (p = 2) competence of Platanios et
    al. (2019, https://arxiv.org/abs/1903.09848). With the root, new examples
    come more slowly the more there are.

    >>> share = competence(0.1, steps=100)
    >>> [round(float(share(step)), 2) for step in (0, 25, 100, 200)]
    [0.1, 0.51, 1.0, 1.0]

    Args:
        start: Share at step 0 (c0), above 0, at most 1.
        steps: Step from which the share is 1.
        degree: 1 for linear, 2 for the square root (p).

    Raises:
        ValueError: If an argument is out of range.
    """
    start = checks.number('start', start, above=0.0, high=1.0)
    degree = checks.number('degree', degree, above=0.0)
    line = schedules.linear(start**degree, 1.0, steps)
    return lambda step: line(step) ** (1.0 / degree)


def rarity(texts: Iterable[str], order: int = 1) -> Callable[[str], float]:
    """Returns how surprising a text is to an n-gram model of some texts.

        rarity(text) = -sum(log p(character | the `order - 1` before it))

    It is in nats, so a long text is more difficult than a short one. Order 1
    is the sentence rarity of Platanios et al. (arXiv 1903.09848), for
    characters. Probabilities are (count + 1) / (total + distinct + 1), so an
    unseen character has one, too.

    >>> difficulty = rarity(['tea', 'eat', 'axe'])
    >>> sorted(['axe', 'tea'], key=difficulty)
    ['tea', 'axe']

    Args:
        texts: What the model counts, for instance the lines to be ordered.
        order: 1 for single characters, 2 for pairs, and so on.

    Returns:
        A `difficulty` for `easiest_first`, in nats.
    """
    order = checks.whole_number('order', order)
    grams = collections.Counter()
    contexts = collections.Counter()
    characters = set()
    for text in texts:
        characters.update(text)
        for end in range(len(text)):
            context = text[max(0, end - order + 1) : end]
            grams[context, text[end]] += 1
            contexts[context] += 1

    def difficulty(text):
        nats = 0.0
        for end, character in enumerate(text):
            context = text[max(0, end - order + 1) : end]
            nats += math.log(contexts[context] + len(characters) + 1)
            nats -= math.log(grams[context, character] + 1)
        return nats

    return difficulty


def easiest_first(
    lines: Iterable[str],
    vocabulary: Vocabulary,
    batch_size: int,
    *,
    share: Schedule,
    difficulty: Callable[[str], float] = len,
    seed: int = 0,
) -> Batches:
    r"""Draws lines from the easiest ones, ever more of them.

        batch t  =  batch_size lines out of the share(t) that are easiest

    Lines are drawn with replacement, as in Platanios et al. (2019,
    https://arxiv.org/abs/1903.09848). A second `Stage` with `data.lines` can
    then bring each line once per pass. The difficulty is any function of a
    line: its length, its `rarity`, or its loss under a trained model:

        difficulty=lambda line: -generator.score('\n' + line + '\n').sum()

    By the loss under the model itself, as it learns: see `SelfPaced`.

    Lines of any length share a batch. So there is more padding than with
    `data.lines`: where all lines are drawn from, a step took 1.5 times as long
    (paragraphs of the text that comes with Python, GRU(128) and GRU(512)).

    >>> lines = ['a', 'aa', 'aaaa', 'aaaaaaaa']
    >>> batches = easiest_first(
    ...     lines, Vocabulary('\na'), 2, share=competence(0.5, steps=10)
    ... )
    >>> for batch in batches.starting_at(0).take(1):
    ...     print(batch.mask.numpy().sum(axis=1))  # with their ends
    [2 2]

    Args:
        lines: Texts that are not empty and contain no newline.
        vocabulary: All characters, the newline among them.
        batch_size: Lines per batch.
        share: Maps the number of the batch, counted from when training on this
            dataset began, to a share above 0; see `competence`.
        difficulty: Ranks the lines; the earlier of two equals is easier.
        seed: Seed of the draws.

    Returns:
        Batches as of `data.chosen_lines`, to train on directly or in a `Stage`.

    Raises:
        ValueError: As `data.chosen_lines` does.
        TypeError: As `data.chosen_lines` does.
    """
    lines = sorted(sources.check_lines(lines), key=difficulty)

    def pool(position):
        return tf.cast(tf.round(share(position) * len(lines)), tf.int64)

    return _from_pool(lines, vocabulary, batch_size, pool, seed)


def growing_vocabulary(
    lines: Iterable[str],
    vocabulary: Vocabulary,
    batch_size: int,
    *,
    size: Schedule,
    seed: int = 0,
) -> Batches:
    r"""Draws lines made of the most frequent characters, ever more of these.

    As the vocabulary of the language model grows in Bengio et al. ("Curriculum
    Learning", ICML 2009), where windows are left out that contain a word
    outside of it.

    >>> lines = ['aaaa', 'aab', 'abc']
    >>> batches = growing_vocabulary(
    ...     lines, Vocabulary('\nabc'), 2, size=schedules.stepwise([2, 3], [1])
    ... )
    >>> for batch in batches.starting_at(0).take(1):
    ...     print(batch.mask.numpy().sum(axis=1))  # 'aaaa' twice, no 'abc'
    [5 5]

    Args:
        lines: Texts that are not empty and contain no newline.
        vocabulary: All characters, the newline among them.
        batch_size: Lines per batch.
        size: Maps the number of the batch, counted from when training on this
            dataset began, to a number of characters, the newline not counted.
        seed: Seed of the draws.

    Returns:
        Batches as of `data.chosen_lines`. While no line fits, those that need
        the fewest characters are drawn.

    Raises:
        ValueError: As `data.chosen_lines` does.
        TypeError: As `data.chosen_lines` does.
    """
    lines = sources.check_lines(lines)
    counts = collections.Counter(
        id_ for line in lines for id_ in vocabulary.encode(line).tolist()
    )
    # By frequency; equally frequent ones in the order of the vocabulary.
    ranked = sorted(sorted(counts), key=lambda id_: -counts[id_])
    rank = {id_: number for number, id_ in enumerate(ranked, 1)}

    def needed(line):
        return max(
            (rank[id_] for id_ in vocabulary.encode(line).tolist()), default=0
        )

    ordered = sorted(lines, key=needed)
    sizes = np.array([needed(line) for line in ordered], np.float32)

    def pool(position):
        allowed = tf.maximum(tf.cast(size(position), tf.float32), sizes[0])
        return tf.searchsorted(sizes, [allowed], 'right', tf.int64)[0]

    return _from_pool(ordered, vocabulary, batch_size, pool, seed)


def draw(
    position: tf.Tensor, size: tf.Tensor, batch_size: int, *, seed: int
) -> tf.Tensor:
    """Draws the lines of a batch from the first ones, with replacement.

    Args:
        position: The number of the batch.
        size: How many lines there are to draw from, int64.
        batch_size: How many to draw (B).
        seed: Seed of the draws.

    Returns:
        Numbers of lines, [B] int64: a function of seed, position and size.
    """
    return tf.random.stateless_uniform(
        [batch_size],
        tf.stack([seed, position]),
        minval=0,
        maxval=size,
        dtype=tf.int64,
        alg='philox',
    )


def _from_pool(lines, vocabulary, batch_size, pool, seed):
    """Draws from the first `pool(position)` lines, or the first at least."""

    def choose(position):
        size = tf.clip_by_value(
            tf.cast(pool(position), tf.int64), 1, len(lines)
        )
        return draw(position, size, batch_size, seed=seed)

    return chosen_lines(lines, vocabulary, batch_size, choose=choose)
