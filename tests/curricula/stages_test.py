import itertools
import math
import shutil
import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import curricula, data
from tfcharrnn.curricula import Stage
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training.callbacks import Evaluate, every
from tfcharrnn.training.checkpointer import Checkpointer
from tfcharrnn.training.record import Best, Place

CHARACTERS = Vocabulary('abcde')


def make(**options):
    tf.random.set_seed(0)
    return toys.make_trainer(optimizer=tf.keras.optimizers.Adam(0.1), **options)


def passes(limit):
    """A condition that holds once the loss of validation is small enough."""
    return lambda metrics: metrics['valid_loss'] < limit


class Killed(Exception):
    pass


class Run:
    """Training through stages, that can be killed and started again."""

    period = 2

    def __init__(self, stages, model_dir, trainer=None, **options):
        self.stages = stages
        self.options = options
        self.trainer = trainer or make(steps_per_loop=3)
        self.checkpointer = Checkpointer(model_dir, self.trainer, CHARACTERS)
        self.checkpointer.restore()

    def go(self, kill_at=None, kill_before_saving=False):
        recorder = toys.Recorder(self.period)

        def kill(trainer, metrics):
            if trainer.step == kill_at:
                raise Killed

        def save(trainer, metrics):
            # No run goes on from what was saved long before; writing is slow.
            if kill_at is not None and trainer.step >= kill_at - self.period:
                self.checkpointer(trainer, metrics)
            elif metrics['valid_loss'] < trainer.record.best.loss:
                best = metrics['valid_loss'], trainer.step
                trainer.record.best = Best(*best)

        killer, saver = every(self.period, kill), every(self.period, save)
        callbacks = [
            every(self.period, Evaluate(toys.random_batches(number=2))),
            recorder,
            *([killer, saver] if kill_before_saving else [saver, killer]),
        ]
        curricula.train(
            self.trainer, self.stages(), callbacks=callbacks, **self.options
        )
        return recorder.calls


def three_stages(limit=1.62):
    text = toys.text(150)
    return [
        Stage(data.sequences(text, 3, 4), steps=np.int64(6)),
        Stage(data.sequences(text, 5, 4), until=passes(limit), every=2),
        Stage(toys.random_batches()),
    ]


class TrainTest(tf.test.TestCase, parameterized.TestCase):
    def folder(self):
        return self.enter_context(tempfile.TemporaryDirectory())

    def limit(self):
        """A limit that validation passes at a step in the middle."""
        if not hasattr(TrainTest, '_limit'):
            run = Run(lambda: three_stages(-math.inf), self.folder(), steps=24)
            losses = dict(run.go())
            TrainTest._limit = losses[12]['valid_loss']
            self.assertLess(losses[12]['valid_loss'], losses[10]['valid_loss'])
        return TrainTest._limit + 1e-6

    def undisturbed(self):
        limit = self.limit()
        if not hasattr(TrainTest, '_undisturbed'):
            run = Run(lambda: three_stages(limit), self.folder(), steps=20)
            calls = run.go()
            self.assertEqual(run.trainer.record.place.stage, 2)
            self.assertEqual(run.trainer.record.place.began, 12)
            TrainTest._undisturbed = toys.snapshot(run.trainer), calls
        return TrainTest._undisturbed

    @parameterized.parameters(
        (6, False),  # the boundary of the first stage
        (8, True),
        (12, False),  # saved before the second stage was known to be over
        (14, False),
    )
    def test_killed_in_any_stage_it_goes_on_bit_for_bit(self, step, before):
        expected, calls = self.undisturbed()
        limit, folder = self.limit(), self.folder()
        first = Run(lambda: three_stages(limit), folder, steps=20)
        with self.assertRaises(Killed):
            first.go(kill_at=step, kill_before_saving=before)
        second = Run(lambda: iter(three_stages(limit)), folder, steps=20)
        self.assertEqual(second.trainer.step, step - 2 * before)
        rest = second.go()
        toys.assert_same(toys.snapshot(second.trainer), expected)
        toys.assert_same(rest, calls[-len(rest) :])

    def test_killed_at_any_step_it_goes_on_bit_for_bit(self):
        expected, calls = self.undisturbed()
        stages = three_stages(self.limit())  # Made once: traced once.
        trainers = [make(steps_per_loop=3) for _ in range(2)]
        fresh = self.folder()
        Checkpointer(fresh, make(), CHARACTERS).save()
        # Killed at an odd step, a run is as one that is killed before a save.
        kills = itertools.product(range(2, 21, 2), (False, True))
        for step, before in kills:
            folder = shutil.copytree(fresh, f'{self.folder()}/run')
            first = Run(lambda: stages, folder, trainers[0], steps=20)
            self.assertEqual(first.trainer.step, 0)
            with self.assertRaises(Killed):
                first.go(kill_at=step, kill_before_saving=before)
            second = Run(lambda: iter(stages), folder, trainers[1], steps=20)
            self.assertEqual(second.trainer.step, step - 2 * before)
            rest = second.go()
            toys.assert_same(toys.snapshot(second.trainer), expected)
            if rest:
                toys.assert_same(rest, calls[-len(rest) :])
            trainers.reverse()

    def test_the_loop_of_two_lines_is_the_same_for_stages_with_steps(self):
        text = toys.text(150)

        def stages():
            yield from curricula.growing_length(text, 4, [3, 4], boundaries=[6])
            yield Stage(toys.random_batches(), steps=14)

        def fixed():
            short, long, last = stages()
            return [short, Stage(long.dataset, 10), last]

        first, second = make(), make()
        curricula.train(first, fixed())
        for stage in curricula.remaining(second, fixed()):
            second.train(stage.dataset, stage.steps)
        toys.assert_same(toys.snapshot(first), toys.snapshot(second))

    @parameterized.parameters(4, 6, 8, 10, 12)
    def test_the_loop_of_two_lines_can_be_killed_too(self, step):
        def stages():
            short, long = curricula.growing_length(
                toys.text(150), 4, [3, 5], boundaries=[6]
            )
            return [short, Stage(long.dataset, 10), Stage(toys.streams(), 15)]

        def loop(trainer, steps):
            for stage in curricula.remaining(trainer, stages()):
                trainer.train(stage.dataset, min(steps, stage.steps))

        folder, whole, first = self.folder(), make(), make()
        loop(whole, 15)
        loop(first, step)
        Checkpointer(folder, first, CHARACTERS).save()
        second = make()
        Checkpointer(folder, second, CHARACTERS).restore()
        loop(second, 15)
        toys.assert_same(toys.snapshot(second), toys.snapshot(whole))

    @parameterized.parameters(True, False)
    def test_a_checkpoint_at_a_boundary_knows_that_another_follows(
        self, goes_on
    ):
        text = toys.text(120)

        def loop(trainer, *steps):
            other = data.sequences(text, 3, 4) if goes_on else toys.streams()
            datasets = data.sequences(text, 5, 4), other
            stages = map(Stage, datasets, steps)
            for stage in curricula.remaining(trainer, stages):
                trainer.train(stage.dataset, stage.steps)

        folder, trained, restored = self.folder(), make(), make()
        loop(trained, 3)
        Checkpointer(folder, trained, CHARACTERS).save()
        Checkpointer(folder, restored, CHARACTERS).restore()
        for each in (trained, restored):
            loop(each, 3, 7)
            self.assertEqual(each.record.place.position, 4)
        toys.assert_same(toys.snapshot(restored), toys.snapshot(trained))

    def test_what_was_restored_waits_for_the_dataset_that_goes_on(self):
        def loop(trainer, steps):
            stages = [Stage(toys.streams(), 3), Stage(toys.random_batches())]
            for stage in curricula.remaining(trainer, stages):
                trainer.train(stage.dataset, min(steps, stage.steps or steps))

        folder, trained, restored = self.folder(), make(), make()
        loop(trained, 5)
        Checkpointer(folder, trained, CHARACTERS).save()
        Checkpointer(folder, restored, CHARACTERS).restore()
        for each in (trained, restored):
            loop(each, 8)
        self.assertEqual(restored.record.place.position, 5)
        toys.assert_same(toys.snapshot(restored), toys.snapshot(trained))

    def test_only_the_stages_that_are_left_are_yielded(self):
        trained = make()
        trained.record.place = Place(stage=1, began=4)
        stages = [Stage(toys.streams(), steps) for steps in (4, 6, 8)]
        left = []
        for stage in curricula.remaining(trained, stages):
            self.assertIs(trained.dataset, stage.dataset)
            left.append(stage)
            trained.step_variable.assign(stage.steps)
        self.assertEqual(left, stages[1:])
        self.assertEqual(trained.record.place.stage, 2)

    def test_a_second_dataset_of_version_0_1_is_the_second_stage(self):
        # It did not need a curriculum to count datasets.
        trained = make()
        trained.record.place = Place(stage=1, position=3)
        stages = [Stage(toys.streams(), steps=4), Stage(toys.random_batches())]
        [left] = curricula.remaining(trained, stages)
        self.assertIs(left, stages[1])
        self.assertEqual(trained.record.place.position, 3)

    def test_what_was_trained_on_before_is_left_for_the_first_stage(self):
        trained, dataset = make(), toys.streams()
        trained.train(toys.random_batches(), 3)
        curricula.train(trained, [Stage(dataset)], 5)
        self.assertIs(trained.dataset, dataset)
        place = trained.record.place
        self.assertEqual((place.position, place.began), (2, 3))

    def test_a_loop_that_a_callback_stopped_ends(self):
        def stop(trainer, metrics):
            trainer.stop_training = trainer.step == 4

        stages = [Stage(toys.streams(), steps) for steps in (4, 8)]
        trained, seen = make(), []
        for stage in curricula.remaining(trained, stages):
            seen.append(stage)
            trained.train(stage.dataset, stage.steps, [every(2, stop)])
        self.assertEqual(seen, stages[:1])
        self.assertEqual(trained.step, 4)

    def test_a_stop_by_another_callback_is_no_end_of_a_stage(self):
        def stop(trainer, metrics):
            trainer.stop_training = trainer.step == 4

        stages = [
            Stage(toys.streams(), until=lambda _: True, every=4),
            Stage(toys.random_batches()),
        ]
        trained = make()
        curricula.train(trained, stages, 10, callbacks=[every(2, stop)])
        self.assertEqual(trained.step, 4)
        self.assertTrue(trained.stop_training)
        curricula.train(trained, stages, 10)
        self.assertEqual(trained.step, 10)
        self.assertEqual(trained.record.place.began, 4)

    def test_more_steps_go_on_in_the_stage_that_they_ended_in(self):
        stages = [Stage(toys.streams(), steps=8), Stage(toys.random_batches())]
        first, second = make(), make()
        for steps in (5, 12):
            curricula.train(first, stages, steps)
        curricula.train(second, stages, 12)
        toys.assert_same(toys.snapshot(first), toys.snapshot(second))

    def test_until_is_asked_at_the_multiples_with_the_metrics_since(self):
        asked, recorder = [], toys.Recorder(steps=3)
        stage = Stage(toys.streams(), until=asked.append, every=3)
        curricula.train(make(), [stage], 10, callbacks=[recorder])
        self.assertEqual(asked, [metrics for _, metrics in recorder.calls])
        self.assertLen(asked, 3)

    def test_a_metric_that_is_not_there_is_named(self):
        stage = Stage(toys.streams(), until=passes(1.0), every=2)
        with self.assertRaisesRegex(
            ValueError, r"'valid_loss', but there are accuracy, .*every\(2, "
        ):
            curricula.train(make(), [stage], 10, callbacks=[every(5, Evaluate)])

    def test_a_stage_without_an_end_is_named(self):
        stages = [Stage(toys.streams(), steps=3), Stage(toys.streams())]
        trained = make()
        with self.assertRaisesRegex(ValueError, 'Stage 1 has no end'):
            curricula.train(trained, stages)
        self.assertEqual(trained.step, 3)

    @parameterized.parameters(
        ({'steps': 0}, '`steps` is 0'),
        ({'until': passes(1.0)}, 'both, or neither'),
        ({'every': 5}, 'both, or neither'),
        ({'every': -5, 'until': passes(1.0)}, '`every` is -5'),
    )
    def test_a_stage_refuses_what_makes_no_sense(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            Stage(toys.streams(), **options)


class BudgetTest(tf.test.TestCase, parameterized.TestCase):
    def stages(self, steps=7):
        text = toys.text(401)
        return curricula.growing_length(text, 4, [5, 20], boundaries=[steps])

    def trained_chars(self, **options):
        trained, chars = make(steps_per_loop=1), []
        curricula.train(
            trained,
            self.stages(),
            callbacks=[lambda _, metrics: chars.append(metrics['num_chars'])],
            **options,
        )
        return sum(chars), trained

    @parameterized.parameters(7, 30)
    def test_the_control_sees_as_many_characters(self, steps):
        chars, trained = self.trained_chars(steps=steps)
        control_chars, control = self.trained_chars(steps=steps, control=True)
        self.assertBetween(control_chars, chars - 80, chars + 80)
        self.assertLess(control.step, trained.step)
        self.assertEqual(control.record.place.position, control.step)

    @parameterized.parameters(400, 1000)
    def test_a_budget_is_met_to_a_batch(self, budget):
        for control in (False, True):
            chars, _ = self.trained_chars(num_chars=budget, control=control)
            self.assertBetween(chars, budget - 80, budget + 80)

    def test_a_budget_counts_what_came_before_the_restart(self):
        first, second = make(), make()
        for steps in (3, 9, None):
            curricula.train(first, self.stages(), steps, num_chars=900)
        curricula.train(second, self.stages(), num_chars=900)
        self.assertEqual(first.step, second.step)

    @parameterized.parameters(0, 139, 140, 141, 900)
    def test_steps_and_characters_are_inverse(self, chars):
        steps = curricula.count_steps(self.stages(), chars)
        counted = curricula.count_chars(self.stages(), steps)
        self.assertBetween(counted, chars, chars + 4 * 20 - 1)
        _, trained = self.trained_chars(num_chars=chars)
        self.assertEqual(trained.step, steps)

    def test_epochs_are_passes(self):
        text = toys.text(333)
        stages = [Stage(data.sequences(text, 7, 3))]
        for epochs in (1, 3, 1000):
            self.assertEqual(
                curricula.count_steps(stages, epochs * 332),
                epochs * len(stages[0].dataset),
            )

    def test_no_stages_have_no_control(self):
        with self.assertRaisesRegex(ValueError, 'no stages'):
            curricula.train(make(), [], 10, control=True)

    def test_where_until_ends_a_stage_nobody_can_count(self):
        stages = [Stage(toys.streams(), until=passes(1.0), every=2)]
        for count in (curricula.count_chars, curricula.count_steps):
            with self.assertRaisesRegex(ValueError, 'until|num_chars'):
                count(stages, 100)


if __name__ == '__main__':
    tf.test.main()
