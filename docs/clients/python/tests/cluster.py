"""Real processes for the tests: instances of coordinator on the embedded store, services and workers.

`TEST_COORDINATOR` names the program; by default it is the debug build of this repository.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("TEST_COORDINATOR", PACKAGE.parents[2] / "target" / "debug" / "coordinator"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A process that can be killed, stopped for a time and started again, always with the same command."""

    def __init__(self, name, command, folder, environment):
        self.name, self._command, self._environment = name, [str(part) for part in command], environment
        self._log = open(folder / f"{name}.log", "ab")
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": str(PACKAGE / "src"), **self._environment},
        )

    def kill(self):
        self._process.kill()
        self._process.wait()

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def ended(self):
        return self._process.poll() is not None

    def end(self):
        if not self.ended():
            self.resume()
            self.kill()
        self._log.close()


def instance(folder, name, port, environment):
    """An instance of the group of this folder."""
    settings = {
        "COORDINATOR_LEADER_TTL": "2s",
        "COORDINATOR_SIGNALS_MAX_PER_MINUTE": "none",
        "COORDINATOR_SIGNALS_MAX_PER_DAY": "none",
        "COORDINATOR_INSTANCE_ID": name,
        **environment,
    }
    command = [BINARY, "run", "--data-dir", folder / "coordinator", "--listen", f"127.0.0.1:{port}"]
    return Process(name, command, folder, settings)


def service(folder, name, program, arguments, desk):
    """A program of this package, by its path in it."""
    command = [sys.executable, PACKAGE / program, *arguments]
    return Process(name, command, folder, {"DESK_DB": str(desk)})


def until(condition, seconds, what):
    """Waits for the condition. Raises TimeoutError with the name of what was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.1)


def answers(port):
    """Whether a server accepts connections on this port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
