"""Samples: what the model writes while it trains."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from tfcharrnn import files
from tfcharrnn.generation.generator import Generator
from tfcharrnn.generation.request import Request
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.callbacks import TensorBoard, keep_before
from tfcharrnn.training.metrics import Metrics
from tfcharrnn.training.trainer import Trainer


class Sample:
    r"""Lets the model write at several temperatures while it trains.

    A callback. It appends the texts to a file, and writes them to TensorBoard
    where one is given. They depend on the weights and the step only, and
    training is the same with and without them.

        >>> model = tfcharrnn.CharRNN(3, embedding_dim=2, rnn_units=4)
        >>> trainer = tfcharrnn.Trainer(model, tf.keras.optimizers.Adam())
        >>> sample = Sample(Vocabulary('\nab'), 'samples.txt', length=10)
        >>> sample(trainer, {})
        >>> with open('samples.txt') as file:
        ...     file.readline()
        '==> step 0, temperature 0.5\n'
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        path: str | os.PathLike,
        *,
        prompt: str = '',
        length: int = 300,
        temperatures: Sequence[float] = (0.5, 0.8, 1.0),
        stop: str | None = None,
        tensorboard: TensorBoard | None = None,
    ):
        """Sets what to write, and where.

        Args:
            vocabulary: The characters that the model's ids stand for.
            path: The file to append to, usually `model_dir/samples.txt`.
            prompt: The beginning of each text, as in `Generator.generate`.
            length: Characters to write after the prompt, at most.
            temperatures: One text is written for each.
            stop: Where each text ends, as in `Generator.generate`.
            tensorboard: Writes the texts as events, too.

        Raises:
            ValueError: The prompt or `stop` has characters that the vocabulary
                lacks, or an argument is outside its range.
        """
        # Now, not after the hours of training before the first sample.
        vocabulary.encode(prompt + (stop or ''))
        for temperature in temperatures:
            Request(prompt, length, temperature=temperature, stop=stop)
        self._vocabulary = vocabulary
        self._path = os.fspath(path)
        self._prompt = prompt
        self._length = length
        self._temperatures = tuple(temperatures)
        self._stop = stop
        self._tensorboard = tensorboard
        self._generator: Generator | None = None
        self._last = math.inf

    def __call__(self, trainer: Trainer, metrics: Metrics) -> None:
        """Appends one text for each temperature, of the averaged weights."""
        step = trainer.step
        if self._generator is None:
            self._generator = Generator(trainer.model, self._vocabulary)
        if step <= self._last:
            keep_before(self._path, step, r'==> step (\d{1,18}),')
        self._last = step
        with trainer.averaged():
            texts = [
                self._generator.generate(
                    self._prompt,
                    self._length,
                    temperature=temperature,
                    stop=self._stop,
                    seed=step,
                )
                for temperature in self._temperatures
            ]
        for temperature, text in zip(self._temperatures, texts, strict=True):
            heading = f'==> step {step}, temperature {temperature:g}'
            files.append(self._path, f'{heading}\n{text}\n\n')
            if self._tensorboard is not None:
                name = f'temperature {temperature:g}'
                self._tensorboard.text(trainer, name, text)
