"""A few faults of each kind; `fault_campaign.py` injects many."""

import os
import tempfile
import unittest

import fault_campaign
import tensorflow as tf


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
