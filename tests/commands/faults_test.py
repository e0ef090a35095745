"""A few faults of each kind; `fault_campaign.py` injects many."""

import os
import tempfile
import unittest

import fault_campaign
import odd_machines
import running_commands
import tensorflow as tf

from tfcharrnn import train


class FaultsTest(unittest.TestCase):
    def setUp(self):
        super().setUp()
        tf.get_logger().setLevel('ERROR')
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        self.campaign = fault_campaign.Campaign(folder.name)

    def assert_survived(self, *kinds):
        self.assertEqual(self.campaign.lost, [])
        for kind in kinds:
            self.assertGreater(self.campaign.results[kind].total(), 0)

    def test_kill_9(self):
        self.campaign.kills(1)
        self.assert_survived('kill -9')
        outcomes = self.campaign.results['kill -9']
        self.assertEqual(outcomes['same weights'], 1)

    def test_kill_9_of_a_run_that_goes_back(self):
        more = fault_campaign.KINDS_OF_RUNS['rollbacks']
        self.campaign.kills(1, 'rollbacks', *more)
        self.assert_survived('rollbacks')
        outcomes = self.campaign.results['rollbacks']
        self.assertEqual(outcomes['same weights'], 1)

    def test_odd_machines_make_the_same_run(self):
        found = set()
        for machine in ('sound', 'jumping clock', 'no locks'):
            with odd_machines.MACHINES[machine]():
                status, _, err = running_commands.run(
                    train,
                    *fault_campaign.SHORT,
                    '--steps=20',
                    f'--model_dir={machine}',
                )
            self.assertEqual(status, 0, err)
            self.assertEqual('no locks' in err, machine == 'no locks', err)
            found.add(running_commands.weights(machine))
        self.assertEqual(len(found), 1)

    def test_a_disk_that_is_full(self):
        self.campaign.disk([fault_campaign.LIMIT])
        self.assert_survived('file-size limit')

    def test_a_directory_that_is_read_only_or_in_use(self):
        self.campaign.others()
        self.assert_survived('read-only', 'in use')

    def test_damaged_files(self):
        kinds = 'truncated', 'bit flipped', "another run's", 'deleted'
        self.campaign.damages(['ckpt-20.index', 'vocabulary.json'], kinds)
        self.assert_survived(*(f'{kind} file' for kind in kinds))


if __name__ == '__main__':
    unittest.main()
