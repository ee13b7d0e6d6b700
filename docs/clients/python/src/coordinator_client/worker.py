"""`Worker`: executes signals of a group without a handler address (`POST /signals/claim`).

Several workers may share one database. Invariant: a worker reports `not_executed` only after its handler promised that
in the database, and under a leadership that is not older than the attempt.
"""

from __future__ import annotations

import logging
import threading
from typing import Optional

from . import clock
from .client import Coordinator
from .errors import CoordinatorError, NotLeading, Refused
from .handler import Handler
from .orders import Lead, Order
from .signals import Answer, Signal

_log = logging.getLogger("coordinator_client")
#: Longest wait of a claim, and the pause between two readings of what is left unfinished, in seconds.
_ROUND = 2.0
#: Pause after an error, in seconds.
_PAUSE = 0.5


class Worker:
    """Claims signals and executes them with a handler until `stop` is called.

    `max`: the number of signals that it claims at once; it executes them one after the other. `abandoned_after`:
    seconds without a heartbeat after which a signal that another worker began is put in doubt.
    """

    def __init__(
        self, coordinator: Coordinator, handler: Handler, *, max: int = 10, abandoned_after: float = 30.0
    ) -> None:
        self._coordinator = coordinator
        self._handler = handler
        self._max = max
        self._abandoned_after = abandoned_after
        self._stopping = threading.Event()
        #: Claimed signals without a result: the attempt and its heartbeats, and since when they are unchanged.
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}
        self._next_settling = 0.0

    def stop(self) -> None:
        """Makes `run` return after the signal that it executes. Other threads and signal handlers may call it."""
        self._stopping.set()

    def run(self) -> None:
        """Works until `stop`. Raises Refused if the instances refuse the claim, for example where a handler is set."""
        self._stopping.clear()
        while not self._stopping.is_set():
            try:
                if clock.now() >= self._next_settling:
                    self.settle()
                    self._next_settling = clock.now() + _ROUND
                self._work()
            except NotLeading as error:
                _log.debug("%s", error)
                self._stopping.wait(_PAUSE)
            except Refused:
                raise
            except CoordinatorError as error:
                _log.warning("%s", error)
                self._stopping.wait(_PAUSE)

    def settle(self) -> None:
        """Finishes what a lost answer or an interrupted worker has left: claimed signals and signals in doubt."""
        claimed = self._coordinator.signals("claimed")
        doubts = self._coordinator.signals("in_doubt")
        # Read after the lists, so its epoch is not smaller than that of any attempt in them.
        leader = self._coordinator.leader()
        if leader is None:
            raise NotLeading("no instance answers as the active leader")
        lead = leader.lead()
        for signal in doubts:
            answer = self._handler.look_up(signal.key, signal.attempt, lead)
            if answer.outcome != "unknown":
                self._report(signal, answer)
        current = [signal for signal in claimed if signal.epoch == lead.epoch]
        self._seen = {signal.id: self._seen[signal.id] for signal in current if signal.id in self._seen}
        for signal in current:
            self._adopt(signal, lead)

    def _work(self) -> None:
        claim = self._coordinator.claim(self._max, _ROUND)
        for signal in claim.signals:
            if self._stopping.is_set():
                # Another worker adopts the rest.
                return
            self._execute(signal, claim.lead())

    def _execute(self, signal: Signal, lead: Lead) -> None:
        answer = self._handler.attempt(Order(signal, signal.attempt, lead))
        # Without an answer, another worker has adopted the signal and reports its outcome.
        if answer is not None:
            self._report(signal, answer)

    def _adopt(self, signal: Signal, lead: Lead) -> None:
        """Executes a claimed signal that no worker began, and puts one in doubt whose worker is gone."""
        begun = self._handler.unfinished(signal.key)
        now, state = clock.now(), (signal.attempt, -1 if begun is None else begun.heartbeats)
        known, since = self._seen.get(signal.id, (None, now))
        if known != state:
            self._seen[signal.id] = (state, now)
            return
        if begun is None and now - since >= _ROUND:
            self._execute(signal, lead)
        elif begun is not None and now - since >= self._abandoned_after:
            self._report(signal, Answer("unknown", f"the worker of attempt {begun.attempt} is gone"))

    def _report(self, signal: Signal, answer: Answer) -> Optional[Signal]:
        try:
            return self._coordinator.result(signal.id, signal.attempt, answer)
        except Refused as error:
            if error.status not in (404, 409):
                raise
            # The signal has changed: an operator, a lookup or another worker was first, or the store has forgotten it.
            _log.info("signal %s: %s was not recorded: %s", signal.id, answer.outcome, error)
            return None
