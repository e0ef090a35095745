"""Recurrent cells, each written as the one step that its equations state.

These are the definitions. The GRU, LSTM and MinGRU in `gates` compute the same
faster, and are tested against the steps and the loop in this module.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

State = Any  # A tensor [B, U], or a nested tuple of them.


class RNNCell(tf.Module):
    """A recurrent cell: one step that maps an input and a state to the next.

        outputs, state = cell(inputs, state)              # one step
        outputs, state = cell.unroll(sequence, state)     # a loop of steps

    A new cell is a subclass with its variables and its step; everything else
    here works with any step. This one counts the characters that it has seen:

        >>> class Counter(RNNCell):
        ...     def __call__(self, inputs, state):
        ...         state = state + 1.0
        ...         return state, state
        >>> cell = Counter(input_size=3, units=1)
        >>> outputs, _ = cell.unroll(tf.zeros([1, 4, 3]), cell.initial_state(1))
        >>> outputs[0, :, 0].numpy().tolist()
        [1.0, 2.0, 3.0, 4.0]

    Attributes:
        input_size: Features of each input.
        units: Features of each output, U.
        compute_dtype: The type of the operands of matrix products, in cells
            that support a reduced one. Variables, gates and states are always
            float32. The model sets it.
    """

    compute_dtype = tf.float32

    def __init__(self, input_size: int, units: int):
        """Stores the sizes; a subclass adds its variables.

        Args:
            input_size: Features of each input, I.
            units: Features of each output, U.
        """
        super().__init__()
        self.input_size = input_size
        self.units = units

    def __call__(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes one step.

        Args:
            inputs: [B, I].
            state: As `initial_state` returns it.

        Returns:
            The outputs [B, U] and the next state.
        """
        raise NotImplementedError(
            f'{type(self).__name__} must define one step: '
            '`__call__(self, inputs, state)` returning `outputs, state`.'
        )

    def seen(
        self, inputs: tf.Tensor, h: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what the weights of a step multiply.

        Args:
            inputs: [B, I].
            h: [B, U], the state, or the part of it that is multiplied.

        Returns:
            Both, the state through the `state_mask` of a cell that has one.
        """
        return inputs, masked(h, getattr(self, 'state_mask', None))

    def trace(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[dict[str, tf.Tensor], State]:
        """Makes one step, and names what can be seen inside of it.

        A cell of your own may override it to show more than its outputs.

            >>> values, _ = GRU(3, 4).trace(tf.zeros([1, 3]), tf.zeros([1, 4]))
            >>> list(values)
            ['state', 'update', 'reset', 'candidate']

        Args:
            inputs: [B, I].
            state: As `initial_state` returns it.

        Returns:
            Tensors [B, U] by name, 'state' first: the outputs. And the next
            state.
        """
        outputs, state = self(inputs, state)
        return {'state': outputs}, state

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Returns the zero state: [B, U] float32, unless a subclass differs."""
        return tf.zeros([batch_size, self.units])

    def unroll(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes a step for each position of a sequence, in a graph loop.

        Args:
            inputs: [B, T, I].
            state: The state before the first position.

        Returns:
            The outputs [B, T, U] and the state after the last position.
        """
        sequence = tf.transpose(inputs, [1, 0, 2])
        length = tf.shape(sequence)[0]
        shape = [inputs.shape[0], self.units]
        outputs = tf.TensorArray(tf.float32, length, element_shape=shape)

        def body(t, state, outputs):
            output, state = self(sequence[t], state)
            return t + 1, state, outputs.write(t, output)

        _, state, outputs = tf.while_loop(
            lambda t, *_: t < length, body, (0, state, outputs)
        )
        outputs = tf.transpose(outputs.stack(), [1, 0, 2])
        outputs.set_shape([*inputs.shape[:2], self.units])
        return outputs, state

    def unroll_columns(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Unrolls in the layout that layers pass to each other: columns.

        Args:
            inputs: [I, T, B].
            state: The state before the first position, rows as everywhere.

        Returns:
            The outputs [U, T, B] and the state after the last position.
        """
        rows = tf.cast(tf.transpose(inputs, [2, 1, 0]), tf.float32)
        outputs, state = self.unroll(rows, state)
        return tf.transpose(outputs, [2, 1, 0]), state

    def unroll_ids(
        self, ids: tf.Tensor, embedding: tf.Tensor | None, state: State
    ) -> tuple[tf.Tensor, State]:
        """Unrolls over characters: each id stands for its row of `embedding`.

        Args:
            ids: [B, T] integers below V.
            embedding: [V, I]; None for one-hot inputs, where I is V.
            state: The state before the first position.

        Returns:
            The outputs in columns, [U, T, B], and the state after the last
            position.
        """
        outputs, state = self.unroll(
            embed(ids, embedding, self.input_size), state
        )
        return tf.transpose(outputs, [2, 1, 0]), state

    def _variable(
        self, name: str, shape: list[int], initializer
    ) -> tf.Variable:
        return tf.Variable(initializer(shape), name=name)

    def _product(self, inputs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Multiplies with operands of `compute_dtype`, into float32."""
        dtype = self.compute_dtype
        product = tf.matmul(tf.cast(inputs, dtype), tf.cast(weights, dtype))
        return tf.cast(product, tf.float32)


def masked(state: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    """Returns what a cell's recurrent weights multiply."""
    return state if mask is None else state * mask


def embed(ids: tf.Tensor, embedding: tf.Tensor | None, depth: int) -> tf.Tensor:
    """Returns the rows of `embedding`, or one-hot rows of size `depth`."""
    if embedding is None:
        return tf.one_hot(ids, depth)
    return tf.gather(embedding, ids)


class VanillaRNN(RNNCell):
    """The simple recurrent cell (Elman 1990), with tanh.

        h' = tanh(x W + h U + b)

    Weights have the names and shapes of `tf.keras.layers.SimpleRNN`:
    `kernel` [I, U], `recurrent_kernel` [U, U], `bias` [U].

        >>> cell = VanillaRNN(input_size=3, units=4)
        >>> outputs, state = cell(tf.zeros([2, 3]), cell.initial_state(2))
        >>> outputs.shape
        TensorShape([2, 4])

    Reference: Elman, "Finding Structure in Time", Cognitive Science 14, 1990.
    """

    state_mask: tf.Tensor | None = None

    def __init__(self, input_size: int, units: int):
        """Makes the weights, new and random; see the class."""
        super().__init__(input_size, units)
        make = self._variable
        self.kernel = make('kernel', [input_size, units], glorot)
        self.recurrent_kernel = make(
            'recurrent_kernel', [units, units], _orthogonal
        )
        self.bias = make('bias', [units], tf.zeros)

    def __call__(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes one step: inputs [B, I] and state [B, U] to both [B, U]."""
        x, h = self.seen(inputs, state)
        state = tf.tanh(
            self._product(x, self.kernel)
            + self._product(h, self.recurrent_kernel)
            + self.bias
        )
        return state, state


class GRU(RNNCell):
    """The gated recurrent unit, with the reset gate after the product.

        z, r = sigmoid(x Wz + bz + h Uz + cz), sigmoid(x Wr + br + h Ur + cr)
        h~   = tanh(x Wh + bh + r * (h Uh + ch))
        h'   = z * h + (1 - z) * h~

    This is the variant of cuDNN and of `tf.keras.layers.GRU(reset_after=True)`;
    weights have its names and shapes, so they move between the two:
    `kernel` [I, 3U], `recurrent_kernel` [U, 3U] and `bias` [2, 3U] (b and c),
    gates in the order z, r, h.

        >>> cell = GRU(input_size=256, units=1024)
        >>> int(sum(tf.size(v) for v in cell.trainable_variables))
        3938304

    Reference: Cho et al., arXiv 1406.1078.
    """

    state_mask: tf.Tensor | None = None

    def __init__(self, input_size: int, units: int):
        """Makes the weights, new and random; see the class."""
        super().__init__(input_size, units)
        make = self._variable
        self.kernel = make('kernel', [input_size, 3 * units], glorot)
        self.recurrent_kernel = make(
            'recurrent_kernel', [units, 3 * units], _orthogonal
        )
        self.bias = make('bias', [2, 3 * units], tf.zeros)

    def __call__(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes one step: inputs [B, I] and state [B, U] to both [B, U]."""
        _, state = self.trace(inputs, state)
        return state, state

    def trace(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[dict[str, tf.Tensor], State]:
        """Makes one step; names the state, z, r and h~ [B, U]."""
        x, h = self.seen(inputs, state)
        x = self._product(x, self.kernel) + self.bias[0]
        h = self._product(h, self.recurrent_kernel) + self.bias[1]
        x_z, x_r, x_h = tf.split(x, 3, axis=-1)
        h_z, h_r, h_h = tf.split(h, 3, axis=-1)
        update = tf.sigmoid(x_z + h_z)
        reset = tf.sigmoid(x_r + h_r)
        candidate = tf.tanh(x_h + reset * h_h)
        state = update * state + (1.0 - update) * candidate
        values = {
            'state': state,
            'update': update,
            'reset': reset,
            'candidate': candidate,
        }
        return values, state


class LSTM(RNNCell):
    """Long short-term memory, with one bias and a forget gate that starts open.

        i, f, o = sigmoid(x Wi + h Ui + bi), sigmoid(... f), sigmoid(... o)
        c' = f * c + i * tanh(x Wg + h Ug + bg)
        h' = o * tanh(c')

    Weights have the names and shapes of `tf.keras.layers.LSTM`: `kernel`
    [I, 4U], `recurrent_kernel` [U, 4U], `bias` [4U], gates in the order
    i, f, g, o. The state is the tuple (h, c).

        >>> cell = LSTM(input_size=57, units=128)
        >>> int(sum(tf.size(v) for v in cell.trainable_variables))
        95232

    References: Hochreiter and Schmidhuber, Neural Computation 9(8), 1997;
    a forget bias of one: Jozefowicz et al., ICML 2015.
    """

    state_mask: tf.Tensor | None = None

    def __init__(self, input_size: int, units: int):
        """Makes the weights, new and random; see the class."""
        super().__init__(input_size, units)
        make = self._variable
        self.kernel = make('kernel', [input_size, 4 * units], glorot)
        self.recurrent_kernel = make(
            'recurrent_kernel', [units, 4 * units], _orthogonal
        )
        self.bias = make('bias', [4 * units], _open_forget_gate)

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Returns zeros for h and c, each [B, U] float32."""
        zeros = tf.zeros([batch_size, self.units])
        return zeros, zeros

    def __call__(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes one step: inputs [B, I], state (h, c), to [B, U] and (h, c)."""
        values, state = self.trace(inputs, state)
        return values['state'], state

    def trace(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[dict[str, tf.Tensor], State]:
        """Makes one step; names h, c, i, f, o and g [B, U]."""
        h, c = state
        x, h = self.seen(inputs, h)
        gates = (
            self._product(x, self.kernel)
            + self._product(h, self.recurrent_kernel)
            + self.bias
        )
        i, f, g, o = tf.split(gates, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * c + i * g
        h = o * tf.tanh(c)
        values = {
            'state': h,
            'cell': c,
            'input': i,
            'forget': f,
            'output': o,
            'candidate': g,
        }
        return values, (h, c)


class MinGRU(RNNCell):
    """A GRU whose gates do not look at the state: a running average.

        z  = sigmoid(x Wz + bz)
        h' = (1 - z) * h + z * (x Wh + bh)

    No weights multiply the state. One product serves all steps, and the loop
    is left with a multiplication and an addition for each unit. Weights:
    `kernel` [I, 2U] and `bias` [2U], in the order z, h.

        >>> cell = MinGRU(input_size=3, units=4)
        >>> outputs, state = cell(tf.zeros([2, 3]), cell.initial_state(2))
        >>> outputs.shape
        TensorShape([2, 4])

    Reference: Feng et al., "Were RNNs All We Needed?", arXiv 2410.01201.
    """

    def __init__(self, input_size: int, units: int):
        """Makes the weights, new and random; see the class."""
        super().__init__(input_size, units)
        make = self._variable
        self.kernel = make('kernel', [input_size, 2 * units], glorot)
        self.bias = make('bias', [2 * units], tf.zeros)

    def __call__(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[tf.Tensor, State]:
        """Makes one step: inputs [B, I] and state [B, U] to both [B, U]."""
        _, state = self.trace(inputs, state)
        return state, state

    def trace(
        self, inputs: tf.Tensor, state: State
    ) -> tuple[dict[str, tf.Tensor], State]:
        """Makes one step; names the state, z and what it moves towards."""
        x = self._product(inputs, self.kernel) + self.bias
        z, candidate = tf.split(x, 2, axis=-1)
        z = tf.sigmoid(z)
        state = (1.0 - z) * state + z * candidate
        return {'state': state, 'update': z, 'candidate': candidate}, state


def glorot(shape: list[int]) -> tf.Tensor:
    """Uniform within sqrt(6 / (fan_in + fan_out)), as in Keras."""
    limit = (6.0 / sum(shape)) ** 0.5
    return tf.random.uniform(shape, -limit, limit)


def _orthogonal(shape: list[int]) -> tf.Tensor:
    """Rows that are orthonormal (Saxe et al., arXiv 1312.6120)."""
    # Keras ignores `tf.random.set_seed`, which is to govern all initial
    # weights, so its seed is drawn from TensorFlow's generator.
    if not tf.executing_eagerly():  # In a graph, the seed has no value yet.
        return tf.keras.initializers.Orthogonal()(shape)
    seed = tf.random.uniform([], maxval=2**31 - 1, dtype=tf.int32)
    return tf.keras.initializers.Orthogonal(seed=int(seed))(shape)


def _open_forget_gate(shape: list[int]) -> tf.Tensor:
    units = shape[0] // 4
    return tf.concat([tf.zeros(units), tf.ones(units), tf.zeros(2 * units)], 0)
