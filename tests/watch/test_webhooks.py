"""Webhooks: signed as Standard Webhooks asks for, at least once, to allowed places only, and in nobody's way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
from typing import Any

import anyio
import pytest

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.watch.sinks import checked_webhook, key_bytes, log, signed, terminal

pytestmark = pytest.mark.anyio

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example.com/services/T0/secret-path"
HOOK = checked_webhook("ops", URL, KEY, ["https://hooks.example.com"])


def test_the_signature_is_that_of_the_reference_implementations() -> None:
    # Test vector of the Standard Webhooks libraries (standard-webhooks/standard-webhooks, MIT).
    headers = signed(b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, key_bytes(KEY))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"


def test_a_key_may_be_any_text_that_is_long_enough_and_is_never_in_an_error() -> None:
    assert key_bytes("x" * 24) == b"x" * 24
    for bad in ("too-short-key", "whsec_%%%", "whsec_c2hvcnQ="):
        with pytest.raises(ConfigurationError) as caught:
            key_bytes(bad)
        assert bad not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "key", "origins", "why"),
    [
        (URL, KEY, [], "not among the allowed origins"),
        (URL, KEY, ["https://hooks.example.com:444"], "not among the allowed origins"),
        ("http://hooks.example.com/x", KEY, ["http://hooks.example.com"], "plain http is allowed on loopback only"),
        ("http://127.0.0.1:99/x", KEY, ["https://127.0.0.1:99"], "not among the allowed origins"),
        ("https://hooks.example.com.evil.example/x", KEY, ["https://hooks.example.com"], "not among the allowed"),
        ("https://hooks.example.com@evil.example/x", KEY, ["https://hooks.example.com"], "no user or password"),
        ("ftp://hooks.example.com/x", KEY, ["ftp://hooks.example.com"], "http or https"),
        ("nonsense", KEY, ["https://hooks.example.com"], "http or https"),
        ("https://[bad/secret-path", KEY, ["https://hooks.example.com"], "http or https"),
        ("https://hooks.example.com:port/secret-path", KEY, ["https://hooks.example.com"], "http or https"),
        (URL, KEY, ["https://[bad"], "not among the allowed origins"),
        (URL, None, ["https://hooks.example.com"], "no key to sign with"),
    ],
)
def test_another_place_or_no_key_is_refused(url: str, key: str | None, origins: list[str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_webhook("ops", url, key, origins)
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.example.com:443/x", "https://hooks.example.com"),
        ("https://hooks.example.com/x", "https://HOOKS.example.com:443/"),
        ("https://[2001:db8::1]:8443/x", "https://[2001:DB8::1]:8443"),
        ("http://hooks.localhost:80/x", "http://hooks.localhost"),
    ],
)
def test_the_same_place_is_allowed_however_it_is_written(url: str, allowed: str) -> None:
    assert checked_webhook("ops", url, KEY, [allowed]).url == url


def test_neither_key_nor_path_is_shown() -> None:
    assert "secret-path" not in repr(HOOK)
    assert "2LaLaSw" not in repr(HOOK)
    assert repr(HOOK.key) not in repr(HOOK)
    assert HOOK.shown == "https://hooks.example.com"


async def rounds(watched: Any, receiver: Any, free: list[int]) -> None:
    monitor = watched.monitor({"disk": {"below_bytes": 100}}, webhooks=[HOOK], post=receiver)
    seen = iter(free)

    def next_one(_: Any) -> bool:
        watched.disk_free = next(seen, None)
        return watched.disk_free is None

    watched.disk_free = next(seen)
    await monitor.run(until=next_one)


def verified(request: tuple[str, bytes, dict[str, str]]) -> Any:
    """Check a request as a receiver does, and return what it says."""
    _, content, headers = request
    stated = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + content
    wanted = hmac.new(base64.b64decode(KEY.removeprefix("whsec_")), stated, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(wanted).decode()
    return json.loads(content)


async def test_both_ends_of_an_alert_arrive_signed_with_names_of_their_own(watched: Any, receiver: Any) -> None:
    await rounds(watched, receiver, [10, 10, 1000])
    told = [verified(request) for request in receiver.requests]
    assert [one["type"] for one in told] == ["alert.firing", "alert.cleared"]
    assert [request[2]["webhook-id"] for request in receiver.requests] == ["alert-1-firing", "alert-1-cleared"]
    assert {request[0] for request in receiver.requests} == {URL}
    assert told[0]["data"]["cleared"] is None
    assert told[1]["data"] == {**told[0]["data"], "state": "cleared", "cleared": told[1]["timestamp"],
                               "clearing": "it is at 1000 bytes"}  # fmt: skip


async def test_what_a_receiver_missed_is_sent_again_the_same(watched: Any, receiver: Any) -> None:
    receiver.answers = ["connect_failed", 500]
    await rounds(watched, receiver, [10] * 20)
    assert len(receiver.requests) == 3
    assert len({content for _, content, _ in receiver.requests}) == 1
    (row,) = await watched.journal.rows("deliveries")
    assert (row["outcome"], row["attempts"]) == ("delivered", 3)


async def test_what_was_due_when_a_monitor_died_is_sent_by_the_next(watched: Any, receiver: Any) -> None:
    watched.disk_free = 10
    await watched.monitor({"disk": {"below_bytes": 100}}, webhooks=[HOOK], post=receiver).look()
    assert receiver.requests == []  # it died between the commit and the delivery
    await rounds(watched, receiver, [10, 10])
    assert [verified(request)["type"] for request in receiver.requests] == ["alert.firing"]
    assert watched.heard() == ["disk firing"]


@pytest.mark.parametrize("answer", [410])
async def test_a_receiver_that_is_gone_for_good_is_not_asked_again(watched: Any, receiver: Any, answer: int) -> None:
    receiver.answers = [answer]
    await rounds(watched, receiver, [10] * 5)
    assert len(receiver.requests) == 1
    (row,) = await watched.journal.rows("deliveries")
    assert row["outcome"] == "given_up"


async def test_a_receiver_that_never_answers_well_is_given_up_in_the_end(watched: Any, receiver: Any) -> None:
    receiver.answers = [503] * 100
    monitor = watched.monitor({"disk": {"below_bytes": 100}}, webhooks=[HOOK], post=receiver, every_s=300.0)
    watched.disk_free = 10
    looks = iter(range(200))
    await monitor.run(until=lambda _: next(looks, None) is None)
    (row,) = await watched.journal.rows("deliveries")
    assert (row["outcome"], row["attempts"], len(receiver.requests)) == ("given_up", 40, 40)


async def test_a_receiver_that_hangs_holds_up_neither_looks_nor_other_sinks(watched: Any) -> None:
    hanging = anyio.Event()

    async def hang(*_: Any) -> int:
        hanging.set()
        await anyio.sleep_forever()
        return 200

    monitor = watched.monitor({"disk": {"below_bytes": 100}}, webhooks=[HOOK], post=hang)
    watched.disk_free = 10
    with anyio.CancelScope() as scope:

        def end(_: Any) -> bool:
            if hanging.is_set():
                watched.disk_free = 1000
            if watched.heard() == ["disk firing", "disk cleared"]:
                scope.cancel()
            return False

        await monitor.run(until=end)
    assert watched.heard() == ["disk firing", "disk cleared"]
    assert [row["outcome"] for row in await watched.journal.rows("deliveries")] == [None, None]


async def test_nothing_secret_is_in_the_log_or_the_journal(
    watched: Any, receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [500, "connect_failed"]
    await rounds(watched, receiver, [10] * 12)
    assert "webhook ops at https://hooks.example.com" in caplog.text
    everything = caplog.text + repr(watched.disk.tables)
    assert "secret-path" not in everything
    assert "MfKQ9r8" not in everything


async def test_a_program_that_listens_to_no_log_is_not_written_to(
    watched: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    watched.disk_free = 10
    await watched.monitor({"disk": {"below_bytes": 100}}, tellers=[log]).look()
    assert capfd.readouterr().err == ""


async def test_a_terminal_gets_a_line_for_each_end_and_the_log_its_level(
    watched: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    table = {"disk": {"below_bytes": 100, "severity": "critical"}}
    monitor = watched.monitor(table, tellers=[terminal(lines.append), log])
    for free in (10, 1000):
        watched.disk_free = free
        await monitor.look()
    assert [line.partition("  ")[2] for line in lines] == [
        "critical: disk: 10 bytes are left on the state's disk",
        "cleared: disk: it is at 1000 bytes",
    ]
    assert [(record.name, record.levelname) for record in caplog.records] == [
        ("walrus_sdk.alerts", "ERROR"),
        ("walrus_sdk.alerts", "INFO"),
    ]
