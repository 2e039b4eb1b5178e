"""Errors as the Walrus services give them: structured JSON for their own, plain text for the framework's."""

from __future__ import annotations

from starlette.responses import Response

from walrus_sdk.localnet.exchange import Answered, json_response, text_response

__all__ = ["AUTH", "DAEMON", "internal_error", "overloaded", "refuse", "refuse_text"]

DAEMON = "daemon.walrus.space"
AUTH = "auth.publisher.walrus.space"
_STATUS_CODES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "SIZE_EXCEEDED": 403,
    "NOT_FOUND": 404,
    "RANGE_NOT_SATISFIABLE": 416,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def _error(status: str, reason: str, message: str, domain: str) -> Response:
    detail = {"@type": "ErrorInfo", "reason": reason, "domain": domain, "metadata": {}}
    details = [detail]
    if domain == "global":
        trace = {"@type": "DebugInfo", "stackEntries": [], "detail": "TraceID: 0"}
        details.append(trace)  # type: ignore[arg-type]  # the wire has both shapes in one list
    code = _STATUS_CODES[status]
    return json_response({"error": {"status": status, "code": code, "message": message, "details": details}}, code)


def refuse(status: str, reason: str, message: str, domain: str = DAEMON) -> Answered:
    """Return a structured error to raise; `status` is the service's name for the HTTP status."""
    return Answered(_error(status, reason, message, domain))


def internal_error() -> Answered:
    """Return the error that hides its cause: whatever has no error of its own."""
    message = "an internal error has occurred, please report it"
    return Answered(_error("INTERNAL", "INTERNAL_ERROR", message, "global"))


def refuse_text(status: int, text: str) -> Answered:
    """Return a framework's error to raise."""
    return Answered(text_response(text, status))


def overloaded(service: str) -> Answered:
    """Return what load shedding answers; there is no ``Retry-After``."""
    return refuse_text(429, f"the {service} is receiving too many requests; please try again later")
