"""Executes signals while instances and services are killed and stopped, and counts what was executed.

    PYTHONPATH=src python3 tests/chaos.py --signals 2000 --kind flask|fastapi|worker|broker|postgres

It exits with 0 if every signal was executed exactly once and the ledger says so, and prints one line of figures.
"""

import argparse
import datetime
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import cluster
import psycopg
from postgres import Postgres

from coordinator_client import Coordinator, DatabaseHandler

#: A stop must be longer than LEADER_TTL (2 s) and the timeout of the handler (2 s).
_STOPPED = 3.0
_INSTRUMENTS = 25
FAULTS = ("kill leader", "stop leader", "kill service", "stop service", "kill standby")
#: Seconds of submissions for each fault, so that signals are on their way at every fault.
_SECONDS_PER_FAULT = 2.0
_PROGRAMS = {
    "flask": "examples/flask_service.py",
    "fastapi": "examples/fastapi_service.py",
    "worker": "examples/worker.py",
    "broker": "tests/programs/broker_service.py",
    "postgres": "tests/programs/psycopg_service.py",
}
_OPEN = ("received", "claimed", "sent", "in_doubt")


class Chaos:
    def __init__(self, folder, kind, signals, seed):
        self.folder, self.kind, self.signals = Path(folder), kind, signals
        self.random = random.Random(seed)
        self.faults = Counter()
        self.ports = [cluster.free_port() for _ in range(3)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self.ports]
        self.services, self.instances = [], []
        self.postgres = None

    def start(self):
        handlers = [None, None, None]
        program = _PROGRAMS[self.kind]
        desk = self.folder / "desk.db"
        if self.kind == "postgres":
            self.postgres = Postgres()
            desk = self.postgres.url
            with psycopg.connect(desk) as database:
                database.execute("CREATE TABLE desk_order (signal TEXT, price TEXT)")
            DatabaseHandler(lambda: psycopg.connect(desk), lambda signal, database: None).create_tables()
        if self.kind == "worker":
            for name in ("worker-1", "worker-2"):
                self.services.append(cluster.service(self.folder, name, program, self.urls, desk))
        else:
            ports = [cluster.free_port(), cluster.free_port()]
            for number, port in enumerate(ports):
                self.services.append(cluster.service(self.folder, f"service-{number}", program, [port], desk))
            for port in ports:
                cluster.until(lambda port=port: cluster.answers(port), 30, "the service starts")
            handlers = [f"http://127.0.0.1:{ports[number % 2]}/orders" for number in range(3)]
        for number, (port, handler) in enumerate(zip(self.ports, handlers)):
            settings = {}
            if handler is not None:
                settings = {
                    "COORDINATOR_SIGNALS_HANDLER": handler,
                    "COORDINATOR_SIGNALS_LOOKUP": handler,
                    "COORDINATOR_SIGNALS_HANDLER_TIMEOUT": "2s",
                    "COORDINATOR_SIGNALS_HANDLER_KEY_FILE": self.secret("key", "the key"),
                    "COORDINATOR_SIGNALS_HANDLER_TOKEN_FILE": self.secret("token", "the-token"),
                }
            self.instances.append(cluster.instance(self.folder, f"desk-{number}", port, settings))
        self.client = Coordinator(self.urls, request_timeout=3)
        cluster.until(lambda: self.client.leader() is not None, 60, "an instance leads")

    def secret(self, name, text):
        """A file with a secret, which only its owner can read."""
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text + "\n")
        return str(path)

    def submit(self, first, errors):
        try:
            now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
            client = Coordinator(self.urls, request_timeout=3)
            for number in range(first, self.signals, 4):
                time.sleep(self.pause)
                client.submit(
                    f"I-{number % _INSTRUMENTS}", "BASE_ENTRY", f"Long_{number}", now, {"price": "1.10"}, timeout=120
                )
        except Exception as error:
            errors.append(error)

    def fault(self, kind):
        """One fault; the process works again afterwards."""
        leader = self.client.leader()
        leading = [one for one in self.instances if leader is not None and one.name == leader.id]
        standby = [one for one in self.instances if one not in leading]
        victims = {"leader": leading, "standby": standby, "service": self.services}[kind.split()[1]]
        if not victims:
            return False
        victim = self.random.choice(victims)
        if kind.startswith("kill"):
            victim.kill()
            time.sleep(self.random.uniform(0.0, 0.5))
            victim.start()
        else:
            victim.pause()
            time.sleep(_STOPPED)
            victim.resume()
        self.faults[kind] += 1
        return True

    def run(self, faults_min):
        """Submits everything, injects faults until at least `faults_min` happened, and waits for the end."""
        errors, kinds = [], []
        self.pause = faults_min * _SECONDS_PER_FAULT / (self.signals / 4)
        submitting = [threading.Thread(target=self.submit, args=(first, errors)) for first in range(4)]
        for thread in submitting:
            thread.start()
        while sum(self.faults.values()) < faults_min or any(thread.is_alive() for thread in submitting):
            # Every kind occurs equally often, in a random order.
            kinds = kinds or self.random.sample(FAULTS, len(FAULTS))
            if self.fault(kinds[-1]):
                kinds.pop()
            time.sleep(self.random.uniform(0.2, 1.0))
        for thread in submitting:
            thread.join()
        if errors:
            raise errors[0]
        cluster.until(self.is_settled, 180, "no signal is open")

    def is_settled(self):
        try:
            return not any(self.client.signals(state, limit=1) for state in _OPEN)
        except Exception:
            return False

    def check(self):
        """What went wrong, as sentences."""
        with self.desk() as database:
            orders = Counter(dict(database.execute("SELECT signal, count(*) FROM desk_order GROUP BY signal")))
        finished = []
        with sqlite3.connect(self.folder / "coordinator" / "coordinator.db") as ledger:
            rows = ledger.execute("SELECT state, count(*) FROM coordinator_signal GROUP BY state")
            finished = dict(rows)
        twice = [key for key, count in orders.items() if count > 1]
        lost = self.signals - len(orders)
        found = []
        if twice:
            found.append(f"{len(twice)} signals were executed twice, such as {twice[0]}")
        if lost:
            found.append(f"{lost} signals were not executed")
        if finished != {"done": self.signals}:
            found.append(f"the ledger has {finished}")
        return found

    def desk(self):
        """A connection to the database that contains the orders."""
        if self.postgres is not None:
            return psycopg.connect(self.postgres.url)
        return sqlite3.connect(self.folder / ("desk.db.broker" if self.kind == "broker" else "desk.db"))

    def end(self):
        for process in [*self.services, *self.instances]:
            process.end()
        if self.postgres is not None:
            self.postgres.end()


def run(kind, signals, faults_min, seed):
    """Returns the faults that were injected and what went wrong."""
    with tempfile.TemporaryDirectory(prefix="coordinator-client-") as folder:
        chaos = Chaos(folder, kind, signals, seed)
        try:
            chaos.start()
            chaos.run(faults_min)
            return dict(chaos.faults), chaos.check()
        except BaseException:
            for log in sorted(Path(folder).glob("*.log")):
                lines = log.read_text(errors="replace").splitlines()[-15:]
                print(f"---- {log.name}", *lines, sep="\n", file=sys.stderr)
            raise
        finally:
            chaos.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=list(_PROGRAMS), required=True)
    parser.add_argument("--signals", type=int, default=2000)
    parser.add_argument("--faults", type=int, default=40, help="the smallest number of faults")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    arguments = parser.parse_args()
    began = time.monotonic()
    faults, found = run(arguments.kind, arguments.signals, arguments.faults, arguments.seed)
    took = time.monotonic() - began
    print(f"{arguments.kind}, seed {arguments.seed}: {arguments.signals} signals, faults {faults}, {took:.0f} s")
    print("\n".join(found) or "0 executed twice, 0 lost")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
