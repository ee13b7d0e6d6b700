"""A FastAPI router that receives the signals of a group: `app.include_router(router(handler, "/orders"))`."""

from __future__ import annotations

from typing import Optional

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from . import receive
from .credentials import Credentials
from .handler import Handler


def router(handler: Handler, prefix: str = "/orders", *, credentials: Optional[Credentials] = None) -> APIRouter:
    """Serves POST `prefix` (`signals.handler`) and GET `prefix`/KEY (`signals.lookup` is the address of `prefix`).

    The function of the handler runs in a thread, so it may block.
    """
    routes = APIRouter(prefix=prefix)

    async def execute(request: Request) -> Response:
        body = await request.body()
        return _response(await run_in_threadpool(receive.execute, handler, request.headers.get, body, credentials))

    async def look_up(request: Request, key: str) -> Response:
        return _response(await run_in_threadpool(receive.look_up, handler, request.headers.get, key, credentials))

    routes.add_api_route("", execute, methods=["POST"])
    routes.add_api_route("/{key}", look_up, methods=["GET"])
    return routes


def _response(answer: receive.Response) -> Response:
    status, body = answer
    return Response(body, status, media_type="application/json")
