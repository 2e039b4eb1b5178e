"""What the acceptance scripts share: the installed command, its JSON, the portal as a browser sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

COMMAND = Path(sys.executable).with_name("walrus-sdk")


def walrus(*arguments: str, check: bool = True) -> list[dict[str, Any]]:
    """Run the command with ``--json`` and return its lines."""
    done = subprocess.run([COMMAND, *arguments, "--json"], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if check and done.returncode:
        raise SystemExit(f"walrus-sdk {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return lines


def last(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result, which is the last line."""
    assert lines[-1]["type"] == "result", lines[-1]
    return lines[-1]


def ledger() -> list[dict[str, Any]]:
    """Return what the local network was paid for."""
    outer = ("v", "type", "time")
    rows = [line for line in walrus("localnet", "ledger") if line["type"] == "row"]
    return [{name: value for name, value in row.items() if name not in outer} for row in rows]


class Visitor:
    """Reads pages as a browser does: the portal's name does not resolve here, so it goes into the Host field."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        port = urlsplit(url).port
        assert port is not None
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of a page."""
        self._connection.request("GET", quote(path, errors="surrogateescape"), headers={"Host": self._host})
        answer = self._connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


def expect(true: bool, what: str) -> None:
    """Say what holds, or end."""
    if not true:
        raise SystemExit(f"NOT SO: {what}")
    print(f"ok: {what}", flush=True)
