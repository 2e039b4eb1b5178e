"""The request digest: what was asked for, apart from when and at what price. Asking the same again resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from walrus_sdk.model.options import DeployOptions
from walrus_sdk.model.plan import Entry
from walrus_sdk.model.units import ObjectId, SuiAddress
from walrus_sdk.planning.plan_json import canonical, dump
from walrus_sdk.sites.ws_resources import WsResources

__all__ = ["asked_options", "request_digest"]


def asked_options(options: DeployOptions) -> dict[str, Any]:
    """Return the options that decide what a deployment does (not how fast, how loud or how patient it is)."""
    return {
        "epochs": options.epochs,
        "deletable": options.deletable,
        "max_quilt_size": options.max_quilt_size,
        "max_quilt_files": options.max_quilt_files,
    }


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
