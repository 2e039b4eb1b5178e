"""What a plan costs: what its first transaction uses is simulated; other ways to pack it, on request."""

from __future__ import annotations

from walrus_sdk.engine.sender import simulate_gas
from walrus_sdk.model.chain import GasUsed, ObjectRef
from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Packing, Plan
from walrus_sdk.model.site import SiteSnapshot
from walrus_sdk.planning import build, cost
from walrus_sdk.planning.packing import alternatives
from walrus_sdk.service.connection import Connection
from walrus_sdk.sites import packing

__all__ = ["packings", "priced"]


async def priced(connection: Connection, draft: build.Draft, site: SiteSnapshot | None) -> Plan:
    """Return the plan with its cost, frozen. Raises `BlockchainError` when its first transaction would fail."""
    plan, gas = draft.plan, await _first_gas(connection, draft, site)
    return build.finish(plan, cost.plan_cost(plan.entries, plan.operations, build.commands(draft.transactions), gas))


async def _first_gas(connection: Connection, draft: build.Draft, site: SiteSnapshot | None) -> GasUsed | None:
    """Return the gas of the first transaction by a simulation, with placeholders for what is not stored yet."""
    if not draft.transactions:
        return None
    package, owner = connection.network.call_package, draft.plan.target.owner
    assert package is not None, "a network in use has its packages"
    ref = ObjectRef(site.site_id, site.version, site.digest) if site is not None else None
    kind = packing.build(draft.transactions[0], packing.Calls(package, owner), ref)
    price = (await connection.chain.state()).gas_price
    return await simulate_gas(connection.chain, kind, owner, price)


async def packings(connection: Connection, plan: Plan, options: DeployOptions) -> list[Packing]:
    """Return what a plan's stores come to beside other ways to pack the same files, at today's prices."""
    state, limits = await connection.chain.state(), build.limits(connection.network, options, plan.n_shards)
    return alternatives(plan.operations, plan.n_shards, plan.epochs, state.prices, limits)
