"""Client for coordinator: submit signals, execute each of them once, follow the leader, fence effects."""

from .aio import AsyncCoordinator
from .client import Coordinator
from .credentials import Credentials
from .errors import (
    Conflict,
    CoordinatorError,
    Fenced,
    LeadershipOver,
    NotLeading,
    NoTransaction,
    Refused,
    Unacknowledged,
)
from .events import Event
from .fence import HandlerFence
from .handler import BrokerHandler, DatabaseHandler, Handler
from .orders import Claim, Lead, Order
from .roles import LeaderAnswer, Leadership, WhileLeader
from .signals import Answer, Signal, done, fingerprint, not_executed, rejected, sent, unknown
from .token import Token, fenced
from .worker import Worker

__all__ = [
    "Answer",
    "AsyncCoordinator",
    "BrokerHandler",
    "Claim",
    "Conflict",
    "Coordinator",
    "CoordinatorError",
    "Credentials",
    "DatabaseHandler",
    "Event",
    "Fenced",
    "Handler",
    "HandlerFence",
    "Lead",
    "LeaderAnswer",
    "Leadership",
    "LeadershipOver",
    "NoTransaction",
    "NotLeading",
    "Order",
    "Refused",
    "Signal",
    "Token",
    "Unacknowledged",
    "WhileLeader",
    "Worker",
    "done",
    "fenced",
    "fingerprint",
    "not_executed",
    "rejected",
    "sent",
    "unknown",
]
