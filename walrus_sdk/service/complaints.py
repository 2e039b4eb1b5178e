"""The four complaints that users of the original design met most, with what to check: data for the CLI and a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from walrus_sdk.errors import CODES, WalrusError

__all__ = ["COMPLAINTS", "Complaint", "about", "table"]


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a user says, the error codes behind it, and the checks to make, first things first."""

    text: str
    codes: tuple[str, ...]
    checks: tuple[str, ...]


COMPLAINTS: tuple[Complaint, ...] = (
    Complaint(
        "Deployment cannot be resumed",
        ("illegal_move", "recoveries_exhausted", "checkpoint_invalid", "plan_expired", "fenced", "state_damaged"),
        (
            "`walrus-sdk status ID` says how far it is and why it ended; what is completed or cancelled stays so.",
            "`walrus-sdk list` shows whether this is the home that it was begun in (WALRUS_DEPLOYMENT_HOME).",
            "On another machine, `walrus-sdk resume --from-checkpoint FILE` goes on from a file of the home's "
            "checkpoints folder.",
            "Deploy the folder again: what is stored is found by its content and not paid twice.",
        ),
    ),
    Complaint(
        "Network timeout during upload",
        ("timeout_connect", "timeout_send", "timeout_read", "deadline_exceeded", "connection_lost", "effect_unsettled"),
        (
            "Run the same command again: a store whose answer was lost is looked up before it is repeated.",
            "Check the connection, and that the publisher's address answers from this machine.",
            "On a slow line raise --timeout, lower --concurrency, or make quilts smaller with --max-quilt-size.",
            "Name further publishers with --publisher; they work side by side.",
        ),
    ),
    Complaint(
        "Blob validation failed",
        ("blob_id_mismatch", "content_mismatch", "verification_failed", "store_uncertified", "blob_expires_early"),
        (
            "`walrus-sdk verify SITE` reads the site again: a cache may have kept an old answer for a while.",
            "Read with another --aggregator; when that one serves the right bytes, the first is at fault.",
            "`walrus-sdk blob-id FILE` computes the id here; do not trust a publisher that answers another one.",
            "Check that no build writes into the folder while it is deployed.",
        ),
    ),
    Complaint(
        "Insufficient gas for transaction",
        ("insufficient_gas", "gas_ran_out"),
        (
            "Send SUI to the address that the message names; on testnet a faucet gives some.",
            "`walrus-sdk plan FOLDER` shows about how much gas is needed, before anything is spent.",
            "Check --gas-budget: it is the most that one transaction may use, and that much must be there.",
            "Then run the same command again: it goes on, and what is stored is kept.",
        ),
    ),
)

_BY_CODE: Mapping[str, Complaint] = {code: complaint for complaint in COMPLAINTS for code in complaint.codes}
assert set(_BY_CODE) <= set(CODES)
assert len(_BY_CODE) == sum(len(complaint.codes) for complaint in COMPLAINTS), "a code belongs to one complaint"


def about(error: BaseException) -> Complaint | None:
    """Return the complaint that an error is, or that what caused it is.

    What another verb than resuming is refused for (the field ``verb``) is no complaint.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, WalrusError) and seen.code in _BY_CODE and "verb" not in seen.fields:
            return _BY_CODE[seen.code]
        seen = seen.__cause__
    return None


def table(complaints: Iterable[Complaint] = COMPLAINTS) -> str:
    """Return the complaints as a Markdown table, for the page on troubleshooting."""
    rows = ["| complaint | error codes | checks |", "| --- | --- | --- |"]
    for one in complaints:
        codes = ", ".join(f"`{code}`" for code in one.codes)
        checks = "<br>".join(f"{number}. {check}" for number, check in enumerate(one.checks, 1))
        rows.append(f"| **{one.text}** | {codes} | {checks} |")
    return "\n".join(rows) + "\n"
