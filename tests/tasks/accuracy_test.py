import numpy as np
import tensorflow as tf
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import curricula, tasks


class ExamplesTest(tf.test.TestCase, parameterized.TestCase):
    def test_the_answer_alone_counts(self):
        task = tasks.addition(3)
        vocabulary = task.vocabulary
        batches = tasks.examples(task, 8, num_batches=5)
        for batch in batches.starting_at(0).take(3):
            self.assertAllEqual(batch.reset, [True] * 8)
            for inputs, targets, mask in zip(*batch[:3], strict=True):
                read = vocabulary.decode(inputs)
                read = read[: read.index('\n') + 1]
                answer = vocabulary.decode(targets[mask])
                one, other = map(int, read[6:-2].split('+'))
                self.assertEqual(answer, f'{one + other}.')
                self.assertEqual(int(tf.argmax(mask)), len(read) - 1)

    def test_a_batch_is_a_function_of_seed_and_position(self):
        def make(seed):
            task = tasks.program(2, 2)
            return tasks.examples(
                task, 4, num_batches=5, weights=[1, 1, 1, 1], seed=seed
            )

        whole = [b.targets for b in make(3).starting_at(0).take(12)]
        rest = [b.targets for b in make(3).starting_at(7).take(5)]
        for one, other in zip(whole[7:], rest, strict=True):
            self.assertAllEqual(one, other)
        first = next(iter(make(4))).targets
        self.assertNotEqual(first.numpy().tobytes(), whole[0].numpy().tobytes())

    def test_levels_come_in_proportion_to_the_weights(self):
        task = tasks.copy(3)
        batches = tasks.examples(task, 50, num_batches=20, weights=[0, 3, 1])
        sizes = tf.concat(
            [tf.reduce_sum(tf.cast(b.mask, tf.int32), 1) for b in batches], 0
        )
        counts = np.bincount(sizes, minlength=5)
        self.assertAllEqual(counts[:3], [0, 0, 0])
        self.assertAllClose(counts[3] / len(sizes), 0.75, atol=0.06)

    def test_number_of_targets_is_that_of_a_pass(self):
        batches = tasks.examples(tasks.copy(3), 8, num_batches=6)
        self.assertEqual(batches.num_chars, 6 * 8 * 4)
        self.assertLen(list(batches), 6)

    @parameterized.parameters(
        ({'weights': [1.0]}, 'weights.*3 numbers'),
        ({'weights': [0, 0, 0]}, 'not all of them 0'),
        ({'weights': [1, -1, 2]}, 'from 0 up'),
        ({'part': 'valid'}, '`part`'),
        ({'num_batches': 0}, '`num_batches`'),
    )
    def test_mistakes_are_explained(self, options, message):
        options = {'num_batches': 5, **options}
        with self.assertRaisesRegex(ValueError, message):
            tasks.examples(tasks.copy(3), 4, **options)


class AccuracyTest(tf.test.TestCase):
    @classmethod
    def setUpClass(cls):
        """Trains a model that can do a part of the task."""
        super().setUpClass()
        tf.keras.utils.set_random_seed(0)
        cls.task = tasks.reverse(3)
        cls.model = tfcharrnn.CharRNN(
            len(cls.task.vocabulary), embedding_dim=None, rnn_units=48
        )
        cls.trainer = tfcharrnn.Trainer(
            cls.model, tf.keras.optimizers.Adam(1e-2), clip_norm=1.0
        )
        stages = curricula.levels(
            'mix',
            lambda weights: tasks.examples(
                cls.task, 64, num_batches=50, weights=weights
            ),
            3,
        )
        every = tfcharrnn.callbacks.every
        called = tasks.Accuracies(cls.model, cls.task, num_batches=2)
        cls.metrics = curricula.train(
            cls.trainer, stages, 250, callbacks=[every(250, called)]
        )

    def write(self, given):
        """Writes the most probable text up to a full stop."""
        vocabulary, text = self.task.vocabulary, given
        while len(text) < len(given) + 9 and not text.endswith('.'):
            ids = tf.constant([vocabulary.encode(text).astype(np.int32)])
            logits, _ = self.model(ids, self.model.initial_state(1))
            text += vocabulary.decode([int(tf.argmax(logits[0, -1]))])
        return text.removeprefix(given)

    def test_an_example_is_right_exactly_if_the_model_would_write_it(self):
        batches = tasks.examples(self.task, 40, num_batches=1, part='test')
        (batch,) = batches
        vocabulary, right = self.task.vocabulary, 0
        for inputs, targets, mask in zip(*batch[:3], strict=True):
            text = vocabulary.decode(inputs)
            given = text[: text.index('\n') + 1]
            right += self.write(given) == vocabulary.decode(targets[mask])
        found = tasks.measure(
            self.model, self.task, levels=[3], batch_size=40, num_batches=1
        )
        self.assertBetween(right, 1, 39)  # Or else it could not fail.
        self.assertAllClose(found[3]['example_accuracy'], right / 40)
        self.assertGreater(found[3]['accuracy'], right / 40)

    def test_levels_are_measured_one_by_one(self):
        found = tasks.measure(self.model, self.task, num_batches=1)
        self.assertEqual(list(found), [1, 2, 3])
        losses = [found[level]['loss'] for level in (1, 2, 3)]
        self.assertEqual(losses, sorted(losses))

    def test_a_level_without_examples_is_left_out(self):
        task = tasks.Task('x', 'ab', [1, 2], lambda draw, n: ('ab' * n, 'b'))
        model = tfcharrnn.CharRNN(2, embedding_dim=None, rnn_units=2)
        there = [
            level
            for level in (1, 2)
            if tasks.task.part_of('ab' * level) == 'train'
        ]
        found = tasks.measure(
            model, task, part='train', num_batches=1, batch_size=2
        )
        self.assertEqual(list(found), there)

    def test_an_unknown_level_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'no level 4'):
            tasks.measure(self.model, self.task, levels=[4])

    def test_the_callback_measures_the_goal(self):
        again = tasks.Accuracies(self.model, self.task, num_batches=2)
        metrics = {}
        again(self.trainer, metrics)
        found = tasks.measure(self.model, self.task, levels=[3], num_batches=2)[
            3
        ]
        for name in ('loss', 'accuracy', 'example_accuracy'):
            self.assertAllClose(metrics[f'valid_{name}'], found[name])


if __name__ == '__main__':
    tf.test.main()
