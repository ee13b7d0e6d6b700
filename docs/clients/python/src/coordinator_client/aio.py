"""`AsyncCoordinator`: the same requests for asyncio. Each of them runs in a thread, so the event loop never waits.

A cancelled call may still be carried out, as one whose answer is lost: repeat it with the same values.
"""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Awaitable, Callable, Mapping, Optional

from . import clock
from .client import Coordinator
from .errors import LeadershipOver
from .events import Event
from .orders import Claim
from .roles import LeaderAnswer, Leadership
from .signals import Answer, Signal, Time

#: Pause between two polls of a role, in seconds.
_POLL = 0.2

AsyncWork = Callable[[Leadership], Awaitable[None]]


class AsyncCoordinator:
    """A client of one group for asyncio; the arguments are those of `Coordinator`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._blocking = Coordinator(*arguments, **options)

    async def submit(
        self,
        instrument: str,
        signal_type: str,
        position: str,
        timestamp: Time,
        payload: Optional[Mapping[str, Any]] = None,
        **options: Any,
    ) -> Signal:
        """See `Coordinator.submit`."""
        submit = self._blocking.submit
        return await asyncio.to_thread(submit, instrument, signal_type, position, timestamp, payload, **options)

    async def signal(self, id: str, *, timeout: float = 30.0) -> Signal:
        """See `Coordinator.signal`."""
        return await asyncio.to_thread(self._blocking.signal, id, timeout=timeout)

    async def signals(self, state: str, *, limit: int = 1000, timeout: float = 30.0) -> list[Signal]:
        """See `Coordinator.signals`."""
        return await asyncio.to_thread(self._blocking.signals, state, limit=limit, timeout=timeout)

    async def claim(self, max: int = 1, wait: float = 0.0) -> Claim:
        """See `Coordinator.claim`."""
        return await asyncio.to_thread(self._blocking.claim, max, wait)

    async def result(self, id: str, attempt: int, answer: Answer, *, timeout: float = 30.0) -> Signal:
        """See `Coordinator.result`."""
        return await asyncio.to_thread(self._blocking.result, id, attempt, answer, timeout=timeout)

    async def leader(self) -> Optional[LeaderAnswer]:
        """See `Coordinator.leader`."""
        return await asyncio.to_thread(self._blocking.leader)

    async def role(self) -> Optional[str]:
        """See `Coordinator.role`."""
        return await asyncio.to_thread(self._blocking.role)

    async def wait_for_role(self, role: str = "active", timeout: Optional[float] = None) -> None:
        """See `Coordinator.wait_for_role`."""

        async def reached() -> None:
            while await self.role() != role:
                await asyncio.sleep(_POLL)

        try:
            await asyncio.wait_for(reached(), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError(f"the local instance was not {role} within {timeout} s") from None

    async def events(self) -> AsyncIterator[Event]:
        """See `Coordinator.events`."""
        events = self._blocking.events()
        pending: Optional[asyncio.Future[Event]] = None
        try:
            while True:
                pending = asyncio.ensure_future(asyncio.to_thread(events.__next__))
                yield await asyncio.shield(pending)
        finally:
            # The thread may still read; an instance sends at least a ping every 5 s.
            if pending is None or pending.done():
                events.close()
            else:
                pending.add_done_callback(lambda _: events.close())

    async def run_while_leader(self, work: AsyncWork) -> None:
        """Runs `work(leadership)` once for each leadership of the local instance (the first URL), until cancelled.

        The work is cancelled before the deadline. Cancellation takes effect at its next `await`, so call
        `leadership.check()` before each effect. Raises what the work raises.
        """
        finished: Optional[str] = None
        while True:
            answer = await asyncio.to_thread(self._blocking.local_leadership)
            if answer is not None and answer.active and answer.claim != finished:
                leadership = Leadership(answer)
                if await self._lead(leadership, work):
                    finished = leadership.lead.claim
            await asyncio.sleep(_POLL)

    async def _lead(self, leadership: Leadership, work: AsyncWork) -> bool:
        """True if the work returned while the leadership was valid."""
        task = asyncio.ensure_future(work(leadership))
        poll: Optional[asyncio.Future[Optional[LeaderAnswer]]] = None
        try:
            while leadership.is_valid() and not task.done():
                if poll is None:
                    poll = asyncio.ensure_future(asyncio.to_thread(self._blocking.local_leadership))
                # A poll that takes long must not delay the end of the work.
                pause = min(_POLL, max(0.0, leadership.valid_until() - clock.now()))
                waited: set[asyncio.Future[Any]] = {task, poll} if not poll.done() else {task}
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED, timeout=pause)
                if poll.done():
                    answer, poll = poll.result(), None
                    if not leadership.renew(answer):
                        break
                    await asyncio.wait({task}, timeout=pause)
            was_valid = leadership.is_valid()
            if not task.done():
                return False
            try:
                task.result()
            except LeadershipOver:
                return False
            return was_valid
        finally:
            leadership.end()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
