"""`Order`: one attempt of one signal under one leadership, as a leader sends it and as a worker claims it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from .signals import Signal
from .token import Token


@dataclass(frozen=True)
class Lead:
    """The leadership behind a request."""

    epoch: int
    claim: str
    timeline: Optional[int] = None

    def token(self, group: str = "default", schema: str = "public") -> Token:
        """The token for `fenced`, for effects in the database that contains the lease."""
        if self.timeline is None:
            raise LookupError("the instance did not send the timeline; upgrade it")
        return Token(self.timeline, self.epoch, self.claim, group, schema)


@dataclass(frozen=True)
class Claim:
    """The answer to a claim."""

    signals: Sequence[Signal]
    epoch: Optional[int]
    claim: Optional[str]
    timeline: Optional[int]
    #: Why there are no signals: `empty`, `paused`, `limit_per_minute` or `limit_per_day`.
    why: Optional[str]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Claim:
        """Reads the answer."""
        signals = [Signal.parse(signal) for signal in document["signals"]]
        get = document.get
        return cls(signals, get("epoch"), get("claim"), get("timeline"), get("why"))

    def lead(self) -> Lead:
        """The leadership under which the signals are claimed."""
        if self.epoch is None or self.claim is None:
            raise LookupError("the answer contains no leadership: there are no signals, or the instance is too old")
        return Lead(self.epoch, self.claim, self.timeline)


@dataclass(frozen=True)
class Order:
    """One attempt of a signal."""

    signal: Signal
    attempt: int
    lead: Lead
