"""The frames: a schema each. What a column means stands here once; the reference page is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from walrus_sdk.errors import CODES, ErrorClass
from walrus_sdk.frames.schema import (
    Column,
    Kind,
    Lookup,
    Schema,
    amount,
    category,
    count,
    duration,
    flag,
    number,
    real,
    text,
    time,
)
from walrus_sdk.frames.spans import SPANS
from walrus_sdk.model.alerts import Severity
from walrus_sdk.model.deployment import EffectState, Status
from walrus_sdk.model.network import EPOCH_S, LOCAL, MAINNET, TESTNET
from walrus_sdk.model.progress import Phase, Progress

__all__ = ["SCHEMAS"]

_NETWORKS = (LOCAL.name, TESTNET.name, MAINNET.name)
_VERBS = ("deploy", "rollback", "cleanup", "adopt", "forget")
_KINDS = ("store", "transaction")
_CODES = tuple(CODES)


def _lasted(meaning: str = "from start to end") -> Column:
    return duration("duration", "", meaning)


def _case(expression: str, values: Mapping[str, str]) -> str:
    """Return SQL that maps texts that stand in the code; values are SQL."""
    return f"case {expression} " + " ".join(f"when '{key}' then {value}" for key, value in values.items()) + " end"


_PLANNED = "json_extract(p.data, '$.{}')"

_DEPLOYMENTS = Schema(
    "deployments",
    "one run of a verb that changes a site",
    "deployments",
    "deployments d",
    (
        text("deployment", "d.id", "the deployment's id"),
        category("verb", "d.verb", "what it is a run of, or a record of", _VERBS),
        category("status", "d.status", "where it stands", tuple(status.value for status in Status)),
        category("network", "d.network", "the network's name", _NETWORKS),
        text("chain", "d.chain", "the chain's id: first 4 bytes of its genesis digest in hex"),
        text("owner", "d.owner", "Sui address of the site's owner"),
        text("site_name", "d.site_name", "the site's name"),
        text("site_id", "d.site_id", "object id of the site, once it is known"),
        text("url", "d.url", "where the site is served"),
        count("version", "d.version", "the version that it published"),
        text("message", "nullif(d.message, '')", "what the user said of it"),
        text("commit", "nullif(d.commit_id, '')", "the commit that was deployed"),
        text("reason", "d.reason", "why it failed, stopped or was cancelled"),
        flag("can_resume", "d.can_resume", "whether it can be taken up again"),
        time("start", "d.created_ms", "when it was begun"),
        time("end", "d.finished_ms", "when it came to its end; missing while it has none"),
        _lasted(),
        number("owners", "coalesce(i.owners, 0)", "processes that owned it, one after the other"),
        number("files", "coalesce(f.files, 0)", "files of the site that it leads to"),
        number("bytes", "coalesce(f.bytes, 0)", "bytes of these files"),
        number("stored_files", "coalesce(f.stored, 0)", "files whose content is stored"),
        number("new_files", "coalesce(g.files, 0)", "files that it had to store"),
        number("new_bytes", "coalesce(g.bytes, 0)", "bytes of these"),
        number("operations", "coalesce(o.operations, 0)", "effects: stores and transactions"),
        number("attempts", "coalesce(a.attempts, 0)", "tries of them"),
        number("failed_attempts", "coalesce(a.failed, 0)", "tries that failed or whose answer was lost"),
        amount("planned_frost", _PLANNED.format("cost_frost"), "what storage was planned to cost, in FROST"),
        amount("paid_frost", "coalesce(a.frost, '0')", "what was paid, or may have been (FROST)"),
        amount("doubtful_frost", "coalesce(a.doubtful, '0')", "of it, what rests on tries without an answer"),
        amount("planned_mist", _PLANNED.format("gas_mist"), "what gas was planned to cost, in MIST"),
        amount("gas_mist", "coalesce(o.gas, '0')", "what gas its transactions cost, in MIST"),
    ),
    "d.id",
    "d.rowid",
    joins=(
        ("p", "left join events p on p.deployment = d.id and p.n = 1 and p.type = 'deployment.planned'"),
        (
            "f",
            """left join (
            select deployment, count(*) files, sum(size) bytes, sum(state = 'stored') stored
            from entries where :mine group by deployment) f on f.deployment = d.id""",
        ),
        (
            "g",
            """left join (
            select deployment, count(*) files, sum(size) bytes
            from entries where :mine and operation is not null group by deployment) g on g.deployment = d.id""",
        ),
        (
            "a",
            """left join (
            select deployment, count(*) attempts, sum(outcome in ('failed', 'unknown')) failed,
                group_concat(iif(outcome is 'failed', 0, frost), ' ') frost,
                group_concat(iif(outcome in ('failed', 'done'), 0, frost), ' ') doubtful
            from attempts where :mine group by deployment) a on a.deployment = d.id""",
        ),
        (
            "o",
            """left join (
            select deployment, count(*) operations, group_concat(json_extract(outcome, '$.gas'), ' ') gas
            from operations where :mine group by deployment) o on o.deployment = d.id""",
        ),
        (
            "i",
            """left join (
            select deployment, count(*) owners from incarnations where :mine group by deployment) i
            on i.deployment = d.id""",
        ),
    ),
)

_FILES = Schema(
    "files",
    "one file of one deployment",
    "entries",
    "entries e",
    (
        text("deployment", "e.deployment", "the deployment's id"),
        text("path", "e.path", "where the site serves it"),
        number("size", "e.size", "bytes"),
        text("sha256", "e.sha256", "SHA-256 of its content in hex"),
        category("state", "e.state", "whether its content is stored", ("planned", "stored")),
        text("operation", "e.operation", "the operation that stores it; missing when it was stored before"),
    ),
    "e.deployment",
    "e.rowid",
    Lookup(
        ("deployment", "operation"),
        (
            time("start", "min(started_ms)", "when the first try to store it began"),
            time("end", "max(finished_ms)", "when the last try came to its end"),
            _lasted("from start to end: the store that it was part of"),
            count("attempts", "count(*)", "tries of that store"),
            text("blob_id", "max(name)", "the blob or quilt that holds it"),
        ),
        "attempts where kind = 'store' and :mine group by deployment, operation",
    ),
)

_OPERATIONS = Schema(
    "operations",
    "one planned effect: a store or a transaction",
    "operations",
    """operations o
    left join (
        select deployment, operation, min(started_ms) start, max(finished_ms) finish
        from attempts where :mine group by deployment, operation) a
        on a.deployment = o.deployment and a.operation = o.operation
    left join (
        select deployment, operation, count(*) files, sum(size) bytes
        from entries where :mine and operation is not null group by deployment, operation) f
        on f.deployment = o.deployment and f.operation = o.operation and o.kind = 'store'""",
    (
        text("deployment", "o.deployment", "the deployment that had it last"),
        text("operation", "o.operation", "its name within the deployment"),
        category("kind", "o.kind", "what kind of effect", _KINDS),
        text("name", "o.name", "its name everywhere: a blob id, or a transaction's digest"),
        text("chain", "o.chain", "the chain's id"),
        category("state", "o.state", "how far it got", tuple(state.value for state in EffectState)),
        time("start", "a.start", "when the first try began"),
        time("end", "a.finish", "when the last try came to its end"),
        _lasted(),
        time("released", "o.released_wall_ms", "when its last bytes may have left"),
        time("lost", "o.lost_wall_ms", "when its answer was lost"),
        count("attempts", "o.attempts", "tries"),
        count("files", "f.files", "files that it stores"),
        count("file_bytes", "f.bytes", "bytes of these files"),
        count("bytes", "json_extract(o.facts, '$.size')", "bytes of the blob that it stores"),
        amount("reserved_frost", "cast(o.reserved_frost as text)", "what it may cost, in FROST"),
        amount("paid_frost", "json_extract(o.outcome, '$.cost_frost')", "what it cost by its answer, in FROST"),
        amount("gas_mist", "cast(json_extract(o.outcome, '$.gas') as text)", "gas of a transaction, in MIST"),
        flag("already_certified", "json_extract(o.outcome, '$.already_certified')", "whether it was stored before"),
        category("endpoint", "nullif(json_extract(o.outcome, '$.endpoint'), '')", "who did it"),
        category("code", "json_extract(o.error, '$.code')", "code of its last error", _CODES),
        text("message", "json_extract(o.error, '$.message')", "its last error in words"),
    ),
    "o.deployment",
    "o.rowid",
)

_ATTEMPTS = Schema(
    "attempts",
    "one try of one effect",
    "attempts",
    """attempts a
    left join deployments d on d.id = a.deployment
    left join operations o on o.chain = d.chain and o.kind = a.kind and o.name = a.name""",
    (
        text("deployment", "a.deployment", "the deployment's id"),
        text("operation", "a.operation", "the operation's name within the deployment"),
        number("attempt", "a.n", "number of the try, from 1"),
        category("kind", "a.kind", "what kind of effect", _KINDS),
        text("name", "a.name", "a blob id, or a transaction's digest"),
        category("outcome", "a.outcome", "what came of it; missing while it runs", ("done", "failed", "unknown")),
        category("code", "a.code", "code of the error that ended it", _CODES),
        category("endpoint", "nullif(a.endpoint, '')", "who was asked, where it was done"),
        time("start", "a.started_ms", "when its intent was written"),
        time("end", "a.finished_ms", "when its outcome was known"),
        _lasted(),
        count("bytes", "json_extract(o.facts, '$.size')", "bytes of the blob"),
        amount("frost", "cast(a.frost as text)", "what it cost, or may have cost, in FROST"),
    ),
    "a.deployment",
    "a.rowid",
)

_DATA = "json_extract(e.data, '$.{}')"
_CLASSES = {code: f"'{row.error_class.value}'" for code, row in CODES.items()}

_ERRORS = Schema(
    "errors",
    "one failure: of a try, or of a deployment",
    "events",
    """(
        select * from events
        where (type in ('effect.failed', 'effect.unknown') and json_extract(data, '$.operation') is not '')
        or (type = 'deployment.status' and json_extract(data, '$.to') = 'failed')) e""",
    (
        text("deployment", "e.deployment", "the deployment's id"),
        number("event", "e.n", "number of the event that tells of it"),
        time("time", "e.wall_ms", "when it was known"),
        category(
            "outcome",
            _case(
                "e.type", {"effect.failed": "'failed'", "effect.unknown": "'unknown'", "deployment.status": "'ended'"}
            ),
            "failed: it did not happen; unknown: its answer was lost; ended: the deployment failed",
            ("failed", "unknown", "ended"),
        ),
        category("kind", _DATA.format("kind"), "what kind of effect; missing for a deployment", _KINDS),
        text("operation", f"nullif({_DATA.format('operation')}, '')", "the operation's name within the deployment"),
        text("name", _DATA.format("name"), "a blob id, or a transaction's digest"),
        category("code", _DATA.format("code"), "the error's code", _CODES),
        category(
            "error_class",
            _case(_DATA.format("code"), _CLASSES),
            "what can be done about it",
            tuple(item.value for item in ErrorClass),
        ),
        category(
            "endpoint",
            "iif({0} like 'http%: %', substr({0}, 1, instr({0}, ': ') - 1), null)".format(_DATA.format("message")),
            "who answered so, where the message names one",
        ),
        text("message", _DATA.format("message"), "the error in words"),
    ),
    "e.deployment",
    "e.wall_ms, e.deployment, e.n",
)

_TRANSACTIONS = Schema(
    "transactions",
    "one signed transaction; its bytes and signatures are never shown",
    "transactions",
    """transactions t
    left join operations o on o.chain = t.chain and o.kind = 'transaction' and o.name = t.digest
    left join (
        select deployment, name, count(*) attempts, min(started_ms) start, max(finished_ms) finish
        from attempts where kind = 'transaction' and :mine group by deployment, name) a
        on a.deployment = t.deployment and a.name = t.digest""",
    (
        text("deployment", "t.deployment", "the deployment's id"),
        count("step", "t.step", "its place in the deployment, from 1"),
        text("digest", "t.digest", "its digest in base58"),
        text("chain", "t.chain", "the chain's id"),
        category("state", "t.state", "what became of it", ("signed", "final", "failed", "dead")),
        time("start", "a.start", "when it was first about to be sent"),
        time("end", "a.finish", "when its outcome was known"),
        _lasted(),
        count("attempts", "a.attempts", "how often it was sent"),
        amount("gas_mist", "cast(json_extract(o.outcome, '$.gas') as text)", "what it cost, in MIST"),
        count("expires", "t.expires", "the last Sui epoch in which it may happen"),
        text("failure", "json_extract(o.outcome, '$.failure')", "Sui's name of why it failed"),
        text("message", "json_extract(o.outcome, '$.message')", "the failure in words"),
    ),
    "t.deployment",
    "t.rowid",
)


def _progress() -> tuple[Column, ...]:
    """Return a column for each count of `Progress`; the journal leaves out those that are 0."""
    counts = [item.name for item in fields(Progress) if item.type == "int"]
    return tuple(
        number(name, f"coalesce(json_extract(s.data, '$.progress.{name}'), 0)", f"`Progress.{name}`") for name in counts
    )


def _seconds(name: str, path: str, meaning: str) -> Column:
    return duration(name, f"cast(round(json_extract(s.data, '$.{path}') * 1000) as integer)", meaning)


_METRICS = Schema(
    "metrics",
    "one sample of a process that works on a deployment, at most two a second",
    "samples",
    "samples s",
    (
        text("deployment", "s.deployment", "the deployment's id"),
        time("time", "s.wall_ms", "when the sample was taken"),
        number("owner", "coalesce(json_extract(s.data, '$.incarnation'), 0)", "which of its owners wrote it, from 1"),
        category(
            "phase",
            "json_extract(s.data, '$.progress.phase')",
            "what it was busy with",
            tuple(phase.value for phase in Phase),
        ),
        *_progress(),
        text("waiting", "nullif(json_extract(s.data, '$.progress.waiting'), '')", "what was waited for"),
        *(_seconds(f"{p.value}_time", f"phases_s.{p.value}", f"time of this owner in {p.value} so far") for p in Phase),
        _seconds("cpu", "cpu_s", "CPU time of the process since it began"),
        count("rss_bytes", "json_extract(s.data, '$.rss_bytes')", "memory that is resident"),
        count("open_files", "json_extract(s.data, '$.open_files')", "open descriptors"),
        count("disk_free_bytes", "json_extract(s.data, '$.disk_free_bytes')", "room on the disk of the state folder"),
    ),
    "s.deployment",
    "s.rowid",
)

_ALERTS = Schema(
    "alerts",
    "one alert, from firing to clearing",
    "alerts",
    "alerts l",
    (
        number("alert", "l.n", "its number in this home, from 1"),
        text("rule", "l.rule", "the rule that fired"),
        category("kind", "l.kind", "what the rule looks at"),
        text("subject", "l.subject", "what it is about: a deployment, an endpoint, a site, the home"),
        category("severity", "l.severity", "how much it matters", tuple(item.value for item in Severity)),
        text("deployment", "l.deployment", "the deployment that it is about, if it is about one"),
        time("start", "l.fired_ms", "when it fired"),
        time("end", "l.cleared_ms", "when it cleared; missing while it fires"),
        _lasted(),
        real("value", "cast(l.value as real)", "what was measured"),
        real("threshold", "cast(l.threshold as real)", "the rule's limit"),
        category("unit", "nullif(l.unit, '')", "the unit of both"),
        text("message", "l.message", "what it says"),
        text("clearing", "nullif(l.clearing, '')", "why it cleared"),
    ),
    "l.deployment",
    "l.n",
)

_EPOCH_MS = _case("k.network", {name: str(seconds * 1000) for name, seconds in EPOCH_S.items()})
_LEFT = "max(0, b.end_epoch - k.epoch - {})"

_BLOBS = Schema(
    "blobs",
    "one blob that is stored, or was",
    "blobs",
    """blobs b
    left join operations o on o.chain = b.chain and o.kind = 'store' and o.name = b.blob_id
    left join deployments d on d.id = o.deployment
    left join (select deployment, operation, max(finished_ms) finish from attempts where :mine
        group by deployment, operation) a on a.deployment = o.deployment and a.operation = o.operation
    left join (select chain, blob_id, count(distinct sha256) files from patches group by chain, blob_id) p
        on p.chain = b.chain and p.blob_id = b.blob_id
    left join (
        select v.chain, q.blob_id, count(distinct e.path) files
        from (select chain, site_id, max(n), deployment from versions group by chain, site_id) v
        join entries e on e.deployment = v.deployment
        join patches q on q.chain = v.chain and q.sha256 = e.sha256 group by v.chain, q.blob_id) c
        on c.chain = b.chain and c.blob_id = b.blob_id
    left join (
        select w.chain, w.network, max(x.wall_ms) at,
            json_extract(x.data, '$.end_epoch') - json_extract(x.data, '$.epochs') epoch
        from deployments w join events x on x.deployment = w.id and x.n = 1 and x.type = 'deployment.planned'
        where json_extract(x.data, '$.epochs') > 0 group by w.chain) k on k.chain = b.chain""",
    (
        text("blob_id", "b.blob_id", "the blob's id"),
        text("chain", "b.chain", "the chain's id"),
        category("network", "coalesce(d.network, k.network)", "the network's name", _NETWORKS),
        text("object_id", "b.object_id", "its Blob object, where there is one of ours"),
        text("site_name", "d.site_name", "the site that it was stored for"),
        text("deployment", "o.deployment", "the deployment that stored it"),
        time("start", "a.finish", "when it was stored"),
        time("end", f"iif(b.end_epoch > 0, k.at + {_LEFT.format(1)} * {_EPOCH_MS}, null)",
             "when its storage is over at the earliest, where epochs follow a clock"),
        time("end_latest", f"iif(b.end_epoch > 0, k.at + {_LEFT.format(0)} * {_EPOCH_MS}, null)",
             "when it is over at the latest"),
        count("end_epoch", "b.end_epoch", "the Walrus epoch with whose begin its storage is over"),
        count("epochs_left", f"iif(b.end_epoch > 0, {_LEFT.format(0)}, 0)",
              "epochs from the one that the last plan saw to the end"),
        count("size", "b.size", "bytes"),
        flag("deletable", "b.deletable", "whether it can be deleted before its end"),
        count("files", "p.files", "contents that it holds"),
        number("current_files", "coalesce(c.files, 0)", "files of sites' newest versions whose content it holds"),
        amount("paid_frost", "json_extract(o.outcome, '$.cost_frost')", "what it cost, in FROST"),
    ),
    "o.deployment",
    "b.rowid",
)  # fmt: skip

_VERSIONS = Schema(
    "versions",
    "one complete published state of a site",
    "versions",
    """(select *, rowid place, lead(created_ms) over (partition by chain, site_id order by n) until from versions) v
    left join deployments d on d.id = v.deployment
    left join (select deployment, count(*) files, sum(size) bytes from entries where :mine group by deployment) f
        on f.deployment = v.deployment""",
    (
        text("site_id", "v.site_id", "object id of the site"),
        number("version", "v.n", "its number, from 1"),
        text("site_name", "d.site_name", "the site's name"),
        category("network", "d.network", "the network's name", _NETWORKS),
        text("chain", "v.chain", "the chain's id"),
        text("deployment", "v.deployment", "the deployment that published it"),
        category("verb", "d.verb", "what published it", _VERBS),
        time("start", "v.created_ms", "when it was published"),
        time("end", "v.until", "when the next one was; missing for the newest"),
        _lasted(),
        text("message", "nullif(v.message, '')", "what the user said of it"),
        text("commit", "nullif(v.commit_id, '')", "the commit that it was made from"),
        text("tags", "(select group_concat(value, ', ') from json_each(v.tags))", "its tags, with commas between"),
        flag("pinned", "coalesce(v.pinned, 0)", "whether cleanup spares it"),
        count("files", "f.files", "files"),
        count("bytes", "f.bytes", "bytes of these"),
        text("digest", "v.digest", "digest of the Site object"),
    ),
    "v.deployment",
    "v.place",
)

SCHEMAS: Mapping[str, Schema] = {
    schema.name: schema
    for schema in (
        _DEPLOYMENTS, _FILES, _OPERATIONS, _ATTEMPTS, _ERRORS, _TRANSACTIONS, _METRICS, _ALERTS, _BLOBS, _VERSIONS,
        SPANS,
    )
}  # fmt: skip
"""Every frame by name."""

assert all(
    not column.sql and column.kind is Kind.DURATION for s in SCHEMAS.values() for column in s.columns if not column.sql
)
