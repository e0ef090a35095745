"""Curves: what a run measured, evaluation by evaluation."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np

METRICS = 'metrics.jsonl'
# What a damaged line raises.
_DAMAGE = (
    ValueError,
    KeyError,
    TypeError,
    ZeroDivisionError,
    RecursionError,
)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A metric in the course of a run.

    Attributes:
        steps: The steps of the evaluations.
        num_chars: Characters trained on up to each.
        seconds: Time of training up to each, evaluations left out.
        values: The metric at each.
    """

    steps: list[int]
    num_chars: list[int]
    seconds: list[float]
    values: list[float]

    def area(self, begin: float, end: float) -> float:
        """Returns the mean of the metric between two numbers of characters.

        It is the area under the curve, straight from one evaluation to the
        next, divided by its width: one number for all of a run.

        >>> curve = Curve([1, 2, 3], [10, 20, 30], [1, 2, 3], [3.0, 2.0, 1.0])
        >>> curve.area(10, 30), curve.area(10, 20), curve.area(15, 15)
        (2.0, 2.5, 2.5)

        Args:
            begin: The number of characters from which on it is measured.
            end: The number up to which it is; not below `begin`.
        """
        inside = [n for n in self.num_chars if begin < n < end]
        x = np.array([begin, *inside, end], float)
        y = np.interp(x, self.num_chars, self.values)
        if end <= begin:
            return float(y[0])
        heights = (y[1:] + y[:-1]) / 2
        return float(np.sum(heights * np.diff(x)) / (end - begin))

    def reach(
        self, target: float, *, falls: bool = True
    ) -> tuple[float, float] | None:
        """Returns the characters and seconds it took to reach a value.

        Between two evaluations, the curve is taken to be straight. If the first
        evaluation is there already, it is the answer, which then is too large.

        >>> curve = Curve([1, 2, 3], [10, 20, 30], [1, 2, 3], [3.0, 2.0, 1.5])
        >>> curve.reach(2.5), curve.reach(1.0)
        ((15.0, 1.5), None)

        Args:
            target: The value.
            falls: Whether the metric falls, as a loss does.

        Returns:
            None if it was never reached.
        """
        sign = 1.0 if falls else -1.0
        for i, value in enumerate(self.values):
            if sign * value > sign * target:
                continue
            if not i:
                return float(self.num_chars[0]), float(self.seconds[0])
            before = self.values[i - 1]
            share = (before - target) / (before - value)
            chars, seconds = (
                x[i - 1] + share * (x[i] - x[i - 1])
                for x in (self.num_chars, self.seconds)
            )
            return chars, seconds
        return None


def read(model_dir: pathlib.Path, metric: str) -> Curve:
    """Reads the curve of a run from its metrics.

    Args:
        model_dir: The folder of the run, with the `metrics.jsonl` that
            `callbacks.JsonLines` writes.
        metric: The metric.

    Raises:
        ValueError: If the run has not measured it, was not finite when it did
            so for the last time, or its file is missing or damaged.
    """
    curve = Curve([], [], [], [])
    num_chars, seconds, diverged = 0, 0.0, None
    path = model_dir / METRICS
    try:
        for line in map(json.loads, path.read_text('utf-8').splitlines()):
            num_chars += line['num_chars']
            seconds += line['num_chars'] / line['chars_per_second']
            if metric not in line:
                continue
            # What is not finite is written as null.
            diverged = line['step'] if line[metric] is None else None
            if diverged is None:
                curve.steps.append(int(line['step']))
                curve.num_chars.append(num_chars)
                curve.seconds.append(seconds)
                curve.values.append(0.0 + line[metric])
    except FileNotFoundError as error:
        raise ValueError(f"There is no '{path}'.") from error
    except _DAMAGE as error:
        raise ValueError(
            f"'{path}' is damaged: {error!r}. Delete '{model_dir}', and start "
            'the same command again.'
        ) from error
    if diverged is not None:
        raise ValueError(
            f"The run in '{model_dir}' diverged: its {metric} at step "
            f'{diverged} is not finite.'
        )
    if not curve.values:
        raise ValueError(
            f"The run in '{model_dir}' has not measured {metric!r}. Give an "
            '--eval_every and a --valid_fraction above 0.'
        )
    return curve
