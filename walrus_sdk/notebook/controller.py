"""What stands behind the buttons: looks at the journal, carries out what was asked for, keeps one state. No widgets.

Everything here runs on one event loop. Whoever presses a button only posts an intent; one that the state does not
allow (any more) is dropped, as a button may be pressed twice before it is drawn as disabled.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from walrus_sdk.errors import DeploymentStopped, WalrusError
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Plan
from walrus_sdk.model.progress import Progress
from walrus_sdk.model.reports import DeploymentSummary
from walrus_sdk.model.samples import Resources
from walrus_sdk.model.units import DeploymentId
from walrus_sdk.model.versions import Version
from walrus_sdk.model.views import DeploymentView
from walrus_sdk.notebook.state import (
    AT_WORK,
    Action,
    Offer,
    Problem,
    State,
    files_of,
    is_of,
    problem_of,
    without_deployment,
)
from walrus_sdk.notebook.view import enabled
from walrus_sdk.service.session import Session
from walrus_sdk.service.unwrap import one_error
from walrus_sdk.service.watching import Watcher

__all__ = ["Controller", "Intent"]

LOOK_S, IDLE_S = 0.4, 1.0
"""Seconds between looks at the journal while somebody works on the deployment, and while nobody does."""
_FILES_A_SECOND = 10_000
"""Looks at a large deployment take longer, and it takes longer itself: this many files are looked at a second."""
_LIMIT_OFFERED = 20


@dataclass(frozen=True, slots=True)
class Intent:
    """An action that was asked for; `choice` is the version of a rollback that is looked at."""

    action: Action
    choice: int | None = None


class Controller:
    """One deployment at a time, and the verbs on it.

    `folder` with `options` is what Deploy publishes. Without `deployment` the newest unfinished one of the folder (or,
    without a folder, of the home) is looked at, else the newest; `found` is set then. Later it is any newer one, and
    any that somebody works on. `state` is replaced, never changed; `version` counts.
    """

    def __init__(
        self,
        session: Session,
        *,
        now_ms: Callable[[], int],
        folder: Path | None = None,
        deployment: str | None = None,
        options: DeployOptions | None = None,
    ) -> None:
        self._session = session
        self._now_ms = now_ms
        self._options = options or DeployOptions()
        self._wanted = deployment
        self._plan: Plan | None = None
        self._send, self._intents = anyio.create_memory_object_stream[Intent](math.inf)
        self._scope: anyio.CancelScope | None = None
        self._live: Progress | None = None
        self._under_way = self._quick = 0
        self._watcher: Watcher | None = None
        self._looking = anyio.Lock()
        self._changed: int | None = None
        self.found = anyio.Event()
        self.version = 0
        self.state = State(
            folder=str(folder) if folder is not None else "",
            site_name=self._options.site_name or "",
            now_ms=now_ms(),
        )

    def _set(self, **changes: Any) -> None:
        if any(getattr(self.state, name) != value for name, value in changes.items()):
            self.state = replace(self.state, **changes, now_ms=self._now_ms())
            self.version += 1

    @property
    def latest(self) -> State:
        """The state with the progress of this very moment."""
        live = self._live
        return replace(self.state, progress=live, now_ms=self._now_ms()) if live is not None else self.state

    # ── from outside ──────────────────────────────────────────────────────────────────────────────────────────

    def post(self, intent: Intent) -> None:
        """Take an intent; on the controller's loop."""
        self._send.send_nowait(intent)
        self._under_way += 1

    @property
    def at_rest(self) -> bool:
        """Whether nothing moves: it pauses, or no verb is under way here and nobody works on the deployment."""
        if self.state.status == "paused" and self._quick == 0:
            return True
        return self._under_way == 0 and not self.state.at_work

    async def run(self) -> None:
        """Look, and do what is asked for, until cancelled; a verb that is under way is stopped resumably then."""
        with one_error(), self._send, self._intents:
            async with anyio.create_task_group() as tasks:
                await self._find()
                self.found.set()
                tasks.start_soon(self._watch)
                await self._take(self._intents, tasks)

    async def _take(self, intents: MemoryObjectReceiveStream[Intent], tasks: anyio.abc.TaskGroup) -> None:
        async for intent in intents:
            if intent.action not in enabled(self.state) and not self._is_choice(intent):
                self._under_way -= 1
                continue
            verb, busy = self._verb(intent)
            if busy:
                self._set(busy=busy, problem=None, note="")
            self._quick += not busy
            tasks.start_soon(self._do, verb, bool(busy))

    def _is_choice(self, intent: Intent) -> bool:
        offer = self.state.offer
        return intent.choice is not None and offer is not None and offer.action is intent.action and not self.state.busy

    def _verb(self, intent: Intent) -> tuple[Callable[[], Awaitable[None]], str]:
        """Return what an intent starts, and the word for the time in which no other one begins (empty: it is quick)."""
        offer = self.state.offer
        if intent.action is Action.CONFIRM:
            assert offer is not None, "there is something to confirm"
            confirmed: Mapping[Action, tuple[Callable[[], Awaitable[None]], str]] = {
                Action.DEPLOY: (self._deploy, "deploying"),
                Action.ROLLBACK: (self._roll_back, "rolling back"),
                Action.CLEANUP: (self._clean_up, "cleaning up"),
            }
            return confirmed[offer.action]
        verbs: Mapping[Action, tuple[Callable[[], Awaitable[None]], str]] = {
            Action.DEPLOY: (self._offer_deploy, "planning"),
            Action.PAUSE: (self._pause, ""),
            Action.CONTINUE: (self._unpause, ""),
            Action.CANCEL: (self._cancel, ""),
            Action.RESUME: (self._resume, "resuming"),
            Action.RETRY: (self._resume, "trying again"),
            Action.ROLLBACK: (lambda: self._offer_rollback(intent.choice), "looking at versions"),
            Action.CLEANUP: (self._offer_cleanup, "looking at what nothing needs"),
            Action.VERIFY: (self._verify, "verifying"),
            Action.OPEN: (self._nothing, ""),
            Action.DISMISS: (self._dismiss, ""),
        }
        return verbs[intent.action]

    async def _do(self, verb: Callable[[], Awaitable[None]], busy: bool) -> None:
        """Carry a verb out; what it raises is shown."""
        try:
            with anyio.CancelScope() as scope:
                if busy:
                    self._scope = scope
                with one_error():
                    await verb()
            if scope.cancelled_caught:
                self._set(note="stopped")
        except DeploymentStopped as error:
            if error.code == "cancelled":
                self._set(note="cancelled: what is stored is kept for the next deploy")
            else:
                self._set(problem=problem_of(error))
        except WalrusError as error:
            self._set(problem=problem_of(error))
        finally:
            if busy:
                self._scope = self._live = None
                with anyio.CancelScope(shield=True), suppress(WalrusError):
                    await self._glance()
                self._set(busy="")
            self._quick -= not busy
            self._under_way -= 1

    # ── verbs ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _offer_deploy(self) -> None:
        plan = await self._session.plan(self.state.folder, self._options, progress=self._listen)
        self._plan = plan
        if plan.nothing_to_do:
            self._set(offer=None, note="nothing to do: the site is as planned", site_name=plan.target.name)
            return
        title, facts = plan.facts()
        offer = Offer(Action.DEPLOY, title, facts, f"Deploy for {plan.cost.frost} and about {plan.cost.gas} of gas")
        self._set(offer=offer, site_name=plan.target.name, network=plan.network)

    async def _deploy(self) -> None:
        plan = self._plan
        assert plan is not None, "a plan was shown"
        self._set(**_cleared())
        await self._session.apply(plan, self._options, progress=self._listen)
        await self._settle("deployed")

    async def _resume(self) -> None:
        deployment = self.state.deployment
        folder = self.state.folder or None
        self._set(offer=None)
        await self._session.resume(deployment, self._options, folder=folder, progress=self._listen)
        await self._settle("deployed")

    async def _pause(self) -> None:
        await self._session.pause(self.state.deployment)
        await self._glance()

    async def _unpause(self) -> None:
        await self._session.unpause(self.state.deployment)
        await self._glance()

    async def _cancel(self) -> None:
        """End what the panel is doing: another verb is stopped, only what carries the shown deployment out is ended."""
        state = self.state
        own = self._live.deployment if self._live is not None else ""
        if self._scope is not None and (not own or own != state.deployment):
            self._scope.cancel()
            return
        if state.summary is None or not (state.at_work or state.summary.resumable):
            return
        self._set(note="cancelling: what is under way comes to its end")
        result = await self._session.cancel(state.deployment, reason="cancelled in the panel")
        done = result is None
        told = "cancelled: what is stored is kept for the next deploy" if done else "it was complete before the request"
        await self._glance()
        self._set(note=told, problem=None)

    async def _offer_rollback(self, choice: int | None) -> None:
        await self._load_versions()
        site, current = self._site(), next((item for item in self.state.versions if item.current), None)
        others = [item for item in self.state.versions if not item.current]
        if choice is None:
            older = [item for item in others if current is None or item.number < current.number]
            choice = (older or others)[0].number
        plan = await self._session.plan_rollback(site, self._options, to=choice)
        _, facts = (await self._session.diff(site, f"{site}@{choice}")).facts()
        offer = Offer(
            Action.ROLLBACK,
            f"Roll {plan.target.name} back to version {choice}: what changes for visitors",
            (*facts, ("storage", str(plan.cost.frost)), ("gas", f"about {plan.cost.gas}"),
             ("afterwards", "the site is locked: later deploys stop until it is unlocked")),
            f"Roll back to version {choice}",
            tuple((_label(item), item.number) for item in others[:_LIMIT_OFFERED]),
            choice,
        )  # fmt: skip
        self._set(offer=offer)

    async def _roll_back(self) -> None:
        offer, site = self.state.offer, self._site()
        assert offer is not None
        self._set(**_cleared())
        await self._session.rollback(site, self._options, to=offer.choice, progress=self._listen)
        await self._settle(f"version {offer.choice} is back")

    async def _offer_cleanup(self) -> None:
        report = await self._session.cleanup(self._options)
        title, facts = report.facts()
        is_empty = not (report.deployments or report.versions or report.deleted)
        self._set(offer=Offer(Action.CLEANUP, title, facts, "" if is_empty else "Clean up now"))

    async def _clean_up(self) -> None:
        self._set(offer=None)
        report = await self._session.cleanup(self._options, dry_run=False)
        if DeploymentId(self.state.deployment) in report.deployments if self.state.deployment else False:
            self.state = without_deployment(self.state)
            self.version += 1
        told = f"{len(report.deployments):,} histories forgotten, {len(report.deleted):,} blobs deleted"
        await self._load_versions()
        self._set(note=told)

    async def _verify(self) -> None:
        report = await self._session.verify(self._site(), progress=self._listen)
        self._set(note=f"verified: {report.files:,} files are served as they are on chain")

    async def _dismiss(self) -> None:
        self._set(offer=None)

    async def _nothing(self) -> None:
        """The panel itself shows a link."""

    def _site(self) -> str:
        """Return the site as verbs take it."""
        return str(self.state.versions[0].site_id)

    async def _settle(self, told: str) -> None:
        await self._glance()
        await self._load_versions()
        self._set(note=told)

    # ── looking ───────────────────────────────────────────────────────────────────────────────────────────────

    def _listen(self, progress: Progress) -> None:
        """Take the progress of this panel's own verb: it is told at every chunk, so next to nothing is done here."""
        self._live = progress
        self.version += 1
        if progress.deployment and progress.deployment != self.state.deployment:
            self.state = replace(without_deployment(self.state), deployment=progress.deployment)

    async def _find(self) -> None:
        """Look for the deployment that the panel is about."""
        if self._wanted is None:
            await self._follow()
            return
        self._set(deployment=self._wanted)
        await self._load_chain()
        try:
            await self._glance()
        except WalrusError as error:
            self._set(problem=problem_of(error), deployment="")
            return
        await self._load_versions()

    async def _follow(self) -> None:
        """Turn to what the panel is about now, when anything was written since the last look."""
        before, self._changed = self._changed, await self._session.changed()
        if self._changed == before:
            return
        found = await self._session.list(counts=False)
        if found:
            await self._load_chain()
        found = [item for item in found if is_of(item, self.state.chain)]
        chosen = _choose(found, self.state.folder, self._options.site_name or "", self.state.summary)
        if chosen is None or self.state.busy:
            return
        name = str(chosen.deployment_id)
        self._set(deployment=name, summary=chosen, **_nothing_known())
        await self._glance()
        await self._load_versions()

    async def _watch(self) -> None:
        while True:
            quick_s = min(IDLE_S, max(LOOK_S, len(self.state.files) / _FILES_A_SECOND))
            await anyio.sleep(quick_s if self.state.at_work or self.state.busy else IDLE_S)
            before = self.state.at_work
            try:
                if self._watcher is None or await self._watcher.has_news():
                    await self._glance()
                if self.state.at_work or self.state.busy:
                    continue
                if before:
                    await self._load_versions()
                if self._wanted is None:
                    await self._follow()
            except WalrusError as error:
                self._set(problem=problem_of(error))

    async def _glance(self) -> None:
        """Take over what is new in the journal."""
        deployment = self.state.deployment
        if not deployment:
            return
        async with self._looking:  # by the ticker, and after a verb
            if self._watcher is None or str(self._watcher.deployment) != deployment:
                self._watcher = self._session.watcher(deployment)
            watcher = self._watcher
            found = await watcher.look()
        state = self.state
        if deployment != state.deployment:
            return  # another one is looked at meanwhile
        self._set(
            summary=found.summary,
            seen=_news(state.seen, found),
            progress=self._live,
            files=state.files or files_of(watcher.entries),
            site_name=found.summary.site_name or state.site_name,
            network=found.summary.network or state.network,
            url=found.summary.url or state.url,
        )

    async def _load_chain(self) -> None:
        """Ask for the chain that verbs work on; a network that is not there leaves it unknown."""
        if not self.state.chain:
            with suppress(WalrusError):
                self._set(chain=(await self._session.network()).chain_id)

    async def _load_versions(self) -> None:
        """Read the site's versions; a network that is not there leaves them unknown."""
        summary = self.state.summary
        if summary is None or summary.site_id is None:
            return
        try:
            versions = tuple(await self._session.versions(str(summary.site_id)))
            url = await self._session.url(str(summary.site_id)) if versions else ""
        except WalrusError as error:
            self._set(problem=Problem(error.code, f"versions are not known: {error.message}", error.next_step))
            return
        self._set(versions=versions, url=url)


def _cleared() -> dict[str, Any]:
    """Return what a verb that makes a new deployment starts from."""
    return {"offer": None, "progress": None}


def _nothing_known() -> dict[str, Any]:
    """Return what is known of a deployment before anything is read of it."""
    blank, names = State(), ("seen", "progress", "files", "versions", "url", "problem", "note")
    return {name: getattr(blank, name) for name in names}


def _news(shown: DeploymentView | None, found: DeploymentView) -> DeploymentView:
    """Return what is shown when nothing but the time is new, else what was found, without what no panel shows."""
    found = replace(found, events=(), resources=Resources(), sampled_ms=None)
    return shown if shown is not None and replace(found, at_ms=shown.at_ms) == shown else found


def _label(item: Version) -> str:
    told = f": {item.message}" if item.message else ""
    return f"version {item.number}{told} ({item.files:,} files)"[:100]


def _choose(
    found: list[DeploymentSummary], folder: str, site_name: str, shown: DeploymentSummary | None
) -> DeploymentSummary | None:
    """Return the deployment that a panel turns to: unfinished before others, the newest first; `None`: to no other.

    While one is `shown`, only what is newer, or worked on, is a reason to leave it.
    """
    mine = [
        item
        for item in found
        if item.verb in ("deploy", "rollback")
        and (not site_name or item.site_name == site_name)
        and (not folder or site_name or item.folder == folder or (shown is not None and _is_same_site(item, shown)))
    ]
    if shown is not None:
        names = [item.deployment_id for item in found]
        newer = names[: names.index(shown.deployment_id)] if shown.deployment_id in names else names
        mine = [item for item in mine if item.deployment_id in newer or item.status in AT_WORK]
    going = [item for item in mine if item.resumable or item.status in AT_WORK]
    return next(iter(going or mine), None)


def _is_same_site(one: DeploymentSummary, other: DeploymentSummary) -> bool:
    return one.site_id is not None and one.site_id == other.site_id
