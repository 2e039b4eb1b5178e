"""Every foreign exception has a row."""

from __future__ import annotations

import inspect
import socket
import ssl
import traceback

import anyio
import httpcore
import httpx
import pytest

from walrus_sdk.errors import CODES
from walrus_sdk.http import wire
from walrus_sdk.http.failures import NOT_SENT, TABLE, translate

HTTPX = [
    value
    for value in (getattr(httpx, name) for name in httpx.__all__)
    if inspect.isclass(value) and issubclass(value, Exception)
]
HTTPCORE = [
    value
    for value in (getattr(httpcore, name) for name in httpcore.__all__)
    if inspect.isclass(value) and issubclass(value, Exception)
]


def made(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "s3cret text")
    return error


def test_there_are_exceptions_to_map() -> None:
    assert len(HTTPX) > 25
    assert len(HTTPCORE) > 10


@pytest.mark.parametrize("kind", HTTPX, ids=lambda kind: kind.__name__)
def test_every_exception_of_httpx_has_a_row_of_its_own(kind: type[Exception]) -> None:
    assert TABLE[kind] in CODES
    mapped = translate(made(kind), "https://u:pass@service.example/a?k=v")
    assert mapped is not None
    assert mapped.code in CODES
    assert mapped.fields["endpoint"] == "https://service.example/a"


@pytest.mark.parametrize("kind", HTTPCORE, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_transport_becomes_one_of_httpx(kind: type[Exception]) -> None:
    with pytest.raises(httpx.TransportError) as caught, wire._as_httpx():
        raise made(kind)
    assert type(caught.value).__name__ == kind.__name__ or kind is httpcore.ConnectionNotAvailable


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (anyio.BrokenResourceError, "connection_lost"),
        (anyio.ClosedResourceError, "connection_lost"),
        (anyio.EndOfStream, "connection_lost"),
        (ConnectionResetError, "connection_lost"),
        (BrokenPipeError, "connection_lost"),
        (ConnectionRefusedError, "connect_failed"),
        (OSError, "connection_lost"),
        (ssl.SSLError, "connection_lost"),
        (socket.gaierror, "dns_failed"),
        (TimeoutError, "timeout_read"),
    ],
)
def test_exceptions_of_the_system_are_mapped(kind: type[Exception], code: str) -> None:
    mapped = translate(made(kind), "https://service.example")
    assert mapped is not None
    assert mapped.code == code


def test_an_exception_that_is_not_the_networks_is_left_alone() -> None:
    assert translate(KeyError("x"), "https://service.example") is None


@pytest.mark.parametrize("cause", [ssl.SSLCertVerificationError(1, "self-signed"), socket.gaierror(-2, "unknown")])
def test_the_reason_of_a_failed_connection_is_found_behind_it(cause: OSError) -> None:
    middle = OSError("all attempts failed")
    middle.__cause__ = cause
    error = httpx.ConnectError("no")
    error.__context__ = middle
    mapped = translate(error, "https://service.example")
    assert mapped is not None
    assert mapped.code in {"tls_failed", "dns_failed"}
    assert mapped.code in NOT_SENT


@pytest.mark.parametrize("kind", [httpx.LocalProtocolError, httpx.InvalidURL])
def test_texts_that_repeat_what_was_to_be_sent_are_not_shown(kind: type[Exception]) -> None:
    mapped = translate(kind("Illegal header value b'Bearer s3cret'"), "https://service.example")
    assert mapped is not None
    assert "s3cret" not in "".join(traceback.format_exception(mapped))
