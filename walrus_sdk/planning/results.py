"""A deployment's result as it was recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from walrus_sdk.model.options import DeployResult
from walrus_sdk.model.plan import Cost
from walrus_sdk.model.units import DeploymentId, Digest, Frost, Mist, ObjectId

__all__ = ["load_result"]


def load_result(data: Mapping[str, Any]) -> DeployResult:
    """Return the result that `DeployResult.to_json` made `data` of."""
    return DeployResult(
        deployment_id=DeploymentId(data["deployment_id"]),
        site_id=ObjectId.parse(data["site_id"]),
        site_name=data["site_name"],
        url=data["url"],
        version=data["version"],
        digests=tuple(Digest.parse(text) for text in data["digests"]),
        cost=Cost(
            frost=Frost(int(data["cost_frost"])),
            gas=Mist(int(data["gas_mist"])),
            requests=data["stores"],
            transactions=len(data["digests"]),
            stored_bytes=data["stored_bytes"],
            skipped_bytes=data["skipped_bytes"],
        ),
        verified=data["verified"],
        changed=data["changed"],
        possibly_paid_in_vain=tuple(data["possibly_paid_in_vain"]),
        warnings=tuple(data["warnings"]),
    )
