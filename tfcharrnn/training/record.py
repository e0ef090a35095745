"""Record: what a run remembers besides its variables.

Each part has one owner, and only the owner changes it:

    place      the curriculum's stages; within a stage, the trainer
    best       the checkpointer
    waiting    early stopping
    rollbacks  the run, after a loss that is not finite
    text       the run: the digest of its text
    settings   the run: the digest of its settings
    files      the run: the digests of the files that its curriculum reads
    notes      your own callbacks
"""

from __future__ import annotations

import base64
import dataclasses
import math
from typing import Any

import numpy as np
from numpy import typing as npt

_VERSION = 3
# The prefix of early stopping in version 0.1, followed by the metric.
_WAITING = 'early_stopping_'


@dataclasses.dataclass
class Choices:
    """What a curriculum that chooses its sources has seen.

    Attributes:
        taken: The batches that were taken of each source.
        values: What the policy thinks of each source.
        source: The source of the batch before; None before the first.
        number: How many choices there were.
        pending: What the batches since the last choice have brought.
        seen: How often the policy has learnt.
        scores: The last score of each source, if there is one.
        history: What the policy keeps of the past.
    """

    taken: list[int]
    values: list[float]
    source: int | None = None
    number: int = 0
    pending: list[float] = dataclasses.field(default_factory=list)
    seen: int = 0
    scores: list[float] = dataclasses.field(default_factory=list)
    history: list[list[Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Measured:
    """The losses of all lines under the weights of a step.

    >>> Measured.of(7, [0.5, 1.5]).losses.tolist()
    [0.5, 1.5]

    Attributes:
        step: The step.
        values: The losses: base64 of float32, little-endian, which is shorter
            than decimal numbers, and exact.
    """

    step: int
    values: str

    @classmethod
    def of(cls, step: int, losses: npt.ArrayLike) -> Measured:
        """Keeps losses [N] of a step."""
        values = np.asarray(losses, '<f4').tobytes()
        return cls(step, base64.b64encode(values).decode('ascii'))

    @property
    def losses(self) -> np.ndarray:
        """The losses, [N] float32."""
        return np.frombuffer(base64.b64decode(self.values), '<f4')


@dataclasses.dataclass
class Place:
    """The dataset that a run is on, and the position in it.

    Attributes:
        stage: The number of the stage of a curriculum; 0 without one.
        began: The step at which the stage began; None before the first stage,
            or without a curriculum.
        num_chars: The number of targets before the stage.
        position: The number of the next batch of the stage's dataset.
        num_read: Characters of each row that were read before the first batch
            of the dataset.
        metrics: The metrics that the stage's `until` has yet to see, if a
            checkpoint is saved first.
        ended: Whether `until` has ended the stage.
        choices: What a dataset knows that chooses its sources.
        measured: What a dataset knows that orders lines by their loss.
    """

    stage: int = 0
    began: int | None = None
    num_chars: float = 0.0
    position: int = 0
    num_read: int = 0
    metrics: dict[str, float] | None = None
    ended: bool = False
    choices: Choices | None = None
    measured: Measured | None = None

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Place:
        """Reads what `dataclasses.asdict` returned."""
        place = cls(**document)
        if place.choices is not None:
            place.choices = Choices(**document['choices'])
        if place.measured is not None:
            place.measured = Measured(**document['measured'])
        return place


@dataclasses.dataclass
class Best:
    """The smallest validation loss yet, in nats, and its step."""

    loss: float = math.inf
    step: int | None = None


@dataclasses.dataclass
class Waiting:
    """The best value of a metric, and the number of calls since then."""

    best: float = math.inf
    waited: int = 0


@dataclasses.dataclass
class Record:
    """What a run remembers; every checkpoint contains it.

    >>> record = Record()
    >>> record.best.loss = 1.5
    >>> Record.from_json(record.to_json()) == record
    True

    Attributes:
        place: Where training stands in its data.
        best: The best validation.
        waiting: The wait of early stopping, by metric.
        rollbacks: How often the run went back to a checkpoint.
        text: The digest of the text that it began with.
        settings: The digest of the settings that it began with.
        files: The digest of each file that its curriculum names, by name.
        notes: JSON-able values of your own callbacks, by name.
    """

    place: Place = dataclasses.field(default_factory=Place)
    best: Best = dataclasses.field(default_factory=Best)
    waiting: dict[str, Waiting] = dataclasses.field(default_factory=dict)
    rollbacks: int = 0
    text: str | None = None
    settings: str | None = None
    files: dict[str, str] = dataclasses.field(default_factory=dict)
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
        if document['version'] > _VERSION:
            raise ValueError(
                f'its record has version {document["version"]}, but this '
                f'tfcharrnn reads up to {_VERSION}: install a newer one.'
            )
        fields = {k: v for k, v in document.items() if k != 'version'}
        fields['place'] = Place.from_json(fields['place'])
        fields['best'] = Best(**fields['best'])
        fields['waiting'] = {
            metric: Waiting(**waiting)
            for metric, waiting in fields['waiting'].items()
        }
        return cls(**fields)


def _from_version_1(document: dict[str, Any]) -> Record:
    """Reads the record of version 0.1, a dict that anyone could change."""
    notes = dict(document['record'])
    place = Place(
        # Version 0.1 counted the datasets it was given, from 1.
        stage=max(0, document.get('dataset', 1) - 1),
        position=document['position'],
        num_read=document.get('num_read', 0),
    )
    if curriculum := notes.pop('curriculum', None):
        # It also counted datasets from before the curriculum.
        place.stage = min(place.stage, curriculum['stage'])
        place.began = curriculum['began']
        place.num_chars = curriculum['num_chars']
        place.metrics = curriculum['metrics']
        # Version 0.1 noted the next stage when one had ended.
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
