"""A FastAPI service that books every signal once, in its own database: fastapi_service.py PORT."""

import os
import sqlite3
import sys

import uvicorn
from fastapi import FastAPI

from coordinator_client import DatabaseHandler, done
from coordinator_client.fastapi import router


def connect():
    return sqlite3.connect(os.environ.get("DESK_DB", "desk.db"), timeout=10)


def place_order(signal, database):
    database.execute("INSERT INTO desk_order VALUES (?, ?)", (signal.key, signal.payload.get("price")))
    return done("booked")


with connect() as database:
    database.execute("CREATE TABLE IF NOT EXISTS desk_order (signal TEXT, price TEXT)")
handler = DatabaseHandler(connect, place_order)
handler.create_tables()
app = FastAPI()
app.include_router(router(handler, "/orders"))

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
