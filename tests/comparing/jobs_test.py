import os
import pathlib
import signal
import sys
import tempfile
import threading
import time

from absl.testing import absltest

from tfcharrnn.comparing import jobs
from tfcharrnn.comparing.jobs import Job

# Ends by itself after a minute, with a status of its own on Ctrl-C.
WAIT = """
import pathlib, signal, sys, time
def stop(number, _):
    print('saved'); sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""


class JobsTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(
            self.enter_context(tempfile.TemporaryDirectory())
        )

    def job(self, name, code, *arguments):
        command = [sys.executable, '-S', '-c', code, *arguments]
        return Job(name, command, self.folder / 'logs' / f'{name}.log')

    def test_all_run_and_what_they_say_is_logged(self):
        some = [self.job(str(i), f'print({i})') for i in range(3)]
        ended = jobs.run(some, 2)
        self.assertEqual(ended.statuses, {'0': 0, '1': 0, '2': 0})
        self.assertIsNone(ended.signal)
        self.assertEqual([job.tail() for job in some], ['0\n', '1\n', '2\n'])

    def test_one_that_fails_leaves_the_others(self):
        code = "import sys; sys.exit('Error: It is broken.')"
        some = [self.job('bad', code), self.job('good', 'pass')]
        told = []
        ended = jobs.run(
            some, 1, on_end=lambda job, status: told.append((job.name, status))
        )
        self.assertEqual(ended.statuses, {'bad': 1, 'good': 0})
        self.assertEqual(told, [('bad', 1), ('good', 0)])
        self.assertEqual(some[0].error(), 'It is broken.')

    def test_no_more_run_at_once_than_were_asked_for(self):
        code = (
            'import os, sys, time\n'
            'path = sys.argv[1] + str(os.getpid())\n'
            'open(path, "w").close()\n'
            'print(len(os.listdir(sys.argv[1])))\n'
            'time.sleep(0.3); os.remove(path)'
        )
        place = self.folder / 'running'
        place.mkdir()
        some = [self.job(str(i), code, f'{place}/') for i in range(5)]
        jobs.run(some, 2)
        self.assertLessEqual(max(int(job.tail()) for job in some), 2)

    def test_ctrl_c_stops_all_of_them_and_begins_no_other(self):
        marks = [self.folder / str(i) for i in range(3)]
        some = [self.job(str(i), WAIT, str(marks[i])) for i in range(3)]

        def stop():
            while not (marks[0].exists() and marks[1].exists()):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=stop).start()
        ended = jobs.run(some, 2)
        self.assertEqual(ended.signal, signal.SIGINT)
        self.assertEqual(ended.statuses, {'0': 130, '1': 130})
        self.assertEqual([job.tail() for job in some], ['saved\n'] * 2 + [''])

    def test_an_error_on_the_way_leaves_no_process(self):
        mark = self.folder / 'mark'

        def fail(_):
            if mark.exists():
                raise RuntimeError

        some = [self.job('0', WAIT + 'print("on")', str(mark))]
        begin = time.monotonic()
        with self.assertRaises(RuntimeError):
            jobs.run(some, 1, report=fail)
        self.assertLess(time.monotonic() - begin, 50)

    def test_the_share_is_that_of_the_last_line_about_steps(self):
        job = self.job('0', '')
        self.assertEqual(job.share(), 0.0)
        job.log.parent.mkdir()
        job.log.write_text('step 5/2,000 | loss 3\nstep 1,500/2,000 | loss 2\n')
        self.assertEqual(job.share(), 0.75)

    def test_threads_are_shared_out_and_existing_values_are_kept(self):
        kept = {'TF_NUM_INTEROP_THREADS': '7'}
        with absltest.mock.patch.dict(os.environ, kept):
            os.environ.pop('TF_NUM_INTRAOP_THREADS', None)
            variables = jobs.environment(4)
        self.assertEqual(variables['TF_NUM_INTRAOP_THREADS'], '2')
        self.assertEqual(variables['TF_NUM_INTEROP_THREADS'], '7')


if __name__ == '__main__':
    absltest.main()
