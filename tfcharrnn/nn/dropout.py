"""What keeps a model from learning its text by heart: dropout and penalties.

Everything here is drawn from seeds, two integers each: the same seed drops the
same, so that training which was cut off goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Dropout:
    """What share of what is set to zero in training.

        ids -> embedding -> cell -> ... -> cell -> dense -> logits
             |           |       |              |
           rows     embedding  layers         output

        >>> Dropout(embedding=0.1, output=0.4)
        Dropout(rows=0.0, embedding=0.1, layers=0.0, output=0.4, weights=0.0, \
locked=False)
        >>> Dropout.of(0.3) == Dropout(layers=0.3, output=0.3)
        True
        >>> Dropout.of('output:0.5,embedding:0.15,locked').locked
        True

    Attributes:
        rows: Of characters: each is zero wherever it stands in the batch
            (arXiv 1512.05287). It costs nothing.
        embedding: Of the elements of each input. Each input is then a product
            of its own, not a row of a table: about a sixth of a step more.
        layers: Of each layer's outputs, on their way up to the next layer
            (arXiv 1409.2329), never in time.
        output: Of the last layer's outputs.
        weights: Of the recurrent weights, the same at all positions of the
            batch (DropConnect; arXiv 1708.02182).
        locked: Whether `embedding`, `layers` and `output` drop the same
            elements at all positions of a row (variational dropout, arXiv
            1512.05287), instead of others at each.
    """

    rows: float = 0.0
    embedding: float = 0.0
    layers: float = 0.0
    output: float = 0.0
    weights: float = 0.0
    locked: bool = False

    def __post_init__(self):
        """Refuses what is no share."""
        for name in _RATES:
            rate = getattr(self, name)
            if isinstance(rate, bool) or not isinstance(rate, (int, float)):
                rate = -1.0
            if not 0.0 <= rate < 1.0:
                raise ValueError(
                    f'`dropout` is {getattr(self, name)!r} for `{name}`, but '
                    'must be a share from 0 up to but not including 1.'
                )

    @classmethod
    def of(cls, dropout: float | str | dict | Dropout) -> Dropout:
        """Makes it of a share, for `layers` and `output`, or of a text.

        Args:
            dropout: A share; a text such as '0.3' or
                'output:0.5,embedding:0.15,locked'; the attributes in a dict;
                or a `Dropout`.

        Raises:
            ValueError: If it is none of these.
        """
        if isinstance(dropout, Dropout):
            return dropout
        if isinstance(dropout, str):
            dropout = _parse(dropout)
        if isinstance(dropout, dict):
            unknown = sorted(set(dropout) - {*_RATES, 'locked'})
            if unknown:
                raise ValueError(
                    f'There is no dropout of {", ".join(unknown)}; give some '
                    f'of {", ".join(_RATES)}.'
                )
            return cls(**dropout)
        return cls(layers=dropout, output=dropout)

    @property
    def config(self) -> float | dict[str, float | bool]:
        """The shortest, JSON-able, of which `of` makes the same."""
        changed = {k: v for k, v in dataclasses.asdict(self).items() if v}
        share = changed.get('output', 0.0)
        if changed in ({}, {'layers': share, 'output': share}):
            return share
        return changed

    def __bool__(self) -> bool:
        """Whether anything is dropped at all."""
        return any(getattr(self, name) for name in _RATES)


_RATES = ('rows', 'embedding', 'layers', 'output', 'weights')


def _parse(text: str) -> dict | float:
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
                f'The dropout is {text!r}, but must be a share such as 0.3, or '
                "shares by name, such as 'output:0.5,embedding:0.15,locked', "
                f'of {", ".join(_RATES)}.'
            ) from None
    return result


def drop(
    x: tf.Tensor, rate: float, seed: tf.Tensor, *, locked: bool = False
) -> tf.Tensor:
    """Sets a share of the elements to zero, and scales the others up.

    The expectation of each element stays what it was.

        >>> x = drop(tf.ones([2, 50, 3]), 0.5, [1, 2], locked=True)
        >>> sorted(set(x.numpy().ravel().tolist()))
        [0.0, 2.0]
        >>> bool(tf.reduce_all(x == x[:, :1]))
        True

    Args:
        x: Columns [N, T, B], or anything else where not `locked`.
        rate: The share, from 0 up to but not including 1; taken to the
            nearest 65536th.
        seed: Two integers.
        locked: Whether all T positions drop the same.

    Returns:
        A tensor like `x`.

    Reference: Srivastava et al., JMLR 15, 2014.
    """
    if not rate:
        return x
    shape = tf.shape(x)
    if locked:
        shape = tf.stack([shape[0], 1, shape[2]])
    # Sixteen random bits an element, half as many as a uniform number takes.
    size = tf.reduce_prod(shape)
    bits = tf.random.stateless_uniform(
        [(size + 1) // 2], seed, None, None, tf.uint32, alg='philox'
    )
    bits = tf.reshape(tf.bitcast(bits, tf.uint16), [-1])[:size]
    share = _share.get()
    if share is None:
        threshold = min(round(rate * 65536), 65535)
    else:
        threshold = tf.clip_by_value(tf.round(rate * share * 65536), 0, 65535)
    kept = tf.reshape(bits, shape) >= tf.cast(threshold, tf.uint16)
    scale = 65536 / (65536 - threshold)
    return x * (tf.cast(kept, x.dtype) * tf.cast(scale, x.dtype))


# Of all rates; None where it is 1 for good.
_share: contextvars.ContextVar[tf.Tensor | None] = contextvars.ContextVar(
    'share', default=None
)


@contextlib.contextmanager
def scaled(share: tf.Tensor) -> Iterator[None]:
    """Multiplies the rates of all that is dropped, inside of `with`.

        >>> with scaled(tf.constant(0.0)):
        ...     drop(tf.ones([3]), 0.5, [1, 2]).numpy()
        array([1., 1., 1.], dtype=float32)

    Args:
        share: A scalar, from 0 to 1; taken to the nearest of them if beyond.
    """
    share = tf.clip_by_value(tf.cast(share, tf.float32), 0.0, 1.0)
    token = _share.set(share)
    try:
        yield
    finally:
        _share.reset(token)


def check_weights(cells: list[tf.Module], rate: float) -> None:
    """Refuses cells whose weights are to be dropped, but have none to drop.

    Raises:
        ValueError: If there is a rate, and a cell has no `recurrent_kernel`.
    """
    for cell in cells:
        if rate and not hasattr(cell, 'recurrent_kernel'):
            raise ValueError(
                f'A {type(cell).__name__} has no `recurrent_kernel`, of which '
                '`weights` could be dropped. Leave this dropout out.'
            )


@contextlib.contextmanager
def dropped_weights(
    cells: list[tf.Module], rate: float, seed: tf.Tensor
) -> Iterator[None]:
    """Drops a share of each cell's recurrent weights, inside of `with`.

    Any cell that has a `recurrent_kernel` will do. It is dropped once, before
    the loop over the positions, which is as fast as ever.

    Reference: Wan et al., ICML 2013; Merity et al., arXiv 1708.02182.

    Raises:
        ValueError: If a cell has no recurrent weights.
    """
    if not rate:
        yield
        return
    check_weights(cells, rate)
    weights = [cell.recurrent_kernel for cell in cells]
    try:
        for i, cell in enumerate(cells):
            own_seed = tf.random.experimental.stateless_fold_in(seed, i)
            cell.recurrent_kernel = drop(
                tf.convert_to_tensor(weights[i]), rate, own_seed
            )
        yield
    finally:
        for cell, weight in zip(cells, weights, strict=True):
            cell.recurrent_kernel = weight


def penalize(
    outputs: tf.Tensor, dropped: tf.Tensor, activation: float, slowness: float
) -> tf.Tensor:
    """Draws the outputs of a layer towards zero and towards their neighbours.

        penalty = activation * mean(dropped[t] ** 2)
                + slowness * mean((outputs[t] - outputs[t - 1]) ** 2)

    Only the gradient of the penalty is added to that of the loss. The loss
    itself stays what it says it is, the nats per character. The means are over
    all positions: those that a mask leaves out of the loss are penalised too.

    Args:
        outputs: Columns [U, T, B], before dropout.
        dropped: The same after dropout.
        activation: The weight of the first term.
        slowness: The weight of the second.

    Returns:
        `dropped`, whose gradient has the penalty's in it.

    Reference: Merity et al., arXiv 1708.01009 (there alpha and beta).
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync

    @tf.custom_gradient
    def identity(outputs, dropped):
        def gradient(upstream):
            # The mean is over all replicas' rows, the gradients are summed.
            size = tf.cast(tf.size(outputs), tf.float32)
            scale = tf.cast(2.0 / (size * replicas), outputs.dtype)
            steps = slowness * scale * (outputs[:, 1:] - outputs[:, :-1])
            zeros = tf.zeros_like(outputs[:, :1])
            d_outputs = tf.concat([zeros, steps], 1)
            d_outputs -= tf.concat([steps, zeros], 1)
            return d_outputs, upstream + activation * scale * dropped

        return tf.identity(dropped), gradient

    return identity(outputs, dropped)
