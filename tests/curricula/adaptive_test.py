import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import curricula, data
from tfcharrnn.curricula.adaptive import SIGNALS, AdaptiveMixture
from tfcharrnn.curricula.stages import Stage
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.callbacks import every
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.record import Choices

V, RATE = 5, 0.5


class Bias(tf.Module):
    """Predicts the same whatever it reads: all is known in closed form."""

    def __init__(self):
        super().__init__()
        self.config = {'vocab_size': V}
        self.weights = tf.Variable(np.linspace(-1, 1, V, dtype=np.float32))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, 1])

    def __call__(self, inputs, state, training=False):
        shape = tf.concat([tf.shape(inputs), [V]], 0)
        return tf.broadcast_to(self.weights, shape), state


class InTurn:
    """A policy that takes the sources in turn, and keeps what it is told."""

    def __init__(self, order):
        self.order, self.told = order, []

    def begin(self, num_sources):
        return Choices(taken=[0] * num_sources, values=[0.0] * num_sources)

    def choose(self, choices, draw):
        return self.order[choices.number % len(self.order)]

    def update(self, choices, source, values):
        self.told.append((source, values))


def loss(weights, ids):
    """Returns the mean loss in nats, and its gradient."""
    probabilities = np.exp(weights) / np.exp(weights).sum()
    frequencies = np.bincount(ids, minlength=V) / len(ids)
    return -frequencies @ np.log(probabilities), probabilities - frequencies


def source(seed, length=97, batch_size=4):
    return data.sequences(
        toys.text(length, seed), 6, batch_size, shuffle=True, seed=seed
    )


def targets(batches, position):
    (batch,) = batches.starting_at(position).take(1)
    return batch.targets.numpy()[batch.mask.numpy()]


def make_trainer(rnn=None, **options):
    tf.random.set_seed(0)
    return toys.make_trainer(rnn, **options)


def small_sources():
    return [source(0), source(1), toys.random_batches()]


class GainTest(tf.test.TestCase, parameterized.TestCase):
    def rewards(self, gain, order=(0, 1, 1), steps=6):
        """Returns what a policy is told, and what it should have been."""
        sources, policy = [source(0), source(1)], InTurn(order)
        mixture = AdaptiveMixture(sources, policy, gain=gain, every=1, seed=0)
        trained = make_trainer(Bias(), optimizer=tf.keras.optimizers.SGD(RATE))
        trained.train(mixture, steps)
        weights = np.linspace(-1, 1, V, dtype=np.float32).astype(float)
        taken, expected = [0, 0], []
        for step in range(steps):
            chosen = order[step % len(order)]
            ids = targets(sources[chosen], taken[chosen])
            probe = {
                'self': (chosen, taken[chosen] + len(sources[chosen]) // 2),
                'target': (1, taken[chosen]),
            }.get(gain)
            measured = ids
            if probe is not None:
                measured = targets(sources[probe[0]], probe[1])
            taken[chosen] += 1
            before, gradient = loss(weights, measured)[0], loss(weights, ids)[1]
            weights = weights - RATE * gradient
            value = {
                'gradient': len(ids) * gradient @ gradient,
                'accuracy': np.mean(
                    ids == np.argmax(weights + RATE * gradient)
                ),
            }.get(gain, before - loss(weights, measured)[0])
            expected.append((chosen, value))
        return policy.told, expected

    @parameterized.parameters(*SIGNALS)
    def test_is_what_its_definition_says(self, gain):
        told, expected = self.rewards(gain)
        self.assertEqual([x for x, _ in told], [x for x, _ in expected])
        self.assertAllClose(
            [values for _, values in told],
            [[value] for _, value in expected],
            atol=1e-5,
        )

    def test_dropout_is_the_same_before_and_after(self):
        # Nothing is learnt, so a gain would come from other dropout alone.
        from tfcharrnn import CharRNN

        sources = [source(0), source(1)]
        for gain in ('prediction', 'self'):
            policy = InTurn([0, 1])
            trained = make_trainer(
                CharRNN(V, 4, 8, dropout='output:0.5'),
                optimizer=tf.keras.optimizers.SGD(0.0),
            )
            mixture = AdaptiveMixture(
                sources, policy, gain=gain, every=1, seed=0
            )
            trained.train(mixture, 4)
            self.assertAllClose(
                [values for _, values in policy.told], [[0]] * 4
            )

    def test_is_a_metric_beside_the_shares_of_the_sources(self):
        policy = InTurn([0, 1, 1, 1])
        mixture = AdaptiveMixture(
            [source(0), source(1)], policy, gain='prediction', every=1, seed=0
        )
        metrics = make_trainer().train(mixture, 8)
        self.assertEqual(
            (metrics['source_0'], metrics['source_1']), (0.25, 0.75)
        )
        told = [value for _, (value,) in policy.told]
        self.assertAllClose(metrics['gain'], np.mean(told))


class AdaptiveMixtureTest(tf.test.TestCase, parameterized.TestCase):
    def folder(self):
        return self.enter_context(tempfile.TemporaryDirectory())

    def test_each_source_is_read_on_where_it_stopped(self):
        sources, seen = small_sources(), []

        class Seeing(toys.Trainer):
            def train_step(self, batch, state):
                tf.py_function(
                    lambda *x: seen.append(data.Batch(*(y.numpy() for y in x))),
                    [*batch],
                    [],
                )
                return super().train_step(batch, state)

        order = [0, 2, 2, 1, 0, 0]
        mixture = AdaptiveMixture(
            sources, InTurn(order), gain='accuracy', every=2, seed=0
        )
        trained = make_trainer(kind=Seeing, steps_per_loop=4)
        trained.train(mixture, 14)
        order = [x for x in order for _ in range(2)] + [0, 0]
        taken, last = [0, 0, 0], None
        for number, batch in zip(order, seen, strict=True):
            (expected,) = sources[number].starting_at(taken[number]).take(1)
            taken[number] += 1
            for name in ('inputs', 'targets', 'mask'):
                self.assertAllEqual(
                    getattr(batch, name), getattr(expected, name)
                )
            reset = expected.reset.numpy() | (number != last)
            self.assertAllEqual(batch.reset, reset)
            last = number
        self.assertEqual(trained.record.place.choices.taken, taken)

    @parameterized.parameters(
        {'gain': 'prediction'}, {'gain': 'self', 'every': 3}, {'gain': 'target'}
    )
    def test_a_run_killed_at_random_continues_bit_for_bit(self, **options):
        def make():
            mixture = curricula.bandit(small_sources(), rate=0.5, **options)
            stages = [Stage(mixture)]
            if options['gain'] == 'target':
                stages.insert(0, Stage(source(3), 3))
            return make_trainer(steps_per_loop=4), stages

        undisturbed, stages = make()
        curricula.train(undisturbed, stages, 40)
        folder, step = self.folder(), 0
        kills = sorted(np.random.default_rng(0).choice(39, 3, False) + 1)
        for step in [*kills, 40]:
            trained, stages = make()
            saver = Checkpointer(folder, trained, Vocabulary('abcde'))
            saver.restore()
            # Some steps more, which are lost.
            callbacks = [every(int(step), saver)]
            curricula.train(
                trained, stages, min(step + 2, 40), callbacks=callbacks
            )
        toys.assert_same(toys.snapshot(trained), toys.snapshot(undisturbed))
        self.assertGreater(len(set(trained.record.place.choices.values)), 1)

    def test_the_source_that_can_be_learnt_is_found_among_noise(self):
        def text(seed):
            return np.random.default_rng(seed).integers(V, size=600)

        learnable = np.tile(text(9)[:V], 120)
        sources = [
            data.sequences(x, 6, 4, shuffle=True)
            for x in (text(0), learnable, text(1), text(2))
        ]
        trained = make_trainer(
            optimizer=tf.keras.optimizers.SGD(0.1), steps_per_loop=50
        )
        mixture = curricula.bandit(sources, gain='self', rate=0.3)
        metrics = trained.train(mixture, 250)
        taken = trained.record.place.choices.taken
        self.assertEqual(np.argmax(taken), 1)
        self.assertGreater(metrics['source_1'], 0.4)

    def test_where_nothing_is_learnt_all_sources_come_alike(self):
        trained = make_trainer(optimizer=tf.keras.optimizers.SGD(0.0))
        mixture = curricula.bandit(small_sources(), rate=0.5)
        metrics = trained.train(mixture, 300)
        for number in range(3):
            self.assertBetween(metrics[f'source_{number}'], 0.25, 0.42)

    def test_a_step_that_is_not_finite_is_no_choice(self):
        trained = make_trainer()
        mixture = curricula.bandit(small_sources())
        trained.train(mixture, 5)
        before = toys.snapshot(trained)
        table = trained.model.table.numpy()
        trained.model.table.assign(table * np.nan)
        with self.assertRaises(FloatingPointError):
            trained.train(mixture, 9)
        trained.model.table.assign(table)
        toys.assert_same(toys.snapshot(trained)['record'], before['record'])

    def test_it_is_for_a_dataset_and_the_plain_one_after_it(self):
        trained, plain = make_trainer(), source(3)
        stages = [Stage(curricula.bandit(small_sources()), 4), Stage(plain)]
        metrics = curricula.train(trained, stages, 8)
        self.assertNotIn('gain', metrics)
        self.assertIsNone(trained.record.place.choices)

    def test_several_replicas_are_refused(self):
        trained = make_trainer()
        trained.replicas.count = 2
        with self.assertRaisesRegex(ValueError, 'one device, but there are 2'):
            trained.train(curricula.bandit(small_sources()), 4)

    def test_a_record_of_other_sources_is_refused(self):
        trained = make_trainer()
        trained.train(curricula.bandit(small_sources()), 2)
        trained.dataset = None
        with self.assertRaisesRegex(ValueError, 'of 3 sources, but .* are 2'):
            trained.train(curricula.bandit(small_sources()[:2]), 4)

    @parameterized.parameters(
        ({'gain': 'luck'}, '`gain` is'),
        ({'gain': 'accuracy'}, '`gain` is'),
        ({'every': 0}, '`every` is 0'),
        ({'rate': -1}, '`rate` is -1'),
    )
    def test_refuses_what_is_out_of_range(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            curricula.bandit(small_sources(), **options)

    def test_sources_are_several_of_one_size(self):
        for some in ([source(0)], [source(0), source(1, batch_size=2)]):
            with self.assertRaisesRegex(ValueError, 'two sources or more'):
                curricula.bandit(some)


if __name__ == '__main__':
    tf.test.main()
