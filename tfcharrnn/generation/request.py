"""Request: the arguments of `generate` and `stream`, checked in one place."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcharrnn import checks
from tfcharrnn.generation import sampling

# Positions in a graph's loop are 32-bit integers, and seeds have 64 bits.
_MAX_LENGTH = (1 << 31) - 1
_MAX_SEED = (1 << 63) - 1


@dataclasses.dataclass(frozen=True)
class Request:
    """What to write, and how to draw it.

    The fields are the arguments of `Generator.generate`, where they are
    described. All but what depends on a vocabulary is checked here.

        >>> Request('To be', 100, temperature=-1.0)
        Traceback (most recent call last):
        ValueError: `temperature` is -1.0, but must be a number from 0 to 1e+30.

    Raises:
        ValueError: A value is outside its range.
    """

    prompt: str
    length: int
    _: dataclasses.KW_ONLY
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    stop: str | None = None
    num_samples: int | None = None
    seed: int | None = None

    def __post_init__(self):
        self._set_whole('length', 0, _MAX_LENGTH)
        if np.ndim(self.temperature):
            raise ValueError(
                f'`temperature` is {self.temperature!r}, but must be one '
                'number. Generate once for each temperature.'
            )
        sampling.check(self.temperature, self.top_k, self.top_p)
        if self.stop is not None and not (
            isinstance(self.stop, str) and self.stop
        ):
            raise ValueError(
                f'`stop` is {self.stop!r}, but must be a string of at least '
                'one character, or None.'
            )
        if self.num_samples is not None:
            self._set_whole('num_samples', 1, _MAX_LENGTH)
        if self.seed is not None:
            self._set_whole('seed', -_MAX_SEED - 1, _MAX_SEED)

    def _set_whole(self, name, low, high=None):
        value = checks.whole_number(name, getattr(self, name), low, high)
        object.__setattr__(self, name, value)  # The class is frozen.
