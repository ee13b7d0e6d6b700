"""A worker that claims signals and books each of them once, in its own database: worker.py URL..."""

import os
import sqlite3
import sys

from coordinator_client import Coordinator, DatabaseHandler, Worker, done


def connect():
    return sqlite3.connect(os.environ.get("DESK_DB", "desk.db"), timeout=10)


def place_order(signal, database):
    database.execute("INSERT INTO desk_order VALUES (?, ?)", (signal.key, signal.payload.get("price")))
    return done("booked")


with connect() as database:
    database.execute("CREATE TABLE IF NOT EXISTS desk_order (signal TEXT, price TEXT)")
handler = DatabaseHandler(connect, place_order)
handler.create_tables()

if __name__ == "__main__":
    Worker(Coordinator(sys.argv[1:]), handler).run()
