"""Mixing: trained models are loaded as one, weighted by training text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfcharrnn import data
from tfcharrnn.nn.mixture import Mixture
from tfcharrnn.nn.ngram import NGram
from tfcharrnn.running import texts
from tfcharrnn.running.mixture_config import MixtureConfig, models_in
from tfcharrnn.text import held_out
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs
from tfcharrnn.training import states

# Characters to fit on where training held none out, and at most.
_SLICE = 20_000
_MAX_SLICE = 100_000
# N-grams are counted in memory.
_MAX_COUNTED = 50_000_000
_SEQ_LENGTH = 100
_TEMPERATURES = np.linspace(0.7, 1.5, 17).round(2)
_MAX_ROUNDS = 200


def load_mixture(
    runs: Sequence[str | os.PathLike],
    checkpoint: str | None = None,
    *,
    ngram: int | None = None,
    weights: Sequence[float] | None = None,
) -> tuple[Any, Vocabulary]:
    """Loads trained models as one that averages their probabilities.

        model, vocabulary = load_mixture(['runs/a', 'runs/b'], ngram=7)
        print(Generator(model, vocabulary).generate('ROMEO: ', 500))

    Weights and a temperature of the trained models are those with which the
    mixture predicts the start of the training text best, never the validation
    text. Where the runs held that out of training (`fit_fraction`), they
    are right for new text, too. Otherwise the trained models know it already
    and get too much weight, which is logged as a warning, and the temperature
    stays 1.

    Args:
        runs: Their directories.
        checkpoint: As for `load_model`, but not a path for several runs.
        ngram: Adds an `NGram` of this order, counted in the training text of
            the first run.
        weights: The weights instead, that of the n-grams last, at temperature
            1.

    Returns:
        The `Mixture`, or the model itself if there is only one; and its
        vocabulary.

    Raises:
        FileNotFoundError: There is no model, checkpoint or text.
        ValueError: The vocabularies or texts differ, a file is damaged, or an
            argument is invalid.
    """
    runs = [path for run in runs for path in models_in(run)]
    MixtureConfig(  # Which checks them.
        model_dir=','.join(runs),
        checkpoint=checkpoint or 'latest',
        ngram=ngram,
        weights=None if weights is None else tuple(weights),
    )
    loaded = [model_dirs.load_model(run, checkpoint) for run in runs]
    members, vocabulary = [model for model, _ in loaded], loaded[0][1]
    for run, (_, other) in zip(runs, loaded, strict=True):
        if (other, other.lines) != (vocabulary, vocabulary.lines):
            raise ValueError(
                f"'{run}' and '{runs[0]}' have different vocabularies, or only "
                'one is of lines, so their probabilities cannot be averaged. '
                'Mix models of one text.'
            )
    if len(members) == 1 and ngram is None:
        return members[0], vocabulary
    if ngram is None and weights is not None:
        return Mixture(members, weights), vocabulary
    corpus, rest = _training_text(runs, checkpoint, vocabulary)
    temperatures: Any = 1.0
    if weights is None:
        was_seen = not len(rest)
        corpus, rest = _split(corpus, rest)
        fitted = members
        if ngram is not None:
            fitted = [*members, _count(corpus.train, vocabulary, ngram)]
        # On a text that a model knows, it seems too careful, not too bold.
        tempered = [not was_seen] * len(members)
        tempered += [False] * (len(fitted) - len(members))
        batches = _batches(rest, vocabulary)
        weights, temperatures = fit(fitted, batches, tempered)
    if ngram is not None:
        text = np.concatenate([rest, corpus.train[-_MAX_COUNTED:]])
        members.append(_count(text, vocabulary, ngram))
    return Mixture(members, weights, temperatures=temperatures), vocabulary


def fit(
    members: Sequence[Any],
    dataset: data.Batches,
    has_temperature: Sequence[bool],
) -> tuple[list[float], list[float]]:
    """Finds the weights and the temperature that predict a text best.

    For each temperature of a grid, the weights follow by expectation
    maximisation: each becomes the mean share of its model in the probability
    of the characters.

        >>> models = [NGram(np.arange(9) % 3, 3, 2), NGram(np.ones(9), 3, 2)]
        >>> text = data.sequences(np.arange(30) % 3, 10, 2)
        >>> weights, _ = fit(models, text, [False, False])
        >>> weights[0] > 0.95
        True

    Args:
        members: M models, as for `Mixture`.
        dataset: Batches of a text that they have not read.
        has_temperature: [M] Whether the logits of each are divided by it.

    Returns:
        The weights and the temperatures [M].
    """
    grid = _TEMPERATURES if any(has_temperature) else np.ones(1)
    scores = _score(members, dataset, grid)  # [M, G, N]
    usual = int(np.argmin(abs(grid - 1.0)))
    best = (np.inf, [], [])
    for i, temperature in enumerate(grid):
        places = [i if has else usual for has in has_temperature]
        chosen = [s[p] for s, p in zip(scores, places, strict=True)]
        weights, loss = _weigh(np.array(chosen, np.float64))
        if loss < best[0]:
            temperatures = [
                float(temperature) if has else 1.0 for has in has_temperature
            ]
            best = loss, weights.tolist(), temperatures
    return best[1:]


def describe(mixture: Mixture, runs: Sequence[str]) -> str:
    """Says how a mixture is weighted, for people.

    >>> members = [NGram(np.arange(9) % 3, 3, 2)] * 2
    >>> describe(Mixture(members, temperatures=[1.1, 1.0]), ['runs/a'])
    'Weights: 0.500 runs/a, 0.500 2-grams; temperature 1.10.'

    Args:
        mixture: The mixture.
        runs: The directories of its first members.
    """
    names = list(runs)
    for member in mixture.members[len(runs) :]:
        names.append(f'{member.order}-grams')
    pairs = zip(mixture.weights, names, strict=True)
    weights = ', '.join(f'{weight:.3f} {name}' for weight, name in pairs)
    return f'Weights: {weights}; temperature {mixture.temperatures[0]:.2f}.'


def _training_text(runs, checkpoint, vocabulary) -> tuple[Corpus, np.ndarray]:
    """Returns the corpus of the runs, and the start of its training part."""
    other = 'give `weights`, and no `ngram`.'
    config = texts.settings(runs[0], mend=f'To mix without it, {other}')
    corpus, rest = held_out.load(config, vocabulary=vocabulary)
    for run in runs:
        mend = f'Mix models of one text and split; or {other}'
        texts.check_same(corpus, run, checkpoint, mend=mend)
    return corpus, rest


def _split(corpus, rest):
    """Returns the text without the one to fit on, and that one."""
    if len(rest):
        return corpus, rest
    logging.warning(
        'The models have read the text on which their weights are fitted, '
        'which makes these too large. Train with `fit_fraction` (0.02, say), '
        'or give `weights`.'
    )
    try:
        return held_out.hold_out(corpus, min(0.5, _SLICE / len(corpus.train)))
    except ValueError as error:
        raise ValueError(
            f"The text '{corpus.source}' is too short to fit weights on a part "
            'of it. Give `weights`.'
        ) from error


def _count(ids, vocabulary, order):
    if len(ids) > _MAX_COUNTED:
        logging.warning(
            'N-grams are counted in memory: only the last %d of the %d '
            'characters are.',
            _MAX_COUNTED,
            len(ids),
        )
    return NGram(ids[-_MAX_COUNTED:], len(vocabulary), order)


def _batches(ids, vocabulary):
    few = ids[:_MAX_SLICE]
    if not vocabulary.lines:
        return data.evaluation_streams(few, _SEQ_LENGTH)
    lines = vocabulary.decode(few).split('\n')
    if len(few) < len(ids):
        lines = lines[:-1] or lines  # The last one may have been cut.
    lines = [line for line in lines if line]
    return data.lines(lines, vocabulary, min(64, len(lines)), shuffle=False)


def _score(members, dataset, temperatures):
    """Returns the log-probabilities of a text, [M, G, N], in nats."""
    state = tuple(m.initial_state(dataset.batch_size) for m in members)
    scores = []

    @tf.function(autograph=False, reduce_retracing=True)
    def read(batch, state):
        scores, after = [], []
        for member, before in zip(members, state, strict=True):
            before = states.reset_rows(member, before, batch.reset)
            logits, before = member(batch.inputs, before)
            after.append(before)
            scores.append(
                tf.stack(
                    [
                        -tf.nn.sparse_softmax_cross_entropy_with_logits(
                            batch.targets, logits / temperature
                        )
                        for temperature in temperatures
                    ]
                )
            )
        return tf.stack(scores), tuple(after)

    for batch in dataset:
        some, state = read(batch, state)
        scores.append(some.numpy()[..., batch.mask.numpy()])
    return np.concatenate(scores, axis=-1)


def _weigh(scores):
    """Returns the best weights [M] of scores [M, N] in nats, and their loss."""
    count = len(scores)
    weights, before = np.full(count, 1.0 / count), np.inf
    # Relative to the best model's, since all may be too small for a number.
    highest = scores.max(axis=0)
    probabilities = np.exp(scores - highest)
    for _ in range(_MAX_ROUNDS):
        mixed = weights @ probabilities
        loss = -(np.log(mixed) + highest).mean()
        if before - loss < 1e-7:
            break
        before = loss
        weights = weights * (probabilities / mixed).mean(axis=1)
    return weights, loss
