"""The clock for the validity of a leadership. It must count the time for which the host was suspended."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds of CLOCK_BOOTTIME, or of the monotonic clock on systems without it."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
