"""Record: what a run remembers besides its variables, written in one place.

Each part has one owner, which alone changes it:

    place      the curriculum's stages, and the trainer that advances in one
    best       the checkpointer
    waiting    early stopping
    rollbacks  the run, when a loss was not finite
    text, settings  the run: digests of what it began with
    notes      callbacks of the user's own
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

_VERSION = 2
# What version 0.1 called the numbers of early stopping, before the metric.
_WAITING = 'early_stopping_'


@dataclasses.dataclass
class Place:
    """Which dataset a run is on, and where in it.

    Attributes:
        stage: The number of the stage of a curriculum; 0 without one.
        began: The step at which the stage began; None: no curriculum has
            begun.
        num_chars: Characters that were targets before the stage.
        position: The number of the next batch of the stage's dataset.
        num_read: Characters of each row that were read before the first batch
            of the dataset.
        metrics: Of a step for which the stage's `until` is still to be asked:
            a checkpoint may be saved before.
        ended: Whether `until` has ended the stage.
    """

    stage: int = 0
    began: int | None = None
    num_chars: float = 0.0
    position: int = 0
    num_read: int = 0
    metrics: dict[str, float] | None = None
    ended: bool = False


@dataclasses.dataclass
class Best:
    """The smallest validation loss yet, in nats, and its step."""

    loss: float = math.inf
    step: int | None = None


@dataclasses.dataclass
class Waiting:
    """The best value of a metric, and how many calls it was not beaten."""

    best: float = math.inf
    waited: int = 0


@dataclasses.dataclass
class Record:
    """What a run remembers; it is in every checkpoint.

    >>> record = Record()
    >>> record.best.loss = 1.5
    >>> Record.from_json(record.to_json()) == record
    True

    Attributes:
        place: Where training stands in its data.
        best: The best validation.
        waiting: For each metric that early stopping watches.
        rollbacks: How often the run went back to a checkpoint.
        text: The digest of the text that it began with.
        settings: The digest of the settings that it began with.
        notes: For callbacks of your own: JSON-able values by name.
    """

    place: Place = dataclasses.field(default_factory=Place)
    best: Best = dataclasses.field(default_factory=Best)
    waiting: dict[str, Waiting] = dataclasses.field(default_factory=dict)
    rollbacks: int = 0
    text: str | None = None
    settings: str | None = None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-able dict."""
        return {'version': _VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Record:
        """Reads what `to_json` returned, or what version 0.1 wrote.

        Raises:
            KeyError, TypeError, ValueError: If it is neither.
        """
        if 'version' not in document:
            return _from_version_1(document)
        fields = {k: v for k, v in document.items() if k != 'version'}
        fields['place'] = Place(**fields['place'])
        fields['best'] = Best(**fields['best'])
        fields['waiting'] = {
            metric: Waiting(**waiting)
            for metric, waiting in fields['waiting'].items()
        }
        return cls(**fields)


def _from_version_1(document: dict[str, Any]) -> Record:
    """Reads the record of version 0.1, a dict into which all could write."""
    notes = dict(document['record'])
    place = Place(
        # Version 0.1 counted the datasets that it was given, from 1 on.
        stage=max(0, document.get('dataset', 1) - 1),
        position=document['position'],
        num_read=document.get('num_read', 0),
    )
    if curriculum := notes.pop('curriculum', None):
        # Datasets that were trained on before the curriculum count there, too.
        place.stage = min(place.stage, curriculum['stage'])
        place.began = curriculum['began']
        place.num_chars = curriculum['num_chars']
        place.metrics = curriculum['metrics']
        # The next stage was noted as soon as one had ended.
        place.ended = curriculum['ended'] or place.stage < curriculum['stage']
    best = Best(
        notes.pop('best_valid_loss', math.inf), notes.pop('best_step', None)
    )
    waiting = {
        name.removeprefix(_WAITING): Waiting(**notes.pop(name))
        for name in list(notes)
        if name.startswith(_WAITING)
    }
    return Record(
        place=place,
        best=best,
        waiting=waiting,
        rollbacks=notes.pop('rollbacks', 0),
        text=notes.pop('text', None),
        settings=notes.pop('settings', None),
        notes=notes,
    )
