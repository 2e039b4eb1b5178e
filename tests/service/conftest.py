"""A local network in this process, a home, a site folder, and sessions that join them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from walrus_sdk.localnet.faults import Fault
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.service.session import Session, open_session
from walrus_sdk.settings import Settings
from walrus_sdk.sui.signers import KeySigner

PAGES = {
    "index.html": b"<h1>home</h1>",
    "about.html": b"<p>about</p>" * 20,
    "assets/app.js": b"console.log(1)\n" * 30,
    "assets/logo.svg": b"<svg></svg>",
}


@dataclass
class House:
    """Everything around one user: the network, his home, his folder."""

    net: LocalNetwork
    home: Path
    folder: Path

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, user_home=self.home, ci=True)

    @asynccontextmanager
    async def session(self, **options: Any) -> AsyncIterator[Session]:
        signer = KeySigner(self.net.key)
        given = {"network": replace(self.net.network, settle_s=0.2, grace_s=5.0), "signer": signer} | options
        async with open_session(self.settings, **given) as session:
            yield session

    def write(self, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def names(self) -> set[str]:
        """The names of the folder's own entries."""
        return {path.name for path in self.folder.iterdir()}

    def rules(self) -> bytes:
        """What ws-resources.json holds."""
        return (self.folder / "ws-resources.json").read_bytes()

    def fault(self, point: str, action: str, **figures: Any) -> None:
        self.net.faults.add(Fault(point, action, **figures))

    def paid(self) -> Counter[str]:
        """How often each blob was paid."""
        return Counter(row["blob_id"] for row in self.net.ledger() if row["paid"])

    def get(self, url: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Visit a page as a browser does."""
        parts = urlsplit(url)
        assert parts.port is not None
        connection = HTTPConnection("127.0.0.1", parts.port, timeout=20)
        try:
            connection.request("GET", quote(path), headers={"Host": parts.netloc})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def served(self, url: str) -> dict[str, str]:
        """SHA-256 of what visitors get at the path of every file of the folder."""
        paths = [f"/{p.relative_to(self.folder).as_posix()}" for p in self.folder.rglob("*") if p.is_file()]
        return {p: hashlib.sha256(self.get(url, p)[2]).hexdigest() for p in paths if p != "/ws-resources.json"}

    def source(self) -> dict[str, str]:
        """SHA-256 of every file of the folder."""
        found = [p for p in self.folder.rglob("*") if p.is_file() and p.name != "ws-resources.json"]
        return {f"/{p.relative_to(self.folder).as_posix()}": hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


@pytest.fixture
def net() -> Iterator[LocalNetwork]:
    with LocalNetwork(n_shards=10) as found:
        yield found


@pytest.fixture
def house(net: LocalNetwork, tmp_path: Path) -> House:
    made = House(net, tmp_path / "home", tmp_path / "site")
    made.write(PAGES)
    return made


@pytest.fixture
def session(house: House) -> Callable[..., AbstractAsyncContextManager[Session]]:
    return house.session
