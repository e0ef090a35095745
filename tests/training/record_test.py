import json
import math

import numpy as np
from absl.testing import absltest, parameterized

from tfcharrnn.training.record import Best, Measured, Place, Record, Waiting

# What version 0.1 wrote beside 'windows', and what it means.
NOT_TRAINED = {'position': 0, 'dataset': 0, 'num_read': 0, 'record': {}}
OLD = {
    'not_trained': (NOT_TRAINED, Record()),
    'no_curriculum': (
        {**NOT_TRAINED, 'position': 7, 'dataset': 1},
        Record(place=Place(position=7)),
    ),
    'before_there_were_datasets': (
        {'position': 7, 'record': {}},
        Record(place=Place(position=7)),
    ),
    'second_dataset_of_a_loop': (
        {'position': 3, 'dataset': 2, 'num_read': 20, 'record': {}},
        Record(place=Place(stage=1, position=3, num_read=20)),
    ),
    'first_stage': (
        {
            'position': 7,
            'dataset': 1,
            'num_read': 0,
            'record': {
                'curriculum': {
                    'stage': 0,
                    'began': 0,
                    'num_chars': 0.0,
                    'metrics': None,
                    'ended': False,
                }
            },
        },
        Record(place=Place(began=0, position=7)),
    ),
    'later_stage': (
        {
            'position': 4,
            'dataset': 3,
            'num_read': 60,
            'record': {
                'curriculum': {
                    'stage': 2,
                    'began': 30,
                    'num_chars': 900.0,
                    'metrics': None,
                    'ended': False,
                }
            },
        },
        Record(
            place=Place(
                stage=2, began=30, num_chars=900.0, position=4, num_read=60
            )
        ),
    ),
    'ended_but_the_next_not_begun': (
        {
            'position': 10,
            'dataset': 2,
            'num_read': 60,
            'record': {
                'curriculum': {
                    'stage': 2,
                    'began': 30,
                    'num_chars': 900.0,
                    'metrics': None,
                    'ended': False,
                }
            },
        },
        Record(
            place=Place(
                stage=1,
                began=30,
                num_chars=900.0,
                position=10,
                num_read=60,
                ended=True,
            )
        ),
    ),
    'trained_before_the_curriculum': (
        {
            'position': 4,
            'dataset': 2,
            'num_read': 0,
            'record': {
                'curriculum': {
                    'stage': 0,
                    'began': 30,
                    'num_chars': 0.0,
                    'metrics': None,
                    'ended': False,
                }
            },
        },
        Record(place=Place(began=30, position=4)),
    ),
    'until_is_still_to_be_asked': (
        {
            'position': 7,
            'dataset': 1,
            'num_read': 0,
            'record': {
                'curriculum': {
                    'stage': 0,
                    'began': 0,
                    'num_chars': 0.0,
                    'metrics': {'valid_loss': 1.5},
                    'ended': False,
                }
            },
        },
        Record(place=Place(began=0, position=7, metrics={'valid_loss': 1.5})),
    ),
    'all_else': (
        {
            'position': 7,
            'dataset': 1,
            'num_read': 0,
            'record': {
                'best_valid_loss': 1.5,
                'best_step': 40,
                'early_stopping_valid_loss': {'best': 1.25, 'waited': 2},
                'early_stopping_loss': {'best': math.inf, 'waited': 0},
                'rollbacks': 1,
                'text': 'abc',
                'settings': 'def',
                'mine': [1, 2],
            },
        },
        Record(
            place=Place(position=7),
            best=Best(1.5, 40),
            waiting={'valid_loss': Waiting(1.25, 2), 'loss': Waiting()},
            rollbacks=1,
            text='abc',
            settings='def',
            notes={'mine': [1, 2]},
        ),
    ),
}
FULL = Record(
    place=Place(2, 30, 900.0, 4, 60, {'valid_loss': 1.5}, True),
    best=Best(1.5, 40),
    waiting={'valid_loss': Waiting(1.25, 2)},
    rollbacks=1,
    text='abc',
    settings='def',
    notes={'mine': [1, 2]},
)


class RecordTest(parameterized.TestCase):
    @parameterized.parameters(
        Record(), FULL, Record(Place(measured=Measured.of(3, [1.5, math.inf])))
    )
    def test_reads_what_it_wrote(self, record):
        document = json.loads(json.dumps(record.to_json()))
        self.assertEqual(Record.from_json(document), record)
        self.assertEqual(document['version'], 3)

    def test_reads_what_was_written_before_lines_were_measured(self):
        document = FULL.to_json()
        del document['place']['measured']
        self.assertEqual(Record.from_json(document), FULL)

    def test_losses_are_kept_bit_for_bit(self):
        losses = np.float32([0.1, 1e-30, 3.0, np.inf])
        np.testing.assert_array_equal(Measured.of(1, losses).losses, losses)

    @parameterized.named_parameters((k, *v) for k, v in OLD.items())
    def test_reads_what_version_0_1_wrote(self, document, expected):
        document = json.loads(json.dumps(document))
        before = json.loads(json.dumps(document))
        self.assertEqual(Record.from_json(document), expected)
        self.assertEqual(document, before)

    def test_records_share_nothing(self):
        first, second = Record(), Record()
        first.notes['mine'], first.place.stage = 1, 5
        self.assertEqual(second, Record())

    @parameterized.parameters(
        {},
        {'record': {}},
        {'position': 0},
        {'position': 0, 'record': None},
        {'version': 2},
        {'version': 2, 'place': {'stages': 1}, 'best': {}, 'waiting': {}},
    )
    def test_refuses_what_is_neither(self, **document):
        with self.assertRaises((KeyError, TypeError, ValueError)):
            Record.from_json(document)


if __name__ == '__main__':
    absltest.main()
