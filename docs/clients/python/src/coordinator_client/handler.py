"""Handlers: they turn a function into a receiver of orders that executes each signal once.

`DatabaseHandler` is for effects in the service's own database, `BrokerHandler` for effects elsewhere. The web modules
and `Worker` call `execute` and `look_up`. Invariant: the check of the fence, the check for an earlier execution and the
note that an execution begins are one transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional

from .book import Book, Entry
from .database import Database, transaction
from .errors import Fenced
from .fence import HandlerFence
from .orders import Lead, Order
from .signals import Answer, Signal, done, not_executed, unknown

_log = logging.getLogger("coordinator_client")
#: Pause between two heartbeats of an execution, in seconds.
_HEARTBEAT = 5.0

Connect = Callable[[], Any]


class Handler(ABC):
    """Executes orders and looks signals up. Threads and processes may share the database behind it."""

    def __init__(self, connect: Connect, name: str) -> None:
        self._connect = connect
        self._fence = HandlerFence(name)
        self._book = Book(name)

    def create_tables(self) -> None:
        """Creates the tables of the fence and of the executions if they do not exist. Call it once at the start."""
        with transaction(self._connect) as database:
            self._fence.create_tables(database.connection)
            self._book.create_table(database)

    def execute(self, order: Order) -> Answer:
        """Executes the order unless the signal was executed or the order comes too late. Never raises an Exception."""
        return self.attempt(order) or unknown("it was begun before and has no outcome yet")

    @abstractmethod
    def attempt(self, order: Order) -> Optional[Answer]:
        """As `execute`, but None if the signal was begun and has no outcome: another worker may execute it now."""

    def look_up(self, key: str, attempt: int, lead: Lead) -> Answer:
        """What came of an attempt. `not_executed` is a promise that is durable by then. Never raises an Exception."""
        try:
            with transaction(self._connect) as database:
                self._fence.lock(database.connection, lead.epoch, lead.claim)
                entry = self._book.find(database, key)
                if entry is None:
                    self._fence.promise(database.connection, key, lead.epoch, lead.claim, attempt)
            if entry is None:
                return not_executed("there is no execution; this attempt is refused from now on")
            if entry.answer is not None:
                return entry.answer
            return self._doubtful(key, attempt, entry, lead)
        except _Begun:
            return unknown("this process executes the signal at present")
        except Fenced as error:
            return unknown(error)
        except Exception as error:  # The reason reaches the operator as the note of the signal.
            _log.exception("lookup of signal %s", key)
            return unknown(f"lookup: {_why(error)}")

    def forget(self, days: int) -> None:
        """Deletes the outcomes that are older than this. Call it now and then, for example once a day.

        `days` must be at least `signals.retention_days` (400), because the ledger may send a signal until then.
        """
        if days < 1:
            raise ValueError("at least signals.retention_days days are required")
        with transaction(self._connect) as database:
            self._book.forget(database, int(time.time()) - days * 86_400)

    def unfinished(self, key: str) -> Optional[Entry]:
        """The entry of a signal that has begun and has no outcome, for a worker that takes over from another one."""
        with transaction(self._connect) as database:
            entry = self._book.find(database, key)
        return entry if entry is not None and entry.answer is None else None

    def _doubtful(self, key: str, attempt: int, entry: Entry, lead: Lead) -> Answer:
        return unknown(f"attempt {entry.attempt} began and has no outcome")

    def _admit(self, database: Database, order: Order) -> Optional[Answer]:
        """Locks the fence. Returns the answer if there is one already, or if the order must not be executed.

        Raises _Begun if the signal was begun and has no outcome.
        """
        refused: Optional[Fenced] = None
        lead = order.lead
        try:
            self._fence.check(database.connection, order.signal.key, lead.epoch, lead.claim, order.attempt)
        except Fenced as error:
            refused = error
        entry = self._book.find(database, order.signal.key)
        if entry is not None and entry.answer is not None:
            return entry.answer
        # A later attempt follows only after the earlier one was resolved as not executed.
        if entry is not None and order.attempt <= entry.attempt:
            raise _Begun
        return None if refused is None else not_executed(refused)


class DatabaseHandler(Handler):
    """For a function whose effects are all in the database that `connect` opens.

    `function(signal, connection)` is called in the transaction that also checks the fence and stores the outcome, so
    every lookup is answered from the database. It returns an Answer, or None for `done`. After an exception nothing is
    written, and the leader sends the signal again. It must not commit, and it must have no effect elsewhere.
    """

    def __init__(
        self, connect: Connect, function: Callable[[Signal, Any], Optional[Answer]], *, name: str = "default"
    ) -> None:
        super().__init__(connect, name)
        self._function = function

    def attempt(self, order: Order) -> Optional[Answer]:
        """See the base class."""
        try:
            with transaction(self._connect) as database:
                answer = self._admit(database, order)
                if answer is not None:
                    return answer
                # If the function commits against its contract, this entry keeps the signal from a second execution.
                self._book.begin(database, order.signal, order.attempt)
                answer = self._call(order.signal, database)
                database.require_transaction()
                # An unknown outcome keeps the entry open: an operator may decide to send the signal again.
                if answer.outcome != "unknown":
                    self._book.finish(database, order.signal.key, order.attempt, answer)
            return answer
        except _Begun:
            return None
        except _NothingWritten as error:
            return not_executed(error)
        except Exception as error:  # Also a commit without an answer: the lookup finds out.
            _log.exception("signal %s", order.signal.id)
            return unknown(_why(error))

    def _call(self, signal: Signal, database: Database) -> Answer:
        try:
            answer = _checked(self._function(signal, database.connection))
        except Exception as error:
            # Raises NoTransaction if the function has committed: then something was written.
            database.require_transaction()
            _log.exception("signal %s: the function failed, and its transaction is rolled back", signal.id)
            raise _NothingWritten(_why(error)) from error
        if answer.outcome == "not_executed":
            database.require_transaction()
            raise _NothingWritten(answer.note or "the function answered not_executed")
        return answer


class BrokerHandler(Handler):
    """For a function whose effects are elsewhere, such as an order at a broker.

    `function(signal)` returns an Answer, or None for `done`; after an exception the signal is in doubt. Pass
    `signal.key` to the broker as the client order id. `lookup(signal)` asks the broker by that id and returns what it
    found, or None if it does not know; without it, an operator resolves what was interrupted. It may answer
    `not_executed` only if no order with this key can be executed later.
    """

    def __init__(
        self,
        connect: Connect,
        function: Callable[[Signal], Optional[Answer]],
        lookup: Optional[Callable[[Signal], Optional[Answer]]] = None,
        *,
        name: str = "default",
    ) -> None:
        super().__init__(connect, name)
        self._function = function
        self._lookup = lookup
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def attempt(self, order: Order) -> Optional[Answer]:
        """See the base class."""
        signal = order.signal
        try:
            with self._alone(signal.key):
                with transaction(self._connect) as database:
                    answer = self._admit(database, order)
                    if answer is None:
                        self._book.begin(database, signal, order.attempt)
                if answer is not None:
                    return answer
                with self._heartbeats(signal.key, order.attempt):
                    answer = _checked(self._function(signal))
                self._record(signal, order.attempt, answer)
                return answer
        except _Begun:
            return None
        except Exception as error:
            _log.exception("signal %s", signal.id)
            return unknown(_why(error))

    def _doubtful(self, key: str, attempt: int, entry: Entry, lead: Lead) -> Answer:
        if self._lookup is None:
            return super()._doubtful(key, attempt, entry, lead)
        with self._alone(key):
            found = None if entry.signal is None else self._lookup(entry.signal)
            if found is None or found.outcome == "unknown":
                return unknown(found.note if found else f"attempt {entry.attempt} began; the broker does not know it")
            with transaction(self._connect) as database:
                self._fence.lock(database.connection, lead.epoch, lead.claim)
                now = self._book.find(database, key)
                if now is None or now.attempt != entry.attempt or now.answer is not None:
                    return unknown("the signal changed during the lookup")
                if found.outcome == "not_executed":
                    self._fence.promise(database.connection, key, lead.epoch, lead.claim, attempt)
                    self._book.remove(database, key)
                else:
                    self._book.finish(database, key, entry.attempt, found)
        return found

    def _record(self, signal: Signal, attempt: int, answer: Answer) -> None:
        """Notes the outcome. If the database does not answer, the answer still reaches the ledger."""
        try:
            with transaction(self._connect) as database:
                entry = self._book.find(database, signal.key)
                if entry is None or entry.attempt != attempt or answer.outcome == "unknown":
                    return
                if answer.outcome == "not_executed":
                    self._book.remove(database, signal.key)
                else:
                    self._book.finish(database, signal.key, attempt, answer)
        except Exception:
            _log.exception("signal %s: the outcome %s is not in the service's database", signal.id, answer.outcome)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """One thread of this process at a time works on a signal. Raises _Begun in another one."""
        with self._lock:
            if key in self._running:
                raise _Begun
            self._running.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(key)

    @contextmanager
    def _heartbeats(self, key: str, attempt: int) -> Iterator[None]:
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(_HEARTBEAT):
                try:
                    with transaction(self._connect) as database:
                        self._book.heartbeat(database, key, attempt)
                except Exception:
                    _log.exception("signal %s: no heartbeat was written", key)

        thread = threading.Thread(target=run, name="heartbeats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Begun(Exception):
    """The signal was begun and has no outcome."""


class _NothingWritten(Exception):
    """The transaction was rolled back."""


def _checked(answer: Optional[Answer]) -> Answer:
    if answer is None:
        return done()
    if not isinstance(answer, Answer):
        raise TypeError(f"the function must return done(), rejected() or another Answer, not {type(answer).__name__}")
    return answer


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
