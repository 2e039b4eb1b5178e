"""The monitor: looks at a journal, holds rules against it, writes down what begins and ends, tells the sinks.

It owns no deployment and is in nobody's way: several may run, in any process; of each alert one of them writes the
row. It remembers nothing that matters: one that starts anew goes on where the journal stands.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence

import anyio

from walrus_sdk.errors import ConfigurationError, OwnershipError, WalrusError
from walrus_sdk.model.alerts import Alert, Notice
from walrus_sdk.ports import Clock, Journal, Sleep
from walrus_sdk.watch.alerts import Judge, Verdict, firing, judge, written
from walrus_sdk.watch.gather import Eyes, Gatherer
from walrus_sdk.watch.rules import Rule, longest_window_s
from walrus_sdk.watch.sinks import Courier, Post, Teller, Webhook
from walrus_sdk.watch.view import View, Wallet

__all__ = ["Monitor"]

_LOG = logging.getLogger(__name__)

LOOK_S = 2.0
"""Seconds between two looks: half as often costs half as much, and nobody is woken sooner by more."""
_KNOWN_S = 10.0
"""Seconds for which the alerts that fire are believed to be those that were read, unless something is to be written."""
_SITES_S = 60.0
_WALLET_S = 300.0
_AT_ONCE = 5
"""How often a verdict is made anew because another monitor was faster."""
_LAST_S = 10.0
"""Seconds for which deliveries are tried once more at the end; what is still due then is due at the next start."""


class Monitor:
    """Alerts of one home.

    `tellers` are told at once, `webhooks` at least once. `wallet` asks a network what the sites' owner has; it is asked
    beside the looks, which never wait for it. `every_s`: seconds between two looks.
    """

    def __init__(
        self,
        journal: Journal,
        rules: Sequence[Rule],
        eyes: Eyes,
        *,
        clock: Clock,
        sleep: Sleep,
        tellers: Sequence[Teller] = (),
        webhooks: Sequence[Webhook] = (),
        post: Post | None = None,
        wallet: Callable[[], Awaitable[Wallet]] | None = None,
        every_s: float = LOOK_S,
    ) -> None:
        assert post is not None or not webhooks, "webhooks need something that sends"
        self._journal = journal
        self._rules = tuple(rules)
        self._clock = clock
        self._sleep = sleep
        self._tellers = tuple(tellers)
        self._every_s = every_s
        self._gatherer = Gatherer(journal, clock, eyes, longest_window_s(self._rules))
        self._couriers = tuple(Courier(one, journal, post, clock=clock, sleep=sleep) for one in webhooks if post)
        self._names = tuple(one.name for one in webhooks)
        self._ask_wallet = wallet
        self._wallet: Wallet | None = None
        self._judge = Judge()
        self._last = 0
        self._open: Sequence[Alert] = ()
        self._known_until_s = -math.inf
        self._sites_at_s: float | None = None
        self.view: View | None = None

    async def run(self, *, until: Callable[[View], bool] = lambda _: False) -> None:
        """Look, judge and tell until it is cancelled, or until `until` says so of a view.

        A look that fails (the journal is busy, say) is logged, and the next one is taken; the first one raises. So does
        the first question about the wallet when it is answered with a `ConfigurationError`: there is no key, say.
        Cancellation leaves what is due to webhooks in the journal.
        """
        await self.look()
        async with anyio.create_task_group() as tasks:
            for courier in self._couriers:
                tasks.start_soon(courier.run)
            await self._look_on(until)
            for courier in self._couriers:
                courier.close()
            tasks.cancel_scope.deadline = anyio.current_time() + _LAST_S

    async def _look_on(self, until: Callable[[View], bool]) -> None:
        async with anyio.create_task_group() as tasks:
            if self._ask_wallet is not None:
                tasks.start_soon(self._watch_wallet, self._ask_wallet)
            while self.view is None or not until(self.view):
                await self._sleep(self._every_s)
                try:
                    await self.look()
                except WalrusError:
                    _LOG.warning("a look at the journal failed", exc_info=True)
            tasks.cancel_scope.cancel()

    async def look(self) -> tuple[Notice, ...]:
        """Take one look; returns what was new, after it was written down and told at once."""
        self.view = view = await self._gatherer.look(with_sites=self._sites_are_due(), wallet=self._wallet)
        verdict = await self._written(view)
        self._judge = verdict.judge
        notices = tuple(Notice(alert) for alert in (*verdict.fired, *verdict.cleared))
        for notice in notices:
            self._tell(notice)
        if notices:
            for courier in self._couriers:
                courier.wake()
        return notices

    def _sites_are_due(self) -> bool:
        now_s = self._clock.monotonic()
        if self._sites_at_s is not None and now_s < self._sites_at_s + _SITES_S:
            return False
        self._sites_at_s = now_s
        return True

    async def _written(self, view: View) -> Verdict:
        """Judge, and write what follows; when another monitor was faster, judge anew by what it wrote."""
        if self._clock.monotonic() >= self._known_until_s:
            await self._read_known()
        verdict = judge(self._rules, view, self._open, self._last, self._judge)
        if not verdict.fired and not verdict.cleared:
            return verdict
        for _ in range(_AT_ONCE):
            await self._read_known()
            verdict = judge(self._rules, view, self._open, self._last, self._judge)
            if not verdict.fired and not verdict.cleared:
                return verdict
            try:
                await self._journal.append(None, [written(verdict.fired, verdict.cleared, self._names)])
            except OwnershipError as error:
                if error.code != "row_changed":
                    raise
            else:
                self._known_until_s = -math.inf
                return verdict
        return Verdict((), (), self._judge)  # it is seen again at the next look

    async def _read_known(self) -> None:
        """Read which alerts fire, and the number of the last one."""
        self._open = firing(await self._journal.rows("alerts", {"cleared_ms": None}))
        rows = await self._journal.rows("alerts", columns=("n",))
        self._last = max((row["n"] for row in rows), default=0)
        self._known_until_s = self._clock.monotonic() + _KNOWN_S

    def _tell(self, notice: Notice) -> None:
        for teller in self._tellers:
            try:
                teller(notice)
            except KeyboardInterrupt:
                raise
            except BaseException:  # P10: it is no coroutine, so what it raises is no cancellation
                _LOG.warning("a sink of alerts failed", exc_info=True)

    async def _watch_wallet(self, ask: Callable[[], Awaitable[Wallet]]) -> None:
        """Ask again and again. Raises a `ConfigurationError` that is the first answer: no later one would be better."""
        is_first = True
        while True:
            try:
                self._wallet = await ask()
            except WalrusError as error:
                if is_first and isinstance(error, ConfigurationError):
                    raise
                self._wallet = None  # not known: nothing fires and nothing clears by it
                _LOG.warning("the wallet could not be asked: %s: %s", error.code, error.message)
            is_first = False
            await self._sleep(_WALLET_S)
