"""Curricula: what a model is taught first, and what after that."""

from tfcharrnn.curricula.stages import *  # noqa: F403
