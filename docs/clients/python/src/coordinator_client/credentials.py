"""`Credentials`: how a service recognizes the leader that sends a request (docs/signals.md)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Callable, Optional, Sequence, Union

#: Returns the value of a header of the request, by its name in any case.
Header = Callable[[str], Optional[str]]
#: The headers that the signature covers, in their order.
_SIGNED = ("Idempotency-Key", "Coordinator-Timeline", "Coordinator-Epoch", "Coordinator-Claim", "Coordinator-Attempt")


class Credentials:
    """The keys and tokens that the service accepts: the current one, and another one during a change.

    `keys` are the contents of `signals.handler_key_file` without the end of the line; a request needs the signature of
    one of them. `tokens` are those of `signals.handler_token_file`; a request needs one of them. An empty list requires
    nothing.
    """

    def __init__(self, keys: Sequence[str] = (), tokens: Sequence[str] = ()) -> None:
        for name, secrets in (("keys", keys), ("tokens", tokens)):
            if isinstance(secrets, (str, bytes)) or not all(secret.strip() for secret in secrets):
                raise ValueError(f"{name}: a list of texts that are not empty is required")
        self._keys = [key.encode() for key in keys]
        self._tokens = [token.encode() for token in tokens]

    def accept(self, method: str, header: Header, body: bytes) -> bool:
        """Whether the request has a valid signature and a valid token, as far as they are required."""
        return self._is_signed(method, header, body) and self._has_token(header)

    def _is_signed(self, method: str, header: Header, body: bytes) -> bool:
        if not self._keys:
            return True
        values = [header(name) for name in _SIGNED]
        given = header("Coordinator-Signature")
        if given is None or any(value is None for value in values):
            return False
        text = "\n".join([method, *(value or "" for value in values), ""]).encode() + body
        return _equals_one(given, ["sha256=" + hmac.new(key, text, hashlib.sha256).hexdigest() for key in self._keys])

    def _has_token(self, header: Header) -> bool:
        scheme, _, token = (header("Authorization") or "").partition(" ")
        return not self._tokens or (scheme.lower() == "bearer" and _equals_one(token, self._tokens))


def _equals_one(given: str, expected: Sequence[Union[str, bytes]]) -> bool:
    """Compares with all of them, each in constant time."""
    found = [hmac.compare_digest(given.encode(), one.encode() if isinstance(one, str) else one) for one in expected]
    return any(found)
