"""Training text: the text of a run, if it can be found and is the same."""

from __future__ import annotations

import os

from absl import logging

from tfcharrnn.text import held_out
from tfcharrnn.text.corpus import Corpus
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import model_dir as model_dirs


def find(
    model_dir: str | os.PathLike, path: str, vocabulary: Vocabulary
) -> Corpus | None:
    """Returns the corpus of a run; None, if it is not at hand.

    Settings may come from others, and name any file of this machine. So the
    text must have the digest that is in the checkpoint, which only one who has
    the text can write.

    Args:
        model_dir: The directory of the run.
        path: A checkpoint of it.
        vocabulary: Its vocabulary.
    """
    try:
        config = model_dirs.read_settings(model_dir)
        if config.corpus == '-':
            return None  # It has been read, and is gone.
        expected = model_dirs.load_record(model_dir, path).text
        if expected is None:
            return None  # It could not be told from another text.
        corpus, _ = held_out.load(config, vocabulary=vocabulary)
    except (OSError, ValueError) as error:
        logging.info('The training text is not at hand: %s', error)
        return None
    if expected != corpus.digest():
        logging.info("'%s' is not the text of the run.", corpus.source)
        return None
    return corpus
