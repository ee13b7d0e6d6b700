"""`fenced`: the check of the fencing token in a transaction of the database that contains the lease (PostgreSQL)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Optional

from .database import Database
from .errors import Fenced, LeadershipOver

#: Name of the variable that `coordinator exec` sets.
_VARIABLE = "COORDINATOR_FENCE"
_TIMEOUTS = ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")


@dataclass(frozen=True)
class Token:
    """The fencing token of one leadership."""

    timeline: int
    epoch: int
    claim: str
    group: str = "default"
    #: Schema of the table `coordinator_lease`.
    schema: str = "public"

    @classmethod
    def from_environment(cls, group: str = "default", schema: str = "public") -> Token:
        """The token that `coordinator exec` gave to this process."""
        text = os.environ.get(_VARIABLE, "")
        parts = text.split(".")
        if len(parts) != 3 or not (parts[0].isdigit() and parts[1].isdigit()):
            raise LookupError(f"{_VARIABLE} is not set; start this program with `coordinator exec -- PROGRAM`")
        return cls(int(parts[0]), int(parts[1]), parts[2], group, schema)

    @classmethod
    def read(
        cls, cursor: Any, leader: Optional[str], epoch: Optional[int], group: str = "default", schema: str = "public"
    ) -> Token:
        """The token of a leader that `/leader` has named. Raises LeadershipOver if another instance leads now."""
        rows = _execute(
            cursor,
            f"SELECT tl, epoch, claim FROM {_quoted(schema)}.coordinator_lease"
            " WHERE group_id = :group AND holder = :holder AND epoch = :epoch AND NOT released",
            {"group": group, "holder": leader, "epoch": epoch},
        )
        if not rows:
            raise LeadershipOver(f"the lease does not belong to {leader} in epoch {epoch}")
        return cls(rows[0][0], rows[0][1], str(rows[0][2]), group, schema)


def fenced(cursor: Any, token: Token, timeout_ms: int = 2500) -> None:
    """Checks the token and locks the lease until the transaction ends. Raises Fenced if the leadership is over.

    Call it in an open transaction, before the effect; then commit soon, because the lock also delays renewals. Three
    timeouts of this transaction are set to `timeout_ms`, so that a stopped process cannot block the next leader. It
    must be below LEADER_TTL / 3.
    """
    for name in _TIMEOUTS:
        _execute(cursor, "SELECT set_config(:name, :value, true)", {"name": name, "value": f"{timeout_ms}ms"})
    connection = getattr(cursor, "connection", cursor)
    if hasattr(connection, "info") and hasattr(connection, "cursor"):
        Database(connection).require_transaction()
    rows = _execute(
        cursor,
        f"SELECT 1 FROM {_quoted(token.schema)}.coordinator_lease"
        " WHERE group_id = :group AND tl = :tl AND epoch = :epoch AND claim = CAST(:claim AS uuid) AND NOT released"
        " AND tl = CAST(CAST('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8) AS bit(32)) AS bigint)"
        " FOR SHARE",
        {"group": token.group, "tl": token.timeline, "epoch": token.epoch, "claim": token.claim},
    )
    if not rows:
        raise Fenced(f"the leadership of epoch {token.epoch} is over: nothing was written; roll back and stop")


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _execute(cursor: Any, statement: str, parameters: dict[str, Any]) -> list[Any]:
    if hasattr(cursor, "fetchall") and hasattr(cursor, "description"):
        import re

        cursor.execute(re.sub(r"(?<!:):([a-z_]+)", r"%(\1)s", statement), parameters)
        return list(cursor.fetchall())
    return list(Database(cursor).execute(statement, parameters))
