"""The local network as a process: found or started, killed, moved, refused, reset; whoever holds the lock is it."""

from __future__ import annotations

import fcntl
import http.server
import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from walrus_sdk import local
from walrus_sdk.errors import ConfigurationError, NetworkError, StateError
from walrus_sdk.model.units import SuiAddress

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("home")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose network is ended afterwards."""
    found = tmp_path / "home"
    yield found
    if (found / "localnet").exists():
        local.stop(found)


def folder_of(home: Path) -> Path:
    return home / "localnet"


def run_of(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder_of(home) / "run.json").read_bytes())
    return found


def store(found: local.Local, data: bytes, query: str = "epochs=5") -> str:
    answer = httpx.put(f"{found.url}/v1/blobs?{query}", content=data, trust_env=False, timeout=30)
    blob_id: str = answer.json()["newlyCreated"]["blobObject"]["blobId"]
    return blob_id


def read(found: local.Local, blob_id: str) -> bytes:
    return httpx.get(f"{found.url}/v1/blobs/{blob_id}", trust_env=False, timeout=30).content


def port_of(found: local.Local) -> int:
    return int(found.url.rsplit(":", 1)[1])


def kill(home: Path, until: Any) -> None:
    """Kill the process and wait until its lock is free."""
    os.kill(run_of(home)["pid"], signal.SIGKILL)
    until(lambda: lock_is_free(home))


def lock_is_free(home: Path) -> bool:
    with (folder_of(home) / "lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_it_is_started_once_found_again_and_stopped(home: Path) -> None:
    assert local.status(home) is None
    first = local.ensure_running(home, shards=10)
    assert (first.started, first.port_changed, first.facts["n_shards"]) == (True, False, 10)
    second = local.ensure_running(home)
    assert (second.started, second.instance, second.url) == (False, first.instance, first.url)
    third = local.status(home)
    assert third is not None
    assert third.instance == first.instance
    assert first.network.chain_id == first.facts["chain_id"]
    assert local.stop(home) is True
    assert local.status(home) is None
    assert not (folder_of(home) / "run.json").exists()
    assert local.stop(home) is False


def test_its_owner_reads_the_ledger_sets_faults_and_moves_time(home: Path) -> None:
    found = local.ensure_running(home, shards=10)
    blob_id = store(found, b"hello")
    (row,) = local.ledger(home)
    assert (row["blob_id"], row["paid"], row["bytes_received"]) == (blob_id, True, 5)
    rule = {"point": "aggregator.request", "action": "error", "status": 503}
    assert local.set_faults(home, {"rules": [rule], "shape": {"slots": 2}})["shape"]["slots"] == 2
    assert b"BLOB_UNAVAILABLE" in read(found, blob_id)
    assert local.faults(home)["rules"][0]["fired"] == 1
    assert local.set_faults(home, None)["rules"] == []
    assert local.advance_epoch(home, walrus=1, sui=2)["walrus_epoch"] == 2
    assert local.faucet(home, SuiAddress(b"\1" * 32), 5)["mist"] == 5
    with pytest.raises(ConfigurationError) as caught:
        local.set_faults(home, {"rules": [{"point": "nowhere", "action": "drop"}]})
    assert caught.value.code == "option_invalid"
    with pytest.raises(ConfigurationError):
        local.advance_epoch(home)


def test_nothing_can_be_asked_of_a_network_that_does_not_run(home: Path) -> None:
    for ask in (local.ledger, local.faults, local.advance_epoch):
        with pytest.raises(ConfigurationError) as caught:
            ask(home)
        assert caught.value.code == "localnet_not_running"


def test_starters_at_once_get_one_network(home: Path) -> None:
    found: list[local.Local] = []
    starters = [threading.Thread(target=lambda: found.append(local.ensure_running(home, shards=10))) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert len({item.instance for item in found}) == 1
    assert sorted(item.started for item in found) == [False, False, False, True]


def test_a_killed_network_starts_again_with_its_state_and_port(home: Path, until: Any) -> None:
    first = local.ensure_running(home, shards=10)
    blob_id = store(first, b"kept")
    before = local.ledger(home)
    kill(home, until)
    assert (folder_of(home) / "run.json").exists()  # it could not tidy up
    assert local.status(home) is None
    second = local.ensure_running(home)
    assert second.started is True
    assert (second.url, second.port_changed) == (first.url, False)
    assert second.instance != first.instance
    assert second.token != first.token
    assert second.facts["chain_id"] == first.facts["chain_id"]
    assert local.ledger(home) == before
    assert read(second, blob_id) == b"kept"


def test_a_network_that_is_told_to_end_keeps_its_state(home: Path, until: Any) -> None:
    first = local.ensure_running(home, shards=10)
    blob_id = store(first, b"kept")
    os.kill(run_of(home)["pid"], signal.SIGTERM)
    until(lambda: lock_is_free(home))
    assert read(local.ensure_running(home), blob_id) == b"kept"


def test_a_taken_port_is_replaced_and_that_is_said(home: Path) -> None:
    first = local.ensure_running(home, shards=10)
    local.stop(home)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port_of(first)))
        taken.listen()
        second = local.ensure_running(home)
        assert second.port_changed is True
        assert second.url != first.url
        assert second.facts["chain_id"] == first.facts["chain_id"]
        again = local.ensure_running(home)
        assert (again.started, again.port_changed) == (False, True)
        local.stop(home)
    third = local.ensure_running(home)
    assert (third.url, third.port_changed) == (second.url, False)  # the new port is now the old one


def test_other_shards_are_refused_while_it_runs_and_before_it_starts(home: Path) -> None:
    local.ensure_running(home, shards=10)
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            local.ensure_running(home, shards=13)
        assert caught.value.code == "localnet_other_genesis"
        assert "10 shards" in caught.value.message
        local.stop(home)
    assert local.ensure_running(home, shards=10).facts["n_shards"] == 10


def test_reset_makes_another_chain_on_the_same_port(home: Path) -> None:
    first = local.ensure_running(home, shards=10)
    store(first, b"gone")
    local.reset(home)
    assert local.status(home) is None
    assert {place.name for place in folder_of(home).iterdir()} == {"lock", "port"}
    second = local.ensure_running(home, shards=13)
    assert second.facts["n_shards"] == 13
    assert second.facts["chain_id"] != first.facts["chain_id"]
    assert (second.url, local.ledger(home)) == (first.url, [])


def test_it_ends_when_its_folder_is_gone(home: Path, until: Any) -> None:
    found = local.ensure_running(home, shards=10)
    shutil.rmtree(folder_of(home))
    until(lambda: not answers(found))


def answers(found: local.Local) -> bool:
    try:
        return httpx.get(f"{found.url}/status", trust_env=False, timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def test_it_ends_when_its_folder_is_another_one_and_leaves_that_alone(home: Path, until: Any) -> None:
    old = local.ensure_running(home, shards=10)
    shutil.rmtree(folder_of(home))
    new = local.ensure_running(home, shards=10)
    assert new.facts["chain_id"] != old.facts["chain_id"]
    until(lambda: not answers(old))
    found = local.status(home)
    assert found is not None
    assert found.instance == new.instance


def test_it_ends_by_itself_when_nobody_asks(home: Path, until: Any) -> None:
    local.ensure_running(home, shards=10, idle_s=0.05)
    until(lambda: lock_is_free(home))
    until(lambda: not (folder_of(home) / "run.json").exists())


class _Stranger(http.server.BaseHTTPRequestHandler):
    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b'{"instance": "other"}'), (200, b"[]"), (200, b"{}"), (200, b"<html>"), (400, b"{}"), (400, b"[]"),
     (400, b"<html>"), (404, b""), (401, b"{}")],
)  # fmt: skip
def test_a_stale_run_file_is_not_believed_whoever_has_the_port(home: Path, status: int, body: bytes) -> None:
    folder_of(home).mkdir(parents=True)
    handler = type("Stranger", (_Stranger,), {"status": status, "body": body})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        run = {"instance": "mine", "token": "t", "port": server.server_port, "port_changed": False, "pid": 1}
        (folder_of(home) / "run.json").write_text(json.dumps(run))
        try:
            assert local.status(home) is None
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"port": "x"}', '{"port": 1, "token": 5}', '{"port": 99999999}'])
def test_a_broken_run_file_is_no_network(home: Path, text: str) -> None:
    folder_of(home).mkdir(parents=True)
    (folder_of(home) / "run.json").write_text(text)
    assert local.status(home) is None


def test_a_broken_run_file_does_not_keep_it_from_starting(home: Path) -> None:
    folder_of(home).mkdir(parents=True)
    for name in ("run.json", "port"):
        (folder_of(home) / name).write_text("nonsense")
    assert local.ensure_running(home, shards=10).started is True


def test_a_starter_that_failed_leaves_the_lock_to_the_next(home: Path, until: Any) -> None:
    folder_of(home).mkdir(parents=True)
    found: list[local.Local] = []
    with (folder_of(home) / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiter = threading.Thread(target=lambda: found.append(local.ensure_running(home, shards=10)))
        waiter.start()
        fcntl.flock(held, fcntl.LOCK_UN)
    waiter.join()
    assert found[0].started is True


def test_a_damaged_state_is_said_with_the_place_of_its_output(home: Path) -> None:
    folder_of(home).mkdir(parents=True)
    (folder_of(home) / "world.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(NetworkError) as caught:
        local.ensure_running(home, shards=10)
    assert caught.value.code == "localnet_start_failed"
    assert str(folder_of(home) / "output.log") in caught.value.message


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError) as caught:
        local.ensure_running(tmp_path / "file")
    assert caught.value.code == "state_unwritable"


def test_files_are_its_owners_alone(home: Path) -> None:
    old = os.umask(0)
    try:
        found = local.ensure_running(home, shards=10)
        store(found, b"kept")
    finally:
        os.umask(old)
    places = [folder_of(home), *folder_of(home).rglob("*")]
    assert {"lock", "run.json", "port", "world.db", "dev.keystore", "output.log", "blobs"} <= {p.name for p in places}
    for place in places:
        assert place.stat().st_mode & 0o777 == (0o700 if place.is_dir() else 0o600), place


def test_the_key_file_holds_the_funded_account(home: Path) -> None:
    found = local.ensure_running(home, shards=10)
    entries = json.loads(found.key_file.read_bytes())
    assert len(entries) == 1
    assert isinstance(entries[0], str)
    local.stop(home)
    assert json.loads(local.ensure_running(home).key_file.read_bytes()) == entries


def test_a_relative_home_is_the_same_wherever_one_stands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir()
    monkeypatch.chdir(home.parent)
    first = local.ensure_running(Path("home"), shards=10)
    monkeypatch.chdir("/")
    assert local.ensure_running(home).instance == first.instance
