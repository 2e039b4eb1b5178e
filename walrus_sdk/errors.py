"""Every error of the package, on one page.

Lives here: the tree under `WalrusError`, and `CODES`, the table of stable error codes. A class says
*what kind of thing went wrong*; the code says exactly what; the code's row says what to do about it.
Must not live here: anything that imports another module of the package.

    WalrusError
    ├── NetworkError         a service could not be reached or did not answer in time
    ├── StorageError         Walrus refused or failed to store or serve bytes
    ├── BlockchainError      Sui refused or failed a transaction or a read
    ├── ValidationError      the folder, a file or ws-resources.json is not publishable
    ├── ConfigurationError   an option, setting, key or permission is missing or wrong
    ├── LimitError           a limit that the user set said no before anything was spent
    ├── StateError           the journal or the state folder is unusable
    ├── OwnershipError       another process owns the deployment or the site is locked
    ├── CodecError           bytes or text do not follow their format
    ├── ProtocolError        a service answered something that its contract does not allow
    ├── EffectFailed         an effect is known not to have happened
    ├── EffectUnknown        an effect may have happened; look it up by name before doing it again
    └── DeploymentStopped    stopped before the end, can be resumed by the same command
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

__all__ = [
    "CODES",
    "BlockchainError",
    "CodecError",
    "ConfigurationError",
    "DeploymentStopped",
    "EffectFailed",
    "EffectUnknown",
    "ErrorClass",
    "ErrorCode",
    "LimitError",
    "NetworkError",
    "OwnershipError",
    "ProtocolError",
    "StateError",
    "StorageError",
    "ValidationError",
    "WalrusError",
]


class ErrorClass(Enum):
    """What the program, or its user, can do about an error."""

    RETRY = "retry"
    LOOK_FIRST = "look_first"
    FIX_INPUT = "fix_input"
    FIX_WALLET = "fix_wallet"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of the catalogue: a stable code, its class, its meaning, and the next step in one sentence."""

    code: str
    error_class: ErrorClass
    meaning: str
    next_step: str


class WalrusError(Exception):
    """Base of all errors of this package.

    Fields: `code` (a key of `CODES`), `message` (one sentence: what was found), and `fields`
    (facts by name, such as ``path`` or ``expected``; plain values, no secrets).
    Raises `KeyError` when the code has no row: a code without a row is a bug here, not an operating error.
    """

    group: ClassVar[str] = "general"

    def __init__(self, code: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.row: ErrorCode = CODES[code]
        self.message = message
        self.fields: dict[str, Any] = fields

    @property
    def code(self) -> str:
        """The stable code, a key of `CODES`."""
        return self.row.code

    @property
    def error_class(self) -> ErrorClass:
        """What can be done about it."""
        return self.row.error_class

    @property
    def next_step(self) -> str:
        """One sentence that tells the user what to do next."""
        return self.row.next_step

    def to_dict(self) -> dict[str, Any]:
        """Return the error as JSON-ready fields: code, class, group, message, next_step and its own facts."""
        return {
            "code": self.code,
            "class": self.error_class.value,
            "group": self.group,
            "message": self.message,
            "next_step": self.next_step,
            **{k: v for k, v in self.fields.items() if v is not None},
        }

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.code, self.message, self.fields))


def _rebuild(cls: type[WalrusError], code: str, message: str, fields: dict[str, Any]) -> WalrusError:
    return cls(code, message, **fields)


class NetworkError(WalrusError):
    """A service could not be reached, or did not answer in time."""

    group = "network"


class StorageError(WalrusError):
    """Walrus refused or failed to store or serve bytes."""

    group = "storage"


class BlockchainError(WalrusError):
    """Sui refused or failed a transaction or a read."""

    group = "blockchain"


class ValidationError(WalrusError):
    """The folder, a file or ws-resources.json is not publishable."""

    group = "validation"


class ConfigurationError(WalrusError):
    """An option, setting, key or permission is missing or wrong."""

    group = "configuration"


class LimitError(WalrusError):
    """A limit that the user set said no before anything was spent."""

    group = "limit"


class StateError(WalrusError):
    """The journal or the state folder is unusable."""

    group = "state"


class OwnershipError(WalrusError):
    """Another process owns the deployment, or the site is locked."""

    group = "ownership"


class CodecError(WalrusError):
    """Bytes or text do not follow their format."""

    group = "codec"


class ProtocolError(WalrusError):
    """A service answered something that its contract does not allow."""

    group = "network"


class EffectFailed(WalrusError):
    """An effect is known not to have happened; `cause` says why."""

    group = "effect"

    def __init__(self, code: str, message: str, *, cause: WalrusError | None = None, **fields: Any) -> None:
        super().__init__(code, message, **fields)
        self.cause = cause


class EffectUnknown(WalrusError):
    """An effect may have happened; look it up by its name before doing it again."""

    group = "effect"

    def __init__(self, code: str, message: str, *, cause: WalrusError | None = None, **fields: Any) -> None:
        super().__init__(code, message, **fields)
        self.cause = cause


class DeploymentStopped(WalrusError):
    """A deployment stopped before its end and can be resumed by the same command."""

    group = "deployment"


_R, _L, _I, _W, _G = (
    ErrorClass.RETRY,
    ErrorClass.LOOK_FIRST,
    ErrorClass.FIX_INPUT,
    ErrorClass.FIX_WALLET,
    ErrorClass.GIVE_UP,
)

# One row a code: (code, class, meaning, next step). Grouped as the classes above; a code is never re-used or renamed.
_ROWS: tuple[tuple[str, ErrorClass, str, str], ...] = (
    # network
    (
        "connect_failed",
        _R,
        "no connection to the service",
        "Check the network and the service's URL; it is tried again.",
    ),
    (
        "dns_failed",
        _R,
        "the service's name could not be resolved",
        "Check the host name in the URL and the name server.",
    ),
    ("tls_failed", _I, "the TLS certificate was refused", "Check the URL and the certificate; pass your own CA file."),
    ("timeout_connect", _R, "no connection within the limit", "Check the network; raise the timeout if it is slow."),
    ("timeout_send", _R, "the request could not be sent in time", "Check the uplink; raise the timeout if it is slow."),
    ("send_failed", _R, "the connection ended before the request was whole", "Nothing was done; it is tried again."),
    ("timeout_read", _L, "no answer within the limit", "The outcome is looked up by name before anything is repeated."),
    ("deadline_exceeded", _R, "the total time for this call ran out", "Run it again, or raise the deadline."),
    ("connection_lost", _L, "the connection broke before the answer", "The outcome is looked up by name first."),
    ("rate_limited", _R, "the service asks for fewer requests", "Wait; the pace is lowered by itself."),
    ("service_unavailable", _R, "the service is not available", "Wait, or configure another endpoint."),
    ("bad_answer", _L, "the answer does not follow the protocol", "Check the URL: a login page or proxy may answer."),
    ("answer_too_large", _G, "the answer is larger than allowed", "Check the URL, or use another endpoint."),
    (
        "redirect_refused",
        _I,
        "the service redirects to another place",
        "Set the URL to the place that it redirects to.",
    ),
    ("insecure_url", _I, "plain http is allowed on loopback only", "Use an https URL."),
    ("http_error", _G, "the service answered with an unexpected HTTP status", "Check the URL and the service's log."),
    # storage
    ("blob_id_mismatch", _G, "the publisher answered another blob id than computed", "Use another publisher."),
    ("store_refused", _G, "the publisher refused the request", "Read the publisher's reason in the message."),
    ("store_failed", _L, "the publisher failed while storing", "The blob is looked up before it is stored again."),
    ("store_uncertified", _L, "registered and paid, not certified", "The blob is looked up before it is stored again."),
    ("body_too_large", _I, "larger than the publisher accepts", "Lower --max-quilt-size or use another publisher."),
    ("file_too_large", _I, "larger than a Walrus blob can be", "Split the file or publish without it."),
    ("blob_blocked", _G, "the storage nodes refuse this content", "Publish without this file."),
    ("blob_not_found", _R, "the aggregator does not know the blob", "Wait for propagation, or use another aggregator."),
    ("blob_unavailable", _R, "the blob cannot be read just now", "Wait, or use another aggregator."),
    ("blob_too_large", _R, "larger than this aggregator serves", "Use another aggregator."),
    (
        "blob_expires_early",
        _I,
        "stored and paid, but it ends before the plan asks",
        "Lower --epochs, or use another publisher; what is stored is kept.",
    ),
    ("range_not_satisfiable", _G, "the byte range lies outside the blob", "Ask for a range inside the blob."),
    ("content_mismatch", _G, "served bytes differ from the plan", "Use another aggregator; run verify again."),
    ("token_used", _R, "the publisher's one-time token was used before", "Give a fresh token for each request."),
    ("token_expired", _R, "the publisher's token has expired", "Give a fresh token for each request."),
    ("token_refused", _I, "the publisher refused the token", "Give a valid token for this publisher."),
    ("verification_failed", _R, "the site is not served as planned", "Run verify again; deploy again if it stays."),
    # blockchain
    ("chain_mismatch", _I, "the node serves another chain", "Check --network and the node's URL."),
    ("chain_refused", _G, "the node refused the request", "Read the node's reason in the message."),
    ("chain_unavailable", _R, "the node cannot answer just now", "Wait, or configure another node."),
    ("transaction_unknown", _L, "the transaction's outcome is not known yet", "It is looked up by its digest first."),
    (
        "transaction_open",
        _L,
        "a transaction was signed elsewhere, and its outcome is not known",
        "Resume where it was signed, or wait until it has expired and run the same command again.",
    ),
    ("transaction_failed", _G, "executed and failed; gas was charged", "Read the reason; run the command again."),
    ("transaction_refused", _G, "refused before execution; nothing happened", "Read the reason in the message."),
    ("transaction_expired", _R, "expired before it was executed", "Run the same command again."),
    ("transaction_too_large", _I, "larger than a transaction can be", "Shorten the paths or headers it names."),
    ("move_abort", _G, "a Move call aborted; gas was charged", "Run the same command again: it plans anew."),
    ("stale_object", _R, "an object has a newer version", "It is read again and the step rebuilt."),
    ("object_locked", _L, "another transaction holds an object", "Wait for that transaction, or the epoch's end."),
    ("insufficient_gas", _W, "not enough SUI for gas", "Send SUI to the address that the message names."),
    ("gas_ran_out", _R, "it needed more gas than its budget", "It is tried once more with a higher budget."),
    ("congestion", _R, "cancelled because of congestion", "It is tried again with a higher gas price."),
    ("object_not_found", _I, "no such object on this chain", "Check the id and the network."),
    ("site_not_found", _I, "no such site on this chain", "Check the id or name, and the network."),
    ("site_not_owned", _W, "the site belongs to another address", "Use the owner's key."),
    ("site_changed", _G, "the site changed on chain since the plan", "Run the command again to plan anew."),
    ("signature_refused", _W, "the signer refused or failed", "Check the key or the external signer."),
    ("wrong_object_type", _I, "the object has another type", "Check the id: it must name a Walrus Site."),
    # validation
    ("folder_missing", _I, "the folder does not exist", "Build the site first, or name the right folder."),
    ("folder_empty", _I, "there is nothing to publish", "Build the site first, or name the right folder."),
    ("no_index", _I, "no index.html and no rule for it", "Add index.html, or a route for /index.html."),
    ("file_unreadable", _I, "a file or folder cannot be read", "Make it readable, or ignore it."),
    ("special_file", _I, "not a regular file, folder or link", "Remove it, or ignore it."),
    ("link_outside", _I, "a link leads out of the folder", "Copy the target in, or ignore the link."),
    ("link_broken", _I, "a link leads nowhere or in a circle", "Mend or remove the link, or ignore it."),
    ("file_changed", _I, "a file changed while it was deployed", "Run the command again when the build is done."),
    ("path_invalid", _I, "a path cannot be a site path", "Rename the file."),
    ("path_conflict", _I, "two files have paths that differ only in form", "Rename one of them."),
    ("secret_found", _I, "a file looks like a secret", "Remove it, or pass --allow-file PATH if it is meant."),
    ("ws_resources_invalid", _I, "ws-resources.json is not valid", "Mend the line and key that the message names."),
    ("header_invalid", _I, "an HTTP header is not valid", "Mend the header in ws-resources.json."),
    (
        "content_lapsed",
        _I,
        "content of that version is not stored any more",
        "Give a folder that has the same files with --from.",
    ),
    ("route_invalid", _I, "a route or redirect is not valid", "Mend the rule in ws-resources.json."),
    ("site_name_invalid", _I, "not a valid site name", "Give a name of 1 to 100 printable characters."),
    # configuration
    ("option_invalid", _I, "an option has a value that cannot be used", "Mend the option that the message names."),
    ("setting_invalid", _I, "a setting has a value that cannot be used", "Mend the setting that the message names."),
    ("network_unknown", _I, "no network of that name", "Use local, testnet, mainnet, or set its URLs."),
    ("publisher_missing", _I, "this network has no public publisher", "Set a publisher URL with --publisher."),
    ("extra_missing", _I, "packages of an extra are not installed", "Install the extra that the message names."),
    ("key_missing", _W, "no key to sign with", "Set SUI_PRIVATE_KEY, or create a Sui keystore."),
    ("key_invalid", _W, "the key or keystore cannot be used", "Check the key's form and the file's owner and mode."),
    ("name_ambiguous", _I, "several sites have this name", "Name one by --object-id."),
    ("version_not_found", _I, "no such version of this site in this home", "Run `walrus-sdk versions SITE`."),
    ("deployment_not_found", _I, "no such deployment in this home", "Run `walrus-sdk list`."),
    # limits
    ("cost_limit", _I, "the plan costs more than allowed", "Raise --max-cost, or publish less."),
    ("delete_limit", _I, "the plan removes more pages than allowed", "Raise --max-delete if it is meant."),
    ("confirmation_needed", _I, "needs a yes, and nobody can be asked", "Pass --yes."),
    # state
    ("state_unwritable", _I, "the state folder cannot be written", "Mend its owner and mode, or set another home."),
    ("state_unsafe", _I, "the state folder may be changed by others", "Mend its owner and mode, or set another home."),
    ("state_full", _R, "no room on the disk for the state", "Make room, then run the same command again."),
    ("state_replaced", _G, "the journal was removed or replaced", "Put it back; nothing more was sent."),
    ("state_damaged", _G, "the journal is damaged", "Keep the file; restore it from a copy."),
    (
        "state_older",
        _I,
        "the journal was written by an older version",
        "Run `walrus-sdk list`: it brings it up to date.",
    ),
    ("state_newer", _I, "the journal was written by a newer version", "Upgrade walrus-sdk."),
    ("state_io", _R, "the disk failed a read or write", "Check the disk, then run the same command again."),
    ("state_busy", _R, "another process holds the journal", "Let it finish, or end it; then run again."),
    ("checkpoint_invalid", _I, "not a checkpoint of this tool", "Use a file from the checkpoints folder."),
    # ownership
    ("deployment_owned", _R, "another process works on this deployment", "Wait for it, or cancel it there."),
    ("fenced", _G, "another process took the deployment over", "Look at it with `walrus-sdk status`."),
    ("site_locked", _I, "the site is locked against deploys", "Run `walrus-sdk unlock SITE` when it may change again."),
    ("row_changed", _R, "another deployment was faster", "Run the same command again."),
    ("illegal_move", _I, "the deployment's status does not allow this", "Look at it with `walrus-sdk status`."),
    # codecs
    ("malformed", _I, "bytes or text do not follow their format", "Check where the value came from."),
    ("identifier_invalid", _I, "not a valid quilt identifier", "Give 1 to 65531 bytes, no control characters."),
    ("too_many_patches", _I, "more files than a quilt can hold", "Use more quilts."),
    ("not_a_quilt", _I, "the blob is not a quilt", "Check the blob id."),
    # effects
    ("effect_failed", _R, "the effect did not happen", "It is tried again by itself."),
    ("effect_unsettled", _L, "the effect may still complete", "Run the same command again in a while."),
    # deployment
    ("deadline_reached", _R, "the deadline passed; what is done is kept", "Run the same command again."),
    ("plan_expired", _R, "the storage that was planned would be over", "Run the same command again: it plans anew."),
    ("interrupted", _R, "interrupted; what is done is kept", "Run the same command again."),
    ("cancelled", _G, "cancelled by request; what is stored is kept", "Deploy again; it uses what is stored."),
    (
        "recoveries_exhausted",
        _G,
        "taken up as often as allowed, and given up",
        "Read the reasons with `walrus-sdk status`; deploy again, it uses what is stored.",
    ),
    ("attempts_exhausted", _R, "tried as often as allowed", "Run the same command again later."),
    # local network
    ("localnet_not_running", _I, "the embedded local network does not run", "Run `walrus-sdk localnet start`."),
    ("localnet_start_failed", _R, "the embedded local network did not start", "Read the log file that it names."),
    ("localnet_other_genesis", _I, "the local network was made with other values", "Run `walrus-sdk localnet reset`."),
    (
        "machine_exhausted",
        _R,
        "not enough memory, threads, processes or open files",
        "Raise the limit (see `ulimit -a`) or lower --concurrency, then run the same command again.",
    ),
    ("internal", _G, "a bug in walrus-sdk", "Please report it with the message."),
)

CODES: Mapping[str, ErrorCode] = {row[0]: ErrorCode(*row) for row in _ROWS}
assert len(CODES) == len(_ROWS), "an error code stands twice in the table"
