"""Curricula: what a model is taught first, and what after that.

A curriculum is an iterable of `Stage`s, and the loop over it is

    for stage in stages:
        trainer.train(stage.dataset, stage.steps, callbacks)

`train` is this loop for stages that end by a condition, for a budget in
characters, and for a control: as many characters without the curriculum.

At a change of stage the state is kept where the rows go on, and is zero
otherwise. They go on where both datasets are `data.sequences` of one text with
one `batch_size`, whatever their `seq_length`: no character comes twice, none is
left out. Which stage it is, where it began and where in its data training
stands are in the checkpoint.

What changes from batch to batch needs no stages. It is a dataset whose batches
are a function of their number (`easiest_first`, `growing_vocabulary`, `mix`),
or a probability that is a function of the step (`ScheduledSampling`).
"""

from __future__ import annotations

import collections
import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from absl import logging
from numpy import typing as npt

from tfcharrnn.data import batches as data
from tfcharrnn.generation import sampling
from tfcharrnn.text import sources
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import schedules
from tfcharrnn.training.trainer import Callback, Dataset, Metrics, Trainer

STRATEGIES = ('none', 'naive', 'mix', 'combined')


@dataclasses.dataclass(frozen=True)
class Stage:
    """A dataset, and how long it is trained on.

        Stage(short, steps=1000)               up to GLOBAL step 1000
        Stage(short, until=good, every=500)    until good(metrics) holds
        Stage(long)                            for the rest of the training

    >>> easy = data.sequences(np.arange(99), seq_length=5, batch_size=2)
    >>> stage = Stage(
    ...     easy, until=lambda metrics: metrics['accuracy'] > 0.9, every=100
    ... )
    >>> stage.until({'accuracy': 0.95})
    True

    Attributes:
        dataset: `data.Batches`, or anything that a `Trainer` trains on and that
            has its `num_chars`, the targets of a pass.
        steps: The global step at which the stage ends; None: no such step.
        until: Ends the stage when it returns True. It is given the metrics of
            the last `every` steps (their numbers, 'chars_per_second' left
            out) and those that callbacks with this period have added, such as
            'valid_loss'. It should depend on nothing else.
        every: Steps between two calls of `until`, which is called at the
            multiples.

    Raises:
        ValueError: If `steps` or `every` is no whole number above 0, or one of
            `until` and `every` is given alone.
    """

    dataset: Dataset
    steps: int | None = None
    until: Callable[[Metrics], bool] | None = None
    every: int | None = None

    def __post_init__(self):
        for name in ('steps', 'every'):
            value = getattr(self, name)
            if value is None:
                continue
            if not value >= 1 or value % 1:
                raise ValueError(
                    f'`{name}` is {value!r}, but must be a whole number of at '
                    'least 1, or None.'
                )
            object.__setattr__(self, name, int(value))
        if (self.until is None) != (self.every is None):
            raise ValueError(
                '`until` is called at each multiple of `every` steps: give '
                'both, or none of them.'
            )


def train(
    trainer: Trainer,
    stages: Iterable[Stage],
    steps: int | None = None,
    callbacks: Iterable[Callback] = (),
    *,
    num_chars: int | None = None,
    control: bool = False,
) -> Metrics:
    """Trains through the stages, from wherever a checkpoint has left off.

        for stage in stages:
            trainer.train(stage.dataset, ...)   # until the stage ends

    Started again after a crash, in whichever stage, it goes on bit for bit.
    The same stages have to come in the same order then; those that are over
    are not trained on again.

        >>> from tfcharrnn.nn import char_rnn as model
        >>> rnn = model.CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> trainer = Trainer(rnn, tf.keras.optimizers.Adam(0.1))
        >>> text = np.tile([0, 1, 2], 200)
        >>> short = data.sequences(text, seq_length=5, batch_size=4)
        >>> long = data.sequences(text, seq_length=20, batch_size=4)
        >>> good = lambda metrics: metrics['accuracy'] > 0.9
        >>> stages = [Stage(short, until=good, every=10), Stage(long)]
        >>> metrics = train(trainer, stages, steps=100)
        >>> trainer.record['curriculum']['stage'], trainer.step
        (1, 100)

    Args:
        trainer: What trains; its `record` has 'curriculum': the number of the
            'stage', and the step at which it 'began'.
        stages: A list of stages, or a generator of them. In any but the last
            one that is wanted, `steps` or `until` says where it ends.
        steps: The GLOBAL step at which all training ends.
        callbacks: As for `Trainer.train`.
        num_chars: A budget, instead of `steps` or besides: training ends when
            so many characters were targets. It is counted as the mean number
            of a batch in each stage's dataset.
        control: Trains on the dataset of the last stage alone, for as many
            characters: what the curriculum is to be compared with.

    Returns:
        The metrics of the last stage that was trained; empty if there was
        nothing to do.

    Raises:
        ValueError: If a stage has no end, an `until` asks for a metric that
            is not there, or a control has no stage.
    """
    if control:
        stages = list(stages)
        if not stages:
            raise ValueError('There are no stages: give one at least.')
        if num_chars is None:
            num_chars, steps = count_chars(stages, steps), None
        stages = [Stage(stages[-1].dataset)]
    callbacks = list(callbacks)
    metrics = {}
    for number, stage in enumerate(stages):
        place = trainer.record.setdefault(
            'curriculum', _new_place(0, trainer.step, 0.0)
        )
        if number < place['stage']:
            trainer.train(stage.dataset, steps=0)  # It only counts them.
            continue
        last = _last_step(stage, place, steps, num_chars)
        metrics = _train_stage(trainer, stage, place, last, callbacks)
        if trainer.stop_training or not _is_over(stage, place, trainer.step):
            break
        logging.info('Stage %d ended at step %d', number, trainer.step)
        spent = place['num_chars'] + _chars(
            stage.dataset, trainer.step - place['began']
        )
        trainer.record['curriculum'] = _new_place(
            number + 1, trainer.step, spent
        )
    return metrics


def count_chars(stages: Iterable[Stage], steps: int | None = None) -> int:
    """Counts the characters that are targets up to a GLOBAL step.

    >>> text = np.arange(1001)
    >>> short = data.sequences(text, seq_length=5, batch_size=2)
    >>> long = data.sequences(text, seq_length=50, batch_size=2)
    >>> count_chars([Stage(short, steps=70), Stage(long)], steps=73)
    1000

    Args:
        stages: Stages without `until`: where these end, nobody knows.
        steps: Where training ends; None: at the end of the last stage.

    Returns:
        The number of characters, to the mean of each dataset's batches.

    Raises:
        ValueError: If there is no telling where a stage ends.
    """
    begin, total = 0, 0.0
    for stage in stages:
        ends = [x for x in (stage.steps, steps) if x is not None]
        if stage.until is not None or not ends:
            raise ValueError(
                'The characters of a curriculum can be counted where each '
                'stage ends at a step. Give the budget as `num_chars`.'
            )
        total += _chars(stage.dataset, max(0, min(ends) - begin))
        begin = max(begin, min(ends))
    return round(total)


def count_steps(stages: Iterable[Stage], num_chars: int) -> int:
    """Counts the steps in which so many characters are targets.

    >>> text = np.arange(1001)
    >>> short = data.sequences(text, seq_length=5, batch_size=2)
    >>> long = data.sequences(text, seq_length=50, batch_size=2)
    >>> count_steps([Stage(short, steps=70), Stage(long)], num_chars=1000)
    73

    Args:
        stages: Stages without `until`.
        num_chars: The number of characters, as `train` counts them.

    Returns:
        The GLOBAL step.

    Raises:
        ValueError: If there is no telling where a stage ends.
    """
    place = _new_place(0, 0, 0.0)
    for number, stage in enumerate(stages, start=1):
        if stage.until is not None:
            raise ValueError(
                'The steps of a curriculum can be counted where each stage '
                'ends at a step, not where one ends by `until`.'
            )
        last = _last_step(stage, place, None, num_chars)
        if stage.steps is None or last < stage.steps:
            return last
        spent = _chars(stage.dataset, max(0, last - place['began']))
        begin = max(last, place['began'])
        place = _new_place(number, begin, place['num_chars'] + spent)
    return place['began']


def growing_length(
    ids: npt.ArrayLike,
    batch_size: int,
    lengths: Sequence[int],
    boundaries: Sequence[int],
) -> list[Stage]:
    """Lets sequences grow: gradients go ever further back in one stream.

        lengths      25        50           100
        boundaries       1000      3000
        step         0 ...     1000 ...     3000 ...

    Rows and states go on at a change, so every character is a target once in
    a pass, as without a curriculum. Each length is compiled anew, which takes
    seconds. Length warm-up for stability and speed: Li et al., arXiv
    2108.06084.

    >>> stages = growing_length(np.arange(999), 4, [5, 10, 20], [30, 50])
    >>> [(stage.dataset.seq_length, stage.steps) for stage in stages]
    [(5, 30), (10, 50), (20, None)]

    Args:
        ids: The text, as in `data.sequences`.
        batch_size: Rows.
        lengths: The lengths in their order.
        boundaries: The GLOBAL steps where the second, the third ... begin.

    Returns:
        The stages; the last one has no end.

    Raises:
        ValueError: As `data.sequences` does, and `schedules.stepwise`.
    """
    schedules.stepwise(lengths, boundaries)  # Raises where they do not fit.
    ids = np.asanyarray(ids)
    return [
        Stage(data.sequences(ids, length, batch_size), steps)
        for length, steps in zip(lengths, [*boundaries, None], strict=True)
    ]


def parse(text: str) -> tuple[list[int], list[int]]:
    """Reads the lengths and boundaries of `growing_length`, as of a flag.

    >>> parse('length:25@1000,50@3000,100')
    ([25, 50, 100], [1000, 3000])

    Args:
        text: `length:` and the lengths with commas between them, each but the
            last with `@` and the step where it ends.

    Raises:
        ValueError: If the text is none, saying what was expected.
    """
    kind, _, pieces = text.partition(':')
    *begun, last = pieces.split(',')
    pairs = [piece.split('@') for piece in begun]
    try:
        if kind.strip() != 'length' or any(len(pair) != 2 for pair in pairs):
            raise ValueError
        lengths = [*(int(length) for length, _ in pairs), int(last)]
        boundaries = [int(boundary) for _, boundary in pairs]
        if min(lengths) < 1 or sorted({0, *boundaries}) != [0, *boundaries]:
            raise ValueError
    except ValueError:
        raise ValueError(
            'A curriculum is length:25@1000,50@3000,100, that is, rows of 25 '
            'characters up to step 1000, of 50 up to step 3000, then of 100; '
            f'but got `{text}`.'
        ) from None
    return lengths, boundaries


def competence(
    start: float, steps: int, degree: float = 2.0
) -> schedules.Schedule:
    """Returns which share of the examples, the easiest, a model is up to.

        c(t) = min(1, (t * (1 - c0**p) / steps + c0**p) ** (1 / p))

    The linear (p = 1) and the square root (p = 2) competence of Platanios et
    al. (2019, https://arxiv.org/abs/1903.09848). With the root, new examples
    come the more slowly the more there are.

    >>> share = competence(0.1, steps=100)
    >>> [round(float(share(step)), 2) for step in (0, 25, 100, 200)]
    [0.1, 0.51, 1.0, 1.0]

    Args:
        start: The share at step 0 (c0), above 0, at most 1.
        steps: When it is all of them.
        degree: 1 for linear, 2 for the square root (p).

    Raises:
        ValueError: If an argument is none of these.
    """
    if not (0.0 < start <= 1.0 and degree > 0.0):
        raise ValueError(
            f'Competence starts at a share above 0, at most 1, and has a '
            f'`degree` above 0, but got `start` {start} and `degree` {degree}.'
        )
    line = schedules.linear(start**degree, 1.0, steps)
    return lambda step: line(step) ** (1.0 / degree)


def rarity(texts: Iterable[str], order: int = 1) -> Callable[[str], float]:
    """Returns how surprising a text is to an n-gram model of some texts.

        rarity(text) = -sum(log p(character | the `order - 1` before it))

    In nats, so a long text is more difficult than a short one. With order 1
    it is the sentence rarity of Platanios et al. (arXiv 1903.09848), for
    characters; the probability is (count + 1) / (count of all + distinct).

    >>> difficulty = rarity(['tea', 'eat', 'axe'])
    >>> sorted(['axe', 'tea'], key=difficulty)
    ['tea', 'axe']

    Args:
        texts: What the model counts, for instance the lines to be ordered.
        order: 1 for the characters alone, 2 for pairs, and so on.

    Returns:
        A function for `easiest_first`.
    """
    grams, contexts, characters = (
        collections.Counter(),
        collections.Counter(),
        set(),
    )
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
    share: schedules.Schedule,
    *,
    difficulty: Callable[[str], float] = len,
    seed: int = 0,
) -> data.Batches:
    r"""Draws lines from the easiest ones, ever more of them.

        batch t  =  batch_size lines out of the share(t) that are easiest

    Lines are drawn with replacement, as in Platanios et al. (2019,
    https://arxiv.org/abs/1903.09848); when all are in, `data.lines` in a
    `Stage` of its own brings each once a pass. A difficulty is any function
    of a line: its length, its `rarity`, or what a trained model loses on it:

        difficulty=lambda line: -generator.score('\n' + line + '\n').sum()

    >>> lines = ['a', 'aa', 'aaaa', 'aaaaaaaa']
    >>> batches = easiest_first(
    ...     lines, Vocabulary('\na'), 2, competence(0.5, steps=10)
    ... )
    >>> for batch in batches.starting_at(0).take(1):
    ...     print(batch.mask.numpy().sum(axis=1))  # with their ends
    [2 2]

    Args:
        lines: Texts that are not empty and have no newline in them.
        vocabulary: Of all characters, the newline among them.
        batch_size: Lines of a batch.
        share: From the number of the batch, counted from when training on
            this dataset began, to a share above 0; see `competence`.
        difficulty: Where it is equal, the earlier line is the easier one.
        seed: Of the draws.

    Returns:
        Batches as of `data.chosen_lines`, to be trained on at once or in a
        `Stage`.

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
    size: schedules.Schedule,
    *,
    seed: int = 0,
) -> data.Batches:
    r"""Draws lines that have no other than the most frequent characters.

    The number of these grows. Language models of ever larger vocabularies:
    Bengio et al., "Curriculum Learning", ICML 2009, where it is windows that
    are left out if one of their words is not in the vocabulary.

    >>> lines = ['aaaa', 'aab', 'abc']
    >>> batches = growing_vocabulary(
    ...     lines, Vocabulary('\nabc'), 2, schedules.stepwise([2, 3], [1])
    ... )
    >>> for batch in batches.starting_at(0).take(1):
    ...     print(batch.mask.numpy().sum(axis=1))  # 'aaaa' twice, no 'abc'
    [5 5]

    Args:
        lines: Texts that are not empty and have no newline in them.
        vocabulary: Of all characters, the newline among them.
        batch_size: Lines of a batch.
        size: From the number of the batch, counted from when training on this
            dataset began, to the number of characters, the newline left out.
        seed: Of the draws.

    Returns:
        Batches as of `data.chosen_lines`. While no line is made of so few
        characters, those that need the fewest are drawn.

    Raises:
        ValueError: As `data.chosen_lines` does.
        TypeError: As `data.chosen_lines` does.
    """
    lines = sources.check_lines(lines)
    counts = collections.Counter(
        id_ for line in lines for id_ in vocabulary.encode(line).tolist()
    )
    # By frequency; equally frequent ones in their order in the vocabulary.
    ranked = sorted(sorted(counts), key=counts.get, reverse=True)
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


def mix(
    sources: Sequence[data.Batches],
    weights: Sequence[schedules.Schedule | float],
    *,
    seed: int = 0,
) -> data.Batches:
    """Takes each batch from one of several sources, by weights that may move.

        p(source i at batch t)  =  weights[i](t) / sum of all weights

    Every source is read on where it stopped, pass after pass. Where the
    source changes, all rows begin from the zero state: what they carried is
    of another text. So for streams, chunks of a few batches follow each
    other; for windows and lines nothing is lost.

    >>> a, b = (
    ...     data.windows(np.full(99, i), seq_length=3, batch_size=2)
    ...     for i in (0, 1)
    ... )
    >>> both = mix([a, b], [schedules.linear(1, 0, steps=8), 0.5])
    >>> [int(batch.inputs[0, 0]) for batch in both.starting_at(0).take(9)]
    [0, 1, 1, 1, 0, 1, 1, 0, 1]

    Args:
        sources: Batches of one and the same `batch_size`.
        weights: For each a number, or a schedule from the number of the
            batch, counted from when training on this dataset began.
        seed: Of the choice.

    Returns:
        Batches whose passes are as long as one of all sources together, in
        name only.

    Raises:
        ValueError: If there is not one weight for each source, or they differ
            in `batch_size`.
    """
    sources, weights = list(sources), list(weights)
    if len(sources) != len(weights) or not sources:
        raise ValueError(
            f'Each source has a weight, but got {len(sources)} sources and '
            f'{len(weights)} weights.'
        )
    sizes = [source.batch_size for source in sources]
    if len(set(sizes)) > 1:
        raise ValueError(
            f'Sources are mixed batch by batch, so all have the same '
            f'`batch_size`, but got {sizes}.'
        )
    length = sum(map(len, sources))
    choose = _choices(weights, length, seed)

    def one_pass(number, start):
        choices = choose(number)
        counts = _counts(choices[:start], len(sources))
        counts += tf.foldl(
            lambda total, n: total + _counts(choose(n), len(sources)),
            tf.range(number),
            tf.zeros([len(sources)], tf.int64),
        )
        rest = tf.data.Dataset.from_tensor_slices(choices[start:])
        batches = tf.data.Dataset.choose_from_datasets(
            [s.starting_at(counts[i]) for i, s in enumerate(sources)], rest
        )
        before = tf.concat([[-1], choices[:-1]], 0)
        changes = tf.data.Dataset.from_tensor_slices(before != choices)
        return tf.data.Dataset.zip(batches, changes.skip(start)).map(
            lambda batch, change: batch._replace(reset=batch.reset | change)
        )

    return data.Batches(
        one_pass,
        length,
        sizes[0],
        max(source.seq_length for source in sources),
        sum(source.num_chars for source in sources),
    )


def levels(
    strategy: str,
    make_dataset: Callable[[np.ndarray], Dataset],
    num_levels: int,
    *,
    until: Callable[[Metrics], bool] | None = None,
    every: int | None = None,
    steps_per_level: int | None = None,
) -> Iterator[Stage]:
    """Goes through the levels of a task, the last of which is to be learnt.

        none       the last level only
        naive      level 0, then level 1, and so on
        mix        all levels alike, all the time
        combined   half of the examples as in naive, half as in mix

    The strategies of Zaremba and Sutskever, "Learning to Execute" (2014,
    https://arxiv.org/abs/1410.4615).

    >>> def make_dataset(probabilities):
    ...     print(probabilities)
    >>> stages = list(levels('combined', make_dataset, 2, steps_per_level=100))
    [0.75 0.25]
    [0.25 0.75]
    >>> [stage.steps for stage in stages]
    [100, None]

    Args:
        strategy: One of these four.
        make_dataset: From the probabilities of the levels to a dataset.
        num_levels: How many levels there are.
        until: Ends every level but the last; see `Stage`.
        every: Steps between calls of `until`.
        steps_per_level: Ends level n at GLOBAL step (n + 1) times this.

    Yields:
        One stage for each level, or a single one for 'none' and 'mix'; the
        last one has no end.

    Raises:
        ValueError: If the strategy is none of these, or has no way to end a
            level.
    """
    if strategy not in STRATEGIES:
        raise ValueError(
            f'A strategy is one of {", ".join(STRATEGIES)}, but got '
            f'{strategy!r}.'
        )
    target, alike = np.eye(num_levels)[-1], np.full(num_levels, 1 / num_levels)
    if strategy in ('none', 'mix'):
        yield Stage(make_dataset(target if strategy == 'none' else alike))
        return
    if until is None and steps_per_level is None and num_levels > 1:
        raise ValueError(
            f'Each level of the strategy {strategy!r} needs an end: give '
            '`until` and `every`, or `steps_per_level`.'
        )
    for level, weights in enumerate(np.eye(num_levels)):
        if strategy == 'combined':
            weights = (weights + alike) / 2
        dataset = make_dataset(weights)
        if level == num_levels - 1:
            yield Stage(dataset)
        else:
            last = steps_per_level and (level + 1) * steps_per_level
            yield Stage(dataset, last, until, every)


class ScheduledSampling(Trainer):
    """Reads, now and then, its own character instead of the text's.

        text      t  h  e  _  c  a  t
        samples      o  e  n  d  a  r        of the logits before each
        coins        0  0  1  0  1  0        1 with probability eps(step)
        inputs    t  h  e  n  c  a  t        the targets stay the text's

    So a model learns to go on from its own mistakes (Bengio et al., 2015,
    https://arxiv.org/abs/1506.03099).

    The paper samples in sequence: what is sampled at a place depends on the
    samples before it. Here one pass without gradient reads the text, all
    samples are drawn at once from its logits, and the ordinary fast pass
    trains on what came out. So a sample follows from the text before it and
    not from other samples (one pass of Duckworth et al., "Parallel Scheduled
    Sampling", 2019, https://arxiv.org/abs/1906.04331), and a step costs a
    third more instead of many times as much. The first character of a row is
    always the text's. Dropout is off where samples are drawn.

    The samples are a function of (seed, step). At probability 0 a step is that
    of `Trainer`, bit for bit, and as fast. Evaluation always reads the text.

        >>> from tfcharrnn.nn import char_rnn as model
        >>> rnn = model.CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> trainer = ScheduledSampling(
        ...     rnn,
        ...     tf.keras.optimizers.Adam(0.1),
        ...     schedules.linear(0.0, 0.5, steps=100),
        ... )
        >>> text = np.tile([0, 1, 2], 100)
        >>> dataset = data.sequences(text, seq_length=10, batch_size=4)
        >>> metrics = trainer.train(dataset, steps=20)
        >>> trainer.evaluate(dataset)['accuracy'] > 0.9
        True

    It overrides `compute_gradients` alone, so a subclass may have a
    `compute_loss` or a `train_step` of its own.
    """

    def __init__(
        self,
        model,
        optimizer: tf.keras.optimizers.Optimizer,
        probability: schedules.Schedule | float,
        *,
        temperature: float = 1.0,
        per_row: bool = False,
        **options,
    ):
        """Prepares training with sampled inputs.

        Args:
            model: As for `Trainer`.
            optimizer: As for `Trainer`.
            probability: Of an input to be the model's, from 0 to 1; a number,
                or a function of the step.
            temperature: Of the samples; 0 takes the most probable character.
            per_row: Tosses one coin for all characters of a row.
            **options: Those of `Trainer`.

        Raises:
            ValueError: If a number is out of range.
        """
        super().__init__(model, optimizer, **options)
        sampling.check(temperature)
        if isinstance(probability, numbers.Real):
            if not 0.0 <= probability <= 1.0:
                raise ValueError(
                    f'`probability` is {probability!r}, but must be from 0 to '
                    '1, or a function of the step.'
                )
            probability = schedules.constant(probability)
        self._probability = probability
        self._temperature = temperature
        self._per_row = per_row

    def compute_gradients(self, batch: data.Batch, state):
        """As in `Trainer`, on inputs some of which are sampled."""
        probability = self._probability(self.step_variable)
        inputs = tf.cond(
            probability > 0.0,
            lambda: self._mix(batch, state, probability),
            lambda: tf.identity(batch.inputs),
        )
        inputs = tf.ensure_shape(inputs, batch.inputs.shape)
        return super().compute_gradients(batch._replace(inputs=inputs), state)

    def _mix(self, batch, state, probability):
        """Puts samples in the place of some inputs."""
        fold_in = tf.random.experimental.stateless_fold_in
        # Dropout's seeds are those of this step, folded with small numbers.
        seed = fold_in(self._step_seed(), -1)
        logits, _ = self.model(batch.inputs, state, training=False)
        rows, length = tf.unstack(tf.shape(batch.inputs))
        samples = sampling.sample(
            tf.reshape(logits, [-1, logits.shape[-1]]),
            fold_in(seed, 0),
            temperature=self._temperature,
        )
        samples = tf.reshape(samples, [rows, length])
        coins = tf.random.stateless_uniform(
            [rows, 1 if self._per_row else length - 1],
            fold_in(seed, 1),
            alg='philox',
        )
        first, others = batch.inputs[:, :1], batch.inputs[:, 1:]
        mixed = tf.where(coins < probability, samples[:, :-1], others)
        return tf.concat([first, mixed], axis=1)


def _new_place(stage, began, num_chars):
    """Where a curriculum stands, as it is in `Trainer.record`.

    'metrics' are those of a step for which `until` is still to be asked: a
    checkpoint may be saved before.
    """
    return {
        'stage': stage,
        'began': began,
        'num_chars': num_chars,
        'metrics': None,
        'ended': False,
    }


def _train_stage(trainer, stage, place, last, callbacks):
    """Trains up to a step, or until `until` holds, or a callback stops it."""
    stopped = False
    if place['metrics'] is not None:
        _ask(stage, place)

    def ask(trainer, metrics):
        nonlocal stopped
        _note(place, metrics)
        _ask(stage, place)
        stopped = trainer.stop_training
        trainer.stop_training = stopped or place['ended']

    if stage.until is not None:
        ask.call_every = stage.every
        callbacks = [_noting(each, stage, place) for each in callbacks]
        callbacks.append(ask)
    metrics = trainer.train(
        stage.dataset, 0 if place['ended'] else last, callbacks
    )
    if place['ended']:  # That it stopped is the end of the stage only.
        trainer.stop_training = stopped
    return metrics


def _noting(callback, stage, place):
    """Notes what is known before a callback, which may save a checkpoint."""
    if getattr(callback, 'call_every', None) != stage.every:
        return callback

    def call(trainer, metrics):
        _note(place, metrics)
        callback(trainer, metrics)

    call.call_every = stage.every
    return call


def _note(place, metrics):
    # What depends on timing would be otherwise in a run that is repeated.
    place['metrics'] = {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, numbers.Real) and name != 'chars_per_second'
    }


def _ask(stage, place):
    """Asks whether the stage is over, once for each time that it is due."""
    metrics = place['metrics']
    try:
        place['ended'] = bool(stage.until(metrics))
    except KeyError as error:
        raise ValueError(
            f'A stage waits for the metric {error}, but there are '
            f'{", ".join(sorted(metrics))}. Give a callback that adds it, such '
            f'as `every({stage.every}, Evaluate(valid))`, with the period of '
            'the stage.'
        ) from error
    place['metrics'] = None


def _is_over(stage, place, step):
    return place['ended'] or (stage.steps is not None and step >= stage.steps)


def _last_step(stage, place, steps, num_chars):
    """Returns the step at which a stage ends, if not by `until` before."""
    ends = [stage.steps, steps]
    if num_chars is not None:
        left = max(0.0, num_chars - place['num_chars'])
        batches = left * len(stage.dataset) / stage.dataset.num_chars
        # Rounding alone is no reason for one more step.
        ends.append(place['began'] + math.ceil(round(batches, 6)))
    ends = [end for end in ends if end is not None]
    if not ends and stage.until is None:
        raise ValueError(
            f'Stage {place["stage"]} has no end: give its `steps` or `until`, '
            'or the `steps` or `num_chars` of all training.'
        )
    return min(ends, default=np.iinfo(np.int64).max)


def _chars(dataset, steps):
    """Returns how many characters are targets in so many steps, on average."""
    return steps * dataset.num_chars / len(dataset)


def _from_pool(lines, vocabulary, batch_size, pool, seed):
    """Draws lines out of the first `pool(position)`, at least one."""

    def choose(position):
        size = tf.clip_by_value(
            tf.cast(pool(position), tf.int64), 1, len(lines)
        )
        return tf.random.stateless_uniform(
            [batch_size], [seed, position], 0, size, tf.int64, alg='philox'
        )

    return data.chosen_lines(lines, vocabulary, batch_size, choose)


def _choices(weights, length, seed):
    """Returns a function from a pass to the source of each of its batches."""

    def choose(number):
        positions = number * length + tf.range(length, dtype=tf.int64)
        moving = [
            tf.broadcast_to(w(positions) if callable(w) else float(w), [length])
            for w in weights
        ]
        bounds = tf.cumsum(tf.stack(moving, axis=1), axis=1)
        draws = tf.random.stateless_uniform(
            [length, 1], [seed, number], alg='philox'
        )
        below = bounds[:, :-1] <= draws * bounds[:, -1:]
        return tf.reduce_sum(tf.cast(below, tf.int64), axis=1)

    return choose


def _counts(choices, num_sources):
    return tf.math.bincount(
        tf.cast(choices, tf.int32),
        minlength=num_sources,
        maxlength=num_sources,
        dtype=tf.int64,
    )
