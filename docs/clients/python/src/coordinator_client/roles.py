"""Work that runs only while the local instance leads. Invariant: `check` succeeds only before the deadline."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional

from . import clock
from .errors import CoordinatorError, LeadershipOver, NotLeading
from .orders import Lead

#: Pause between two polls of the leadership, in seconds.
_POLL = 0.2
#: Largest drift of two clocks against each other, and the resolution of timers in seconds.
_DRIFT_MAX, _TIMER_GRAIN = 0.001, 0.002


@dataclass(frozen=True)
class LeaderAnswer:
    """The answer of `/leader`."""

    #: Whether the instance that answered is the active leader.
    active: bool
    #: Id of the leader.
    id: Optional[str]
    #: Address of the leader's page.
    address: Optional[str]
    epoch: Optional[int]
    #: Until when the leadership counts, on the clock of this package. Counted from the time of the request.
    valid_until: float
    #: With the epoch, the fencing token of the active leader.
    claim: Optional[str] = None
    timeline: Optional[int] = None

    @classmethod
    def parse(cls, document: Mapping[str, Any], active: bool, asked: float) -> LeaderAnswer:
        """Reads an answer to a request that was sent at `asked`."""
        valid = document.get("valid_for_ms", 0) / 1000
        # The two clocks of a host are one, those of two hosts drift. The work stops a little before the deadline.
        valid = max(0.0, valid * (1 - _DRIFT_MAX) - _TIMER_GRAIN)
        return cls(
            active,
            document["leader"],
            document.get("address"),
            document.get("epoch"),
            asked + valid,
            document.get("claim"),
            document.get("timeline"),
        )

    def lead(self) -> Lead:
        """The leadership, for the fence. Raises NotLeading if the instance that answered is not the active leader."""
        if not self.active or self.epoch is None or self.claim is None:
            raise NotLeading("the instance that answered is not the active leader")
        return Lead(self.epoch, self.claim, self.timeline)


class Leadership:
    """One leadership, for the function that works under it."""

    def __init__(self, first: LeaderAnswer) -> None:
        #: Epoch of the leadership.
        self.epoch = first.epoch
        #: Id of the leading instance.
        self.leader = first.id
        #: For `fenced`: `leadership.lead.token(group)`.
        self.lead = first.lead()
        self._valid_until = first.valid_until
        self._over = threading.Event()

    def is_valid(self) -> bool:
        """Whether the leadership has not ended and its deadline has not passed."""
        return not self._over.is_set() and clock.now() < self._valid_until

    def valid_until(self) -> float:
        """The deadline on the clock of this package. Each renewal moves it."""
        return self._valid_until

    def check(self) -> None:
        """Raises LeadershipOver unless the leadership is valid now. Call it before each effect."""
        if not self.is_valid():
            raise LeadershipOver(f"the leadership of epoch {self.epoch} is over")

    def wait(self, seconds: float) -> bool:
        """Sleeps; returns False as soon as the leadership is over."""
        until = clock.now() + seconds
        while self.is_valid():
            left = min(until, self._valid_until) - clock.now()
            if until <= clock.now():
                return True
            self._over.wait(max(left, 0.001))
        return False

    def renew(self, answer: Optional[LeaderAnswer]) -> bool:
        """Takes the latest answer; False if this leadership is over. Only the thread that polls calls it."""
        same = answer is not None and answer.active and (answer.claim, answer.epoch) == (self.lead.claim, self.epoch)
        if answer is not None and same and self.is_valid():
            self._valid_until = max(self._valid_until, answer.valid_until)
        elif answer is not None or not self.is_valid():
            self._over.set()
        return not self._over.is_set()

    def end(self) -> None:
        """Ends the leadership at once."""
        self._over.set()


Work = Callable[[Leadership], None]


class WhileLeader:
    """Runs a function once for each leadership. `start()` begins, `stop()` ends and waits for the function."""

    def __init__(self, work: Work, poll: Callable[[], Optional[LeaderAnswer]]) -> None:
        self._work = work
        self._poll = poll
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None
        #: The exception with which the work or the poll ended last. `start()` again after you have handled it.
        self.error: Optional[BaseException] = None

    def start(self) -> WhileLeader:
        """Begins to follow the leadership, in a daemon thread."""
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError("it runs already")
        self._stopping.clear()
        self.error = None
        self._thread = threading.Thread(target=self._follow, name="while-leader", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends the work and waits until the function has returned."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        try:
            finished: Optional[str] = None
            while not self._stopping.is_set():
                answer = self._poll()
                if answer is not None and answer.active and answer.claim != finished:
                    leadership = Leadership(answer)
                    if self._lead(leadership):
                        finished = leadership.lead.claim
                self._stopping.wait(_POLL)
        except CoordinatorError as error:
            self.error = error

    def _lead(self, leadership: Leadership) -> bool:
        """Runs the function under this leadership. True if it returned while the leadership was valid."""
        worker = threading.Thread(target=self._run, args=(leadership,), name="leader-work", daemon=True)
        worker.start()
        try:
            while worker.is_alive() and not self._stopping.wait(_POLL):
                if not leadership.renew(self._poll()):
                    return False
            return leadership.is_valid()
        finally:
            leadership.end()
            # The next leadership begins the work only after the function has returned.
            worker.join()

    def _run(self, leadership: Leadership) -> None:
        try:
            self._work(leadership)
        except LeadershipOver:
            pass
        except BaseException as error:  # noqa: BLE001 - kept for the owner, who reads `error`
            self.error = error
            self._stopping.set()
