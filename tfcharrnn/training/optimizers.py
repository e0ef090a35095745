"""Optimizers: Keras' classes, set up from a config."""

from __future__ import annotations

import math

import tensorflow as tf

from tfcharrnn.config import OptimizerConfig
from tfcharrnn.fields import SettingError
from tfcharrnn.kinds import HAVE_BETA_2, OPTIMIZERS
from tfcharrnn.training import schedules
from tfcharrnn.training.schedules import Schedule

# Falling schedules end at this share of the highest learning rate.
_LAST_SHARE = 1 / 20


def make_optimizer(
    config: OptimizerConfig,
    steps: int,
    *,
    share: float | tf.Variable = 1.0,
) -> tf.keras.optimizers.Optimizer:
    """Makes the optimizer of a config; call it in the scope of a strategy.

    >>> optimizer = make_optimizer(OptimizerConfig(optimizer='sgd'), steps=10)
    >>> round(float(optimizer.learning_rate), 6)
    0.001

    Args:
        config: The settings.
        steps: The last step, where a falling learning rate is lowest.
        share: A factor for the learning rate; a variable may change later.

    Raises:
        SettingError: If `lr_schedule` or `weight_decay` is not a schedule, or
            falls below 0.
    """
    schedule = learning_rate(config, steps)
    make = getattr(tf.keras.optimizers, OPTIMIZERS[config.optimizer])
    options = {}
    if config.optimizer in HAVE_BETA_2:
        options['beta_2'] = config.beta_2
    if isinstance(config.weight_decay, str):
        decay = read_schedule('weight_decay', config.weight_decay, steps)
        make = decaying(make, decay)
    elif config.weight_decay is not None:
        options['weight_decay'] = config.weight_decay
    rate = schedules.LearningRate(lambda step: share * schedule(step))
    optimizer = make(rate, **options)
    optimizer.exclude_from_weight_decay(var_names=['bias', 'scale'])
    return optimizer


def decaying(
    make: type[tf.keras.optimizers.Optimizer], decay: Schedule
) -> type[tf.keras.optimizers.Optimizer]:
    """Returns a kind of optimizer whose weight decay follows a schedule.

        weights -= learning_rate(step) * decay(step) * weights

    A decay may matter most at first (Golatkar et al., arXiv 1905.13277), or
    grow towards the end (Caron et al., arXiv 2104.14294).

        >>> halves = schedules.stepwise([0.5, 0.0], [1])
        >>> optimizer = decaying(tf.keras.optimizers.SGD, halves)(1.0)
        >>> weights = tf.Variable([8.0])
        >>> for _ in range(2):
        ...     _ = optimizer.apply_gradients([(tf.zeros([1]), weights)])
        ...     print(weights.numpy())
        [4.]
        [4.]

    Args:
        make: A class of Keras optimizers.
        decay: The weight decay, a function of the number of updates before.
    """

    class Decaying(make):
        @property
        def weight_decay(self):
            return decay(self.iterations)

        @weight_decay.setter
        def weight_decay(self, value):
            del value  # Keras sets its default.

    Decaying.__name__ = make.__name__  # By which a checkpoint knows it.
    return Decaying


def learning_rate(config: OptimizerConfig, steps: int) -> Schedule:
    """Returns the learning rate of a config, as a function of the step.

    >>> config = OptimizerConfig(lr_schedule='linear', learning_rate=1.0)
    >>> rate = learning_rate(config, steps=10)
    >>> [round(float(rate(step)), 3) for step in (0, 5, 10)]
    [1.0, 0.525, 0.05]

    Args:
        config: The settings.
        steps: The last step.

    Raises:
        SettingError: As `make_optimizer` does.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if config.num_cycles:
        return cycles(config, cycle_length(config, steps))
    falling = max(1, steps - warmup)
    if config.lr_schedule == 'constant':
        schedule = schedules.constant(peak)
    elif config.lr_schedule == 'linear':
        schedule = schedules.linear(peak, peak * _LAST_SHARE, falling)
    elif config.lr_schedule == 'cosine':
        schedule = schedules.cosine(peak, peak * _LAST_SHARE, falling)
    else:
        schedule = read_schedule('lr_schedule', config.lr_schedule, steps)
    if not warmup:
        return schedule
    rise = schedules.linear(peak / warmup, peak, warmup)
    return schedules.join([rise, schedule], [warmup])


def cycle_length(config: OptimizerConfig, steps: int) -> int:
    """Returns the steps of each cycle of the learning rate.

    Args:
        config: The settings, with `num_cycles` above 0.
        steps: The last step.
    """
    return math.ceil(steps / config.num_cycles)


def cycles(config: OptimizerConfig, length: int) -> Schedule:
    r"""Returns a learning rate that falls again and again.

        \.   \.   \.
          '.   '.   '.      each is half a cosine, down to a twentieth;
            \_   \_   \_    the first one rises before it falls
        0    length

    The model settles in one minimum after another, and the weights at the end
    of each cycle predict together (Huang et al., arXiv 1704.00109).

        >>> config = OptimizerConfig(lr_schedule='cycles:2', learning_rate=1.0)
        >>> rate = cycles(config, length=3)
        >>> [round(float(rate(step)), 4) for step in range(6)]
        [1.0, 0.7625, 0.2875, 1.0, 0.7625, 0.2875]

    Args:
        config: The settings.
        length: The steps of a cycle.

    Raises:
        SettingError: If the warm-up takes a whole cycle.
    """
    peak, warmup = config.learning_rate, config.warmup_steps
    if warmup >= length:
        raise SettingError(
            f'`warmup_steps` is {warmup}, but a cycle of `lr_schedule` has '
            f'{length} steps: give a smaller one, or fewer cycles.'
        )
    fall = schedules.cosine(peak, peak * _LAST_SHARE, length)
    first = fall
    if warmup:
        rise = schedules.linear(peak / warmup, peak, warmup)
        rest = schedules.cosine(peak, peak * _LAST_SHARE, length - warmup)
        first = schedules.join([rise, rest], [warmup])
    return schedules.join(
        [first, lambda step: fall(tf.math.floormod(step, length))], [length]
    )


def read_schedule(
    name: str, text: str, steps: int, *, high: float = math.inf
) -> Schedule:
    """Reads a setting that is a schedule.

    >>> float(read_schedule('sampling_probability', '0.5', steps=10)(3))
    0.5

    Args:
        name: The name of the setting.
        text: Its value, as `schedules.parse` reads it.
        steps: The last step.
        high: The largest value of the schedule; the smallest is 0.

    Raises:
        SettingError: If it is not a schedule, or has a value out of range.
    """
    try:
        schedule = schedules.parse(text)
        return schedules.check_range(name, schedule, steps, high)
    except ValueError as error:
        raise SettingError(str(error)) from error
