"""Answers as this room's services give them: JSON, plain text, and a response that ends a request from anywhere."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

__all__ = ["Answered", "json_response", "text_response"]


class Answered(Exception):
    """The request is to be answered with `response`, whatever was going on."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def json_response(data: Any, status: int = 200) -> Response:
    """Return data as JSON."""
    return Response(json.dumps(data), status, media_type="application/json")


def text_response(text: str, status: int) -> Response:
    """Return a text as the services send it."""
    return Response(text, status, {"content-type": "text/plain; charset=utf-8"})
