"""A Flask service that places orders at a broker: broker_service.py PORT.

The broker is a file that executes every order that it receives, also a second one. It can refuse an attempt on request,
as a cancellation by client order id does. Only requests with the signature and the token of the group are served.
"""

import os
import sqlite3
import sys

from flask import Flask

from coordinator_client import BrokerHandler, Credentials, done, not_executed
from coordinator_client.flask import blueprint

DESK = os.environ["DESK_DB"]


def connect(path=DESK):
    return sqlite3.connect(path, timeout=10)


def place_order(signal):
    with connect(DESK + ".broker") as broker:
        broker.execute("BEGIN IMMEDIATE")
        if broker.execute("SELECT 1 FROM refused WHERE id = ?", (f"{signal.key}.{signal.attempt}",)).fetchone():
            return not_executed("the broker refused it")
        broker.execute("INSERT INTO desk_order VALUES (?, ?)", (signal.key, signal.payload.get("price")))
    return done("booked")


def find_order(signal):
    with connect(DESK + ".broker") as broker:
        broker.execute("BEGIN IMMEDIATE")
        if broker.execute("SELECT 1 FROM desk_order WHERE signal = ?", (signal.key,)).fetchone():
            return done("found")
        broker.execute("INSERT OR IGNORE INTO refused VALUES (?)", (f"{signal.key}.{signal.attempt}",))
    return not_executed("cancelled")


with connect(DESK + ".broker") as broker:
    broker.execute("CREATE TABLE IF NOT EXISTS desk_order (signal TEXT, price TEXT)")
    broker.execute("CREATE TABLE IF NOT EXISTS refused (id TEXT PRIMARY KEY)")
handler = BrokerHandler(connect, place_order, find_order)
handler.create_tables()
app = Flask(__name__)
app.register_blueprint(blueprint(handler, "/orders", credentials=Credentials(["the key"], ["the-token"])))

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
