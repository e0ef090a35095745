"""HParams: what TensorBoard's tab of that name shows of a comparison."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping, Sequence

from tfcharrnn import files
from tfcharrnn.comparing.comparison import Comparison

FOLDER = 'hparams'


def can_write() -> bool:
    """Returns whether TensorBoard is installed."""
    return importlib.util.find_spec('tensorboard') is not None


def write(
    folder: pathlib.Path,
    comparison: Comparison,
    variants: Mapping[str, Sequence[str]],
) -> None:
    """Writes the flags and the curve of each run for TensorBoard.

    They lie in `FOLDER/VARIANT/SEED/hparams`; `tensorboard --logdir=FOLDER`
    shows them beside the events of the runs. Needs the package `tensorboard`.

    Args:
        folder: Holds the runs.
        comparison: The runs.
        variants: The flags of each variant, as `--name=value`.
    """
    from tensorboard.compat.proto.event_pb2 import (
        Event,  # pyright: ignore[reportAttributeAccessIssue]
    )
    from tensorboard.compat.proto.summary_pb2 import (
        Summary,  # pyright: ignore[reportAttributeAccessIssue]
    )
    from tensorboard.plugins.hparams import summary_v2
    from tensorboard.summary.writer import record_writer

    for name, runs in comparison.curves.items():
        flags = dict(_split(flag) for flag in variants.get(name, ()))
        for seed, run in runs.items():
            values = {**flags, 'variant': name, 'seed': seed}
            about = summary_v2.hparams_pb(values, trial_id=f'{name}/{seed}')
            events = [
                Event(file_version='brain.Event:2'),
                Event(summary=about),
            ]
            for step, value in zip(run.steps, run.values, strict=True):
                scalar = Summary.Value(
                    tag=comparison.metric, simple_value=value
                )
                summary = Summary(value=[scalar])
                events.append(Event(step=step, summary=summary))
            path = folder / name / str(seed) / FOLDER / 'events.tfevents.0'
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.replacing(path) as file:
                writer = record_writer.RecordWriter(file)
                for event in events:
                    writer.write(event.SerializeToString())


def _split(flag):
    """Returns the name and the value of a flag, a number where it is one."""
    name, equals, value = flag.lstrip('-').partition('=')
    if not equals:  # A switch.
        return name, 'true'
    try:
        return name, float(value)
    except ValueError:
        return name, value
