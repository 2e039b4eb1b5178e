"""What a plan costs: storage in FROST, gas in MIST, and the limits on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from walrus_sdk.errors import ConfigurationError, LimitError
from walrus_sdk.model.chain import GasUsed
from walrus_sdk.model.options import MAX_BUDGET, DeployOptions
from walrus_sdk.model.plan import Cost, Entry, Plan, StoreOperation
from walrus_sdk.model.units import Frost, Mist

__all__ = [
    "check_cost",
    "check_deletes",
    "check_gas",
    "check_limits",
    "check_spending",
    "gas_budget",
    "gas_price",
    "least_gas",
    "plan_cost",
]

_OVERHEAD = 1_000
"""Computation units on top of an estimate, as the official SDKs add."""

_HEADROOM = Decimal("1.2")
"""Storage fees depend on object versions that may move between estimate and execution."""


_MORE = Decimal("1.5")
"""A budget that was too low, and a price that lost against others, are raised by half."""

_MAX_PRICE = 99_999
"""MIST per computation unit that Sui allows at most: less than ``max_gas_price`` of its protocol configuration."""


def gas_budget(gas: GasUsed, price: int, ran_out: int = 0) -> int:
    """Return the budget in MIST for a transaction whose simulation used `gas`; `price` is MIST per unit.

    `ran_out` counts the transactions before it that needed more than their budget.
    """
    estimate = least_gas(gas) + _OVERHEAD * price
    return min(int(estimate * _HEADROOM * _MORE**ran_out), MAX_BUDGET)


def least_gas(gas: GasUsed) -> int:
    """Return the MIST without which a transaction whose simulation used `gas` cannot be executed."""
    return max(gas.computation, gas.computation + gas.storage - gas.rebate)


def gas_price(reference: int, congested: int) -> int:
    """Return the price to pay in MIST per unit: the reference price, and more after so many congested transactions."""
    return max(reference, min(int(reference * _MORE**congested), _MAX_PRICE))


def plan_cost(
    entries: Mapping[str, Entry],
    operations: Sequence[StoreOperation],
    commands: Sequence[int],
    first: GasUsed | None,
) -> Cost:
    """Return a plan's cost.

    `commands` has the number of commands of each transaction; `first` is the gas that a simulation of the first one
    used, from which the others are scaled.
    """
    stored = {piece.sha256: piece.size for operation in operations for piece in operation.pieces}
    sizes = {entry.sha256: entry.size for entry in entries.values()}
    gas = 0
    if first is not None and commands:
        gas = max(0, first.net) * sum(commands) // max(1, commands[0])
    return Cost(
        frost=sum((operation.cost for operation in operations), Frost()),
        gas=Mist(gas),
        requests=len(operations),
        transactions=len(commands),
        stored_bytes=sum(stored.values()),
        skipped_bytes=sum(size for sha256, size in sizes.items() if sha256 not in stored),
    )


def check_limits(plan: Plan, options: DeployOptions) -> None:
    """Hold a plan against what the user allows; raises what `check_spending` does, `LimitError` ``delete_limit``."""
    check_spending(plan.cost, options)
    change = plan.change
    there = len(change.keep) + len(change.replace) + len(change.remove)
    check_deletes(len(change.remove), there, options.max_delete)


def check_spending(cost: Cost, options: DeployOptions) -> None:
    """Hold a cost against what may be spent. Raises `LimitError` ``cost_limit``, and what `check_gas` does."""
    check_cost(cost, options.max_cost)
    check_gas(cost, options.gas_budget)


def check_gas(cost: Cost, budget: Mist | None) -> None:
    """Refuse a budget for each transaction that they cannot all keep to, before anything is paid.

    Raises `ConfigurationError` ``option_invalid`` with what is needed at least, by the estimate.
    """
    least = -(-cost.gas.units // max(1, cost.transactions))
    if budget is not None and budget.units < least:
        text = f"gas_budget: a transaction needs about {least} MIST, and {budget.units} were allowed"
        raise ConfigurationError("option_invalid", text, option="gas_budget", expected=least, found=budget.units)


def check_cost(cost: Cost, limit: Frost | None) -> None:
    """Raise `LimitError` ``cost_limit`` when storage costs more than `limit`."""
    if limit is not None and cost.frost.units > limit.units:
        text = f"the plan costs {cost.frost} for storage, and at most {limit} is allowed"
        raise LimitError("cost_limit", text, found=str(cost.frost.units), expected=str(limit.units))


def check_deletes(removed: int, there: int, share: float) -> None:
    """Raise `LimitError` ``delete_limit`` when more than `share` of a site's pages would go."""
    if there and removed > share * there:
        text = f"the plan removes {removed} of the site's {there} pages, and at most {share:.0%} is allowed"
        raise LimitError("delete_limit", text, found=removed, expected=share)
