"""Batches of ids: streams, windows and lines of a text."""

from tfcharrnn.data.batches import *  # noqa: F403
