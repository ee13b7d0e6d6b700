"""`HandlerFence`: what a receiver of orders remembers, in its own database, so that a former leader cannot reach it.

Invariant: after `promise` is committed, no process accepts an earlier order of that attempt.
"""

from __future__ import annotations

from typing import Any

from .database import Database
from .errors import Fenced

TABLES = (
    """CREATE TABLE IF NOT EXISTS coordinator_fence (
        name varchar(64) PRIMARY KEY, epoch bigint NOT NULL, claim varchar(64) NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS coordinator_promise (
        name varchar(64) NOT NULL, signal varchar(128) NOT NULL, epoch bigint NOT NULL, attempt bigint NOT NULL,
        PRIMARY KEY (name, signal))""",
)


class HandlerFence:
    """The largest epoch that the processes of a service have seen, and the attempts that they promised to refuse.

    Every call belongs to a transaction of the caller. The first statement locks the row of the fence until that
    transaction ends, so a check and the effect after it are one step for all processes. `name` separates the
    fences of several groups in one database.
    """

    def __init__(self, name: str = "default") -> None:
        self._name = name

    def lock(self, connection: Any, epoch: int, claim: str) -> None:
        """Locks the fence until the transaction ends and remembers the leader. Raises Fenced for a former leader."""
        self._see(Database(connection), epoch, claim)

    def create_tables(self, connection: Any) -> None:
        """Creates the two tables of the fence if they do not exist."""
        for table in TABLES:
            Database(connection).execute(table)

    def check(self, connection: Any, signal: str, epoch: int, claim: str, attempt: int) -> None:
        """Remembers the leader and raises Fenced if this order must not be executed. Call it before the effect."""
        database = Database(connection)
        self._see(database, epoch, claim)
        promised = database.execute(
            "SELECT attempt FROM coordinator_promise WHERE name = :name AND signal = :signal AND epoch = :epoch",
            {"name": self._name, "signal": signal, "epoch": epoch},
        )
        if promised and attempt <= promised[0][0]:
            raise Fenced(f"attempt {attempt} was looked up and will not be executed; a later attempt will be")

    def promise(self, connection: Any, signal: str, epoch: int, claim: str, attempt: int) -> None:
        """Remembers that this attempt and all earlier ones are refused. Commit before you answer `not_executed`."""
        database = Database(connection)
        self._see(database, epoch, claim)
        # A promise of an earlier epoch has no use any more: its orders are refused by their epoch.
        database.execute(
            "DELETE FROM coordinator_promise WHERE name = :name AND epoch < :epoch",
            {"name": self._name, "epoch": epoch},
        )
        database.execute(
            """INSERT INTO coordinator_promise (name, signal, epoch, attempt)
            VALUES (:name, :signal, :epoch, :attempt)
            ON CONFLICT (name, signal) DO UPDATE SET
                attempt = CASE WHEN coordinator_promise.epoch = excluded.epoch
                                AND coordinator_promise.attempt > excluded.attempt
                          THEN coordinator_promise.attempt ELSE excluded.attempt END,
                epoch = excluded.epoch""",
            {"name": self._name, "signal": signal, "epoch": epoch, "attempt": attempt},
        )

    def _see(self, database: Database, epoch: int, claim: str) -> None:
        """Locks the fence, takes a larger epoch, and refuses a former leader."""
        # The conflict locks the row also where the condition is false.
        database.execute(
            """INSERT INTO coordinator_fence (name, epoch, claim) VALUES (:name, :epoch, :claim)
            ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch, claim = excluded.claim
            WHERE excluded.epoch > coordinator_fence.epoch""",
            {"name": self._name, "epoch": epoch, "claim": claim},
        )
        database.require_transaction()
        rows = database.execute("SELECT epoch, claim FROM coordinator_fence WHERE name = :name", {"name": self._name})
        latest, first = rows[0]
        if epoch < latest:
            raise Fenced(f"epoch {epoch} is over; epoch {latest} was seen")
        if claim != first:
            raise Fenced(
                f"epoch {epoch} was first seen under another claim; hand over (step-down) to get a larger epoch"
            )
