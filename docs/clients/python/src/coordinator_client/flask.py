"""A Flask blueprint that receives the signals of a group: `app.register_blueprint(blueprint(handler, "/orders"))`."""

from __future__ import annotations

from typing import Optional

from flask import Blueprint, Response, request

from . import receive
from .credentials import Credentials
from .handler import Handler


def blueprint(
    handler: Handler,
    prefix: str = "/orders",
    *,
    credentials: Optional[Credentials] = None,
    name: str = "coordinator",
) -> Blueprint:
    """Serves POST `prefix` (`signals.handler`) and GET `prefix`/KEY (`signals.lookup` is the address of `prefix`)."""
    routes = Blueprint(name, __name__, url_prefix=prefix)

    def execute() -> Response:
        return _response(receive.execute(handler, request.headers.get, request.get_data(), credentials))

    def look_up(key: str) -> Response:
        return _response(receive.look_up(handler, request.headers.get, key, credentials))

    routes.add_url_rule("", "execute", execute, methods=["POST"])
    routes.add_url_rule("/<key>", "look_up", look_up, methods=["GET"])
    return routes


def _response(answer: receive.Response) -> Response:
    status, body = answer
    return Response(body, status, content_type="application/json")
