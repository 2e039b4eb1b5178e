"""From an error to the number that the process ends with.

0 done · 1 failed for good · 2 bad input or usage, or a limit said no before anything was spent · 3 failed or stopped,
and the same command can go on later · 4 `plan --fail-on-change` found changes · 128 + n stopped by signal n
(129, 130, 143), can be resumed.
"""

from __future__ import annotations

from collections.abc import Mapping

from walrus_sdk.errors import WalrusError

__all__ = ["BAD_INPUT", "CHANGES", "DONE", "EXITS", "FAILED", "LATER", "exit_code", "goes_on"]

DONE, FAILED, BAD_INPUT, LATER, CHANGES = 0, 1, 2, 3, 4

_FAILED = """
    answer_too_large blob_blocked blob_id_mismatch chain_refused content_mismatch
    http_error internal move_abort range_not_satisfiable site_changed state_damaged state_replaced store_refused
    transaction_failed transaction_refused cancelled recoveries_exhausted
"""
_BAD_INPUT = """
    body_too_large chain_mismatch checkpoint_invalid confirmation_needed cost_limit delete_limit deployment_not_found
    extra_missing
    file_too_large file_unreadable folder_empty folder_missing header_invalid identifier_invalid
    illegal_move insecure_url key_invalid key_missing link_broken link_outside localnet_not_running
    localnet_other_genesis malformed name_ambiguous network_unknown no_index not_a_quilt object_not_found
    option_invalid path_conflict path_invalid publisher_missing redirect_refused route_invalid
    secret_found setting_invalid site_name_invalid site_not_found site_not_owned special_file state_newer
    state_older state_unsafe state_unwritable
    tls_failed token_refused too_many_patches transaction_too_large wrong_object_type
    version_not_found ws_resources_invalid content_lapsed
"""
_LATER = """
    attempts_exhausted bad_answer blob_expires_early blob_not_found blob_too_large blob_unavailable
    chain_unavailable congestion connect_failed connection_lost deadline_exceeded deadline_reached deployment_owned
    dns_failed effect_failed effect_unsettled fenced file_changed gas_ran_out insufficient_gas interrupted
    localnet_start_failed machine_exhausted object_locked plan_expired rate_limited row_changed send_failed
    service_unavailable signature_refused site_locked stale_object state_busy state_full state_io store_failed
    store_uncertified timeout_connect timeout_read timeout_send token_expired token_used transaction_expired
    transaction_open transaction_unknown verification_failed
"""

EXITS: Mapping[str, int] = {
    code: number
    for number, codes in ((FAILED, _FAILED), (BAD_INPUT, _BAD_INPUT), (LATER, _LATER))
    for code in codes.split()
}
"""The exit code of each error code; a test holds it against the catalogue."""


def exit_code(error: WalrusError) -> int:
    """Return the exit code of an error: 128 + the signal when one stopped the command."""
    signal = error.fields.get("signal")
    return 128 + signal if isinstance(signal, int) else EXITS[error.code]


def goes_on(error: WalrusError) -> bool:
    """Return whether the same command can go on later: as the service says, else by the exit code."""
    said = error.fields.get("resumable")
    return said if isinstance(said, bool) else exit_code(error) == LATER or exit_code(error) > 128
