"""A user of the storage services, servers that behave as a test says, and a line that can be cut."""

from __future__ import annotations

import ast
import datetime
import hashlib
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from walrus_sdk.errors import WalrusError
from walrus_sdk.http.client import HttpClient, Timeouts
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.model.plan import StoreKind
from walrus_sdk.model.units import BlobId, QuiltPatchId, SuiAddress
from walrus_sdk.ports import Part, StoreReceipt, StoreRequest
from walrus_sdk.walrus.aggregator import Aggregators
from walrus_sdk.walrus.publisher import Publisher
from walrus_sdk.walrus.store import HttpBlobStore

TESTS = Path(__file__).resolve().parents[1]
QUICK = Timeouts(connect_s=2, send_s=2, read_s=2, total_s=5)


class Content:
    """The bytes of one part, in chunks."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), 65_536):
            yield self._data[start : start + 65_536]


@dataclass
class Told:
    """What one store or read told its caller."""

    receipt: StoreReceipt | None = None
    error: WalrusError | None = None
    released: bool = False
    data: bytearray = field(default_factory=bytearray)

    @property
    def code(self) -> str:
        """The error's code; empty after a success."""
        return self.error.code if self.error is not None else ""

    @property
    def kind(self) -> str:
        """What can be done about the error; empty after a success."""
        return self.error.error_class.value if self.error is not None else ""


class User:
    """Stores and reads with the real clients; `store` and `read` never raise an error of the tree."""

    blob_id = BlobId(b"\x11" * 32)
    owner = SuiAddress(bytes(31) + b"\x05")
    object_id = "0x" + "ab" * 32

    def blob(self, data: bytes = b"hello", blob_id: BlobId | None = None) -> StoreRequest:
        """Ask for one blob."""
        part = Part("", len(data), hashlib.sha256(data).digest(), Content(data))
        return StoreRequest(StoreKind.BLOB, blob_id or self.blob_id, (part,), 4, self.owner)

    def quilt(self, files: Mapping[str, bytes], blob_id: BlobId | None = None) -> StoreRequest:
        """Ask for a quilt."""
        parts = tuple(Part(n, len(d), hashlib.sha256(d).digest(), Content(d)) for n, d in files.items())
        return StoreRequest(StoreKind.QUILT, blob_id or self.blob_id, parts, 4, self.owner)

    def created(self, **changes: Any) -> dict[str, Any]:
        """Return a publisher's answer to a new blob."""
        found = {"id": self.object_id, "blobId": str(self.blob_id), "storage": {"endEpoch": 9}} | changes
        return {"newlyCreated": {"blobObject": found, "resourceOperation": {}, "cost": 7}}

    def patches(self, *names: str) -> list[dict[str, Any]]:
        """Return a publisher's list of the files in a quilt."""
        rows = enumerate(names, 1)
        return [{"identifier": name, "quiltPatchId": str(QuiltPatchId(self.blob_id, n, n + 1))} for n, name in rows]

    def refusal(self, status: int, name: str, reason: str, domain: str = "daemon.walrus.space") -> dict[str, Any]:
        """Return a structured error."""
        info = {"@type": "ErrorInfo", "reason": reason, "domain": domain, "metadata": {}}
        return {"error": {"status": name, "code": status, "message": "why", "details": [info]}}

    def publisher(self, http: HttpClient, url: str, **options: Any) -> Publisher:
        """Return one publisher's client."""
        return Publisher(http, url, **{"wall_ms": lambda: 0, **options})

    @asynccontextmanager
    async def services(
        self, publishers: Sequence[str] = (), aggregators: Sequence[str] = (), *, client: Any = None, **options: Any
    ) -> AsyncIterator[HttpBlobStore]:
        """Open a session's client of several services."""
        reads = {name: options.pop(name) for name in ("base_s", "floor_bytes_s") if name in options}
        clock = {"clock": options.pop("clock")} if "clock" in options else {}
        async with HttpClient(**{"timeouts": QUICK, **(client or {})}) as http:
            chosen = [self.publisher(http, url, **options) for url in publishers]
            wall_ms = options.get("wall_ms", lambda: 0)
            yield HttpBlobStore(chosen, Aggregators(http, aggregators, wall_ms=wall_ms, **reads, **clock), **clock)

    async def put(self, services: HttpBlobStore, request: StoreRequest | None = None) -> Told:
        """Store once."""
        told = Told()

        async def release() -> None:
            told.released = True

        try:
            told.receipt = await services.store(request or self.blob(), release)
        except WalrusError as error:
            told.error = error
        return told

    async def store(self, *urls: str, request: StoreRequest | None = None, **options: Any) -> Told:
        """Store once, with clients of its own."""
        async with self.services(urls, **options) as services:
            return await self.put(services, request)

    async def get(self, services: HttpBlobStore, ref: Any = None, *, max_size: int = 1000, **options: Any) -> Told:
        """Read once."""
        told = Told()
        try:
            await services.read(ref or self.blob_id, told.data.extend, max_size=max_size, **options)
        except WalrusError as error:
            told.error = error
        return told

    async def read(self, *urls: str, ref: Any = None, max_size: int = 1000, **options: Any) -> Told:
        """Read once, with clients of its own."""
        async with self.services((), urls, **options) as services:
            return await self.get(services, ref, max_size=max_size)


class Servers:
    """Behaviours of a server; `heads` and `bodies` are what all of them were sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def request(self, peer: Any) -> None:
        """Take one request in whole."""
        head = (await peer.head()).decode()
        self.heads.append(head)
        fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:])
        self.bodies.append(await peer.body(int(fields.get("content-length", "0"))))

    def answering(self, status: int, document: Any = b"", *fields: str) -> Callable[[Any], Any]:
        """Answer every request alike."""

        async def handle(peer: Any) -> None:
            while True:
                await self.request(peer)
                await peer.answer(status, document if isinstance(document, bytes) else _json(document), *fields)

        return handle

    def sending(self, raw: bytes, *, then: str = "close") -> Callable[[Any], Any]:
        """Take a request in, send these bytes, and close, reset, hang or repeat them for ever."""

        async def handle(peer: Any) -> None:
            await self.request(peer)
            await peer.stream.send(raw)
            while then == "repeat":
                await peer.stream.send(raw)
            if then == "hang":
                await peer.hang()
            if then == "reset":
                reset(peer.stream)

        return handle


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def reset(stream: Any) -> None:
    """Let the close of a connection be a reset."""
    import socket
    import struct

    raw = stream.extra(SocketAttribute.raw_socket)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass
class Line:
    """A proxy on loopback in front of one service: cut after so many bytes of a direction, late, or in pieces.

    `up` and `down` are the bytes that pass before the line is cut (`None`: never); `resets` says how. `cuts` is how
    many connections are still to be cut; `yields` lets others run so often before each piece of at most `piece` bytes.
    """

    target: str
    up: int | None = None
    down: int | None = None
    resets: bool = False
    cuts: int = 1_000_000
    piece: int = 65_536
    yields: int = 0
    url: str = ""
    taken: int = 0

    async def serve(self, stream: Any) -> None:
        """Carry one connection."""
        self.taken += 1
        host, _, port = self.target.removeprefix("http://").partition(":")
        cut, self.cuts = self.cuts > 0, max(self.cuts - 1, 0)
        async with stream, await anyio.connect_tcp(host, int(port)) as behind, anyio.create_task_group() as tasks:
            for source, sink, limit in ((stream, behind, self.up), (behind, stream, self.down)):
                tasks.start_soon(self._carry, source, sink, limit if cut else None, (stream, behind), tasks)

    async def _carry(self, source: Any, sink: Any, limit: int | None, both: tuple[Any, Any], tasks: Any) -> None:
        try:
            while limit is None or limit > 0:
                data = await source.receive(self.piece if limit is None else min(self.piece, limit))
                for _ in range(self.yields):
                    await anyio.lowlevel.checkpoint()
                await sink.send(data)
                limit = None if limit is None else limit - len(data)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        if limit == 0 and self.resets:
            for stream in both:
                reset(stream)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _lined(target: str, **how: Any) -> AsyncIterator[Line]:
    line = Line(target, **how)
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    line.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, line.serve)
        try:
            yield line
        finally:
            group.cancel_scope.cancel()


def _certificate(folder: Path, host: str, days: int) -> tuple[ssl.SSLContext, str]:
    """Make a self-signed certificate; returns the server's side and the client's file."""
    key, path = ec.generate_private_key(ec.SECP256R1()), folder / "server.pem"
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=10)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=10 + days))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, str(path)


def _named(place: str) -> bool:
    path, _, name = place.partition("::")
    tree = ast.parse((TESTS.parent / path).read_text(encoding="utf-8"))
    return any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and n.name == name for n in ast.walk(tree))


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def servers() -> Servers:
    return Servers()


@pytest.fixture
def certified() -> Callable[[Path, str, int], tuple[ssl.SSLContext, str]]:
    """Make a certificate for an address that holds for so many days from now."""
    return _certificate


@pytest.fixture
def lined() -> Any:
    """``async with lined(url, up=..., down=...) as line``."""
    return _lined


@pytest.fixture
def net() -> Iterator[LocalNetwork]:
    with LocalNetwork(n_shards=10) as found:
        yield found


@pytest.fixture
def covered() -> Callable[[str, int, str, Mapping[str, Sequence[str]]], list[str]]:
    """Return the faults of a group that neither a test named after them nor an existing one elsewhere covers."""

    def missing(group: str, count: int, source: str, elsewhere: Mapping[str, Sequence[str]]) -> list[str]:
        gone = [place for places in elsewhere.values() for place in places if not _named(place)]
        names = {f"{group}{n}" for n in range(1, count + 1)}
        text = Path(source).read_text(encoding="utf-8")
        here = {name for name in names if f"def test_{name.lower()}_" in text}
        return [*gone, *sorted(names - here - set(elsewhere)), *sorted(set(elsewhere) - names)]

    return missing
