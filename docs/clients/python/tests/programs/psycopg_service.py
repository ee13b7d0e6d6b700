"""A FastAPI service that books every signal once in PostgreSQL: psycopg_service.py PORT, with the URL in DESK_DB."""

import os
import sys

import psycopg
import uvicorn
from fastapi import FastAPI

from coordinator_client import DatabaseHandler, done
from coordinator_client.fastapi import router


def connect():
    return psycopg.connect(os.environ["DESK_DB"], connect_timeout=5)


def place_order(signal, database):
    database.execute("INSERT INTO desk_order VALUES (%s, %s)", [signal.key, signal.payload.get("price")])
    return done("booked")


app = FastAPI()
app.include_router(router(DatabaseHandler(connect, place_order), "/orders"))

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
