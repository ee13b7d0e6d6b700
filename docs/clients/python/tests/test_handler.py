"""The handlers: one execution for each signal, whatever is repeated, late or interrupted."""

import hashlib
import hmac
import json
import math
import sqlite3
import tempfile
import unittest
from pathlib import Path

from coordinator_client import (
    BrokerHandler,
    Credentials,
    DatabaseHandler,
    Lead,
    Order,
    done,
    not_executed,
    receive,
    rejected,
    unknown,
)
from coordinator_client.signals import Signal, fingerprint

LEAD = Lead(5, "claim-a", 1)


def signal(name="Long_1"):
    at = 1764411330
    return {
        "id": name,
        "fingerprint": fingerprint("NIFTY", "BASE_ENTRY", name, at),
        "instrument": "NIFTY",
        "signal_type": "BASE_ENTRY",
        "position": name,
        "timestamp": "2025-11-29T10:15:30.000+00:00",
        "payload": {"price": "24310.55"},
        "state": "claimed",
        "attempt": 1,
        "epoch": 5,
        "note": None,
    }


def order(attempt=1, lead=LEAD, name="Long_1"):
    return Order(Signal.parse(signal(name)), attempt, lead)


def key(name="Long_1"):
    return signal(name)["fingerprint"]


class HandlerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "desk.db"
        with self.connect() as database:
            database.execute("CREATE TABLE desk_order (signal TEXT)")

    def connect(self):
        database = sqlite3.connect(self.path)
        self.addCleanup(database.close)
        return database

    def orders(self):
        with self.connect() as database:
            return database.execute("SELECT count(*) FROM desk_order").fetchone()[0]

    def book(self, signal, database):
        database.execute("INSERT INTO desk_order VALUES (?)", (signal.key,))

    def database_handler(self, function=None):
        handler = DatabaseHandler(self.connect, function or self.book)
        handler.create_tables()
        return handler

    def broker_handler(self, function, lookup=None):
        handler = BrokerHandler(self.connect, function, lookup)
        handler.create_tables()
        return handler


class DatabaseHandlerTest(HandlerTest):
    def test_a_repeated_order_has_the_same_answer_and_no_second_effect(self):
        handler = self.database_handler(lambda signal, database: self.book(signal, database) or done("order 4711"))
        for attempt in (1, 1, 2):
            self.assertEqual(handler.execute(order(attempt)), done("order 4711"))
        self.assertEqual(handler.look_up(key(), 1, LEAD), done("order 4711"))
        self.assertEqual(self.orders(), 1)

    def test_an_attempt_that_was_looked_up_comes_too_late_and_the_next_one_is_executed(self):
        handler = self.database_handler()
        self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "not_executed")
        self.assertEqual(handler.execute(order(1)).outcome, "not_executed")
        self.assertEqual(self.orders(), 0)
        self.assertEqual(handler.execute(order(2)).outcome, "done")
        self.assertEqual(self.orders(), 1)

    def test_a_former_leader_and_a_second_claim_of_the_epoch_execute_nothing(self):
        handler = self.database_handler()
        handler.execute(order(name="Long_2"))
        for lead in (Lead(4, "claim-a"), Lead(5, "claim-b")):
            self.assertEqual(handler.execute(order(lead=lead)).outcome, "not_executed")
            self.assertEqual(handler.look_up(key(), 1, lead).outcome, "unknown")
        self.assertEqual(self.orders(), 1)

    def test_after_an_exception_nothing_is_written(self):
        def fails(signal, database):
            self.book(signal, database)
            raise ValueError("no price")

        handler = self.database_handler(fails)
        with self.assertLogs("coordinator_client"):
            answer = handler.execute(order())
        self.assertEqual((answer.outcome, answer.note), ("not_executed", "ValueError: no price"))
        self.assertEqual(self.orders(), 0)

    def test_a_function_that_commits_leaves_the_signal_in_doubt_and_is_not_called_again(self):
        for fails in (False, True):
            with self.subTest(fails=fails):
                name = f"Long_{fails}"
                calls = []

                def commits(signal, database):
                    calls.append(signal)
                    with database:
                        self.book(signal, database)
                    if fails:
                        raise ValueError("afterwards")

                handler = self.database_handler(commits)
                with self.assertLogs("coordinator_client"):
                    self.assertEqual(handler.execute(order(name=name)).outcome, "unknown")
                self.assertEqual(handler.look_up(key(name), 1, LEAD).outcome, "unknown")
                self.assertEqual(handler.execute(order(name=name)).outcome, "unknown")
                self.assertEqual(len(calls), 1)

    def test_outcomes_are_forgotten_after_the_retention_and_not_before(self):
        handler = self.database_handler()
        handler.execute(order())
        handler.forget(400)
        self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "done")
        with self.connect() as database:
            database.execute("UPDATE coordinator_execution SET noted_s = noted_s - 401 * 86400")
        handler.forget(400)
        self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "not_executed")

    def test_a_refusal_by_the_function_is_final_and_not_executed_is_not(self):
        answers = [not_executed("market closed"), rejected("no such instrument")]
        handler = self.database_handler(lambda signal, database: answers.pop(0))
        self.assertEqual(handler.execute(order(1)).outcome, "not_executed")
        self.assertEqual(handler.execute(order(2)).outcome, "rejected")
        self.assertEqual(handler.execute(order(3)).outcome, "rejected")

    def test_an_unknown_outcome_stays_in_doubt_until_an_operator_sends_the_signal_again(self):
        answers = [unknown("the screen froze"), done()]
        handler = self.database_handler(lambda signal, database: answers.pop(0))
        self.assertEqual(handler.execute(order(1)), unknown("the screen froze"))
        self.assertEqual(handler.execute(order(1)).outcome, "unknown")
        self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "unknown")
        self.assertEqual(handler.execute(order(2)), done())

    def test_a_database_that_does_not_answer_is_an_unknown_outcome(self):
        handler = self.database_handler()
        handler._connect = lambda: sqlite3.connect("/nowhere/desk.db")
        with self.assertLogs("coordinator_client"):
            self.assertEqual(handler.execute(order()).outcome, "unknown")
            self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "unknown")


class BrokerHandlerTest(HandlerTest):
    def test_an_interrupted_call_is_looked_up_at_the_broker_and_never_repeated(self):
        calls = []

        def fails(signal):
            calls.append(signal.key)
            raise ConnectionError("reset")

        found = []
        handler = self.broker_handler(fails, lambda signal: found.pop(0))
        with self.assertLogs("coordinator_client"):
            self.assertEqual(handler.execute(order()).outcome, "unknown")
        self.assertEqual(handler.execute(order()).outcome, "unknown", "it began and has no outcome")
        found += [None, done("order 9")]
        self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "unknown")
        self.assertEqual(handler.look_up(key(), 1, LEAD), done("order 9"))
        self.assertEqual(handler.execute(order(2)), done("order 9"), "the outcome is stored")
        self.assertEqual(calls, [key()])

    def test_a_broker_that_excludes_the_order_releases_the_next_attempt_only(self):
        answers = [ConnectionError("reset"), done("order 2")]

        def function(signal):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        handler = self.broker_handler(function, lambda signal: not_executed("no order"))
        with self.assertLogs("coordinator_client"):
            handler.execute(order(1))
        self.assertEqual(handler.look_up(key(), 1, LEAD).outcome, "not_executed")
        self.assertEqual(handler.execute(order(1)).outcome, "not_executed")
        self.assertEqual(handler.execute(order(2)), done("order 2"))

    def test_while_the_call_runs_a_lookup_answers_unknown(self):
        seen = []
        handler = self.broker_handler(
            lambda signal: seen.append(handler.look_up(signal.key, 1, LEAD)), lambda signal: not_executed("no order")
        )
        self.assertEqual(handler.execute(order()).outcome, "done")
        self.assertEqual(seen[0].outcome, "unknown")


class ReceiveTest(HandlerTest):
    def headers(self, **changes):
        headers = {
            "Idempotency-Key": key(),
            "Coordinator-Epoch": "5",
            "Coordinator-Claim": "claim-a",
            "Coordinator-Timeline": "1",
            "Coordinator-Attempt": "1",
        }
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        return headers.get

    def test_only_a_promise_names_the_attempt(self):
        handler = self.database_handler()
        status, body = receive.look_up(handler, self.headers(), key())
        self.assertEqual((status, json.loads(body)["outcome"], json.loads(body)["attempt"]), (200, "not_executed", 1))
        receive.execute(handler, self.headers(Coordinator_Attempt="2"), json.dumps(signal()).encode())
        status, body = receive.look_up(handler, self.headers(Coordinator_Attempt="2"), key())
        self.assertEqual((status, json.loads(body)), (200, {"outcome": "done"}))

    def test_requests_that_no_leader_sends_are_refused_and_execute_nothing(self):
        handler = self.database_handler()
        body = json.dumps(signal()).encode()
        for headers, sent in [
            (self.headers(Coordinator_Epoch=None), body),
            (self.headers(Coordinator_Claim=""), body),
            (self.headers(Coordinator_Attempt="1.5"), body),
            (self.headers(Idempotency_Key="0" * 64), body),
            (self.headers(), json.dumps({**signal(), "position": "Long_9"}).encode()),
            (self.headers(), b"[]"),
            (self.headers(), b"{"),
        ]:
            status, answer = receive.execute(handler, headers, sent)
            self.assertEqual(status, 400)
            self.assertNotIn("outcome", json.loads(answer))
        self.assertEqual(self.orders(), 0)

    def test_a_request_needs_the_signature_of_a_key_and_a_token(self):
        handler = self.database_handler()
        body = json.dumps(signal()).encode()
        credentials = Credentials(keys=["next", "key"], tokens=["secret"])
        text = f"POST\n{key()}\n1\n5\nclaim-a\n1\n".encode() + body
        signed = "sha256=" + hmac.new(b"key", text, hashlib.sha256).hexdigest()
        good = {"Coordinator_Signature": signed, "Authorization": "Bearer secret"}
        for change in [
            {"Coordinator_Signature": None},
            {"Coordinator_Signature": "sha256="},
            {"Coordinator_Attempt": "2"},
            {"Coordinator_Timeline": None},
            {"Authorization": "Bearer public"},
            {"Authorization": None},
        ]:
            status, answer = receive.execute(handler, self.headers(**{**good, **change}), body, credentials)
            self.assertEqual((status, "outcome" in json.loads(answer)), (403, False), change)
        self.assertEqual(receive.execute(handler, self.headers(**good), body + b" ", credentials)[0], 403)
        self.assertEqual(self.orders(), 0)
        status, answer = receive.execute(handler, self.headers(**good), body, credentials)
        self.assertEqual((status, json.loads(answer)["outcome"]), (200, "done"))
        text = f"GET\n{key()}\n1\n5\nclaim-a\n1\n".encode()
        good["Coordinator_Signature"] = "sha256=" + hmac.new(b"key", text, hashlib.sha256).hexdigest()
        self.assertEqual(receive.look_up(handler, self.headers(**good), key("Long_9"), credentials)[0], 400)
        self.assertEqual(receive.look_up(handler, self.headers(**good), key(), credentials)[0], 200)

    def test_a_note_that_is_no_json_is_sent_as_text(self):
        handler = self.database_handler(lambda signal, database: done(math.nan))
        status, body = receive.execute(handler, self.headers(), json.dumps(signal()).encode())
        self.assertEqual((status, json.loads(body)), (200, {"outcome": "done", "note": "nan"}))


if __name__ == "__main__":
    unittest.main()
