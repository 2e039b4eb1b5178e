"""Who is told of alerts: callbacks, log and terminal at once; webhooks from the journal, signed, at least once.

A webhook is an effect with a name known beforehand (``alert-17-firing``): what is due stands in ``deliveries`` from
the commit of the alert on, so neither a crash nor a receiver that is away loses it, and a repeat is recognised.
Requests follow Standard Webhooks (github.com/standard-webhooks/standard-webhooks, version 1): HMAC-SHA256 over
``id.timestamp.body`` in ``webhook-signature``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio

from walrus_sdk.errors import ConfigurationError, WalrusError
from walrus_sdk.model.alerts import Alert, Notice, Severity
from walrus_sdk.model.reports import iso
from walrus_sdk.ports import Change, Clock, Journal, Put, Sleep
from walrus_sdk.watch.runs import origin

__all__ = ["Courier", "Post", "Teller", "Webhook", "body", "checked_webhook", "key_bytes", "log", "signed", "terminal"]

_LOG = logging.getLogger("walrus_sdk.alerts")

Teller = Callable[[Notice], object]
"""Told of each alert at once; must be quick. What it raises is logged, and stops nothing."""

_LEAST_KEY = 24
"""Bytes of a key, at least; Standard Webhooks asks for 24 to 64."""
_TRY_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_MOST_ATTEMPTS = 40
"""With pauses up to five minutes these are three hours; then a delivery is given up."""
_MOST_DUE = 1000
"""Deliveries that wait for one webhook at most; older ones are given up."""


class Post(Protocol):
    """Sends a request and returns the status of its answer. Raises `WalrusError` when there is none."""

    async def __call__(self, url: str, content: bytes, headers: Mapping[str, str], limit_s: float) -> int:
        """POST `content`, within `limit_s` seconds in all; a redirect is not followed."""
        ...


def log(notice: Notice) -> None:
    """Write a notice to the log ``walrus_sdk.alerts``, when the program listens to logs at all."""
    if not _LOG.hasHandlers():
        return  # else Python would write warnings to the error stream, beside what other sinks show
    level = logging.ERROR if notice.alert.severity is Severity.CRITICAL else logging.WARNING
    _LOG.log(level if notice.alert.is_firing else logging.INFO, notice.text)


def terminal(write: Callable[[str], object]) -> Teller:
    """Return what writes a line for each notice."""
    return lambda notice: write(f"{iso(notice.alert.cleared_ms or notice.alert.fired_ms)}  {notice.text}")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver: its name (which names it in the journal), its address and the key that signs; neither is shown."""

    name: str
    url: str = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def shown(self) -> str:
        """What may be shown of the address: paths and queries of webhooks are often secrets."""
        return origin(self.url)


def key_bytes(text: str) -> bytes:
    """Read a signing key: ``whsec_`` and base64, or any text of 24 bytes or more, which is taken as it is.

    Raises `ConfigurationError` ``setting_invalid``, without the key.
    """
    prefix, _, rest = text.partition("_")
    try:
        key = base64.b64decode(rest, validate=True) if prefix == "whsec" else text.encode()
    except binascii.Error:
        raise ConfigurationError("setting_invalid", "the webhooks' key: whsec_ and base64 are expected") from None
    if len(key) < _LEAST_KEY:
        text = f"the webhooks' key has {len(key)} bytes, at least {_LEAST_KEY} are expected"
        raise ConfigurationError("setting_invalid", text, expected=_LEAST_KEY, found=len(key))
    return key


def checked_webhook(name: str, url: str, key: str | None, origins: Collection[str]) -> Webhook:
    """Return a webhook whose origin is among those that are allowed.

    Raises `ConfigurationError` ``setting_invalid``: another origin, no key, or no address; ``insecure_url``.
    """
    where = f"webhook {name!r}"
    shown = origin(url)
    if not shown or urlsplit(url).scheme not in ("http", "https"):
        raise ConfigurationError("setting_invalid", f"{where}: an http or https address is needed")
    if urlsplit(url).scheme == "http" and not _is_loopback(urlsplit(url).hostname or ""):
        raise ConfigurationError("insecure_url", f"{where}: plain http is allowed on loopback only", found=shown)
    if urlsplit(url).username is not None:
        raise ConfigurationError("setting_invalid", f"{where}: no user or password in the address; it is signed")
    if shown not in {origin(one) for one in origins}:
        text = f"{where}: {shown} is not among the allowed origins (WALRUS_WEBHOOK_ORIGINS)"
        raise ConfigurationError("setting_invalid", text, found=shown)
    if key is None:
        raise ConfigurationError("setting_invalid", f"{where}: no key to sign with (WALRUS_WEBHOOK_KEY)")
    return Webhook(name, url, key_bytes(key))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def body(notice: Notice) -> bytes:
    """Return what is sent: JSON with ``type``, ``timestamp`` and ``data``; the same bytes for each repeat."""
    alert = notice.alert
    at = alert.fired_ms if alert.is_firing else alert.cleared_ms
    sent = {"type": f"alert.{notice.state}", "timestamp": iso(at), "data": alert.to_json()}
    return json.dumps(sent, separators=(",", ":"), ensure_ascii=True, sort_keys=True).encode()


def signed(content: bytes, name: str, time_s: int, key: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks for exactly these bytes, sent at `time_s` (seconds since 1970 UTC)."""
    mac = hmac.new(key, f"{name}.{time_s}.".encode() + content, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(time_s),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


class Courier:
    """Brings what is due to one webhook, in the order in which it became due. `run` is its task."""

    def __init__(self, webhook: Webhook, journal: Journal, post: Post, *, clock: Clock, sleep: Sleep) -> None:
        self._webhook = webhook
        self._journal = journal
        self._post = post
        self._clock = clock
        self._sleep = sleep
        self._wake = anyio.Event()
        self._closed = anyio.Event()

    def wake(self) -> None:
        """Say that something became due."""
        self._wake.set()

    def close(self) -> None:
        """Let `run` try what is due once more, and end."""
        self._closed.set()
        self._wake.set()

    async def run(self) -> None:
        """Deliver what is due, now and whenever it is woken, until it is closed; after a failure with a pause."""
        pause_s = _FIRST_PAUSE_S
        while True:
            is_last = self._closed.is_set()
            self._wake = anyio.Event()
            is_over = await self.deliver()
            if is_last:
                return
            if self._closed.is_set():
                continue
            if is_over:
                pause_s = _FIRST_PAUSE_S
                await self._wake.wait()
            else:
                await self._pause(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until it is closed."""
        async with anyio.create_task_group() as tasks:

            async def sleep() -> None:
                await self._sleep(seconds)
                tasks.cancel_scope.cancel()

            tasks.start_soon(sleep)
            await self._closed.wait()
            tasks.cancel_scope.cancel()

    async def deliver(self) -> bool:
        """Try everything that is due once; returns whether nothing is left. A journal that fails leaves it due."""
        try:
            due = await self._due()
            for row in due[:-_MOST_DUE]:
                await self._note(row, "given_up", "too_many")
            results = [await self._try(row) for row in due[-_MOST_DUE:]]
        except WalrusError:
            _LOG.warning("the journal could not be asked what is due to webhook %s", self._webhook.name, exc_info=True)
            return False
        return all(results)

    async def _due(self) -> Sequence[Mapping[str, Any]]:
        rows = await self._journal.rows("deliveries", {"sink": self._webhook.name, "outcome": None})
        return sorted(rows, key=lambda row: (row["created_ms"], row["alert"], row["state"] != "firing"))

    async def _try(self, row: Mapping[str, Any]) -> bool:
        found = await self._journal.rows("alerts", {"n": row["alert"]})
        if not found:
            return await self._note(row, "given_up", "no_alert")
        alert = Alert.of(found[0])
        notice = Notice(replace(alert, cleared_ms=None, clearing="") if row["state"] == "firing" else alert)
        content = body(notice)
        headers = signed(content, notice.name, self._clock.wall_ms() // 1000, self._webhook.key)
        try:
            status = await self._post(self._webhook.url, content, headers, _TRY_S)
        except WalrusError as error:
            problem = error.code
        else:
            if 200 <= status < 300:
                return await self._note(row, "delivered")
            problem = f"http_{status}"
        if row["attempts"] + 1 >= _MOST_ATTEMPTS or problem == "http_410":  # gone for good, it says
            return await self._note(row, "given_up", problem)
        return await self._note(row, None, problem)

    async def _note(self, row: Mapping[str, Any], outcome: str | None, problem: str = "") -> bool:
        """Write down what became of a try; returns whether it is over."""
        if problem:
            what = f"alert {row['alert']} ({row['state']})"
            _LOG.warning("webhook %s at %s: %s: %s", self._webhook.name, self._webhook.shown, what, problem)
        key = {name: row[name] for name in ("sink", "alert", "state")}
        values: dict[str, Any] = {"attempts": row["attempts"] + 1, "outcome": outcome}
        if outcome is not None:
            values["ended_ms"] = self._clock.wall_ms()
        await self._journal.append(None, [Change("delivery", puts=(Put("deliveries", key, values),))])
        return outcome is not None
