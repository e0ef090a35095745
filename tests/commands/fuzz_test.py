"""What `fuzz_campaign.py` has to find is planted, and it finds it."""

import os
import tempfile
from unittest import mock

import fuzz_campaign
import running_commands
from absl.testing import absltest, parameterized

from tfcharrnn import files
from tfcharrnn.generation import generator


def find(part, most, finished=running_commands.finished):
    """Returns the outcome of the first case that is lost, among so many."""
    bard = os.path.join(finished()[0], 'bard')
    for number in range(most):
        outcome, _ = fuzz_campaign.run_case(part, number, seed=0, bard=bard)
        if outcome.startswith('lost'):
            return outcome
    return None


def spin(notes, bard, seed, *cases):
    """Begins a case, and never ends it."""
    fuzz_campaign.note_begin(notes, cases[0])
    while True:
        pass


def die(notes, bard, seed, *cases):
    """Begins a case, and ends the process."""
    fuzz_campaign.note_begin(notes, cases[0])
    os._exit(3)


class FuzzTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        fuzz_campaign.FLAGS(['fuzz'])

    def test_nothing_is_found_where_nothing_is_planted(self):
        self.assertIsNone(find('flags', 3))

    def test_a_traceback_is_found(self):
        mistake = KeyError('a mistake')
        with mock.patch.object(generator, 'Generator', side_effect=mistake):
            self.assertEqual(find('flags', 40), 'lost: a traceback')

    @parameterized.parameters(('same', 'lost'), (None, None))
    def test_a_checksum_that_is_always_the_same_is_found(self, sum_, outcome):
        patch = mock.patch.object
        self.enter_context(patch(fuzz_campaign, 'FILES', ('vocabulary.json',)))
        self.enter_context(patch(fuzz_campaign, 'REPORTS', ('model.json',)))
        if sum_:
            self.enter_context(patch(files, 'checksum', return_value=sum_))
        made = running_commands.finished.__wrapped__  # With these checksums.
        self.assertEqual(find('files', 30, made), outcome)

    def run_worker(self, work):
        with tempfile.TemporaryDirectory() as folder:
            worker = fuzz_campaign.Worker(folder, '', ['flags:7'], work)
            return [outcome for _, outcome, _ in worker.outcomes()]

    def test_what_does_not_end_is_found(self):
        with mock.patch.object(fuzz_campaign, '_SECONDS', 1):
            self.assertEqual(self.run_worker(spin), ['lost: no end'])

    def test_what_dies_is_found(self):
        self.assertEqual(self.run_worker(die), ['lost: died'])


if __name__ == '__main__':
    absltest.main()
