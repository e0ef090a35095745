"""Loop: several steps in one compiled call, up to one that is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.training.metrics import Layout, Pairs
from tfcharrnn.training.replicas import Replicas
from tfcharrnn.training.states import Carried

# A compiled call makes as many steps as take about this long: Python is then
# out of the way, and Ctrl-C is still answered soon.
_SECONDS_PER_LOOP = 0.5
_MAX_STEPS_PER_LOOP = 1024

# A step is skipped if one of these is not finite.
_MUST_BE_FINITE = ('loss', 'gradient_norm')

Step = Callable[[Any, Any], tuple[Pairs, tf.Tensor, Any]]


class Loop:
    """Makes steps in compiled calls, as many as fit in half a second.

    while i < num_steps and finite:           # one call from Python
        pairs, finite, state = step(next(batches), state)

    Attributes:
        steps_per_loop: The most steps in one call, or None.
    """

    def __init__(self, step: Step, steps_per_loop: int | None = None):
        """Prepares a loop; it is compiled at the first call.

        Args:
            step: `step(batch, state)` returns the pairs (sum, count), whether
                they are finite, and the state after the batch.
            steps_per_loop: The most steps in one call; None for as many as fit
                in about half a second.

        Raises:
            ValueError: If `steps_per_loop` is not a whole number above 0.
        """
        if steps_per_loop is not None:
            checks.whole_number('steps_per_loop', steps_per_loop)
        self._step = step
        self._replicas = Replicas()
        self.steps_per_loop = steps_per_loop
        self._fitting_steps = 0  # How many fit in a call; 0: not known yet.
        self._layout = Layout()

    def size(self, step: int, last: int, periods: Iterable[int]) -> int:
        """Returns how many steps to make before Python is needed again.

        Args:
            step: The steps that were made.
            last: The step to stop at.
            periods: Python is needed at the multiples of these.
        """
        size = self.steps_per_loop or max(1, self._fitting_steps)
        until = [last - step, *(period - step % period for period in periods)]
        return math.ceil(min(size, *until))

    def run(
        self,
        iterator: Any,
        carried: Carried,
        num_steps: int,
        *,
        spent: float = 0.0,
    ) -> list[Pairs]:
        """Makes steps, up to one that is not finite.

        Args:
            iterator: Yields the batches.
            carried: The state before them, and then that after the last
                finite step.
            num_steps: How many steps to make.
            spent: Seconds that were spent to prepare for them.

        Returns:
            The pairs of each step, the 'seconds' that it took among them.
        """
        start = time.perf_counter()
        vectors, carried.value = self._run(
            iterator, carried.value, tf.constant(num_steps)
        )
        all_pairs = self._layout.unpack(vectors)
        seconds = (time.perf_counter() - start) / len(all_pairs)
        if self._fitting_steps:
            fitting = min(_SECONDS_PER_LOOP / seconds, _MAX_STEPS_PER_LOOP)
            self._fitting_steps = min(2 * self._fitting_steps, int(fitting))
        else:  # The first call has traced and compiled, and tells nothing.
            self._fitting_steps = 1
        for pairs in all_pairs:
            pairs['seconds'] = (seconds + spent / len(all_pairs), 1.0)
        return all_pairs

    @tf.function(autograph=False)
    def _run(self, iterator, state, num_steps):
        """Returns the pairs of each step as a vector, and the state."""

        def step(batch, state):
            pairs, finite, state = self._step(batch, state)
            return (self._layout.pack(pairs), finite), state

        def body(i, state, _, vectors):
            batch = iterator.get_next()
            (vector, finite), state = self._replicas.run(step, batch, state)
            return i + 1, state, finite, vectors.write(i, vector)

        vectors = tf.TensorArray(tf.float32, 0, True, element_shape=[None])
        _, state, _, vectors = tf.while_loop(
            lambda i, state, finite, _: (i < num_steps) & finite,
            body,
            (0, state, True, vectors),
            parallel_iterations=1,
        )
        return vectors.stack(), state


def is_finite(pairs: Pairs) -> tf.Tensor:
    """Whether a step can be made: a scalar bool.

    >>> bool(is_finite({'loss': (math.nan, 1.0), 'accuracy': (1.0, 1.0)}))
    False
    """
    sums = [pairs[name][0] for name in _MUST_BE_FINITE if name in pairs]
    sums = [tf.cast(x, tf.float32) for x in sums]
    return tf.reduce_all(tf.math.is_finite(sums))


def not_finite(pairs: Pairs, step: int) -> FloatingPointError | None:
    """Returns the error that names what is not finite; None if all is.

    Args:
        pairs: The pairs of a step.
        step: The last step that was made.
    """
    for name in _MUST_BE_FINITE:
        total, count = pairs.get(name, (0.0, 1.0))
        if not math.isfinite(total):
            return FloatingPointError(
                f'The {name} became {total / (count or 1.0)} at step '
                f'{step + 1}, which was skipped: the weights are those of step '
                f'{step}. Use a smaller learning rate, or `clip_norm`.'
            )
    return None
