"""Server-sent events of the instances (docs/page.md)."""

from __future__ import annotations

import http.client
import json
import random
import time
from dataclasses import dataclass
from typing import Any, Generator, Mapping, Optional, Sequence

from .transport import Instance, refuse

#: An instance sends a ping after 5 s without another event.
_SILENCE_MAX = 15.0
_PAUSE_MIN, _PAUSE_MAX = 0.1, 2.0


@dataclass(frozen=True)
class Event:
    """A change: `hello`, `role`, `alert`, `signal`, `store` or `ping`, with its data."""

    name: str
    data: Mapping[str, Any]
    id: Optional[str]


class Parser:
    """Collects the lines of a stream to events, and keeps the latest id for the next connection."""

    def __init__(self) -> None:
        self.last_id: Optional[str] = None
        self._name = ""
        self._data: list[str] = []

    def line(self, line: str) -> Optional[Event]:
        """Reads a line without its end; returns the event that it completes."""
        if not line:
            name, data = self._name or "message", "\n".join(self._data)
            complete = bool(self._data)
            self._name, self._data = "", []
            return Event(name, json.loads(data), self.last_id) if complete else None
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self.last_id = value
        return None


def follow(instances: Sequence[Instance]) -> Generator[Event, None, None]:
    """Events of the first instance that answers, without end."""
    last_id: Optional[str] = None
    pause = _PAUSE_MIN
    while True:
        for instance in instances:
            parser = Parser()
            parser.last_id = last_id
            connection = instance.open(_SILENCE_MAX)
            try:
                more = {"Accept": "text/event-stream"}
                if last_id is not None:
                    more["Last-Event-ID"] = last_id
                connection.request("GET", instance.target("/events"), headers=instance.headers(more))
                response = connection.getresponse()
                if 400 <= response.status < 500:
                    raise refuse(response.status, _problem(response))
                while response.status == 200:
                    line = response.readline()
                    if not line.endswith(b"\n"):
                        break
                    event = parser.line(line.decode().rstrip("\r\n"))
                    if event is not None:
                        # The id follows the events that it covers, so it is kept with every event.
                        last_id, pause = parser.last_id, _PAUSE_MIN
                        yield event
                    last_id = parser.last_id
            except (OSError, http.client.HTTPException, ValueError):
                pass
            finally:
                connection.close()
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(pause * 2, _PAUSE_MAX)


def _problem(response: http.client.HTTPResponse) -> Any:
    try:
        return json.loads(response.read(64 * 1024))
    except ValueError:
        return {}
