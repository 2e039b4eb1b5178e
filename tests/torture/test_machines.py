"""A state machine over the public verbs: whatever their order, the site is what the model says, and invariants hold."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from walrus_sdk.errors import ConfigurationError, OwnershipError, WalrusError
from walrus_sdk.model.options import DeployOptions, DeployResult
from walrus_sdk.testing import SimulatedWorld, at_point
from walrus_sdk.testing.invariants import Watcher

OPTIONS = DeployOptions(site_name="simulated", max_quilt_files=2, max_delete=1.0, deletable=True)
CONTENTS = st.dictionaries(
    st.sampled_from(["a.html", "b.html", "c.css", "d.js"]), st.binary(min_size=1, max_size=8), max_size=4
)

Verb = Callable[[], Awaitable[Any]]


class Verbs(RuleBasedStateMachine):
    """The model: the content of each version, whether the site is locked, which versions cleanup has forgotten."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.world = SimulatedWorld({"index.html": b"home"}, seed=hashlib.sha256(b"%d" % seed).hexdigest())
        self.watcher = Watcher(self.world)
        self.versions: dict[int, dict[str, bytes]] = {}
        self.locked = False

    def do(self, verb: Verb) -> Any:
        """Call a verb as the next process would."""
        self.world.revive()
        self.watcher.watch()
        return anyio.run(verb)

    def was_right_to_say(self, error: WalrusError, code: str, so: bool) -> None:
        assert error.code == code
        assert so, f"{code} is not so"

    @property
    def latest(self) -> int:
        return max(self.versions, default=0)

    def keep(self, result: Any, content: dict[str, bytes]) -> None:
        self.watcher.told(result)
        assert result.version == self.latest + (1 if result.changed or not self.latest else 0)
        self.versions[result.version] = content

    # ── verbs ─────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(files=CONTENTS)
    def deploy(self, files: dict[str, bytes]) -> None:
        self.world.files = {"index.html": b"home", **files}
        try:
            result = self.do(lambda: self.world.session.deploy("/site", OPTIONS))
        except OwnershipError as error:
            self.was_right_to_say(error, "site_locked", self.locked)
            return
        assert not self.locked
        self.keep(result, self.world.published())

    @precondition(lambda self: not self.locked)
    @rule(files=CONTENTS, point=st.integers(1, 30), cancel=st.booleans())
    def die_and_go_on(self, files: dict[str, bytes], point: int, cancel: bool) -> None:
        self.world.files = {"index.html": b"home", **files}
        self.world.revive()
        self.watcher.watch()
        made: list[DeployResult] = []

        async def deploy() -> None:
            made.append(await self.world.session.deploy("/site", OPTIONS))

        if not anyio.run(self.world.dies, at_point(point), deploy):
            self.keep(made[0], self.world.published())
            return
        if cancel:
            (newest, *_) = self.do(lambda: self.world.session.list())
            done = self.do(lambda: self.world.session.cancel(newest.deployment_id))
            if done is not None:
                self.keep(done, self.world.published())
                return
        self.keep(self.do(lambda: self.world.session.deploy("/site", OPTIONS)), self.world.published())

    @precondition(lambda self: self.versions)
    @rule(lock=st.booleans(), back=st.integers(0, 3))
    def rollback(self, lock: bool, back: int) -> None:
        wanted = None if not back else self.latest - back + 1
        try:
            result = self.do(lambda: self.world.session.rollback("simulated", OPTIONS, to=wanted, lock=lock))
        except ConfigurationError as error:
            earlier = any(number < self.latest for number in self.versions)
            missing = not earlier if wanted is None else wanted not in self.versions
            self.was_right_to_say(error, "version_not_found", missing)
            return
        self.locked = self.locked or lock
        earlier = max((number for number in self.versions if number < self.latest), default=0)
        self.keep(result, self.versions[earlier if wanted is None else wanted])

    @precondition(lambda self: self.versions)
    @rule(lock=st.booleans())
    def lock_or_unlock(self, lock: bool) -> None:
        self.do(lambda: self.world.session.lock("simulated") if lock else self.world.session.unlock("simulated"))
        self.locked = lock

    @precondition(lambda self: self.versions)
    @rule(keep=st.integers(1, 3))
    def cleanup(self, keep: int) -> None:
        shown = self.do(lambda: self.world.session.cleanup(OPTIONS, older_than_days=0.0, keep_last=keep))
        done = self.do(lambda: self.world.session.cleanup(OPTIONS, older_than_days=0.0, keep_last=keep, dry_run=False))
        assert (done.versions, done.deleted) == (shown.versions, shown.deleted)
        for _, number in done.versions:
            del self.versions[number]

    @rule()
    def resume_what_is_not_there(self) -> None:
        try:
            self.do(lambda: self.world.session.resume())
        except WalrusError as error:
            self.was_right_to_say(error, "deployment_not_found", True)

    # ── what must hold ────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def the_site_is_what_the_model_says(self) -> None:
        if self.versions:
            assert anyio.run(self.world.served) == self.versions[self.latest]

    @invariant()
    def the_versions_are_those_of_the_model(self) -> None:
        if self.versions:
            found = anyio.run(self.world.session.versions, "simulated")
            assert {version.number for version in found} == set(self.versions)

    @invariant()
    def everything_that_must_hold_holds(self) -> None:
        anyio.run(self.watcher.check, 1)


TestVerbs = Verbs.TestCase
TestVerbs.settings = settings(
    max_examples=30, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
