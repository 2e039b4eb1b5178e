"""What a publisher's refusal means, and whether it proves that nothing was stored.

One rule settles all cases: before the release the body was never whole, so nothing can be stored, whatever the answer
or failure says; after it, only an answer that proves a refusal counts as "not stored".
"""

from __future__ import annotations

import re

from walrus_sdk.errors import CODES, ErrorClass, NetworkError, ProtocolError, WalrusError
from walrus_sdk.http.client import Answer
from walrus_sdk.http.failures import NOT_SENT
from walrus_sdk.http.fields import retry_after
from walrus_sdk.walrus.reasons import AUTH_DOMAIN, DAEMON_DOMAIN, Reason, error_of, read_reason

__all__ = ["failed", "refused"]

_BY_REASON = {
    (AUTH_DOMAIN, "TOKEN_ALREADY_USED"): "token_used",
    (AUTH_DOMAIN, "EXPIRED_SIGNATURE"): "token_expired",
    (DAEMON_DOMAIN, "INSUFFICIENT_CONFIRMATIONS"): "store_uncertified",
    (DAEMON_DOMAIN, "FORBIDDEN_BLOB"): "blob_blocked",
    (DAEMON_DOMAIN, "SIZE_EXCEEDED"): "body_too_large",
}

# Source: status codes of `PUT /v1/blobs` and `/v1/quilts` in walrus-service, and what proxies add in front of it.
# A 5xx of a proxy says nothing about the store behind it, so all of them want a look.
_BY_STATUS = {
    401: "token_refused",
    403: "token_refused",
    404: "http_error",
    405: "http_error",
    408: "timeout_read",
    413: "body_too_large",
    429: "rate_limited",
    451: "blob_blocked",
}

# What a failure after the last byte is called, where its own code would promise that nothing happened.
_LATE = {
    "deadline_exceeded": "timeout_read",
    "timeout_send": "timeout_read",
    "answer_too_large": "bad_answer",
    "send_failed": "connection_lost",
}

_SAYS_TOO_LARGE = re.compile(r"(?i)length limit|too large|exceed|failed to parse multipart|error parsing `multipart")
_SAYS_TOKEN = re.compile(r"(?i)header of type `?authorization`?")


def refused(answer: Answer, *, released: bool, size: int, wall_ms: int) -> WalrusError:
    """Return the error for a publisher's answer with another status than 200.

    `released`: whether the last bytes were released when it was read; `size`: bytes of the body; `wall_ms`: now, to
    read a Retry-After date. Fields: endpoint, http_status, reason, retry_after (seconds), size.
    """
    reason = read_reason(answer.body, answer.secrets)
    code = _code(answer.status, reason)
    if not released and CODES[code].error_class is ErrorClass.LOOK_FIRST:
        code = "timeout_send" if answer.status == 408 else "service_unavailable"
    says = reason.shown or "no reason given"
    name = f" {reason.reason}" if reason.reason else ""
    return error_of(
        code,
        f"{answer.endpoint}: the publisher answered {answer.status}{name}: {says}",
        endpoint=answer.endpoint,
        http_status=answer.status,
        reason=reason.reason or None,
        retry_after=retry_after(answer.headers, wall_ms),
        size=size if code == "body_too_large" else None,
    )


def _code(status: int, reason: Reason) -> str:
    named = _BY_REASON.get((reason.domain, reason.reason))
    if named is not None:
        return named
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return "store_failed"
    if status < 400:
        return "bad_answer"
    return _client_error(status, reason)


def _client_error(status: int, reason: Reason) -> str:
    if reason.domain == AUTH_DOMAIN or _SAYS_TOKEN.search(reason.text):
        return "token_refused"
    # The form is ours and well-formed: a reader that fails in it has met its size limit.
    if status == 400 and _SAYS_TOO_LARGE.search(reason.text):
        return "body_too_large"
    return "store_refused"


def failed(error: WalrusError, *, released: bool) -> WalrusError:
    """Return what a failed exchange means for the store; errors that are not the network's stay as they are.

    Before the release an unknown outcome becomes ``send_failed`` (nothing stored); after it, everything but a proof
    that nothing was sent becomes an unknown outcome.
    """
    if not isinstance(error, NetworkError | ProtocolError) or error.code in NOT_SENT:
        return error
    unknown = error.error_class is ErrorClass.LOOK_FIRST
    if released == unknown or (released and error.code == "redirect_refused"):
        return error
    if not released:
        return NetworkError("send_failed", f"{error.message}; the request was not whole", **error.fields)
    return error_of(_LATE.get(error.code, "store_failed"), f"{error.message}; the request was whole", **error.fields)
