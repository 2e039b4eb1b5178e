"""A plan that was agreed to, held against the one that is needed once an older deployment has come to its end."""

from __future__ import annotations

from walrus_sdk.model.plan import Plan

__all__ = ["beyond"]


def beyond(agreed: Plan, now: Plan) -> str:
    """Return in words what `now` does that `agreed` did not say; empty when it says all of it.

    Both lead to the same site, so `now` may do less: what an older deployment has done already.
    """
    more = sorted(_touched(now) - _touched(agreed))
    if more:
        return f"{', '.join(more[:5])}{', …' if len(more) > 5 else ''} would change too"
    if now.entries != agreed.entries:
        return "the files are not the same"
    if now.cost.frost.units > agreed.cost.frost.units:
        return f"it would cost {now.cost.frost} instead of {agreed.cost.frost}"
    return ""


def _touched(plan: Plan) -> frozenset[str]:
    """Return every page and every table that a plan writes or removes."""
    change = plan.change
    tables = [name for name in ("name", "metadata", "routes", "redirects") if getattr(change, name) is not None]
    return frozenset((*change.add, *change.replace, *change.remove, *tables))
