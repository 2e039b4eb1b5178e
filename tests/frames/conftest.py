"""Histories: a real one, made by deployments with faults; one with rows that nobody would wish for; an empty one."""

from __future__ import annotations

import importlib.util
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import pytest

from walrus_sdk.frames.history import History, history
from walrus_sdk.frames.load import JournalSource
from walrus_sdk.journal.schema import COLUMNS, migrate

matplotlib.use("Agg")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "history.py"
T0 = 1_770_000_000_000
HOSTILE = "<script>alert('1')</script> & \"$x^2$\""
CHAIN = "4c78adac"


def example() -> ModuleType:
    """The script that makes a real history."""
    spec = importlib.util.spec_from_file_location("examples_history", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with eleven deployments: an outage, refusals, a lost answer."""
    home = tmp_path_factory.mktemp("history") / "home"
    assert example().make(home, 11) == 9
    return home


@pytest.fixture
def real(real_home: Path) -> History:
    return history(real_home)


class Journal:
    """A journal that a test writes row by row."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "state" / "journal.db"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("pragma journal_mode = wal")
        migrate(self.db)

    def put(self, table: str, **values: Any) -> None:
        """Insert a row."""
        assert set(values) <= set(COLUMNS[table]), values
        marks = ", ".join("?" for _ in values)
        self.db.execute(f"insert into {table} ({', '.join(values)}) values ({marks})", tuple(values.values()))

    def event(self, deployment: str, n: int, event: str, at: int, owner: int = 1, **data: Any) -> None:
        """Insert an event, `at` milliseconds after the begin."""
        self.put(
            "events", deployment=deployment, n=n, incarnation=owner, wall_ms=T0 + at, monotonic_s=at / 1000, type=event,
            data=json.dumps(data),
        )  # fmt: skip

    def deployment(self, number: int = 0, at: int = 0, **values: Any) -> str:
        """Insert a deployment; returns its id."""
        name = f"deploy_{T0 + at:013}_{number:08x}"
        row = {
            "verb": "deploy", "status": "completed", "chain": CHAIN, "network": "testnet", "site_name": "shop",
            "created_ms": T0 + at, "updated_ms": T0 + at, "finished_ms": T0 + at + 1000, "can_resume": 0,
        } | values  # fmt: skip
        self.put("deployments", id=name, **row)
        return name

    def store(self, deployment: str, operation: str, blob: str, paid: int, **values: Any) -> None:
        """Insert a store that was done at the first try."""
        outcome = json.dumps({"blob_id": blob, "cost_frost": str(paid), "already_certified": False})
        row = {
            "chain": CHAIN, "kind": "store", "name": blob, "deployment": deployment, "operation": operation,
            "state": "done", "attempts": 1, "reserved_frost": 0, "outcome": outcome, "facts": '{"size": 1000}',
        }  # fmt: skip
        self.put("operations", **row)
        self.put("attempts", **{
            "deployment": deployment, "operation": operation, "n": 1, "kind": "store", "name": blob,
            "started_ms": T0, "finished_ms": T0 + 500, "outcome": "done", "frost": paid, **values,
        })  # fmt: skip

    def entry(self, deployment: str, path: str, size: int = 10, operation: str | None = None, sha: str = "") -> None:
        """Insert a file."""
        self.put(
            "entries", deployment=deployment, path=path, size=size, sha256=sha, operation=operation, state="stored"
        )

    def version(self, site_id: str, n: int, deployment: str, blobs: Mapping[str, str], name: str = "shop") -> None:
        """Insert a version of a site; `blobs` tells which holds each path."""
        resources = {path: {"blob_id": blob, "blob_hash": f"of {path}"} for path, blob in blobs.items()}
        self.put(
            "versions", chain=CHAIN, site_id=site_id, n=n, deployment=deployment, created_ms=T0 + n, tags="[]",
            manifest=json.dumps({"name": name, "resources": resources}),
        )  # fmt: skip

    @property
    def history(self) -> History:
        """What the frames say of it."""
        return history(self.home)

    def source(self, **options: Any) -> JournalSource:
        """A source of its frames."""
        return JournalSource(self.path, **options)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "home")
    yield made
    made.db.close()


@pytest.fixture
def hostile(journal: Journal) -> tuple[Journal, str]:
    """A deployment whose every text is markup, and which is under way."""
    name = journal.deployment(
        status="uploading", finished_ms=None, site_name=HOSTILE, message=HOSTILE, reason=HOSTILE, url=HOSTILE
    )
    journal.event(name, 1, "deployment.planned", 0, cost_frost="5", gas_mist="7", epochs=5, end_epoch=12)
    journal.event(name, 2, "deployment.status", 10, **{"from": "pending", "to": "uploading"})
    journal.event(
        name, 3, "effect.failed", 200, kind="store", operation=HOSTILE, name="b", code=HOSTILE, message=HOSTILE
    )
    journal.store(name, HOSTILE, "blob", 5, endpoint=HOSTILE)
    journal.entry(name, f"/{HOSTILE}.html", 10, HOSTILE)
    return journal, name


@pytest.fixture
def run_example() -> Callable[[], ModuleType]:
    return example
