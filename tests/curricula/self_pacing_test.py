import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

from tfcharrnn import curricula, data
from tfcharrnn.curricula.stages import Stage
from tfcharrnn.text.vocabulary import Vocabulary
from tfcharrnn.training import schedules
from tfcharrnn.training.callbacks import every
from tfcharrnn.training.checkpointer import Checkpointer

VOCABULARY = Vocabulary('\nabcd')
draw = np.random.default_rng(0)
LINES = [
    *(''.join(draw.choice([*'abcd'], n)) for n in draw.integers(2, 12, 15)),
    *('ab' * n for n in range(1, 9)),
]


def make_trainer(rate=0.5, seed=0, **options):
    tf.keras.utils.set_random_seed(seed)
    return toys.make_trainer(optimizer=tf.keras.optimizers.SGD(rate), **options)


def self_paced(lines=LINES, batch_size=4, **options):
    if 'threshold' not in options:
        options.setdefault('share', curricula.competence(0.2, steps=30))
    return curricula.SelfPaced(lines, VOCABULARY, batch_size, **options)


def measure(model, lines=LINES):
    """Returns the loss of each line, without batches or buckets."""
    ids = [VOCABULARY.encode(f'\n{line}\n') for line in lines]
    padded = np.zeros([len(lines), max(map(len, ids))], np.int32)
    for row, line in zip(padded, ids, strict=True):
        row[: len(line)] = line
    zero = model.initial_state(len(lines))
    logits, _ = model(padded[:, :-1], zero)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(
        padded[:, 1:], logits
    ).numpy()
    return np.array(
        [
            row[: len(line) - 1].mean()
            for row, line in zip(nats, ids, strict=True)
        ]
    )


def texts(batches, number, position=0):
    return [
        VOCABULARY.decode(row[mask]).rstrip('\n')
        for batch in batches.starting_at(position).take(number)
        for row, mask in zip(
            batch.targets.numpy(), batch.mask.numpy(), strict=True
        )
    ]


class SelfPacedTest(tf.test.TestCase, parameterized.TestCase):
    def folder(self):
        return self.enter_context(tempfile.TemporaryDirectory())

    @parameterized.parameters(4, 40)
    def test_what_is_measured_is_the_loss_of_each_line(self, batch_size):
        trained = make_trainer(0.0)
        trained.train(self_paced(batch_size=batch_size), 1)
        measured = trained.record.place.measured.losses
        self.assertAllClose(measured, measure(trained.model), atol=1e-5)

    @parameterized.parameters((False, 1), (True, -1))
    def test_lines_are_drawn_from_one_end_of_the_order(self, hardest, sign):
        trained = make_trainer(0.0)
        batches = self_paced(hardest=hardest)
        trained.train(batches, 1)
        order = np.argsort(sign * measure(trained.model), kind='stable')
        for position in (0, 7, 20, 30):
            share = float(curricula.competence(0.2, steps=30)(position))
            pool = order[: round(share * len(LINES))]
            drawn = set(texts(batches, 1, position))
            self.assertContainsSubset(drawn, {LINES[i] for i in pool})
        self.assertEqual(set(texts(batches, 90, 30)), {*LINES})

    def test_lines_are_measured_by_the_weights_of_the_multiples(self):
        trained = make_trainer(steps_per_loop=5)
        batches = self_paced(every=8)
        before = {0: measure(trained.model)}
        known = []

        def note(trainer, _):
            before[trainer.step] = measure(trainer.model)
            known.append((trainer.step, trainer.record.place.measured))

        trained.train(batches, 21, [every(1, note)])
        for step, measured in known:
            # At a multiple, what was measured before it is still there.
            self.assertEqual(measured.step, (step - 1) // 8 * 8)
            self.assertAllClose(
                measured.losses, before[measured.step], atol=1e-5
            )

    def test_from_a_multiple_on_lines_are_drawn_by_the_new_order(self):
        seen = []

        class Seeing(toys.Trainer):
            def train_step(self, batch, state):
                tf.py_function(
                    lambda *x: seen.append([y.numpy() for y in x]),
                    [batch.targets, batch.mask],
                    [],
                )
                return super().train_step(batch, state)

        trained = make_trainer(5.0, kind=Seeing)
        orders = []

        def note(trainer, _):
            orders.append(measure(trainer.model).argsort())

        share = schedules.constant(0.25)
        note(trained, None)
        batches = self_paced(share=share, every=3)
        trained.train(batches, 18, [every(3, note)])
        self.assertGreater(len({tuple(order) for order in orders[:6]}), 2)
        for step, batch in enumerate(seen):
            pool = {LINES[i] for i in orders[step // 3][:6]}
            for row, mask in zip(*batch, strict=True):
                text = VOCABULARY.decode(row[mask]).rstrip('\n')
                self.assertIn(text, pool, f'at step {step}')

    @parameterized.parameters((False,), (True,))
    def test_a_threshold_parts_the_lines(self, hardest):
        trained = make_trainer(0.0)
        measured = measure(trained.model)
        ends = np.quantile(measured, [0.3, 0.8])
        batches = self_paced(
            threshold=schedules.stepwise(ends, [1]), hardest=hardest
        )
        for step, end in enumerate(ends, 1):
            metrics = trained.train(batches, step)
            inside = measured > end if hardest else measured < end
            self.assertAllClose(metrics['share'], inside.mean())
            self.assertEqual(
                set(texts(batches, 60, step - 1)[: 240 if step > 1 else 4])
                - {x for x, i in zip(LINES, inside, strict=True) if i},
                set(),
            )

    def test_below_a_threshold_come_more_lines_as_the_model_learns(self):
        trained = make_trainer()
        lines = LINES[15:]  # All of them are of one pattern.
        third = np.quantile(measure(trained.model, lines), 0.3)
        batches = self_paced(
            lines, threshold=schedules.constant(third), every=10
        )
        first = trained.train(batches, 1)['share']
        trained.train(batches, 100)
        last = trained.train(batches, 101)['share']
        self.assertBetween(first, 0.2, 0.5)
        self.assertGreater(last, 0.8)

    def test_there_is_always_a_line_below_a_threshold(self):
        batches = self_paced(threshold=schedules.constant(0.0))
        self.assertAllClose(make_trainer().train(batches, 1)['share'], 1 / 23)

    def test_the_pace_is_that_of_a_random_order(self):
        trained = make_trainer()
        share = curricula.competence(0.2, steps=30)
        batches = self_paced(share=share)
        for step in range(1, 4):
            expected = round(float(share(step - 1)) * len(LINES)) / len(LINES)
            actual = trained.train(batches, step)['share']
            self.assertAllClose(actual, expected)

    @parameterized.parameters(
        {'every': 6},
        {
            'every': 5,
            'hardest': True,
            'threshold': schedules.linear(2.0, 1.0, 30),
        },
    )
    def test_a_run_killed_at_any_step_continues_bit_for_bit(self, **options):
        def make():
            stages = [Stage(self_paced(**options), 30)]
            stages.append(Stage(data.lines(LINES, VOCABULARY, 4)))
            return make_trainer(steps_per_loop=4), stages

        undisturbed, stages = make()
        curricula.train(undisturbed, stages, 27)
        folder = self.folder()
        # Right at a measurement, and between two.
        for step in (10, 12, 17, 27):
            trained, stages = make()
            saver = Checkpointer(folder, trained, Vocabulary('abcde'))
            saver.restore()
            # Some steps more, which are lost.
            callbacks = [every(step, saver)]
            curricula.train(
                trained, stages, min(step + 2, 27), callbacks=callbacks
            )
        toys.assert_same(toys.snapshot(trained), toys.snapshot(undisturbed))

    def test_calls_that_end_anywhere_change_nothing(self):
        whole, parts = make_trainer(), make_trainer()
        whole.train(self_paced(every=6), 20)
        batches = self_paced(every=6)
        for step in (1, 6, 7, 12, 20):
            parts.train(batches, step)
        toys.assert_same(toys.snapshot(parts), toys.snapshot(whole))

    def test_each_trainer_measures_its_own_model(self):
        batches = self_paced()
        for seed in (0, 1):
            trained = make_trainer(0.0, seed)
            trained.train(batches, 1)
            measured = trained.record.place.measured.losses
            self.assertAllClose(measured, measure(trained.model), atol=1e-5)

    def test_it_is_for_a_dataset_and_the_plain_one_after_it(self):
        trained = make_trainer()
        plain = data.lines(LINES, VOCABULARY, 4)
        metrics = curricula.train(
            trained, [Stage(self_paced(), 4), Stage(plain)], 8
        )
        self.assertNotIn('share', metrics)
        self.assertIsNone(trained.record.place.measured)

    def test_a_step_that_is_not_finite_changes_no_record(self):
        trained = make_trainer()
        batches = self_paced(every=4)
        trained.train(batches, 5)
        before = toys.snapshot(trained)['record']
        table = trained.model.table.numpy()
        trained.model.table.assign(table * np.nan)
        with self.assertRaises(FloatingPointError):
            trained.train(batches, 9)
        trained.model.table.assign(table)
        toys.assert_same(toys.snapshot(trained)['record'], before)

    def test_several_replicas_are_refused(self):
        trained = make_trainer()
        trained.replicas.count = 2
        with self.assertRaisesRegex(ValueError, 'one device, but there are 2'):
            trained.train(self_paced(), 4)

    def test_a_record_of_other_lines_is_refused(self):
        trained = make_trainer()
        trained.train(self_paced(), 2)
        trained.dataset = None
        with self.assertRaisesRegex(ValueError, 'of 23 lines, .* are 20'):
            trained.train(self_paced(LINES[:20]), 4)

    @parameterized.parameters(
        ({'every': 0}, '`every` is 0'),
        ({'share': None}, 'give one of the two'),
        (
            {'share': schedules.constant(1), 'threshold': 1.0},
            'give one of the two',
        ),
        ({'lines': []}, 'no lines'),
        ({'lines': ['a', '']}, 'Line 1 is empty'),
    )
    def test_refuses_what_is_out_of_range(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            self_paced(**options)


if __name__ == '__main__':
    tf.test.main()
