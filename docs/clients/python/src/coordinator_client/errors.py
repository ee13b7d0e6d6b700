"""Errors of the client. Each message says what the caller can do next."""

from __future__ import annotations

from typing import Any, Mapping, Optional


class CoordinatorError(Exception):
    """Base class of the errors of this package."""


class Refused(CoordinatorError):
    """An instance refused the request (status 400 to 499). Repeating the same request cannot help."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        #: The problem document of the answer (RFC 9457).
        self.problem = problem
        #: The first field that is wrong; None if the refusal names no field.
        self.field: Optional[str] = problem.get("field")
        super().__init__(f"HTTP {status}: {problem.get('detail') or 'no detail'}")


class Conflict(Refused):
    """Status 409: another signal has this id or fingerprint, or the outcome cannot follow the signal's state."""

    @property
    def signal(self) -> Optional[Mapping[str, Any]]:
        """The signal that the ledger contains."""
        return self.problem.get("signal")


class Unacknowledged(CoordinatorError):
    """No instance acknowledged the request before the timeout. The request may have been carried out.

    Submit the same signal again, with the same timestamp: a repetition never causes a second execution.
    """


class NotLeading(CoordinatorError):
    """No instance answered as the leader before the timeout."""


class Fenced(CoordinatorError):
    """The fence refused an effect, because a later leader is known or because the attempt was given up."""


class LeadershipOver(CoordinatorError):
    """The leadership has ended, or its validity is no longer known. Stop the work."""


class NoTransaction(CoordinatorError):
    """No transaction is open, so a check and an effect would not be one transaction."""
