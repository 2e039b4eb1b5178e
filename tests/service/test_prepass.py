"""The pre-pass: a plan that is remembered is the one that would be made, and anything that changed is noticed."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import pickle
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from walrus_sdk.engine.feed import Feed
from walrus_sdk.errors import ConfigurationError, LimitError, OwnershipError, ValidationError, WalrusError
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import FileStat, Plan, Snapshot, SourceFile
from walrus_sdk.model.units import Frost, ObjectId
from walrus_sdk.planning import kept_plan
from walrus_sdk.planning.build import entries_of
from walrus_sdk.planning.plan_json import canonical, dump, plan_digest
from walrus_sdk.service import deploy, prepass
from walrus_sdk.service.connection import Connection
from walrus_sdk.settings import Project
from walrus_sdk.sites.paths import site_path
from walrus_sdk.sites.ws_resources import parse
from walrus_sdk.source.folder import SiteFolder
from walrus_sdk.source.stat_cache import StatCache
from walrus_sdk.sui.graphql import GraphQl
from walrus_sdk.testing.folder import MemoryFolder
from walrus_sdk.testing.machine import InlineThreads
from walrus_sdk.testing.world import PAGES, SimulatedWorld

pytestmark = pytest.mark.anyio

KEPT = "plan:local:/site"


class Watched:
    """A world with a deployed site, whose plan to do nothing is remembered; counts scans and what is asked of Sui."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = SimulatedWorld({**PAGES, "ws-resources.json": b"{}"})
        self.scans = 0
        self.asked: list[str] = []
        self.changes: dict[str, Any] = {}
        self.options = DeployOptions(site_name="simulated", max_delete=1.0)
        scan = MemoryFolder.scan

        async def counted(folder: MemoryFolder, *args: Any) -> Any:
            self.scans += 1
            return await scan(folder, *args)

        monkeypatch.setattr(MemoryFolder, "scan", counted)
        for name in ("state", "site", "sites", "objects", "blobs"):
            monkeypatch.setattr(type(self.world.chain), name, self._heard(name, getattr(type(self.world.chain), name)))

    def _heard(self, name: str, usual: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **more: Any) -> Any:
            self.asked.append(name)
            return await usual(*args, **more)

        return call

    @property
    def connection(self) -> Connection:
        return replace(self.world.connection, **self.changes)

    async def plan(self, **asked: Any) -> Plan:
        self.scans, self.asked = 0, []
        options = replace(self.options, **asked)
        return await deploy.plan(self.connection, Path("/site"), options, Feed())

    async def plan_anew(self, **asked: Any) -> Plan:
        """Plan without anything that was remembered."""
        kept, self.world.disk.cache = self.world.disk.cache, {}
        try:
            return await self.plan(**asked)
        finally:
            self.world.disk.cache = kept


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    found = Watched(monkeypatch)
    await found.world.deploy()
    await found.plan()
    assert KEPT in found.world.disk.cache
    return found


async def test_a_plan_is_remembered_and_nothing_is_scanned_or_read_for_it(watched: Watched) -> None:
    anew = await watched.plan_anew()
    assert watched.scans == 1
    again = await watched.plan()
    assert watched.scans == 0
    assert sorted(watched.asked) == ["objects", "state"]
    assert again == anew
    assert (again.digest, again.request_digest) == (anew.digest, anew.request_digest)
    assert again.digest == plan_digest(again)
    assert (again.to_json(), again.table()) == (anew.to_json(), anew.table())
    assert canonical(dump(again)) == canonical(dump(anew))


async def test_a_deployment_that_changes_nothing_is_the_same_with_a_remembered_plan(watched: Watched) -> None:
    one = await watched.world.deploy()
    watched.asked, watched.scans = [], 0
    two = await watched.world.deploy()
    assert watched.scans == 0
    assert sorted(watched.asked) == ["objects", "site", "state"]
    assert (one.changed, two.changed) == (False, False)
    assert (one.version, one.cost, one.digests) == (two.version, two.cost, two.digests)
    rows = [watched.world.disk.find("entries", {"deployment": str(r.deployment_id)}) for r in (one, two)]
    assert [{**row, "deployment": ""} for row in rows[0]] == [{**row, "deployment": ""} for row in rows[1]]
    assert await watched.world.statuses() == ["completed"] * 3


async def edit_elsewhere(watched: Watched) -> None:
    (site_id,) = await watched.world.site_ids()
    watched.world.chain.edit_elsewhere(site_id, lambda pages: pages[0])


async def another_site_of_the_name(watched: Watched) -> None:
    other = await watched.world.deploy(site_name="another")
    (row,) = watched.world.disk.find("sites", {"name": "simulated"})
    row["object_id"] = str(other.site_id)


async def a_blob_ends_earlier(watched: Watched) -> None:
    for row in watched.world.disk.find("blobs", {}):
        row["end_epoch"] -= 1


async def a_blob_is_forgotten(watched: Watched) -> None:
    rows = watched.world.disk.tables["blobs"]
    rows.pop(next(iter(rows)))


CHANGES: dict[str, Callable[[Watched], Any]] = {
    "content": lambda w: w.world.files.update({"about.html": b"other"}),
    "content of the same size": lambda w: w.world.files.update({"index.html": b"<h1>HOME</h1>"}),
    "a new file": lambda w: w.world.files.update({"new.html": b"new"}),
    "a file less": lambda w: w.world.files.pop("about.html"),
    "rules": lambda w: w.world.files.update({"ws-resources.json": b'{"ignore": ["/about.html"]}'}),
    "no rules any more": lambda w: w.world.files.pop("ws-resources.json"),
    "project: ignore": lambda w: w.changes.update(project=Project(ignore=("/about.html",))),
    "project: epochs": lambda w: w.changes.update(project=Project(epochs=9)),
    "network: limits": lambda w: w.changes.update(network=replace(w.world.network, max_quilt_body=1_000)),
    "a Walrus epoch": lambda w: w.world.net.chain.advance_walrus_epoch(1),
    "prices": lambda w: w.world.net.chain.set_prices(storage=77),
    "the site, by another tool": edit_elsewhere,
    "another site has the name": another_site_of_the_name,
    "a blob ends earlier, by the journal": a_blob_ends_earlier,
    "a blob is not known any more": a_blob_is_forgotten,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_whatever_changed_the_plan_is_made_anew(watched: Watched, change: Callable[[Watched], Any]) -> None:
    done = change(watched)
    if isinstance(done, Awaitable):
        await done
    found = await watched.plan()
    assert watched.scans == 1
    assert found == await watched.plan_anew()


@pytest.mark.parametrize(
    "asked",
    [
        {"epochs": 7}, {"ignore": ("/about.html",)}, {"allow_files": ("about.html",)}, {"message": "m"},
        {"tags": ("t",)}, {"max_quilt_files": 2}, {"max_quilt_size": 10_000_000}, {"keep_old_s": 60.0},
        {"deletable": True}, {"fresh": True}, {"max_cost": Frost(10**9)}, {"write_object_id": True},
        {"rollback_on_bad_verify": True}, {"site_name": "simulate"},
    ],
    ids=lambda asked: next(iter(asked)),
)  # fmt: skip
async def test_other_options_make_another_plan(watched: Watched, asked: dict[str, Any]) -> None:
    found = await watched.plan(**asked)
    assert watched.scans == 1
    assert found == await watched.plan_anew(**asked)


async def test_another_commit_makes_another_plan(watched: Watched) -> None:
    async def commit(_: Path) -> str:
        return "c" * 40

    watched.changes = {"commit": commit}
    assert (await watched.plan()).commit == "c" * 40
    assert watched.scans == 1


async def test_an_object_id_that_is_given_is_another_request_for_the_same_site(watched: Watched) -> None:
    (site_id,) = await watched.world.site_ids()
    found = await watched.plan(object_id=site_id)
    assert (found.target.site_id, found.nothing_to_do) == (site_id, True)
    assert watched.scans == 1
    assert await watched.plan(object_id=site_id) == found
    assert watched.scans == 0


async def test_another_key_gets_no_plan_of_the_first(watched: Watched) -> None:
    class Other:
        address = ObjectId(bytes(32))

    watched.changes = {"signer": Other}
    await watched.plan()
    assert watched.scans == 1


async def test_a_node_that_is_behind_what_this_home_has_seen_is_not_believed(watched: Watched) -> None:
    (site_id,) = await watched.world.site_ids()
    ((key, row),) = watched.world.disk.tables["heights"].items()
    assert str(site_id) in key
    row["version"] += 1
    with pytest.raises(WalrusError) as caught:
        await watched.plan()
    assert caught.value.code == "chain_unavailable"


async def test_a_site_that_is_gone_is_missed_as_without_a_memory(watched: Watched) -> None:
    (site_id,) = await watched.world.site_ids()
    site = watched.world.net.chain.objects.get(site_id)
    assert site is not None
    watched.world.net.chain.system_transaction([], [site_id])
    with pytest.raises(WalrusError) as caught:
        await watched.plan()
    assert caught.value.code == "site_not_found"


async def test_a_locked_site_takes_no_deployment_with_a_remembered_plan_either(watched: Watched) -> None:
    (site_id,) = await watched.world.site_ids()
    await watched.world.session.lock(str(site_id), reason="holidays")
    with pytest.raises(OwnershipError) as caught:
        await watched.world.deploy()
    assert caught.value.code == "site_locked"


async def test_rules_outside_the_folder_are_read_each_time(watched: Watched) -> None:
    watched.world.folders["/rules"] = {"rules.json": b"{}"}
    watched.options = replace(watched.options, ws_resources="/rules/rules.json")
    await watched.plan()
    await watched.plan()
    assert watched.scans == 0
    watched.world.folders["/rules"]["rules.json"] = b'{"ignore": ["/about.html"]}'
    assert (await watched.plan()).change.remove == ("/about.html",)
    assert watched.scans == 1


async def test_blobs_whose_ends_only_the_chain_knows_are_asked_for_each_time(watched: Watched) -> None:
    elsewhere = watched.world.elsewhere()  # its journal knows no blob
    watched.world = elsewhere
    for _ in range(2):
        assert (await watched.plan()).nothing_to_do
        assert "blobs" in watched.asked
        assert watched.scans == 1


async def test_blobs_whose_ends_nobody_knows_are_warned_about_each_time(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> tuple[()]:
        return ()

    watched.world = watched.world.elsewhere()
    monkeypatch.setattr(type(watched.world.chain), "blobs", nothing)
    for _ in range(2):
        assert any("not known here" in warning for warning in (await watched.plan()).warnings)
        assert watched.scans == 1


async def test_the_site_as_it_was_verified_is_known_to_the_next_plan(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[object] = []
    site = type(watched.world.chain).site

    async def spy(chain: Any, site_id: ObjectId, **more: Any) -> Any:
        known.append(more["known"])
        return await site(chain, site_id, **more)

    watched.world.files["new.html"] = b"new"
    result = await watched.world.deploy()
    monkeypatch.setattr(type(watched.world.chain), "site", spy)
    await watched.world.plan()
    await watched.world.deploy()
    (now,) = await watched.world.chain.objects([result.site_id])
    assert now is not None
    assert [getattr(site, "version", None) for site in known] == [now.ref.version] * 2


@pytest.mark.parametrize(
    "files", [{"new.html": b"new"}, {"ws-resources.json": b'{"routes": {"/app/*": "/index.html"}}'}]
)
async def test_a_plan_that_does_something_is_made_each_time(watched: Watched, files: dict[str, bytes]) -> None:
    watched.world.files |= files
    for _ in range(2):
        assert not (await watched.plan()).nothing_to_do
        assert watched.scans == 1


async def test_pages_that_stay_for_a_time_are_planned_each_time(watched: Watched) -> None:
    watched.world.files["app.3f2a9c1b.js"] = b"1"
    await watched.world.deploy()
    del watched.world.files["app.3f2a9c1b.js"]
    for _ in range(2):
        found = await watched.plan(keep_old_s=3600.0)
        assert found.nothing_to_do
        assert list(found.retiring) == ["/app.3f2a9c1b.js"]
        assert watched.scans == 1


async def test_young_files_are_scanned_again_and_nothing_of_them_is_remembered(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = MemoryFolder.look

    async def young(folder: MemoryFolder) -> Any:
        found = await look(folder)
        return replace(found, settled=False)

    watched.world.disk.cache.clear()
    monkeypatch.setattr(MemoryFolder, "look", young)
    for _ in range(2):
        await watched.plan()
        assert watched.scans == 1
    assert KEPT not in watched.world.disk.cache


async def test_where_a_look_tells_nothing_the_folder_is_scanned(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(folder: MemoryFolder) -> None:
        return None

    monkeypatch.setattr(MemoryFolder, "look", nothing)
    assert (await watched.plan()).nothing_to_do
    assert watched.scans == 1


async def test_what_changes_between_the_look_and_the_scan_is_not_taken_for_seen(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site is deployed with B. The look sees A; B is written; the plan for B has nothing to do; A comes back."""
    look, page = MemoryFolder.look, watched.world.files["index.html"]
    watched.world.disk.cache.clear()

    async def late(folder: MemoryFolder) -> Any:
        watched.world.files["index.html"] = b"A"
        found = await look(folder)
        watched.world.files["index.html"] = page
        return found

    monkeypatch.setattr(MemoryFolder, "look", late)
    assert (await watched.plan()).nothing_to_do
    monkeypatch.setattr(MemoryFolder, "look", look)
    assert (await watched.plan()).nothing_to_do
    assert watched.scans == 1


async def test_a_damaged_memory_is_none(watched: Watched) -> None:
    kept = watched.world.disk.cache[KEPT]
    for place in (0, len(kept) // 3, len(kept) // 2, len(kept) - 1):
        watched.world.disk.cache[KEPT] = kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :]
        assert (await watched.plan()).nothing_to_do
        assert watched.scans == 1
    for damaged in (b"", kept[:-1], kept[:40], b"x" * 100):
        assert kept_plan.unpack(damaged) is None


async def test_limits_are_looked_at_for_a_remembered_plan_too(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(plan: Plan, options: DeployOptions) -> None:
        raise LimitError("cost_limit", "no")  # no limit of today can: nothing is stored, and no page goes

    monkeypatch.setattr("walrus_sdk.service.deploy.cost.check_limits", refuse)
    with pytest.raises(LimitError):
        await watched.plan()
    assert watched.scans == 0


async def test_a_folders_own_name_is_checked_against_other_folders_with_a_memory_too(watched: Watched) -> None:
    watched.options = DeployOptions()  # no name is given
    await deploy.deploy(watched.connection, Path("/site"), watched.options, Feed())
    await watched.plan()
    await watched.plan()
    assert watched.scans == 0
    for row in watched.world.disk.find("deployments", {"site_name": "site"}):
        row["folder"] = "/elsewhere/site"
    with pytest.raises(ConfigurationError) as caught:
        await watched.plan()
    assert caught.value.code == "name_ambiguous"


async def test_what_a_site_without_changes_asks_of_sui(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    read = GraphQl.read

    async def counted(graphql: GraphQl, document: str, *args: Any) -> Any:
        asked.append(document)
        return await read(graphql, document, *args)

    async def requests(verb: str) -> int:
        """Call a verb in a session of its own, as the command does."""
        async with house.session() as sites:
            asked.clear()
            await getattr(sites, verb)(house.folder, site_name="tides")
        return len(asked)

    monkeypatch.setattr(GraphQl, "read", counted)
    monkeypatch.setattr("walrus_sdk.source.stat_cache.RACY_NS", -(10**13))  # nothing is young
    await requests("deploy")
    # The state takes two requests in a new process, the site's reference one, beside the first of them; whoever deploys
    # looks at the site once more when it is his.
    assert (await requests("plan"), await requests("plan"), await requests("deploy")) == (3, 3, 4)
    async with house.session() as sites:
        for expected in (3, 2, 2):  # the state takes one request once it is known where it lies
            asked.clear()
            await sites.plan(house.folder, site_name="tides")
            assert len(asked) == expected


def test_code_that_makes_another_manifest_of_the_same_folder_calls_itself_another_version() -> None:
    """What was kept by older code must not be believed: raise `_VERSION` together with the digest here."""
    names = ["index.html", "a.css", "a.js", "a.wasm", "LICENSE", "x/y.tar.gz", "日本.html", ".well-known/security.txt"]
    stat = FileStat(1, 0, 0, 0, 0)
    files = tuple(SourceFile(site_path(name), name, stat, bytes(32)) for name in names)
    rules = {
        "headers": {"/*.css": {"Cache-Control": "no-cache"}, "/x/**": {"X-A": "1"}},
        "routes": {"/app/*": "/index.html"},
        "metadata": {"description": "d"},
        "ignore": ["*.map"],
    }
    entries = entries_of(Snapshot("/site", files), parse(json.dumps(rules).encode()))
    made = hashlib.sha256(canonical([dump(entries), sorted(field.name for field in fields(Plan))])).hexdigest()
    assert (prepass._VERSION, made[:16]) == ("1", "a59c4380cf5a5e28")


# ── a folder that looks as it did when its plan was made ──────────────────────────────────────────────────────────


async def interrupted(watched: Watched) -> str:
    """Begin a deployment that dies, and return its id."""
    watched.world.files["new.html"] = b"new"
    assert await watched.world.dies("store.intent.after")
    (row,) = [row for row in watched.world.disk.find("deployments", {}) if row["status"] != "completed"]
    watched.scans = 0
    return str(row["id"])


async def test_a_resume_scans_nothing_when_the_folder_looks_as_it_did(watched: Watched) -> None:
    result = await watched.world.session.resume(await interrupted(watched))
    assert (result.changed, watched.scans) == (True, 0)
    assert await watched.world.served() == watched.world.published()


@pytest.mark.parametrize("name", ["new.html", "index.html", "another.html"])
async def test_a_resume_sees_what_changed_since_the_plan(watched: Watched, name: str) -> None:
    deployment = await interrupted(watched)
    watched.world.files[name] = b"<h1>HOME</h1>"
    if name == "another.html":  # which the plan knows nothing of
        assert (await watched.world.session.resume(deployment)).changed
    else:
        with pytest.raises(ValidationError) as caught:
            await watched.world.session.resume(deployment)
        assert (caught.value.code, caught.value.fields["paths"]) == ("file_changed", [f"/{name}"])
    assert watched.scans == 1


async def test_a_resume_in_another_folder_scans_it(watched: Watched) -> None:
    deployment = await interrupted(watched)
    watched.world.folders["/copy"] = dict(watched.world.files)
    assert (await watched.world.session.resume(deployment, folder="/copy")).changed
    assert watched.scans == 1


async def test_a_look_that_belongs_to_another_plan_tells_nothing(watched: Watched) -> None:
    deployment = await interrupted(watched)
    files = dict(watched.world.files)
    watched.world.files["index.html"] = b"other"
    await watched.world.plan(message="another plan of this folder")
    watched.scans = 0
    with pytest.raises(ValidationError):
        await watched.world.session.resume(deployment)
    watched.world.files = files
    assert (await watched.world.session.resume(deployment)).changed
    assert watched.scans == 2


async def test_a_plan_that_was_made_is_carried_out_without_another_scan(watched: Watched) -> None:
    watched.world.files["new.html"] = b"new"
    plan = await watched.world.plan()
    watched.scans = 0
    assert (await watched.world.apply(plan)).changed
    assert watched.scans == 0


# ── frozen plans are read back ────────────────────────────────────────────────────────────────────────────────────


async def test_a_frozen_plan_counts_only_as_it_was_frozen(watched: Watched) -> None:
    (row,) = watched.world.disk.find("deployments", {"id": await interrupted(watched)})
    (plan,) = watched.world.disk.find("plans", {"digest": row["plan_digest"]})
    frozen = plan["json"]
    for damaged in (
        frozen.replace('"requests":1', '"requests":2'),
        frozen.replace(row["plan_digest"], "0" * 64),
        frozen.replace('"digest":"' + row["plan_digest"], '"digest":"'),
        "[]",
        frozen[:-1],
    ):
        assert damaged != frozen
        plan["json"] = damaged
        with pytest.raises(WalrusError) as caught:
            await watched.world.session.resume(row["id"])
        assert caught.value.code == "state_damaged"
        assert gc.isenabled(), "it rests only while a plan is read"
    plan["json"] = json.dumps(json.loads(frozen), indent=1)  # the same plan, written otherwise
    assert (await watched.world.session.resume(row["id"])).changed


# ── hashes that are only remembered ───────────────────────────────────────────────────────────────────────────────


class OnDisk:
    """A simulated world whose folder is a real one; an hour later, so that nothing in it is young."""

    def __init__(self, folder: Path) -> None:
        self.world = SimulatedWorld({})
        self.folder = folder
        for name, data in PAGES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        self.hashed: list[str] = []

    @property
    def connection(self) -> Connection:
        class Later:
            def wall_ms(self) -> int:
                return 4 * 10**12

        @asynccontextmanager
        async def opened(place: Path) -> Any:
            async def remember(value: bytes | None) -> bytes | None:
                return await self.world.journal.cache("stat", value)

            site = SiteFolder(place, InlineThreads(), Later(), remember=remember)  # type: ignore[arg-type]
            try:
                yield site
            finally:
                await site.save()
                site.close()

        return replace(self.world.connection, folder=opened)

    async def deploy(self) -> Any:
        return await deploy.deploy(self.connection, self.folder, DeployOptions(site_name="simulated"), Feed())

    async def plan(self, **asked: Any) -> Plan:
        options = DeployOptions(site_name="simulated", **asked)
        return await deploy.plan(self.connection, self.folder, options, Feed())

    def poison(self, name: str, sha256: bytes) -> None:
        """Let the stat cache hold a wrong hash of a file."""
        cache = StatCache.load(self.world.disk.cache["stat"])
        status = (self.folder / name).stat()
        stat = FileStat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)
        assert cache.get(stat) is not None
        cache.put(stat, sha256, 4 * 10**18)
        cache.settle(whole=False)
        self.world.disk.cache["stat"] = cache.dump()


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnDisk:
    found = OnDisk(tmp_path / "site")
    usual = os.read

    def read(descriptor: int, size: int) -> bytes:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        if place.is_relative_to(found.folder):
            found.hashed.append(place.relative_to(found.folder).as_posix())
        return usual(descriptor, size)

    monkeypatch.setattr("walrus_sdk.source.content.os.read", read)
    return found


async def test_a_folder_on_disk_is_remembered_whole(on_disk: OnDisk) -> None:
    await on_disk.deploy()
    first = await on_disk.plan()
    on_disk.hashed.clear()
    assert await on_disk.plan() == first
    assert on_disk.hashed == []
    (on_disk.folder / "index.html").write_bytes(b"<h1>HOME</h1>")
    assert (await on_disk.plan()).change.replace == ("/index.html",)
    assert set(on_disk.hashed) == {"index.html"}


async def test_a_remembered_hash_that_the_site_contradicts_is_made_again(on_disk: OnDisk) -> None:
    await on_disk.deploy()
    on_disk.hashed.clear()
    on_disk.poison("about.html", bytes(32))
    assert (await on_disk.plan()).nothing_to_do
    assert set(on_disk.hashed) == {"about.html"}
    on_disk.hashed.clear()
    assert (await on_disk.plan(message="again")).nothing_to_do
    assert set(on_disk.hashed) == {"about.html"}  # it is not known any more
    on_disk.hashed.clear()
    assert (await on_disk.plan(message="and again")).nothing_to_do
    assert on_disk.hashed == []


async def test_a_remembered_hash_that_is_wrong_stops_a_store_once_and_is_gone(on_disk: OnDisk) -> None:
    """The site does not have the file yet, so that only its bytes can contradict."""
    new = on_disk.folder / "new.html"
    new.write_bytes(b"<p>new</p>")
    await on_disk.plan()
    on_disk.poison("new.html", bytes(32))
    with pytest.raises(ValidationError) as caught:
        await on_disk.deploy()
    assert caught.value.code == "file_changed"
    result = await on_disk.deploy()
    assert result.changed
    served = await on_disk.world.served()
    assert served["/new.html"] == b"<p>new</p>"


async def test_a_headers_change_hashes_nothing_again(on_disk: OnDisk) -> None:
    await on_disk.deploy()
    rules = {"headers": {"/*": {"cache-control": "max-age=1"}}}
    (on_disk.folder / "ws-resources.json").write_text(json.dumps(rules))
    on_disk.hashed.clear()
    assert len((await on_disk.plan()).change.replace) == len(PAGES)
    assert on_disk.hashed == []


async def test_a_remembered_plan_is_the_same_kind_of_value_as_a_fresh_one(watched: Watched) -> None:
    kept = kept_plan.unpack(watched.world.disk.cache[KEPT])
    assert kept is not None
    again = pickle.loads(pickle.dumps(kept.plan))
    assert (again, plan_digest(again)) == (kept.plan, plan_digest(kept.plan))
