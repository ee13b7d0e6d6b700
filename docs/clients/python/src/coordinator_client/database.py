"""One form of statements for the connections of sqlite3, psycopg, psycopg2 and SQLAlchemy."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from .errors import NoTransaction

#: A parameter such as :name, but not a cast such as ::bigint.
_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
#: Longest time for which a transaction of a handler is idle, and for which it waits for a lock.
_BLOCK_MAX = "10s"
_SQLITE, _POSTGRES, _SQLALCHEMY = ("sqlite3",), ("psycopg", "psycopg2"), ("sqlalchemy",)


class Database:
    """A connection (or a session of SQLAlchemy) of the service. The service owns it, and its transaction."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        kinds = {kind.__module__.split(".")[0] for kind in type(connection).__mro__}
        self._is_sqlalchemy = bool(kinds & set(_SQLALCHEMY))
        self._is_postgres = bool(kinds & set(_POSTGRES))
        if not (self._is_sqlalchemy or self._is_postgres or kinds & set(_SQLITE)):
            raise TypeError(f"a connection of sqlite3, psycopg or SQLAlchemy is required, not {type(connection)}")

    def execute(self, statement: str, parameters: Optional[Mapping[str, Any]] = None) -> list[Sequence[Any]]:
        """Executes a statement with parameters of the form :name, and returns its rows."""
        parameters = parameters or {}
        if self._is_sqlalchemy:
            from sqlalchemy import text

            result = self.connection.execute(text(statement), dict(parameters))
            return [tuple(row) for row in result] if result.returns_rows else []
        cursor = self.connection.cursor()
        try:
            if self._is_postgres:
                cursor.execute(_PARAMETER.sub(r"%(\1)s", statement), dict(parameters))
            else:
                cursor.execute(statement, dict(parameters))
            return list(cursor.fetchall()) if cursor.description is not None else []
        finally:
            cursor.close()

    def begin(self) -> None:
        """Begins a transaction where the library does not begin one with the first statement."""
        if self._is_sqlalchemy and not self.connection.in_transaction():
            self.connection.begin()

    def limit(self) -> None:
        """Limits how long this transaction can block others on PostgreSQL, also if this process is stopped."""
        dialect = getattr(
            self.connection.get_bind() if hasattr(self.connection, "get_bind") else self.connection, "dialect", None
        )
        if self._is_postgres or (dialect is not None and dialect.name == "postgresql"):
            for name in ("idle_in_transaction_session_timeout", "lock_timeout"):
                self.execute("SELECT set_config(:name, :value, true)", {"name": name, "value": _BLOCK_MAX})

    def commit(self) -> None:
        """Commits the transaction."""
        self._transaction().commit()

    def rollback(self) -> None:
        """Rolls the transaction back."""
        self._transaction().rollback()

    def _transaction(self) -> Any:
        # A connection of SQLAlchemy 1.4 has no commit; its transaction has one in every version.
        if self._is_sqlalchemy and hasattr(self.connection, "get_transaction"):
            return self.connection.get_transaction() or self.connection
        return self.connection

    def require_transaction(self) -> None:
        """Raises NoTransaction unless a transaction is open. Call it after a statement that writes."""
        raw = self._raw()
        if hasattr(raw, "in_transaction"):
            is_open = bool(raw.in_transaction)
        elif hasattr(raw, "info"):
            # 0 is PQTRANS_IDLE of libpq, in psycopg and psycopg2.
            is_open = int(raw.info.transaction_status) != 0
        else:
            return
        if not is_open:
            raise NoTransaction(
                "no transaction is open: the connection commits each statement (autocommit, isolation_level=None), or "
                "the function has committed; leave commit and rollback to the caller"
            )

    def _raw(self) -> Any:
        if not self._is_sqlalchemy:
            return self.connection
        connection = self.connection
        if hasattr(connection, "get_bind"):
            connection = connection.connection()
        pooled = connection.connection
        return getattr(pooled, "dbapi_connection", None) or getattr(pooled, "connection", pooled)


@contextmanager
def transaction(connect: Callable[[], Any]) -> Iterator[Database]:
    """A transaction on a new connection: committed at the end, rolled back after an exception, then closed."""
    connection = connect()
    try:
        database = Database(connection)
        database.begin()
        try:
            database.limit()
            yield database
        except BaseException:
            database.rollback()
            raise
        database.commit()
    finally:
        connection.close()
