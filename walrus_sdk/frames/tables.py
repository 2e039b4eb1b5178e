"""The frames: a schema each. What a column means stands here once; the reference page is made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from walrus_sdk.errors import CODES, ErrorClass
from walrus_sdk.frames.published import BLOBS, NETWORKS, SIZE, VERBS, VERSIONS
from walrus_sdk.frames.schema import (
    Column,
    Kind,
    Lookup,
    Schema,
    amount,
    case,
    category,
    count,
    duration,
    flag,
    lasted,
    number,
    real,
    text,
    time,
)
from walrus_sdk.frames.spans import SPANS
from walrus_sdk.model.alerts import Severity
from walrus_sdk.model.deployment import EffectState, Status
from walrus_sdk.model.progress import Phase, Progress

__all__ = ["SCHEMAS"]

_KINDS = ("store", "transaction")
_CODES = tuple(CODES)


_LAST_END = "iif(max(n) = max(iif(finished_ms is null, 0, n)), max(finished_ms), null)"
"""When the last of some tries ended; nothing while it runs. One whose process died has no end, and others follow it."""
_PLANNED = "json_extract(p.data, '$.{}')"

_DEPLOYMENTS = Schema(
    "deployments",
    "one run of a verb that changes a site",
    "deployments",
    "deployments d",
    (
        text("deployment", "d.id", "the deployment's id"),
        category("verb", "d.verb", "what it is a run of, or a record of", VERBS),
        category("status", "d.status", "where it stands", tuple(status.value for status in Status)),
        category("network", "d.network", "the network's name", NETWORKS),
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
        lasted(),
        number("owners", "coalesce(i.owners, 0)", "processes that owned it, one after the other"),
        number("files", "coalesce(m.files, f.files, 0)", "files of the site that it leads to"),
        number("bytes", "coalesce(m.bytes, f.bytes, 0)", "bytes of these files, as far as this home knows their sizes"),
        number("stored_files", "coalesce(m.files, f.stored, 0)", "files whose content is stored"),
        number(
            "new_files", "coalesce(g.files, 0)", "files that it had to store; a content at several paths counts once"
        ),
        number("new_bytes", "coalesce(g.bytes, 0)", "bytes of these"),
        number("new_paths", "coalesce(u.paths, 0)", "paths of these files, copies included"),
        number("new_path_bytes", "coalesce(u.bytes, 0)", "bytes that are served there"),
        number(
            "saved_bytes",
            "max(0, coalesce(m.bytes, f.bytes, 0) - coalesce(u.bytes, 0))",
            "bytes of files whose content was stored before",
        ),
        number("operations", "coalesce(n.operations, 0)", "effects: stores and transactions"),
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
            "u",
            """left join (
            select deployment, count(*) paths, sum(size) bytes
            from entries where :mine and operation is not null group by deployment) u on u.deployment = d.id""",
        ),
        (  # of what was published without a folder, few of the files are its entries, or none
            "m",
            f"""left join (
            select v.deployment, count(*) files, coalesce(sum({SIZE}), 0) bytes
            from versions v
            join deployments w on w.id = v.deployment and w.verb in ('rollback', 'adopt')
            join json_each(v.manifest, '$.resources') r
            where :mine group by v.deployment) m on m.deployment = d.id""",  # noqa: S608
        ),
        (
            "g",
            """left join (
            select deployment, count(*) files, sum(size) bytes from (
                select deployment, size from entries where :mine and operation is not null
                group by deployment, operation, sha256)
            group by deployment) g on g.deployment = d.id""",
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
            select deployment, group_concat(json_extract(outcome, '$.gas'), ' ') gas
            from operations where :mine group by deployment) o on o.deployment = d.id""",
        ),
        (  # a row of operations may have gone to a later deployment since
            "n",
            """left join (
            select deployment, count(*) operations from (
                select deployment, operation from attempts where :mine
                union select deployment, operation from operations where :mine)
            group by deployment) n on n.deployment = d.id""",
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
            time("end", _LAST_END, "when the last try came to its end; missing while it is under way"),
            lasted("from start to end: the store that it was part of"),
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
    f"""operations o
    left join (
        select deployment, operation, min(started_ms) start, {_LAST_END} finish
        from attempts where :mine group by deployment, operation) a
        on a.deployment = o.deployment and a.operation = o.operation
    left join (
        select deployment, operation, count(*) files, sum(size) bytes
        from entries where :mine and operation is not null group by deployment, operation) f
        on f.deployment = o.deployment and f.operation = o.operation and o.kind = 'store'""",  # noqa: S608
    (
        text("deployment", "o.deployment", "the deployment that had it last; tries of others have the same name"),
        text("operation", "o.operation", "its name within the deployment"),
        category("kind", "o.kind", "what kind of effect", _KINDS),
        text("name", "o.name", "its name everywhere: a blob id, or a transaction's digest"),
        text("chain", "o.chain", "the chain's id"),
        category(
            "state",
            "iif(o.state = 'failed' and o.error is null, 'done', o.state)",
            "how far it got; what was done stays so, also where its blob was deleted since",
            tuple(state.value for state in EffectState),
        ),
        time("start", "a.start", "when the first try began"),
        time("end", "a.finish", "when the last try came to its end; missing while it is under way"),
        lasted(),
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
        lasted(),
        count("bytes", "json_extract(o.facts, '$.size')", "bytes of the blob"),
        amount("frost", "cast(a.frost as text)", "what it cost, or may have cost, in FROST"),
    ),
    "a.deployment",
    "a.rowid",
)

_DATA = "json_extract(e.data, '$.{}')"
# The end of a deployment is told with the message of its last error, and without the endpoint.
_NAMED_FIRST = "iif({0} like 'http%: %', substr({0}, 1, instr({0}, ': ') - 1), null)".format(_DATA.format("message"))
_CLASSES = {code: f"'{row.error_class.value}'" for code, row in CODES.items()}

# What undoes a store that was done (its blob was cleaned up, or is gone) is written as a failure without an operation.
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
            case(
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
            case(_DATA.format("code"), _CLASSES),
            "what can be done about it",
            tuple(item.value for item in ErrorClass),
        ),
        category(
            "endpoint",
            f"coalesce(nullif({_DATA.format('endpoint')}, ''), {_NAMED_FIRST})",
            "who answered so, where the event or its message tells",
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
    f"""transactions t
    left join operations o on o.chain = t.chain and o.kind = 'transaction' and o.name = t.digest
    left join (
        select deployment, name, count(*) attempts, min(started_ms) start, {_LAST_END} finish
        from attempts where kind = 'transaction' and :mine group by deployment, name) a
        on a.deployment = t.deployment and a.name = t.digest""",  # noqa: S608
    (
        text("deployment", "t.deployment", "the deployment's id"),
        count("step", "t.step", "its place in the deployment, from 1"),
        text("digest", "t.digest", "its digest in base58"),
        text("chain", "t.chain", "the chain's id"),
        category("state", "t.state", "what became of it", ("signed", "final", "failed", "dead")),
        time("start", "a.start", "when it was first about to be sent"),
        time("end", "a.finish", "when its outcome was known"),
        lasted(),
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
        lasted(),
        real("value", "cast(l.value as real)", "what was measured"),
        real("threshold", "cast(l.threshold as real)", "the rule's limit"),
        category("unit", "nullif(l.unit, '')", "the unit of both"),
        text("message", "l.message", "what it says"),
        text("clearing", "nullif(l.clearing, '')", "why it cleared"),
    ),
    "l.deployment",
    "l.n",
)

SCHEMAS: Mapping[str, Schema] = {
    schema.name: schema
    for schema in (
        _DEPLOYMENTS, _FILES, _OPERATIONS, _ATTEMPTS, _ERRORS, _TRANSACTIONS, _METRICS, _ALERTS, BLOBS, VERSIONS,
        SPANS,
    )
}  # fmt: skip
"""Every frame by name."""

assert all(
    not column.sql and column.kind is Kind.DURATION for s in SCHEMAS.values() for column in s.columns if not column.sql
)
