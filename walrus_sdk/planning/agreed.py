"""A plan that was agreed to, held against the one that is needed once an older deployment has come to its end."""

from __future__ import annotations

from collections.abc import Mapping

from walrus_sdk.model.plan import Plan

__all__ = ["beyond"]


def beyond(agreed: Plan, now: Plan) -> str:
    """Return in words what `now` does that `agreed` did not say; empty when it says all of it.

    Both answer the same request, so `now` may do less: what an older deployment has done already.
    """
    said = _said(agreed)
    more = sorted(name for name, what in _said(now).items() if name not in said or said[name] != what)
    if more:
        names = ", ".join(more[:5]) + (", …" if len(more) > 5 else "")
        return f"{names} would change or stay in a way that the plan did not say"
    if now.cost.frost.units > agreed.cost.frost.units:
        return f"it would cost {now.cost.frost} instead of {agreed.cost.frost}"
    return ""


def _said(plan: Plan) -> Mapping[str, object]:
    """Return what a plan makes of each page and table: whether a page is there, old bytes that stay, a table's values.

    New bytes are left out: they follow from the request.
    """
    change = plan.change
    tables = {name: getattr(change, name) for name in ("name", "metadata", "routes", "redirects")}
    return {
        **dict.fromkeys((*change.add, *change.replace), True),
        **dict.fromkeys(change.remove, False),
        **{path: plan.base[path].blob_hash for path in plan.retiring},
        **{name: value for name, value in tables.items() if value is not None},
    }
