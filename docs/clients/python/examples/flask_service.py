"""A Flask service that books every signal once, in its own database: flask_service.py PORT."""

import os
import sqlite3
import sys

from flask import Flask

from coordinator_client import DatabaseHandler, done
from coordinator_client.flask import blueprint


def connect():
    return sqlite3.connect(os.environ.get("DESK_DB", "desk.db"), timeout=10)


def place_order(signal, database):
    database.execute("INSERT INTO desk_order VALUES (?, ?)", (signal.key, signal.payload.get("price")))
    return done("booked")


with connect() as database:
    database.execute("CREATE TABLE IF NOT EXISTS desk_order (signal TEXT, price TEXT)")
handler = DatabaseHandler(connect, place_order)
handler.create_tables()
app = Flask(__name__)
app.register_blueprint(blueprint(handler, "/orders"))

if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), threaded=True)
