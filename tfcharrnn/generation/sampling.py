"""Sampling: logits -> the id of the next character.

    logits --top_k--> --top_p--> + temperature * noise --argmax--> id

The noise is a pure function of a seed, so the same seed always writes the same
text. `sample` runs in the loop of a graph: it has few operations and makes no
checks. `check` makes them beforehand. `distribution` returns the probabilities
that `sample` draws with.
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfcharrnn import checks

# Above it, the noise times the temperature would overflow float32.
_MAX_TEMPERATURE = 1e30


def sample(
    logits: tf.Tensor,
    seed: tf.Tensor,
    *,
    temperature: float | tf.Tensor = 1.0,
    top_k: int | tf.Tensor | None = None,
    top_p: float | tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws one id per row from `softmax(logits / temperature)`.

    This is the Gumbel-max trick, with the noise multiplied by the temperature
    instead of the logits divided by it. So nothing overflows, nothing is
    divided by zero, and a temperature of 0 needs no special case:

        id = argmax(logits + temperature * -log(-log(uniform)))

    `top_k` (Fan et al., 2018, https://arxiv.org/abs/1805.04833) keeps the most
    probable ids. `top_p`, the nucleus (Holtzman et al., 2019,
    https://arxiv.org/abs/1904.09751), keeps the fewest whose probabilities, at
    this temperature and among the `top_k`, add up to it.

        >>> logits = tf.math.log([[0.1, 0.2, 0.7]] * 6)
        >>> sample(logits, seed=[4, 0]).numpy()
        array([1, 2, 0, 1, 2, 2], dtype=int32)
        >>> sample(logits, seed=[4, 0], temperature=0.0).numpy()
        array([2, 2, 2, 2, 2, 2], dtype=int32)
        >>> sample(logits, seed=[4, 0], top_p=0.8).numpy()  # 0.7 + 0.2 reach it
        array([1, 2, 2, 1, 2, 2], dtype=int32)

    Args:
        logits: [B, V], float.
        seed: [2] integers, such as the seed of a text and the position in it.
            Row `b` draws the same with the same seed, however many rows follow
            (but XLA, that is `jit_compile`, draws other ids than plain
            TensorFlow).
        temperature: Scalar or [B]. 0 is greedy (of equal ids the first), 1
            samples the model's distribution, higher is more random.
        top_k: How many ids to keep, at least 1; None, or V and more: all.
        top_p: The probability to keep, above 0; None or 1: all ids.

    Returns:
        [B] int32, the ids.
    """
    logits, temperature = _as_columns(logits, temperature)
    kept = _keep(logits, temperature, top_k, top_p)
    uniform = tf.random.stateless_uniform(
        tf.shape(logits),
        seed,
        minval=float(
            np.finfo(np.float32).tiny
        ),  # log(0) times temperature 0 is NaN
        alg='philox',  # counts through the rows: later ones change no earlier
    )
    noise = -tf.math.log(-tf.math.log(uniform))
    return tf.argmax(kept + temperature * noise, axis=-1, output_type=tf.int32)


def distribution(
    logits: tf.Tensor,
    *,
    temperature: float | tf.Tensor = 1.0,
    top_k: int | tf.Tensor | None = None,
    top_p: float | tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the probabilities that `sample` draws with.

    Given the logarithms of probabilities as logits, it reweights them: a low
    temperature sharpens, a high one flattens.

        >>> log_probabilities = tf.math.log([[0.1, 0.2, 0.7]])
        >>> distribution(log_probabilities, temperature=0.5).numpy().round(2)
        array([[0.02, 0.07, 0.91]], dtype=float32)
        >>> distribution(log_probabilities, temperature=2.0).numpy().round(2)
        array([[0.2 , 0.28, 0.52]], dtype=float32)
        >>> distribution(log_probabilities, top_k=2).numpy().round(2)
        array([[0.  , 0.22, 0.78]], dtype=float32)

    Args:
        logits: [B, V], float.
        temperature: As in `sample`.
        top_k: As in `sample`.
        top_p: As in `sample`.

    Returns:
        [B, V] float32, the probabilities.
    """
    logits, temperature = _as_columns(logits, temperature)
    kept = _keep(logits, temperature, top_k, top_p)
    best = tf.one_hot(tf.argmax(kept, axis=-1), tf.shape(logits)[-1])
    return tf.where(temperature > 0.0, _softmax(kept, temperature), best)


def check(
    temperature: float | Sequence[float] = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> None:
    """Refuses what `sample` cannot draw with.

        >>> check(temperature=[0.0, 0.5, 1.0], top_k=40, top_p=0.9)
        >>> check(top_k=0)
        Traceback (most recent call last):
        ValueError: `top_k` is 0, but must be a whole number from 1 up.

    Args:
        temperature: A number, or several.
        top_k: None or an integer.
        top_p: None or a number.

    Raises:
        ValueError: A value is outside its range.
    """
    for value in np.ravel(temperature).tolist():
        checks.number('temperature', value, 0.0, _MAX_TEMPERATURE)
    if top_k is not None:
        checks.whole_number('top_k', top_k)
    if top_p is not None:
        checks.number('top_p', top_p, above=0.0, high=1.0)


def _as_columns(logits, temperature):
    """Returns the logits [B, V] and the temperature [B, 1] or [1, 1]."""
    logits = tf.cast(logits, tf.float32)
    return logits, tf.reshape(tf.cast(temperature, tf.float32), [-1, 1])


def _softmax(logits, temperature):
    """Returns softmax(logits / temperature), however low the temperature."""
    logits -= tf.reduce_max(logits, axis=-1, keepdims=True)  # 0 / tiny is 0
    tiny = np.finfo(np.float32).tiny
    return tf.nn.softmax(logits / tf.maximum(temperature, tiny))


def _keep(logits, temperature, top_k, top_p):
    """Returns the logits [B, V], with -inf for what is not kept."""
    if top_k is None and top_p is None:
        return logits
    batch_size, vocab_size = tf.unstack(tf.shape(logits))
    k = vocab_size if top_k is None else tf.minimum(top_k, vocab_size)
    kept, ids = tf.math.top_k(logits, k)  # falling; the first of equals first
    if top_p is not None:
        probabilities = _softmax(kept, temperature)
        before = tf.cumsum(probabilities, axis=-1, exclusive=True)
        # An id is needed while those before it do not reach `top_p`. Rounding
        # must not drop the last ones when all are to be kept.
        needed = tf.logical_or(before < top_p, tf.greater_equal(top_p, 1.0))
        # The first always, also where float32 takes `top_p` for zero.
        needed = tf.logical_or(needed, before == 0.0)
        kept = tf.where(needed, kept, -math.inf)
    # Ranks back to ids, so that an id meets the same noise, restricted or not.
    rows = tf.broadcast_to(tf.range(batch_size)[:, tf.newaxis], tf.shape(ids))
    return tf.tensor_scatter_nd_update(
        tf.fill([batch_size, vocab_size], -math.inf),
        tf.stack([rows, ids], axis=-1),
        kept,
    )
