"""A local network in a thread, a client, raw connections that can be hung up, and sites on its chain."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from walrus_sdk.codecs import ids, objects
from walrus_sdk.codecs import transaction as tx
from walrus_sdk.localnet.chain.site_package import site_type
from walrus_sdk.localnet.faults import Fault
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.localnet.world import World
from walrus_sdk.model.plan import SiteChange
from walrus_sdk.model.site import Resource
from walrus_sdk.model.units import BlobId, ObjectId, SuiEpoch
from walrus_sdk.sites import calls, packing


class Wire:
    """One raw connection: sends what it is told, and can go away at any time."""

    def __init__(self, net: LocalNetwork) -> None:
        port = int(net.url.rsplit(":", 1)[1])
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def send(self, method: str, target: str, body: bytes = b"", *, short: int = 0, **headers: str) -> Wire:
        """Send a request; `short` bytes of the body are held back."""
        head = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body[: len(body) - short])
        return self

    def answer(self) -> bytes:
        """Read until the server closes; a reset counts as the end."""
        found = bytearray()
        try:
            while chunk := self.socket.recv(65536):
                found += chunk
        except ConnectionResetError:
            pass
        return bytes(found)

    def hang_up(self) -> None:
        self.socket.close()


class Client:
    """Asks one local network."""

    def __init__(self, net: LocalNetwork, http: httpx.Client) -> None:
        self.net = net
        self.http = http

    def put(self, data: bytes = b"hello", query: str = "", **options: Any) -> httpx.Response:
        return self.http.put(f"/v1/blobs{'?' * bool(query)}{query}", content=data, **options)

    def store(self, data: bytes = b"hello", query: str = "") -> dict[str, Any]:
        answer = self.put(data, query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def blob(self, data: bytes = b"hello", query: str = "") -> str:
        """Store bytes; returns the blob id."""
        (found,) = self.store(data, query).values()
        return str(found["blobObject"]["blobId"])

    def quilt(
        self, files: Sequence[tuple[str, bytes]], metadata: Any = None, query: str = "", **options: Any
    ) -> httpx.Response:
        parts: list[tuple[str, Any]] = [(name, (None, content)) for name, content in files]
        if metadata is not None:
            text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
            parts.append(("_metadata", (None, text)))
        return self.http.put(f"/v1/quilts{'?' * bool(query)}{query}", files=parts, **options)

    def get(self, target: str, **headers: str) -> httpx.Response:
        return self.http.get(target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def fault(self, point: str, action: str, **figures: Any) -> None:
        self.net.faults.add(Fault(point, action, **figures))

    def control(self, method: str, what: str, data: Any = None, **headers: str) -> httpx.Response:
        sent = {"x-localnet-token": self.net.token} | {name.replace("_", "-"): text for name, text in headers.items()}
        return self.http.request(method, f"/_localnet/{what}", json=data, headers=sent)


class Sites:
    """Publishes sites straight on the chain, with the codecs that the product uses."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.key = world.chain.dev_key()

    def _owned(self, end: str) -> list[Any]:
        objects = self.world.chain.objects
        found = [objects.get(id_) for id_ in sorted(objects.ids_of(self.key.address.raw))]
        return [item for item in found if item is not None and item.type.endswith(end)]

    def publish(self, resources: Sequence[Resource], **change: Any) -> ObjectId:
        """Make a site; returns its id."""
        chain = self.world.chain
        before = {item.id for item in self._owned(site_type(chain.genesis))}
        records = {item.path: item for item in resources}
        wanted = SiteChange(add=tuple(records), **change)
        where = packing.Calls(chain.genesis.call_package, self.key.address)
        (part,) = packing.pack(calls.steps(wanted, records, "tides"), where)
        gas = tx.GasData((self._owned("::sui::SUI>")[0].ref,), self.key.address, 1000, 5 * 10**8)
        until = tx.EpochExpiration(SuiEpoch(chain.sui_epoch.number + 1))
        data = tx.encode_transaction(tx.TransactionData(packing.build(part, where, None), self.key.address, gas, until))
        record = chain.execute(data, [self.key.sign_transaction(data)])
        assert record.failure is None, record.failure
        (made,) = {item.id for item in self._owned(site_type(chain.genesis))} - before
        return ObjectId(made.raw)

    def rewrite(self, site: ObjectId, record: Resource) -> None:
        """Put a record on the chain that the product itself never writes."""
        genesis, chain = self.world.genesis, self.world.chain
        held = chain.objects.get(ids.resource_field_id(site, record.path, genesis.type_package))
        assert held is not None
        field = objects.decode_field(held.contents, len(record.path) + 1)
        changed = replace(field, value=objects.encode_resource(record))
        chain.system_transaction([replace(held, contents=objects.encode_field(changed))])


def _resource(path: str, data: bytes, blob_id: str, *headers: tuple[str, str], **more: Any) -> Resource:
    return Resource(path, headers, BlobId.parse(blob_id), hashlib.sha256(data).digest(), **more)


@pytest.fixture
def resource() -> Callable[..., Resource]:
    """Make the record of one path: path, bytes served, blob id, headers."""
    return _resource


@pytest.fixture
def net() -> Iterator[LocalNetwork]:
    with LocalNetwork(n_shards=10) as found:
        yield found


@pytest.fixture
def http(net: LocalNetwork) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=net.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def client(net: LocalNetwork, http: httpx.Client) -> Client:
    return Client(net, http)


@pytest.fixture
def connect(net: LocalNetwork) -> Iterator[Callable[[], Wire]]:
    """Open raw connections; all are closed at the end."""
    opened: list[Wire] = []

    def made() -> Wire:
        opened.append(Wire(net))
        return opened[-1]

    yield made
    for wire in opened:
        wire.hang_up()


@pytest.fixture
def sites(net: LocalNetwork) -> Sites:
    return Sites(net.world)


@pytest.fixture
def make_client() -> Callable[[LocalNetwork], Any]:
    """Open a client of another network, as a context manager of its own."""

    def made(net: LocalNetwork) -> Client:
        return Client(net, httpx.Client(base_url=net.url, trust_env=False, timeout=30))

    return made


@pytest.fixture
def make_sites() -> Callable[[World], Sites]:
    return Sites


@pytest.fixture
def refusal() -> Callable[[httpx.Response], tuple[int, str, str, str]]:
    """Read a structured error: HTTP status, status name, domain, reason; its shape is checked."""

    def read(answer: httpx.Response) -> tuple[int, str, str, str]:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json().keys() == {"error"}
        error: Mapping[str, Any] = answer.json()["error"]
        assert error.keys() == {"status", "code", "message", "details"}
        assert error["code"] == answer.status_code
        first, *rest = error["details"]
        assert first["@type"] == "ErrorInfo"
        assert first["metadata"] == {}
        assert bool(rest) == (first["domain"] == "global")
        assert "cache-control" not in answer.headers
        return answer.status_code, error["status"], first["domain"], first["reason"]

    return read


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], None]:
    """Wait until something becomes true on the server's side; fails after 20 seconds."""

    def wait(holds: Callable[[], Any]) -> None:
        import threading
        import time

        end, tick = time.monotonic() + 20, threading.Event()
        while not holds():
            assert time.monotonic() < end, "it never happened"
            tick.wait(0.005)

    return wait


@pytest.fixture
def world_folder(tmp_path: Path) -> Path:
    return tmp_path / "localnet"
