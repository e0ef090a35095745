"""Curricula: what a model learns first, and what next."""

from tfcharrnn.curricula.adaptive import AdaptiveMixture, bandit
from tfcharrnn.curricula.bandits import Exp3S, Policy
from tfcharrnn.curricula.lengths import growing_length, parse
from tfcharrnn.curricula.mixtures import Mixture, mix
from tfcharrnn.curricula.named import characters, digests, make
from tfcharrnn.curricula.pools import (
    competence,
    easiest_first,
    growing_vocabulary,
    rarity,
)
from tfcharrnn.curricula.scheduled_sampling import ScheduledSampling
from tfcharrnn.curricula.self_pacing import SelfPaced
from tfcharrnn.curricula.stages import (
    Stage,
    count_chars,
    count_steps,
    remaining,
    train,
)
from tfcharrnn.curricula.strategies import STRATEGIES, levels
from tfcharrnn.curricula.teachers import Teacher, teacher

__all__ = [
    'STRATEGIES',
    'AdaptiveMixture',
    'Exp3S',
    'Mixture',
    'Policy',
    'ScheduledSampling',
    'SelfPaced',
    'Stage',
    'Teacher',
    'bandit',
    'characters',
    'competence',
    'count_chars',
    'count_steps',
    'digests',
    'easiest_first',
    'growing_length',
    'growing_vocabulary',
    'levels',
    'make',
    'mix',
    'parse',
    'rarity',
    'remaining',
    'teacher',
    'train',
]
