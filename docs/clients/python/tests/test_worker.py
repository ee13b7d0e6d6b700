"""The worker against a ledger in memory: lost answers, other workers, doubts."""

import sqlite3
import tempfile
import unittest
from pathlib import Path

from test_handler import key, signal

from coordinator_client import BrokerHandler, Claim, DatabaseHandler, Lead, Order, Worker, clock, done, worker
from coordinator_client.errors import Conflict, NotLeading, Refused
from coordinator_client.roles import LeaderAnswer
from coordinator_client.signals import Signal


class Ledger:
    """The part of `Coordinator` that a worker uses."""

    def __init__(self, *states):
        self.states = dict(states)
        self.results = []
        self.leads = True
        self.claims = 0

    def signals(self, state):
        named = [name for name, own in self.states.items() if own == state]
        return [
            Signal.parse({**signal(name), "state": state, "epoch": 5 if state == "claimed" else None}) for name in named
        ]

    def leader(self):
        return LeaderAnswer(True, "desk-1", None, 5, clock.now() + 1, "claim-a", 1) if self.leads else None

    def claim(self, max, wait):
        self.claims += 1
        received = [name for name, state in self.states.items() if state == "received"][:max]
        self.states.update(dict.fromkeys(received, "claimed"))
        claimed = [Signal.parse({**signal(name), "epoch": 5}) for name in received]
        return Claim(claimed, 5, "claim-a", 1, None)

    def result(self, id, attempt, answer):
        self.results.append((id, answer.outcome))
        if id not in self.states:
            raise Refused(404, {})
        if self.states[id] not in ("claimed", "in_doubt"):
            raise Conflict(409, {})
        self.states[id] = {"not_executed": "received", "unknown": "in_doubt"}.get(answer.outcome, answer.outcome)


class WorkerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "desk.db"
        self.calls = []
        self.handler = DatabaseHandler(self.connect, lambda signal, database: self.calls.append(signal.id))
        self.handler.create_tables()
        real, self.time = worker.clock.now, clock.now()
        self.addCleanup(setattr, worker.clock, "now", real)
        worker.clock.now = lambda: self.time

    def connect(self):
        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        return database

    def test_it_executes_what_it_claims_and_reports_each_result(self):
        ledger = Ledger(("a", "received"), ("b", "received"))
        Worker(ledger, self.handler)._work()
        self.assertEqual((self.calls, ledger.results), (["a", "b"], [("a", "done"), ("b", "done")]))

    def test_a_result_that_comes_too_late_does_not_end_the_worker(self):
        ledger = Ledger(("a", "received"))
        ledger.claim(1, 0)
        ledger.states["a"] = "rejected"
        one = Worker(ledger, self.handler)
        one._report(Signal.parse(signal("a")), done())
        one._report(Signal.parse(signal("forgotten")), done())
        self.assertEqual(ledger.results, [("a", "done"), ("forgotten", "done")])
        self.assertEqual(ledger.states, {"a": "rejected"})

    def test_a_signal_whose_claim_was_lost_is_executed_once_it_stays_claimed(self):
        ledger = Ledger(("a", "claimed"))
        one = Worker(ledger, self.handler)
        one.settle()
        self.assertEqual(self.calls, [], "another worker may have claimed it just now")
        self.time += worker._ROUND
        one.settle()
        self.assertEqual((self.calls, ledger.states), (["a"], {"a": "done"}))

    def test_doubts_are_answered_from_the_database(self):
        self.handler.execute(Order(Signal.parse(signal("a")), 1, Lead(5, "claim-a")))
        ledger = Ledger(("a", "in_doubt"), ("b", "in_doubt"))
        Worker(ledger, self.handler).settle()
        self.assertEqual(ledger.states, {"a": "done", "b": "received"})
        late = self.handler.execute(Order(Signal.parse(signal("b")), 1, Lead(5, "claim-a")))
        self.assertEqual((late.outcome, self.calls), ("not_executed", ["a"]))

    def test_without_a_leader_nothing_is_promised(self):
        ledger = Ledger(("a", "in_doubt"))
        ledger.leads = False
        with self.assertRaises(NotLeading):
            Worker(ledger, self.handler).settle()
        late = self.handler.execute(Order(Signal.parse(signal("a")), 1, Lead(5, "claim-a")))
        self.assertEqual(late.outcome, "done")

    def test_a_signal_that_another_worker_began_is_in_doubt_only_after_its_heartbeats_end(self):
        handler = BrokerHandler(self.connect, lambda signal: self.fail("it was begun by another worker"))
        begun = Signal.parse(signal("a"))
        with worker_transaction(self.connect) as database:
            handler._book.begin(database, begun, 1)
        ledger = Ledger(("a", "claimed"))
        one = Worker(ledger, handler, abandoned_after=30)
        one.settle()
        for _ in range(3):
            self.time += 20
            with worker_transaction(self.connect) as database:
                handler._book.heartbeat(database, key("a"), 1)
            one.settle()
        self.assertEqual(ledger.states, {"a": "claimed"})
        self.time += 30
        one.settle()
        self.assertEqual(ledger.states, {"a": "in_doubt"})

    def test_a_signal_that_another_worker_adopted_is_left_to_it(self):
        handler = BrokerHandler(self.connect, lambda signal: self.fail("another worker executes it"))
        ledger = Ledger(("a", "received"))
        with worker_transaction(self.connect) as database:
            handler._book.begin(database, Signal.parse(signal("a")), 1)
        Worker(ledger, handler)._work()
        self.assertEqual((ledger.results, ledger.states), ([], {"a": "claimed"}))


def worker_transaction(connect):
    from coordinator_client.database import transaction

    return transaction(connect)


if __name__ == "__main__":
    unittest.main()
