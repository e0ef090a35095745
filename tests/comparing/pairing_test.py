import pathlib

import running_commands
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn.config import RunConfig
from tfcharrnn.running.run import Run

LESSONS = running_commands.ROOT / 'examples' / 'curricula' / 'lessons.py'
SMALL = {
    'batch_size': 4, 'rnn_units': 5, 'embedding_dim': 3, 'steps': 10,
    'precision': 'float32', 'corpus': 'play.txt',
}  # fmt: skip


class PairingTest(tf.test.TestCase, parameterized.TestCase):
    """Runs of one seed differ in nothing but what their variant changes."""

    def setUp(self):
        super().setUp()
        self.enter_context(running_commands.in_folder(self.get_temp_dir()))
        pathlib.Path('play.txt').write_text(running_commands.make_text())

    def begin(self, seed, **settings):
        """Returns the initial weights, and the first targets, of a run."""
        tf.random.set_seed(seed)  # As the command does.
        run = Run(RunConfig(seed=seed, **SMALL, **settings))
        batches = run.stages[-1].dataset.starting_at(0).take(3)
        weights = [v.numpy() for v in run.model.trainable_variables]
        return weights, [batch.targets.numpy() for batch in batches]

    @parameterized.parameters(
        {'learning_rate': 0.1},
        {'cell': 'gru', 'dropout': '0.2'},
        {'curriculum': 'easiest:rarity,competence=0.1@5'},
        {'curriculum': 'vocabulary:5@5,all'},
        {'curriculum': f'{LESSONS}:repetitive_first,end=5'},
    )
    def test_initial_weights_and_order_are_those_of_the_seed(self, **settings):
        weights, targets = self.begin(7, lines=True)
        same, order = self.begin(7, lines=True, **settings)
        other, disorder = self.begin(8, lines=True, **settings)
        for one, two, three in zip(weights, same, other, strict=True):
            self.assertAllEqual(one, two)
            if one.any():  # Biases begin at 0.
                self.assertNotAllClose(one, three)
        self.assertEqual(
            [t.tobytes() for t in targets], [t.tobytes() for t in order]
        )
        self.assertNotEqual(
            [t.tobytes() for t in targets], [t.tobytes() for t in disorder]
        )


if __name__ == '__main__':
    tf.test.main()
