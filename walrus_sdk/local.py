"""The local network from outside: find it or start it, and speak to it; none of its code is imported.

The network is a process of its own (``python -m walrus_sdk.localnet``). Whoever holds the lock file is the network:
the starter takes the lock and hands its descriptor down. All calls block; use them in a thread.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from walrus_sdk.errors import ConfigurationError, NetworkError, StateError
from walrus_sdk.model.network import Network
from walrus_sdk.model.units import ObjectId, SuiAddress

__all__ = [
    "Local",
    "advance_epoch",
    "ensure_running",
    "faucet",
    "faults",
    "ledger",
    "reset",
    "set_faults",
    "set_prices",
    "status",
    "stop",
]

_START_S = 60.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Local:
    """A running local network: where, which chain, and what happened to make it run.

    `port_changed`: its old port was taken by another program. `key_file` is a Sui keystore with the funded account.
    """

    url: str
    token: str
    instance: str
    facts: Mapping[str, Any]
    key_file: Path
    started: bool
    port_changed: bool

    @property
    def network(self) -> Network:
        """The network as clients see it."""

        def of(name: str) -> ObjectId:
            return ObjectId.parse(self.facts[name])

        return Network(
            name="local",
            chain_id=self.facts["chain_id"],
            call_package=of("call_package"),
            type_package=of("type_package"),
            redirects_package=of("redirects_package"),
            system_object=of("system_object"),
            staking_object=of("staking_object"),
            graphql_urls=(f"{self.url}/graphql",),
            publisher_urls=(self.url,),
            aggregator_urls=(self.url,),
            portal=f"http://{{base36}}.localhost:{self.url.rsplit(':', 1)[1]}/",
            settle_s=5.0,
            grace_s=5.0,
            max_quilt_body=100 * 1024 * 1024,
            wal_coin=str(self.facts.get("wal_coin", "")),
        )


def _folder(home: Path) -> Path:
    folder = home.absolute() / "localnet"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError("state_unwritable", f"{folder}: {error.strerror}", path=str(folder)) from error
    return folder


def _try_lock(folder: Path) -> int | None:
    """Take the lock; `None` while a network (or its starter) holds it."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError("state_unwritable", f"{folder / 'lock'}: {error.strerror}", path=str(folder)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _call(url: str, token: str, method: str, what: str, data: Any = None) -> Any:
    try:
        with httpx.Client(trust_env=False, timeout=30) as client:
            answer = client.request(method, f"{url}/_localnet/{what}", json=data, headers={"x-localnet-token": token})
    except httpx.HTTPError as error:
        raise NetworkError("connect_failed", f"the local network does not answer: {type(error).__name__}") from error
    if answer.status_code == 400:
        raise ConfigurationError("option_invalid", str(answer.json().get("message")))
    if answer.status_code != 200:
        raise NetworkError(
            "http_error", f"the local network answered HTTP {answer.status_code}", found=answer.status_code
        )
    return answer.json()


def _running(folder: Path) -> Local | None:
    """Return the network that run.json names, when it is that one which answers."""
    try:
        run = json.loads((folder / "run.json").read_bytes())
        url = f"http://127.0.0.1:{int(run['port'])}"
        facts = _call(url, run["token"], "GET", "status")
        same = facts["instance"] == run["instance"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NetworkError, ConfigurationError):
        return None  # whoever has the port now is not this network
    if not same:
        return None
    return Local(url, run["token"], run["instance"], facts, folder / "dev.keystore", False, bool(run["port_changed"]))


def ensure_running(home: Path, *, shards: int | None = None, idle_s: float = 1800.0) -> Local:
    """Return the local network of a state folder; start it when it does not run.

    `shards` matters when the network is new: later another number is refused. `idle_s`: seconds without a request
    after which it ends by itself (0: never). Raises `ConfigurationError` ``localnet_other_genesis``, `NetworkError`
    ``localnet_start_failed`` with the place of its output, `StateError` when the folder cannot be used.
    """
    folder = _folder(home)
    found = _found_or_lock(folder)
    if isinstance(found, Local):
        if shards not in (None, found.facts["n_shards"]):
            text = f"the running local network has {found.facts['n_shards']} shards, not {shards}"
            raise ConfigurationError("localnet_other_genesis", f"{text}: reset it to change that", option="shards")
        return found
    return _start(folder, found, shards, idle_s)


def _start(folder: Path, lock: int, shards: int | None, idle_s: float) -> Local:
    """Start the network as the holder of the lock, which goes to it."""
    try:
        (folder / "run.json").unlink(missing_ok=True)
        process = _spawn(folder, lock, shards, idle_s)
    except OSError as error:
        raise StateError("state_unwritable", f"{folder}: {error.strerror}", path=str(folder)) from error
    finally:
        os.close(lock)
    try:
        found = _wait_for(folder, process)
    finally:
        # It outlives this call, perhaps this process; when it ends first, it is not left behind as a zombie.
        threading.Thread(target=process.wait, name="localnet reaper", daemon=True).start()
    return Local(found.url, found.token, found.instance, found.facts, found.key_file, True, found.port_changed)


def _spawn(folder: Path, lock: int, shards: int | None, idle_s: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "walrus_sdk.localnet", "--folder", str(folder), "--lock", str(lock)]
    command += ["--idle", str(idle_s)]
    if shards is not None:
        command += ["--shards", str(shards)]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    output = os.open(folder / "output.log", flags, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            pass_fds=(lock,),
            start_new_session=True,
        )
    finally:
        os.close(output)


def _found_or_lock(folder: Path) -> Local | int:
    """Return the network once it answers, or the lock when nobody holds it (any more)."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        lock = _try_lock(folder)
        if lock is not None:
            return lock
        found = _running(folder)
        if found is not None:
            return found
        time.sleep(_POLL_S)
    raise _no_start(folder)


def _wait_for(folder: Path, process: subprocess.Popen[bytes]) -> Local:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        found = _running(folder)
        if found is not None:
            return found
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    raise _no_start(folder)


def _no_start(folder: Path) -> Exception:
    log = folder / "output.log"
    try:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
    except OSError:
        last = []
    text = last[0][:300] if last else "it said nothing"
    if "localnet_other_genesis" in text:
        return ConfigurationError("localnet_other_genesis", text.partition(": ")[2].rpartition(" [")[0])
    return NetworkError("localnet_start_failed", f"the local network did not start ({log}): {text}", path=str(log))


def _found(home: Path) -> Local:
    found = _running(_folder(home))
    if found is None:
        raise ConfigurationError("localnet_not_running", f"no local network runs for {home}")
    return found


def status(home: Path) -> Local | None:
    """Return the running local network, `None` when there is none."""
    return _running(_folder(home))


def stop(home: Path) -> bool:
    """End the local network and wait until it is gone; false when none was running. Its state stays."""
    folder = _folder(home)
    found = _running(folder)
    if found is not None:
        _call(found.url, found.token, "POST", "stop")
    _close_lock(folder)
    return found is not None


def _close_lock(folder: Path) -> None:
    lock = _wait_lock(folder)
    os.close(lock)


def _wait_lock(folder: Path) -> int:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        lock = _try_lock(folder)
        if lock is not None:
            return lock
        time.sleep(_POLL_S)
    raise NetworkError(
        "service_unavailable", f"a process holds {folder / 'lock'} and does not answer", path=str(folder)
    )


def reset(home: Path) -> None:
    """End the local network and remove its state: the next one is another chain. The port stays."""
    folder = _folder(home)
    found = _running(folder)
    if found is not None:
        _call(found.url, found.token, "POST", "stop")
    lock = _wait_lock(folder)
    try:
        for place in folder.iterdir():
            if place.name in ("lock", "port"):
                continue
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    finally:
        os.close(lock)


def ledger(home: Path) -> list[dict[str, Any]]:
    """Return what was stored and paid, oldest first: kind, blob_id, paid, cost_frost, bytes_received, owner."""
    found = _found(home)
    rows: list[dict[str, Any]] = _call(found.url, found.token, "GET", "ledger")
    return rows


def faults(home: Path) -> dict[str, Any]:
    """Return the shape and the rules of faults."""
    found = _found(home)
    answer: dict[str, Any] = _call(found.url, found.token, "GET", "faults")
    return answer


def set_faults(home: Path, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Set ``shape`` and ``rules``; `None` clears the rules. Raises `ConfigurationError` ``option_invalid``."""
    found = _found(home)
    if data is None:
        cleared: dict[str, Any] = _call(found.url, found.token, "DELETE", "faults")
        return cleared
    answer: dict[str, Any] = _call(found.url, found.token, "PUT", "faults", dict(data))
    return answer


def advance_epoch(home: Path, *, walrus: int = 0, sui: int = 0) -> dict[str, Any]:
    """Let epochs pass; returns the new status."""
    found = _found(home)
    answer: dict[str, Any] = _call(found.url, found.token, "POST", "advance-epoch", {"walrus": walrus, "sui": sui})
    return answer


def set_prices(home: Path, **prices: int) -> dict[str, Any]:
    """Change ``storage`` and ``write`` (FROST per unit), ``gas`` (MIST per unit); returns the new status."""
    found = _found(home)
    answer: dict[str, Any] = _call(found.url, found.token, "POST", "prices", prices)
    return answer


def faucet(home: Path, address: SuiAddress, mist: int) -> dict[str, Any]:
    """Give an address SUI (MIST)."""
    found = _found(home)
    answer: dict[str, Any] = _call(found.url, found.token, "POST", "faucet", {"address": str(address), "mist": mist})
    return answer
