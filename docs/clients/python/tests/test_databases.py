"""The fence and the handlers on PostgreSQL through psycopg, and through SQLAlchemy, on two connections."""

import tempfile
import threading
import unittest
from pathlib import Path

import psycopg
import sqlalchemy
from postgres import Postgres
from sqlalchemy.orm import Session
from test_handler import key, order

from coordinator_client import DatabaseHandler, Fenced, HandlerFence, Lead, NoTransaction, Token, done, fenced


class DatabasesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.postgres = Postgres()
        cls.addClassCleanup(cls.postgres.end)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        sqlite = sqlalchemy.create_engine(f"sqlite:///{Path(folder.name) / 'desk.db'}")
        cls.connects = {
            "psycopg": lambda: psycopg.connect(cls.postgres.url),
            "sqlalchemy, sqlite": sqlite.connect,
            "sqlalchemy session, sqlite": lambda: Session(sqlite),
        }
        cls.engines = [sqlite]
        # Debian 12 has SQLAlchemy 1.4, which has no dialect for psycopg 3.
        if sqlalchemy.__version__ >= "2":
            cls.engines.append(sqlalchemy.create_engine(cls.postgres.url.replace("postgresql", "postgresql+psycopg")))
            cls.connects["sqlalchemy, psycopg"] = cls.engines[1].connect

    @classmethod
    def tearDownClass(cls):
        for engine in cls.engines:
            engine.dispose()

    def test_a_signal_is_executed_once_and_a_promise_holds(self):
        for number, (kind, connect) in enumerate(self.connects.items()):
            with self.subTest(kind):
                calls = []
                handler = DatabaseHandler(
                    connect, lambda signal, database: calls.append(signal.id), name=f"once-{number}"
                )
                handler.create_tables()
                handler.create_tables()
                lead = Lead(5, "claim-a")
                self.assertEqual(handler.look_up(key("a"), 1, lead).outcome, "not_executed")
                self.assertEqual(handler.execute(order(1, lead, "a")).outcome, "not_executed")
                self.assertEqual(handler.execute(order(2, lead, "a")), done())
                self.assertEqual(handler.execute(order(2, lead, "a")), done())
                self.assertEqual(handler.look_up(key("a"), 2, lead), done())
                self.assertEqual(handler.execute(order(1, Lead(4, "claim-z"), "b")).outcome, "not_executed")
                self.assertEqual(calls, ["a"])

    def test_the_fence_of_one_transaction_delays_the_other_until_it_commits(self):
        fence = HandlerFence("delay")
        with psycopg.connect(self.postgres.url) as first:
            fence.create_tables(first)
        first, second = psycopg.connect(self.postgres.url), psycopg.connect(self.postgres.url)
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        fence.check(first, "a", 5, "x", 1)
        outcome = []

        def late():
            try:
                fence.check(second, "a", 4, "w", 1)
            except Fenced:
                outcome.append("fenced")

        thread = threading.Thread(target=late)
        thread.start()
        with psycopg.connect(self.postgres.url, autocommit=True) as observer:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            while observer.execute(waiting).fetchone()[0] == 0:
                self.assertTrue(thread.is_alive(), "it waits for the lock")
        first.commit()
        thread.join()
        self.assertEqual(outcome, ["fenced"])

    def test_a_stopped_process_blocks_the_others_for_a_limited_time(self):
        seen = []

        def function(signal, database):
            for name in ("idle_in_transaction_session_timeout", "lock_timeout"):
                seen.append(database.execute(f"SHOW {name}").fetchone()[0])

        handler = DatabaseHandler(self.connects["psycopg"], function, name="limited")
        handler.create_tables()
        self.assertEqual(handler.execute(order(1, Lead(5, "claim-a"))), done())
        self.assertEqual(seen, ["10s", "10s"])

    def test_autocommit_is_refused(self):
        with psycopg.connect(self.postgres.url, autocommit=True) as database:
            fence = HandlerFence("auto")
            fence.create_tables(database)
            with self.assertRaises(NoTransaction):
                fence.check(database, "a", 1, "x", 1)
            with database.transaction():
                fence.check(database, "a", 1, "x", 1)

    def test_the_token_of_the_lease_is_checked_and_locked(self):
        with psycopg.connect(self.postgres.url) as database:
            database.execute(
                "CREATE TABLE coordinator_lease (group_id text, tl bigint, epoch bigint, claim uuid, holder text,"
                " released boolean, renewed_at timestamptz)"
            )
            claim = "00000000-0000-0000-0000-000000000005"
            database.execute(
                "INSERT INTO coordinator_lease VALUES ('default', 1, 7, %s, 'desk-1', false, now())", [claim]
            )
            database.commit()
            fenced(database.cursor(), Lead(7, claim, 1).token())
            database.commit()
            self.assertEqual(Token.read(database.cursor(), "desk-1", 7), Token(1, 7, claim))
            for token in (Token(1, 6, claim), Token(2, 7, claim), Token(1, 7, claim, "other")):
                with self.assertRaises(Fenced):
                    fenced(database.cursor(), token)
                database.rollback()


if __name__ == "__main__":
    unittest.main()
