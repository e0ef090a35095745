"""Machines that are odd: what `fault_campaign.py` lets runs meet there.

A kind of machine is a block in which functions of Python, or a part of
training, do what they do there.
"""

import contextlib
import errno
import os
import random
import time
from unittest import mock

import running_commands

# Steps after which a weight is not finite, one for each rollback.
POISONED = 135, 330


class Poison:
    """Makes a weight NaN at each of some steps, until the run goes back."""

    call_every = 5

    def __call__(self, trainer, metrics):
        next_one = POISONED[trainer.record.rollbacks :][:1]
        if trainer.step in next_one:
            trainer.model.bias.assign(trainer.model.bias * float('nan'))


@contextlib.contextmanager
def poisoned():
    """Losses that are not finite, after two steps of a run."""
    from tfcharrnn.running.run import Run

    train = Run.train

    def train_poisoned(self, callbacks=(), **keywords):
        return train(self, [*callbacks, Poison()], **keywords)

    with mock.patch.object(Run, 'train', train_poisoned):
        yield


@contextlib.contextmanager
def a_jumping_clock():
    """A clock that jumps by up to two days, forwards and backwards."""
    draw, now, offset = random.Random(os.getpid()), time.time, 0.0

    def jump():
        nonlocal offset
        if draw.random() < 0.2:
            offset = draw.uniform(-48.0, 48.0) * 3600.0
        return now() + offset

    with mock.patch('time.time', jump):
        yield


def no_locks():
    """A file system without locks."""
    refusal = OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
    return mock.patch('fcntl.flock', side_effect=refusal)


MACHINES = {
    'sound': contextlib.nullcontext,
    'poisoned': poisoned,
    'jumping clock': a_jumping_clock,
    'no locks': no_locks,
}


def train_on(machine, *arguments):
    """Runs `train` on a machine, and exits; for a `Process`."""
    with MACHINES[machine]():
        running_commands.run_command('train', *arguments)
