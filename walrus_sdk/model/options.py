"""What a caller may ask of a deployment, and what he gets back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, TypedDict, get_args, get_origin, get_type_hints

from walrus_sdk.errors import ConfigurationError
from walrus_sdk.model.html import Facts, Shown
from walrus_sdk.model.plan import Cost
from walrus_sdk.model.units import DeploymentId, Digest, Frost, Mist, ObjectId

__all__ = ["MAX_BUDGET", "Asked", "DeployOptions", "DeployResult", "Limits", "RecoveryOptions", "Verify"]


_YEARS_S = 10 * 365 * 86_400.0
MAX_BUDGET = 50_000_000_000
"""MIST: the protocol's largest gas budget (``max_tx_gas``)."""


class Verify(Enum):
    """How much is read back after a deployment; the chain is always read back.

    `AUTO`: every file up to 200, else every new store, all HTML and a sample of 200.
    """

    AUTO = "auto"
    ALL = "all"
    SAMPLE = "sample"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RecoveryOptions:
    """How failures are met.

    `max_retries`: tries of one operation after the first. `retry_delay_s`: base of the exponential back-off with
    full jitter (seconds). `timeout_s`: one attempt of one operation (seconds), plus a second per MiB.
    `retry_budget`: retries over a whole deployment, as a share of its operations (at least 10 in all).
    `max_recoveries`: how often a deployment may be taken up again before it is given up. `cleanup_on_failure`: what a
    deployment that failed for good leaves behind is cleaned up; `preserve_partial_uploads` spares what it stored, so
    that the next plan uses it. `enable_rollback`: the version before is kept, and can be rolled back to.
    """

    max_retries: int = 3
    retry_delay_s: float = 5.0
    timeout_s: float = 300.0
    retry_budget: float = 0.5
    max_recoveries: int = 20
    cleanup_on_failure: bool = True
    enable_rollback: bool = True
    preserve_partial_uploads: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("max_retries", 0, 100),
            ("retry_delay_s", 0, 3600),
            ("timeout_s", 1, 86_400),
            ("retry_budget", 0, 100),
            ("max_recoveries", 0, 1000),
        ):
            value = getattr(self, name)
            numbers = int if name.startswith("max_") else (int, float)
            if not isinstance(value, numbers) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigurationError(
                    "option_invalid", f"{name}: expected {low} to {high}, found {value!r:.80}", option=name, found=value
                )
        for name in ("cleanup_on_failure", "enable_rollback", "preserve_partial_uploads"):
            if not isinstance(getattr(self, name), bool):
                text = f"{name}: expected True or False, found {getattr(self, name)!r:.80}"
                raise ConfigurationError("option_invalid", text, option=name)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upload may use at once.

    `requests`: store requests in flight, over all publishers. A default publisher serves 8 and buffers 8 more, so 16
    is the most that is never refused there; how many of them are used is found out while storing.
    `bodies`: bodies being sent to one publisher. Two keep an uplink busy (one begins as the other ends), and with few
    at a time the first stores begin their wait of seconds early. Counted for each publisher, because one that holds a
    body back in its queue must not hold up the others.
    `memory`: bytes of content held while names (blob ids) are computed. 256 MiB are two of the largest quilts
    (128 MiB), one for each core that encodes at once by default.

    Peak memory of an upload, beyond the process itself:
    ``max(memory, largest operation) + publishers x bodies x (chunk + 64 KiB) + requests x 50 KiB``, where a chunk is
    what is read of a file at once. What an encoder needs besides the content is its process's own.
    """

    requests: int = 16
    bodies: int = 2
    memory: int = 256 * 2**20

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                option = _LIMIT_OPTIONS[name]
                text = f"{option}: expected 1 to {most}, found {value!r:.80}"
                raise ConfigurationError("option_invalid", text, option=option, found=str(value))


_MOST = {"requests": 256, "bodies": 64, "memory": 2**40}
_LIMIT_OPTIONS = {"requests": "concurrency", "bodies": "max_bodies", "memory": "max_memory"}


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """What may be asked of a deployment; units in the names, `None` means "as the network or project file says".

    `max_cost` stops before anything is spent. `max_delete` is the share of a site's pages that may go (1.0: all).
    `deadline_s` stops resumably. `max_quilt_size` is in bytes of the assembled quilt. `concurrency`: most store
    requests in flight (default 16); `max_bodies`: most bodies being sent to one publisher (2); `max_memory`: bytes of
    content held while it is encoded (256 MiB); see `Limits`. `max_bandwidth` is the most bytes a second that all bodies
    of the session send together. `wal_price`, `sui_price`: USD per coin.
    `tags` are kept with the version. `gas_budget` is the most that one transaction may use, instead of what a
    simulation says. `rollback_on_bad_verify` goes back to the last version when wrong bytes are proven to be served.
    `keep_old_s` leaves replaced assets with a hash in their name on the site for so many seconds. `repack` stores pages
    anew whose old quilts are mostly waste (`planning.waste`).
    """

    site_name: str | None = None
    object_id: ObjectId | None = None
    epochs: int | None = None
    message: str = ""
    ws_resources: str | None = None
    ignore: tuple[str, ...] = ()
    allow_files: tuple[str, ...] = ()
    write_object_id: bool = False
    deletable: bool = False
    fresh: bool = False
    repack: bool = False
    verify: Verify = Verify.AUTO
    max_cost: Frost | None = None
    max_delete: float = 0.5
    max_quilt_size: int | None = None
    max_quilt_files: int | None = None
    concurrency: int | None = None
    max_bodies: int | None = None
    max_memory: int | None = None
    max_bandwidth: int | None = None
    deadline_s: float | None = None
    settle_s: float | None = None
    wal_price: Decimal | None = None
    sui_price: Decimal | None = None
    tags: tuple[str, ...] = ()
    gas_budget: Mist | None = None
    rollback_on_bad_verify: bool = False
    keep_old_s: float = 0.0
    recovery: RecoveryOptions = field(default_factory=RecoveryOptions)

    def __post_init__(self) -> None:
        for name, kinds in _kinds().items():
            value = getattr(self, name)
            is_text_list = not isinstance(value, tuple | list) or all(isinstance(one, str) for one in value)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds) or not is_text_list:
                wanted = f"{name}: expected {Asked.__annotations__[name].__forward_arg__}"
                text = f"{wanted}, found {type(value).__name__} {value!r:.80}"
                raise ConfigurationError("option_invalid", text, option=name)
        checks = (
            ("epochs", self.epochs is None or 1 <= self.epochs <= 1000, "1 to 1000"),
            ("max_delete", 0 <= self.max_delete <= 1, "a share from 0 to 1"),
            ("max_quilt_files", self.max_quilt_files is None or self.max_quilt_files >= 1, "at least 1"),
            ("max_quilt_size", self.max_quilt_size is None or self.max_quilt_size >= 1, "at least 1 byte"),
            ("max_bandwidth", self.max_bandwidth is None or self.max_bandwidth >= 1024, "at least 1024 bytes a second"),
            ("deadline_s", self.deadline_s is None or self.deadline_s > 0, "more than 0 seconds"),
            ("settle_s", self.settle_s is None or self.settle_s >= 0, "0 seconds or more"),
            ("keep_old_s", 0 <= self.keep_old_s <= _YEARS_S, "0 seconds to 10 years"),
            ("gas_budget", self.gas_budget is None or 0 < self.gas_budget.units <= MAX_BUDGET, "1 MIST to 50 SUI"),
            ("tags", all(tag and len(tag) <= 100 for tag in self.tags), "texts of 1 to 100 characters"),
            (
                "rollback_on_bad_verify",
                self.recovery.enable_rollback or not self.rollback_on_bad_verify,
                "enable_rollback with it",
            ),
        )
        for name, good, expected in checks:
            if not good:
                found = getattr(self, name)
                raise ConfigurationError(
                    "option_invalid", f"{name}: expected {expected}, found {found}", option=name, found=str(found)
                )
        self.limits()

    def limits(self, **otherwise: int | None) -> Limits:
        """Return the limits of an upload: what is asked for here, else `otherwise` (by option name), else the default.

        Raises `ConfigurationError` ``option_invalid``.
        """
        asked = {name: (getattr(self, option), otherwise.get(option)) for name, option in _LIMIT_OPTIONS.items()}
        chosen = {name: here if here is not None else there for name, (here, there) in asked.items()}
        return Limits(**{name: value for name, value in chosen.items() if value is not None})


class Asked(TypedDict, total=False):
    """The fields of `DeployOptions` as keyword arguments; a test keeps the two equal."""

    site_name: str | None
    object_id: ObjectId | None
    epochs: int | None
    message: str
    ws_resources: str | None
    ignore: tuple[str, ...]
    allow_files: tuple[str, ...]
    write_object_id: bool
    deletable: bool
    fresh: bool
    repack: bool
    verify: Verify
    max_cost: Frost | None
    max_delete: float
    max_quilt_size: int | None
    max_quilt_files: int | None
    concurrency: int | None
    max_bodies: int | None
    max_memory: int | None
    max_bandwidth: int | None
    deadline_s: float | None
    settle_s: float | None
    wal_price: Decimal | None
    sui_price: Decimal | None
    tags: tuple[str, ...]
    gas_budget: Mist | None
    rollback_on_bad_verify: bool
    keep_old_s: float
    recovery: RecoveryOptions


@cache
def _kinds() -> Mapping[str, tuple[type, ...]]:
    """Return the types that the options may have, as annotated; a whole number is a fraction, a list a tuple."""
    also = {float: (float, int), tuple: (tuple, list)}
    found = {}
    for name, hint in get_type_hints(Asked).items():
        kinds = [get_origin(one) or one for one in (get_args(hint) if isinstance(hint, UnionType) else (hint,))]
        found[name] = tuple(kind for one in kinds for kind in also.get(one, (one,)))
    return found


@dataclass(frozen=True, slots=True)
class DeployResult(Shown):
    """What a deployment came to.

    `version` counts the site's completed deployments in this home. `digests` are those of its transactions,
    `verified` says how much was read back (a `Verify` value, ``"chain"`` for a no-change deploy). `cost` is what was
    spent; a store whose answer was lost, and which was found, counts with its planned price.
    `possibly_paid_in_vain` names the blobs that were paid again after a lost answer.
    """

    deployment_id: DeploymentId
    site_id: ObjectId
    site_name: str
    url: str
    version: int
    digests: tuple[Digest, ...]
    cost: Cost
    verified: str
    changed: bool
    possibly_paid_in_vain: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def facts(self) -> tuple[str, Facts]:
        """Return what a notebook shows."""
        cost, changed = self.cost, "" if self.changed else " (nothing changed)"
        facts = [
            ("address", self.url),
            ("site", str(self.site_id)),
            ("version", f"{self.version}{changed}"),
            ("stored", f"{cost.stored_bytes:,} bytes in {cost.requests:,} stores for {cost.frost}"),
            ("stored already", f"{cost.skipped_bytes:,} bytes"),
            ("gas", f"{cost.gas} in {len(self.digests):,} transactions"),
            ("verified", self.verified),
            ("deployment", str(self.deployment_id)),
        ]
        facts += [("paid again", f"{name}: its first store may have been paid in vain")
                  for name in self.possibly_paid_in_vain]  # fmt: skip
        return f"Deployed {self.site_name}", [*facts, *(("warning", text) for text in self.warnings)]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON-ready fields, amounts as decimal text with the unit in the name."""
        return {
            "deployment_id": str(self.deployment_id),
            "site_id": str(self.site_id),
            "site_name": self.site_name,
            "url": self.url,
            "version": self.version,
            "cost_frost": str(self.cost.frost.units),
            "gas_mist": str(self.cost.gas.units),
            "stored_bytes": self.cost.stored_bytes,
            "skipped_bytes": self.cost.skipped_bytes,
            "stores": self.cost.requests,
            "digests": [str(digest) for digest in self.digests],
            "verified": self.verified,
            "changed": self.changed,
            "possibly_paid_in_vain": list(self.possibly_paid_in_vain),
            "warnings": list(self.warnings),
        }
