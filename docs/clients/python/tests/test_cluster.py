"""The client against real instances of coordinator. The chaos here is short; the long one is `chaos.py`."""

import asyncio
import datetime
import json
import subprocess
import tempfile
import unittest
from pathlib import Path

import chaos
import cluster

from coordinator_client import AsyncCoordinator, Coordinator, Refused, clock, done

#: Faults of each short run: one of each kind.
_FAULTS = 5
_SIGNALS = 100


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


class ChaosTest(unittest.TestCase):
    def survives(self, kind):
        faults, found = chaos.run(kind, _SIGNALS, _FAULTS, seed=16)
        self.assertEqual(found, [])
        self.assertEqual(set(faults), set(chaos.FAULTS))

    def test_flask_executes_each_signal_once_while_processes_are_killed_and_stopped(self):
        self.survives("flask")

    def test_fastapi_executes_each_signal_once_while_processes_are_killed_and_stopped(self):
        self.survives("fastapi")

    def test_workers_execute_each_signal_once_while_processes_are_killed_and_stopped(self):
        self.survives("worker")

    def test_orders_at_a_broker_are_placed_once_while_processes_are_killed_and_stopped(self):
        self.survives("broker")

    def test_postgresql_has_each_signal_once_while_processes_are_killed_and_stopped(self):
        self.survives("postgres")


class ClusterTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="coordinator-client-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.instances = {}
        for name in ("desk-1", "desk-2"):
            port = cluster.free_port()
            self.instances[name] = (cluster.instance(self.folder, name, port, {}), f"http://127.0.0.1:{port}")
            self.addCleanup(self.instances[name][0].end)
        self.urls = [url for _, url in self.instances.values()]
        self.client = Coordinator(self.urls)
        cluster.until(lambda: self.client.leader() is not None, 60, "an instance leads")

    def test_signals_are_submitted_claimed_and_recorded(self):
        first = self.client.submit("NIFTY", "BASE_ENTRY", "Long_1", now(), {"price": "1.10"})
        again = self.client.submit("NIFTY", "BASE_ENTRY", "Long_1", first.timestamp, {"price": "1.10"})
        self.assertEqual((first.id, first.state), (again.id, "received"))
        with self.assertRaises(Refused) as refused:
            self.client.submit("NIFTY", "BASE_ENTRY", "x" * 65, now())
        self.assertEqual((refused.exception.status, refused.exception.field), (422, "position"))
        claim = self.client.claim(10, 4)
        leader = self.client.leader()
        self.assertEqual([signal.id for signal in claim.signals], [first.id])
        self.assertEqual(claim.lead(), leader.lead())
        self.assertEqual(self.client.result(first.id, 1, done("order 1")).state, "done")
        self.assertEqual(self.client.signals("done")[0].note, "order 1")

    def test_asyncio_makes_the_same_requests_and_reads_events(self):
        async def scenario():
            client = AsyncCoordinator(self.urls)
            await client.submit("NIFTY", "BASE_ENTRY", "Long_2", now())
            claim = await client.claim(1, 4)
            async for event in client.events():
                if event.name == "hello":
                    break
            return await client.result(claim.signals[0].id, 1, done())

        self.assertEqual(asyncio.run(scenario()).state, "done")

    def test_work_of_a_stopped_leader_ends_before_the_next_leader_works(self):
        spans = []

        def follow(name, url):
            @Coordinator([url]).while_leader
            def work(leadership):
                span = [name, clock.now(), clock.now()]
                spans.append(span)
                while leadership.wait(0.01):
                    span[2] = clock.now()

            work.start()
            self.addCleanup(work.stop)

        for name, (_, url) in self.instances.items():
            follow(name, url)
        cluster.until(lambda: spans, 30, "the work begins")
        leader = self.instances[spans[0][0]][0]
        leader.pause()
        self.addCleanup(leader.resume)
        cluster.until(lambda: len(spans) > 1, 60, "the work begins on the next leader")
        (first, _, ended), (second, began, _) = spans[:2]
        self.assertNotEqual(first, second)
        self.assertLess(ended, began)

    def test_a_token_is_sent_and_a_missing_one_is_a_refusal_without_a_retry(self):
        tokens = self.folder / "tokens.toml"
        created = subprocess.run(
            [cluster.BINARY, "token", "new", "--name", "desk", "--role", "submit", "--role", "work", "--file", tokens],
            capture_output=True,
            text=True,
            check=True,
            umask=0o077,
        )
        port = cluster.free_port()
        environment = {"COORDINATOR_ACCESS_TOKENS_FILE": str(tokens)}
        guarded = cluster.instance(self.folder, "desk-3", port, environment)
        self.addCleanup(guarded.end)
        url = f"http://127.0.0.1:{port}"
        cluster.until(lambda: cluster.answers(port), 60, "the instance starts")
        with self.assertRaises(Refused) as refused:
            Coordinator([url]).submit("NIFTY", "BASE_ENTRY", "Long_3", now())
        self.assertEqual(refused.exception.status, 401)
        client = Coordinator([url], token=created.stdout.strip())
        self.assertEqual(client.submit("NIFTY", "BASE_ENTRY", "Long_3", now()).state, "received")
        self.assertEqual(len(client.signals("received")), 1)

    def test_the_shell_example_submits_claims_and_records(self):
        self.example(["sh", str(cluster.PACKAGE.parent / "shell" / "signals.sh")])

    def test_the_node_example_submits_claims_and_records(self):
        self.example(["node", str(cluster.PACKAGE.parent / "node" / "signals.mjs")])

    def example(self, command):
        leader = self.client.leader()
        printed = subprocess.run(
            [*command, self.instances[leader.id][1]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual((printed.returncode, printed.stderr), (0, ""))
        self.assertEqual(json.loads(printed.stdout.splitlines()[-1])["state"], "done")


if __name__ == "__main__":
    unittest.main()
