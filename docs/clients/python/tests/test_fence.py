"""The rules of the fence, on two connections to one SQLite file, as two processes have them."""

import math
import sqlite3
import tempfile
import unittest
from pathlib import Path

from coordinator_client import Fenced, HandlerFence, NoTransaction, fingerprint
from coordinator_client.signals import encode


class FenceTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "desk.db"
        self.fence = HandlerFence()
        with self.connect() as db:
            self.fence.create_tables(db)

    def connect(self, **options):
        db = sqlite3.connect(self.path, **options)
        self.addCleanup(db.close)
        return db

    def test_a_former_leader_and_another_claim_are_refused_by_every_connection(self):
        with self.connect() as db:
            self.fence.check(db, "a", 5, "x", 1)
        for epoch, claim in [(4, "x"), (5, "y")]:
            with self.assertRaises(Fenced), self.connect() as db:
                self.fence.check(db, "a", epoch, claim, 1)

    def test_a_promise_refuses_the_attempt_until_a_larger_epoch(self):
        with self.connect() as db:
            self.fence.promise(db, "a", 5, "x", 2)
            self.fence.promise(db, "a", 5, "x", 1)
        with self.assertRaises(Fenced), self.connect() as db:
            self.fence.check(db, "a", 5, "x", 2)
        with self.connect() as db:
            self.fence.check(db, "a", 5, "x", 3)
            self.fence.check(db, "a", 6, "y", 1)

    def test_autocommit_is_refused(self):
        with self.assertRaises(NoTransaction):
            self.fence.check(self.connect(isolation_level=None), "a", 1, "x", 1)

    def test_nan_is_refused_and_the_fingerprint_is_that_of_the_documentation(self):
        with self.assertRaises(ValueError):
            encode({"price": math.nan})
        self.assertEqual(
            fingerprint("NIFTY", "BASE_ENTRY", "Long_1", 1764411330),
            "f3cf0ef24f784b2f0c9c2ffa478b5a13864e02ca72f3c846cfd41e1f9d0b64d2",
        )


if __name__ == "__main__":
    unittest.main()
