"""What is still missing on chain, packed and sent.

What is to do is "the difference between the chain and the target, packed", read at the beginning, after a failure and
at the end; so a deployment that is taken up again needs no memory of how far it got.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from walrus_sdk.engine.context import Context
from walrus_sdk.engine.perform import Performer
from walrus_sdk.engine.reading import patiently
from walrus_sdk.engine.retries import MayRepeat, Retries
from walrus_sdk.engine.sender import Sender
from walrus_sdk.errors import BlockchainError
from walrus_sdk.model.chain import ObjectRef
from walrus_sdk.model.plan import Plan, SiteChange, Stored
from walrus_sdk.model.site import Resource, SiteContent, SiteSnapshot
from walrus_sdk.model.units import ObjectId
from walrus_sdk.planning.build import record, to_store
from walrus_sdk.ports import Change, Put
from walrus_sdk.sites import packing
from walrus_sdk.sites.calls import CreateSite, Step, steps

__all__ = ["SiteWriter", "remaining_change", "target_resources"]


def target_resources(plan: Plan, stored: Mapping[bytes, Stored]) -> dict[str, Resource]:
    """Return every resource that the site will have."""
    places = {**plan.known, **stored}
    made = {path: record(plan.entries[path], places[plan.entries[path].sha256]) for path in to_store(plan)}
    return {**plan.base, **made}


def remaining_change(wanted: SiteChange, target: Mapping[str, Resource], current: SiteContent) -> SiteChange:
    """Return what is still missing on chain."""
    there = current.resources
    rules = {
        "routes": _rest(wanted.routes, current.routes),
        "redirects": _rest(wanted.redirects, current.redirects),
    }
    return SiteChange(
        add=tuple(sorted(path for path in target if path not in there)),
        replace=tuple(sorted(path for path in target if path in there and not _equal(target[path], there[path]))),
        remove=tuple(sorted(path for path in there if path not in target)),
        name=wanted.name if wanted.name is not None and wanted.name != current.name else None,
        metadata=wanted.metadata if wanted.metadata is not None and wanted.metadata != current.metadata else None,
        **rules,
    )


def _rest(wanted: Any, there: Any) -> Any:
    return None if wanted is None or tuple(wanted) == tuple(there or ()) else wanted


def _equal(wanted: Resource, there: Resource) -> bool:
    return (
        (wanted.blob_id, wanted.blob_hash, wanted.range) == (there.blob_id, there.blob_hash, there.range)
        and dict(wanted.headers) == dict(there.headers)
    )  # fmt: skip


class SiteWriter:
    """Brings the site on chain to what a plan wants."""

    def __init__(
        self,
        context: Context,
        plan: Plan,
        performer: Performer,
        retries: Retries,
        signed: Callable[[int], Awaitable[Sequence[Change]]] | None = None,
    ) -> None:
        self._context = context
        self._world = context.world
        self._plan = plan
        self._performer = performer
        self._retries = retries
        self.sender = Sender(context, plan, performer, self._made, signed)
        self.site: SiteSnapshot | None = None
        self._pending: list[tuple[Step, ...]] = []

    async def run(self, stored: Mapping[bytes, Stored]) -> ObjectId:
        """Send what is missing until nothing is; returns the site's id. Raises ``site_changed`` and chain errors."""
        target = target_resources(self._plan, stored)

        async def advance(may_repeat: MayRepeat) -> bool:
            return await self._advance(target, may_repeat)

        while await self._retries.run(f"transaction {self.sender.step + 1}", advance, patient=True):
            self._context.feed.add(transactions_confirmed=1)
        assert self.sender.site_id is not None, "an empty difference has a site"
        return self.sender.site_id

    async def settle(self) -> None:
        """Bring every transaction that may have been sent to its end, for a plan that is given up.

        What was signed and never sent is dropped.
        """
        while True:
            try:
                await self._retries.run("open transactions", self._resolve_sent, patient=True)
            except BlockchainError as error:
                if not any(str(digest) == error.fields.get("digest") for digest in self.sender.digests):
                    raise  # else it is final, and failed on chain: that is an end too
            else:
                return

    async def is_done(self, stored: Mapping[bytes, Stored]) -> bool:
        """Return whether nothing is missing on chain; nothing is sent."""
        if self.sender.site_id is None:
            return False
        return not await self._missing(target_resources(self._plan, stored))

    async def _resolve_sent(self, may_repeat: MayRepeat) -> None:
        await self.sender.resolve_open(may_repeat, sent_only=True)

    async def _advance(self, target: Mapping[str, Resource], may_repeat: MayRepeat) -> bool:
        """Settle what is open, then send one transaction; false when nothing is missing."""
        await self._context.gate.passed()  # before anything is signed: it would be too old after a long pause
        await self.sender.resolve_open(may_repeat)
        if not self._pending:
            self._pending = await self._missing(target)
        if not self._pending:
            return False
        self._context.feed.set(transactions_total=len(self.sender.digests) + len(self._pending))
        try:
            await self._send(self._pending[0])
        except BaseException:
            self._pending = []  # what is missing now is read from the chain again
            raise
        self._pending = self._pending[1:]
        return True

    # ── what is missing ───────────────────────────────────────────────────────────────────────────────────────

    async def _missing(self, target: Mapping[str, Resource]) -> list[tuple[Step, ...]]:
        """Return the steps of the transactions that are still needed; none when the chain is as wanted."""
        plan = self._plan
        if self.sender.site_id is None:
            await self._check_still_new()
            return packing.pack(steps(plan.change, target, plan.target.name), self._calls())
        self.site = await self._site()
        change = remaining_change(plan.change, target, self.site.content)
        return packing.pack(steps(change, target), self._calls())

    async def _check_still_new(self) -> None:
        """Check that the site was not made since the plan, by another deployment of this home."""
        rows = await self._world.journal.rows("sites", self._site_key())
        if rows and rows[0]["object_id"]:
            text = f"the plan makes a new site {self._plan.target.name!r}, which is {rows[0]['object_id']} by now"
            raise BlockchainError("site_changed", text, site_id=rows[0]["object_id"])

    def _site_key(self) -> dict[str, str]:
        target = self._plan.target
        return {"chain": self._plan.chain_id, "owner": str(target.owner), "name": target.name}

    def _calls(self) -> packing.Calls:
        package = self._context.network.call_package
        assert package is not None, "a network in use has its packages"
        return packing.Calls(package, self._plan.target.owner)

    async def _site(self) -> SiteSnapshot:
        """Read the site, at least as new as our own last transaction. Raises ``site_changed`` for a foreign change."""
        assert self.sender.site_id is not None
        expected = self.sender.ref
        if expected is None and self._plan.target.version is not None and self._plan.target.digest is not None:
            expected = ObjectRef(self.sender.site_id, self._plan.target.version, self._plan.target.digest)
        site_id = self.sender.site_id

        def shows(site: SiteSnapshot | None) -> bool:
            return site is not None and (expected is None or site.version >= expected.version)

        site = await patiently(self._world.sleep, lambda: self._world.chain.site(site_id), shows)
        if site is None and not self.sender.sent:
            text = f"site {site_id} is not there; if it was destroyed, `walrus-sdk doctor --repair` says so"
            raise BlockchainError("site_not_found", text, site_id=str(site_id))
        if site is None or not shows(site):
            raise BlockchainError("chain_unavailable", f"the node does not show site {site_id} yet")
        if expected is not None and (site.version, site.digest) != (expected.version, expected.digest):
            text = f"site {site_id} is at version {site.version}, planned was {expected.version}"
            raise BlockchainError("site_changed", text, site_id=str(site_id))
        return site

    # ── one transaction ───────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, part: Sequence[Step]) -> None:
        kind = packing.build(part, self._calls(), await self._site_ref())
        purpose = f"{len(part)} changes to site {self._plan.target.name!r}"
        await self.sender.send(kind, purpose, makes_site=any(isinstance(step, CreateSite) for step in part))

    async def _site_ref(self) -> ObjectRef | None:
        if self.sender.site_id is None:
            return None
        if self.sender.ref is not None:
            return self.sender.ref
        site = await self._site()
        return ObjectRef(site.site_id, site.version, site.digest)

    def _made(self, site_id: ObjectId) -> tuple[Put, ...]:
        """Return the rows that know a new site, written with the outcome that made it: it is never made again."""
        deployment = str(self._context.owner.deployment)
        return (
            Put("sites", self._site_key(), {"object_id": str(site_id), "deployment": deployment}),
            Put("deployments", {"id": deployment}, {"site_id": str(site_id)}),
        )
