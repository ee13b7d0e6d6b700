"""Work that follows a leadership, with answers from a fake instance."""

import asyncio
import socket
import threading
import unittest

from coordinator_client import AsyncCoordinator, Coordinator, LeadershipOver, clock
from coordinator_client.roles import LeaderAnswer, Leadership, WhileLeader


def leading(claim="claim-a", epoch=1, valid=30.0):
    return LeaderAnswer(True, "desk-1", None, epoch, clock.now() + valid, claim, 1)


STANDBY = LeaderAnswer(False, "desk-2", None, 2, clock.now())


class LeadershipTest(unittest.TestCase):
    def test_an_answer_counts_from_the_moment_of_the_request_and_a_little_less(self):
        document = {"leader": "desk-1", "address": None, "epoch": 7, "timeline": 1, "claim": "c", "valid_for_ms": 6400}
        answer = LeaderAnswer.parse(document, True, 100.0)
        self.assertAlmostEqual(answer.valid_until, 106.4, delta=0.01)
        self.assertLess(answer.valid_until, 106.4)
        self.assertEqual(answer.lead().token(), Leadership(answer).lead.token())
        document = {"leader": "desk-1", "address": None, "epoch": 7}
        self.assertEqual(LeaderAnswer.parse(document, False, 100.0).valid_until, 100.0)

    def test_it_ends_at_once_if_the_port_of_the_instance_is_closed(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        leadership = Leadership(leading())
        self.assertFalse(leadership.renew(Coordinator([url]).local_leadership()))
        self.assertFalse(leadership.is_valid())

    def test_it_ends_at_its_deadline_also_without_another_answer(self):
        leadership = Leadership(leading(valid=0.2))
        self.assertFalse(leadership.wait(30))
        with self.assertRaises(LeadershipOver):
            leadership.check()
        self.assertFalse(leadership.renew(leading()), "a leadership that has ended does not begin again")

    def test_it_ends_with_another_claim_or_a_standby_and_survives_a_lost_answer(self):
        for answer in (leading(claim="claim-b"), STANDBY):
            leadership = Leadership(leading())
            self.assertTrue(leadership.renew(None))
            self.assertFalse(leadership.renew(answer))


class WhileLeaderTest(unittest.TestCase):
    def test_work_that_returns_runs_once_for_each_leadership(self):
        polls, runs, second = [], [], threading.Event()

        def poll():
            polls.append(None)
            return leading() if len(polls) < 6 else leading("claim-b", 2)

        def work(leadership):
            runs.append(leadership.epoch)
            if leadership.epoch == 2:
                second.set()

        following = WhileLeader(work, poll).start()
        self.assertTrue(second.wait(30))
        following.stop()
        self.assertEqual(runs, [1, 2])

    def test_work_is_stopped_when_another_instance_leads(self):
        answers, stopped = [leading()], threading.Event()

        def work(leadership):
            answers[0] = STANDBY
            while leadership.wait(0.05):
                pass
            stopped.set()

        following = WhileLeader(work, lambda: answers[0]).start()
        self.assertTrue(stopped.wait(30))
        following.stop()

    def test_an_error_of_the_work_is_kept_and_ends_it(self):
        failed = threading.Event()

        def work(leadership):
            failed.set()
            raise ValueError("no feed")

        following = WhileLeader(work, leading)
        following.start()
        self.assertTrue(failed.wait(30))
        following.stop()
        self.assertIsInstance(following.error, ValueError)


class AsyncWhileLeaderTest(unittest.TestCase):
    def coordinator(self, poll):
        coordinator = AsyncCoordinator(["http://127.0.0.1:1"])
        coordinator._blocking.local_leadership = poll
        return coordinator

    def test_work_is_cancelled_at_the_deadline_while_a_poll_hangs(self):
        hang, polls = threading.Event(), []

        def poll():
            polls.append(None)
            if len(polls) == 1:
                return leading(valid=0.3)
            hang.wait(30)
            return None

        async def scenario():
            cancelled = asyncio.Event()

            async def work(leadership):
                try:
                    await asyncio.sleep(30)
                except asyncio.CancelledError:
                    self.assertFalse(leadership.is_valid())
                    cancelled.set()
                    raise

            following = asyncio.ensure_future(self.coordinator(poll).run_while_leader(work))
            try:
                await asyncio.wait_for(cancelled.wait(), 20)
            finally:
                hang.set()
                following.cancel()
                await asyncio.wait({following})

        asyncio.run(scenario())

    def test_it_raises_what_the_work_raises(self):
        async def work(leadership):
            raise ValueError("no feed")

        with self.assertRaises(ValueError):
            asyncio.run(self.coordinator(lambda: leading()).run_while_leader(work))


if __name__ == "__main__":
    unittest.main()
