"""Addresses: which may be asked, what is the same origin, and how a route is joined to a configured base."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping
from functools import lru_cache

import httpx

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.http import redact

__all__ = ["checked", "join", "same_origin", "secrets_of", "split_user"]

_HOST = re.compile(rb"[A-Za-z0-9._:-]+")


def checked(address: str | httpx.URL) -> httpx.URL:
    """Return the address parsed. Raises `ConfigurationError` ``setting_invalid`` or ``insecure_url``."""
    return _checked(address)


@lru_cache(maxsize=64)  # parsing takes longer than sending a KiB, and a session asks the same few addresses
def _checked(address: str | httpx.URL) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError, UnicodeError):
        # Not chained: the library's text repeats the address, which may hold a password.
        raise ConfigurationError("setting_invalid", f"not a URL: {redact.url(str(address))}") from None
    # httpx takes every number for a port, and percent-encodes what cannot be in a host.
    named = _HOST.fullmatch(url.raw_host) is not None and (url.port is None or 0 < url.port < 65_536)
    if url.scheme not in {"http", "https"} or not named:
        raise ConfigurationError("setting_invalid", f"an http or https URL is needed, found {redact.url(str(url))}")
    if url.scheme == "http" and not _is_loopback(url.host):
        shown = redact.url(str(url))
        raise ConfigurationError("insecure_url", f"plain http is allowed on loopback only, found {shown}", found=shown)
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_user(url: httpx.URL) -> tuple[httpx.URL, dict[str, str]]:
    """Split ``user:password@`` off an address; returns the bare address and the header that carries them."""
    if not url.userinfo:
        return url, {}
    secret = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    return url.copy_with(userinfo=b""), {"authorization": f"Basic {secret}"}


def secrets_of(url: httpx.URL, authorization: str | None) -> tuple[str, ...]:
    """Return what of a request to an address may never be shown: its credentials, in each form that they take."""
    if authorization is None and not url.userinfo:
        return ()
    given = filter(None, (*split_user(url)[1].values(), authorization))
    found = {url.password, *(part for value in given for part in (value, value.partition(" ")[2]))}
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Whether scheme, host and port are equal."""
    return _origin(one) == _origin(other)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def join(base: str, path: str, params: Mapping[str, str] | None = None) -> str:
    """Append `path` (with its leading ``/``) and `params` to a configured base URL; a query of the base is kept."""
    return _joined(base, path, tuple((params or {}).items()))


@lru_cache(maxsize=64)  # a publisher's stores share one address
def _joined(base: str, path: str, params: tuple[tuple[str, str], ...]) -> str:
    url = checked(base)
    joined = url.copy_with(path=url.path.rstrip("/") + path, fragment=None)
    return str(joined.copy_merge_params(dict(params)) if params else joined)
