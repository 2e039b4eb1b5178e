"""A command line over a session that does as it is told: no home, no network, streams in memory."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.cli.main import run
from walrus_sdk.cli.outside import Outside
from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.plan import Cost, Plan, SiteChange, SiteTarget
from walrus_sdk.model.progress import Phase, Progress
from walrus_sdk.model.reports import DeploymentReport, DeploymentSummary, VerifyReport
from walrus_sdk.model.units import DeploymentId, Digest, Frost, Mist, ObjectId, SuiAddress, WalrusEpoch
from walrus_sdk.settings import Project, Settings

SITE = ObjectId(bytes(31) + b"\x07")
DEPLOYMENT = DeploymentId("deploy_1700000000000_0badcafe")
COST = Cost(Frost(1_500_000_000), Mist(20_000_000), 2, 1, 2048, 512)
RESULT = DeployResult(DEPLOYMENT, SITE, "my-app", "http://x.localhost:1/", 3, (Digest(bytes(32)),), COST, "all", True)
SUMMARY = DeploymentSummary(
    DEPLOYMENT, "my-app", "testnet", "completed", 1.0, 1_700_000_000_000, site_id=SITE, version=3
)
PLAN = Plan(
    digest="p" * 64,
    request_digest="r" * 64,
    chain_id="4c78adac",
    network="testnet",
    n_shards=1000,
    root="/site",
    target=SiteTarget("my-app", SuiAddress(bytes(32)), SITE, 1, Digest(bytes(32)), "journal"),
    entries={},
    operations=(),
    known={},
    base={},
    change=SiteChange(add=("/new.html",)),
    epochs=5,
    end_epoch=WalrusEpoch(9),
    cost=COST,
)
STEPS = (
    Progress(Phase.SCAN, files_found=2, files_hashed=2, bytes_hashed=2560),
    Progress(Phase.STORE, 2, 2, 2560, stores_total=2, stores_encoded=2, bytes_total=2048, bytes_sent=2048),
    Progress(Phase.DONE, 2, 2, 2560, 2, 2, 2, 2048, 2048, 2048, 1, 1),
)


class Session:
    """Answers as it is told, and remembers what it was asked: ``calls`` is a list of (verb, arguments)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.opened: list[dict[str, Any]] = []
        self.hurried = False
        self.summaries: list[DeploymentSummary] = [SUMMARY]
        self.details: dict[str, Any] = {}
        self.plan_: Plan = PLAN
        self.result = RESULT
        self.failure: BaseException | None = None
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _do(self, verb: str, arguments: Any, progress: Callable[[Progress], object] | None = None) -> None:
        self.calls.append((verb, arguments))
        for step in STEPS if progress is not None else ():
            if step.phase is Phase.DONE and self.meanwhile is not None:
                await self.meanwhile()
            assert progress is not None
            progress(step)
        if self.failure is not None:
            raise self.failure

    async def plan(self, folder: Path, options: Any, *, progress: Any = None) -> Plan:
        await self._do("plan", (folder, options), progress)
        return self.plan_

    async def apply(self, plan: Plan, options: Any, *, progress: Any = None) -> DeployResult:
        await self._do("apply", (plan, options), progress)
        return self.result

    async def deploy(self, folder: Path, options: Any, *, progress: Any = None) -> DeployResult:
        await self._do("deploy", (folder, options), progress)
        return self.result

    async def list(self) -> list[DeploymentSummary]:
        await self._do("list", None)
        return self.summaries

    async def status(self, deployment: Any) -> DeploymentReport:
        await self._do("status", str(deployment))
        return DeploymentReport(self.summaries[0], self.details)

    async def verify(self, site: str, how: Any, *, progress: Any = None) -> VerifyReport:
        await self._do("verify", (site, how), progress)
        return VerifyReport(SITE, "my-app", "http://x.localhost:1/", how.value, 12, 3)

    async def url(self, site: str) -> str:
        await self._do("url", site)
        return "http://x.localhost:1/"

    def hurry(self) -> None:
        self.hurried = True

    @asynccontextmanager
    async def open(self, settings: Settings, **where: Any) -> AsyncIterator[Session]:
        self.opened.append({"settings": settings, **where})
        yield self

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.calls]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@dataclass
class Ran:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The standard output as objects; fails when anything else is on it."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        return self.objects[-1]


@dataclass
class Line:
    """A command line: the session it talks to, who sits before it, what it finds around it."""

    session: Session
    settings: Settings
    terminal: bool = False
    answer: str = ""
    shown: list[str] = field(default_factory=list)
    out: io.StringIO | None = None
    now_s: float = 0.0

    def __call__(self, *args: str) -> Ran:
        stream = Terminal if self.terminal else io.StringIO
        out, err, stdin = self.out or stream(), stream(), stream(self.answer)
        outside = Outside(
            out=out,
            err=err,
            stdin=stdin,
            load_settings=lambda: self.settings,
            open_session=self.session.open,  # type: ignore[arg-type]  # the methods that the commands call
            browse=self._browse,
            wall_ms=lambda: 1_700_000_000_000,
            monotonic_s=lambda: self.now_s,
        )
        code = run(args, outside)
        return Ran(code, "" if out.closed else out.getvalue(), err.getvalue())

    def _browse(self, url: str) -> bool:
        self.shown.append(url)
        return True

    def set(self, **values: Any) -> None:
        """Change what the settings say."""
        self.settings = replace(self.settings, **values)

    @property
    def options(self) -> Any:
        """The `DeployOptions` of the last call."""
        return self.session.calls[-1][1][1]


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def cli(session: Session, tmp_path: Path) -> Line:
    """Run command lines against a session that does as it is told."""
    return Line(session, Settings(home=tmp_path / "home", project=Project()))
