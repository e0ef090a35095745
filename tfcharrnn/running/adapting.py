"""Adapting: a trained model learns from another text before it writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tfcharrnn.running import texts
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.adaptation import SEGMENT, Adaptation


def adapt(
    model: Any,
    vocabulary: Vocabulary,
    source: str,
    *,
    model_dir: str | os.PathLike,
    checkpoint: str | None = None,
    report: Callable[[float], None] | None = None,
) -> float:
    """Lets a model read a text and learn from it; see `Adaptation`.

        model, vocabulary = load_model('runs/bard')
        adapt(model, vocabulary, 'tempest.txt', model_dir='runs/bard')
        print(Generator(model, vocabulary).generate('', 500))

    Args:
        model: A model, or a mixture; its weights in memory change.
        vocabulary: Its vocabulary. Characters that it lacks are left out, with
            a warning.
        source: A text, as for `Corpus.load`, read as that of the run.
        model_dir: The run, whose text shows how large gradients are.
        checkpoint: As for `load_model`.
        report: Called now and then with the share of the text that is read.

    Returns:
        The loss of the text, each segment scored before it was learned, in
        nats per character.

    Raises:
        OSError: A text cannot be read.
        ValueError: The text is too short, the settings are damaged, or the
            text of the run is another one by now.
    """
    config = texts.settings(model_dir, source)
    corpus = Corpus.from_config(config, vocabulary=vocabulary)
    segments = texts.segments(corpus, 'train', SEGMENT)
    training = texts.training_batches(model_dir, vocabulary, checkpoint)
    adaptation = Adaptation(model, training)
    return adaptation.read(segments, report=report)['loss']
