"""The character model: embedding -> recurrent cells -> logits."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfcharrnn import checks
from tfcharrnn.kinds import CELLS
from tfcharrnn.nn import cells, cudnn, gates, mogrifier
from tfcharrnn.nn.cells import RNNCell, embed, glorot
from tfcharrnn.nn.chains import run_chains
from tfcharrnn.nn.columns import Columns, embed_columns, product
from tfcharrnn.nn.dropout import (
    Noise,
    check_states,
    check_weights,
    drop,
    drop_inputs,
    drop_rows,
    drop_states,
    drop_weights,
    penalize,
    with_blank,
)
from tfcharrnn.nn.layer_norm import LayerNorm
from tfcharrnn.rates import Dropout

COMPUTE_DTYPES = 'float32', 'bfloat16'


class CharRNN(tf.Module):
    """A recurrent model of the next character.

        ids -> embedding -> cell -> ... -> cell -> dense -> logits
               [V, E]       state          state   [U, V]

    The model holds weights and nothing else. The state goes in and comes out,
    so any batch size, a pause for evaluation or a second text need no care:

        >>> model = CharRNN(vocab_size=65)
        >>> model.num_parameters
        4021569
        >>> inputs = tf.constant([[18, 47, 56], [57, 58, 1]])
        >>> logits, state = model(inputs, model.initial_state(batch_size=2))
        >>> logits.shape
        TensorShape([2, 3, 65])

    References: Graves, arXiv 1308.0850; dropout of what goes up to the next
    layer, never of what goes on in time: Zaremba et al., arXiv 1409.2329.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int | None = 256,
        rnn_units: int = 1024,
        num_layers: int = 1,
        cell: str | type[RNNCell] = 'gru',
        *,
        compute_dtype: str = 'float32',
        dropout: float | str | dict | Dropout = 0.0,
        tied: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        activation_penalty: float = 0.0,
        slowness_penalty: float = 0.0,
    ):
        """Makes the model with new random weights.

            >>> model = CharRNN(65, rnn_units=256, num_layers=2, residual=True)
            >>> model.config['residual']
            True

        Args:
            vocab_size: Number of distinct characters, V.
            embedding_dim: Size of a character's vector, E; None for one-hot
                inputs, which have no weights.
            rnn_units: Size of each layer's output, U.
            num_layers: Number of recurrent layers.
            cell: One of the names in `kinds.CELLS`, such as 'gru' or 'lstm',
                or a class: a subclass of `RNNCell` that is called with
                (input_size, units).
            compute_dtype: 'float32', or 'bfloat16' for the operands of matrix
                products. Weights, gates, states and logits are float32.
            dropout: Dropout rate in training of each layer's outputs, from 0
                up to but not including 1; or rates by location, in any form
                that `Dropout.of` reads.
            tied: Whether the logits share the weights of the embedding, whose
                size must then be `rnn_units` (arXiv 1608.05859).
            residual: Whether each layer but the first adds its inputs to its
                outputs (arXiv 1512.03385).
            layer_norm: Whether each layer's outputs, not its state, are
                normalized; see `LayerNorm`.
            activation_penalty: Weight in the objective of the mean square of
                the last layer's outputs; see `penalize`.
            slowness_penalty: Weight of the mean square of their change from
                character to character.

        Raises:
            ValueError: If an argument has another value.
        """
        super().__init__()
        vocab_size = checks.whole_number('vocab_size', vocab_size)
        if embedding_dim is not None:
            embedding_dim = checks.whole_number('embedding_dim', embedding_dim)
        rnn_units = checks.whole_number('rnn_units', rnn_units)
        num_layers = checks.whole_number('num_layers', num_layers)
        cell = _cell_class(cell)
        self._dropout = Dropout.of(dropout)
        options = {
            'dropout': dropout,
            'tied': tied,
            'residual': residual,
            'layer_norm': layer_norm,
            'activation_penalty': activation_penalty,
            'slowness_penalty': slowness_penalty,
        }
        self._config = {
            'vocab_size': vocab_size,
            'embedding_dim': embedding_dim,
            'rnn_units': rnn_units,
            'num_layers': num_layers,
            'cell': _cell_name(cell),
            'compute_dtype': compute_dtype,
            # Checkpoints know a model by these: an option that is off, such as
            # one that older versions did not have, must change nothing.
            **{name: value for name, value in options.items() if value},
            'dropout': self._dropout.config,
        }
        _check(self._config, self._dropout)
        self.vocab_size = vocab_size
        self._dtype = tf.as_dtype(compute_dtype)
        self._tied, self._residual = tied, residual
        self._penalties = activation_penalty, slowness_penalty
        self.embedding: Any = None  # or a variable [V, E]
        if embedding_dim is not None:
            # As large as what the cell makes of it. With Keras' 0.05, a model
            # first spends hundreds of steps learning to tell characters apart.
            initial = tf.random.uniform([vocab_size, embedding_dim], -0.5, 0.5)
            self.embedding = tf.Variable(initial, name='embedding')
        sizes = [embedding_dim or vocab_size] + [rnn_units] * (num_layers - 1)
        self.cells: list[Any] = [cell(size, rnn_units) for size in sizes]
        check_weights(self.cells, self._dropout.weights)
        check_states(self.cells, self._dropout.state)
        for layer in self.cells:
            layer.compute_dtype = self._dtype
        self.norms = [LayerNorm(rnn_units) for _ in sizes if layer_norm]
        if not tied:
            initial = glorot([rnn_units, vocab_size])
            self.kernel = tf.Variable(initial, name='kernel')
        self.bias = tf.Variable(tf.zeros([vocab_size]), name='bias')

    @property
    def config(self) -> dict[str, Any]:
        """The arguments with which `CharRNN(**config)` builds it again."""
        # tf.Module wraps the dicts that it holds; these are plain, for JSON.
        return {**self._config, 'dropout': self._dropout.config}

    @property
    def num_parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(v.shape.num_elements() for v in self.trainable_variables)

    def __repr__(self) -> str:
        config = self._config
        layers = f'{config["num_layers"]} x ' * (config['num_layers'] > 1)
        return (
            f'<CharRNN: {layers}{config["cell"]}({config["rnn_units"]}), '
            f'{self.vocab_size} characters, {self.num_parameters:,} '
            f'parameters, {config["compute_dtype"]}>'
        )

    def initial_state(self, batch_size: int | tf.Tensor) -> tuple:
        """Returns the zero state: a tuple with each cell's state."""
        return tuple(cell.initial_state(batch_size) for cell in self.cells)

    def __call__(
        self,
        inputs: tf.Tensor,
        state: tuple,
        *,
        training: bool | Noise = False,
    ) -> tuple[tf.Tensor, tuple]:
        """Predicts each next character from all that came before.

        Args:
            inputs: [B, T] integers below V.
            state: As `initial_state` or another call returned it.
            training: False for no dropout; a `Noise` for dropout that is a
                function of its seed, as `Trainer` passes it; or True for a seed
                from TensorFlow's global generator.

        Returns:
            The logits [B, T, V] float32 and the state after the last input.
        """
        noise = self._noise(training)
        layers, embedding = self.cells, self.embedding
        if noise is not None:
            # The same weights are dropped for all rows.
            rows_noise, weights_noise, noise = noise.split(3)
            embedding = drop_rows(embedding, self._dropout.rows, rows_noise)
            layers = drop_weights(layers, self._dropout.weights, weights_noise)
            if self._dropout.inputs:
                embedding = with_blank(embedding)

        def run(ids, state, noise, row_share):
            ids, seeing = self._drop_in_time(ids, layers, noise)
            x, after = self._run_layers(ids, state, seeing, embedding, noise)
            return self._logits(x, noise, row_share), after

        ids = tf.cast(inputs, tf.int32)
        if any(cudnn.uses_keras(cell) for cell in layers):
            return run(ids, state, noise, 1.0)  # A GPU takes all rows at once.
        return run_chains(run, ids, state, noise)

    def _noise(self, training):
        """Returns the noise of a call, or None where nothing is random."""
        if not isinstance(training, (bool, Noise)):
            raise TypeError(
                f'`training` is {training!r}, but must be True, False or a '
                '`Noise`: put a seed into `Noise(seed)`.'
            )
        if not training or not (self._dropout or any(self._penalties)):
            return None
        if isinstance(training, Noise):
            return training
        return Noise(tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32))

    def _drop_in_time(self, ids, layers, noise):
        """Drops inputs, and what cells see of their states."""
        if noise is None:
            return ids, layers
        # What is dropped between layers draws from the numbers from 0 on.
        rates, blank = self._dropout, self.vocab_size
        ids = drop_inputs(ids, rates.inputs, noise.fold_in(-1), blank=blank)
        rows = tf.shape(ids)[0]
        return ids, drop_states(
            layers, rates.state, noise.fold_in(-2), batch_size=rows
        )

    def _run_layers(self, ids, state, layers, embedding, noise):
        """Runs rows of ids through cells; returns columns and the state."""
        x, after = self._run_first(ids, state[0], layers[0], embedding, noise)
        x = self._finish_layer(None, x, 0)
        states = [after]
        for layer, cell in enumerate(layers[1:], start=1):
            dropped = self._drop(x, 'layers', noise, layer)
            outputs, after = cell.unroll_columns(dropped, state[layer])
            x = self._finish_layer(x, outputs, layer)
            states.append(after)
        return x, tuple(states)

    def _run_first(self, ids, state, cell, embedding, noise):
        """Runs the first layer, which reads ids."""
        if noise is None or not self._dropout.embedding:
            return cell.unroll_ids(ids, embedding, state)
        # Each input differs now, so products cannot be read from a table.
        x = embed_columns(ids, embedding, self._dtype)
        return cell.unroll_columns(self._drop(x, 'embedding', noise, 0), state)

    def _finish_layer(self, inputs, outputs, layer: int):
        """Normalizes a layer's outputs, in columns, and adds its inputs."""
        if self.norms:
            outputs = self.norms[layer](outputs)
        if self._residual and layer:
            outputs += tf.cast(inputs, outputs.dtype)
        return outputs

    def _logits(self, x, noise, row_share):
        """Returns the logits [B, T, V] of the last layer's outputs, columns."""
        dropped = self._drop(x, 'output', noise, len(self.cells))
        if noise is not None and any(self._penalties):
            # Each penalty is a mean over these rows, a share of all.
            activation, slowness = (row_share * p for p in self._penalties)
            dropped = penalize(
                x, dropped, activation=activation, slowness=slowness
            )
        logits = product(self._logits_kernel(), dropped, self._dtype)
        logits = tf.transpose(tf.cast(logits, tf.float32), [2, 1, 0])
        return logits + self.bias

    def _logits_kernel(self):
        return tf.transpose(self.embedding) if self._tied else self.kernel

    def _drop(self, x, location, noise, layer):
        rate = getattr(self._dropout, location)
        if noise is None or not rate:
            return x
        seed, share = noise.fold_in(layer)
        locked = self._dropout.locked
        return drop(x, rate, seed, share=share, locked=locked)

    def step_weights(self) -> tuple:
        """Returns weights made ready for many calls of `step`, in a loop.

        Empty where a cell has no fast step: then `step` reads the variables.
        """
        if not all(isinstance(cell, Columns) for cell in self.cells):
            return ()
        first, *others = self.cells
        layers = [first.step_weights(True, self.embedding)]
        layers += [cell.step_weights(False) for cell in others]
        return *layers, tf.transpose(self._logits_kernel())

    def step(
        self, ids: tf.Tensor, state: tuple, weights: tuple = ()
    ) -> tuple[tf.Tensor, tuple]:
        """Predicts the next character from one: a step of generation.

        Args:
            ids: [B] integers below V.
            state: As for a call.
            weights: As `step_weights` returned them, for a faster step, which
                is float32 whatever the `compute_dtype`.

        Returns:
            The logits [B, V] float32 and the next state.
        """
        if weights:
            products = tuple(
                cell.step_products(before, layer)
                for cell, before, layer in zip(
                    self.cells, state, weights[:-1], strict=True
                )
            )
            return self._compiled_step(ids, state, products, weights)
        x = embed(ids, self.embedding, self.vocab_size)
        states = []
        for layer, cell in enumerate(self.cells):
            outputs, after = cell(x, state[layer])
            columns = tf.transpose(x), tf.transpose(outputs)
            x = tf.transpose(self._finish_layer(*columns, layer))
            states.append(after)
        return tf.matmul(x, self._logits_kernel()) + self.bias, tuple(states)

    @tf.function(autograph=False, jit_compile=True)
    def _compiled_step(self, ids, state, products, weights):
        *layers, kernel = weights
        x, states = ids, []
        for layer, cell in enumerate(self.cells):
            outputs, after = cell.step_columns(
                x, state[layer], products[layer], layers[layer]
            )
            x = self._finish_layer(x, outputs, layer)
            states.append(after)
        return tf.transpose(tf.matmul(kernel, x)) + self.bias, tuple(states)


def _named_cell(name: str) -> type[RNNCell]:
    """Returns the class of a cell: the fast one, if there is one."""
    class_name = CELLS[name].class_name
    modules = gates, cells, mogrifier
    return next(
        getattr(module, class_name)
        for module in modules
        if hasattr(module, class_name)
    )


def _cell_name(cell: type[RNNCell]) -> str:
    """Returns the name that the config has for a class."""
    names = (name for name in CELLS if _named_cell(name) is cell)
    return next(names, cell.__name__)


def _cell_class(cell: Any) -> type[RNNCell]:
    if isinstance(cell, str) and cell in CELLS:
        return _named_cell(cell)
    if isinstance(cell, type) and issubclass(cell, RNNCell):
        return cell
    raise ValueError(
        f'`cell` is {cell!r}, but must be one of {", ".join(CELLS)}, or a '
        'subclass of `tfcharrnn.RNNCell`. To load a model with your own cell, '
        'pass its class.'
    )


def _check(config: dict[str, Any], dropout: Dropout) -> None:
    checks.choice('compute_dtype', config['compute_dtype'], COMPUTE_DTYPES)
    for name in ('activation_penalty', 'slowness_penalty'):
        checks.number(name, config.get(name, 0.0), 0.0)
    if config['embedding_dim'] is None and (dropout.rows or dropout.embedding):
        raise ValueError(
            '`dropout` has a rate of `rows` or `embedding`, but '
            '`embedding_dim` is None, so there is no embedding. Leave one of '
            'the two out.'
        )
    if config.get('tied') and config['embedding_dim'] != config['rnn_units']:
        raise ValueError(
            f'`embedding_dim` is {config["embedding_dim"]} and `rnn_units` is '
            f'{config["rnn_units"]}, but with `tied` they must be the same.'
        )
