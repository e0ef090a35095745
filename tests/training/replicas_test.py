import concurrent.futures
import functools
import multiprocessing
import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import checkpoints, model, trainer
from tfcharrnn.text.vocabulary import Vocabulary

CHARACTERS = Vocabulary('abcde')
CLIP_NORM = 0.1


class IdleVariable(toys.FrequencyModel):
    def __init__(self):
        super().__init__()
        self.idle = tf.Variable(tf.zeros([2]))


MODELS = {
    'frequencies': toys.FrequencyModel,
    'idle_variable': IdleVariable,
    'vanilla': lambda: model.CharRNN(toys.VOCAB, 3, 4, cell='vanilla'),
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
    devices = [f'CPU:{i}' for i in range(replicas)]
    return tf.distribute.MirroredStrategy(devices)


def make(replicas, name):
    with strategy(replicas).scope():
        made = trainer.Trainer(
            MODELS[name](),
            tf.keras.optimizers.SGD(0.5, momentum=0.9),
            clip_norm=CLIP_NORM,
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
    return results(make(replicas, name), DATASETS[dataset](), steps=5)


def train_in_turns(*replicas):
    """Goes on with other numbers of replicas by way of checkpoints."""
    dataset = DATASETS['uneven']()
    with tempfile.TemporaryDirectory() as model_dir:
        for index, number in enumerate(replicas):
            trained = make(number, 'frequencies')
            checkpointer = checkpoints.Checkpointer(
                model_dir, trained, CHARACTERS
            )
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
        tf.nest.map_structure(
            lambda x, y: self.assertAllClose(x, y, rtol=1e-6, atol=1e-6),
            actual,
            expected,
        )

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

    def test_go_on_from_a_checkpoint_of_another_number(self):
        one = self.in_child(train_in_turns, 1, 1, 1)
        mixed = self.in_child(train_in_turns, 2, 1, 2)
        self.assert_close(mixed, one)

    def test_rows_that_cannot_be_shared_out_are_refused(self):
        with self.assertRaisesRegex(ValueError, '3 rows.*2 replicas'):
            self.in_child(train, 2, 'frequencies', 'three_rows')


if __name__ == '__main__':
    tf.test.main()
