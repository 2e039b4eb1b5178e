"""Errors as the Walrus services give them: structured JSON for their own, plain text for the framework's."""

from __future__ import annotations

from starlette.responses import Response

from walrus_sdk.localnet.replies import Answered, json_response, text_response

__all__ = ["AUTH", "DAEMON", "fault_answer", "internal_error", "overload", "overloaded", "refuse", "refuse_text"]

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
    "UNAVAILABLE_FOR_LEGAL_REASONS": 451,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
_INTERNAL = ("INTERNAL", "INTERNAL_ERROR", "an internal error has occurred, please report it", "global")
# What the services themselves say with these statuses; every other status comes from something in front of them.
_OWN = {
    ("publisher", 451): ("UNAVAILABLE_FOR_LEGAL_REASONS", "FORBIDDEN_BLOB", "the blob is blocked", DAEMON),
    ("publisher", 504): (
        "DEADLINE_EXCEEDED",
        "INSUFFICIENT_CONFIRMATIONS",
        "not enough storage confirmations were received",
        DAEMON,
    ),
    ("aggregator", 403): ("SIZE_EXCEEDED", "BLOB_TOO_LARGE", "the blob is larger than this aggregator serves", DAEMON),
    ("aggregator", 404): ("NOT_FOUND", "BLOB_NOT_FOUND", "the requested blob ID does not exist on Walrus", DAEMON),
    ("aggregator", 451): ("UNAVAILABLE_FOR_LEGAL_REASONS", "FORBIDDEN_BLOB", "the blob is blocked", DAEMON),
    ("aggregator", 503): ("UNAVAILABLE", "BLOB_UNAVAILABLE", "the blob is not available at the moment", DAEMON),
}
_HTML = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


def _error(status: str, reason: str, message: str, domain: str, code: int | None = None) -> Response:
    detail = {"@type": "ErrorInfo", "reason": reason, "domain": domain, "metadata": {}}
    details = [detail]
    if domain == "global":
        trace = {"@type": "DebugInfo", "stackEntries": [], "detail": "TraceID: 0"}
        details.append(trace)  # type: ignore[arg-type]  # the wire has both shapes in one list
    code = code or _STATUS_CODES[status]
    return json_response({"error": {"status": status, "code": code, "message": message, "details": details}}, code)


def refuse(status: str, reason: str, message: str, domain: str = DAEMON) -> Answered:
    """Return a structured error to raise; `status` is the service's name for the HTTP status."""
    return Answered(_error(status, reason, message, domain))


def internal_error() -> Answered:
    """Return the error that hides its cause: whatever has no error of its own."""
    return Answered(_error(*_INTERNAL))


def refuse_text(status: int, text: str) -> Answered:
    """Return a framework's error to raise."""
    return Answered(text_response(text, status))


def overload(service: str) -> Response:
    """Return what load shedding answers; there is no ``Retry-After``."""
    return text_response(f"the {service} is receiving too many requests; please try again later", 429)


def overloaded(service: str) -> Answered:
    """Return what load shedding answers, to raise."""
    return Answered(overload(service))


def fault_answer(service: str, status: int, kind: str) -> Response:
    """Return the error that a fault asks for: ``json``, ``text`` or ``html``, as the service or its front gives it."""
    if kind == "html":
        return Response(_HTML.format(f"{status} Error"), status, media_type="text/html")
    if kind == "text":
        return text_response("upstream connect error or disconnect/reset before headers", status)
    own = _OWN.get((service, status))
    return _error(*own) if own is not None else _error(*_INTERNAL, status)
