"""The values that both sides exchange: a signal, the answer of a handler, and how they are written as JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Mapping, Optional, Union

from .errors import CoordinatorError

#: A point in time: an aware datetime, RFC 3339 text with an offset, or Unix seconds or milliseconds.
Time = Union[datetime, str, int]

OUTCOMES = ("done", "sent", "rejected", "not_executed", "unknown")
#: The ledger keeps the start of a longer note.
_NOTE_LEN_MAX = 500


@dataclass(frozen=True)
class Answer:
    """The outcome of an attempt, and a note for the audit such as the order id."""

    outcome: str
    note: Optional[str] = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome {self.outcome!r}: one of {', '.join(OUTCOMES)} is required")

    def document(self, attempt: Optional[int] = None) -> dict[str, Any]:
        """The JSON object of the answer. `attempt` confirms that the attempt and earlier ones are refused."""
        document: dict[str, Any] = {"outcome": self.outcome}
        if self.note:
            # Text always, so that an order id of any type and a NaN are valid JSON.
            document["note"] = str(self.note)[:_NOTE_LEN_MAX]
        if attempt is not None:
            document["attempt"] = attempt
        return document


def done(note: Optional[object] = None) -> Answer:
    """The signal was executed."""
    return Answer("done", _text(note))


def sent(note: Optional[object] = None) -> Answer:
    """The order is placed and its result is pending; report it later with `Coordinator.result`."""
    return Answer("sent", _text(note))


def rejected(note: Optional[object] = None) -> Answer:
    """The signal was not executed and never will be."""
    return Answer("rejected", _text(note))


def not_executed(note: Optional[object] = None) -> Answer:
    """A promise: nothing that was done so far will execute the signal. The leader sends it again."""
    return Answer("not_executed", _text(note))


def unknown(note: Optional[object] = None) -> Answer:
    """The signal may have been executed. It is in doubt and is looked up."""
    return Answer("unknown", _text(note))


def _text(note: Optional[object]) -> Optional[str]:
    # PostgreSQL stores no NUL in a text.
    return None if note is None else str(note).replace("\0", " ")


@dataclass(frozen=True)
class Signal:
    """A signal of the ledger."""

    id: str
    #: The fingerprint: the same for every attempt. Use it as the client order id at a broker.
    key: str
    instrument: str
    signal_type: str
    position: str
    timestamp: str
    payload: Mapping[str, Any]
    state: str
    attempt: int
    epoch: Optional[int]
    note: Optional[str]
    #: Everything that the instance sent.
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Signal:
        """Reads the JSON object of a signal."""
        try:
            payload = document["payload"]
            return cls(
                id=document["id"],
                key=document["fingerprint"],
                instrument=document["instrument"],
                signal_type=document["signal_type"],
                position=document["position"],
                timestamp=document["timestamp"],
                payload=payload if isinstance(payload, dict) else {},
                state=document["state"],
                attempt=int(document["attempt"]),
                epoch=document["epoch"],
                note=document["note"],
                document=document,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CoordinatorError(f"this is not a signal of coordinator: {error!r}") from error


def fingerprint(instrument: str, signal_type: str, position: str, timestamp_s: int) -> str:
    """The fingerprint of a signal. Two submissions with the same fingerprint are the same signal."""
    text = f"{instrument}\n{signal_type}\n{position}\n{timestamp_s}\n"
    return hashlib.sha256(text.encode()).hexdigest()


def time_text(name: str, time: Time) -> Union[str, int]:
    """A point in time as the instance reads it. A datetime without an offset is ambiguous and is refused."""
    if isinstance(time, datetime):
        if time.utcoffset() is None:
            raise ValueError(f"{name}: a datetime with a time zone is required, as datetime.now(timezone.utc)")
        return time.isoformat()
    if isinstance(time, bool) or not isinstance(time, (str, int)):
        raise TypeError(f"{name}: a datetime with a time zone, a text or a whole number is required")
    return time


def encode(document: object) -> bytes:
    """JSON without NaN and Infinity, which JSON does not have. A Decimal becomes text, so no digit is lost."""
    try:
        return json.dumps(document, allow_nan=False, default=_encode_other).encode()
    except ValueError as error:
        raise ValueError(f"NaN and Infinity are not JSON; leave the field out or send None: {error}") from None


def _encode_other(value: object) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"a Decimal is {value}")
        return str(value)
    if isinstance(value, datetime):
        return time_text("payload", value)
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: convert it to a number or a text")
