from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn.generation import reading, strips, writer

CHARS = 'abcdefgh'


class Reader:
    """Makes a `read` of a step, and counts the characters that it reads."""

    def __init__(self, step):
        self.step = step
        self.num_read = 0

    def __call__(self, ids, state):
        scores = []
        for column in ids.T[:-1]:
            score, state = self.step(column, state)
            scores.append(score)
        self.num_read += ids[:, :-1].size
        return np.stack(scores, axis=1), state

    def one_by_one(self, ids, state):
        return self(ids[None], [tensor[:1] for tensor in state])[0][0]


def count(ids, state):
    """Never forgets."""
    return state[0] + ids, [state[0] + 1.0]


def average(ids, state):
    """Forgets at a steady pace."""
    mean = 0.5 * state[0] + ids
    return mean, [mean]


def restart(ids, state):
    """Remembers everything, until it reads a zero."""
    number = np.where(ids == 0, 0, state[0] + 1)
    return number.astype(float), [number]


def remember(ids, state):
    """Keeps the first character for ever, and the last one."""
    first, last = state
    first = np.where(first < 0, ids, first)
    return first * 100.0 + last, [first, ids.astype(float)]


def zero_state(step, num_strips):
    if step is remember:
        return [np.full([num_strips], -1.0), np.zeros([num_strips])]
    return [np.zeros([num_strips], int if step is restart else float)]


def random_ids(length, seed=0):
    return np.random.default_rng(seed).integers(30, size=length)


class StripsTest(parameterized.TestCase):
    @parameterized.product(
        step=(count, average, restart, remember),
        length=(2, 3, 100, 1000, 1001),
        num_strips=(1, 2, 7),
        piece=(1, 5, 64),
    )
    def test_scores_are_those_of_one_row(self, step, length, num_strips, piece):
        ids = random_ids(length)
        state = zero_state(step, num_strips)
        scores = strips.score(Reader(step), state, ids, piece=piece)
        expected = Reader(step).one_by_one(ids, state)
        self.assertEqual(scores.dtype, np.float32)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-2)

    @parameterized.parameters(count, average, restart, remember)
    def test_sections_go_on_from_each_other(self, step):
        ids = random_ids(1000)
        state = zero_state(step, 4)
        with mock.patch.object(strips, '_MAX_PIECES', 3):
            scores = strips.score(Reader(step), state, ids, piece=5)
        expected = Reader(step).one_by_one(ids, state)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-2)

    def test_of_no_character_is_empty(self):
        state = zero_state(count, 4)
        scores = strips.score(Reader(count), state, random_ids(1), piece=5)
        self.assertEqual(scores.shape, (0,))

    def test_a_model_that_forgets_reads_little_twice(self):
        reader = Reader(average)
        strips.score(reader, zero_state(average, 8), random_ids(8001), piece=10)
        self.assertLess(reader.num_read, 8000 * 1.05)

    def test_what_fills_up_the_last_strips_does_not_count(self):
        def hold(ids, state):  # Forgets, but not while it reads zeros.
            share = np.where(ids == 0, 1.0, 0.5)
            mean = share * state[0] + ids
            return mean, [mean]

        reader = Reader(hold)
        ids = 1 + random_ids(6002)
        state = [np.zeros([8])]
        scores = strips.score(reader, state, ids, piece=100)
        self.assertLess(reader.num_read, 6400 * 1.2)
        expected = Reader(hold).one_by_one(ids, state)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-2)

    def test_a_model_that_never_forgets_reads_each_strip_again(self):
        reader = Reader(count)
        strips.score(reader, zero_state(count, 8), random_ids(8001), piece=10)
        rounds = 1 + strips._MAX_ROUNDS
        self.assertLess(reader.num_read, 8000 * (rounds + 1))

    @parameterized.parameters(*range(10))
    def test_a_model_that_sometimes_forgets(self, seed):
        # Zeros are rare, so some strips have none.
        ids = np.where(random_ids(2000, seed) + random_ids(2000, 99) < 4, 0, 1)
        state = zero_state(restart, 16)
        scores = strips.score(Reader(restart), state, ids, piece=10)
        np.testing.assert_array_equal(
            scores, Reader(restart).one_by_one(ids, state)
        )


class CounterCell(tfcharrnn.RNNCell):
    """Never forgets."""

    def __call__(self, inputs, state):
        state = state + 1.0
        return tf.sin(state), state


class Seen:
    """A model of a user's own, whose state counts in integers."""

    vocab_size = len(CHARS)

    def initial_state(self, batch_size):
        return {'seen': tf.zeros([batch_size], tf.int32)}

    def __call__(self, inputs, state):
        steps = tf.cumsum(tf.ones_like(inputs), axis=1)
        seen = state['seen'][:, tf.newaxis] + steps
        logits = tf.one_hot(seen % self.vocab_size, self.vocab_size)
        return logits, {'seen': seen[:, -1]}

    def step(self, ids, state):
        logits, state = self(ids[:, tf.newaxis], state)
        return logits[:, 0], state


def model_of(**config):
    model = tfcharrnn.CharRNN(len(CHARS), 8, 16, **config)
    for number, variable in enumerate(model.trainable_variables):
        values = tf.random.stateless_normal(variable.shape, [1, number])
        variable.assign(0.5 * values)
    return model


class ScoreTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        for name, value in {
            '_NUM_STRIPS': (8, 4), '_MIN_STRIP': 32, '_STRIP_PIECE': 16
        }.items():  # fmt: skip
            self.enter_context(mock.patch.object(reading, name, value))

    @parameterized.parameters(
        {},
        {'cell': 'lstm', 'num_layers': 2},
        {'cell': 'mingru', 'layer_norm': True},
        {'cell': 'vanilla'},
        {'compute_dtype': 'bfloat16'},
        {'cell': CounterCell},
    )
    def test_of_a_long_text_is_that_of_reading_it_from_its_start(
        self, **config
    ):
        self.check(model_of(**config), 1e-4)

    @parameterized.parameters(100, 1000)
    def test_of_a_model_in_bfloat16_is_in_float32(self, length):
        model = model_of(compute_dtype='bfloat16')
        twin = model_of()
        ids = np.random.default_rng(0).integers(8, size=length)
        self.assertAllEqual(
            writer.Writer(model).score(ids), writer.Writer(twin).score(ids)
        )
        self.assertEqual(model.cells[0].compute_dtype, tf.bfloat16)
        self.assertLen(model.variables, len(twin.variables))

    def test_of_a_model_of_a_users_own(self):
        self.check(Seen(), 1e-6)

    def test_pieces_are_shorter_where_there_are_many_logits(self):
        with mock.patch.object(reading, '_MAX_LOGITS', 100):
            self.check(model_of(), 1e-4)

    def check(self, model, bound):
        reader = reading.Reader(model)
        for length in (120, 130, 200, 300, 1000):
            ids = np.random.default_rng(length).integers(8, size=length)
            with mock.patch.object(
                strips, 'score', wraps=strips.score
            ) as score:
                scores = reader.score(ids)
            self.assertEqual(score.called, length > 4 * 32)
            expected, _ = reader.read(ids)
            self.assertAllClose(scores, expected, rtol=0, atol=bound)


if __name__ == '__main__':
    tf.test.main()
