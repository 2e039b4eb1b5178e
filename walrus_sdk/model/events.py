"""The types of events that a deployment's history is made of; a feature adds a line here and a fold, no method."""

from __future__ import annotations

__all__ = [
    "CHECKPOINT",
    "DEPLOYMENT_CONTINUED",
    "DEPLOYMENT_DROPPED",
    "DEPLOYMENT_IMPORTED",
    "DEPLOYMENT_PAUSED",
    "DEPLOYMENT_PLANNED",
    "DEPLOYMENT_STATUS",
    "DEPLOYMENT_TAKEN_UP",
    "EFFECT_DONE",
    "EFFECT_FAILED",
    "EFFECT_INTENT",
    "EFFECT_RELEASED",
    "EFFECT_UNKNOWN",
    "NOTE",
    "SECOND_PAYMENT_POSSIBLE",
    "SITE_ADOPTED",
    "SITE_LOCKED",
    "SITE_VERSION",
    "STORE_NAMED",
    "TRANSACTION_DEAD",
    "TRANSACTION_SIGNED",
    "VERIFIED",
]

DEPLOYMENT_PLANNED = "deployment.planned"
"""The plan is frozen: plan digest, request digest, counts, bytes, cost and its cap, epochs, seconds of the scan."""
DEPLOYMENT_STATUS = "deployment.status"
"""The status moved: from, to, and a reason or error where there is one."""
DEPLOYMENT_IMPORTED = "deployment.imported"
"""It was taken over from a checkpoint file: the file's moment and last event."""
DEPLOYMENT_TAKEN_UP = "deployment.taken_up"
"""A later owner goes on with it: incarnation."""
DEPLOYMENT_PAUSED = "deployment.paused"
"""Its owner has heard a pause: no effect begins from here on. Reason."""
DEPLOYMENT_CONTINUED = "deployment.continued"
"""Its owner has heard that it is to go on."""
DEPLOYMENT_DROPPED = "deployment.dropped"
"""Its history is cleaned up: this line is in the log only."""
STORE_NAMED = "store.named"
"""A store operation's blob id is known: operation, blob_id."""
TRANSACTION_SIGNED = "transaction.signed"
"""A transaction is signed and can be sent: digest, step."""
TRANSACTION_DEAD = "transaction.dead"
"""A transaction is proven never to happen: digest, code."""
EFFECT_INTENT = "effect.intent"
"""An effect is about to be done: kind, name, operation, attempt."""
EFFECT_RELEASED = "effect.released"
"""Its last bytes may have left."""
EFFECT_DONE = "effect.done"
"""It is known to have happened: how (done or found), and the outcome."""
EFFECT_FAILED = "effect.failed"
"""It is known not to have happened: code and message."""
EFFECT_UNKNOWN = "effect.unknown"
"""Its answer was lost: code and message."""
SECOND_PAYMENT_POSSIBLE = "second_payment_possible"
"""It was not found after the settle time and is done again: name."""
SITE_ADOPTED = "site.adopted"
"""A site that was not made from this home is meant: site_id, how; where only that is recorded, the Walrus epoch."""
SITE_LOCKED = "site.locked"
"""The site takes no deploy from now on: reason."""
SITE_VERSION = "site.version"
"""A version of the site is complete: number, digest."""
CHECKPOINT = "checkpoint"
"""A checkpoint was written: number, moment, file."""
VERIFIED = "verified"
"""The site was read back: how much."""
NOTE = "note"
"""Something that the user should know: message."""
