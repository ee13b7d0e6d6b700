"""`Coordinator`: requests to the instances of a group. Invariant: a repetition of a request is the same request."""

from __future__ import annotations

import random
import ssl
import time
from typing import Any, Generator, Mapping, Optional, Sequence
from urllib.parse import quote, urlencode

from . import clock
from .errors import NotLeading, Unacknowledged
from .events import Event, follow
from .orders import Claim
from .roles import LeaderAnswer, WhileLeader, Work
from .signals import Answer, Signal, Time, encode, time_text
from .transport import Instance, Reply, Unanswered, refuse

#: First and longest pause between two rounds over all instances, in seconds.
_PAUSE_MIN, _PAUSE_MAX = 0.05, 2.0
#: Pause between two polls of a role, in seconds.
_POLL = 0.25


class Coordinator:
    """A client of one group. Threads may share it.

    `urls`: the instances, the one on this host first. `token`: sent as `Authorization: Bearer`. `tls`: for https,
    the default trusts the certificates of the system. `request_timeout`: seconds for each wait for the network.
    """

    def __init__(
        self,
        urls: Sequence[str],
        token: Optional[str] = None,
        *,
        tls: Optional[ssl.SSLContext] = None,
        request_timeout: float = 6.0,
    ) -> None:
        if isinstance(urls, str) or not urls:
            raise ValueError('a list of at least one URL is required, such as ["http://127.0.0.1:5000"]')
        self._instances = [Instance(url, token, tls) for url in urls]
        self._request_timeout = request_timeout

    def submit(
        self,
        instrument: str,
        signal_type: str,
        position: str,
        timestamp: Time,
        payload: Optional[Mapping[str, Any]] = None,
        *,
        id: Optional[str] = None,
        expires_at: Optional[Time] = None,
        timeout: float = 60.0,
    ) -> Signal:
        """Submits a signal until an instance acknowledges it: the signal is then durable.

        Every retry sends the same bytes. Raises Conflict and Refused without a retry, and Unacknowledged after
        `timeout` seconds.
        """
        document: dict[str, Any] = {
            "instrument": instrument,
            "signal_type": signal_type,
            "position": position,
            "timestamp": time_text("timestamp", timestamp),
        }
        if payload is not None:
            document["payload"] = payload
        if id is not None:
            document["id"] = id
        if expires_at is not None:
            document["expires_at"] = time_text("expires_at", expires_at)
        return Signal.parse(self._until_answered("POST", "/signals", encode(document), timeout).document)

    def signal(self, id: str, *, timeout: float = 30.0) -> Signal:
        """One signal of the ledger, by its id. Raises Refused with status 404 if there is none."""
        return Signal.parse(self._until_answered("GET", f"/signals/{quote(id, safe='')}", None, timeout).document)

    def signals(self, state: str, *, limit: int = 1000, timeout: float = 30.0) -> list[Signal]:
        """The signals that are in `state` at present, the newest first, `limit` at most."""
        query = urlencode({"state": state, "limit": limit})
        reply = self._until_answered("GET", f"/signals?{query}", None, timeout)
        return [Signal.parse(document) for document in reply.document["signals"]]

    def claim(self, max: int = 1, wait: float = 0.0) -> Claim:
        """Claims up to `max` signals from the leader; waits up to 4 seconds for the first one.

        The request is never repeated. If the answer is lost, the signals are claimed all the same: execute them
        from `signals("claimed")`, as `Worker` does. Raises NotLeading if no instance answers as the leader.
        """
        body = encode({"max": max, "wait_ms": round(wait * 1000)})
        why = "no instance was reached"
        for instance in self._instances:
            try:
                reply = instance.request("POST", "/signals/claim", body, timeout=wait + self._request_timeout)
            except Unanswered as error:
                why = str(error)
                continue
            if reply.status == 200:
                return Claim.parse(reply.document)
            if reply.status < 500:
                raise refuse(reply.status, reply.document)
            why = f"{instance.url}: {_detail(reply)}"
        raise NotLeading(f"no signal was claimed; {why}")

    def result(self, id: str, attempt: int, answer: Answer, *, timeout: float = 30.0) -> Signal:
        """Records the outcome of an attempt. Recording is idempotent, and only the leader records.

        Raises Conflict if the outcome cannot follow the signal's state or concerns another attempt.
        """
        body = encode({**answer.document(), "attempt": attempt})
        path = f"/signals/{quote(id, safe='')}/result"
        return Signal.parse(self._until_answered("POST", path, body, timeout).document)

    def leader(self) -> Optional[LeaderAnswer]:
        """The active leader, as one of the instances answers; None if no instance confirms a leader.

        The answer describes the past. Use it to route requests and to display the leader.
        """
        for instance in self._instances:
            answer = self._leader_of(instance)
            if answer is not None and answer.active:
                return answer
        return None

    def wait_for_role(self, role: str = "active", timeout: Optional[float] = None) -> None:
        """Waits until the local instance (the first URL) has this role, for example `active` or `standby`.

        Raises TimeoutError after `timeout` seconds.
        """
        until = None if timeout is None else clock.now() + timeout
        while self.role() != role:
            if until is not None and clock.now() >= until:
                raise TimeoutError(f"{self._instances[0].url} was not {role} within {timeout} s")
            time.sleep(_POLL)

    def role(self) -> Optional[str]:
        """The role of the local instance (the first URL); None while it does not answer or starts."""
        try:
            reply = self._instances[0].request("GET", "/status", timeout=self._request_timeout)
        except Unanswered:
            return None
        if 400 <= reply.status < 500:
            raise refuse(reply.status, reply.document)
        return reply.document.get("state") if reply.status == 200 else None

    def events(self) -> Generator[Event, None, None]:
        """Changes of the group, from the first instance that answers. Continues elsewhere after a failure.

        After a reconnection, the stream carries what has changed or the whole state again, so handle each event as
        "this is so now". The iterator never ends; `close()` it or leave the loop.
        """
        return follow(self._instances)

    def while_leader(self, work: Work) -> WhileLeader:
        """Decorator: runs a function in a background thread while the local instance (the first URL) leads."""
        return WhileLeader(work, self.local_leadership)

    def local_leadership(self) -> Optional[LeaderAnswer]:
        """What the local instance (the first URL) answers to `/leader`; None if it does not answer.

        An instance whose port is closed has ended. Another one on its host may lead at once, so the answer is that it
        does not lead, whatever the last deadline was.
        """
        try:
            return self._ask_leader(self._instances[0], min(1.0, self._request_timeout))
        except Unanswered as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                return LeaderAnswer(False, None, None, None, clock.now())
            return None

    def _leader_of(self, instance: Instance) -> Optional[LeaderAnswer]:
        try:
            return self._ask_leader(instance, self._request_timeout)
        except Unanswered:
            return None

    def _ask_leader(self, instance: Instance, timeout: float) -> Optional[LeaderAnswer]:
        asked = clock.now()
        reply = instance.request("GET", "/leader", timeout=timeout)
        if 400 <= reply.status < 500:
            raise refuse(reply.status, reply.document)
        if reply.status not in (200, 503) or "leader" not in reply.document:
            return None
        return LeaderAnswer.parse(reply.document, reply.status == 200, asked)

    def _until_answered(self, method: str, path: str, body: Optional[bytes], timeout: float) -> Reply:
        """Repeats the same request over the instances until one of them answers it finally."""
        until, pause = clock.now() + timeout, _PAUSE_MIN
        while True:
            why = ""
            for instance in self._instances:
                left = until - clock.now()
                if left <= 0:
                    break
                try:
                    reply = instance.request(method, path, body, timeout=min(left, self._request_timeout))
                except Unanswered as error:
                    why = str(error)
                    continue
                if 200 <= reply.status < 300:
                    return reply
                if reply.status < 500:
                    raise refuse(reply.status, reply.document)
                why = f"{instance.url}: {_detail(reply)}"
            left = until - clock.now()
            if left <= pause:
                raise Unacknowledged(
                    f"no instance acknowledged {method} {path} within {timeout} s ({why or 'no answer'}); "
                    "repeat it with the same values"
                )
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _PAUSE_MAX)


def _detail(reply: Reply) -> str:
    detail = reply.document.get("detail") if isinstance(reply.document, dict) else None
    return f"HTTP {reply.status}: {detail or 'no detail'}"
