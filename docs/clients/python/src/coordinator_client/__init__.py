"""Client for coordinator: submit signals, follow the leader, fence effects."""

from .client import Coordinator
from .errors import (
    Conflict,
    CoordinatorError,
    Fenced,
    LeadershipOver,
    NoTransaction,
    NotLeading,
    Refused,
    Unacknowledged,
)
from .events import Event
from .fence import HandlerFence
from .roles import LeaderAnswer, Leadership, WhileLeader
from .signals import Answer, Signal, done, fingerprint, not_executed, rejected, sent, unknown
from .token import Token, fenced

__all__ = [
    "Answer", "Conflict", "Coordinator", "CoordinatorError", "Event", "Fenced", "HandlerFence", "LeaderAnswer",
    "Leadership", "LeadershipOver", "NoTransaction", "NotLeading", "Refused", "Signal", "Token", "Unacknowledged",
    "WhileLeader", "done", "fenced", "fingerprint", "not_executed", "rejected", "sent", "unknown",
]
