"""Work that follows a leadership, with answers from a fake instance."""

import threading
import unittest

from coordinator_client import clock
from coordinator_client.roles import LeaderAnswer, WhileLeader


class WhileLeaderTest(unittest.TestCase):
    def test_work_that_returns_runs_once_for_each_leadership(self):
        polls, runs, second = [], [], threading.Event()

        def poll():
            polls.append(None)
            epoch = 1 if len(polls) < 6 else 2
            return LeaderAnswer(True, "desk-1", None, epoch, clock.now() + 30)

        def work(leadership):
            runs.append(leadership.epoch)
            if leadership.epoch == 2:
                second.set()

        following = WhileLeader(work, poll).start()
        self.assertTrue(second.wait(30))
        following.stop()
        self.assertEqual(runs, [1, 2])


if __name__ == "__main__":
    unittest.main()
