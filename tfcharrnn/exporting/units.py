"""Units: which unit of a model follows what, such as being inside quotes.

The states of a model are correlated with features of the text that it reads
(`exporting.features`). With hundreds of units, the best one looks good by
chance, too. So the same search is made for a control: the same feature, moved
along the text, which keeps its rhythm and loses its meaning. A unit whose
score is not clearly above its control has not been found.

References: Karpathy et al., arXiv 1506.02078; for the control, Hewitt and
Liang, arXiv 1909.03368.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfcharrnn import checks
from tfcharrnn.exporting.features import Feature, features_of
from tfcharrnn.generation.generator import Generator

# A feature that is 1 (or 0) less often than this says little.
_MIN_COUNT = 20
# Times that a feature is moved for the control.
_NUM_CONTROLS = 10


class Unit(NamedTuple):
    """A unit and the feature that it follows.

    Attributes:
        feature: The name of the feature.
        layer: The layer, from 0.
        unit: The unit in it, from 0.
        correlation: Pearson's, of its state with the feature: -1 to 1.
        auc: The probability that its state is higher where the feature is 1
            than where it is 0: 0.5 by chance. For a feature that is a number:
            where it is above its median.
        control: The largest |correlation| of any unit with the feature at a
            wrong place, of several places.
        control_auc: The AUC of that unit there, or 1 less it if that is more.
    """

    feature: str
    layer: int
    unit: int
    correlation: float
    auc: float
    control: float
    control_auc: float


def find_units(
    generator: Generator, text: str, *, count: int = 1, seed: int = 0
) -> list[Unit]:
    r"""Finds the units that follow features of a text.

        >>> vocabulary = tfcharrnn.Vocabulary('\n ab')
        >>> model = tfcharrnn.CharRNN(4, embedding_dim=4, rnn_units=8)
        >>> generator = tfcharrnn.Generator(model, vocabulary)
        >>> units = find_units(generator, 'a ab ba\nab aa\n' * 50)
        >>> [unit.feature for unit in units]
        ['position in the line', 'time since the newline', 'word start']

    Args:
        generator: The model, and its vocabulary.
        text: A text that the model was not trained on, of some thousand
            characters. What the vocabulary lacks is left out.
        count: How many units to return for each feature, at most.
        seed: Where the controls are.

    Returns:
        For each feature that occurs at least 20 times, its best units, by
        `|correlation|`. The state of a unit is that after the character.

    Raises:
        ValueError: The model is not a `CharRNN`, or `count` is below 1.
    """
    count = checks.whole_number('count', count)
    tokens, ends = _known_tokens(generator, text)
    if not tokens:
        return []
    read = ''.join(tokens)
    states = generator.states(read)['state']
    num_layers, units = states.shape[1:]
    states = _standardize(states.reshape(len(tokens), num_layers * units))
    random = np.random.default_rng(seed)
    found = []
    for feature in _usable(features_of(read), ends):
        correlations = _correlate(states, feature.values)
        control, control_auc = _control(states, feature, random)
        best = np.argsort(-abs(correlations), kind='stable')[:count]
        found += [
            Unit(
                feature=feature.name,
                layer=int(index // units),
                unit=int(index % units),
                correlation=float(correlations[index]),
                auc=auc(states[:, index], feature.labels),
                control=control,
                control_auc=control_auc,
            )
            for index in best
        ]
    return found


def auc(values: np.ndarray, labels: np.ndarray) -> float:
    """Returns the area under the ROC curve; ties count a half.

        >>> auc(np.array([1.0, 2.0, 3.0, 2.0]), np.array([0, 0, 1, 1]))
        0.875

    Args:
        values: [T] numbers.
        labels: [T], true or false.

    Returns:
        The probability that a value with a true label is larger than one with
        a false label; 0.5, if there are none of either kind.

    Reference: Mann and Whitney, Annals of Mathematical Statistics 18, 1947.
    """
    labels = np.asarray(labels, bool)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return 0.5
    _, inverse, counts = np.unique(
        values, return_inverse=True, return_counts=True
    )
    # Equal values share the mean of their ranks, which begin at 1.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    above = ranks[labels].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _known_tokens(generator, text):
    """Returns the tokens that are read, and the last character of each."""
    vocabulary = generator.vocabulary
    tokens = vocabulary.cut(text)
    if vocabulary.unknown is None:
        tokens = [token for token in tokens if token in vocabulary]
    ends = np.cumsum([len(token) for token in tokens], dtype=int) - 1
    return tokens, ends


def _usable(features: list[Feature], ends: np.ndarray) -> list[Feature]:
    """Returns features at the tokens, if they are not nearly constant."""
    at_ends = (
        feature._replace(values=feature.values[ends]) for feature in features
    )
    return [
        feature
        for feature in at_ends
        if min(feature.labels.sum(), (~feature.labels).sum()) >= _MIN_COUNT
    ]


def _control(states, feature, random):
    """Returns the best score of any unit with a feature at a wrong place."""
    best, best_auc = 0.0, 0.5
    size = len(feature.values)
    for shift in random.integers(size // 4, size - size // 4, _NUM_CONTROLS):
        moved = feature._replace(values=np.roll(feature.values, shift))
        correlations = abs(_correlate(states, moved.values))
        index = int(correlations.argmax())
        if correlations[index] > best:
            area = auc(states[:, index], moved.labels)
            best = float(correlations[index])
            best_auc = max(area, 1.0 - area)
    return best, best_auc


def _correlate(states, values):
    """Returns Pearson's correlation of each column with the values: [N]."""
    return _standardize(values[:, np.newaxis])[:, 0] @ states / len(states)


def _standardize(columns):
    """Brings each column to mean 0 and deviation 1; constant ones to 0."""
    centered = columns - columns.mean(0, dtype=np.float64)
    deviation = np.sqrt((centered**2).mean(0))
    # What is constant but for rounding correlates with nothing.
    scale = np.where(deviation > 1e-7, deviation, np.inf)
    return (centered / scale).astype(np.float32)
