"""Draws: what `sampling.sample` draws in a graph, in NumPy."""

from __future__ import annotations

import numpy as np

from tfcharrnn.generation.noise import Noise
from tfcharrnn.generation.request import Request


class Draws:
    """Draws the ids of texts from logits that are outside of TensorFlow.

        id = argmax(kept logits + temperature * noise)

    The noise is that of `sampling.sample`, so one seed draws the same ids from
    the same logits there and here.

        >>> draws = Draws(Request('', 9), seed=4, num_texts=6, vocab_size=3)
        >>> logits = np.log([[0.1, 0.2, 0.7]] * 6).astype(np.float32)
        >>> draws(logits, position=0)
        array([1, 2, 0, 1, 2, 2])
    """

    def __init__(
        self, request: Request, *, seed: int, num_texts: int, vocab_size: int
    ):
        """Takes what decides the draws.

        Args:
            request: Its `temperature`, `top_k` and `top_p` count.
            seed: A 64-bit integer.
            num_texts: N.
            vocab_size: V.
        """
        self._temperature = np.float32(request.temperature)
        self._top_k = min(int(request.top_k or vocab_size), vocab_size)
        self._top_p = request.top_p
        self._keeps_all = self._top_k == vocab_size and request.top_p is None
        self._noise = Noise(
            request, seed=seed, num_texts=num_texts, vocab_size=vocab_size
        )

    def __call__(self, logits: np.ndarray, position: int) -> np.ndarray:
        """Draws one id for each text.

        Args:
            logits: [N, V] float32.
            position: The number of characters that each text has.

        Returns:
            [N] integers.
        """
        if not self._keeps_all:
            logits = self._keep(logits)
        first, noise = self._noise.block(position)
        return (logits + noise[position - first]).argmax(-1)

    def _keep(self, logits):
        """Returns the logits with -inf for what is not kept: see `sample`."""
        order = np.argsort(-logits, axis=-1, kind='stable')[:, : self._top_k]
        kept = np.take_along_axis(logits, order, -1)
        if self._top_p is not None:
            tiny = np.finfo(np.float32).tiny
            scaled = (kept - kept[:, :1]) / max(self._temperature, tiny)
            probabilities = np.exp(scaled)
            probabilities /= probabilities.sum(-1, keepdims=True)
            before = np.zeros_like(kept)
            np.cumsum(probabilities[:, :-1], -1, out=before[:, 1:])
            needed = (before < self._top_p) | (self._top_p >= 1.0)
            needed[:, 0] = True
            kept = np.where(needed, kept, -np.inf)
        result = np.full_like(logits, -np.inf)
        np.put_along_axis(result, order, kept, -1)
        return result
