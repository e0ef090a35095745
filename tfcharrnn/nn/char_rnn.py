"""The character model: embedding -> recurrent cells -> logits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from tfcharrnn.nn import cells, kernels
from tfcharrnn.nn import dropout as regularization

CELLS = {
    'gru': kernels.GRU,
    'lstm': kernels.LSTM,
    'mingru': kernels.MinGRU,
    'vanilla': cells.VanillaRNN,
}

# The rows of a batch are worked on in this many chains that do not depend on
# each other, so that the gates of one overlap the matrix products of another.
NUM_CHAINS = 2


@dataclasses.dataclass(frozen=True)
class Options:
    """What a `CharRNN` may have besides its plain layers.

    >>> model = CharRNN(65, rnn_units=256, num_layers=2, residual=True)
    >>> model.config['residual']
    True

    Attributes:
        dropout: Share of each layer's outputs that is set to zero in training,
            from 0 up to but not including 1; or what
            `regularization.Dropout.of` takes, to drop elsewhere too.
        tied: The weights of the logits are those of the embedding, whose size
            must be `rnn_units` (arXiv 1608.05859).
        residual: Each layer but the first adds to what it was given (arXiv
            1512.03385).
        layer_norm: Each layer's outputs, not its state, are brought to a mean
            and a deviation that are learned (arXiv 1607.06450).
        activation_penalty: The weight of the mean square of the last layer's
            outputs in the objective; see `regularization.penalize`.
        slowness_penalty: The same for how much they change from character to
            character.
    """

    dropout: float | str | dict | regularization.Dropout = 0.0
    tied: bool = False
    residual: bool = False
    layer_norm: bool = False
    activation_penalty: float = 0.0
    slowness_penalty: float = 0.0


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

    References: Graves, arXiv 1308.0850; dropout on what goes up, never on
    what goes on in time: Zaremba et al., arXiv 1409.2329.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int | None = 256,
        rnn_units: int = 1024,
        num_layers: int = 1,
        cell: str | type[cells.RNNCell] = 'gru',
        compute_dtype: str = 'float32',
        **options: Any,
    ):
        """Makes the model with new random weights.

        Args:
            vocab_size: Number of distinct characters, V.
            embedding_dim: Size of a character's vector, E; None for one-hot
                inputs, which have no weights.
            rnn_units: Size of each layer's output, U.
            num_layers: Number of recurrent layers.
            cell: 'gru', 'lstm', 'mingru' or 'vanilla', or a class: a subclass
                of `RNNCell` that is called with (input_size, units).
            compute_dtype: 'float32', or 'bfloat16' for the operands of matrix
                products. Weights, gates, states and logits are float32.
            **options: `dropout` and others; see `Options`.

        Raises:
            ValueError: If an argument is none of these.
            TypeError: If there is no such option.
        """
        super().__init__()
        self._options = Options(**options)
        self._dropout = regularization.Dropout.of(self._options.dropout)
        cell = _cell_class(cell)
        self._config = {
            'vocab_size': vocab_size,
            'embedding_dim': embedding_dim,
            'rnn_units': rnn_units,
            'num_layers': num_layers,
            'cell': _cell_name(cell),
            'compute_dtype': compute_dtype,
            **_given(self._options),
            'dropout': self._dropout.config,
        }
        _check(self._config, self._dropout)
        self.vocab_size = vocab_size
        self._dtype = tf.as_dtype(compute_dtype)
        self.embedding = None
        if embedding_dim is not None:
            # As large as what the cell makes of it: with Keras' 0.05 a model
            # first learns, for hundreds of steps, to tell characters apart.
            initial = tf.random.uniform([vocab_size, embedding_dim], -0.5, 0.5)
            self.embedding = tf.Variable(initial, name='embedding')
        sizes = [embedding_dim or vocab_size] + [rnn_units] * (num_layers - 1)
        self.cells = [cell(size, rnn_units) for size in sizes]
        regularization.check_weights(self.cells, self._dropout.weights)
        for layer in self.cells:
            layer.compute_dtype = self._dtype
        self.norms = []
        if self._options.layer_norm:
            self.norms = [_Norm(rnn_units) for _ in sizes]
        if not self._options.tied:
            self.kernel = tf.Variable(
                cells.glorot([rnn_units, vocab_size]), name='kernel'
            )
        self.bias = tf.Variable(tf.zeros([vocab_size]), name='bias')

    @property
    def config(self) -> dict[str, Any]:
        """The arguments with which `CharRNN(**config)` is the same anew."""
        return dict(self._config)  # tf.Module wraps the dicts that it holds.

    @property
    def num_parameters(self) -> int:
        """The number of trainable numbers."""
        return sum(v.shape.num_elements() for v in self.trainable_variables)

    def initial_state(self, batch_size: int | tf.Tensor) -> tuple:
        """Returns the zero state: a tuple with each cell's state."""
        return tuple(cell.initial_state(batch_size) for cell in self.cells)

    def __call__(
        self,
        inputs: tf.Tensor,
        state: tuple,
        *,
        training: bool | tf.Tensor = False,
    ) -> tuple[tf.Tensor, tuple]:
        """Predicts each next character from all that came before.

        Args:
            inputs: [B, T] integers below V.
            state: As `initial_state` or another call returned it.
            training: False for no dropout; True for dropout from TensorFlow's
                global generator; or a seed, two integers, for dropout that is
                a function of the seed. `Trainer` passes seeds.

        Returns:
            The logits [B, T, V] float32 and the state after the last input.
        """
        inputs = tf.cast(inputs, tf.int32)
        seed = self._seed(training)
        # What is dropped of the weights is the same for all rows.
        embedding, weights_seed = self.embedding, None
        rates = regularization.Dropout()
        if seed is not None:
            rates = self._dropout
            rows_seed, weights_seed, seed = _fold_in(seed, 3)
            embedding = _drop_rows(embedding, rates.rows, rows_seed)
        with regularization.dropped_weights(
            self.cells, rates.weights, weights_seed
        ):
            return self._run_chains(inputs, state, embedding, seed)

    def _run_chains(self, inputs, state, embedding, seed):
        """Runs halves of the rows apart, each through all layers."""
        sizes = _chain_sizes(inputs.shape[0])
        if len(sizes) == 1:
            return self._run(inputs, state, embedding, seed)
        chains = zip(
            tf.split(inputs, sizes),
            _split(state, sizes),
            [None] * len(sizes) if seed is None else _fold_in(seed, len(sizes)),
            [size / sum(sizes) for size in sizes],
            strict=True,
        )
        results = [
            self._run(rows, rows_state, embedding, rows_seed, share)
            for rows, rows_state, rows_seed, share in chains
        ]
        return tf.nest.map_structure(lambda *x: tf.concat(x, 0), *results)

    def _run(self, ids, state, embedding, seed, share=1.0):
        """Runs one chain, a share of the rows, through all layers."""
        x, after = self._run_first(ids, state[0], embedding, seed)
        x = self._finish_layer(None, x, 0)
        states = [after]
        for layer, cell in enumerate(self.cells[1:], start=1):
            dropped = self._drop(x, 'layers', seed, layer)
            outputs, after = cell.unroll_columns(dropped, state[layer])
            x = self._finish_layer(x, outputs, layer)
            states.append(after)
        dropped = self._drop(x, 'output', seed, len(self.cells))
        options = self._options
        penalties = options.activation_penalty, options.slowness_penalty
        if seed is not None and any(penalties):
            # Each penalty is a mean over the rows of the chain.
            penalties = (share * penalty for penalty in penalties)
            dropped = regularization.penalize(x, dropped, *penalties)
        kernel = self._logits_kernel()
        logits = kernels.product(kernel, dropped, self._dtype)
        logits = tf.transpose(tf.cast(logits, tf.float32), [2, 1, 0])
        return logits + self.bias, tuple(states)

    def _run_first(self, ids, state, embedding, seed):
        """Runs the first layer, which reads ids."""
        cell = self.cells[0]
        if seed is None or not self._dropout.embedding:
            return cell.unroll_ids(ids, embedding, state)
        # Each input differs: no row of a table any more.
        if self.vocab_size > kernels.MAX_TABLE:
            x = kernels.look_up(ids, embedding)
        else:
            one_hot = tf.one_hot(
                tf.transpose(ids), self.vocab_size, axis=0, dtype=self._dtype
            )
            x = kernels.product(embedding, one_hot, self._dtype)
        x = self._drop(x, 'embedding', seed, 0)
        return cell.unroll_columns(x, state)

    def _finish_layer(self, inputs, outputs, layer):
        """Normalises a layer's outputs, columns, and adds its inputs."""
        if self.norms:
            outputs = self.norms[layer](outputs)
        if self._options.residual and layer:
            outputs += tf.cast(inputs, outputs.dtype)
        return outputs

    def _logits_kernel(self):
        if self._options.tied:
            return tf.transpose(self.embedding)
        return self.kernel

    def step_weights(self) -> tuple:
        """Returns weights made ready for many calls of `step`, in a loop.

        Empty where a cell is not one of ours, and makes its steps as it does.
        """
        if not all(isinstance(cell, kernels.Columns) for cell in self.cells):
            return ()
        first, *others = self.cells
        layers = [first.step_weights(True, self.embedding)]
        layers += [cell.step_weights(False) for cell in others]
        return *layers, tf.transpose(self._logits_kernel())

    def step(
        self, ids: tf.Tensor, state: tuple, weights: tuple = ()
    ) -> tuple[tf.Tensor, tuple]:
        """Predicts the next character from one: a step of the loop that writes.

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
        x = cells.lookup(ids, self.embedding, self.vocab_size)
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

    def _seed(self, training):
        """Returns the seed of a call, or None where nothing is random."""
        options = self._options
        penalized = options.activation_penalty or options.slowness_penalty
        if training is False or not (self._dropout or penalized):
            return None
        if training is True:
            return tf.random.uniform([2], maxval=2**31 - 1, dtype=tf.int32)
        return training

    def _drop(self, x, name, seed, layer):
        rate = getattr(self._dropout, name)
        if seed is None or not rate:
            return x
        seed = tf.random.experimental.stateless_fold_in(seed, layer)
        return regularization.drop(x, rate, seed, locked=self._dropout.locked)


class _Norm(tf.Module):
    """Layer normalisation of columns [U, ...]; Ba et al., arXiv 1607.06450."""

    def __init__(self, units):
        super().__init__()
        self.scale = tf.Variable(tf.ones([units]), name='scale')
        self.shift = tf.Variable(tf.zeros([units]), name='bias')

    def __call__(self, x):
        return self._normalize(
            x,
            tf.convert_to_tensor(self.scale),
            tf.convert_to_tensor(self.shift),
        )

    @tf.function(autograph=False, jit_compile=True)
    def _normalize(self, x, scale, shift):
        wide = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(wide, 0, keepdims=True)
        shape = [-1] + [1] * (len(x.shape) - 1)
        scale, shift = tf.reshape(scale, shape), tf.reshape(shift, shape)
        wide = (wide - mean) * tf.math.rsqrt(variance + 1e-5)
        return tf.cast(wide * scale + shift, x.dtype)


def _fold_in(seed, count):
    """Makes `count` seeds of one."""
    fold_in = tf.random.experimental.stateless_fold_in
    return [fold_in(seed, i) for i in range(count)]


def _drop_rows(embedding, rate, seed):
    if not rate:
        return embedding
    ones = tf.ones([embedding.shape[0], 1])
    return embedding * regularization.drop(ones, rate, seed)


def _given(options) -> dict[str, Any]:
    """Returns the options that are on, JSON-able."""
    return {k: v for k, v in vars(options).items() if v}


def _chain_sizes(batch_size: int | None) -> list[int]:
    """Cuts the rows of a batch in halves, where there are enough of them."""
    if batch_size is None or batch_size < NUM_CHAINS:
        return [batch_size]
    half = batch_size // NUM_CHAINS
    return [half, batch_size - half]


def _split(state, sizes):
    parts = [tf.split(tensor, sizes) for tensor in tf.nest.flatten(state)]
    return [
        tf.nest.pack_sequence_as(state, part)
        for part in zip(*parts, strict=True)
    ]


def _cell_name(cell: type[cells.RNNCell]) -> str:
    ours = {known: name for name, known in CELLS.items()}
    return ours.get(cell, cell.__name__)


def _cell_class(cell) -> type[cells.RNNCell]:
    if isinstance(cell, str) and cell in CELLS:
        return CELLS[cell]
    if isinstance(cell, type) and issubclass(cell, cells.RNNCell):
        return cell
    raise ValueError(
        f'`cell` is {cell!r}, but must be one of {", ".join(CELLS)}, or a '
        'subclass of `tfcharrnn.RNNCell`. For a model with a cell of your '
        'own, pass its class.'
    )


def _check(config: dict[str, Any], dropout: regularization.Dropout) -> None:
    for name in ('vocab_size', 'embedding_dim', 'rnn_units', 'num_layers'):
        value = config[name]
        if value is None and name == 'embedding_dim':
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(
                f'`{name}` is {value!r}, but must be a whole number of at '
                'least 1.'
            )
    if config['embedding_dim'] is None and (dropout.rows or dropout.embedding):
        raise ValueError(
            'There is a dropout of `rows` or `embedding`, but `embedding_dim` '
            'is None: there is no embedding. Leave one of the two out.'
        )
    if config.get('tied') and config['embedding_dim'] != config['rnn_units']:
        raise ValueError(
            f'`embedding_dim` is {config["embedding_dim"]} and `rnn_units` is '
            f'{config["rnn_units"]}, but with `tied` they must be the same.'
        )
    for name in ('activation_penalty', 'slowness_penalty'):
        if not 0.0 <= config.get(name, 0.0) < math.inf:
            raise ValueError(
                f'`{name}` is {config[name]!r}, but must be 0 or more.'
            )
    if config['compute_dtype'] not in ('float32', 'bfloat16'):
        raise ValueError(
            f'`compute_dtype` is {config["compute_dtype"]!r}, but must be '
            "'float32' or 'bfloat16'."
        )
