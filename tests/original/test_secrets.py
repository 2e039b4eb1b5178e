"""No file ever holds the key: neither a temporary one nor one of the home, its log, its checkpoints, its journal."""

from __future__ import annotations

import base64
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from walrus_sdk import settings
from walrus_sdk.cli.main import run
from walrus_sdk.cli.outside import Outside
from walrus_sdk.codecs.keys import PrivateKey
from walrus_sdk.localnet.server import LocalNetwork
from walrus_sdk.service.session import open_session


def needles(key: PrivateKey) -> list[bytes]:
    """The key as it might be written: its texts, its bytes, their hex and base64."""
    flagged = base64.b64decode(key.to_keystore_entry())
    secret = flagged[1:]
    texts = [key.to_suiprivkey(), key.to_keystore_entry(), secret.hex(), base64.b64encode(secret).decode()]
    return [secret, *(text.encode() for text in texts)]


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder, compressed ones opened."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield path, data
            if path.suffix == ".zst":
                with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as opened:
                    yield path, opened.read()


def test_a_deploy_with_a_key_leaves_it_in_no_file_and_makes_no_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, temporary, user = tmp_path / "site", tmp_path / "tmp", tmp_path / "user"
    for place in (folder, temporary, user):
        place.mkdir()
    (folder / "index.html").write_text("<h1>hello</h1>")
    for name in ("TMPDIR", "TMP", "TEMP"):
        monkeypatch.setenv(name, str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    made: list[str] = []
    mkstemp = tempfile._mkstemp_inner  # type: ignore[attr-defined]  # below all that makes named temporary files

    def watched(*args: Any) -> Any:
        made.append(str(args))
        return mkstemp(*args)

    monkeypatch.setattr(tempfile, "_mkstemp_inner", watched)

    with LocalNetwork(n_shards=10) as net:
        environment = {"HOME": str(user), "SUI_PRIVATE_KEY": net.key.to_suiprivkey(), "CI": "true", "VERBOSE": "true"}
        found = settings.load(environment, folder=folder)
        out, err = io.StringIO(), io.StringIO()
        outside = Outside(
            out=out,
            err=err,
            stdin=io.StringIO(),
            load_settings=lambda: found,
            open_session=lambda given, **where: open_session(given, **{**where, "network": net.network}),
        )
        made.clear()
        assert run(["deploy-site", str(folder), "--site-name", "tides"], outside) == 0, err.getvalue()
        assert run(["deploy-site", "--list-deployments", "--json"], outside) == 0
        secrets = needles(net.key)

    assert made == []
    with tempfile.NamedTemporaryFile(dir=user):
        assert made, "one would have been seen"
    assert list(temporary.rglob("*")) == []
    files = dict(contents(tmp_path))
    names = {path.name for path in files}
    assert {"journal.db", "deployment.log"} <= names
    assert any(name.endswith(".zst") for name in names)
    for path, data in contents(tmp_path):
        assert not any(secret in data for secret in secrets), path
    said = (out.getvalue() + err.getvalue()).encode()
    assert not any(secret in said for secret in secrets)
