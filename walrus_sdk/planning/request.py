"""The request digest: what was asked for, apart from when and at what price. Asking the same again resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Entry, Plan
from walrus_sdk.model.units import Frost, ObjectId, SuiAddress
from walrus_sdk.planning.plan_json import canonical, dump
from walrus_sdk.sites.ws_resources import WsResources

__all__ = ["asked_again", "asked_options", "frozen_options", "is_answered", "request_digest", "thawed"]


def asked_options(options: DeployOptions) -> dict[str, Any]:
    """Return the options that decide what a deployment does (not how fast, how loud or how patient it is)."""
    return {
        "epochs": options.epochs,
        "deletable": options.deletable,
        "max_quilt_size": options.max_quilt_size,
        "max_quilt_files": options.max_quilt_files,
        "keep_old_s": options.keep_old_s,
        "repack": options.repack,
    }


def frozen_options(options: DeployOptions) -> dict[str, Any]:
    """Return the options that a plan keeps: whoever goes on with it means the same, and plans anew with the same."""
    return {
        **asked_options(options),
        "site_name": options.site_name,
        "ws_resources": options.ws_resources,
        "ignore": list(options.ignore),
        "allow_files": list(options.allow_files),
        "write_object_id": options.write_object_id,
        "rollback_on_bad_verify": options.rollback_on_bad_verify,
        "max_cost": options.max_cost.units if options.max_cost is not None else None,
    }


def thawed(options: DeployOptions, kept: Mapping[str, Any]) -> DeployOptions:
    """Return `options` with what a plan has decided (`kept`); a limit that is given now wins."""
    most = kept.get("max_cost")
    return replace(
        options,
        deletable=bool(kept.get("deletable", False)),
        write_object_id=options.write_object_id or bool(kept.get("write_object_id")),
        rollback_on_bad_verify=options.recovery.enable_rollback
        and (options.rollback_on_bad_verify or bool(kept.get("rollback_on_bad_verify"))),
        max_cost=Frost(most) if options.max_cost is None and most is not None else options.max_cost,
    )


def asked_again(options: DeployOptions, plan: Plan) -> DeployOptions:
    """Return the options with which a deployment is planned anew: what was asked for then, for the same site."""
    kept: Mapping[str, Any] = plan.options
    target = plan.target
    again: dict[str, Any] = {
        name: kept.get(name) for name in ("epochs", "max_quilt_size", "max_quilt_files", "ws_resources")
    }
    again |= {name: tuple(kept.get(name) or ()) for name in ("ignore", "allow_files")}
    again["site_name"] = kept.get("site_name") or (target.name if target.site_id is None else None)
    again["object_id"] = target.site_id
    again["keep_old_s"] = kept.get("keep_old_s") or 0.0
    again["repack"] = bool(kept.get("repack"))
    return replace(options, message=options.message or plan.message, tags=options.tags or plan.tags, **again)


def request_digest(
    entries: Mapping[str, Entry],
    rules: WsResources,
    options: DeployOptions,
    *,
    chain_id: str,
    owner: SuiAddress,
    site_id: ObjectId | None,
    name: str,
) -> str:
    """Return the SHA-256 (hex) of a request: files, rules, options, chain, owner, site; no epoch, price or version."""
    asked = {
        "entries": dump(entries),
        "routes": dump(rules.routes),
        "redirects": dump(rules.redirects),
        "metadata": dump(rules.metadata),
        "options": asked_options(options),
        "chain": chain_id,
        "owner": str(owner),
        "site": str(site_id) if site_id is not None else name,
    }
    return hashlib.sha256(canonical(asked)).hexdigest()


def is_answered(plan: Plan, entries: Mapping[str, Entry], rules: WsResources, options: DeployOptions) -> bool:
    """Return whether a plan answers a request with these files, rules and options, by the site's name or by its id."""
    target = plan.target
    return any(
        plan.request_digest
        == request_digest(
            entries, rules, options, chain_id=plan.chain_id, owner=target.owner, site_id=site_id, name=target.name
        )
        for site_id in (None, target.site_id)
    )
