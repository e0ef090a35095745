import itertools
import math
import tempfile

import numpy as np
import tensorflow as tf
import toys
from absl.testing import parameterized

import tfcharrnn
from tfcharrnn import cells, curriculum, data, schedules
from tfcharrnn.training.callbacks import Evaluate, every
from tfcharrnn.curricula.stages import ScheduledSampling, Stage
from tfcharrnn.training.trainer import Trainer
from tfcharrnn.text.vocabulary import Vocabulary

CHARACTERS = Vocabulary('abcde')
WORDS = Vocabulary.from_text('\nabcdefghij')
LINES = ['a' * n for n in range(1, 11)]


class CountingCell(cells.RNNCell):
    """A cell of somebody's own, without any kernel."""

    def __init__(self, input_size, units):
        super().__init__(input_size, units)
        self.kernel = tf.Variable(cells.glorot([input_size, units]))

    def initial_state(self, batch_size):
        return tf.zeros([batch_size, self.units])

    def __call__(self, inputs, state):
        state = 0.5 * state + tf.tanh(tf.matmul(inputs, self.kernel))
        return state, state


def make(kind=Trainer, rnn=None, **options):
    tf.random.set_seed(0)
    optimizer = tf.keras.optimizers.Adam(options.pop('rate', 0.1))
    return kind(rnn or toys.FrequencyModel(), optimizer, **options)


def passes(limit):
    """A condition that holds once the loss of validation is small enough."""
    return lambda metrics: metrics['valid_loss'] < limit


class Killed(Exception):
    pass


class Run:
    """Training through stages, that can be killed and started again."""

    period = 2

    def __init__(self, stages, model_dir, **options):
        self.stages = stages
        self.options = options
        self.trainer = make(steps_per_loop=3)
        self.checkpointer = tfcharrnn.Checkpointer(
            model_dir, self.trainer, CHARACTERS
        )
        self.checkpointer.restore()

    def go(self, kill_at=None, kill_before_saving=False):
        recorder = toys.Recorder(self.period)

        def kill(trainer, metrics):
            if trainer.step == kill_at:
                raise Killed

        killer = every(self.period, kill)
        saver = every(self.period, self.checkpointer)
        callbacks = [
            every(self.period, Evaluate(toys.streams(60))),
            recorder,
            *([killer, saver] if kill_before_saving else [saver, killer]),
        ]
        curriculum.train(
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
            self.assertEqual(run.trainer.record['curriculum']['stage'], 2)
            self.assertEqual(run.trainer.record['curriculum']['began'], 12)
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

    def test_the_loop_of_two_lines_is_the_same_for_stages_with_steps(self):
        text = toys.text(150)

        def stages():
            yield from curriculum.growing_length(text, 4, [3, 4], [6])
            yield Stage(toys.random_batches(), steps=14)

        def fixed():
            short, long, last = stages()
            return [short, Stage(long.dataset, 10), last]

        first, second = make(), make()
        curriculum.train(first, fixed())
        for stage in fixed():
            second.train(stage.dataset, stage.steps)
        first.record.clear()
        toys.assert_same(toys.snapshot(first), toys.snapshot(second))

    @parameterized.parameters(6, 8)
    def test_the_loop_of_two_lines_can_be_killed_too(self, step):
        def stages():
            short, long = curriculum.growing_length(
                toys.text(150), 4, [3, 5], [6]
            )
            return [short, Stage(long.dataset, 10), Stage(toys.streams(), 15)]

        def loop(trainer, steps):
            for stage in stages():
                trainer.train(stage.dataset, min(steps, stage.steps))

        folder, whole, first = self.folder(), make(), make()
        loop(whole, 15)
        loop(first, step)
        tfcharrnn.Checkpointer(folder, first, CHARACTERS).save()
        second = make()
        tfcharrnn.Checkpointer(folder, second, CHARACTERS).restore()
        loop(second, 15)
        toys.assert_same(toys.snapshot(second), toys.snapshot(whole))

    def test_a_stop_by_another_callback_is_no_end_of_a_stage(self):
        def stop(trainer, metrics):
            trainer.stop_training = trainer.step == 4

        stages = [
            Stage(toys.streams(), until=lambda _: True, every=4),
            Stage(toys.random_batches()),
        ]
        trained = make()
        curriculum.train(trained, stages, 10, [every(2, stop)])
        self.assertEqual(trained.step, 4)
        self.assertTrue(trained.stop_training)
        curriculum.train(trained, stages, 10)
        self.assertEqual(trained.step, 10)
        self.assertEqual(trained.record['curriculum']['began'], 4)

    def test_more_steps_go_on_in_the_stage_that_they_ended_in(self):
        stages = [Stage(toys.streams(), steps=8), Stage(toys.random_batches())]
        first, second = make(), make()
        for steps in (5, 12):
            curriculum.train(first, stages, steps)
        curriculum.train(second, stages, 12)
        toys.assert_same(toys.snapshot(first), toys.snapshot(second))

    def test_until_is_asked_at_the_multiples_with_the_metrics_since(self):
        asked, recorder = [], toys.Recorder(steps=3)
        stage = Stage(toys.streams(), until=asked.append, every=3)
        curriculum.train(make(), [stage], 10, [recorder])
        self.assertEqual(asked, [metrics for _, metrics in recorder.calls])
        self.assertLen(asked, 3)

    def test_a_metric_that_is_not_there_is_named(self):
        stage = Stage(toys.streams(), until=passes(1.0), every=2)
        with self.assertRaisesRegex(
            ValueError, r"'valid_loss', but there are accuracy, .*every\(2, "
        ):
            curriculum.train(make(), [stage], 10, [every(5, Evaluate)])

    def test_a_stage_without_an_end_is_named(self):
        stages = [Stage(toys.streams(), steps=3), Stage(toys.streams())]
        trained = make()
        with self.assertRaisesRegex(ValueError, 'Stage 1 has no end'):
            curriculum.train(trained, stages)
        self.assertEqual(trained.step, 3)

    @parameterized.parameters(
        ({'steps': 0}, '`steps` is 0'),
        ({'until': passes(1.0)}, 'both, or none'),
        ({'every': 5}, 'both, or none'),
        ({'every': -5, 'until': passes(1.0)}, '`every` is -5'),
    )
    def test_a_stage_refuses_what_makes_no_sense(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            Stage(toys.streams(), **options)


class BudgetTest(tf.test.TestCase, parameterized.TestCase):
    def stages(self, steps=7):
        text = toys.text(401)
        return curriculum.growing_length(text, 4, [5, 20], [steps])

    def trained_chars(self, **options):
        trained, chars = make(steps_per_loop=1), []
        curriculum.train(
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
        self.assertEqual(control.position, control.step)

    @parameterized.parameters(400, 1000)
    def test_a_budget_is_met_to_a_batch(self, budget):
        for control in (False, True):
            chars, _ = self.trained_chars(num_chars=budget, control=control)
            self.assertBetween(chars, budget - 80, budget + 80)

    def test_a_budget_counts_what_came_before_the_restart(self):
        first, second = make(), make()
        for steps in (3, 9, None):
            curriculum.train(first, self.stages(), steps, num_chars=900)
        curriculum.train(second, self.stages(), num_chars=900)
        self.assertEqual(first.step, second.step)

    @parameterized.parameters(0, 139, 140, 141, 900)
    def test_steps_and_characters_are_inverse(self, chars):
        steps = curriculum.count_steps(self.stages(), chars)
        counted = curriculum.count_chars(self.stages(), steps)
        self.assertBetween(counted, chars, chars + 4 * 20 - 1)
        _, trained = self.trained_chars(num_chars=chars)
        self.assertEqual(trained.step, steps)

    def test_epochs_are_passes(self):
        text = toys.text(333)
        stages = [Stage(data.sequences(text, 7, 3))]
        for epochs in (1, 3, 1000):
            self.assertEqual(
                curriculum.count_steps(stages, epochs * 332),
                epochs * len(stages[0].dataset),
            )

    def test_no_stages_have_no_control(self):
        with self.assertRaisesRegex(ValueError, 'no stages'):
            curriculum.train(make(), [], 10, control=True)

    def test_where_until_ends_a_stage_nobody_can_count(self):
        stages = [Stage(toys.streams(), until=passes(1.0), every=2)]
        for count in (curriculum.count_chars, curriculum.count_steps):
            with self.assertRaisesRegex(ValueError, 'until|num_chars'):
                count(stages, 100)


class GrowingLengthTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(9, 14, 31)
    def test_the_state_is_that_of_a_text_read_without_a_change(self, steps):
        text = toys.text(150)
        trained = make(rate=0.0)
        curriculum.train(
            trained,
            curriculum.growing_length(text, 4, [3, 5, 2], [4, 11]),
            steps,
        )
        # Row 0 is 38 characters long, and begins anew where they are over.
        num_read = 0
        for length in ([3] * 4 + [5] * 7 + [2] * 20)[:steps]:
            num_read = length + (num_read if num_read < 38 else 0)
        counts = np.bincount(text[:num_read], minlength=toys.VOCAB)
        self.assertAllEqual(trained.progress['state'][0][0], counts)

    @parameterized.parameters(
        '25@1000,50',
        'width:25@1000,50',
        'length:25,50',
        'length:25@1000,50@500,100',
        'length:0@1000,50',
        'length:25@many,50',
        'length:2.5@10,50',
        'length:',
    )
    def test_what_cannot_be_parsed_says_what_was_expected(self, text):
        with self.assertRaisesRegex(ValueError, 'length:25@1000,50@3000,100'):
            curriculum.parse(text)

    def test_a_single_length_is_no_growth_but_a_curriculum(self):
        self.assertEqual(curriculum.parse('length:25'), ([25], []))


class LinesTest(tf.test.TestCase, parameterized.TestCase):
    def lengths(self, batches, number, position=0):
        taken = batches.starting_at(position).take(number)
        return np.array([batch.mask.numpy().sum(1) - 1 for batch in taken])

    def test_lines_come_from_the_easiest_only(self):
        share = schedules.linear(0.1, 1.0, steps=9)
        batches = curriculum.easiest_first(LINES[::-1], WORDS, 20, share)
        lengths = self.lengths(batches, 30)
        for number, row in enumerate(lengths[:9]):
            self.assertAllLessEqual(row, number + 1)
        self.assertEqual(set(lengths[9:].flat), {*range(1, 11)})

    def test_the_difficulty_may_be_any_function(self):
        share = schedules.constant(0.3)
        batches = curriculum.easiest_first(
            LINES, WORDS, 20, share, difficulty=lambda line: -len(line)
        )
        self.assertEqual(set(self.lengths(batches, 5).flat), {8, 9, 10})

    def test_batches_are_a_function_of_seed_and_position(self):
        share = curriculum.competence(0.1, steps=20)
        first, again, other = (
            curriculum.easiest_first(LINES, WORDS, 4, share, seed=seed)
            for seed in (0, 0, 1)
        )
        whole = self.lengths(first, 30)
        self.assertAllEqual(self.lengths(again, 13, position=17), whole[17:])
        self.assertNotAllEqual(self.lengths(other, 30), whole)

    def test_the_vocabulary_grows_by_frequency(self):
        lines = ['a', 'ab', 'ba', 'abc', 'aabb', 'cabd']
        size = schedules.stepwise([1, 2, 3, 4], [10, 20, 30])
        batches = curriculum.growing_vocabulary(lines, WORDS, 16, size)
        seen = [set() for _ in range(4)]
        for number, batch in enumerate(batches.starting_at(0).take(40)):
            ids = batch.targets.numpy()[batch.mask.numpy()]
            seen[number // 10] |= set(WORDS.decode(ids)) - {'\n'}
        self.assertEqual(seen, [set('abcd'[:n]) for n in range(1, 5)])

    def test_rarity_is_the_loss_of_an_n_gram_model(self):
        texts = ['ab', 'aa', 'ba']
        # 4 times a, twice b.
        unigrams = curriculum.rarity(texts)
        self.assertAlmostEqual(unigrams('ab'), -math.log(5 / 9 * 3 / 9))
        # At the start a twice, b once; after a, a and b once each.
        bigrams = curriculum.rarity(texts, order=2)
        self.assertAlmostEqual(bigrams('ab'), -math.log(3 / 6 * 2 / 5))

    @parameterized.parameters(
        (1.0, [0.2, 0.4, 0.6, 0.8, 1, 1]),
        (2.0, [0.2, 0.529, 0.721, 0.872, 1, 1]),
    )
    def test_competence_is_that_of_the_paper(self, degree, expected):
        share = curriculum.competence(0.2, steps=4, degree=degree)
        self.assertAllClose([share(t) for t in range(6)], expected, atol=1e-3)
        with self.assertRaisesRegex(ValueError, 'share above 0'):
            curriculum.competence(0.0, steps=4)


class MixTest(tf.test.TestCase, parameterized.TestCase):
    def sources(self):
        windows = [
            data.windows(np.arange(n, n + 30), 3, 4, seed=n) for n in (0, 100)
        ]
        return [*windows, data.sequences(np.arange(200, 280), 3, 4)]

    def take(self, batches, number, position=0):
        return [
            data.Batch(*(x.numpy() for x in batch))
            for batch in batches.starting_at(position).take(number)
        ]

    def source_of(self, batch):
        return int(batch.inputs[batch.mask][0]) // 100

    def test_each_source_is_read_on_where_it_stopped(self):
        sources = self.sources()
        taken = self.take(curriculum.mix(sources, [1.0, 2.0, 3.0]), 90)
        for number, source in enumerate(sources):
            own = [b for b in taken if self.source_of(b) == number]
            self.assertGreater(len(own), 5)
            for batch, expected in zip(
                own, self.take(source, len(own)), strict=True
            ):
                for name in ('inputs', 'targets', 'mask'):
                    self.assertAllEqual(
                        getattr(batch, name), getattr(expected, name)
                    )

    def test_rows_are_reset_where_the_source_changes(self):
        taken = self.take(curriculum.mix(self.sources(), [0.0, 1.0, 9.0]), 90)
        carried = 0
        for before, batch in itertools.pairwise(taken):
            if self.source_of(before) != self.source_of(batch):
                self.assertAllEqual(batch.reset, [True] * 4)
            carried += not batch.reset.any()
        self.assertGreater(carried, 20)

    @parameterized.parameters(17, 77)
    def test_it_can_be_begun_anywhere(self, position):
        weights = [schedules.linear(1.0, 0.0, 50), 0.5, 0.5]
        batches = curriculum.mix(self.sources(), weights)
        whole = self.take(batches, 90)
        rest = self.take(batches, 90 - position, position)
        tf.nest.map_structure(self.assertAllEqual, rest, whole[position:])

    def test_the_weights_are_probabilities_that_move(self):
        weights = [schedules.stepwise([3.0, 0.0], [500]), 1.0, 0.0]
        batches = curriculum.mix(self.sources(), weights)
        drawn = [self.source_of(b) for b in self.take(batches, 600)]
        self.assertBetween(np.mean(np.equal(drawn[:500], 0)), 0.7, 0.8)
        self.assertEqual(set(drawn[500:]), {1})
        self.assertNotIn(2, drawn)

    def test_sources_that_do_not_fit_are_refused(self):
        sources = self.sources()
        with self.assertRaisesRegex(ValueError, '3 sources and 2 weights'):
            curriculum.mix(sources, [1, 2])
        sources[0] = data.windows(np.arange(30), 3, 5)
        with self.assertRaisesRegex(ValueError, r'\[5, 4, 4\]'):
            curriculum.mix(sources, [1, 2, 3])


class LevelsTest(tf.test.TestCase, parameterized.TestCase):
    @parameterized.parameters(
        ('none', [[0, 0, 1]]),
        ('mix', [[1 / 3, 1 / 3, 1 / 3]]),
        ('naive', [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        (
            'combined',
            [
                [4 / 6, 1 / 6, 1 / 6],
                [1 / 6, 4 / 6, 1 / 6],
                [1 / 6, 1 / 6, 4 / 6],
            ],
        ),
    )
    def test_the_levels_are_drawn_as_in_the_paper(self, strategy, expected):
        stages = curriculum.levels(strategy, list, 3, steps_per_level=10)
        stages = list(stages)
        self.assertAllClose([stage.dataset for stage in stages], expected)
        ends = [10, 20, None] if len(stages) > 1 else [None]
        self.assertEqual([stage.steps for stage in stages], ends)

    def test_mistakes_are_explained(self):
        for strategy, message in (('easy', 'naive'), ('naive', 'needs an end')):
            with self.assertRaisesRegex(ValueError, message):
                next(curriculum.levels(strategy, list, 3))


class Spy(ScheduledSampling):
    """Keeps what the loss is computed on, in eager mode."""

    def compute_loss(self, batch, state, training):
        self.inputs = batch.inputs.numpy()
        return super().compute_loss(batch, state, training)


class ScheduledSamplingTest(tf.test.TestCase, parameterized.TestCase):
    CELLS = ('gru', 'lstm', 'mingru', 'vanilla', CountingCell)

    def batch(self, rows=64, length=20):
        dataset = toys.random_batches(1, rows, length)
        (batch,) = dataset
        return batch

    def inputs(self, batch, probability, rnn=None, step=0, **options):
        spy = make(Spy, rnn, probability=probability, **options)
        spy.step_variable.assign(step)
        rows = batch.inputs.shape[0]
        spy.compute_gradients(batch, spy.model.initial_state(rows))
        return spy.inputs

    def model(self, cell='gru', **options):
        tf.random.set_seed(1)
        return tfcharrnn.CharRNN(toys.VOCAB, 3, 4, cell=cell, **options)

    @parameterized.parameters(*CELLS)
    def test_at_probability_0_it_is_teacher_forcing(self, cell):
        probability = schedules.linear(0.0, 0.0, 9)
        dataset = toys.streams()
        sampled, plain = (
            make(kind, self.model(cell, dropout=0.5), **options)
            for kind, options in (
                (ScheduledSampling, {'probability': probability}),
                (Trainer, {}),
            )
        )
        for trained in sampled, plain:
            trained.train(dataset, steps=7)
        toys.assert_same(toys.snapshot(sampled), toys.snapshot(plain))

    @parameterized.parameters('gru', CountingCell)
    def test_at_probability_1_all_but_the_first_are_the_models(self, cell):
        rnn, batch = self.model(cell), self.batch()
        inputs = self.inputs(batch, 1.0, rnn, temperature=0.0)
        logits, _ = rnn(batch.inputs, rnn.initial_state(64))
        self.assertAllEqual(inputs[:, 0], batch.inputs[:, 0])
        self.assertAllEqual(inputs[:, 1:], tf.argmax(logits, -1)[:, :-1])

    def test_samples_follow_the_models_distribution(self):
        rnn, batch = toys.FrequencyModel(), self.batch(rows=2000, length=2)
        rnn.weight.assign(tf.zeros([toys.VOCAB]))
        inputs = self.inputs(batch, 1.0, rnn)
        expected = tf.nn.softmax(rnn.table).numpy()
        for first in range(toys.VOCAB):
            drawn = inputs[batch.inputs.numpy()[:, 0] == first, 1]
            shares = np.bincount(drawn, minlength=toys.VOCAB) / len(drawn)
            self.assertAllClose(shares, expected[first], rtol=0, atol=0.1)

    def test_the_coin_falls_as_often_as_its_probability(self):
        batch = self.batch(rows=200)
        batch = batch._replace(inputs=tf.fill([200, 20], 4))
        rnn = toys.FrequencyModel()
        rnn.table.assign(tf.one_hot([0] * toys.VOCAB, toys.VOCAB) * 1e3)
        for probability in (0.2, 0.7):
            replaced = self.inputs(batch, probability, rnn)[:, 1:] == 0
            self.assertAllClose(replaced.mean(), probability, atol=0.03)
            self.assertLess(replaced.mean(1).max() - probability, 0.5)
            by_row = self.inputs(batch, probability, rnn, per_row=True)
            by_row = by_row[:, 1:] == 0
            self.assertEqual(set(by_row.mean(1)), {0.0, 1.0})
            self.assertAllClose(by_row.mean(), probability, atol=0.1)

    def test_what_is_drawn_depends_on_seed_and_step_alone(self):
        batch, rnn = self.batch(), self.model()
        first = self.inputs(batch, 0.5, rnn, step=3)
        self.assertAllEqual(self.inputs(batch, 0.5, rnn, step=3), first)
        self.assertNotAllEqual(self.inputs(batch, 0.5, rnn, step=4), first)
        other = self.inputs(batch, 0.5, rnn, step=3, seed=1)
        self.assertNotAllEqual(other, first)

    def test_a_restart_changes_nothing(self):
        probability = schedules.linear(0.0, 1.0, 20)
        options = {'probability': probability, 'rate': 0.01}
        whole = make(ScheduledSampling, self.model(), **options)
        whole.train(toys.streams(), 18)
        first = make(ScheduledSampling, self.model(), **options)
        first.train(toys.streams(), 11)
        folder = self.enter_context(tempfile.TemporaryDirectory())
        tfcharrnn.Checkpointer(folder, first, CHARACTERS).save()
        second = make(ScheduledSampling, self.model(), **options)
        tfcharrnn.Checkpointer(folder, second, CHARACTERS).restore()
        second.train(toys.streams(), 18)
        toys.assert_same(toys.snapshot(second), toys.snapshot(whole))

    def test_no_gradient_flows_through_the_samples(self):
        rnn, batch = self.model(), self.batch()
        sampled = make(Spy, rnn, probability=1.0)
        state = rnn.initial_state(64)
        _, gradients, _ = sampled.compute_gradients(batch, state)
        plain = make(Trainer, rnn)
        mixed = batch._replace(inputs=tf.constant(sampled.inputs))
        _, expected, _ = plain.compute_gradients(mixed, state)
        self.assertAllClose(gradients, expected)

    def test_evaluation_reads_the_text(self):
        rnn = self.model()
        sampled = make(ScheduledSampling, rnn, probability=1.0)
        plain = make(Trainer, rnn)
        self.assertEqual(
            sampled.evaluate(toys.streams()), plain.evaluate(toys.streams())
        )

    def test_an_objective_of_ones_own_sees_the_mixed_inputs(self):
        class Halved(ScheduledSampling):
            def compute_loss(self, batch, state, training):
                pairs, state = super().compute_loss(batch, state, training)
                total, count = pairs['loss']
                return {**pairs, 'loss': (total / 2, count)}, state

        rnn, batch = self.model(), self.batch()
        gradients = [
            make(kind, rnn, probability=0.5).compute_gradients(
                batch, rnn.initial_state(64)
            )[1]
            for kind in (ScheduledSampling, Halved)
        ]
        self.assertAllClose(
            gradients[0], [2.0 * gradient for gradient in gradients[1]]
        )

    @parameterized.parameters(
        ({'probability': 1.5}, '`probability` is 1.5'),
        ({'probability': 0.5, 'temperature': -1.0}, '`temperature`'),
    )
    def test_numbers_out_of_range_are_refused(self, options, message):
        with self.assertRaisesRegex(ValueError, message):
            make(ScheduledSampling, **options)


if __name__ == '__main__':
    tf.test.main()
