"""The executor: carries a frozen plan out, from wherever it stands. It does not know which verb made the plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.journaling import Diary
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.reading import read_site, remember_site
from walrus_sdk.engine.retries import Retries
from walrus_sdk.engine.transactions import SiteWriter, target_resources
from walrus_sdk.engine.uploads import Uploads
from walrus_sdk.engine.verify import Checked, check_bytes, check_records, choose
from walrus_sdk.errors import BlockchainError, DeploymentStopped
from walrus_sdk.model import events
from walrus_sdk.model.deployment import Status
from walrus_sdk.model.options import DeployResult, Verify
from walrus_sdk.model.plan import Cost, Plan, Stored
from walrus_sdk.model.progress import Phase
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.model.units import BlobId, Frost, Mist, ObjectId, WalrusEpoch
from walrus_sdk.planning.build import to_store
from walrus_sdk.planning.plan_json import canonical, dump
from walrus_sdk.ports import Change, Put

__all__ = ["Executor"]


class Executor:
    """Carries out one plan."""

    def __init__(self, context: Context, plan: Plan, status: Status) -> None:
        self._context = context
        self._world = context.world
        self._plan = plan
        self._performer = Performer(context, plan.chain_id)
        self._diary = Diary(context, plan, status)
        self._retries = Retries(context, len(plan.operations) + plan.cost.transactions)
        self._ends: Mapping[str, WalrusEpoch] | None = None
        self._writer = SiteWriter(context, plan, self._performer, self._retries, self._signed)

    async def run(self) -> DeployResult:
        """Store, write the site, verify, complete. Raises errors of the tree; what was done stays recorded."""
        if self._plan.nothing_to_do:
            return await self._nothing()
        await self._check_lifetimes()
        await self._writer.sender.check_funds(self._plan.cost.gas.units)
        if self._diary.status is Status.PENDING:
            await self._diary.checkpoint("initialization")
        stored = await self._upload()
        site_id = await self._write(stored)
        site, checked = await self._verify(site_id, stored)
        return await self._complete(site, checked.how, changed=True)

    async def settle(self) -> None:
        """Bring what an earlier run left open to its end and begin nothing new.

        For a plan that is given up: what was paid is found and can be used again, and its site is not made twice.
        """
        await self._uploads().settle()
        await self._writer.settle()

    async def look_up(self) -> None:
        """Look for what was left open, and record what is found; nothing is stored or sent."""
        await self._uploads().settle()
        await self._writer.sender.look_up()

    async def _signed(self, number: int) -> Sequence[Change]:
        """Write a checkpoint that knows a transaction before anybody can have it: elsewhere it is waited for."""
        return [await self._diary.checkpoint_file(f"transaction-{number}")]

    async def is_committed(self) -> bool:
        """Return whether everything that the plan changes is on chain; open transactions are brought to their end.

        Nothing new is begun.
        """
        sent = await self._world.journal.rows("transactions", {"deployment": str(self._context.owner.deployment)})
        if not sent:
            return False
        await self._writer.settle()
        stored = await self._uploads().recorded()
        return stored is not None and await self._writer.is_done(stored)

    async def _check_lifetimes(self) -> None:
        """Check that what the site will refer to lives. Raises `DeploymentStopped` ``plan_expired``."""
        now, self._ends = (await self._world.chain.state()).walrus_epoch, None
        ends = [stored.end_epoch for stored in self._plan.known.values() if stored.end_epoch is not None]
        if self._plan.operations:
            ends.append(self._plan.end_epoch)
        ends += [end for end in [await self._recorded_end(r.blob_id) for r in self._plan.base.values()] if end]
        if ends and min(ends).number <= now.number:
            text = f"the plan counts on storage until Walrus epoch {min(ends)}, and it is {now} now"
            raise DeploymentStopped("plan_expired", text)
        for stored in self._plan.known.values():
            end = await self._recorded_end(stored.blob_id)
            if end is not None and stored.end_epoch is not None and end.number < stored.end_epoch.number:
                raise DeploymentStopped("plan_expired", f"{stored.blob_id} was cleaned up since the plan")

    async def _recorded_end(self, blob_id: BlobId) -> WalrusEpoch | None:
        if self._ends is None:
            rows = await self._world.journal.rows("blobs", {"chain": self._plan.chain_id})
            self._ends = {row["blob_id"]: WalrusEpoch(row["end_epoch"]) for row in rows}
        return self._ends.get(str(blob_id))

    def _uploads(self) -> Uploads:
        return Uploads(self._context, self._plan, self._performer, self._diary, self._retries)

    # ── phases ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _upload(self) -> Mapping[bytes, Stored]:
        self._context.feed.phase(Phase.STORE)
        if self._plan.operations and self._diary.status is not Status.PROCESSING:
            await self._diary.move(Status.UPLOADING)
        return await self._uploads().run()

    async def _write(self, stored: Mapping[bytes, Stored]) -> ObjectId:
        self._context.feed.phase(Phase.CHAIN)
        await self._diary.move(Status.PROCESSING)
        await self._diary.checkpoint("manifest")
        await self._check_lifetimes()  # once more: uploads may have taken long
        return await self._writer.run(stored)

    async def _verify(self, site_id: ObjectId, stored: Mapping[bytes, Stored]) -> tuple[SiteSnapshot, Checked]:
        self._context.feed.phase(Phase.VERIFY)
        site = await self._world.chain.site(site_id, known=self._writer.site)
        if site is None:
            raise BlockchainError("site_not_found", f"site {site_id} is not there", site_id=str(site_id))
        await remember_site(self._world, self._plan.chain_id, site)  # the next plan need not read it again
        target = target_resources(self._plan, stored)
        check_records(target, site)
        seed = str(self._context.owner.deployment)
        how, paths = choose(list(target), self._new_paths(), self._context.options.verify, seed)
        await check_bytes(self._world.store, self._world.sleep, site, paths, self._context.feed)
        await self._diary.event(events.VERIFIED, {"how": how, "files": len(paths)})
        await self._diary.checkpoint("finalization")
        return site, Checked(how, len(paths))

    def _new_paths(self) -> list[str]:
        """Return one path of each store of the plan."""
        by_content: dict[bytes, str] = {}
        for path in to_store(self._plan):
            by_content.setdefault(self._plan.entries[path].sha256, path)
        return [by_content[operation.pieces[0].sha256] for operation in self._plan.operations]

    async def _nothing(self) -> DeployResult:
        """Complete a plan that changes nothing, if the site is still what it was when the plan was made."""
        target, checked = self._plan.target, "chain"
        assert target.site_id is not None
        site = await read_site(self._world, self._plan.chain_id, target.site_id)
        if site is None:
            raise BlockchainError("site_not_found", f"site {target.site_id} is not there")
        if (site.version, site.digest) != (target.version, target.digest):
            text = f"site {target.site_id} is at version {site.version}, planned was {target.version}"
            raise BlockchainError("site_changed", text, site_id=str(target.site_id))
        if self._context.options.verify in (Verify.ALL, Verify.SAMPLE):
            seed = str(self._context.owner.deployment)
            checked, paths = choose(list(site.content.resources), [], self._context.options.verify, seed)
            self._context.feed.phase(Phase.VERIFY)
            await check_bytes(self._world.store, self._world.sleep, site, paths, self._context.feed)
        return await self._complete(site, checked, changed=False)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _complete(self, site: SiteSnapshot, verified: str, *, changed: bool) -> DeployResult:
        plan, clock = self._plan, self._world.clock
        site_id = str(site.site_id)
        versions = await self._world.journal.rows("versions", {"chain": plan.chain_id, "site_id": site_id})
        latest = max(versions, key=lambda row: int(row["n"]), default=None)
        number, puts = self._version(site, latest, changed=changed)
        result = await self._result(site, verified, number, changed=changed)
        values: dict[str, Any] = {
            "site_id": site_id,
            "url": result.url,
            "version": number,
            "finished_ms": clock.wall_ms(),
            "result": json.dumps(result.to_json()),
            "can_resume": 0,
            "reason": None,  # of a failure before
        }
        if self._diary.status is Status.FAILED:  # nothing was left to do but to see that it is so
            await self._diary.move(Status.PROCESSING)
        await self._diary.move(Status.COMPLETED, puts=puts, **values)
        self._context.feed.phase(Phase.DONE)
        return result

    def _version(
        self, site: SiteSnapshot, latest: Mapping[str, Any] | None, *, changed: bool
    ) -> tuple[int, tuple[Put, ...]]:
        """Return the number of the version that the site is now, and its row; what is on chain may be new to this home.

        A site that has the content of the latest version again is that version.
        """
        manifest, number = canonical(dump(site.content)).decode(), int(latest["n"]) if latest is not None else 0
        key = {"chain": self._plan.chain_id, "site_id": str(site.site_id)}
        if latest is not None and not changed and latest["manifest"] == manifest:
            same = Put("versions", {**key, "n": number}, {"digest": str(site.digest)})
            return number, (same,) if latest["digest"] != str(site.digest) else ()
        values = {
            "deployment": str(self._context.owner.deployment),
            "created_ms": self._world.clock.wall_ms(),
            "message": self._plan.message,
            "commit_id": self._plan.commit,
            "tags": json.dumps(list(self._plan.tags)),
            "manifest": manifest,
            "digest": str(site.digest),
        }
        return number + 1, (Put("versions", {**key, "n": number + 1}, values),)

    async def _result(self, site: SiteSnapshot, verified: str, number: int, *, changed: bool) -> DeployResult:
        deployment = self._context.owner.deployment
        past = await self._world.journal.events(deployment)
        paid = sum(int(e.data["outcome"].get("cost_frost", 0)) for e in past if _stored_now(e.type, e.data))
        twice = {e.data["name"] for e in past if e.type == events.SECOND_PAYMENT_POSSIBLE}
        return DeployResult(
            deployment_id=deployment,
            site_id=site.site_id,
            site_name=site.content.name,
            url=self._context.network.portal.format(base36=site.site_id.base36),
            version=number,
            digests=tuple(self._writer.sender.digests),
            cost=Cost(
                frost=Frost(paid),
                gas=Mist(max(0, self._writer.sender.gas)),
                requests=sum(_stored_now(e.type, e.data) for e in past),
                transactions=len(self._writer.sender.digests),
                stored_bytes=self._context.feed.now.bytes_confirmed,
                skipped_bytes=self._plan.cost.skipped_bytes,
            ),
            verified=verified,
            changed=changed,
            possibly_paid_in_vain=tuple(sorted(twice)),
            warnings=self._plan.warnings,
        )


def _stored_now(kind: str, data: Mapping[str, Any]) -> bool:
    """Return whether an event tells of a store of this deployment, whose answer may be lost."""
    if kind != events.EFFECT_DONE or data["kind"] != "store":
        return False
    return data["how"] == "done" or (data["how"] == "found" and int(data["outcome"].get("cost_frost", 0)) > 0)
