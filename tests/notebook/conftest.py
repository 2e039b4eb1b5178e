"""A local network, a home and a folder, as in tests/service; widgets without a kernel."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import walrus_sdk as ws
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.sui.signers import KeySigner

PAGES = {
    "index.html": b'<link rel="stylesheet" href="style.css"><h1>home</h1><img src="/logo.svg" alt="logo">',
    "about.html": b"<p>about</p>" * 20,
    "style.css": b"h1 { color: red }",
    "logo.svg": b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
}


def needs_widgets() -> None:
    if importlib.util.find_spec("ipywidgets") is None:
        pytest.skip("ipywidgets is not installed: the extra `notebook` has it")


@pytest.fixture
def net() -> Iterator[LocalNetwork]:
    with LocalNetwork(n_shards=10) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "site"
    made.mkdir()
    for name, data in PAGES.items():
        (made / name).write_bytes(data)
    return made


@pytest.fixture
def sites(net: LocalNetwork, tmp_path: Path) -> Iterator[ws.Connection]:
    needs_widgets()
    options: dict[str, Any] = {"home": tmp_path / "home", "network": net.network, "signer": KeySigner(net.key)}
    with ws.connect(**options) as opened:
        yield opened
