"""Dropout rates, and the short text that states them."""

from __future__ import annotations

import dataclasses

from tfcharrnn import checks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout:
    """Dropout rates, by location.

                              state
                              |   ^
        ids -> embedding ->   cell   -> ... -> cell -> dense -> logits
         |   |           |           |              |
      inputs rows    embedding     layers         output

        >>> Dropout(embedding=0.1, output=0.4)
        Dropout(rows=0.0, inputs=0.0, embedding=0.1, layers=0.0, output=0.4, \
weights=0.0, state=0.0, locked=False)
        >>> Dropout.of(0.3) == Dropout(layers=0.3, output=0.3)
        True
        >>> Dropout.of('output:0.5,embedding:0.15,locked').locked
        True

    Attributes:
        rows: Rate of whole characters: a dropped one is zero wherever it
            stands in the batch (arXiv 1512.05287). It costs nothing.
        inputs: Rate of single inputs: the vector of the character at one
            position of one row is zero (word dropout, Iyyer et al., ACL 2015;
            blank noising, arXiv 1703.02573). The others are not scaled, so
            each looks as it does in generation. Its cost is too small to
            measure.
        embedding: Rate of the elements of the embedded inputs. The first layer
            can then no longer look its products up in a table, which makes a
            step about a sixth slower.
        layers: Rate of the elements that a layer passes up to the next layer
            (arXiv 1409.2329). What it passes on in time is never dropped.
        output: Rate of the elements of the last layer's outputs.
        weights: Rate of the recurrent weights, the same ones at all positions
            of the batch (DropConnect; arXiv 1708.02182).
        state: Rate of the elements of the state that the recurrent weights
            multiply, the same ones at all positions of a row (arXiv
            1512.05287). What a gate carries on is never dropped, so nothing is
            forgotten (arXiv 1603.05118). It costs one percent of a step on a
            CPU; on a GPU it leaves the fast path of cuDNN.
        locked: Whether `embedding`, `layers` and `output` drop the same
            elements at all positions of a row (variational dropout, arXiv
            1512.05287), instead of others at each position.
    """

    rows: float = 0.0
    inputs: float = 0.0
    embedding: float = 0.0
    layers: float = 0.0
    output: float = 0.0
    weights: float = 0.0
    state: float = 0.0
    locked: bool = False

    def __post_init__(self):
        """Refuses a rate outside of [0, 1)."""
        for name in _RATES:
            rate = _check(f'dropout.{name}', getattr(self, name))
            object.__setattr__(self, name, rate)  # The class is frozen.

    @classmethod
    def of(cls, dropout: float | str | dict | Dropout) -> Dropout:
        """Reads dropout rates from any of the forms that users write.

        Args:
            dropout: A rate, for `layers` and `output`; a text such as '0.3' or
                'output:0.5,embedding:0.15,locked'; the attributes in a dict;
                or a `Dropout`.

        Raises:
            ValueError: If it has another form, or a rate is outside of [0, 1).
        """
        if isinstance(dropout, Dropout):
            return dropout
        if isinstance(dropout, str):
            dropout = _parse(dropout)
        if isinstance(dropout, dict):
            unknown = sorted(set(dropout) - {*_RATES, 'locked'})
            if unknown:
                raise ValueError(
                    f'`dropout` has rates for {", ".join(unknown)}, but must '
                    f'have them for some of {", ".join(_RATES)}.'
                )
            return cls(**dropout)
        rate = _check('dropout', dropout)
        return cls(layers=rate, output=rate)

    @property
    def config(self) -> float | dict[str, float | bool]:
        """The shortest JSON value from which `of` makes the same rates."""
        changed = {k: v for k, v in dataclasses.asdict(self).items() if v}
        rate = changed.get('output', 0.0)
        if changed in ({}, {'layers': rate, 'output': rate}):
            return rate
        return changed

    def __bool__(self) -> bool:
        """Whether anything is dropped at all."""
        return any(getattr(self, name) for name in _RATES)


_RATES = tuple('rows inputs embedding layers output weights state'.split())


def _check(name, rate):
    return checks.number(name, rate, 0.0, below=1.0)


def _parse(text: str) -> dict[str, float | bool] | float:
    try:
        return float(text)
    except ValueError:
        pass
    result = {}
    for part in text.split(','):
        name, _, rate = part.strip().partition(':')
        try:
            result[name] = True if part.strip() == 'locked' else float(rate)
        except ValueError:
            raise ValueError(
                f'`dropout` is {text!r}, but must be a rate such as 0.3, or '
                "rates by location, such as 'output:0.5,embedding:0.15,"
                f"locked', of {', '.join(_RATES)}."
            ) from None
    return result
