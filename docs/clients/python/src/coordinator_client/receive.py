"""The two requests of a leader to a service (docs/signals.md), without a web framework.

`Coordinator-Attempt` and the other headers identify the attempt. Every answer is a JSON object without NaN.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Optional, Tuple

from .credentials import Credentials, Header
from .errors import CoordinatorError
from .handler import Handler
from .orders import Lead, Order
from .signals import Signal, encode, fingerprint

#: Status and body.
Response = Tuple[int, bytes]


_FORBIDDEN: Response = (403, b'{"detail": "the signature or the token of the request is missing or wrong"}')


class _Wrong(Exception):
    """The request is not one of a leader."""


def execute(handler: Handler, header: Header, body: bytes, credentials: Optional[Credentials] = None) -> Response:
    """Answers a POST that executes a signal."""
    if credentials is not None and not credentials.accept("POST", header, body):
        return _FORBIDDEN
    try:
        attempt, lead = _head(header)
        signal = _signal(header, body)
    except _Wrong as error:
        return _wrong(error)
    return 200, encode(handler.execute(Order(signal, attempt, lead)).document())


def look_up(handler: Handler, header: Header, key: str, credentials: Optional[Credentials] = None) -> Response:
    """Answers a GET that looks a signal up. Only `not_executed` names the attempt: it confirms the promise."""
    if credentials is not None and not credentials.accept("GET", header, b""):
        return _FORBIDDEN
    try:
        attempt, lead = _head(header)
        # The signature covers the header and not the path.
        if credentials is not None and header("Idempotency-Key") != key:
            raise _Wrong("Idempotency-Key is not the key in the path")
    except _Wrong as error:
        return _wrong(error)
    answer = handler.look_up(key, attempt, lead)
    return 200, encode(answer.document(attempt if answer.outcome == "not_executed" else None))


def _head(header: Header) -> Tuple[int, Lead]:
    timeline = header("Coordinator-Timeline")
    claim = header("Coordinator-Claim") or ""
    if not claim or len(claim) > 64:
        raise _Wrong("the header Coordinator-Claim is required; only an instance of coordinator sends this request")
    lead = Lead(
        _number(header, "Coordinator-Epoch"), claim, int(timeline) if timeline and timeline.isdecimal() else None
    )
    return _number(header, "Coordinator-Attempt"), lead


def _number(header: Header, name: str) -> int:
    text = header(name) or ""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _Wrong(f"the header {name} with a whole number is required")
    return int(text)


def _signal(header: Header, body: bytes) -> Signal:
    try:
        signal = Signal.parse(json.loads(body))
        at = int(datetime.fromisoformat(signal.timestamp.replace("Z", "+00:00")).timestamp())
    except (ValueError, TypeError, AttributeError, CoordinatorError) as error:
        raise _Wrong(f"the body is not a signal: {error}") from error
    key = header("Idempotency-Key")
    if key != signal.key or key != fingerprint(signal.instrument, signal.signal_type, signal.position, at):
        raise _Wrong("Idempotency-Key is not the fingerprint of the signal in the body")
    return signal


def _wrong(error: _Wrong) -> Response:
    return 400, encode({"detail": str(error)})
