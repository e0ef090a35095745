"""Evaluator: measures a model on a dataset, without an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfcharrnn.data import Dataset
from tfcharrnn.training import losses, states
from tfcharrnn.training.metrics import Layout, Metrics, Pairs, Sums
from tfcharrnn.training.replicas import Replicas, sum_over_replicas

# Characters of a window, to measure as models of limited context are measured:
# nanoGPT's `block_size` for characters, on a GPU.
WINDOW = 256
ComputeLoss = Callable[[Any, Any, bool], tuple[Pairs, Any]]


class Evaluator:
    """Measures a model over one pass of a dataset.

        state = zero
        for batch in dataset:                         # one compiled call
            pairs, state = compute_loss(batch, state, training=False)
            sums += pairs

    It has its own state, so training is not affected.

        >>> from tfcharrnn import CharRNN, data
        >>> model = CharRNN(3, embedding_dim=4, rnn_units=8)
        >>> model.kernel.assign(tf.zeros([8, 3]))  # All characters alike.
        <tf.Variable ...
        >>> dataset = data.sequences(np.arange(99) % 3, 10, batch_size=4)
        >>> metrics = Evaluator(model).evaluate(dataset)
        >>> round(metrics['perplexity'], 3), metrics['num_chars']
        (3.0, 98)

    Attributes:
        model: The model that is measured.
    """

    def __init__(self, model: Any, compute_loss: ComputeLoss | None = None):
        """Prepares to measure a model.

        Args:
            model: Has `model(inputs, state, training=...)` and
                `initial_state(batch_size)`, as `CharRNN` has.
            compute_loss: `compute_loss(batch, state, training)` returns pairs
                (sum, count) by name, and the state; None for the cross entropy
                and the accuracy of the next character.
        """
        self.model = model
        self._compute_loss = compute_loss or (
            lambda batch, state, training: losses.of_next_character(
                model, batch, state, training=training
            )
        )
        self._replicas = Replicas()
        self._layout = Layout()

    def evaluate(self, dataset: Dataset) -> Metrics:
        """Measures the model over one pass, from the zero state.

        Args:
            dataset: `data.Batches`, or anything like it (see `data.Dataset`).

        Returns:
            Means over all characters of the pass: 'loss' (nats per
            character), 'bits_per_char', 'perplexity', 'accuracy'; and
            'num_chars'.

        Raises:
            ValueError: If the rows cannot be split among the replicas.
        """
        iterator = self._replicas.iterate(dataset)
        state = self._replicas.scatter(
            self.model.initial_state(dataset.batch_size)
        )
        vectors = self._run(iterator, state, tf.constant(len(dataset)))
        sums = Sums()
        sums.add_all(self._layout.unpack(vectors))
        return sums.means()

    @tf.function(autograph=False)
    def _run(self, iterator, state, num_batches):
        """Returns the pairs of `num_batches` batches, one vector each."""

        def step(batch, state):
            state = states.reset_rows(self.model, state, batch.reset)
            pairs, state = self._compute_loss(batch, state, False)
            return self._layout.pack(sum_over_replicas(pairs)), state

        def body(i, state, vectors):
            batch = iterator.get_next()
            vector, state = self._replicas.run(step, batch, state)
            return i + 1, state, vectors.write(i, vector)

        vectors = tf.TensorArray(tf.float32, 0, True, element_shape=[None])
        _, _, vectors = tf.while_loop(
            lambda i, *_: i < num_batches,
            body,
            (0, state, vectors),
            parallel_iterations=1,
        )
        return vectors.stack()
