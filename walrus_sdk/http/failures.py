"""Map the exceptions of httpx, anyio and the operating system to the error tree, completely.

The table has a row for every exception class of httpx; a test enumerates them. Whether a request had left when it
failed follows from the class: what fails while connecting has sent nothing.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Iterator, Mapping

import anyio
import httpx

from walrus_sdk.errors import ConfigurationError, NetworkError, ProtocolError, WalrusError
from walrus_sdk.http import redact

__all__ = ["NOT_SENT", "TABLE", "network_error", "translate"]

NOT_SENT = frozenset({"connect_failed", "dns_failed", "tls_failed", "timeout_connect", "insecure_url"})
"""Codes that prove that no byte of the request left this machine."""

TABLE: Mapping[type[Exception], str] = {
    # while connecting: nothing was sent
    httpx.ConnectTimeout: "timeout_connect",
    httpx.PoolTimeout: "timeout_connect",
    httpx.ConnectError: "connect_failed",
    httpx.ProxyError: "connect_failed",
    httpx.UnsupportedProtocol: "setting_invalid",
    httpx.InvalidURL: "setting_invalid",
    # while sending or reading
    httpx.WriteTimeout: "timeout_send",
    httpx.ReadTimeout: "timeout_read",
    httpx.TimeoutException: "timeout_read",
    httpx.WriteError: "connection_lost",
    httpx.ReadError: "connection_lost",
    httpx.CloseError: "connection_lost",
    httpx.NetworkError: "connection_lost",
    httpx.TransportError: "connection_lost",
    httpx.RequestError: "connection_lost",
    httpx.HTTPError: "connection_lost",
    # answers that do not follow HTTP
    httpx.RemoteProtocolError: "bad_answer",
    httpx.ProtocolError: "bad_answer",
    httpx.DecodingError: "bad_answer",
    httpx.CookieConflict: "bad_answer",
    httpx.TooManyRedirects: "redirect_refused",
    httpx.HTTPStatusError: "http_error",
    # our own mistakes
    httpx.LocalProtocolError: "internal",
    httpx.StreamError: "internal",
    httpx.StreamConsumed: "internal",
    httpx.StreamClosed: "internal",
    httpx.ResponseNotRead: "internal",
    httpx.RequestNotRead: "internal",
    # anyio and the operating system, where they come through unwrapped
    anyio.BrokenResourceError: "connection_lost",
    anyio.ClosedResourceError: "connection_lost",
    anyio.EndOfStream: "connection_lost",
    anyio.IncompleteRead: "connection_lost",
    anyio.BusyResourceError: "internal",
    socket.gaierror: "dns_failed",
    ConnectionRefusedError: "connect_failed",
    TimeoutError: "timeout_read",
    ssl.SSLError: "connection_lost",
    OSError: "connection_lost",
}

_SAYS = {
    "connect_failed": "no connection",
    "dns_failed": "the host name could not be resolved",
    "tls_failed": "the TLS handshake failed",
    "timeout_connect": "no connection within the limit",
    "timeout_send": "the request could not be sent within the limit",
    "timeout_read": "no answer within the limit",
    "connection_lost": "the connection broke before the answer was whole",
    "bad_answer": "the answer does not follow HTTP",
    "redirect_refused": "too many redirects",
    "http_error": "an unexpected HTTP status",
    "setting_invalid": "the address cannot be used",
    "internal": "the HTTP client was used wrongly",
}

# Their texts may repeat what we were about to send (a header's value, an address): not shown, not chained.
_TALKATIVE = (httpx.LocalProtocolError, httpx.InvalidURL, httpx.UnsupportedProtocol)


def network_error(code: str, message: str, **fields: object) -> WalrusError:
    """Make the error of the class that a network code belongs to."""
    if code in {"setting_invalid", "insecure_url"}:
        return ConfigurationError(code, message, **fields)
    if code == "bad_answer":
        return ProtocolError(code, message, **fields)
    return NetworkError(code, message, **fields)


def translate(error: Exception, address: str, secrets: Collection[str] = ()) -> WalrusError | None:
    """Return the error of the tree for a foreign exception, or `None` for one that is not about the network.

    `address` is the URL that was asked; it is redacted here. `secrets` are hidden: a server may have echoed them. The
    result's `__cause__` is set, unless the foreign text may hold a secret.
    """
    code = _code(error)
    if code is None:
        return None
    endpoint = redact.url(address)
    talkative = isinstance(error, _TALKATIVE)
    detail = "" if talkative else redact.text(str(error), secrets)[:200]
    message = f"{endpoint}: {_SAYS[code]}" + (f" ({detail})" if detail else "")
    mapped = network_error(code, message, endpoint=endpoint, found=type(error).__name__)
    echoed = any(secret in str(cause) for secret in secrets for cause in _causes(error))
    mapped.__cause__ = None if talkative or echoed else error
    mapped.__suppress_context__ = True
    return mapped


def _code(error: Exception) -> str | None:
    code = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if code == "connect_failed":
        return _connect_code(error)
    if code == "bad_answer" and isinstance(error, httpx.RemoteProtocolError) and _says_closed(error):
        return "connection_lost"
    return code


def _connect_code(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "dns_failed"
        if isinstance(cause, ssl.SSLError):
            return "tls_failed"
    return "connect_failed"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _says_closed(error: Exception) -> bool:
    # One class stands for "hung up in the middle" and for "garbage"; only the text tells them apart. Both need a look.
    return any(word in str(error) for word in ("disconnected", "closed connection"))
