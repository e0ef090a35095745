import itertools
from unittest import mock

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from tfcharrnn import curricula, data
from tfcharrnn.curricula import mixtures
from tfcharrnn.training import schedules


class MixTest(tf.test.TestCase, parameterized.TestCase):
    def setUp(self):
        super().setUp()
        # So that a few batches take many blocks.
        self.enter_context(mock.patch.object(mixtures, '_BLOCK', 8))

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
        taken = self.take(curricula.mix(sources, [1.0, 2.0, 3.0]), 90)
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
        taken = self.take(curricula.mix(self.sources(), [0.0, 1.0, 9.0]), 90)
        carried = 0
        for before, batch in itertools.pairwise(taken):
            if self.source_of(before) != self.source_of(batch):
                self.assertAllEqual(batch.reset, [True] * 4)
            carried += not batch.reset.any()
        self.assertGreater(carried, 20)

    @parameterized.parameters(1, 7, 8, 17, 77)
    def test_it_can_be_begun_anywhere(self, position):
        weights = [schedules.linear(1.0, 0.0, 50), 0.5, 0.5]
        batches = curricula.mix(self.sources(), weights)
        whole = self.take(batches, 90)
        rest = self.take(batches, 90 - position, position)
        tf.nest.map_structure(self.assertAllEqual, rest, whole[position:])

    @parameterized.parameters(0, 17, 77)
    def test_its_position_may_be_a_tensor(self, position):
        batches = curricula.mix(self.sources(), [1.0, 2.0, 3.0])
        rest = self.take(batches, 20, position)
        tensor = tf.constant(position, tf.int64)
        eager = self.take(batches, 20, tensor)
        tf.nest.map_structure(self.assertAllEqual, eager, rest)
        in_graph = tf.data.Dataset.from_tensors(tensor).flat_map(
            lambda position: batches.starting_at(position).take(20)
        )
        in_graph = [data.Batch(*(x.numpy() for x in b)) for b in in_graph]
        tf.nest.map_structure(self.assertAllEqual, in_graph, rest)

    def test_a_mixture_may_be_a_source(self):
        windows, other, streams = self.sources()
        inner = curricula.mix([windows, other], [1.0, 1.0], seed=1)
        batches = curricula.mix([inner, streams], [1.0, 1.0])
        whole = self.take(batches, 60)
        self.assertLen({self.source_of(batch) for batch in whole}, 3)
        rest = self.take(batches, 23, 37)
        tf.nest.map_structure(self.assertAllEqual, rest, whole[37:])

    def test_a_pass_in_name_is_its_first_batches(self):
        batches = curricula.mix(self.sources(), [1.0, 2.0, 3.0])
        one_pass = [data.Batch(*(x.numpy() for x in b)) for b in batches]
        self.assertLen(one_pass, sum(map(len, self.sources())))
        first = self.take(batches, len(one_pass))
        tf.nest.map_structure(self.assertAllEqual, one_pass, first)

    @parameterized.parameters(0, 5, 10**5 + 3)
    def test_what_came_before_is_counted_once(self, position):
        sources, begun = self.sources(), []
        for source in sources:
            starting_at = source.starting_at
            source.starting_at = lambda n, starting_at=starting_at: (
                begun.append(int(n)) or starting_at(n)
            )
        self.take(curricula.mix(sources, [0.0, 1.0, 9.0]), 1, position)
        self.assertEqual(sum(begun), position)
        self.assertEqual(begun[0], 0)
        self.assertAllClose(begun[2], 0.9 * position, rtol=0.01, atol=2)

    def test_the_choice_depends_on_the_weights_at_its_position_alone(self):
        first, second = (
            self.take(curricula.mix(self.sources(), [weight, 1.0, 0.0]), 60)
            for weight in (schedules.stepwise([9.0, 1.0], [20]), 1.0)
        )
        chosen = [[self.source_of(b) for b in x] for x in (first, second)]
        self.assertNotEqual(chosen[0][:20], chosen[1][:20])
        self.assertEqual(chosen[0][20:], chosen[1][20:])

    def test_the_weights_are_probabilities_that_move(self):
        weights = [schedules.stepwise([3.0, 0.0], [500]), 1.0, 0.0]
        batches = curricula.mix(self.sources(), weights)
        drawn = [self.source_of(b) for b in self.take(batches, 600)]
        self.assertBetween(np.mean(np.equal(drawn[:500], 0)), 0.7, 0.8)
        self.assertEqual(set(drawn[500:]), {1})
        self.assertNotIn(2, drawn)

    def test_sources_that_do_not_fit_are_refused(self):
        sources = self.sources()
        with self.assertRaisesRegex(ValueError, '3 sources and 2 weights'):
            curricula.mix(sources, [1, 2])
        with self.assertRaisesRegex(ValueError, '`position` is -1'):
            curricula.mix(sources, [1, 2, 3]).starting_at(-1)
        sources[0] = data.windows(np.arange(30), 3, 5)
        with self.assertRaisesRegex(ValueError, r'\[5, 4, 4\]'):
            curricula.mix(sources, [1, 2, 3])


if __name__ == '__main__':
    tf.test.main()
