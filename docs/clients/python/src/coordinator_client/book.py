"""`Book`: which signals a service has begun and what came of them, in the service's own database.

Used by the handlers, always in the transaction that holds the lock of the fence. Invariant: one signal has at most one
row, whatever its attempts and the processes that receive them.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Optional

from .database import Database
from .signals import Answer, Signal

TABLE = """CREATE TABLE IF NOT EXISTS coordinator_execution (
    name varchar(64) NOT NULL, signal varchar(128) NOT NULL, attempt bigint NOT NULL, outcome varchar(16),
    note varchar(512), heartbeats bigint NOT NULL, noted_s bigint NOT NULL, document text NOT NULL,
    PRIMARY KEY (name, signal))"""


@dataclass(frozen=True)
class Entry:
    """A signal that was begun."""

    attempt: int
    #: None while the outcome is not known.
    answer: Optional[Answer]
    #: Grows while a process executes the signal.
    heartbeats: int
    #: None once the outcome is known.
    signal: Optional[Signal]


class Book:
    """The table `coordinator_execution`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_table(self, database: Database) -> None:
        """Creates the table if it does not exist."""
        database.execute(TABLE)

    def find(self, database: Database, key: str) -> Optional[Entry]:
        """The entry of a signal."""
        rows = database.execute(
            "SELECT attempt, outcome, note, heartbeats, document FROM coordinator_execution"
            " WHERE name = :name AND signal = :signal",
            {"name": self._name, "signal": key},
        )
        if not rows:
            return None
        attempt, outcome, note, heartbeats, document = rows[0]
        answer = None if outcome is None else Answer(outcome, note)
        return Entry(attempt, answer, heartbeats, Signal.parse(json.loads(document)) if document else None)

    def begin(self, database: Database, signal: Signal, attempt: int) -> None:
        """Notes that this attempt may be executed from now on."""
        self.remove(database, signal.key)
        self._insert(database, signal.key, attempt, json.dumps(dict(signal.document)), None)

    def finish(self, database: Database, key: str, attempt: int, answer: Answer) -> None:
        """Notes the outcome."""
        self.remove(database, key)
        self._insert(database, key, attempt, "", answer)

    def forget(self, database: Database, before_s: int) -> None:
        """Removes the entries whose outcome was noted before that time in Unix seconds."""
        database.execute(
            "DELETE FROM coordinator_execution WHERE name = :name AND outcome IS NOT NULL AND noted_s < :before",
            {"name": self._name, "before": before_s},
        )

    def remove(self, database: Database, key: str) -> None:
        """Removes the entry: the attempt will not be executed."""
        database.execute(
            "DELETE FROM coordinator_execution WHERE name = :name AND signal = :signal",
            {"name": self._name, "signal": key},
        )

    def heartbeat(self, database: Database, key: str, attempt: int) -> None:
        """Notes that a process still executes the attempt."""
        database.execute(
            "UPDATE coordinator_execution SET heartbeats = heartbeats + 1"
            " WHERE name = :name AND signal = :signal AND attempt = :attempt",
            {"name": self._name, "signal": key, "attempt": attempt},
        )

    def _insert(self, database: Database, key: str, attempt: int, document: str, answer: Optional[Answer]) -> None:
        database.execute(
            "INSERT INTO coordinator_execution (name, signal, attempt, outcome, note, heartbeats, noted_s, document)"
            " VALUES (:name, :signal, :attempt, :outcome, :note, 0, :noted_s, :document)",
            {
                "name": self._name,
                "signal": key,
                "attempt": attempt,
                "outcome": None if answer is None else answer.outcome,
                "note": None if answer is None else answer.document().get("note"),
                "noted_s": int(time.time()),
                # Only a lookup needs the signal, which may have 64 KiB: it is removed with the outcome.
                "document": document,
            },
        )
