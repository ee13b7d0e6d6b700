"""One HTTP request to one instance, on a separate connection, without redirects and proxies."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any, Mapping, Optional
from urllib.parse import urlsplit

from .errors import Conflict, Refused

#: Largest answer in bytes. A list of 1,000 signals with payloads of 64 KiB is the largest answer.
_ANSWER_LEN_MAX = 80 * 1024 * 1024


class Unanswered(Exception):
    """There is no complete answer. The request may have been carried out."""


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    document: Any


class Instance:
    """The address of one instance."""

    def __init__(self, url: str, token: Optional[str], tls: Optional[ssl.SSLContext]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("the URL of an instance is required, such as http://127.0.0.1:5000")
        if parts.username is not None or parts.password is not None:
            raise ValueError("the URL must not contain a user or a password; use token=")
        if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token and token):
            raise ValueError("the token must be printable ASCII without spaces around it")
        self.url = url.rstrip("/")
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._token = token

    def open(self, timeout: float) -> http.client.HTTPConnection:
        """A connection, which connects with the first request."""
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def headers(self, more: Optional[Mapping[str, str]] = None) -> dict[str, str]:
        """The headers of a request to this instance."""
        headers = {"Accept": "application/json", **(more or {})}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def target(self, path: str) -> str:
        """The path of a request, below the path of the URL."""
        return self._path + path

    def request(self, method: str, path: str, body: Optional[bytes] = None, *, timeout: float) -> Reply:
        """Sends a request and reads the whole answer.

        Raises Unanswered if there is no complete answer. `timeout` limits each wait for the network.
        """
        connection = self.open(timeout)
        try:
            headers = self.headers({"Content-Type": "application/json"} if body is not None else None)
            connection.request(method, self.target(path), body, headers)
            response = connection.getresponse()
            text = response.read(_ANSWER_LEN_MAX + 1)
            if len(text) > _ANSWER_LEN_MAX:
                raise Unanswered(f"{self.url}: the answer is larger than {_ANSWER_LEN_MAX} bytes")
            return Reply(response.status, dict(response.headers.items()), self._document(text, response.status))
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"{self.url}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _document(self, text: bytes, status: int) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            if 200 <= status < 300:
                raise Unanswered(f"{self.url}: HTTP {status}, and the body is not JSON") from None
            return {"detail": text[:200].decode(errors="replace")}


def refuse(status: int, problem: Any) -> Refused:
    """The error for a status from 400 to 499."""
    document = problem if isinstance(problem, dict) else {}
    return Conflict(status, document) if status == 409 else Refused(status, document)
