"""A PostgreSQL of the test, on a socket in a temporary folder. Debian's package postgresql has its programs."""

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

_PATTERN = "/usr/lib/postgresql/*/bin"


class Postgres:
    """Runs from the creation until `end`. `url` is for psycopg."""

    def __init__(self):
        folders = sorted(glob.glob(_PATTERN), key=lambda folder: int(folder.split("/")[4]), reverse=True)
        programs = Path(folders[0]) if folders else Path(shutil.which("initdb") or "postgresql-is-missing").parent
        if not (programs / "initdb").exists():
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install --no-install-recommends postgresql")
        self.folder = Path(tempfile.mkdtemp(prefix="coordinator-pg-"))
        # PostgreSQL refuses to run as root.
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        if user:
            shutil.chown(self.folder, "nobody", "nogroup")
        data = self.folder / "data"
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "cwd": "/"}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "desk", "-A", "trust", "-N"], check=True, **quiet, **user
        )
        quiet["stderr"] = subprocess.DEVNULL
        command = [programs / "postgres", "-D", data, "-k", self.folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        self._process = subprocess.Popen(command, **quiet, **user)
        self.url = f"postgresql://desk@/postgres?host={self.folder}"
        ready = [programs / "pg_isready", "-q", "-h", self.folder, "-U", "desk"]
        deadline = time.monotonic() + 60
        while subprocess.run(ready).returncode != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.end()
                raise TimeoutError("PostgreSQL did not start")
            time.sleep(0.1)

    def end(self):
        # A fast shutdown, which does not wait for open connections.
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
