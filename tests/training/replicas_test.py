import concurrent.futures
import functools
import math
import multiprocessing
import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn.nn.char_rnn import CharRNN
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.evaluator import Evaluator
from tfcharrnn.training.objectives import Distillation
from tfcharrnn.training.replicas import replica_id
from tfcharrnn.training.trainer import Trainer

CHARACTERS = Vocabulary('abcde')
CLIP_NORM = 0.1


class IdleVariable(toys.FrequencyModel):
    def __init__(self):
        super().__init__()
        self.idle = tf.Variable(tf.zeros([2]))


MODELS = {
    'frequencies': toys.FrequencyModel,
    'idle_variable': IdleVariable,
    'vanilla': lambda: CharRNN(toys.VOCAB, 3, 4, cell='vanilla'),
}
DATASETS = {
    'streams': lambda: toys.streams(length=75),
    'uneven': toys.random_batches,
    'three_rows': lambda: toys.streams(batch_size=3),
}


def make_devices():
    """Makes two devices of the processor; before TensorFlow starts only."""
    [processor] = tf.config.list_physical_devices('CPU')
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )


@functools.cache  # The collectives of two strategies get in each other's way.
def strategy(replicas):
    if replicas == 1:
        return tf.distribute.get_strategy()
    if replicas == 'one_device':
        return tf.distribute.MirroredStrategy(['CPU:0'])
    devices = [f'CPU:{i}' for i in range(replicas)]
    return tf.distribute.MirroredStrategy(devices)


def make(replicas, name, kind=Trainer, **options):
    tf.random.set_seed(0)  # The averages begin with the first weights.
    with strategy(replicas).scope():
        made = kind(
            MODELS[name](),
            tf.keras.optimizers.SGD(0.5, momentum=0.9),
            clip_norm=CLIP_NORM,
            **options,
        )
    rng = np.random.default_rng(0)
    for variable in made.model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return made


def results(trained, dataset, steps):
    recorder = toys.Recorder(steps=2)
    trained.train(dataset, steps, [recorder])
    valid = toys.streams(length=51, batch_size=2)
    return {
        **toys.snapshot(trained),
        'calls': recorder.calls,
        'evaluation': trained.evaluate(valid),
    }


def train(replicas, name, dataset):
    trained = make(replicas, name, average=0.9)
    return results(trained, DATASETS[dataset](), steps=5)


def distill(replicas):
    """Does the same with a teacher, whose state is shared out, too."""
    with strategy(replicas).scope():
        model, teacher = toys.FrequencyModel(), toys.FrequencyModel()
        trained = Trainer(
            model,
            tf.keras.optimizers.SGD(0.5, momentum=0.9),
            objective=Distillation(model, teacher),
        )
    rng = np.random.default_rng(0)
    for variable in (*model.variables, *teacher.variables):
        variable.assign(rng.normal(size=variable.shape))
    return results(trained, DATASETS['uneven'](), steps=5)


class PoisonedLoss(Trainer):
    """At step 5, the loss of one replica is NaN; its gradient is finite."""

    def compute_loss(self, batch, state, training):
        pairs, state = super().compute_loss(batch, state, training)
        total, count = pairs['loss']
        poisoned = tf.equal(self.step_variable, 4) & tf.equal(replica_id(), 0)
        total = tf.where(poisoned, math.nan, total)
        return {**pairs, 'loss': (total, count)}, state


class PoisonedGradient(Trainer):
    """At step 5, the gradient of one replica is infinite."""

    def compute_gradients(self, batch, state):
        pairs, gradients, state = super().compute_gradients(batch, state)
        is_last = tf.equal(replica_id(), self.replicas.count - 1)
        poisoned = tf.equal(self.step_variable, 4) & is_last
        gradients[0] = tf.where(poisoned, math.inf, gradients[0])
        return pairs, gradients, state


class OwnStep(PoisonedLoss):
    def train_step(self, batch, state):
        pairs, gradients, state = self.compute_gradients(batch, state)
        norm = self.apply_gradients(gradients)
        return {**pairs, 'norm': (norm, 1.0)}, state


def train_not_finite(replicas, kind, steps_per_loop):
    """Returns what is there after four steps, and after an error in the next.

    And the messages of the errors.
    """
    snapshots, messages = [], []
    for stop in (4, 20):
        trained = make(
            replicas,
            'frequencies',
            kind,
            average=0.9,
            steps_per_loop=steps_per_loop,
        )
        dataset, recorder = toys.streams(), toys.Recorder(steps=10)
        try:
            trained.train(dataset, stop, [recorder])
        except FloatingPointError as error:
            messages.append(str(error))
        snapshots.append(toys.snapshot(trained))
    return snapshots, messages


def evaluate(replicas):
    """Returns what a trainer measures, and what an evaluator does."""
    trained = make(replicas, 'frequencies')
    with strategy(replicas).scope():
        evaluator = Evaluator(trained.model)
    dataset = toys.random_batches()
    return trained.evaluate(dataset), evaluator.evaluate(dataset)


def train_in_turns(*replicas):
    """Goes on with other numbers of replicas by way of checkpoints."""
    dataset = DATASETS['uneven']()
    with tempfile.TemporaryDirectory() as model_dir:
        for index, number in enumerate(replicas):
            trained = make(number, 'frequencies')
            checkpointer = Checkpointer(model_dir, trained, CHARACTERS)
            checkpointer.restore()
            result = results(trained, dataset, steps=3 * index + 3)
            checkpointer.save()
    return result


class ReplicasTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.child = concurrent.futures.ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context('spawn'),
            initializer=make_devices,
        )
        cls.addClassCleanup(cls.child.shutdown)

    def in_child(self, function, *args):
        return self.child.submit(function, *args).result()

    def assert_close(self, actual, expected):
        def compare(x, y):
            if x is None:
                self.assertIsNone(y)
            else:
                self.assertAllClose(x, y, rtol=1e-6, atol=1e-6)

        tf.nest.map_structure(compare, actual, expected)

    @parameterized.parameters(
        ('frequencies', 'streams'),
        ('frequencies', 'uneven'),
        ('idle_variable', 'uneven'),
        ('vanilla', 'streams'),
    )
    def test_two_with_half_of_the_rows_equal_one(self, name, dataset):
        one, two = (
            self.in_child(train, replicas, name, dataset) for replicas in (1, 2)
        )
        _, metrics = one['calls'][-1]
        self.assertGreater(metrics['gradient_norm'], CLIP_NORM)
        self.assert_close(two, one)

    def test_two_with_a_teacher_equal_one(self):
        one, two = (self.in_child(distill, replicas) for replicas in (1, 2))
        self.assertLen(one['state'], 4)
        self.assert_close(two, one)

    def test_go_on_from_a_checkpoint_of_another_number(self):
        one = self.in_child(train_in_turns, 1, 1, 1)
        mixed = self.in_child(train_in_turns, 2, 1, 2)
        self.assert_close(mixed, one)

    def test_a_strategy_of_one_device_trains_as_without(self):
        one, strategy_of_one = (
            self.in_child(train, replicas, 'frequencies', 'uneven')
            for replicas in (1, 'one_device')
        )
        self.assert_close(strategy_of_one, one)

    @parameterized.product(
        replicas=('one_device', 2),
        kind=(PoisonedLoss, PoisonedGradient, OwnStep),
    )
    def test_a_step_that_is_not_finite_leaves_all_as_it_was(
        self, replicas, kind
    ):
        for steps_per_loop in (1, 50):
            snapshots, messages = self.in_child(
                train_not_finite, replicas, kind, steps_per_loop
            )
            toys.assert_same(*snapshots)
            [message] = messages
            self.assertRegex(
                message, 'became (nan|inf) at step 5.* those of step 4'
            )

    def test_an_evaluator_needs_no_trainer(self):
        results = [self.in_child(evaluate, replicas) for replicas in (1, 2)]
        for ours, theirs in results:
            self.assertEqual(ours, theirs)
        self.assert_close(*results)

    def test_rows_that_cannot_be_shared_out_are_refused(self):
        with self.assertRaisesRegex(ValueError, '3 rows.*2 replicas'):
            self.in_child(train, 2, 'frequencies', 'three_rows')


if __name__ == '__main__':
    tf.test.main()
