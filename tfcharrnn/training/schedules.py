"""Schedules: functions from step to value.

Whatever changes while a model trains is a function of the step alone: a
learning rate, a dropout rate, the probability of scheduled sampling, the
difficulty of a curriculum, the weight of a source in a mixture. So there is
nothing to save, and a resumed run continues with the value it had.

    Schedule = Callable[[step], value]

The step is a Python integer, or an integer tensor or variable; the value is a
float32 scalar tensor. A schedule works in eager code and inside a
`tf.function`. Schedules compose as functions do, and any function of the step
is a schedule:

    >>> rising = linear(0.0, 1.0, steps=4)
    >>> [float(rising(step)) for step in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    >>> dropout = lambda step: 0.5 * (1.0 - rising(step))
    >>> [float(dropout(step)) for step in range(6)]
    [0.5, 0.375, 0.25, 0.125, 0.0, 0.0]
"""

import inspect
import math
import numbers
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Step = int | np.ndarray | tf.Tensor | tf.Variable
Schedule = Callable[[Step], tf.Tensor]


def constant(value: float) -> Schedule:
    """Returns the schedule that is always `value`.

    >>> float(constant(0.5)(1000))
    0.5
    """
    return lambda step: tf.constant(value, tf.float32)


def linear(start: float, end: float, steps: int) -> Schedule:
    r"""Goes from `start` to `end` in a straight line, and stays there.

        start \
               \
                \_______ end
              0  steps

    >>> [float(linear(1.0, 0.0, steps=4)(step)) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    Args:
        start: The value at step 0.
        end: The value from step `steps` on.
        steps: The number of steps from `start` to `end`, at least 1.

    Raises:
        ValueError: If `steps` is less than 1.
    """
    _check_steps(steps)
    return lambda step: _between(start, end, _fraction(step, steps))


def exponential(start: float, end: float, steps: int) -> Schedule:
    """Multiplies by the same factor at each step, then stays at `end`.

        value = start * (end / start) ** (step / steps)

    The exponential decay `k ** step` of scheduled sampling (Bengio et al.,
    2015, https://arxiv.org/abs/1506.03099) is `exponential(1.0, k**n, n)`.

    >>> [round(float(exponential(8.0, 1.0, 3)(step)), 3) for step in range(5)]
    [8.0, 4.0, 2.0, 1.0, 1.0]

    Args:
        start: The value at step 0, above zero.
        end: The value from step `steps` on, above zero.
        steps: The number of steps from `start` to `end`, at least 1.

    Raises:
        ValueError: If one of these is out of range.
    """
    _check_steps(steps)
    if not (start > 0 and end > 0):
        raise ValueError(
            f'`start` is {start} and `end` is {end}, but an exponential '
            f'schedule multiplies, so both must be above zero. Use a small '
            f'number such as 1e-6, or a linear schedule.'
        )
    log_ratio = math.log(end / start)

    def schedule(step):
        fraction = _fraction(step, steps)
        value = start * tf.exp(fraction * log_ratio)
        return tf.where(fraction < 1.0, value, end)  # the end without rounding

    return schedule


def inverse_sigmoid(start: float, end: float, k: float) -> Schedule:
    r"""Stays near `start`, then falls or rises in an S towards `end`.

        start ---.
                  \
                   '---- end
              k * ln(k)

        value = end + (start - end) * k / (k + exp(step / k))

    The inverse sigmoid decay of scheduled sampling (Bengio et al., 2015,
    https://arxiv.org/abs/1506.03099) is `inverse_sigmoid(1.0, 0.0, k)`: there,
    the probability of the text's own character. The probability of the model's
    sample is

    >>> schedule = inverse_sigmoid(0.0, 1.0, k=1000.0)
    >>> [round(float(schedule(step)), 3) for step in (0, 5000, 6908, 9999)]
    [0.001, 0.129, 0.5, 0.957]

    Args:
        start: The first value; step 0 is already `1 / (k + 1)` of the way.
        end: The value that it approaches but never reaches.
        k: The slowness, in steps, at least 1; `k * ln(k)` steps are halfway.

    Raises:
        ValueError: If `k` is less than 1.
    """
    if not k >= 1:
        raise ValueError(
            f'`k` is {k}, but an inverse sigmoid schedule needs at least 1. '
            f'At step k * ln(k) its value is halfway.'
        )

    def schedule(step):
        # 1 - k / (k + exp(step / k)), without the overflow of `exp`.
        done = tf.sigmoid(tf.cast(step, tf.float32) / k - math.log(k))
        return _between(start, end, done)

    return schedule


def root(start: float, end: float, steps: int, degree: float = 2.0) -> Schedule:
    """Goes from `start` to `end`, fast at first, then more and more slowly.

        value = start + (end - start) * (step / steps) ** (1 / degree)

    It is `fixed_root` of DeepSpeed's curriculum scheduler. The competence of
    Platanios et al. (2019, https://arxiv.org/abs/1903.09848) is the root of a
    line instead: `lambda step: tf.sqrt(linear(start**2, 1.0, steps)(step))`.

    >>> [float(root(0.0, 8.0, steps=16)(step)) for step in (0, 1, 4, 9, 16, 25)]
    [0.0, 2.0, 4.0, 6.0, 8.0, 8.0]

    As a length, in multiples of 8:

    >>> length = root(16.0, 64.0, steps=1000)
    >>> [int(length(step) // 8 * 8) for step in (0, 100, 500, 1000)]
    [16, 24, 48, 64]

    Args:
        start: The value at step 0.
        end: The value from step `steps` on.
        steps: The number of steps from `start` to `end`, at least 1.
        degree: 1 is a line, 2 the square root, 3 the cube root.

    Raises:
        ValueError: If `steps` is less than 1, or `degree` is not above zero.
    """
    _check_steps(steps)
    if not degree > 0:
        raise ValueError(
            f'`degree` is {degree}, but must be above zero. 2 is the square '
            f'root.'
        )

    def schedule(step):
        return _between(start, end, _fraction(step, steps) ** (1.0 / degree))

    return schedule


def cosine(
    start: float, end: float, steps: int, warmup_steps: int = 0
) -> Schedule:
    r"""Warms up from 0 to `start`, then follows half a cosine to `end`.

        start     /'-.
                 /    \
              0 /      '-.___ end
                0 warmup  steps

    After "SGDR" (Loshchilov and Hutter, 2016, https://arxiv.org/abs/1608.03983)
    without its restarts; `join` makes those.

    >>> rate = cosine(4.0, 0.0, steps=6, warmup_steps=2)
    >>> [round(float(rate(step)), 3) for step in range(8)]
    [0.0, 2.0, 4.0, 3.414, 2.0, 0.586, 0.0, 0.0]

    Args:
        start: The value at step `warmup_steps`.
        end: The value from step `steps` on.
        steps: The number of steps, the warm-up included.
        warmup_steps: How many of them rise linearly from 0. With 0 there is no
            warm-up; the schedule begins at `start`.

    Raises:
        ValueError: Unless 0 <= `warmup_steps` < `steps`.
    """
    if not 0 <= warmup_steps < steps:
        raise ValueError(
            f'`steps` is {steps}, but must be more than `warmup_steps`, '
            f'{warmup_steps}, which it includes.'
        )

    def fall(step):
        fraction = _fraction(step, steps - warmup_steps)
        return _between(start, end, 0.5 - 0.5 * tf.cos(math.pi * fraction))

    if warmup_steps == 0:
        return fall
    return join([linear(0.0, start, warmup_steps), fall], [warmup_steps])


def join(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Follows one schedule after another.

        schedules   a         b             c
        boundaries            10            30
        step        0 ... 9   10 ... 29     30 ...
        value       a(step)   b(step - 10)  c(step - 30)

    Each schedule counts steps from its own beginning, as in
    `optax.join_schedules`.

    >>> rate = join([linear(0.0, 1.0, 2), linear(1.0, 0.0, 4)], [2])
    >>> [float(rate(step)) for step in range(8)]
    [0.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]

    Args:
        schedules: The schedules in order, at least one.
        boundaries: The steps, rising, at which the second, third ... begin.

    Raises:
        ValueError: If the number of boundaries is not one less than that of
            the schedules, or the boundaries do not rise.
    """
    schedules, boundaries = list(schedules), list(boundaries)
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f'{len(schedules)} schedules need {len(schedules) - 1} boundaries, '
            f'one between each two, but got {boundaries}.'
        )
    rise = [0, *boundaries] == sorted({0, *boundaries})
    if not rise or not all(isinstance(b, numbers.Integral) for b in boundaries):
        raise ValueError(
            f'The boundaries are {boundaries}, but must be whole steps above '
            f'zero that rise.'
        )

    def schedule(step):
        value = schedules[0](step)
        for later, boundary in zip(schedules[1:], boundaries, strict=True):
            # Both are computed, so the graph does not branch. No schedule is
            # given a step below zero.
            own_value = later(tf.maximum(step - boundary, 0))
            value = tf.where(step < boundary, value, own_value)
        return value

    return schedule


def stepwise(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """Jumps from value to value: `fixed_discrete` of DeepSpeed's scheduler.

    >>> length = stepwise([25, 50, 100], [2, 5])
    >>> [int(length(step)) for step in range(7)]
    [25, 25, 50, 50, 50, 100, 100]

    Args:
        values: The values in order, at least one.
        boundaries: The steps, rising, at which the second, third ... begin.

    Raises:
        ValueError: As `join` does.
    """
    return join([constant(value) for value in values], boundaries)


class LearningRate(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Lets a Keras optimizer follow a schedule.

    >>> rate = LearningRate(cosine(1e-3, 5e-5, steps=10_000, warmup_steps=100))
    >>> optimizer = tf.keras.optimizers.Adam(rate)
    >>> float(optimizer.learning_rate)  # at step 0 of the warm-up
    0.0

    Args:
        schedule: Any function from step to value.
    """

    def __init__(self, schedule: Schedule):
        self._schedule = schedule

    def __call__(self, step: Step) -> tf.Tensor:
        """Returns the learning rate at `step`, a float32 scalar."""
        return self._schedule(step)

    def get_config(self) -> dict[str, str]:
        """Describes the schedule; it cannot be rebuilt from this."""
        return {'schedule': repr(self._schedule)}


_BY_NAME: dict[str, Callable[..., Schedule]] = {
    function.__name__: function
    for function in (linear, exponential, inverse_sigmoid, root, cosine)
}


def parse(text: str) -> Schedule:
    """Reads a schedule from text, such as the value of a flag.

        0.001                             a number is a constant
        linear:0:0.5:5000                 linear(0.0, 0.5, 5000)
        cosine:0.001:0.00005:10000:100    cosine(0.001, 0.00005, 10000, 100)
        25@1000,50@3000,100               25 up to step 1000, 50 up to step
                                          3000, then 100: a `join` of these

    >>> probability = parse('linear:0:0.5:5000')
    >>> [float(probability(step)) for step in (0, 2500, 5000, 9999)]
    [0.0, 0.25, 0.5, 0.5]
    >>> rate = parse('linear:0:1:2@2,1@4,exponential:1:0.25:2')
    >>> [round(float(rate(step)), 3) for step in range(8)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.25, 0.25]

    Args:
        text: A number or `name:argument:argument...`; or several of them,
            separated by commas, each but the last followed by `@` and the step
            where it ends.

    Raises:
        ValueError: If the text is not a schedule; it says what was expected.
    """
    *begun, last = text.split(',')
    schedules, boundaries = [], []
    for piece in begun:
        piece, _, boundary = piece.rpartition('@')
        if not piece:
            raise ValueError(
                f'Each piece of a schedule but the last needs `@` and the step '
                f'where it ends, as in 25@1000,50@3000,100, but got `{text}`.'
            )
        schedules.append(_parse_piece(piece))
        boundaries.append(_parse_number(boundary, text))
    return join([*schedules, _parse_piece(last)], boundaries)


def check_range(
    name: str, schedule: Schedule, steps: int, high: float = math.inf
) -> Schedule:
    """Returns the schedule if its values are from 0 to `high`.

    >>> schedule = check_range('rate', linear(1.0, 0.0, steps=4), steps=10)
    >>> check_range('rate', linear(1.0, -1.0, steps=4), steps=10)
    Traceback (most recent call last):
    ValueError: `rate` is -0.5 at step 3, but must be from 0 up.

    Args:
        name: What it is called, for the error.
        schedule: The schedule.
        steps: The last step; of very many steps, only some are checked.
        high: The largest value that is allowed.

    Raises:
        ValueError: If a value is out of range; it names the first.
    """
    some = np.linspace(0, steps, min(steps, 100_000) + 1, dtype=np.int64)
    values = np.broadcast_to(schedule(some), some.shape)
    wrong = np.flatnonzero(~((values >= 0.0) & (values <= high)))
    if len(wrong):
        end = 'up' if high == math.inf else f'to {high:g}'
        raise ValueError(
            f'`{name}` is {values[wrong[0]]:g} at step {some[wrong[0]]:,}, '
            f'but must be from 0 {end}.'
        )
    return schedule


def _parse_piece(piece):
    """Reads a number or `name:argument:argument...`."""
    name, *arguments = piece.strip().split(':')
    if name not in _BY_NAME:
        try:
            return constant(_parse_number(piece, piece))
        except ValueError:
            raise ValueError(
                f'A schedule is a number, {", ".join(map(_usage, _BY_NAME))}, '
                f'but got `{piece}`.'
            ) from None
    arguments = [_parse_number(argument, piece) for argument in arguments]
    try:
        inspect.signature(_BY_NAME[name]).bind(*arguments)
    except TypeError as error:
        raise ValueError(
            f'Expected {_usage(name)}, but got `{piece}`: {error}.'
        ) from None
    return _BY_NAME[name](*arguments)


def _parse_number(text, whole):
    """Reads a finite number: an int where it is one, as in 10000 and 1e4."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f'Expected a number in the schedule `{whole}`, but got `{text}`.'
        )
    return int(number) if number.is_integer() else number


def _usage(name):
    """Returns `name:argument:argument[:optional]`."""
    return name + ''.join(
        f':{parameter.name}'
        if parameter.default is parameter.empty
        else f'[:{parameter.name}]'
        for parameter in inspect.signature(_BY_NAME[name]).parameters.values()
    )


def _check_steps(steps):
    """Raises unless there is at least one step."""
    if not steps >= 1:
        raise ValueError(
            f'`steps` is {steps}, but must be at least 1. Use `constant` for a '
            f'value that does not change.'
        )


def _fraction(step, steps):
    """Returns the share of the steps that are done, from 0 to 1."""
    return tf.clip_by_value(tf.cast(step, tf.float32) / steps, 0.0, 1.0)


def _between(start, end, fraction):
    """Returns exactly `start` at fraction 0 and exactly `end` at 1."""
    return (1.0 - fraction) * start + fraction * end
